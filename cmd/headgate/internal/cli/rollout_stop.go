package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
)

func (a *app) stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Category: daily, Usage: "the emergency command: abort every ramp, pause every migration and reset, freeze every advance",
		UsageText: "headgate stop --env prod --reason=todos-disappear\nheadgate stop --env prod --lift --reason=fixed-in-1.3.1",
		Description: `Needs the control database only: no store is contacted, and no file of a rollout is read. Rollouts that ramp up are
aborted, migrations pause after the batch under way, a reset gets no more stores, and nothing opens or advances until
--lift. It prints what it can't stop. After --lift, rollouts are started, migrations resumed and a reset fired one by one.`,
		Flags: []cli.Flag{
			envFlag(), &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
			&cli.BoolFlag{Name: "lift", Usage: "let things advance again"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be stopped, stop nothing"},
		},
		Action: a.stop,
	}
}

func (a *app) stop(c *cli.Context) error {
	if strings.TrimSpace(c.String("reason")) == "" {
		return errs.Invalidf("--reason is missing").Hintf("the audit keeps it: --reason TEXT")
	}
	by := a.by(c.String("reason"))
	return a.withOperations(c, func(ops operations) error {
		if c.Bool("lift") {
			r, err := ops.Lift(c.Context, by)
			if err != nil {
				return err
			}
			return a.render(r, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s may advance again; rollouts are started, migrations resumed and a reset fired one by one\n\nnext: %s\n", r.Environment, r.NextActions[0])
				return err
			})
		}
		r, err := ops.Stop(c.Context, by, c.Bool("dry-run"))
		if err != nil {
			return err
		}
		if err := a.stoppedInIncident(r); err != nil {
			return err
		}
		return a.render(r, func(w io.Writer) error { return writeStop(w, r) })
	})
}

func writeStop(w io.Writer, r operate.StopReport) error {
	if r.DryRun {
		fmt.Fprintf(w, "would stop %s:\n", r.Environment)
	} else {
		fmt.Fprintf(w, "%s is stopped: nothing opens or advances until it is lifted\n", r.Environment)
	}
	for _, name := range r.Aborted {
		fmt.Fprintf(w, "  rollout %s: aborted, weight 0\n", name)
	}
	for _, name := range r.Paused {
		fmt.Fprintf(w, "  migration %s: pausing\n", name)
	}
	if r.Reset != "" {
		fmt.Fprintf(w, "  %s\n", r.Reset)
	}
	fmt.Fprintln(w, "what can't be stopped:")
	for _, line := range r.Remains {
		fmt.Fprintf(w, "  %s\n", line)
	}
	_, err := fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
	return err
}
