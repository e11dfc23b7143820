package control

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"headgate/internal/errs"
)

// A Lease says that one owner works on what it names, until it expires.
type Lease struct {
	Env   string `json:"env"`
	Name  string `json:"name"`
	Owner string `json:"owner"`         // unlike any other owner: a process, or a goroutine of one
	Run   string `json:"run,omitempty"` // the run that it is held for, may be empty
	// Fence is higher than that of every earlier lease of this name. Whoever has a lower one must not write.
	Fence      int64     `json:"fence"`
	AcquiredAt time.Time `json:"acquiredAt"`
	Heartbeat  time.Time `json:"heartbeatAt"` // the last one
	ExpiresAt  time.Time `json:"expiresAt"`
}

// StoreLease is the name of the lease under which a run works on a store.
func StoreLease(store string) string { return "store/" + store }

// Acquire takes the lease that want names (Env, Name, Owner, Run) for a time. While somebody holds it the error is
// errs.Locked, and says who and since when.
func (db *DB) Acquire(ctx context.Context, want Lease, ttl time.Duration) (Lease, error) {
	err := errors.Join(named("lease's environment", want.Env), named("lease", want.Name), named("lease's owner", want.Owner))
	if err != nil {
		return Lease{}, err
	}
	err = db.tx(ctx, "acquire the lease "+want.Name, func(tx *sql.Tx) error {
		now := millis(db.now())
		got, err := all(ctx, tx, scanLease, `INSERT INTO leases (env, name, owner, run_id, fence, acquired_at, heartbeat_at, expires_at)
			VALUES ($1, $2, $3, $4, 1, $5, $5, $6)
			ON CONFLICT (env, name) DO UPDATE SET owner = excluded.owner, run_id = excluded.run_id, fence = leases.fence + 1,
				acquired_at = excluded.acquired_at, heartbeat_at = excluded.heartbeat_at, expires_at = excluded.expires_at
			WHERE leases.expires_at <= excluded.acquired_at
			RETURNING env, name, owner, run_id, fence, acquired_at, heartbeat_at, expires_at`,
			want.Env, want.Name, want.Owner, want.Run, now, now+ttl.Milliseconds())
		if err != nil {
			return err
		}
		if len(got) == 1 {
			want = got[0]
			return nil
		}
		held, err := db.lease(ctx, tx, want.Env, want.Name)
		if err != nil {
			return err
		}
		return locked(held)
	})
	if err != nil {
		return Lease{}, err
	}
	return want, nil
}

// lease reads one row.
func (db *DB) lease(ctx context.Context, q querier, env, name string) (Lease, error) {
	got, err := all(ctx, q, scanLease, `SELECT env, name, owner, run_id, fence, acquired_at, heartbeat_at, expires_at FROM leases
		WHERE env = $1 AND name = $2`, env, name)
	if err != nil {
		return Lease{}, err
	}
	if len(got) == 0 || got[0].Owner == "" {
		return Lease{}, errs.NotFoundf("nobody holds a lock %q in %s", name, env).Then("headgate lock list --env " + env)
	}
	return got[0], nil
}

func scanLease(rows *sql.Rows) (l Lease, err error) {
	var acquired, heartbeat, expires int64
	err = rows.Scan(&l.Env, &l.Name, &l.Owner, &l.Run, &l.Fence, &acquired, &heartbeat, &expires)
	l.AcquiredAt, l.Heartbeat, l.ExpiresAt = fromMillis(acquired), fromMillis(heartbeat), fromMillis(expires)
	return l, err
}

// Heartbeat renews a lease that Acquire or Heartbeat returned, for a time from now on. A lease that has expired, was
// broken, or is somebody else's by now is errs.Locked: its former owner must stop at once.
func (db *DB) Heartbeat(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	err := db.tx(ctx, "renew the lease "+l.Name, func(tx *sql.Tx) error {
		now := millis(db.now())
		got, err := all(ctx, tx, scanLease, `UPDATE leases SET heartbeat_at = $5, expires_at = $6
			WHERE env = $1 AND name = $2 AND owner = $3 AND fence = $4 AND expires_at > $5
			RETURNING env, name, owner, run_id, fence, acquired_at, heartbeat_at, expires_at`,
			l.Env, l.Name, l.Owner, l.Fence, now, now+ttl.Milliseconds())
		if err != nil {
			return err
		}
		if len(got) == 1 {
			l = got[0]
			return nil
		}
		lost := errs.New(errs.Locked, "the lock %s was lost", l.Name).
			Hintf("it expired without a heartbeat, or someone broke it; what was committed stays committed")
		held, err := db.lease(ctx, tx, l.Env, l.Name)
		if err == nil && held.Fence != l.Fence {
			lost.Msg += " to " + held.Owner
		}
		if err != nil && errs.CodeOf(err) != errs.NotFound {
			return err
		}
		return lost
	})
	if err != nil {
		return Lease{}, err
	}
	return l, nil
}

