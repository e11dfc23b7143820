package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

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
				Action: a.floorShow,
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

func (a *app) floorShow(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		f, err := ops.Floor(c.Context)
		if err != nil {
			return err
		}
		return a.render(f, func(w io.Writer) error {
			if f.Floor == "" {
				_, err := fmt.Fprintf(w, "%s has no floor\n", f.Environment)
				return err
			}
			_, err := fmt.Fprintf(w, "%s since %s, by %s: %s\n", f.Floor, f.At.Format(time.RFC3339), f.Actor, f.Reason)
			return err
		})
	})
}

func (a *app) floorSet(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		result, err := ops.SetFloor(c.Context, c.Args().First(), a.by(c.String("reason")), c.Bool("dry-run"))
		if err != nil {
			return err
		}
		return a.render(result, func(w io.Writer) error {
			verb := "is now"
			if !result.Set {
				verb = "would be"
			}
			fmt.Fprintf(w, "the floor of %s %s %s\n", result.Environment, verb, cmp.Or(result.Floor, rollout.NoRelease))
			for _, k := range result.Refused {
				fmt.Fprintf(w, "  shuts out %s on %s, last seen %s\n", counted(k.Clients, "client"), k.Release, k.LastSeen.Format(time.RFC3339))
			}
			_, err := fmt.Fprintf(w, "  %s refused; what they have not sent stays with them until they are updated\n\nnext: %s\n", counted(result.Clients, "client"), result.NextActions[0])
			return err
		})
	})
}
