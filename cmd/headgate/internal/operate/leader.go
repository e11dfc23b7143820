package operate

import (
	"context"
	"errors"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// ControllerLease is the lease of the server that moves an environment's rollouts.
const ControllerLease = "controller"

const (
	// leaderTime is how long a leader that is gone holds the others up.
	leaderTime = 5 * time.Second
	// leaderAsk is how often a server that does not lead asks whether it may.
	leaderAsk = time.Second
)

// A Leader is one of several servers of an environment, of which one at a time moves the rollouts. Two that both think
// so, after a pause of one, do no step twice: each transition is compare-and-set. Package server says why River doesn't elect it.
type Leader struct {
	Environment
}

// Lead calls work whenever this server leads, until the context ends. It keeps the lease alive meanwhile, also where work
// only waits; when the lease is lost, the context that work has ends. In the end another server may lead at once.
func (l Leader) Lead(ctx context.Context, work func(context.Context) error) error {
	said := ""
	for {
		held, err := l.DB.Acquire(ctx, control.Lease{Env: l.Name, Name: ControllerLease, Owner: l.Owner}, leaderTime)
		switch {
		case err == nil:
			said = ""
			if err := l.lead(ctx, held, work); err != nil {
				return err
			}
		case ctx.Err() == nil && errs.CodeOf(err) != errs.Locked && err.Error() != said: // once: it is asked often
			said = err.Error()
			l.Log.Error("it is not known which server moves the rollouts", "env", l.Name, "error", err)
		}
		if err := pause(ctx, leaderAsk); err != nil {
			return nil
		}
	}
}

// lead works while the lease is held.
func (l Leader) lead(ctx context.Context, lease control.Lease, work func(context.Context) error) error {
	l.Log.Info("this server moves the rollouts now", "env", l.Name)
	held, stop := l.DB.Hold(ctx, lease, leaderTime)
	err := work(held)
	lost := context.Cause(held)
	stop()
	if ctx.Err() == nil && lost != nil { // somebody else may have it
		l.Log.Warn("this server moves the rollouts no more", "env", l.Name, "error", lost)
		return nil
	}
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaderTime) // it expires by itself where the database is away
	defer cancel()
	return errors.Join(err, l.DB.Release(free, lease))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
