package pglog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"headgate/internal/errs"
)

// The SQLSTATE codes that are told apart.
const (
	uniqueViolation  = "23505"
	undefinedTable   = "42P01"
	undefinedColumn  = "42703"
	notPermitted     = "42501"
	wrongPassword    = "28P01"
	notAuthorized    = "28000"
	undefinedCatalog = "3D000"
	dataException    = "22" // the class
)

// passing are the classes of failures that end by themselves: connections, resources, a server that restarts.
var passing = []string{"08", "53", "57"}

// run hands work a connection, a new one where the last broke. When a connection that was idle turns out to be dead,
// work gets another try on a new one; so work must be something that may be sent twice.
func (l *Log) run(ctx context.Context, work func(*pgx.Conn) error) error {
	if l.closed {
		return errors.New("event log: used after Close")
	}
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		idle := l.conn != nil && !l.conn.IsClosed()
		if !idle {
			if err := l.connect(ctx); err != nil {
				return l.orCause(ctx, err)
			}
		}
		err := work(l.conn)
		if err == nil || !idle || !l.conn.IsClosed() || ctx.Err() != nil {
			return l.orCause(ctx, err)
		}
	}
}

// orCause prefers the context's cause: when it ends, pgx closes the connection and says so in many ways.
func (l *Log) orCause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *Log) connect(ctx context.Context) error {
	if l.conn != nil {
		<-l.conn.PgConn().CleanupDone()
		l.conn = nil
	}
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return l.unreachable(err)
	}
	l.conn = conn
	return nil
}

// unreachable says why there is no connection. pgx names user, database and hosts in its error, never the password.
func (l *Log) unreachable(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case wrongPassword, notAuthorized:
			return errs.Invalidf("Postgres refuses the login: %s", pg.Message).At("%s", l.place).
				Hintf("check user and password; where the address has no password, PGPASSWORD and ~/.pgpass are asked")
		case undefinedCatalog:
			return errs.NotFoundf("Postgres refuses the login: %s", pg.Message).At("%s", l.place).Hintf("check the database's name")
		}
	}
	return errs.New(errs.Internal, "can't connect to Postgres").At("%s", l.place).Because(oneLine{err}).
		Hintf("check host and port, and that the database runs and lets this machine in").Passes()
}

// oneLine is an error of pgx in one line: it has one for each address of the host, with and without TLS.
type oneLine struct{ error }

func (e oneLine) Error() string {
	var said []string
	for line := range strings.Lines(e.error.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}

func (e oneLine) Unwrap() error { return e.error }

// failed makes an error for the user of one of Postgres. The text of a PgError has no details, which is where the values
// are.
func (l *Log) failed(doing string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return errs.New(errs.Internal, "can't %s", doing).At("%s", l.place).Because(err).Hintf("run it again; what was done stays done").Passes()
	}
	switch pg.Code {
	case undefinedTable:
		return l.missing()
	case undefinedColumn:
		return errs.Invalidf("the table is not an eventlog of LiveStore: %s", pg.Message).At("%s", l.place).
			Hintf("it needs \"seqNum\", \"parentSeqNum\", \"name\", \"args\", \"clientId\" and \"sessionId\"")
	case notPermitted:
		return errs.Invalidf("can't %s", doing).At("%s", l.place).Because(pg).
			Hintf("GRANT SELECT (and INSERT, for migrations) on it to the user, and USAGE on its schema")
	}
	if strings.HasPrefix(pg.Code, dataException) {
		return errs.Invalidf("can't %s, Postgres can't store one of the values", doing).At("%s", l.place).Because(pg)
	}
	e := errs.New(errs.Internal, "can't %s", doing).At("%s", l.place).Because(pg)
	e.Passing = pgconn.SafeToRetry(err) || slices.Contains(passing, pg.Code[:min(2, len(pg.Code))])
	return e
}

func (l *Log) missing() error {
	return errs.NotFoundf("there is no such table, so the store is not there or goes by another name").At("%s", l.place).
		Hintf("the app's API creates a store's table when a client first pulls it; headgate never does. Check the store id and the database, or name the table: postgres:DSN#TABLE")
}

func compact(s string) (json.RawMessage, error) {
	var b bytes.Buffer
	b.Grow(len(s))
	if err := json.Compact(&b, []byte(s)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
