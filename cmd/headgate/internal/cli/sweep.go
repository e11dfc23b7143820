package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

// A sweeper commits what late arrivals made due.
type sweeper struct {
	db    *control.DB
	named string               // only this migration; empty for all
	by    control.By           // with what is allowed
	drift *drift               // nil for the one that the run was begun with
	every time.Duration        // a migration that was swept within it is left out; 0 for none
	agree func(sweptOne) error // asks before a run is begun; nil for nobody
	leave bool                 // runs are left to the workers
}

// A sweepReport is what one pass did.
type sweepReport struct {
	Environment string     `json:"environment"`
	Migrations  []sweptOne `json:"migrations"`
	Committed   int64      `json:"committed"`
	MayEnd      bool       `json:"mayEnd"` // no migration needs a sweep any more
	NextActions []string   `json:"next_actions"`
}

// A sweptOne is one migration's part.
type sweptOne struct {
	Migration string                `json:"migration"`
	Skipped   string                `json:"skipped,omitempty"` // why it was not swept
	Stores    int                   `json:"stores"`            // that a sweep is for
	Unchanged int                   `json:"unchanged"`         // of them, those without a new event since the last sweep
	Due       int64                 `json:"due"`               // events that late arrivals made due
	Markers   int64                 `json:"markers"`
	In        int                   `json:"in"` // stores
	Run       *control.Run          `json:"run,omitempty"`
	Committed int64                 `json:"committed"`
	Failed    []operate.FailedStore `json:"failed"`
	End       sweepEnd              `json:"end"`
	next      []string
}

// pass sweeps every migration that a run of the environment did. The inventory, headgate.yaml and the releases are read
// anew.
func (r *runner) pass(ctx context.Context, s sweeper) (report sweepReport, err error) {
	report = sweepReport{Environment: r.env.Name, Migrations: []sweptOne{}, MayEnd: true, NextActions: []string{}}
	now, err := r.fresh(0)
	if err != nil {
		return report, err
	}
	var failed error
	agreed, err := agreedRuns(ctx, s.db, r.env.Name)
	if err != nil {
		return report, err
	}
	for _, name := range slices.Sorted(maps.Keys(agreed)) {
		if s.named != "" && name != s.named {
			continue
		}
		one, err := now.sweep(ctx, s, agreed[name])
		if err != nil {
			failed = errors.Join(failed, err)
			report.MayEnd = false
			continue
		}
		report.Migrations = append(report.Migrations, one)
		report.Committed += one.Committed
		report.MayEnd = report.MayEnd && one.End.May && len(one.Failed) == 0
		for _, next := range one.next {
			if !slices.Contains(report.NextActions, next) {
				report.NextActions = append(report.NextActions, next)
			}
		}
	}
	if len(report.Migrations) == 0 && failed == nil {
		return report, errs.NotFoundf("no run of %s did a migration: there is nothing to sweep after", r.env.Name).
			Hintf("a sweep commits what a run was agreed to commit, in stores where clients came back since").
			Then("headgate migration up --env " + r.env.Name)
	}
	return report, failed
}

// agreedRuns are the latest runs of each migration that somebody agreed to.
func agreedRuns(ctx context.Context, db *control.DB, env string) (map[string]agreedRun, error) {
	out := map[string]agreedRun{}
	for run, err := range db.Runs(ctx, env) {
		if err != nil {
			return nil, err
		}
		o, err := jobs.ReadOptions(run)
		if err != nil {
			return nil, err
		}
		a, known := out[run.Migration]
		if o.Kind == jobs.Sweep {
			if !run.State.Ended() && a.sweeping.ID == "" {
				a.sweeping = run
			}
		} else if !known || a.run.ID == "" {
			a.run, a.options = run, o
		}
		if o.Kind != jobs.Sweep && run.State == control.Succeeded {
			a.whole = a.whole || o.Whole && run.Checksum == a.run.Checksum
		}
		out[run.Migration] = a
	}
	maps.DeleteFunc(out, func(_ string, a agreedRun) bool { return a.run.ID == "" })
	return out, nil
}

// An agreedRun is a run that somebody agreed to.
type agreedRun struct {
	run      control.Run
	options  jobs.RunOptions
	whole    bool        // one was for all stores, and succeeded: what is new in the inventory belongs to it
	sweeping control.Run // a sweep that has not ended
}

