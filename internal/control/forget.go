package control

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"headgate/internal/errs"
)

// Forget clears what is known of a store, and records that; it returns the store as it was. A reason is required. Of a
// store that is in the inventory the head and the backend id are forgotten, so that a backend that was reset on purpose is
// no vanished store any more; its clients stay in the census, because a reset does not end them. One that is deleted, or
// that the last inventory did not have, goes away with its clients. What runs did on it stays, and so do its fences. While
// somebody holds the store's lease the error is errs.Locked, for a store that is not known errs.NotFound.
func (db *DB) Forget(ctx context.Context, env, store string, by By) (was Store, err error) {
	if strings.TrimSpace(by.Reason) == "" {
		return Store{}, errs.Invalidf("forgetting a store needs a reason")
	}
	err = db.tx(ctx, "forget the store "+store, func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "inventory "+env); err != nil {
			return err
		}
		if was, err = db.store(ctx, tx, env, store); err != nil {
			return err
		}
		held, err := db.lease(ctx, tx, env, StoreLease(store))
		switch {
		case err == nil && held.ExpiresAt.After(fromMillis(millis(db.now()))):
			return locked(held)
		case err != nil && errs.CodeOf(err) != errs.NotFound:
			return err
		}
		var last int64
		if err := tx.QueryRowContext(ctx, `SELECT max(seen_at) FROM stores WHERE env = $1`, env).Scan(&last); err != nil {
			return err
		}
		gone := was.State == StoreDeleted || millis(was.SeenAt) < last
		if gone {
			_, err = tx.ExecContext(ctx, `DELETE FROM stores WHERE env = $1 AND id = $2`, env, store)
			_, e := tx.ExecContext(ctx, `DELETE FROM clients WHERE env = $1 AND store = $2`, env, store)
			_, w := tx.ExecContext(ctx, `DELETE FROM watches WHERE env = $1 AND store = $2`, env, store)
			_, r := tx.ExecContext(ctx, `DELETE FROM reset_stores WHERE env = $1 AND store = $2`, env, store)
			_, f := tx.ExecContext(ctx, `DELETE FROM fetches WHERE env = $1 AND store = $2`, env, store)
			err = errors.Join(err, e, w, r, f)
		} else {
			_, err = tx.ExecContext(ctx, `UPDATE stores SET head = 0, backend_id = '' WHERE env = $1 AND id = $2`, env, store)
		}
		if err != nil {
			return err
		}
		if err := uncount(ctx, tx, env, store); err != nil { // in the log that was
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "store.forget", Subject: store, Detail: by.detail(map[string]any{"head": was.Head, "backendId": was.BackendID, "inInventory": !gone})})
	})
	if err != nil {
		return Store{}, err
	}
	return was, nil
}

// VanishedError says that a store had events, and answers that it has none.
func VanishedError(env, store string) error {
	return errs.Refusedf("the store has vanished: it had events, and its backend answers that it has none").
		Hintf("was the backend reset, or is the address another one? Nothing was pushed. If that was meant, forget the store").
		Then(showCommand(env, store)).Then(forgetCommand(env, store))
}

// showCommand is what to type to see what is known of a store.
func showCommand(env, store string) string { return "headgate store show " + store + " --env " + env }

// forgetCommand is what to type for a store that is another one than before, and is meant to be.
func forgetCommand(env, store string) string {
	return "headgate store forget " + store + " --env " + env + ` --reason "…"`
}

// locked says who holds a lease, and since when.
func locked(held Lease) error {
	return errs.New(errs.Locked, "%s is locked by %s since %s", held.Name, held.Owner, held.AcquiredAt.Format(time.RFC3339)).
		Hintf("it ends at %s unless its owner renews it; if the owner is gone for good, break it", held.ExpiresAt.Format(time.RFC3339)).
		Then("headgate lock list --env " + held.Env)
}
