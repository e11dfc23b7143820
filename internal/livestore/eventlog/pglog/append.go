package pglog

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Append adds the batch in one transaction: all of it is stored or nothing. A conflict is an
// [*eventlog.AheadError], a connection that broke while it committed an [*eventlog.AmbiguousError].
//
// Postgres has no character U+0000: an event with one is refused.
func (l *Log) Append(ctx context.Context, batch []livestore.Event) error {
	if err := eventlog.CheckBatch(batch); err != nil {
		return err
	}
	if err := checkNUL(batch); err != nil {
		return err
	}
	for wait := firstWait; ; wait *= 2 {
		err := l.appendOnce(ctx, batch, wait > firstWait)
		var broke *brokenError
		if !errors.As(err, &broke) {
			return err
		}
		if wait > maxWait {
			return broke.error
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

const (
	// firstWait is before the first try after a connection broke; it doubles.
	firstWait = 100 * time.Millisecond
	// maxWait is before the last one: together they outlast a server's restart.
	maxWait = 6400 * time.Millisecond
)

// A brokenError says that the connection broke before the COMMIT was sent: nothing is stored, and it may be tried again.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// appendOnce is Append in one transaction. again says that the server was there a moment ago.
func (l *Log) appendOnce(ctx context.Context, batch []livestore.Event, again bool) error {
	var tx pgx.Tx
	err := l.run(ctx, func(conn *pgx.Conn) (err error) { // where this fails, nothing was sent yet
		if tx, err = conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}); err != nil {
			return l.failed("begin a transaction", err)
		}
		return nil
	})
	if err != nil {
		if again && errs.CodeOf(err) == errs.Internal && ctx.Err() == nil { // it restarts
			return &brokenError{err}
		}
		return err
	}
	if err := l.insert(ctx, tx, batch); err != nil {
		if l.conn.IsClosed() && ctx.Err() == nil {
			return &brokenError{err}
		}
		// A connection on which the rollback fails is closed, which is one as well.
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		_ = tx.Rollback(rollback)
		return l.behind(ctx, batch, err)
	}
	if ctx.Err() != nil {
		_ = l.conn.Close(ctx) // which rolls back
		return context.Cause(ctx)
	}
	// Once it is sent, giving up would only mean not to know.
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTime)
	defer cancel()
	if err := tx.Commit(commit); err != nil {
		if !refused(err) {
			return &eventlog.AmbiguousError{Err: l.failed("commit", err)}
		}
		return l.behind(ctx, batch, l.failed("commit", err))
	}
	return nil
}

func (l *Log) insert(ctx context.Context, tx pgx.Tx, batch []livestore.Event) error {
	head, err := l.head(ctx, tx)
	if err != nil {
		return l.orCause(ctx, err)
	}
	if head != batch[0].Parent.Global {
		return &eventlog.AheadError{Head: head}
	}
	var seqs, parents []int64
	var names, args, clients, sessions []string
	for _, e := range batch {
		seqs = append(seqs, int64(e.Seq.Global))
		parents = append(parents, int64(e.Parent.Global))
		names = append(names, e.Name)
		args = append(args, string(e.Args))
		clients = append(clients, e.ClientID)
		sessions = append(sessions, e.SessionID)
	}
	done, err := tx.Exec(ctx, `INSERT INTO `+l.table+` ("seqNum", "parentSeqNum", "name", "args", "clientId", "sessionId")
		SELECT seq, parent, name, args::jsonb, client, session
		FROM unnest($1::int8[], $2::int8[], $3::text[], $4::text[], $5::text[], $6::text[]) AS e (seq, parent, name, args, client, session)`,
		seqs, parents, names, args, clients, sessions)
	if err != nil {
		return l.orCause(ctx, l.failed("append to the log", err))
	}
	if n := done.RowsAffected(); n != int64(len(batch)) {
		return errs.Refusedf("the table took %d of %d events", n, len(batch)).At("%s", l.place).
			Hintf("nothing was stored; a trigger or a rule on the table leaves rows out: take it away, or exempt headgate's user")
	}
	return nil
}

// behind makes an AheadError of an error that says that a number is taken.
func (l *Log) behind(ctx context.Context, batch []livestore.Event, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != uniqueViolation {
		return err
	}
	switch head, e := l.Head(ctx); {
	case e != nil:
		return &eventlog.AheadError{Head: -1}
	case head.Confirmed == batch[0].Parent.Global: // another constraint: it would be so for ever
		return err
	default:
		return &eventlog.AheadError{Head: head.Confirmed}
	}
}

// refused reports whether the error of a COMMIT says for certain that nothing was stored. pgconn.SafeToRetry is no help:
// pgx says it of a connection that broke after the COMMIT was sent, too.
func refused(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return true
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	// A server that is shut down ends a session that waits for its standby with FATAL, after it committed.
	return pg.SeverityUnlocalized == "ERROR" && pg.Code != "40003" && pg.Code != "08007"
}

func checkNUL(batch []livestore.Event) error {
	for _, e := range batch {
		for _, s := range []string{e.Name, e.ClientID, e.SessionID} {
			if strings.Contains(s, "\x00") {
				return errs.Invalidf("event %s (%q) has a character U+0000, which Postgres can't store", e.Seq, e.Name)
			}
		}
		if hasNUL(string(e.Args)) {
			return errs.Invalidf("event %s (%q) has a character U+0000 in its arguments, which Postgres can't store", e.Seq, e.Name).
				Hintf("take it out where the arguments are made")
		}
	}
	return nil
}

// hasNUL looks for an escaped U+0000 in valid JSON; an unescaped one would not be valid.
func hasNUL(args string) bool {
	for {
		i := strings.IndexByte(args, '\\')
		if i < 0 {
			return false
		}
		if args = args[i+1:]; strings.HasPrefix(args, "u0000") {
			return true
		}
		args = args[1:] // what was escaped, a backslash maybe
	}
}