// sweep commits what is due of one migration.
func (r *runner) sweep(ctx context.Context, s sweeper, a agreedRun) (one sweptOne, err error) {
	one = sweptOne{Migration: a.run.Migration, Failed: []operate.FailedStore{}}
	lease, err := s.db.Acquire(ctx, control.Lease{Env: r.env.Name, Name: control.SweepLease(a.run.Migration), Owner: ownerName(r.run)}, leaseTime)
	if err != nil && s.leave && errs.CodeOf(err) == errs.Locked {
		one.Skipped = "another worker sweeps it"
		return one, nil
	}
	if err != nil {
		return one, err
	}
	free := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, s.db.Release(free, lease)) }()
	ctx, stop := s.db.Hold(ctx, lease, leaseTime)
	defer stop()
	if last, err := s.db.LastSweep(ctx, r.env.Name, a.run.Migration); err != nil || s.every > 0 && r.app.now().Sub(last) < s.every {
		one.Skipped = "it was swept at " + last.Format(time.RFC3339)
		return one, err
	}
	switch {
	case !a.run.State.Ended():
		one.Skipped = fmt.Sprintf("run %s is %s", a.run.ID, a.run.State)
	case a.run.State == control.Cancelled:
		one.Skipped = fmt.Sprintf("run %s was cancelled", a.run.ID)
	case a.sweeping.State == control.Pausing, a.sweeping.State == control.Paused, a.sweeping.State == control.Cancelling:
		one.Skipped = fmt.Sprintf("sweep %s is %s", a.sweeping.ID, a.sweeping.State)
	case a.sweeping.ID != "" && s.leave:
		one.Skipped = fmt.Sprintf("sweep %s is under way", a.sweeping.ID)
	}
	if one.Skipped != "" {
		one.next = []string{"headgate status --env " + r.env.Name}
		return one, nil
	}
	p, err := r.planOf(ctx, s.db, a.run)
	if err != nil {
		return one, err
	}
	if one.End, err = r.sweepEnd(ctx, s.db, p); err != nil {
		return one, err
	}
	one.next = append(one.next, one.End.next...)
	if len(s.by.Allowed) == 0 {
		s.by.Allowed, s.by.Reason = a.options.Allow, a.options.Reason
	}
	if err := p.harmless(s.by.Allowed, r.app.line, r.app.line); err != nil {
		return one, err
	}
	part := r.part(p)
	if a.sweeping.ID != "" { // one that was killed
		return part.swept(ctx, s, one, a.sweeping, nil)
	}
	if s.drift != nil {
		a.options.Drift, a.options.Slack = s.drift.share, s.drift.slack
	}
	due, seen, err := part.late(ctx, s, a, &one)
	if err != nil {
		return one, err
	}
	if len(due) == 0 {
		return one, part.keep(ctx, s, seen)
	}
	if s.agree != nil {
		if err := s.agree(one); err != nil {
			return one, err
		}
	}
	o := a.options
	o.Pace = nil // that was for then
	o.Kind, o.Whole, o.Allow, o.Reason, o.Waves = jobs.Sweep, false, s.by.Allowed, s.by.Reason, part.runWaves()
	run, err := s.db.CreateRun(ctx, control.Run{
		ID: randomHex(4) + "-" + strconv.FormatInt(p.Number, 10), Env: r.env.Name, Migration: p.Name, Checksum: p.Checksum, Options: o.JSON(),
	}, part.runStores(due), s.by)
	if err != nil {
		return one, err
	}
	return part.swept(ctx, s, one, run, seen)
}

// late looks for what is due in the stores where the migration ran, and in those that are new since. seen are the stores
// with nothing due.
func (r *runner) late(ctx context.Context, s sweeper, a agreedRun, one *sweptOne) (due map[livestore.StoreID]int64, seen []control.SweptStore, err error) {
	p := r.plans[0]
	all, err := r.app.allStores(ctx, r.cfg, r.env)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.db.Sync(ctx, r.env.Name, inventory(all), s.by); err != nil {
		return nil, nil, err
	}
	known := map[livestore.StoreID]control.SweptStore{}
	for k, err := range s.db.Swept(ctx, r.env.Name, p.Name, p.Checksum) {
		if err != nil {
			return nil, nil, err
		}
		known[livestore.StoreID(k.Store)] = k
	}
	active, err := r.app.stores(ctx, r.cfg, r.env)
	if err != nil {
		return nil, nil, err
	}
	for _, st := range active {
		k, there := known[st.ID]
		if st.Schema == p.Schema && (k.Done || !there && a.whole) {
			r.stores = append(r.stores, st)
		}
	}
	one.Stores = len(r.stores)
	due = map[livestore.StoreID]int64{}
	var mu sync.Mutex
	failed := r.each(ctx, "looked for late arrivals in stores", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			head, err := r.headOf(ctx, s.db, t.store.ID, log)
			if err != nil {
				return err
			}
			if head == 0 || head == known[t.store.ID].Head {
				mu.Lock()
				defer mu.Unlock()
				one.Unchanged++
				return nil
			}
			return r.with(ctx, t, p, log, func(ctx context.Context, j migrations.Job) error {
				report, _, err := j.Verify(ctx)
				if err != nil {
					return err
				}
				n, marker, err := lateOf(report, p, a.options)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil, report.Waits != "": // the next sweep, after the one that comes before
				case n > 0 || marker:
					due[t.store.ID] = n
					one.Due += n
					if marker {
						one.Markers++
					}
				default:
					seen = append(seen, control.SweptStore{Store: string(t.store.ID), Head: int64(report.Head)})
				}
				return err
			})
		})
	})
	one.In = len(due)
	one.Failed = r.failures(failed)
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return due, seen, r.leaveOut(ctx, s.db, "", failed)
}

