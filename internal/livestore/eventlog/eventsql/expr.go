// Package eventsql evaluates SQL expressions over single events, on SQLite's own engine: what an operator writes to pick
// events out of a log. It sees one event at a time and no table.
package eventsql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	_ "modernc.org/sqlite" // the driver

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Columns are the names that an expression may use, with what they hold.
const Columns = "name, args (JSON text), seq, client, session, release (as stamped, or null), pending (1 or 0), at (ISO 8601, or null)"

// ClientColumns are those that a client knows of an event in its log, too.
const ClientColumns = "name, args (JSON text), seq, client, session, release (as stamped, or null)"

const (
	row       = ` FROM (SELECT ? AS name, ? AS args, ? AS seq, ? AS client, ? AS session, ? AS release, ? AS pending, ? AS at)`
	clientRow = ` FROM (SELECT ? AS name, ? AS args, ? AS seq, ? AS client, ? AS session, ? AS release)`
)

// An Expr is a compiled expression. It is for one goroutine at a time.
type Expr struct {
	text    string
	columns int // how many of the row's it sees
	db      *sql.DB
	stmt    *sql.Stmt
}

// Compile reads an expression over [Columns]. One that SQLite does not take, or that is no single value, is errs.Invalid.
func Compile(ctx context.Context, text string) (*Expr, error) {
	return compile(ctx, text, row, Columns, 8)
}

// CompileForClients reads an expression over [ClientColumns]: one that the app's own clients run, too.
func CompileForClients(ctx context.Context, text string) (*Expr, error) {
	return compile(ctx, text, clientRow, ClientColumns, 6)
}

func compile(ctx context.Context, text, row, columns string, n int) (x *Expr, err error) {
	invalid := func(why string) error {
		return errs.Invalidf("the SQL expression %q can't be read: %s", text, why).
			Hintf("it sees one event: %s; its arguments are args ->> 'id'", columns)
	}
	if strings.TrimSpace(text) == "" {
		return nil, invalid("it is empty")
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	db.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	if _, err := db.ExecContext(ctx, `PRAGMA query_only = ON`); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	// Two statements, or an expression that closes the parenthesis, are not one value of one row.
	if strings.Contains(withoutText(text), ";") {
		return nil, invalid("it must be one expression, without ;")
	}
	stmt, err := db.PrepareContext(ctx, "SELECT (\n"+text+"\n)"+row)
	if err != nil {
		return nil, invalid(reason(err))
	}
	x = &Expr{text: text, columns: n, db: db, stmt: stmt}
	var value any // of more than one column, Scan is an error
	if err := stmt.QueryRowContext(ctx, x.values(livestore.Event{Args: []byte("{}")})...).Scan(&value); err != nil {
		return nil, invalid(reason(err))
	}
	return x, nil
}

// withoutText blanks what stands in quotes.
func withoutText(s string) string {
	var b strings.Builder
	quote := rune(0)
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && strings.ContainsRune("'\"`", r):
			quote = r
		case quote == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// reason is SQLite's message without its prefix and number.
func reason(err error) string {
	s := strings.TrimPrefix(err.Error(), "SQL logic error: ")
	if i := strings.LastIndex(s, " ("); i > 0 {
		s = s[:i]
	}
	return s
}

func (x *Expr) values(e livestore.Event) []any {
	values := []any{e.Name, string(e.Args), int64(e.Seq.Global), e.ClientID, e.SessionID, nil, e.Pending, nil}
	if release, ok := eventlog.ReleaseOf(e.SessionID); ok {
		values[5] = release
	}
	if !e.CreatedAt.IsZero() {
		values[7] = e.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return values[:x.columns]
}

// Object is the JSON object that the expression makes of an event. Anything else, and an expression that fails, is
// errs.Invalid and names the event.
func (x *Expr) Object(ctx context.Context, e livestore.Event) (json.RawMessage, error) {
	var raw any
	if err := x.stmt.QueryRowContext(ctx, x.values(e)...).Scan(&raw); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, errs.Invalidf("the SQL expression %q fails on event %s: %s", x.text, e.Seq, reason(err))
	}
	text, ok := raw.(string)
	var object map[string]json.RawMessage
	if !ok || json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return nil, errs.Invalidf("the SQL expression %q does not give a JSON object at event %s", x.text, e.Seq).
			Hintf("json_set(args, '$.list', 'inbox') changes a field, json_object('id', args ->> 'id') makes new arguments")
	}
	return json.RawMessage(text), nil
}

// True reports whether the expression holds for an event. NULL does not hold. An expression that fails on the event, as
// one that takes apart what is no JSON, is errs.Invalid and names the event.
func (x *Expr) True(ctx context.Context, e livestore.Event) (bool, error) {
	var raw any
	if err := x.stmt.QueryRowContext(ctx, x.values(e)...).Scan(&raw); err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		return false, errs.Invalidf("the SQL expression %q fails on event %s: %s", x.text, e.Seq, reason(err))
	}
	switch n := raw.(type) { // as SQLite takes numbers for truth
	case nil:
		return false, nil
	case int64:
		return n != 0, nil
	case float64:
		return n != 0, nil
	}
	return false, errs.Invalidf("the SQL expression %q gives a text at event %s, and no truth", x.text, e.Seq).
		Hintf("compare it with something: args ->> 'list' = 'archive'")
}

// Close releases the expression.
func (x *Expr) Close() error { return errors.Join(x.stmt.Close(), x.db.Close()) }
