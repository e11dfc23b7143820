package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
)

func (a *app) migrationSweepCommand() *cli.Command {
	return &cli.Command{
		Name:      "sweep",
		Usage:     "commit what clients that were offline made due since a migration ran",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration sweep --env prod --yes\n" +
			"headgate migration sweep backfill_priority --env prod --yes --every 1h\n" +
			"headgate migration sweep --env prod --yes --format json",
		Description: `A client of an old release that was offline while a migration ran pushes its events later, and rows of the old kind
with them. A sweep finds those rows and commits the events that they are due, once each: in the stores where the migration
ran, and in those that are new in the inventory since it ran on all. Stores without a new event since the last sweep are
not replayed.

It does what was agreed to when the migration was run, and no more: it leaves a migration alone that no run of the
environment did, and a store in which more is due than --max-drift lets be late arrivals. A key once emitted is never
emitted again.

A sweep is needed until the census (headgate census) saw no client of a release below the migration's requires for as long
as fleet.horizon says, 90 days by default. With --every it goes on until then, or until ^C; headgate worker --sweep does
the same beside its work. Once is enough for cron.

Without a terminal it needs --yes. Ends with 4 without it, 5 where some of several stores failed, 6 where another sweep is
under way.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
			&cli.BoolFlag{Name: "yes", Usage: "commit without asking"},
			&cli.StringFlag{Name: "every", Usage: "sweep again after each `DURATION`, as in 30m or 1d, until no sweep is needed"},
			maxDriftFlag(),
			&cli.StringSliceFlag{Name: "allow", Usage: "let `RO102` pass: clients of a release that is alive skip the events; needs --reason"},
			&cli.StringFlag{Name: "reason", Usage: "why it is allowed: `TEXT`"},
		},
		Action: a.migrationSweep,
	}
}

func (a *app) migrationSweep(c *cli.Context) error {
	every, err := duration(c, "every")
	if err != nil {
		return err
	}
	by, err := a.allowing(c)
	if err != nil {
		return err
	}
	drift, err := maxDrift(c)
	if err != nil {
		return err
	}
	if err := aboveZero(c, "jobs"); err != nil {
		return err
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		r, err := a.newRunner(c.Context, a.loaded, env, nil, c.Int("jobs"))
		if err != nil {
			return err
		}
		s := sweeper{db: db, by: by, drift: drift}
		if c.Args().Present() {
			defs, err := a.definitions(c.Context, a.loaded, c.Args().First())
			if err != nil {
				return err
			}
			s.named = defs[0].Name
		}
		if !c.Bool("yes") {
			s.agree = r.agree
		}
		for {
			report, err := r.pass(c.Context, s)
			if c.Context.Err() != nil {
				return a.sweepStopped(report, every)
			}
			if len(report.Migrations) > 0 {
				if e := a.render(report, func(w io.Writer) error { return r.writeSweep(w, report) }); e != nil {
					return e
				}
			}
			err = errors.Join(err, report.outcome())
			if every == 0 || report.MayEnd || errs.CodeOf(err) == errs.Stale && s.agree != nil || len(report.Migrations) == 0 {
				return err
			}
			if err != nil {
				fmt.Fprintf(a.stderr, "headgate: warning: %s\n", err)
			}
			if sleep(c.Context, every) != nil {
				return a.sweepStopped(report, every)
			}
		}
	})
}

func (a *app) sweepStopped(report sweepReport, every time.Duration) error {
	if every > 0 { // that is how it ends
		fmt.Fprintln(a.stderr, "stopped")
		return nil
	}
	return errs.New(errs.Interrupted, "stopped; %s committed, and each of them once", counted(report.Committed, "event")).
		Hintf("the same command goes on from there").Then(a.line)
}

// agree asks whether what late arrivals made due may be committed.
func (r *runner) agree(one sweptOne) error {
	what := fmt.Sprintf("%s of %s would be committed in %s", one.what(), one.Migration, count(one.In, "store"))
	if !r.app.interactive {
		return errs.New(errs.Stale, "%s, and nobody said yes", what).Hintf("a committed event can't be un-committed").Then(r.app.line + " --yes")
	}
	return r.sure(what + ". A committed event can't be un-committed. Go on?")
}

func (one sweptOne) what() string {
	what := counted(one.Due, "event")
	if one.Markers > 0 {
		what += " and " + counted(one.Markers, "marker")
	}
	return what
}

// outcome is the error that stores failed with.
func (s sweepReport) outcome() error {
	n, stores := 0, 0
	for _, one := range s.Migrations {
		n += len(one.Failed)
		stores += one.Stores
	}
	if n == 0 {
		return nil
	}
	e := errs.New(errs.Partial, "%d of %s failed", n, count(stores, "store")).Hintf("each one is listed with its reason; the next sweep tries again")
	for _, one := range s.Migrations {
		if len(one.Failed) == 1 && stores == 1 {
			f := one.Failed[0]
			e = errs.New(f.Code, "store %s: %s", f.Store, f.Error).Hintf("%s", f.Hint)
			for _, next := range f.Next {
				e.Then(operate.InEnv(next, s.Environment))
			}
		}
	}
	return e
}

func (r *runner) writeSweep(w io.Writer, s sweepReport) error {
	for i, one := range s.Migrations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		name := r.app.stdout.paint(strong, one.Migration)
		switch {
		case one.Skipped != "":
			fmt.Fprintf(w, "%s on %s: not swept, %s\n", name, s.Environment, one.Skipped)
			continue
		case one.Run == nil:
			fmt.Fprintf(w, "%s on %s: nothing is due in %s, %d without a new event\n", name, s.Environment, count(one.Stores, "store"), one.Unchanged)
		case one.Run.State == control.Pending:
			fmt.Fprintf(w, "%s on %s, sweep %s: %s due in %s; workers take it from here\n", name, s.Environment, one.Run.ID, one.what(), count(one.In, "store"))
		default:
			fmt.Fprintf(w, "%s on %s, sweep %s: %s; %s committed in %s\n", name, s.Environment, one.Run.ID, one.Run.State,
				counted(one.Committed, "event"), count(one.In, "store"))
		}
		fmt.Fprint(w, r.writeFailures(one.Failed))
		fmt.Fprintf(w, "  a sweep is %s\n", one.End.Why)
	}
	for _, n := range s.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// sweeps sweeps every so often beside a worker's work, which takes the runs.
func (r *runner) sweeps(ctx context.Context, db *control.DB, every time.Duration) error {
	const looks = 10 // in a period: another worker may have swept at any time
	for {
		report, err := r.pass(ctx, sweeper{db: db, by: r.app.by("headgate worker --sweep"), every: every, leave: true})
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err = errors.Join(err, report.outcome()); err != nil && errs.CodeOf(err) != errs.NotFound {
			r.app.log.Warn("the sweep", "error", err)
		}
		for _, one := range report.Migrations {
			if one.Skipped == "" {
				r.app.log.Info("swept", "migration", one.Migration, "due", one.Due, "stores", one.In, "end", one.End.Why)
			}
		}
		if err := sleep(ctx, every/looks); err != nil {
			return err
		}
	}
}

// A drift is by how much what a store commits may exceed what was agreed to.
type drift struct {
	share float64 // negative for no bound
	slack int64   // but at least so many events
}

func maxDriftFlag() cli.Flag {
	return &cli.StringFlag{Name: "max-drift", Usage: "stop a store where more is due than agreed to by over `BOUND`: a share (20%), a number of events, or none; by default 20% or 50 events, whichever is more"}
}

// maxDrift reads --max-drift; nil where it is not given.
func maxDrift(c *cli.Context) (*drift, error) {
	if !c.IsSet("max-drift") {
		return nil, nil
	}
	v := c.String("max-drift")
	if v == "none" {
		return &drift{share: -1}, nil
	}
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return &drift{slack: int64(n)}, nil
	}
	share, err := config.ParseShare(v)
	if err != nil {
		return nil, errs.Invalidf("--max-drift: %q is no bound", v).Hintf("write a share (20%%), a number of events (50), or none")
	}
	return &drift{share: share}, nil
}
