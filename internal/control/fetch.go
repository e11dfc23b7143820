package control

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"headgate/internal/livestore"
)

// A Fetch says which revision of a rollout's flags a client has.
type Fetch struct {
	Rollout  string
	Store    livestore.StoreID
	Client   string
	Revision int
	At       time.Time // when that was received; KeepFetches sets it
}

// KeepFetches keeps what clients fetched, received now. The last one counts, also where its revision is lower: that client
// has an older answer than it had.
func (db *DB) KeepFetches(ctx context.Context, env string, fetches []Fetch) error {
	if err := named("environment", env); err != nil || len(fetches) == 0 {
		return err
	}
	type key struct {
		rollout, client string
		store           livestore.StoreID
	}
	last := map[key]int{} // one INSERT must not meet a row twice
	for i, f := range fetches {
		if err := errors.Join(named("rollout", f.Rollout), named("store", string(f.Store)), named("client", f.Client)); err != nil {
			return err
		}
		last[key{f.Rollout, f.Client, f.Store}] = i
	}
	now := millis(db.now())
	return db.tx(ctx, "keep what clients fetched", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "fetches "+env); err != nil {
			return err
		}
		return batches(func(yield func(Fetch, error) bool) {
			for i, f := range fetches {
				if last[key{f.Rollout, f.Client, f.Store}] == i && !yield(f, nil) {
					return
				}
			}
		}, func(batch []Fetch) error {
			args := make([]any, 0, 6*len(batch))
			for _, f := range batch {
				args = append(args, env, f.Rollout, string(f.Store), f.Client, f.Revision, now)
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO fetches (env, rollout, store, client, revision, fetched_at) VALUES `+placeholders(len(batch), 6)+`
				ON CONFLICT (env, rollout, store, client) DO UPDATE SET revision = excluded.revision, fetched_at = excluded.fetched_at`, args...)
			return err
		})
	})
}

// Fetches are what clients fetched last of a rollout, by store and client.
func (db *DB) Fetches(ctx context.Context, env, rollout string) ([]Fetch, error) {
	out, err := all(ctx, db.sql, func(rows *sql.Rows) (f Fetch, err error) {
		var at int64
		err = rows.Scan(&f.Rollout, &f.Store, &f.Client, &f.Revision, &at)
		f.At = fromMillis(at)
		return f, err
	}, `SELECT rollout, store, client, revision, fetched_at FROM fetches WHERE env = $1 AND rollout = $2 ORDER BY store, client`, env, rollout)
	return out, db.failed(ctx, "read what clients fetched", err)
}
