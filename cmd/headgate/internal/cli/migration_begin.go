package cli

import (
	"context"

	"github.com/urfave/cli/v2"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/replay/state"
)

// part is a runner of one of the migrations, which has no stores yet.
func (r *runner) part(p migrationPlan) *runner {
	return &runner{
		app: r.app, cfg: r.cfg, env: r.env, launcher: r.launcher, pace: r.pace, run: r.run, jobs: r.jobs, drift: r.drift,
		plans: []migrationPlan{p}, known: r.known, planned: r.planned, worker: r.worker,
	}
}

// A beginner makes or finds the run of one's migration. The run is empty where there is nothing to do; failed has the
// errors by store.
type beginner func(c *cli.Context, db *control.DB, one *runner, by control.By) (run control.Run, failed []error, err error)

// consented previews the migration, and asks whether its events may be committed where there are any. due says how many, of
// the stores that a run may be for. One that could not be reached is among them, so that it is not forgotten.
func (r *runner) consented(c *cli.Context) (due map[livestore.StoreID]int64, some bool, failed []error, err error) {
	p, failed := r.preview(c.Context, state.Options{}, previewing{forRun: true})
	defer p.close()
	if c.Context.Err() != nil {
		return nil, false, failed, context.Cause(c.Context)
	}
	due = p.due
	p.Stores, p.Estimate = p.Sampled, p.Events
	unreached := 0
	for i, e := range failed {
		if errs.CodeOf(e) == errs.Internal {
			due[r.stores[i].ID], failed[i] = 0, nil
			unreached++
		}
	}
	some = p.Events+p.Markers > 0 || unreached > 0
	if some && !c.Bool("yes") {
		err = r.ask(p, unreached)
	}
	return due, some, failed, err
}

// begun previews the migration, asks, and makes its run on every store whose preview went through, or joins the one that
// is under way.
func (r *runner) begun(c *cli.Context, db *control.DB, one *runner, by control.By) (run control.Run, failed []error, err error) {
	active, ok, err := lastRun(c.Context, db, r.env.Name, one.plans[0].Name, control.Pending, control.Running, control.Pausing, control.Paused, control.Cancelling)
	if err != nil {
		return run, nil, err
	}
	due, some, failed, err := one.consented(c)
	switch {
	case err != nil || ok && len(due) == 0:
		return run, failed, err
	case ok: // it is for these stores, or they are not joined
		return active, failed, one.join(c.Context, db, active)
	case len(due) > 0 && some:
		if run, err = one.begin(c.Context, db, due, by); err != nil {
			return run, failed, err
		}
	}
	return run, failed, one.leaveOut(c.Context, db, run.ID, failed)
}

// leaveOut keeps which of the stores are in no run, since their previews failed, so that status lists them.
func (r *runner) leaveOut(ctx context.Context, db *control.DB, run string, failed []error) error {
	return db.LeaveOut(ctx, r.env.Name, r.plans[0].Name, run, func(yield func(control.LeftOut, error) bool) {
		for i, s := range r.stores {
			l := control.LeftOut{Store: string(s.ID)}
			if failed[i] != nil {
				l.ErrorCode, l.Error = errs.CodeOf(failed[i]), jobs.ErrorText(failed[i])
			}
			if !yield(l, nil) {
				return
			}
		}
	})
}

// takenUp are the states of the stores that --only-failed goes on with.
var takenUp = []control.State{control.Failed, control.Stalled, control.Vanished, control.Quarantined}

// retried takes the stores up again that failed in the last run of the migration, with what a new preview finds due.
func (r *runner) retried(c *cli.Context, db *control.DB, one *runner, by control.By) (run control.Run, failed []error, err error) {
	plan := one.plans[0]
	failed = make([]error, len(one.stores))
	run, ok, err := lastRun(c.Context, db, r.env.Name, plan.Name)
	if err != nil || !ok || run.State != control.Failed {
		return control.Run{}, failed, err
	}
	if run.Checksum != plan.Checksum {
		return run, failed, errs.Refusedf("the file is another one than run %s began with", run.ID).At("%s", plan.Path).
			Hintf("bring the file back as it was; what it was to do otherwise is a new migration")
	}
	if err := one.harmless(allowed(run)); err != nil {
		return run, failed, err
	}
	again, at := one.part(plan), one.places()
	for s, err := range db.StoreRuns(c.Context, run.ID, control.AllWaves, takenUp...) {
		if err != nil {
			return run, failed, err
		}
		if i, ok := at[livestore.StoreID(s.Store)]; ok {
			again.stores = append(again.stores, one.stores[i])
		}
	}
	if len(again.stores) == 0 {
		return control.Run{}, failed, nil
	}
	due, _, bad, err := again.consented(c)
	for i, e := range bad {
		failed[at[again.stores[i].ID]] = e
	}
	if err != nil || len(due) == 0 {
		return control.Run{}, failed, err
	}
	var stores []control.RunStore
	for id, n := range due {
		stores = append(stores, control.RunStore{Store: string(id), Due: n})
	}
	_, err = db.Retry(c.Context, run.ID, takenUp, stores, by)
	return run, failed, err
}

// lastRun is the latest run of a migration in one of the states, or without states the latest one that is no sweep.
func lastRun(ctx context.Context, db *control.DB, env, migration string, states ...control.State) (control.Run, bool, error) {
	for run, err := range db.Runs(ctx, env, states...) {
		if err != nil || run.Migration == migration && (len(states) > 0 || jobs.KindOf(run) != jobs.Sweep) {
			return run, err == nil, err
		}
	}
	return control.Run{}, false, nil
}
