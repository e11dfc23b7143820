// Package eventsql evaluates SQL expressions over single events, on SQLite's own engine: what an operator writes to pick
// events out of a log. It sees one event at a time and no table.
package eventsql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
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
	query   string
	columns int // how many of the row's it sees
	// dbs evaluate it: one as the SQLite of LiveStore 0.4 does, and for clients one as newer SQLite does, too.
	dbs []*engine.DB
}

// Compile reads an expression over [Columns]. One that SQLite does not take, or that is no single value, is errs.Invalid.
func Compile(ctx context.Context, text string) (*Expr, error) {
	return compile(ctx, text, row, Columns, 8)
}

// CompileForClients reads an expression over [ClientColumns]: one that the app's own clients run, too, each on its own
// SQLite. One that asks for what some of these lack or do otherwise is errs.Invalid.
func CompileForClients(ctx context.Context, text string) (_ *Expr, err error) {
	x, err := compile(ctx, text, clientRow, ClientColumns, 6)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	newer, err := engine.OpenDB("")
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	newer.Digits(17)
	x.dbs = append(x.dbs, newer)
	called, err := newer.Functions(x.query, engine.Positional(x.values(livestore.Event{})...))
	if err != nil {
		return nil, fmt.Errorf("read what %q calls: %w", text, err)
	}
	for _, name := range called {
		if !slices.Contains(clientFunctions(), name) {
			return nil, errs.Invalidf("the SQL expression %q calls %s, which is not the same in the SQLite of every client", text, name).
				Hintf("what every client has: %s", strings.Join(clientFunctions(), " "))
		}
	}
	return x, nil
}

// clientFunctions are those that every SQLite has that a LiveStore client may run on, from 3.46 on: not those of mathematics,
// which some builds lack, and LiveStore's has its own of (its log is the natural one), and no newer ones. What differs from call
// to call is among them: it is refused for that.
func clientFunctions() []string {
	return strings.Fields(`-> ->> abs avg changes char coalesce concat concat_ws count date datetime format glob group_concat hex
		ifnull iif instr json json_array json_array_length json_extract json_group_array json_group_object json_insert json_object
		json_patch json_quote json_remove json_replace json_set json_type json_valid julianday last_insert_rowid length like likely
		lower ltrim max min nullif octet_length printf quote random randomblob replace round rtrim sign sqlite_source_id
		sqlite_version strftime string_agg substr substring sum time timediff total total_changes trim typeof unhex unicode
		unixepoch unlikely upper zeroblob`)
}

func compile(ctx context.Context, text, row, columns string, n int) (_ *Expr, err error) {
	invalid := func(why string) error {
		return errs.Invalidf("the SQL expression %q can't be read: %s", text, why).
			Hintf("it sees one event: %s; its arguments are args ->> 'id'", columns)
	}
	if strings.TrimSpace(text) == "" {
		return nil, invalid("it is empty")
	}
	// Two statements, or an expression that closes the parenthesis, are not one value of one row.
	if strings.Contains(withoutText(text), ";") {
		return nil, invalid("it must be one expression, without ;")
	}
	db, err := engine.OpenDB("")
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	x := &Expr{text: text, query: "SELECT (\n" + text + "\n)" + row, columns: n, dbs: []*engine.DB{db}}
	defer func() {
		if err != nil {
			x.Close()
		}
	}()
	if err := db.Exec(`PRAGMA query_only = ON`, engine.Positional()); err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	params, err := db.Parameters(x.query)
	if err != nil {
		return nil, invalid(reason(err))
	}
	if len(params) != n {
		return nil, invalid("it must have no parameters")
	}
	if _, err := x.value(ctx, livestore.Event{Args: []byte("{}")}); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
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

// reason is SQLite's message without its number.
func reason(err error) string {
	var e *engine.SQLError
	if errors.As(err, &e) {
		return e.Msg
	}
	return err.Error()
}

func (x *Expr) values(e livestore.Event) []any {
	values := []any{e.Name, string(e.Args), int64(e.Seq.Global), e.ClientID, e.SessionID, nil, int64(0), nil}
	if release, ok := eventlog.ReleaseOf(e.SessionID); ok {
		values[5] = release
	}
	if e.Pending {
		values[6] = int64(1)
	}
	if !e.CreatedAt.IsZero() {
		values[7] = e.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return values[:x.columns]
}

// errOneValue is of an expression that gives several values, or none.
var errOneValue = errors.New("it must be one value")

// value is what the expression gives for an event. One that the SQLite of some clients writes otherwise is errs.Invalid.
func (x *Expr) value(ctx context.Context, e livestore.Event) (any, error) {
	var out []any
	for _, db := range x.dbs {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var row []any
		stop := db.Until(ctx)
		err := db.Query(x.query, engine.Positional(x.values(e)...), func(_ []string, v []any) error {
			row = append(row, v...)
			return nil
		})
		stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if len(row) != 1 {
			return nil, errOneValue
		}
		out = append(out, row[0])
	}
	if len(out) > 1 && !reflect.DeepEqual(out[0], out[1]) {
		return nil, x.inexact(e)
	}
	return out[0], nil
}

// Object is the JSON object that the expression makes of an event. Anything else, an expression that fails, and one for clients
// that does not make the same on each, is errs.Invalid and names the event.
func (x *Expr) Object(ctx context.Context, e livestore.Event) (json.RawMessage, error) {
	raw, err := x.at(ctx, e)
	if err != nil {
		return nil, err
	}
	text, ok := raw.(string)
	var object map[string]json.RawMessage
	if !ok || json.Unmarshal([]byte(text), &object) != nil || object == nil {
		return nil, errs.Invalidf("the SQL expression %q does not give a JSON object at event %s", x.text, e.Seq).
			Hintf("json_set(args, '$.list', 'inbox') changes a field, json_object('id', args ->> 'id') makes new arguments")
	}
	if len(x.dbs) > 1 {
		if err := x.portable(ctx, e, text); err != nil {
			return nil, err
		}
	}
	return json.RawMessage(text), nil
}

// True reports whether the expression holds for an event. NULL does not hold. An expression that fails on the event, as
// one that takes apart what is no JSON, is errs.Invalid and names the event.
func (x *Expr) True(ctx context.Context, e livestore.Event) (bool, error) {
	raw, err := x.at(ctx, e)
	if err != nil {
		return false, err
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

// at is value, with an error that names the event.
func (x *Expr) at(ctx context.Context, e livestore.Event) (any, error) {
	raw, err := x.value(ctx, e)
	if err != nil && ctx.Err() == nil && errs.As(err) == nil {
		return nil, errs.Invalidf("the SQL expression %q fails on event %s: %s", x.text, e.Seq, reason(err))
	}
	return raw, err
}

// Close releases the expression.
func (x *Expr) Close() {
	for _, db := range x.dbs {
		db.Close()
	}
}