// lateOf says what a store's report means: how many events are due, and whether the marker is.
func lateOf(report migrations.Report, p migrationPlan, o jobs.RunOptions) (due int64, marker bool, err error) {
	marker = p.Marker != "" && !report.Marker && report.Head > 0
	if most := o.Late(report.Before); most >= 0 && report.Events > most {
		return 0, false, errs.New(errs.Stale, "%d events are due, more than the %d that late arrivals may make due where the migration committed %d",
			report.Events, most, report.Before).Hintf("look at what came in; headgate migration up commits it, once somebody agrees").
			Then("headgate migration preview " + p.Name + " --store " + string(report.Store)).
			Then("headgate migration up " + p.Name + " --store " + string(report.Store))
	}
	if report.Events == 0 {
		for _, a := range report.Asserts {
			if !a.True {
				return 0, false, errs.New(errs.Mismatch, "nothing is due, and this does not hold: %s", a.Label).At("%s:%d", p.Path, a.Line)
			}
		}
	}
	return report.Events, marker, nil
}

// headOf asks a store for its head, and compares it with what is known of the store.
func (r *runner) headOf(ctx context.Context, db *control.DB, store livestore.StoreID, log eventlog.Reader) (int64, error) {
	var h eventlog.Head
	vanished, err := db.Ask(ctx, r.env.Name, string(store), func(ctx context.Context) (_ int64, _ string, err error) {
		h, err = log.Head(ctx)
		return int64(max(h.Confirmed, h.Last.Global)), h.BackendID, err
	})
	if vanished {
		err = control.VanishedError(r.env.Name, string(store))
	}
	return int64(h.Last.Global), err
}

// swept works on a sweep's run, and reports it.
func (r *runner) swept(ctx context.Context, s sweeper, one sweptOne, run control.Run, seen []control.SweptStore) (sweptOne, error) {
	one.Run = &run
	if s.leave {
		return one, r.keep(ctx, s, seen)
	}
	err := r.finish(ctx, s.db, run)
	done, e := reportRun(context.WithoutCancel(ctx), s.db, run.ID)
	one.Run, one.Committed = &done.Run, done.committed()
	if err := errors.Join(err, e); err != nil {
		return one, err
	}
	for st, err := range done.failed() {
		if err != nil {
			return one, err
		}
		one.Failed = append(one.Failed, failureOf(livestore.StoreID(st.Store), operate.StoreError(r.env.Name, st)))
	}
	return one, r.keep(ctx, s, seen)
}

func (r *runner) keep(ctx context.Context, s sweeper, seen []control.SweptStore) error {
	p := r.plans[0]
	return s.db.KeepSwept(ctx, r.env.Name, p.Name, p.Checksum, control.Values(seen))
}

// A sweepEnd says whether late arrivals can still come.
type sweepEnd struct {
	May   bool                   `json:"may"`
	Why   string                 `json:"why"`
	Below []control.ReleaseCount `json:"below"` // clients within the horizon that may still commit what the migration is for
	next  []string
}

// sweepEnd asks the census for clients of releases that the migration's requires does not admit.
func (r *runner) sweepEnd(ctx context.Context, db *control.DB, p migrationPlan) (end sweepEnd, err error) {
	end.Below = []control.ReleaseCount{}
	horizon := r.env.Fleet.Horizon
	if horizon == 0 {
		horizon = defaultHorizon
	}
	within := fmt.Sprintf("within %g days", horizon.Hours()/24)
	counts, err := db.Census(ctx, r.env.Name, r.app.now().Add(-horizon))
	if err != nil {
		return end, err
	}
	var below []string
	for _, c := range counts {
		if !p.Admits(c.Release) {
			end.Below = append(end.Below, c)
			below = append(below, fmt.Sprintf("%s of release %s", counted(c.Clients, "client"), c.Release))
		}
	}
	switch {
	case len(counts) == 0:
		end.Why = "not known: the census has no client " + within
		end.next = []string{"headgate census import FILE --env " + r.env.Name}
	case len(below) > 0:
		end.Why = "needed: the census saw " + strings.Join(below, ", ") + " " + within
	default:
		end.May, end.Why = true, "may end: the census saw only clients of releases "+p.Requires+" "+within
	}
	return end, nil
}
