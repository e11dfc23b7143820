package operate

import (
	"context"
	"errors"
	"strings"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
)

// storeTime is how long a process that is gone keeps a store locked.
const storeTime = 15 * time.Second

// alone calls work while no run of migrations can work on the store, in this process or another, and ends it when the lock on
// the store is lost. A store that somebody works on is errs.Locked; one that a run is open for, though nobody may be working on
// it, is errs.Refused.
func (e Environment) alone(ctx context.Context, store livestore.StoreID, work func(context.Context, control.Lease) error) (err error) {
	free := context.WithoutCancel(ctx)
	gone := jobs.Fleet{Options: jobs.Options{DB: e.DB, Env: e.Name, Owner: e.Owner, Alive: e.Alive, Log: e.Log}}
	if err := gone.Reap(free); err != nil { // a process that was killed holds nobody up
		return err
	}
	lease, err := e.DB.Acquire(free, control.Lease{Env: e.Name, Name: control.StoreLease(string(store)), Owner: e.Owner}, storeTime)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.DB.Release(free, lease)) }()
	if err := e.idle(free, store); err != nil {
		return err
	}
	held, stop := e.DB.Hold(ctx, lease, storeTime)
	defer stop()
	err = work(held, lease)
	if lost := context.Cause(held); err != nil && errs.CodeOf(lost) == errs.Locked {
		return lost
	}
	return err
}

// idle refuses a store that a run has not done with.
func (e Environment) idle(ctx context.Context, store livestore.StoreID) error {
	var open []control.Run
	for run, err := range e.DB.Runs(ctx, e.Name, control.Pending, control.Running, control.Pausing, control.Paused, control.Cancelling) {
		if err != nil {
			return err
		}
		row, err := e.DB.StoreRun(ctx, run.ID, string(store))
		switch {
		case errs.CodeOf(err) == errs.NotFound:
		case err != nil:
			return err
		case !row.State.Ended():
			open = append(open, run)
		}
	}
	if len(open) == 0 {
		return nil
	}
	var names []string
	refused := errs.Refusedf("")
	for _, run := range open {
		names = append(names, run.Migration+" ("+string(run.State)+")")
		refused.Then("headgate migration cancel " + run.Migration + " --env " + e.Name)
	}
	refused.Msg = "store " + string(store) + " has an open run of " + strings.Join(names, ", ")
	return refused.Hintf("its log must not change under the run: let it end, or cancel it; a new run finds out by itself what is done")
}
