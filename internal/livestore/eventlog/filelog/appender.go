package filelog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// An Appender appends to the log of a client that is stopped, and reads it as it is at each moment. It implements
// [eventlog.Appender]. What it appends is pending: the client pushes it when it is online the next time, and may
// have to give it other numbers then.
//
// LiveStore does not compare a state file with the log: it takes the file as it is, so that events that were
// appended beside it would never be materialized. So the client must find no state file, and rebuild the state
// from the whole log. The order of an Append keeps that true wherever it is killed:
//
//  1. The log is copied into a backup folder beside it, and synced to disk. Nothing is changed.
//  2. The state files are moved there, each before its journal, and the folders are synced. The client would
//     rebuild the state from the log as it was.
//  3. The events are committed in one transaction of SQLite. The client rebuilds from the log with them, or, killed
//     before the commit was through, rolls it back by the journal and rebuilds from the log as it was.
//
// The other order, append and then move, has a moment with the new log and the old state. A state file goes before
// its journal since a file without its journal may be half of a transaction and would be taken as it is, while a
// journal without its file is thrown away by SQLite.
type Appender struct {
	path string
	opt  Options
	db   *sql.DB // to read, and unable to write: a rollback of a journal, too
	// backup is the folder that holds what the log was before the first event of this Appender; "" before that.
	backup string
}

var _ eventlog.Appender = (*Appender)(nil)

// OpenAppender opens the log at path, which is the file or the folder that holds it. It changes nothing yet. It is
// errs.Refused while a client has the log open, or where that can't be seen (see openers and Options.ForceClosed), and also while the log
// changes; where a killed client left a journal, which only that client may roll back; and where a state is not
// rebuilt from the log. The log of a client that never committed anything is good, a folder without a log is not:
// it would have no client.
func OpenAppender(ctx context.Context, path string, opt Options) (_ *Appender, err error) {
	if path, err = locate(path); err != nil {
		return nil, refused(err)
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil { // the state files lie beside the file itself
		path = resolved
	}
	if _, ok := versionOf(filepath.Base(path)); !ok {
		return nil, errs.Refusedf("no client would read a log of that name").At("%s", path).
			Hintf("to append to it, it must be where the client keeps it, with the name %s or %s", nodeName, expoPrefix+nodeName)
	}
	if opt.Wait == 0 {
		opt.Wait = defaultWait
	}
	if opt.stage == nil {
		opt.stage = func(string) {}
	}
	if opt.openers == nil {
		opt.openers = openers
	}
	a := &Appender{path: path, opt: opt}
	if err := a.stopped(ctx); err != nil {
		return nil, err
	}
	if err := a.still(ctx); err != nil {
		return nil, err
	}
	if err := checkImage(path, path); err != nil {
		return nil, err
	}
	if err := checkJournalMode(path); err != nil {
		return nil, err
	}
	if _, err := a.states(); err != nil {
		return nil, err
	}
	if a.db, err = open(path, "mode=ro&_pragma=busy_timeout(5000)"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = a.Close() // the error at hand says more
		}
	}()
	if err := checkTables(ctx, a.db, path); err != nil {
		return nil, refused(err)
	}
	_, _, err = a.end(ctx, a.db)
	return a, err
}

// refused makes an error about the kind of a file, which for a reader is wrong input, one of Refused: writing there
// would lose data.
func refused(err error) error {
	if e := errs.As(err); e != nil && e.Code == errs.Invalid {
		e.Code = errs.Refused
	}
	return err
}

// checkJournalMode refuses a log with a write-ahead log: its truth lies in two files. LiveStore makes none.
func checkJournalMode(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return cantRead(path, err)
	}
	defer f.Close()
	var version [2]byte
	if _, err := f.ReadAt(version[:], 18); err != nil {
		return cantRead(path, err)
	}
	if version != [2]byte{1, 1} {
		return errs.Refusedf("another program than LiveStore gave the log a write-ahead log").At("%s", path).
			Hintf("turn it back with `sqlite3 FILE 'PRAGMA journal_mode = DELETE'` while the app is stopped")
	}
	return nil
}

// Path returns the file.
func (a *Appender) Path() string { return a.path }

// Backup returns the folder with the log and the state files as they were before the first Append; "" before that.
// To go back, stop the app and move what is in it over what is there.
func (a *Appender) Backup() string { return a.backup }

// ClientOnly returns true: a client's log holds its clientOnly events.
func (a *Appender) ClientOnly() bool { return true }

// Head returns how far the log goes now.
func (a *Appender) Head(ctx context.Context) (eventlog.Head, error) {
	if a.db == nil {
		return eventlog.Head{}, errClosed
	}
	h, err := head(ctx, a.db)
	if err == nil {
		err = a.db.QueryRowContext(ctx, `SELECT count(*) FROM eventlog`).Scan(&h.Events)
	}
	if err != nil {
		return eventlog.Head{}, a.sqliteError(ctx, "", err)
	}
	return h, nil
}

