package pglog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/pglog"
)

// TestAmbiguous cuts the connection around a COMMIT.
func TestAmbiguous(t *testing.T) {
	tests := []struct {
		name      string
		cut       string // the connection, when the client sends this
		pass      bool   // hand it on first
		ambiguous bool
		stored    int
	}{
		{"the COMMIT is lost", "commit\x00", false, true, 0},
		{"its answer is lost", "commit\x00", true, true, 3},
		{"before the COMMIT", "INSERT INTO", false, false, 3},
		{"while it begins", "begin", true, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db := open(t)
			db.create(t, "eventlog_6_cut")
			p := newProxy(t, db.dsn)
			l, err := pglog.Open(t.Context(), pglog.Options{DSN: p.dsn, StoreID: "cut"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p.cut.Store(&cut{when: []byte(test.cut), pass: test.pass, always: test.cut == "begin"})
			err = l.Append(t.Context(), batch(1, 3))
			var ambiguous *eventlog.AmbiguousError
			if errors.As(err, &ambiguous) != test.ambiguous || (errs.As(err) == nil) != (!test.ambiguous && test.stored > 0) {
				t.Fatalf("error %v, ambiguous is to be %v", err, test.ambiguous)
			}
			p.cut.Store(nil)
			// The COMMIT that was handed on may still be at work: a lock on the table waits for it.
			db.exec(t, `BEGIN; LOCK TABLE eventlog_6_cut; COMMIT`)
			if got := eventlogtest.Collect(t, l, livestore.ClientSeq{}); len(got) != test.stored {
				t.Errorf("%d events are stored, want %d", len(got), test.stored)
			}
			if err := l.Append(t.Context(), batch(livestore.SeqNum(test.stored+1), 1)); err != nil {
				t.Errorf("the log can't be used any more: %v", err)
			}
		})
	}
}

// TestDeadConnection ends the connection between two calls, as an idle one is by a pooler or a restart.
func TestDeadConnection(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_dead")
	l := db.log(t, "dead")
	kill := func() {
		t.Helper()
		db.exec(t, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND query LIKE '%eventlog_6_dead%' AND state IS NOT NULL`)
	}
	for seq := livestore.SeqNum(1); seq <= 3; seq++ {
		kill()
		if err := l.Append(t.Context(), batch(seq, 1)); err != nil {
			t.Fatal(err)
		}
		kill()
		if head, err := l.Head(t.Context()); err != nil || head.Confirmed != seq {
			t.Fatalf("head %v, %v", head, err)
		}
		kill()
		if got := eventlogtest.Collect(t, l, livestore.ClientSeq{}); len(got) != int(seq) {
			t.Fatalf("%d events", len(got))
		}
	}
}

// TestUncommittedConflict appends while a live client's push, which does not look at the head, is under way.
func TestUncommittedConflict(t *testing.T) {
	for _, ends := range []string{"COMMIT", "ROLLBACK"} {
		t.Run(ends, func(t *testing.T) {
			db := open(t)
			db.create(t, "eventlog_6_busy")
			l := db.log(t, "busy")
			db.exec(t, `BEGIN`)
			db.exec(t, `INSERT INTO eventlog_6_busy VALUES (1, 0, 'v1.B', '1', 'live', 's'), (2, 1, 'v1.B', '2', 'live', 's')`)
			result := make(chan error, 1)
			go func() { result <- l.Append(t.Context(), batch(1, 1)) }()
			for waiting := false; !waiting; {
				err := db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`).Scan(&waiting)
				if err != nil {
					t.Fatal(err)
				}
			}
			db.exec(t, ends)
			err := <-result
			var ahead *eventlog.AheadError
			switch {
			case ends == "ROLLBACK" && err != nil:
				t.Errorf("the other gave up: %v", err)
			case ends == "COMMIT" && (!errors.As(err, &ahead) || ahead.Head != 2):
				t.Errorf("error %v, want an AheadError with the head e2", err)
			}
		})
	}
}

