package cli

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
)

func (a *app) rolloutTickCommand() *cli.Command {
	return &cli.Command{
		Name: "tick", Usage: "look once, and do what is due", ArgsUsage: "[NAME]",
		UsageText: "headgate rollout tick --env prod\nheadgate rollout tick todo-created-v2 --env prod --dry-run",
		Description: `Looks at who is out there, measures what is due, and opens, advances, pauses or aborts. Without NAME: all rollouts that
are under way. Where no headgate serve runs, run it every few minutes, from cron or a timer; two at once do no step twice.`,
		Flags:  []cli.Flag{envFlag(), &cli.BoolFlag{Name: "dry-run", Usage: "say what would happen, change nothing"}},
		Action: a.rolloutTick,
	}
}

func (a *app) rolloutTick(c *cli.Context) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		r := a.rollouts(env, db)
		p := a.progress("counting events", 0) // of all of them: several are looked at side by side
		defer p.Done()
		r.Counting = func() (func(), func()) { return func() { p.Add(1) }, func() {} }
		out, err := r.Tick(c.Context, c.Bool("dry-run"), c.Args().Slice()...)
		if err != nil {
			return err
		}
		return a.render(out, func(w io.Writer) error {
			if len(out) == 0 {
				_, err := fmt.Fprintln(w, "no rollout is under way")
				return err
			}
			return each(w, out, writeRolloutResult)
		})
	})
}
