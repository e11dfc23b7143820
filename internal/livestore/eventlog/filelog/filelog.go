// Package filelog reads the event log that a LiveStore client keeps on disk, eventlog@6.db, and appends to it.
//
// A [Reader] opens no file of the app in SQLite and never writes beside it: it reads from a private copy of one
// moment (see snapshot), so a running app is not disturbed and an app that was killed finds its journal untouched. A
// [Client] is that with the state files beside the log.
// An [Appender] writes to the log of a client that is stopped. Neither reads other storage formats, nor repairs.
package filelog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Options says how a log is opened. The zero value is good.
type Options struct {
	// TempDir is where the private copy lies while the Reader is open; the system's temporary folder if empty.
	// The copy is readable for this user only. One that a killed process left is removed after a day.
	TempDir string
	// Wait is how long to wait for a moment in which nothing is written; 5 s if zero.
	Wait time.Duration

	// SchemaHash returns LiveStore's hash of an event's argument schema, which an Appender writes beside the event;
	// nil, like false, for [livestore.UnknownSchemaHash]. A client whose hash is another one says so in its log when
	// it rebuilds, and goes on.
	SchemaHash func(event string) (int64, bool)
	// ForceClosed is the user's word that no client has the log open, where an Appender can't see that. One that is seen
	// is refused all the same.
	ForceClosed bool
	// Now is the clock that names an Appender's backups. An Appender needs it.
	Now func() time.Time

	stage   func(name string) // a test looks at the files in the midst of an Append
	openers func(ctx context.Context, path string) ([]opener, error)
}

const defaultWait = 5 * time.Second

// A Reader reads a log as it was when it was opened. It implements [eventlog.Reader].
type Reader struct {
	path string // of the original
	dir  string // of the copy
	db   *sql.DB
	head eventlog.Head
}

var _ eventlog.Reader = (*Reader)(nil)

// Open opens the log at path, which is the file or the folder that holds it.
func Open(ctx context.Context, path string, opt Options) (_ *Reader, err error) {
	path, err = locate(path)
	if err != nil {
		return nil, err
	}
	if opt.Wait == 0 {
		opt.Wait = defaultWait
	}
	if opt.TempDir == "" {
		opt.TempDir = os.TempDir()
	}
	dir, err := os.MkdirTemp(opt.TempDir, copyPrefix) // 0700
	if err != nil {
		return nil, cantCopy(opt.TempDir, err)
	}
	sweep(dir)
	r := &Reader{path: path, dir: dir}
	defer func() {
		if err != nil {
			_ = r.Close() // the error at hand says more
		}
	}()
	if err := snapshot(ctx, path, dir, opt.Wait, copySet); err != nil {
		return nil, err
	}
	if err := r.openCopy(ctx); err != nil {
		return nil, err
	}
	if err := checkTables(ctx, r.db, path); err != nil {
		return nil, err
	}
	if err := r.readHead(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// openCopy lets SQLite roll a killed transaction back, in the copy, and opens what remains as unchanging.
func (r *Reader) openCopy(ctx context.Context) error {
	file := filepath.Join(r.dir, copyName)
	if err := settle(ctx, file); err != nil {
		return damaged(r.path, "", err)
	}
	if err := checkImage(file, r.path); err != nil {
		return err
	}
	var err error
	r.db, err = open(file, "mode=ro&immutable=1")
	return err
}

// settle rolls back what a killed transaction left in a copy.
func settle(ctx context.Context, file string) error {
	for _, suffix := range sidecars {
		if _, err := os.Stat(file + suffix); err == nil {
			return recoverCopy(ctx, file)
		}
	}
	return nil
}

func recoverCopy(ctx context.Context, file string) (err error) {
	db, err := open(file, "mode=rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var n int
	return db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&n)
}

func open(file, query string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(file), RawQuery: query}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	return db, nil
}

func (r *Reader) readHead(ctx context.Context) (err error) {
	r.head, err = head(ctx, r.db)
	if err == nil {
		err = r.db.QueryRowContext(ctx, `SELECT count(*) FROM eventlog`).Scan(&r.head.Events)
	}
	if err != nil {
		return damaged(r.path, "", err)
	}
	return nil
}

// A querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// head reads how far a log goes. It does not count the events.
func head(ctx context.Context, db querier) (h eventlog.Head, err error) {
	var id sql.NullString
	// LiveStore takes the first row, and 0 where there is none.
	err = db.QueryRowContext(ctx, `SELECT head, backendId FROM __livestore_sync_status LIMIT 1`).Scan(&h.Confirmed, &id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, err
	}
	h.BackendID = id.String
	err = db.QueryRowContext(ctx, `SELECT seqNumGlobal, seqNumClient, seqNumRebaseGeneration FROM eventlog
		ORDER BY seqNumGlobal DESC, seqNumClient DESC, seqNumRebaseGeneration DESC LIMIT 1`).
		Scan(&h.Last.Global, &h.Last.Client, &h.Last.Rebase)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, err
	}
	return h, nil
}

// Path returns the file that the log was read from.
func (r *Reader) Path() string { return r.path }

// Head returns how far the log goes.
func (r *Reader) Head(context.Context) (eventlog.Head, error) {
	if r.db == nil {
		return eventlog.Head{}, errClosed
	}
	return r.head, nil
}

// ClientOnly returns true: a client's log holds its clientOnly events.
func (r *Reader) ClientOnly() bool { return true }

var errClosed = errors.New("event log: read after Close")

// eventsQuery follows an index, so SQLite sorts nothing and memory stays flat.
const eventsQuery = `SELECT ` + rowColumns + ` FROM eventlog WHERE (seqNumGlobal, seqNumClient) > ($1, $2)
	ORDER BY seqNumGlobal, seqNumClient, seqNumRebaseGeneration`

// Events streams the events after the given place.
func (r *Reader) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		if r.db == nil {
			yield(livestore.Event{}, errClosed)
			return
		}
		last := after
		rows, err := r.db.QueryContext(ctx, eventsQuery, int64(after.Global), after.Client)
		if err != nil {
			yield(livestore.Event{}, r.readError(ctx, last, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var row row
			if err := row.scan(rows); err != nil {
				yield(livestore.Event{}, r.readError(ctx, last, err))
				return
			}
			e, bad := row.event(r.head.Confirmed)
			last = e.Seq
			if bad != nil {
				if !yield(e, malformed(r.path, e, bad)) {
					return
				}
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(livestore.Event{}, r.readError(ctx, last, err))
		}
	}
}

func (r *Reader) readError(ctx context.Context, last livestore.ClientSeq, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return damaged(r.path, " after event "+last.String(), err)
}

// Close removes the copy.
func (r *Reader) Close() error {
	var closing error
	if r.db != nil {
		closing = r.db.Close()
		r.db = nil
	}
	if r.dir == "" {
		return closing
	}
	removing := os.RemoveAll(r.dir)
	r.dir = ""
	return errors.Join(closing, removing)
}

// damaged makes an error of SQLite's one that says what the user can do. place is "" or " after event e5".
func damaged(path, place string, err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return fmt.Errorf("%s: read the log%s: %w", path, place, err)
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return errs.Invalidf("the SQLite file is damaged%s", place).At("%s", path).Because(err).
			Hintf("events after that place can't be read; take them from the backend with `livestore sync export`")
	default:
		return errs.New(errs.Internal, "SQLite can't read the log%s", place).At("%s", path).Because(err)
	}
}
