package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/rollout"
)

func (a *app) floorCommand() *cli.Command {
	return &cli.Command{
		Name: "floor", Category: plumbing, Usage: "the release below which the sync backend refuses clients",
		UsageText: "headgate floor show --env prod\nheadgate floor set 1.1.0 --env prod --reason=reads-v2",
		Description: `A floor ends the wait for old clients: the Worker that headgate generates refuses to sync with releases below it, and with
clients that say none, before they pull. Their events stay with them until they are updated. A store counts on it once
its Worker has reported that it enforces it.`,
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "print the floor", UsageText: "headgate floor show --env prod", Flags: []cli.Flag{envFlag()},
				Action: func(c *cli.Context) error {
					return a.withControl(c, func(env config.Environment, db *control.DB) error { return a.floorShow(c, env, db) })
				},
			},
			{
				Name: "set", Usage: "set the floor, or none", ArgsUsage: "RELEASE",
				UsageText:   "headgate floor set 1.1.0 --env prod --reason=reads-v2\nheadgate floor set none --env prod",
				Description: "Clients of releases that stand before RELEASE, its prereleases too, can't sync any more. Those that were seen are counted first.",
				Flags:       []cli.Flag{envFlag(), &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"}, &cli.BoolFlag{Name: "dry-run", Usage: "count who would be refused, set nothing"}},
				Action:      a.floorSet,
			},
		},
	}
}

func (a *app) floorShow(c *cli.Context, env config.Environment, db *control.DB) error {
	f, err := db.Floor(c.Context, env.Name)
	if err != nil {
		return err
	}
	return a.render(map[string]any{"environment": env.Name, "floor": f.Value, "actor": f.Actor, "reason": f.Reason, "at": jsonTime(f.At)}, func(w io.Writer) error {
		if f.Value == "" {
			_, err := fmt.Fprintf(w, "%s has no floor\n", env.Name)
			return err
		}
		_, err := fmt.Fprintf(w, "%s since %s, by %s: %s\n", f.Value, f.At.Format(time.RFC3339), f.Actor, f.Reason)
		return err
	})
}

func (a *app) floorSet(c *cli.Context) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		result, err := a.operate(env, db).SetFloor(c.Context, c.Args().First(), a.by(c.String("reason")), c.Bool("dry-run"))
		if err != nil {
			return err
		}
		return a.render(result, func(w io.Writer) error {
			verb := "is now"
			if !result.Set {
				verb = "would be"
			}
			fmt.Fprintf(w, "the floor of %s %s %s\n", env.Name, verb, cmp.Or(result.Floor, rollout.NoRelease))
			for _, k := range result.Refused {
				fmt.Fprintf(w, "  shuts out %s on %s, last seen %s\n", counted(k.Clients, "client"), k.Release, k.LastSeen.Format(time.RFC3339))
			}
			_, err := fmt.Fprintf(w, "  %s refused; what they have not sent stays with them until they are updated\n\nnext: %s\n", counted(result.Clients, "client"), result.NextActions[0])
			return err
		})
	})
}
