package control

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"
)

// SweepLease is the name of the lease under which a migration is swept.
func SweepLease(migration string) string { return "sweep/" + migration }

// A SweptStore is a store that a migration was run or swept on.
type SweptStore struct {
	Store string
	Done  bool  // a run of the migration succeeded in it, or a sweep found nothing due
	Head  int64 // a sweep found nothing due at this event; 0 where none looked
}

// Swept yields the stores that a migration's file with this checksum was run or swept on, by name.
func (db *DB) Swept(ctx context.Context, env, migration, checksum string) iter.Seq2[SweptStore, error] {
	return pages(func(after SweptStore) ([]SweptStore, error) {
		out, err := all(ctx, db.sql, func(rows *sql.Rows) (s SweptStore, err error) {
			var done int
			err = rows.Scan(&s.Store, &done, &s.Head)
			s.Done = done == 1
			return s, err
		}, `SELECT store, max(done), max(head) FROM (
				SELECT s.store AS store, CASE WHEN s.state = 'succeeded' THEN 1 ELSE 0 END AS done, 0 AS head
				FROM runs JOIN store_runs s ON s.run_id = runs.id
				WHERE runs.env = $1 AND runs.migration = $2 AND runs.checksum = $3 AND s.store > $4
				UNION ALL
				SELECT store, 1, head FROM swept_stores WHERE env = $1 AND migration = $2 AND checksum = $3 AND store > $4
			) AS known GROUP BY store ORDER BY store LIMIT $5`, env, migration, checksum, after.Store, pageSize)
		return out, db.failed(ctx, "list what was swept", err)
	})
}

// KeepSwept keeps that nothing was due in stores at their heads, and that the migration was swept now.
func (db *DB) KeepSwept(ctx context.Context, env, migration, checksum string, stores iter.Seq2[SweptStore, error]) error {
	if err := errors.Join(named("environment", env), named("migration", migration)); err != nil {
		return err
	}
	return db.tx(ctx, "keep what was swept", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "sweep "+env); err != nil {
			return err
		}
		if err := db.serialise(ctx, tx, "left out "+env); err != nil {
			return err
		}
		err := batches(stores, func(batch []SweptStore) error {
			args := make([]any, 0, 5*len(batch))
			ids := make([]string, len(batch))
			for i, s := range batch {
				args = append(args, env, migration, s.Store, checksum, s.Head)
				ids[i] = s.Store
			}
			if err := takeIn(ctx, tx, env, migration, ids); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO swept_stores (env, migration, store, checksum, head) VALUES `+placeholders(len(batch), 5)+`
				ON CONFLICT (env, migration, store) DO UPDATE SET checksum = excluded.checksum, head = excluded.head`, args...)
			return err
		})
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sweeps (env, migration, swept_at) VALUES ($1, $2, $3)
			ON CONFLICT (env, migration) DO UPDATE SET swept_at = excluded.swept_at`, env, migration, millis(db.now()))
		return err
	})
}

// LastSweep is when a migration was last swept; the zero time if it never was.
func (db *DB) LastSweep(ctx context.Context, env, migration string) (time.Time, error) {
	got, err := all(ctx, db.sql, func(rows *sql.Rows) (ms int64, err error) { return ms, rows.Scan(&ms) },
		`SELECT swept_at FROM sweeps WHERE env = $1 AND migration = $2`, env, migration)
	if err != nil || len(got) == 0 {
		return time.Time{}, db.failed(ctx, "read when the migration was swept", err)
	}
	return fromMillis(got[0]), nil
}
