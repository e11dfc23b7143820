package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"headgate/internal/errs"
)

// busyTime is how long a statement waits for another process's transaction.
const busyTime = 10 * time.Second

// openTries is how often Open tries to bring the tables up to date while other processes do the same, about 100 ms apart.
const openTries = 50

func openSQLite(ctx context.Context, path string, opt Options) (*DB, error) {
	if opt.Existing {
		if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil, missing(path)
		}
	}
	if err := touch(path); err != nil {
		return nil, err
	}
	dsn := sqliteDSN(path, "wal")
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, errs.New(errs.Internal, "can't open the control database").At("%s", path).Because(err)
	}
	pool.SetMaxOpenConns(8)
	db := &DB{engine: sqliteEngine, sql: pool, dsn: dsn, place: path, now: opt.Now, writing: make(chan struct{}, 1)}
	if err := db.migrateSQLite(ctx); err != nil {
		return nil, errors.Join(db.failed(ctx, "open the control database", err), pool.Close())
	}
	return db, nil
}

func missing(place string) error {
	return errs.NotFoundf("there is no control database yet").At("%s", place).Hintf("the first run of a migration makes it")
}

// touch makes an empty file that only this user may read, where there is none. SQLite gives its other files the same mode.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return errs.New(errs.Internal, "can't make the directory of the control database").At("%s", path).Because(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return errs.New(errs.Internal, "can't open the control database").At("%s", path).Because(err).
			Hintf("headgate writes to it even where a command only reads")
	}
	return f.Close()
}

func sqliteDSN(path, journal string) string {
	q := url.Values{
		"_busy_timeout": {fmt.Sprint(busyTime.Milliseconds())},
		"_txlock":       {"immediate"},
		"_pragma":       {"journal_mode(" + journal + ")", "synchronous(normal)", "foreign_keys(1)"},
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// migrateSQLite brings the tables up to date while no other process does, as often as it takes beside those that write.
func (db *DB) migrateSQLite(ctx context.Context) error {
	for try := 1; ; try++ {
		err := db.migrateAlone(ctx)
		if err == nil || try == openTries || ctx.Err() != nil || !contended(err) {
			return err
		}
		wait := time.NewTimer(100 * time.Millisecond)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		}
	}
}

// migrateAlone holds a lock while it migrates: a transaction on an empty database beside the real one, which ends with its process
// whatever becomes of that.
func (db *DB) migrateAlone(ctx context.Context) (err error) {
	path := db.place + "-ddl"
	if err := touch(path); err != nil {
		return err
	}
	lock, err := sql.Open("sqlite", sqliteDSN(path, "delete"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	tx, err := lock.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	return db.migrate(ctx)
}

// contended reports whether a migration failed because another process was at it.
func contended(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// sqliteFailure makes an error for the user of one of SQLite, or nil.
func (db *DB) sqliteFailure(doing string, err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return nil
	}
	failed := errs.New(errs.Internal, "can't %s", doing).At("%s", db.place).Because(e)
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return errs.Invalidf("the file is not a SQLite database").At("%s", db.place).
			Hintf("`control:` in headgate.yaml names the control database")
	case sqlite3.SQLITE_CORRUPT:
		return errs.Invalidf("the control database is damaged").At("%s", db.place).Because(e).
			Hintf("restore it from a backup; without it headgate finds in the logs what was committed")
	case sqlite3.SQLITE_BUSY:
		return failed.Hintf("another process has written to it for over %s; run it again", busyTime).Passes()
	case sqlite3.SQLITE_FULL:
		return failed.Hintf("the disk is full")
	}
	return failed
}