// Hold renews a lease until stop is called, and ends the context when it is lost; see the function Hold.
func (db *DB) Hold(ctx context.Context, l Lease, ttl time.Duration) (held context.Context, stop func()) {
	return Hold(ctx, l.Name, time.Now(), ttl, func(ctx context.Context) error { //nolint:forbidigo // a stopwatch, on the monotonic clock
		_, err := db.Heartbeat(ctx, l, ttl)
		return err
	})
}

// Hold calls renew, which renews the lease with that name for ttl, until stop is called, and ends the context when the lease is
// lost: when renew says errs.Locked. stop waits, and leaves the lease with its owner. What passes, as a database that is away,
// loses no lease before its time is over, counted from the last renewal, at first from since; nor does it hold on to one longer,
// whether renew fails or does not answer.
func Hold(ctx context.Context, name string, since time.Time, ttl time.Duration, renew func(context.Context) error) (held context.Context, stop func()) {
	held, lose := context.WithCancelCause(ctx)
	beating, end := context.WithCancel(context.WithoutCancel(ctx))
	over := time.AfterFunc(ttl-time.Since(since), func() { lose(errs.New(errs.Locked, "the lock %s could not be renewed in time", name)) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		beat := time.NewTicker(ttl / 4)
		defer beat.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-beat.C:
			}
			sent := time.Now() //nolint:forbidigo // a stopwatch, on the monotonic clock
			limited, cancel := context.WithTimeout(beating, ttl/4)
			err := renew(limited)
			cancel()
			switch {
			case err == nil:
				over.Reset(ttl - time.Since(sent))
			case errs.CodeOf(err) == errs.Locked:
				lose(err)
				return
			}
		}
	}()
	return held, func() {
		end()
		<-done
		over.Stop()
		lose(nil)
	}
}

// Release gives a lease back. One that is lost already stays as it is, and that is no error.
func (db *DB) Release(ctx context.Context, l Lease) error {
	return db.tx(ctx, "release the lease "+l.Name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE leases SET owner = '', run_id = '', expires_at = 0
			WHERE env = $1 AND name = $2 AND owner = $3 AND fence = $4`, l.Env, l.Name, l.Owner, l.Fence)
		return err
	})
}

// Leases are the leases of an environment that somebody holds, by name, with those that have expired and that nobody
// else took.
func (db *DB) Leases(ctx context.Context, env string) ([]Lease, error) {
	out, err := all(ctx, db.sql, scanLease, `SELECT env, name, owner, run_id, fence, acquired_at, heartbeat_at, expires_at FROM leases
		WHERE env = $1 AND owner <> '' ORDER BY name`, env)
	return out, db.failed(ctx, "list the locks", err)
}

// Break takes a lease away from whoever holds it, and records that. It returns the lease as it was. A reason is
// required. When nobody holds the lease the error is errs.NotFound.
func (db *DB) Break(ctx context.Context, env, name string, by By) (Lease, error) {
	if strings.TrimSpace(by.Reason) == "" {
		return Lease{}, errs.Invalidf("breaking a lock needs a reason")
	}
	var was Lease
	err := db.tx(ctx, "break the lock "+name, func(tx *sql.Tx) (err error) {
		if was, err = db.lease(ctx, tx, env, name); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE leases SET owner = '', run_id = '', expires_at = 0
			WHERE env = $1 AND name = $2 AND fence = $3 AND owner = $4`, env, name, was.Fence, was.Owner)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errs.New(errs.Locked, "the lock %s has just changed hands", name).Then("headgate lock list --env "+env))
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "lock.break", Subject: name, Detail: by.detail(map[string]any{
			"owner": was.Owner, "fence": was.Fence, "run": was.Run, "acquiredAt": was.AcquiredAt,
		})})
	})
	return was, err
}
