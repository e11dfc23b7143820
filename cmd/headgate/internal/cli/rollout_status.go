package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/rollout"
)

func (a *app) rolloutStatusCommand() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "how far it is, who blocks, and what happens next", ArgsUsage: "NAME",
		UsageText: "headgate rollout status todo-created-v2 --env prod\nheadgate rollout status todo-created-v2 --env prod --watch",
		Description: `Shows the phase, the stores by whether their readers are there, the clients that hold stores back, the analysis, and
what happens next and when. It reads on in the logs of the stores that were ever open, to count the events of the new
version that are committed: --no-logs leaves them alone.`,
		Flags: []cli.Flag{
			envFlag(),
			&cli.BoolFlag{Name: "watch", Usage: "print it again whenever it changes, until interrupted"},
			&cli.BoolFlag{Name: "no-logs", Usage: "don't read the stores' logs"},
		},
		Action: a.rolloutStatus,
	}
}

func (a *app) rolloutStatus(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		look := func() (operate.RolloutStatus, error) {
			return ops.RolloutStatus(c.Context, c.Args().First(), !c.Bool("no-logs"))
		}
		if c.Bool("watch") {
			return a.watchRollout(c.Context, look)
		}
		s, err := look()
		if err != nil {
			return err
		}
		return a.render(s, func(w io.Writer) error { return a.writeRolloutStatus(w, s) })
	})
}

// watchRollout prints a status whenever it is another one, until the context ends.
func (a *app) watchRollout(ctx context.Context, look func() (operate.RolloutStatus, error)) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	var last []byte
	for {
		a.inventories.forgetOld(a.now())
		s, err := look()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if a.format == formatJSON {
			err = writeJSON(&b, s)
		} else {
			err = a.writeRolloutStatus(&b, s)
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(b.Bytes(), last) {
			last = b.Bytes()
			a.rendered = true
			if _, err := a.stdout.Write(append(last, '\n')); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (a *app) writeRolloutStatus(w io.Writer, s operate.RolloutStatus) error {
	phase := string(s.Phase)
	if s.Step > 0 {
		phase += fmt.Sprintf(", step %d of %d", s.Step, s.Steps)
	}
	fmt.Fprintf(w, "%s on %s: %s, weight %s\n", s.Rollout, s.Environment, a.stdout.paint(strong, phase), s.Weight)
	if !s.Since.IsZero() {
		fmt.Fprintf(w, "  since %s, attempt %d, flags revision %d\n", s.Since.UTC().Format(time.RFC3339), s.Attempt, s.Revision)
	}
	fmt.Fprintf(w, "  builds from %s on emit it; clients away for %s don't count\n", s.Floor, s.Horizon)
	if s.Paused != nil {
		fmt.Fprintf(w, "  %s by %s at %s: %s\n", a.stdout.paint(warn, "paused"), s.Paused.By, s.Paused.At.UTC().Format(time.RFC3339), s.Paused.Reason)
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "  %s: %s\n", a.stdout.paint(bad, "everything is stopped"), s.Stopped)
	}
	for _, p := range s.Approved {
		fmt.Fprintf(w, "  approved for %s by %s\n", p.For, p.By)
	}
	n := s.Stores
	fmt.Fprintf(w, "  %s: %d open; %d eligible, %d waiting, %d blocked, %d unobserved\n", count(n.Stores, "store"), n.Open, n.Eligible, n.Waiting, n.Blocked, n.Unobserved)
	if s.Clamped > 0 {
		fmt.Fprintf(w, "  %s said to be seen in the future, and counts as seen now\n", count(s.Clamped, "client"))
	}
	writeCommitted(w, s.Committed)
	if s.Closed != nil {
		a.writeAcknowledged(w, *s.Closed, s.Horizon)
	}
	for _, r := range s.Analysis {
		fmt.Fprintf(w, "  analysis %s: %s; %d measured, %d failed, %d inconclusive, %d without data, %d errors", r.Template, r.Outcome, r.Measured, r.Failed, r.Inconclusive, r.NoData, r.Errors)
		if r.Why != "" {
			fmt.Fprintf(w, "; %s", r.Why)
		}
		fmt.Fprintf(w, "\n    query: %s\n", r.Query)
		if !r.LastAt.IsZero() {
			fmt.Fprintf(w, "    last: %s at %s%s\n", measured(r), r.LastAt.UTC().Format(time.RFC3339), madeOf(r))
		}
	}
	fmt.Fprintf(w, "  what happens next: %s\n", nextText(s.Next))
	if len(s.Blocking) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{{"STORE", "HELD BACK BY", "RELEASE", "LAST SEEN", "SAID BY", "UNTIL"}}
		for _, b := range s.Blocking {
			rows = append(rows, []string{string(b.Store), b.Client, b.Release, b.LastSeen.UTC().Format(time.RFC3339), string(b.Source), b.Until.UTC().Format(time.RFC3339)})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	for i, next := range s.NextActions {
		label := "\nnext:"
		if i > 0 {
			label = "  or:"
		}
		fmt.Fprintf(w, "%s %s\n", label, next)
	}
	return nil
}

// measured is what was measured last, for people.
func measured(r rollout.AnalysisRun) string {
	if r.Error != "" {
		return "error: " + r.Error
	}
	return valueText(r.Last)
}

func valueText(v any) string {
	if v == nil {
		return "no data"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// madeOf says what a signal was made of, and what it was in the other stores.
func madeOf(r rollout.AnalysisRun) string {
	if r.Made == "" {
		return ""
	}
	return fmt.Sprintf("; baseline %s (%s)", valueText(r.Baseline), r.Made)
}
