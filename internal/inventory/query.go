package inventory

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"headgate/internal/errs"
)

// query asks Postgres, in a transaction that can't write. Rows are streamed, their values as text.
func (s Source) query(ctx context.Context, sink *sink) error {
	conn, err := pgx.Connect(ctx, s.DSN)
	if err != nil {
		return s.sqlError(ctx, "can't connect to Postgres", "check host and port, user and password; where the DSN has no password, PGPASSWORD and ~/.pgpass are asked", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return s.sqlError(ctx, "can't begin a transaction", "run it again", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	const hint = "run it in psql: it is one SELECT, with the columns id and, where they are needed, schema, log, region, state and idle"
	// The extended protocol, which takes one statement only: a second one could end the transaction.
	rows, err := tx.Query(ctx, s.Query, pgx.QueryExecModeExec, pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return s.sqlError(ctx, "the inventory query failed", hint, err)
	}
	defer rows.Close()
	at := map[string]int{}
	for n := 1; rows.Next(); n++ {
		if n == 1 {
			var names []string
			for i, f := range rows.FieldDescriptions() {
				names = append(names, f.Name)
				at[f.Name] = i
			}
			if err := errors.Join(sink.columns(names, s.Where), sink.hasID(names, s.Where)); err != nil {
				return err
			}
		}
		values := rows.RawValues()
		get := func(column string) string {
			if i, ok := at[column]; ok {
				return string(values[i]) // NULL is nil
			}
			return ""
		}
		if err := sink.row(get, n); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.sqlError(ctx, "the inventory query failed", hint, err)
	}
	return nil
}

// sqlError makes an error for the user of one of Postgres. pgx names user, database and hosts, never the password; the
// text of a PgError has no details, which is where values are.
func (s Source) sqlError(ctx context.Context, what, hint string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	code := errs.Internal
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		code, err = errs.Invalid, errors.New(pg.Message)
		if pg.Code == "25006" { // read_only_sql_transaction
			what = "the inventory query wants to write"
		}
	}
	return errs.New(code, "%s", what).At("%s", s.Where).Because(oneLine(err)).Hintf("%s", hint)
}

// oneLine is an error of pgx in one line: it has one for each address of the host, with and without TLS.
func oneLine(err error) error {
	var said []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return errors.New(strings.Join(said, " "))
}
