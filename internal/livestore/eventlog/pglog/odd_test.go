package pglog_test

import (
	"errors"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/pglog"
)

// TestTableThatLosesRows has a trigger that leaves rows out without an error.
func TestTableThatLosesRows(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_sieve")
	db.exec(t, `CREATE FUNCTION sieve() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW."seqNum" = 2 THEN RETURN NULL; END IF; RETURN NEW; END'`)
	db.exec(t, `CREATE TRIGGER sieve BEFORE INSERT ON eventlog_6_sieve FOR EACH ROW EXECUTE FUNCTION sieve()`)
	l := db.log(t, "sieve")
	err := l.Append(t.Context(), batch(1, 3))
	if e := errs.As(err); e == nil || e.Code != errs.Refused || !strings.Contains(e.Msg, "2 of 3") || e.Hint == "" {
		t.Errorf("error %v, want an errs.Refused one that says what was lost", err)
	}
	if got := eventlogtest.Collect(t, l, livestore.ClientSeq{}); len(got) != 0 {
		t.Errorf("%d events are stored", len(got))
	}
}

// TestAnotherConstraint must not be taken for a log that has moved on, which would be tried again and again.
func TestAnotherConstraint(t *testing.T) {
	for name, constraint := range map[string]string{"at once": "", "at the COMMIT": " DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			db.create(t, "eventlog_6_strict")
			db.exec(t, `ALTER TABLE eventlog_6_strict ADD CONSTRAINT one_each UNIQUE ("name", "clientId")`+constraint)
			l := db.log(t, "strict")
			err := l.Append(t.Context(), batch(1, 3))
			var ahead *eventlog.AheadError
			var ambiguous *eventlog.AmbiguousError
			if errors.As(err, &ahead) || errors.As(err, &ambiguous) || errs.As(err) == nil || !strings.Contains(err.Error(), "one_each") {
				t.Errorf("error %v, want a certain one that names the constraint", err)
			}
		})
	}
}

// TestDeferredUniqueness notices at the COMMIT only that another was faster.
func TestDeferredUniqueness(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_later")
	db.exec(t, `ALTER TABLE eventlog_6_later DROP CONSTRAINT eventlog_6_later_pkey, ADD CONSTRAINT later UNIQUE ("seqNum") DEFERRABLE INITIALLY DEFERRED`)
	l := db.log(t, "later")
	db.exec(t, `BEGIN`)
	db.exec(t, `INSERT INTO eventlog_6_later VALUES (1, 0, 'v1.B', '1', 'live', 's')`)
	result := make(chan error, 1)
	go func() { result <- l.Append(t.Context(), batch(1, 2)) }()
	db.waits(t)
	db.exec(t, `COMMIT`)
	var ahead *eventlog.AheadError
	if err := <-result; !errors.As(err, &ahead) || ahead.Head != 1 {
		t.Errorf("error %v, want an AheadError with the head e1", err)
	}
	if got := eventlogtest.Collect(t, l, livestore.ClientSeq{}); len(got) != 1 || got[0].ClientID != "live" {
		t.Errorf("the log is %v", got)
	}
}

// waits returns when somebody waits for this connection's transaction.
func (db database) waits(t *testing.T) {
	t.Helper()
	for waiting := false; !waiting; {
		if err := db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTerminated has the server end the connection in the midst of an append.
func TestTerminated(t *testing.T) {
	const kill = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))`
	t.Run("while it inserts", func(t *testing.T) {
		db := open(t)
		db.create(t, "eventlog_6_end")
		l := db.log(t, "end")
		db.exec(t, `BEGIN`)
		db.exec(t, `LOCK TABLE eventlog_6_end IN EXCLUSIVE MODE`) // it can be read
		result := make(chan error, 1)
		go func() { result <- l.Append(t.Context(), batch(1, 3)) }()
		db.waits(t)
		db.exec(t, kill)
		db.waits(t) // it has begun again
		db.exec(t, kill)
		db.exec(t, `COMMIT`)
		if err := <-result; err != nil {
			t.Errorf("nothing was sent that could be stored, so it goes on by itself: %v", err)
		}
		db.wantOnce(t, l, 3)
	})
	t.Run("while it commits", func(t *testing.T) {
		db := open(t)
		db.create(t, "eventlog_6_end")
		db.exec(t, `CREATE TABLE gate ()`)
		db.exec(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN LOCK TABLE gate; RETURN NULL; END'`)
		db.exec(t, `CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON eventlog_6_end DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`)
		l := db.log(t, "end")
		db.exec(t, `BEGIN`)
		db.exec(t, `LOCK TABLE gate`)
		result := make(chan error, 1)
		go func() { result <- l.Append(t.Context(), batch(1, 3)) }()
		db.waits(t)
		db.exec(t, kill)
		db.exec(t, `COMMIT`)
		var ambiguous *eventlog.AmbiguousError
		if err := <-result; !errors.As(err, &ambiguous) {
			t.Errorf("error %v, want an AmbiguousError: the COMMIT was sent", err)
		}
		db.wantOnce(t, l, 0)
		if err := l.Append(t.Context(), batch(1, 3)); err != nil {
			t.Error(err)
		}
		db.wantOnce(t, l, 3)
	})
}

func (db database) wantOnce(t *testing.T, l *pglog.Log, n int) {
	t.Helper()
	got := eventlogtest.Collect(t, l, livestore.ClientSeq{})
	for i, e := range got {
		if e.Seq.Global != livestore.SeqNum(i+1) {
			t.Errorf("event %d is %s", i+1, e.Seq)
		}
	}
	if len(got) != n {
		t.Errorf("%d events are stored, want %d", len(got), n)
	}
}