// end returns how far the log goes, and its last synced event, which is the parent of the next one.
func (a *Appender) end(ctx context.Context, db querier) (h eventlog.Head, synced livestore.ClientSeq, err error) {
	if h, err = head(ctx, db); err != nil {
		return h, synced, a.sqliteError(ctx, "", err)
	}
	err = db.QueryRowContext(ctx, `SELECT seqNumGlobal, seqNumRebaseGeneration FROM eventlog WHERE seqNumClient = 0
		ORDER BY seqNumGlobal DESC, seqNumRebaseGeneration DESC LIMIT 1`).Scan(&synced.Global, &synced.Rebase)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, synced, a.sqliteError(ctx, "", err)
	}
	if h.Confirmed > synced.Global {
		return h, synced, errs.Refusedf("the log ends at e%d, but says that the backend has confirmed e%d", synced.Global, h.Confirmed).At("%s", a.path).
			Hintf("what is appended would be taken for confirmed and never be sent; a client that was killed while it synced leaves a log so: repair __livestore_sync_status first")
	}
	return h, synced, nil
}

// Append appends the batch as pending events, see [Appender] for the order of things.
func (a *Appender) Append(ctx context.Context, batch []livestore.Event) (err error) {
	if a.db == nil {
		return errors.New("event log: append after Close")
	}
	if err := eventlog.CheckBatch(batch); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := a.stopped(ctx); err != nil {
		return err
	}
	if _, err := a.follows(ctx, a.db, batch); err != nil {
		return err
	}
	if err := a.setAside(ctx); err != nil {
		return err
	}
	// The lock is exclusive, so that a client that is started now reads the log's end before it, and is seen to have the
	// log open, or after it. From here on it takes milliseconds, and an answer is worth more than to be cut off.
	ctx = context.WithoutCancel(ctx)
	db, err := open(a.path, "mode=rw&_txlock=exclusive&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	err = a.commit(ctx, db, batch)
	switch e := db.Close(); {
	case e == nil:
		return err
	case err == nil: // it is stored, as the next look at the log shows
		return &eventlog.AmbiguousError{Err: a.sqliteError(ctx, "", e)}
	default:
		return errors.Join(err, e)
	}
}

// commit writes the batch in one transaction.
func (a *Appender) commit(ctx context.Context, db *sql.DB, batch []livestore.Event) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return a.sqliteError(ctx, "", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	h, err := a.follows(ctx, tx, batch)
	if err != nil {
		return err
	}
	if err := a.insert(ctx, tx, h, batch); err != nil {
		return err
	}
	a.opt.stage("inserted")
	// A client that was started since, too: its head is in its memory, and it would give the same numbers again.
	if err := a.notOpen(ctx); err != nil {
		return err
	}
	switch err := tx.Commit(); {
	case err == nil:
		a.opt.stage("committed")
		return nil
	case sqliteCode(err) == sqlite3.SQLITE_BUSY: // nothing was written
		return a.sqliteError(ctx, "", err)
	default:
		return &eventlog.AmbiguousError{Err: a.sqliteError(ctx, "", err)}
	}
}

// follows returns where the log ends, and an [*eventlog.AheadError] if that is not the batch's parent.
func (a *Appender) follows(ctx context.Context, db querier, batch []livestore.Event) (tail, error) {
	h, synced, err := a.end(ctx, db)
	if err != nil {
		return tail{}, err
	}
	if batch[0].Parent.Global != synced.Global {
		return tail{}, &eventlog.AheadError{Head: synced.Global}
	}
	return tail{parent: synced, rebase: h.Last.Rebase}, nil
}

// A tail is what the next synced event of a log follows. LiveStore gives it the rebase generation of the last row,
// whether that is confirmed, pending or clientOnly.
type tail struct {
	parent livestore.ClientSeq
	rebase int64
}

func (a *Appender) insert(ctx context.Context, tx *sql.Tx, t tail, batch []livestore.Event) error {
	stmt, err := tx.PrepareContext(ctx, `INSERT INTO eventlog (`+rowColumns+`) VALUES ($1, 0, $2, $3, 0, $4, $5, $6, $7, $8, $9, $10)`)
	if err != nil {
		return a.sqliteError(ctx, "", err)
	}
	defer stmt.Close()
	parent := t.parent
	for _, e := range batch {
		var args bytes.Buffer
		if err := json.Compact(&args, e.Args); err != nil { // CheckBatch has parsed it
			return fmt.Errorf("event %s: %w", e.Seq, err)
		}
		hash := int64(livestore.UnknownSchemaHash)
		if a.opt.SchemaHash != nil {
			if known, ok := a.opt.SchemaHash(e.Name); ok {
				hash = known
			}
		}
		if _, err := stmt.ExecContext(ctx, int64(e.Seq.Global), t.rebase, int64(parent.Global), parent.Rebase,
			e.Name, args.String(), e.ClientID, e.SessionID, hash, noMetadata); err != nil {
			return a.sqliteError(ctx, "", err)
		}
		parent = livestore.ClientSeq{Global: e.Seq.Global, Rebase: t.rebase}
	}
	return nil
}

// sqliteError makes an error of SQLite's one that says what the user can do.
func (a *Appender) sqliteError(ctx context.Context, place string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY: // read-only: there is a journal that can't be rolled back
		return errs.Refusedf("another process writes to the log").At("%s", a.path).Because(err).Hintf(stopHint)
	case sqlite3.SQLITE_FULL:
		return errs.New(errs.Internal, "the disk is full").At("%s", a.path).Because(err).Hintf("nothing was appended")
	}
	return damaged(a.path, place, err)
}

// sqliteCode returns SQLite's primary result code, 0 if the error is not of SQLite.
func sqliteCode(err error) int {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return 0
	}
	return se.Code() & 0xff
}

// Close releases what the Appender holds open. The backup stays.
func (a *Appender) Close() error {
	if a.db == nil {
		return nil
	}
	err := a.db.Close()
	a.db = nil
	return err
}
