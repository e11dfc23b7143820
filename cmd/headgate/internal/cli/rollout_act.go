package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/rollout"
)

func (a *app) rolloutAct(c *cli.Context, command rollout.Command) error {
	if c.Bool("full") {
		command = rollout.Finish
	}
	ask := operate.RolloutAsk{Command: command, Force: c.Bool("force"), DryRun: c.Bool("dry-run")}
	return a.withOperations(c, func(ops operations) error {
		result, err := ops.RolloutAct(c.Context, c.Args().First(), ask, a.by(c.String("reason")))
		if err != nil {
			return err
		}
		return a.render(result, func(w io.Writer) error { return writeRolloutResult(w, result) })
	})
}

func writeRolloutResult(w io.Writer, r operate.RolloutResult) error {
	verb := "is"
	if r.DryRun {
		verb = "would be"
	}
	fmt.Fprintf(w, "%s on %s %s in phase %s", r.Rollout, r.Environment, verb, r.Phase)
	if r.Step > 0 {
		fmt.Fprintf(w, ", step %d", r.Step)
	}
	fmt.Fprintf(w, ", weight %s\n", r.Weight)
	if r.Opened > 0 {
		fmt.Fprintf(w, "  %s opened\n", count(r.Opened, "store"))
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	for _, f := range r.Warnings {
		fmt.Fprintf(w, "  warning: %s %s\n    fix: %s\n", f.Code, f.Msg, f.Hint)
	}
	if r.Committed != nil {
		writeCommitted(w, *r.Committed)
		fmt.Fprintf(w, "  that is what was counted last: headgate rollout status reads the logs, an abort waits for nothing\n")
		fmt.Fprintf(w, "  clients that fetched the flags before go on until they fetch them again; offline ones until they come back\n")
	}
	fmt.Fprintf(w, "  what happens next: %s\n", nextText(r.Next))
	if len(r.NextActions) > 0 {
		fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
	}
	return nil
}

func nextText(n rollout.Next) string {
	if n.When.IsZero() {
		return n.What
	}
	return n.What + ", at " + n.When.UTC().Format(time.RFC3339)
}
