package operate

import (
	"context"
	"time"

	"headgate/internal/control"
	"headgate/internal/jobs"
)

// Exclusive takes a lock of that name until done is called; held ends when it is lost. While somebody else has it the error is
// errs.Locked. A process that was killed holds nobody up; one elsewhere, of which that can't be seen, for ttl.
func (e Environment) Exclusive(ctx context.Context, name string, ttl time.Duration) (held context.Context, done func() error, err error) {
	free := context.WithoutCancel(ctx)
	gone := jobs.Fleet{Options: jobs.Options{DB: e.DB, Env: e.Name, Owner: e.Owner, Alive: e.Alive, Log: e.Log}}
	if err := gone.Reap(free); err != nil {
		return nil, nil, err
	}
	lease, err := e.DB.Acquire(free, control.Lease{Env: e.Name, Name: name, Owner: e.Owner}, ttl)
	if err != nil {
		return nil, nil, err
	}
	held, stop := e.DB.Hold(ctx, lease, ttl)
	return held, func() error {
		stop()
		return e.DB.Release(free, lease)
	}, nil
}
