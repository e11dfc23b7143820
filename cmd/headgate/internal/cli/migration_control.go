package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/jobs"
)

func (a *app) migrationPauseCommand() *cli.Command {
	return a.askCommand(operate.Pause, "let the runs that are under way stop after the batches they are at",
		"headgate migration pause --env prod",
		`Stores that nobody works on are held at once, the others after the batch under way. resume goes on.`)
}

func (a *app) migrationResumeCommand() *cli.Command {
	return a.askCommand(operate.Resume, "go on with runs that were paused", "headgate migration resume --env prod",
		`Workers (headgate worker) take the stores up again by themselves; without workers the next command is
headgate migration up, which joins the run.`)
}

func (a *app) migrationCancelCommand() *cli.Command {
	return a.askCommand(operate.Cancel, "end the runs that are under way or paused, for good",
		"headgate migration cancel backfill_priority --env prod",
		`What is committed stays committed: events can't be un-committed. A new run finds in the logs what is done.`)
}

// askCommand asks runs for an action, and prints how they stand then.
func (a *app) askCommand(action operate.Action, usage, example, description string) *cli.Command {
	return &cli.Command{
		Name: string(action), Usage: usage, ArgsUsage: "[NAME]", UsageText: example, Description: description,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: func(c *cli.Context) error {
			return a.withOperations(c, func(ops operations) error {
				runs, err := ops.Ask(c.Context, action, c.Args().First(), a.by(c.String("reason")))
				if err != nil {
					return err
				}
				return a.render(runs, func(w io.Writer) error { return writeRuns(w, runs) })
			})
		},
	}
}

func writeRuns(w io.Writer, runs []operate.RunStatus) error {
	for i, r := range runs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s: %s\n  %s %s, begun by %s at %s\n", r.Migration, r.Env, r.State, jobs.KindOf(r.Run), r.ID, r.Actor, r.CreatedAt.UTC().Format("2006-01-02 15:04:05Z"))
		for _, c := range r.Waves {
			wave := ""
			switch {
			case c.Name != "":
				wave = "wave " + c.Name + ": "
			case r.Waves[len(r.Waves)-1].Wave > 0: // the last one is for what is in none of headgate.yaml
				wave = "the rest: "
			}
			fmt.Fprintf(w, "  %s%s %s, %s committed\n", wave, count(int(c.Stores), "store"), c.State, counted(c.Committed, "event"))
		}
		writeFailed(w, r.Failed)
		for _, next := range r.NextActions {
			fmt.Fprintf(w, "  next: %s\n", next)
		}
	}
	return nil
}

// writeFailed lists stores that failed, and what to do about each.
func writeFailed(w io.Writer, failed []operate.FailedStore) {
	for _, f := range failed {
		fmt.Fprintf(w, "  %s: %s\n", f.Store, f.Error)
		if f.Hint != "" {
			fmt.Fprintf(w, "    fix: %s\n", f.Hint)
		}
		for _, next := range f.Next {
			fmt.Fprintf(w, "    next: %s\n", next)
		}
	}
}
