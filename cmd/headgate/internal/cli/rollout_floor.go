package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
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
	release := c.Args().First()
	if release == rollout.NoRelease {
		release = ""
	} else if !config.IsVersion(release) {
		return errs.Invalidf("%q is not a release", release).Hintf("write three numbers, 1.1.0, or none")
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		within := env.Fleet.Horizon
		if within == 0 {
			within = rollout.DefaultHorizon
		}
		counts, err := db.Census(c.Context, env.Name, a.now().Add(-within))
		if err != nil {
			return err
		}
		refused := []control.ReleaseCount{}
		var clients int64
		for _, k := range counts {
			if release != "" && (k.Release == rollout.NoRelease || schema.CompareVersions(k.Release, release) < 0) {
				refused = append(refused, k)
				clients += k.Clients
			}
		}
		dry := c.Bool("dry-run")
		if !dry {
			if err := db.SetFloor(c.Context, env.Name, release, a.by(c.String("reason"))); err != nil {
				return err
			}
		}
		next := "headgate floor show --env " + env.Name
		result := map[string]any{"environment": env.Name, "floor": release, "set": !dry, "refused": refused, "next_actions": []string{next}}
		return a.render(result, func(w io.Writer) error {
			verb := "is now"
			if dry {
				verb = "would be"
			}
			fmt.Fprintf(w, "the floor of %s %s %s\n", env.Name, verb, cmp.Or(release, rollout.NoRelease))
			for _, k := range refused {
				fmt.Fprintf(w, "  shuts out %s on %s, last seen %s\n", counted(k.Clients, "client"), k.Release, k.LastSeen.Format(time.RFC3339))
			}
			_, err := fmt.Fprintf(w, "  %s refused; what they have not sent stays with them until they are updated\n\nnext: %s\n", counted(clients, "client"), next)
			return err
		})
	})
}