func TestInterruptedAppend(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_wait")
	l := db.log(t, "wait")
	db.exec(t, `BEGIN`)
	db.exec(t, `LOCK TABLE eventlog_6_wait`)
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Append(ctx, batch(1, 1)) }()
	for waiting := false; !waiting; {
		if err := db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	why := errors.New("stopped by the test")
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Errorf("error %v, want the context's cause", err)
	}
	db.exec(t, `COMMIT`)
	if head, err := l.Head(t.Context()); err != nil || head.Confirmed != 0 {
		t.Errorf("head %v, %v: nothing was to be stored", head, err)
	}
}

func TestValuesThatPostgresHasNot(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_odd")
	l := db.log(t, "odd")
	for name, change := range map[string]func(e *livestore.Event){
		"NUL in a string":      func(e *livestore.Event) { e.Args = json.RawMessage(`{"secret":"a\\\u0000"}`) },
		"NUL in a key":         func(e *livestore.Event) { e.Args = json.RawMessage(`{"secret\u0000":1}`) },
		"NUL in the clientId":  func(e *livestore.Event) { e.ClientID = "a\x00" },
		"half a surrogate":     func(e *livestore.Event) { e.Args = json.RawMessage(`"secret\ud83d"`) },
		"a number without end": func(e *livestore.Event) { e.Args = json.RawMessage(`1e999999`) },
	} {
		b := batch(1, 2)
		change(&b[1])
		err := l.Append(t.Context(), b)
		if errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: error %v, want an errs.Invalid", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the payload: %v", name, err)
		}
	}
	db.exec(t, `INSERT INTO eventlog_6_odd VALUES (2147483647, 2147483646, 'v1.A', '1', 'c', 's')`)
	err := l.Append(t.Context(), batch(2147483648, 1))
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "integer out of range") {
		t.Errorf("past the column's last number: error %v", err)
	}
	b := batch(1, 1)
	b[0].Args = json.RawMessage(`"\\u0000"`) // an escaped backslash
	var ahead *eventlog.AheadError
	if err := l.Append(t.Context(), b); !errors.As(err, &ahead) || ahead.Head != 2147483647 {
		t.Errorf("a backslash: error %v, want an AheadError", err)
	}
}

func TestReadOnlyUser(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_read")
	l, err := pglog.Open(t.Context(), pglog.Options{DSN: db.dsn + "&default_transaction_read_only=on", StoreID: "read"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(t.Context(), batch(1, 1)); err != nil { // Append asks for a transaction that writes
		t.Error(err)
	}
	db.exec(t, `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not today''; END'`)
	db.exec(t, `CREATE CONSTRAINT TRIGGER no AFTER INSERT ON eventlog_6_read DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()`)
	err = l.Append(t.Context(), batch(2, 1)) // the COMMIT is refused
	var ambiguous *eventlog.AmbiguousError
	if errs.As(err) == nil || errors.As(err, &ambiguous) || !strings.Contains(err.Error(), "not today") {
		t.Errorf("error %v, want one that is certain", err)
	}
	if head, err := l.Head(t.Context()); err != nil || head.Confirmed != 1 {
		t.Errorf("head %v, %v", head, err)
	}
}

// A cut says when a proxy breaks a connection.
type cut struct {
	when   []byte // the client sent this
	pass   bool   // the server gets it, but its answer is lost
	always bool   // not only once
}

// A proxy stands before the database.
type proxy struct {
	dsn string
	cut atomic.Pointer[cut]
}

func newProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable") // it reads along
	u.RawQuery = q.Encode()
	p := &proxy{dsn: u.String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client, server) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait() // the log is closed before
	})
	return p
}

func (p *proxy) serve(client net.Conn, address string) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer server.Close()
	var silent atomic.Bool
	wg.Go(func() {
		defer client.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if silent.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		c := p.cut.Load()
		if c == nil || !bytes.Contains(buf[:n], c.when) {
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
			continue
		}
		if !c.always {
			p.cut.Store(nil)
		}
		if c.pass {
			silent.Store(true)
			if _, err := server.Write(buf[:n]); err == nil {
				_, _ = io.Copy(io.Discard, client) // until the other direction hangs up
			}
		}
		return
	}
}
