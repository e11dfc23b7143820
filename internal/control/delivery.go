package control

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// A Delivery is an entry of the audit that a webhook is told of, or was.
type Delivery struct {
	Entry    AuditEntry
	Attempts int // with the one that is claimed
}

// Bounds of what is kept of a webhook.
const (
	deliveriesPending = 10_000              // that wait; of more the oldest are given up
	deliveredKept     = 7 * 24 * time.Hour  // one that was delivered
	deadKept          = 30 * 24 * time.Hour // one that was given up
)

// QueueDeliveries goes on through the audit of an environment, and queues the entries that told chooses by their action. It
// begins where the environment's first call found the audit's end. It returns how many it queued. Several servers may call it
// at once: each entry is queued once.
func (db *DB) QueueDeliveries(ctx context.Context, env string, told func(action string) bool) (queued int, err error) {
	var last, seen int64
	err = db.sql.QueryRowContext(ctx, `SELECT COALESCE((SELECT max(seq) FROM audit WHERE env = $1), 0), COALESCE((SELECT seq FROM webhooks WHERE env = $1), -1)`, env).Scan(&last, &seen)
	if err != nil {
		return 0, db.failed(ctx, "look for what a webhook is told", err)
	}
	if last == seen {
		return 0, nil
	}
	err = db.tx(ctx, "queue what a webhook is told", func(tx *sql.Tx) error {
		if err := db.serialise(ctx, tx, "webhook "+env); err != nil {
			return err
		}
		queued = 0
		err := tx.QueryRowContext(ctx, `SELECT seq FROM webhooks WHERE env = $1`, env).Scan(&seen)
		if errors.Is(err, sql.ErrNoRows) {
			_, err := tx.ExecContext(ctx, `INSERT INTO webhooks (env, seq) VALUES ($1, $2)`, env, last)
			return err
		}
		if err != nil {
			return err
		}
		entries, err := all(ctx, tx, scanAudit, selectAudit+` WHERE env = $1 AND seq > $2 ORDER BY seq LIMIT $3`, env, seen, pageSize)
		if err != nil || len(entries) == 0 {
			return err
		}
		now := millis(db.now())
		for _, e := range entries {
			if !told(e.Action) {
				continue
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO deliveries (env, seq, state, attempts, due_at, updated_at, error) VALUES ($1, $2, 'pending', 0, $3, $3, '')
				ON CONFLICT (env, seq) DO NOTHING`, env, e.Seq, now); err != nil {
				return err
			}
			queued++
		}
		if _, err := tx.ExecContext(ctx, `UPDATE webhooks SET seq = $2 WHERE env = $1`, env, entries[len(entries)-1].Seq); err != nil {
			return err
		}
		return bound(ctx, tx, env, db.now())
	})
	return queued, err
}

// bound gives up the oldest of too many deliveries, and forgets old ones.
func bound(ctx context.Context, tx *sql.Tx, env string, now time.Time) error {
	_, full := tx.ExecContext(ctx, `UPDATE deliveries SET state = 'dead', updated_at = $2, error = 'given up: too many wait' WHERE env = $1 AND state = 'pending' AND seq <=
		(SELECT seq FROM deliveries WHERE env = $1 AND state = 'pending' ORDER BY seq DESC LIMIT 1 OFFSET $3)`, env, millis(now), deliveriesPending)
	_, old := tx.ExecContext(ctx, `DELETE FROM deliveries WHERE env = $1 AND (state = 'delivered' AND updated_at < $2 OR state = 'dead' AND updated_at < $3)`,
		env, millis(now.Add(-deliveredKept)), millis(now.Add(-deadKept)))
	return errors.Join(full, old)
}

// ClaimDelivery takes the delivery that is due first, for whoever calls alone until a time; found is false where none is
// due. One that is neither delivered nor put off by then is due again: its sender died.
func (db *DB) ClaimDelivery(ctx context.Context, env string, until time.Time) (d Delivery, found bool, err error) {
	err = db.tx(ctx, "claim what a webhook is told", func(tx *sql.Tx) error {
		now := millis(db.now())
		got, err := all(ctx, tx, func(rows *sql.Rows) (d Delivery, err error) {
			err = rows.Scan(&d.Entry.Seq, &d.Attempts)
			return d, err
		}, `UPDATE deliveries SET attempts = attempts + 1, due_at = $3, updated_at = $2 WHERE env = $1 AND state = 'pending' AND due_at <= $2 AND seq =
			(SELECT seq FROM deliveries WHERE env = $1 AND state = 'pending' AND due_at <= $2 ORDER BY due_at, seq LIMIT 1) RETURNING seq, attempts`, env, now, millis(until))
		if err != nil || len(got) == 0 {
			return err
		}
		d, found = got[0], true
		entries, err := all(ctx, tx, scanAudit, selectAudit+` WHERE seq = $1`, d.Entry.Seq)
		if err == nil && len(entries) > 0 {
			d.Entry = entries[0]
		}
		return err
	})
	if err != nil {
		return Delivery{}, false, err
	}
	return d, found, nil
}

// A DeliveryEnd is what became of an attempt.
type DeliveryEnd struct {
	Again time.Time // when it is tried again; zero for never
	Error string    // why it failed; empty for delivered
}

// EndDelivery keeps what became of a claimed delivery. One that somebody else has claimed since stays as it is.
func (db *DB) EndDelivery(ctx context.Context, env string, d Delivery, end DeliveryEnd) error {
	state := "delivered"
	switch {
	case end.Error != "" && end.Again.IsZero():
		state = "dead"
	case end.Error != "":
		state = "pending"
	}
	return db.tx(ctx, "keep what a webhook was told", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = $4, due_at = $5, updated_at = $6, error = $7 WHERE env = $1 AND seq = $2 AND attempts = $3 AND state = 'pending'`,
			env, d.Entry.Seq, d.Attempts, state, millis(end.Again), millis(db.now()), text(end.Error))
		return err
	})
}

// RetryDeliveries has what was given up tried again, now, and records that. It returns how many there are.
func (db *DB) RetryDeliveries(ctx context.Context, env string, by By) (n int64, err error) {
	if err := errors.Join(named("environment", env), by.check()); err != nil {
		return 0, err
	}
	err = db.tx(ctx, "try again to tell a webhook", func(tx *sql.Tx) error {
		now := millis(db.now())
		res, err := tx.ExecContext(ctx, `UPDATE deliveries SET state = 'pending', attempts = 0, due_at = $2, updated_at = $2 WHERE env = $1 AND state = 'dead'`, env, now)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return db.record(ctx, tx, Entry{Env: env, Actor: by.Actor, Action: "webhook.retry", Detail: by.detail(map[string]any{"deliveries": n})})
	})
	return n, err
}

// A WebhookState is how far a webhook was told.
type WebhookState struct {
	Waiting   int64     `json:"waiting"`
	Since     time.Time `json:"since,omitzero"` // of the oldest that waits
	GivenUp   int64     `json:"givenUp"`
	Delivered int64     `json:"delivered"`       // within the last seven days
	Error     string    `json:"error,omitempty"` // the last one of those that wait or were given up
}

// Webhook says how far an environment's webhook was told; found is false where it never was to be told anything.
func (db *DB) Webhook(ctx context.Context, env string) (s WebhookState, found bool, err error) {
	type row struct {
		state string
		n, at int64
	}
	rows, err := all(ctx, db.sql, func(rows *sql.Rows) (r row, err error) {
		err = rows.Scan(&r.state, &r.n, &r.at)
		return r, err
	}, `SELECT d.state, count(*), min(a.at) FROM deliveries d JOIN audit a ON a.seq = d.seq WHERE d.env = $1 GROUP BY d.state`, env)
	if err != nil {
		return s, false, db.failed(ctx, "read what a webhook was told", err)
	}
	for _, r := range rows {
		switch r.state {
		case "pending":
			s.Waiting, s.Since = r.n, fromMillis(r.at)
		case "dead":
			s.GivenUp = r.n
		case "delivered":
			s.Delivered = r.n
		}
	}
	last, err := all(ctx, db.sql, scanOne[string], `SELECT error FROM deliveries WHERE env = $1 AND error <> '' AND state <> 'delivered' ORDER BY updated_at DESC, seq DESC LIMIT 1`, env)
	if len(last) > 0 {
		s.Error = last[0]
	}
	return s, len(rows) > 0, db.failed(ctx, "read what a webhook was told", err)
}
