package control

import (
	"context"
	"database/sql"
	"iter"
)

// Unfinished is a store whose last run of a migration has ended without having done it.
type Unfinished struct {
	Migration string
	StoreRun
}

// Unfinished yields the stores of an environment whose last run of a migration has ended, and did not succeed in the
// store: it failed there, or was never begun. Those of runs that were cancelled are left out.
func (db *DB) Unfinished(ctx context.Context, env string) iter.Seq2[Unfinished, error] {
	return pages(func(after Unfinished) ([]Unfinished, error) {
		out, err := all(ctx, db.sql, func(rows *sql.Rows) (u Unfinished, err error) {
			err = rows.Scan(&u.Run, &u.Migration, &u.Store, &u.Wave, &u.State, &u.ErrorCode, &u.Error)
			return u, err
		}, `SELECT r.id, r.migration, s.store, s.wave, s.state, s.error_code, s.error FROM runs r JOIN store_runs s ON s.run_id = r.id
			WHERE r.env = $1 AND r.state = 'failed' AND s.state IN ('pending', 'failed', 'stalled', 'vanished', 'quarantined')
			AND NOT EXISTS (SELECT 1 FROM runs q JOIN store_runs t ON t.run_id = q.id WHERE q.env = r.env AND q.migration = r.migration
				AND t.store = s.store AND (q.created_at, q.id) > (r.created_at, r.id) AND t.state <> 'cancelled')
			AND (r.id, s.store) > ($2, $3) ORDER BY r.id, s.store LIMIT $4`, env, after.Run, after.Store, pageSize)
		return out, db.failed(ctx, "look for stores that are not done", err)
	})
}
