package control

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"headgate/internal/errs"
)

// A KeptPlan is a plan that somebody approved.
type KeptPlan struct {
	Digest string
	Text   string // JSON, as it was when it was approved last: its evidence may be newer than at first
	At     time.Time
}

const (
	// MaxPlanBytes is how long a plan's text may be.
	MaxPlanBytes = 4 << 20
	// plansKept is how many of an environment's plans are kept.
	plansKept = 100
)

// KeepPlan keeps a plan's text under its digest. The caller has seen that the one is the other's.
func (db *DB) KeepPlan(ctx context.Context, env, digest, plan string) error {
	if err := errors.Join(named("environment", env), named("plan's digest", digest)); err != nil {
		return err
	}
	if len(plan) > MaxPlanBytes {
		return errs.Invalidf("the plan has %d bytes, and at most %d are kept", len(plan), MaxPlanBytes)
	}
	return db.tx(ctx, "keep the plan", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO plans (env, digest, plan, kept_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (env, digest) DO UPDATE SET plan = excluded.plan, kept_at = excluded.kept_at`, env, digest, plan, millis(db.now())); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM plans WHERE env = $1 AND digest NOT IN
			(SELECT digest FROM plans WHERE env = $1 ORDER BY kept_at DESC, digest LIMIT $2)`, env, plansKept)
		return err
	})
}

// Plans are the plans that were approved last, the latest first, at most limit.
func (db *DB) Plans(ctx context.Context, env string, limit int) ([]KeptPlan, error) {
	out, err := all(ctx, db.sql, scanPlan, `SELECT digest, plan, kept_at FROM plans WHERE env = $1 ORDER BY kept_at DESC, digest LIMIT $2`, env, limit)
	return out, db.failed(ctx, "list the plans", err)
}

func scanPlan(rows *sql.Rows) (p KeptPlan, err error) {
	var at int64
	err = rows.Scan(&p.Digest, &p.Text, &at)
	p.At = fromMillis(at)
	return p, err
}
