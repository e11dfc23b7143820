package operate

import (
	"context"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// ControllerLease is the lease of the server that moves an environment's rollouts.
const ControllerLease = "controller"

// leaderTime is how long a leader that is gone holds the others up.
const leaderTime = 15 * time.Second

// A Leader is one of several servers of an environment, of which one at a time moves the rollouts. Two that both think
// so, after a pause of one, do no step twice: each transition is compare-and-set.
type Leader struct {
	Environment
	held control.Lease
}

// Lead calls work when this server leads, and keeps the lease alive until work ends; work ends when the lease is lost.
func (l *Leader) Lead(ctx context.Context, work func(context.Context) error) error {
	leads, err := l.leads(ctx)
	if err != nil || !leads {
		return err
	}
	held, stop := l.DB.Hold(ctx, l.held, leaderTime)
	defer stop()
	return work(held)
}

// leads renews the lease, or takes it where nobody has it.
func (l *Leader) leads(ctx context.Context) (bool, error) {
	if l.held.Fence > 0 {
		held, err := l.DB.Heartbeat(ctx, l.held, leaderTime)
		if err == nil {
			l.held = held
			return true, nil
		}
		if errs.CodeOf(err) != errs.Locked {
			return false, err
		}
		l.held = control.Lease{}
	}
	held, err := l.DB.Acquire(ctx, control.Lease{Env: l.Name, Name: ControllerLease, Owner: l.Owner}, leaderTime)
	if errs.CodeOf(err) == errs.Locked {
		return false, nil
	}
	if err == nil {
		l.held = held
		l.Log.Info("this server moves the rollouts now", "env", l.Name)
	}
	return err == nil, err
}

// Resign lets another server lead at once.
func (l *Leader) Resign(ctx context.Context) error {
	if l.held.Fence == 0 {
		return nil
	}
	return l.DB.Release(ctx, l.held)
}
