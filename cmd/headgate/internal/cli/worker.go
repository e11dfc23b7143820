package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
)

func (a *app) workerCommand() *cli.Command {
	return &cli.Command{
		Name:      "worker",
		Category:  plumbing,
		Usage:     "work on the runs of an environment, beside other workers",
		UsageText: "headgate worker --env prod\nheadgate worker --env prod --jobs 8 --sweep 1h",
		Description: `Takes part in every run of migrations of the environment until it is stopped: the batches under way are finished then,
and their stores given back. Any number of workers share a control database in Postgres (control: postgres://… in
headgate.yaml); on SQLite those of one machine do. A worker that dies is noticed within 15 seconds, and others take its
stores over: what it had committed is in their logs.

A worker needs headgate.yaml and no more of the app: the migration and the releases of a run are in the control database
since the run began, and are taken from there where the app's directory has none, or others. They stay there for 30 days
after the run has ended, those of a migration's last run until another one follows; what no run needs any more is removed
when a run ends and none is left that is under way or paused.

headgate migration up begins runs, and works on them itself. With --sweep the workers begin some by themselves: one of them
looks every so often for what clients that were offline made due (headgate migration sweep).`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
			&cli.StringFlag{Name: "sweep", Usage: "also sweep after late arrivals, every `DURATION`, as in 1h"},
		},
		Action: a.worker,
	}
}

func (a *app) worker(c *cli.Context) error {
	if err := aboveZero(c, "jobs"); err != nil {
		return err
	}
	every, err := duration(c, "sweep")
	if err != nil {
		return err
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		r, err := a.newRunner(c.Context, a.loaded, env, nil, c.Int("jobs"))
		if err != nil {
			return err
		}
		sweeping, err := a.newRunner(c.Context, a.loaded, env, nil, 1) // beside the work
		if err != nil {
			return err
		}
		r.worker, sweeping.worker = true, true
		fmt.Fprintf(a.stderr, "working on the runs of %s, %s at a time, from %s\n", env.Name, count(r.jobs, "store"), db.Place())
		g, ctx := errgroup.WithContext(c.Context)
		g.Go(func() error { return r.fleet(db).Work(ctx) })
		if every > 0 {
			g.Go(func() error { return sweeping.sweeps(ctx, db, every) })
		}
		err = g.Wait()
		if c.Context.Err() != nil && errors.Is(err, context.Cause(c.Context)) { // that is how it ends
			fmt.Fprintln(a.stderr, "stopped; the stores are given back")
			return nil
		}
		return err
	})
}
