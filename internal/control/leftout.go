package control

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"

	"headgate/internal/errs"
)

// A LeftOut is a store that no run of a migration took, since looking at what is due in it failed.
type LeftOut struct {
	Migration string
	Store     string
	Run       string    // that was begun without it; empty where none was
	ErrorCode errs.Code // why, as of a StoreRun
	Error     string    // empty where looking went well
	At        time.Time
}

// LeaveOut keeps which of the stores that were looked at for a migration no run takes, and forgets that of the others.
// Of a LeftOut it takes the Store, ErrorCode and Error. run is the one that was begun without them, or empty. They are
// forgotten, too, when a run takes them ([DB.CreateRun]) or a sweep finds nothing due ([DB.KeepSwept]).
func (db *DB) LeaveOut(ctx context.Context, env, migration, run string, looked iter.Seq2[LeftOut, error]) error {
	if err := errors.Join(named("environment", env), named("migration", migration)); err != nil {
		return err
	}
	return db.tx(ctx, "keep which stores are left out", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "left out "+env); err != nil { // two of these would lock the rows in any order
			return err
		}
		now := millis(db.now())
		return batches(looked, func(batch []LeftOut) error {
			var well []string
			var args []any
			for _, s := range batch {
				if s.Error == "" {
					well = append(well, s.Store)
					continue
				}
				args = append(args, env, migration, s.Store, run, string(s.ErrorCode), text(s.Error), now)
			}
			if err := takeIn(ctx, tx, env, migration, well); err != nil || len(args) == 0 {
				return err
			}
			_, err := tx.ExecContext(ctx, `INSERT INTO left_out (env, migration, store, run_id, error_code, error, left_at) VALUES `+placeholders(len(args)/7, 7)+`
				ON CONFLICT (env, migration, store) DO UPDATE SET run_id = excluded.run_id, error_code = excluded.error_code,
					error = excluded.error, left_at = excluded.left_at`, args...)
			return err
		})
	})
}

// takeIn forgets that stores were left out.
func takeIn(ctx context.Context, tx *sql.Tx, env, migration string, stores []string) error {
	if len(stores) == 0 {
		return nil
	}
	args := []any{env, migration}
	for _, s := range stores {
		args = append(args, s)
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM left_out WHERE env = $1 AND migration = $2 AND store IN (`+list(3, len(stores))+`)`, args...)
	return err
}

// LeftOut yields the stores that are left out, by migration and store. Stores that are not active are passed over, and
// those of a run that was cancelled.
func (db *DB) LeftOut(ctx context.Context, env string) iter.Seq2[LeftOut, error] {
	return pages(func(after LeftOut) ([]LeftOut, error) {
		out, err := all(ctx, db.sql, func(rows *sql.Rows) (s LeftOut, err error) {
			var at int64
			err = rows.Scan(&s.Migration, &s.Store, &s.Run, &s.ErrorCode, &s.Error, &at)
			s.At = fromMillis(at)
			return s, err
		}, `SELECT l.migration, l.store, l.run_id, l.error_code, l.error, l.left_at FROM left_out l
			WHERE l.env = $1 AND (l.migration, l.store) > ($2, $3)
			AND NOT EXISTS (SELECT 1 FROM stores s WHERE s.env = l.env AND s.id = l.store AND s.state <> 'active')
			AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = l.run_id AND r.state = 'cancelled')
			ORDER BY l.migration, l.store LIMIT $4`, env, after.Migration, after.Store, pageSize)
		return out, db.failed(ctx, "list the stores that were left out", err)
	})
}
