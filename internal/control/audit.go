package control

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/internal/errs"
)

// An Entry is something that someone did, for the audit. It must not hold a payload's values or a secret.
type Entry struct {
	Env     string // the environment
	Actor   string
	Action  string // noun.verb: "lock.break"
	Subject string // what it was done to, may be empty
	Detail  any    // as JSON; nil for none
}

// An AuditEntry is an entry of the audit. Its hash is the SHA-256, in hex, over the entry before it and the fields, each
// written as its length in bytes (decimal), a colon, the field and a newline, in the order: prev, seq (decimal), at (unix
// milliseconds, decimal), env, actor, action, subject, detail.
type AuditEntry struct {
	Seq     int64           `json:"seq"` // 1 for the first of the database, without gaps
	At      time.Time       `json:"at"`
	Env     string          `json:"env"`
	Actor   string          `json:"actor"`
	Action  string          `json:"action"`
	Subject string          `json:"subject"`
	Detail  json.RawMessage `json:"detail"`
	Prev    string          `json:"prev"` // the hash of the entry before; empty for the first
	Hash    string          `json:"hash"`
}

func (e AuditEntry) sum() string {
	h := sha256.New()
	for _, field := range []string{
		e.Prev, strconv.FormatInt(e.Seq, 10), strconv.FormatInt(millis(e.At), 10), e.Env, e.Actor, e.Action, e.Subject, string(e.Detail),
	} {
		fmt.Fprintf(h, "%d:%s\n", len(field), field)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Record appends an entry about something that happened outside the control database.
func (db *DB) Record(ctx context.Context, e Entry) error {
	return db.tx(ctx, "write the audit", func(tx *sql.Tx) error { return db.record(ctx, tx, e) })
}

// record appends an entry in the transaction of what it records. It comes last in it, because no other transaction
// with an entry gets on until this one ends.
func (db *DB) record(ctx context.Context, tx *sql.Tx, in Entry) error {
	if err := (By{Actor: in.Actor}).check(); err != nil {
		return err
	}
	detail := []byte("{}")
	if in.Detail != nil {
		var err error
		if detail, err = json.Marshal(in.Detail); err != nil {
			return err
		}
	}
	if err := db.serialise(ctx, tx, "audit"); err != nil {
		return err
	}
	e := AuditEntry{
		Seq: 1, At: fromMillis(millis(db.now())), Env: text(in.Env), Actor: text(in.Actor), Action: text(in.Action), Subject: text(in.Subject),
		Detail: detail,
	}
	var last int64
	err := tx.QueryRowContext(ctx, `SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1`).Scan(&last, &e.Prev)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	e.Seq = last + 1
	e.Hash = e.sum()
	_, err = tx.ExecContext(ctx, `INSERT INTO audit (seq, at, env, actor, action, subject, detail, prev, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.Seq, millis(e.At), e.Env, e.Actor, e.Action, e.Subject, string(e.Detail), e.Prev, e.Hash)
	if err != nil {
		return err
	}
	return carry(ctx, tx)
}

// text makes a string that both engines store and return as it is.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Audit yields the entries of an environment from a time on, oldest first. The zero time means all.
func (db *DB) Audit(ctx context.Context, env string, since time.Time) iter.Seq2[AuditEntry, error] {
	return db.AuditAfter(ctx, env, 0, since)
}

// AuditAfter is Audit from after the entry with this number on.
func (db *DB) AuditAfter(ctx context.Context, env string, seq int64, since time.Time) iter.Seq2[AuditEntry, error] {
	return pagesAfter(AuditEntry{Seq: seq}, func(after AuditEntry) ([]AuditEntry, error) {
		out, err := all(ctx, db.sql, scanAudit, selectAudit+` WHERE env = $1 AND seq > $2 AND at >= $3 ORDER BY seq LIMIT $4`, env, after.Seq, millis(since), pageSize)
		return out, db.failed(ctx, "read the audit", err)
	})
}

// An AuditQuery chooses entries of an environment's audit. What is zero asks for nothing.
type AuditQuery struct {
	Subject string    // what was done to
	Action  string    // how the action begins: "rollout."
	After   int64     // entries with a higher number
	Before  int64     // entries with a lower number
	Since   time.Time // entries from then on
	Latest  bool      // the latest first; the oldest otherwise
	Limit   int       // at most so many; required
}

// AuditOf returns the entries that a query chooses.
func (db *DB) AuditOf(ctx context.Context, env string, q AuditQuery) ([]AuditEntry, error) {
	where, args := `env = $1`, []any{env}
	with := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where += " AND " + condition
	}
	if q.Subject != "" {
		with(`subject = ?`, q.Subject)
	}
	if q.Action != "" {
		with(`substr(action, 1, ?) = ?`, utf8.RuneCountInString(q.Action), q.Action)
	}
	if q.After > 0 {
		with(`seq > ?`, q.After)
	}
	if q.Before > 0 {
		with(`seq < ?`, q.Before)
	}
	if !q.Since.IsZero() {
		with(`at >= ?`, millis(q.Since))
	}
	order := `seq`
	if q.Latest {
		order = `seq DESC`
	}
	args = append(args, q.Limit)
	out, err := all(ctx, db.sql, scanAudit, selectAudit+` WHERE `+where+` ORDER BY `+order+` LIMIT $`+strconv.Itoa(len(args)), args...)
	return out, db.failed(ctx, "read the audit", err)
}

const selectAudit = `SELECT seq, at, env, actor, action, subject, detail, prev, hash FROM audit`

func scanAudit(rows *sql.Rows) (e AuditEntry, err error) {
	var at int64
	var detail string
	err = rows.Scan(&e.Seq, &at, &e.Env, &e.Actor, &e.Action, &e.Subject, &detail, &e.Prev, &e.Hash)
	e.At, e.Detail = fromMillis(at), json.RawMessage(detail)
	return e, err
}

// An AuditCheck is what a verification of the audit found.
type AuditCheck struct {
	Entries int64  `json:"entries"`        // that are whole, from the first on
	Last    string `json:"last,omitempty"` // the hash of the last of them; worth noting elsewhere
	// Broken says what is wrong with the entry after them; empty when the chain is whole.
	Broken string `json:"broken,omitempty"`
}

// VerifyAudit reads the whole audit of the database, of all environments, up to its end or the first entry that does
// not belong where it stands. A broken chain is also returned as an errs.Mismatch error.
func (db *DB) VerifyAudit(ctx context.Context) (AuditCheck, error) {
	var c AuditCheck
	chain := pages(func(after AuditEntry) ([]AuditEntry, error) {
		out, err := all(ctx, db.sql, scanAudit, selectAudit+` WHERE seq > $1 ORDER BY seq LIMIT $2`, after.Seq, pageSize)
		return out, db.failed(ctx, "read the audit", err)
	})
	for e, err := range chain {
		if err != nil {
			return c, err
		}
		switch {
		case e.Seq != c.Entries+1:
			c.Broken = fmt.Sprintf("entry %d is missing", c.Entries+1)
		case e.Prev != c.Last:
			c.Broken = fmt.Sprintf("entry %d does not follow the entry before it", e.Seq)
		case e.Hash != e.sum():
			c.Broken = fmt.Sprintf("entry %d was changed", e.Seq)
		}
		if c.Broken != "" {
			return c, errs.New(errs.Mismatch, "the audit is broken: %s", c.Broken).At("%s", db.place).
				Hintf("it was edited outside headgate; a backup tells what stood there")
		}
		c.Entries, c.Last = e.Seq, e.Hash
	}
	return c, nil
}
