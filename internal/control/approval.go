package control

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"headgate/rollout"
)

// An Approval says that somebody agreed to a plan.
type Approval struct {
	Plan   string    `json:"plan"` // the plan's digest
	Actor  string    `json:"actor"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Approve records that by.Actor agrees to the plan with this digest, and why; somebody who did so before stays as they
// were, which is no error. It returns the approval that counts.
func (db *DB) Approve(ctx context.Context, env, plan string, by By) (a Approval, err error) {
	if err := errors.Join(named("environment", env), named("plan's digest", plan), by.check()); err != nil {
		return Approval{}, err
	}
	err = db.tx(ctx, "approve the plan", func(tx *sql.Tx) error {
		given, err := all(ctx, tx, scanApproval, `SELECT plan, actor, reason, approved_at FROM approvals WHERE env = $1 AND plan = $2
			ORDER BY approved_at, actor`, env, plan)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(given, func(g Approval) bool { return rollout.SamePerson(g.Actor, by.Actor) }); i >= 0 {
			a = given[i]
			return nil
		}
		a = Approval{Plan: plan, Actor: by.Actor, Reason: by.Reason, At: fromMillis(millis(db.now()))}
		if _, err := tx.ExecContext(ctx, `INSERT INTO approvals (env, plan, actor, reason, approved_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (env, plan, actor) DO NOTHING`, env, plan, text(a.Actor), text(a.Reason), millis(a.At)); err != nil {
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "plan.approve", Subject: plan, Detail: by.detail(map[string]any{})})
	})
	return a, err
}

// Approvals are those of the plan with this digest, the first one first.
func (db *DB) Approvals(ctx context.Context, env, plan string) ([]Approval, error) {
	out, err := all(ctx, db.sql, scanApproval, `SELECT plan, actor, reason, approved_at FROM approvals WHERE env = $1 AND plan = $2
		ORDER BY approved_at, actor`, env, plan)
	return out, db.failed(ctx, "read the approvals", err)
}

func scanApproval(rows *sql.Rows) (a Approval, err error) {
	var at int64
	err = rows.Scan(&a.Plan, &a.Actor, &a.Reason, &at)
	a.At = fromMillis(at)
	return a, err
}

// ApprovalsBefore are the approvals of an environment's plans, the latest first: at most limit, from after one on, the zero
// Approval for the first.
func (db *DB) ApprovalsBefore(ctx context.Context, env string, a Approval, limit int) ([]Approval, error) {
	out, err := all(ctx, db.sql, scanApproval, `SELECT plan, actor, reason, approved_at FROM approvals
		WHERE env = $1 AND ($3 = '' OR (approved_at, plan, actor) < ($2, $3, $4))
		ORDER BY approved_at DESC, plan DESC, actor DESC LIMIT $5`, env, millis(a.At), a.Plan, a.Actor, limit)
	return out, db.failed(ctx, "list the approvals", err)
}
