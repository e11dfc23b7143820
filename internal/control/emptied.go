package control

import (
	"context"
	"database/sql"
	"errors"

	"headgate/internal/errs"
)

// Emptied takes over that whoever holds a store's lease has emptied the store's backend: its head and its backend's id are
// not known any more, nor what was counted in its log, and the entry is recorded with it. What runs did stays, and so do the
// store's clients. A lease that is somebody else's by now is errs.Locked, and changes nothing. A store that no run and no
// inventory has brought here has nothing to be forgotten: then only the entry is recorded.
func (db *DB) Emptied(ctx context.Context, l Lease, store string, e Entry) error {
	return db.tx(ctx, "take over the reset of store "+store, func(tx *sql.Tx) error {
		held, err := db.lease(ctx, tx, l.Env, l.Name)
		if err != nil && errs.CodeOf(err) != errs.NotFound {
			return err
		}
		if held.Owner != l.Owner || held.Fence != l.Fence {
			return errs.New(errs.Locked, "the lock %s was lost", l.Name).Hintf("it expired without a heartbeat, or someone broke it")
		}
		_, err = tx.ExecContext(ctx, `UPDATE stores SET head = 0, backend_id = '' WHERE env = $1 AND id = $2`, l.Env, store)
		if err := errors.Join(err, uncount(ctx, tx, l.Env, store)); err != nil {
			return err
		}
		return db.record(ctx, tx, e)
	})
}

// uncount forgets what was counted in a store's log.
func uncount(ctx context.Context, tx *sql.Tx, env, store string) error {
	for _, counted := range []string{
		`DELETE FROM swept_stores WHERE env = $1 AND store = $2`,
		`DELETE FROM left_out WHERE env = $1 AND store = $2`,
		`DELETE FROM rollout_events WHERE env = $1 AND store = $2`,
	} {
		if _, err := tx.ExecContext(ctx, counted, env, store); err != nil {
			return err
		}
	}
	return nil
}
