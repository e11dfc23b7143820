package control

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/internal/errs"
)

// Options says which control database is opened.
type Options struct {
	// URL is sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE with what pgx understands behind a question
	// mark. No error quotes a password. The SQLite file, and its directory, are made when they are not there. In
	// Postgres the tables lie in the schema headgate, which is made, unless the URL has search_path=SCHEMA.
	URL string

	// Existing opens only a database that is there: where there is no file, or none of headgate's tables, the error is
	// errs.NotFound and nothing is made.
	Existing bool

	// Now is the clock; required.
	Now func() time.Time
}

// A DB is an open control database. It may be used by several goroutines.
type DB struct {
	engine engine
	sql    *sql.DB
	dsn    string
	place  string // for messages, without a password
	now    func() time.Time

	// writing is held by the one transaction that this process has open on SQLite: a mutex that a context can end. Its
	// goroutines queue here, where nobody starves, and not in SQLite's busy handler. Nil for Postgres.
	writing chan struct{}
}

type engine string

const (
	sqliteEngine   engine = "sqlite"
	postgresEngine engine = "postgres"
)

// Open opens the database, makes its tables, or brings them up to date. Several processes may do so at once. A database
// that a newer headgate has changed is errs.Refused; an address that can't be used, or a file that is something else,
// errs.Invalid; a server that does not answer, errs.Internal.
func Open(ctx context.Context, opt Options) (*DB, error) {
	if opt.Now == nil {
		return nil, errs.New(errs.Internal, "the control database was opened without a clock")
	}
	kind, path, _ := strings.Cut(opt.URL, ":")
	switch {
	case kind == "sqlite" && path != "":
		return openSQLite(ctx, path, opt)
	case kind == "postgres", kind == "postgresql":
		return openPostgres(ctx, opt.URL, opt)
	}
	return nil, errs.Invalidf("the address of the control database is neither sqlite:PATH nor a postgres:// URL") // may hold a password
}

// Close ends the connections. It waits for methods under way.
func (db *DB) Close() error {
	if err := db.sql.Close(); err != nil {
		return errs.New(errs.Internal, "can't close the control database").At("%s", db.place).Because(err)
	}
	return nil
}

// Place says where the database is, for people: without a password.
func (db *DB) Place() string { return db.place }

// Postgres reports whether other machines can share the database.
func (db *DB) Postgres() bool { return db.engine == postgresEngine }

// DataSource is what others who keep tables of their own in the same place open, as a data source name of
// modernc.org/sqlite or pgx. It holds the password: it must not be printed.
func (db *DB) DataSource() string { return db.dsn }

// By says who does something that the audit records, and why.
type By struct {
	Actor  string // a person, or a program that acts by itself; required
	Reason string // may be empty, except where a method demands it
	Token  string // the id of the token that the actor used at the server; empty for none
	// Allowed are the codes of the findings that are let pass for it, as "RO102".
	Allowed []string
}

// detail adds why, and what was allowed, to what the audit keeps of an action.
func (b By) detail(d map[string]any) map[string]any {
	d["reason"] = b.Reason
	if len(b.Allowed) > 0 {
		d["allowed"] = b.Allowed
	}
	return b.through(d)
}

// through adds the token that was used.
func (b By) through(d map[string]any) map[string]any {
	if b.Token != "" {
		d["token"] = b.Token
	}
	return d
}

func (b By) check() error {
	if strings.TrimSpace(b.Actor) == "" {
		return errs.New(errs.Internal, "an action without an actor was to be recorded")
	}
	return nil
}

// tx runs work in a transaction. doing says what, for the error: "acquire the lease".
func (db *DB) tx(ctx context.Context, doing string, work func(*sql.Tx) error) (err error) {
	defer func() { err = db.failed(ctx, doing, err) }()
	if db.writing != nil {
		select {
		case db.writing <- struct{}{}:
			defer func() { <-db.writing }()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	tx, err := db.sql.BeginTx(ctx, nil) // SQLite: immediate
	if err != nil {
		return err
	}
	if err := work(tx); err != nil {
		if undo := tx.Rollback(); undo != nil && !errors.Is(undo, sql.ErrTxDone) {
			return errors.Join(err, undo)
		}
		return err
	}
	return tx.Commit()
}

// serialise waits until no other transaction that called it with the same word is open. On SQLite there is none, since
// transactions begin as writers; Postgres takes an advisory lock that ends with the transaction. The next statement sees
// what the others committed.
func (db *DB) serialise(ctx context.Context, tx *sql.Tx, word string) error {
	if db.engine == sqliteEngine {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || $1, 0))`, word)
	return err
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// all returns what scan makes of each row.
func all[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// pageSize is how many rows an iteration holds.
const pageSize = 500

// pages yields what page returns, which are at most pageSize values after the last one that was yielded; at first
// after the zero value. Nothing is open between pages, so that whoever iterates may write.
func pages[T any](page func(after T) ([]T, error)) iter.Seq2[T, error] {
	var first T
	return pagesAfter(first, page)
}

// pagesAfter is pages from after a value on.
func pagesAfter[T any](first T, page func(after T) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		after := first
		for {
			values, err := page(after)
			if err != nil {
				yield(after, err)
				return
			}
			for _, v := range values {
				if !yield(v, nil) {
					return
				}
			}
			if len(values) < pageSize {
				return
			}
			after = values[len(values)-1]
		}
	}
}

// words joins a set of words for the condition `$1 = ” OR $1 LIKE '%,' || state || ',%'`, which both engines read
// alike. No words at all admit every row.
func words[W ~string](set []W) string {
	if len(set) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteByte(',')
	for _, w := range set {
		b.WriteString(string(w))
		b.WriteByte(',')
	}
	return b.String()
}

// millis is a time as the database has it; 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// named refuses a name that is empty or that Postgres can't store.
func named(what, name string) error {
	switch {
	case name == "":
		return errs.Invalidf("the %s is empty", what)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return errs.Invalidf("the %s %q is not text", what, name)
	}
	return nil
}
