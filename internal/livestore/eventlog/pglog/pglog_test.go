package pglog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/pglog"
)

// TestAppender runs the suite that all logs pass.
func TestAppender(t *testing.T) {
	db := open(t)
	eventlogtest.RunAppender(t, func(t *testing.T, store livestore.StoreID) eventlog.Appender {
		db.create(t, pglog.TableName(store))
		l, err := pglog.Open(t.Context(), pglog.Options{DSN: db.dsn, StoreID: store})
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}

// TestTableName has what @livestore/sync-electric 0.4.0 computed.
func TestTableName(t *testing.T) {
	for store, want := range map[livestore.StoreID]string{
		"demo":   "eventlog_6_demo",
		"St-1_x": "eventlog_6_St_1_x",
		"a.b/ü😀": "eventlog_6_a_b____", // 😀 is two units
		livestore.StoreID(strings.Repeat("a", 52)): "eventlog_6_" + strings.Repeat("a", 52),
		livestore.StoreID(strings.Repeat("x", 60)): "eventlog_6_hash_513662213",
		livestore.StoreID(strings.Repeat("y", 70)): "eventlog_6_hash_932719973",
	} {
		if got := pglog.TableName(store); got != want {
			t.Errorf("TableName(%q) = %s, want %s", store, got, want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_nokey")
	db.exec(t, `ALTER TABLE eventlog_6_nokey DROP CONSTRAINT eventlog_6_nokey_pkey`)
	db.exec(t, `CREATE UNIQUE INDEX ON eventlog_6_nokey ("seqNum") WHERE "seqNum" > 5`)
	db.exec(t, `CREATE UNIQUE INDEX ON eventlog_6_nokey ("clientId", "seqNum")`)
	db.exec(t, `CREATE TABLE eventlog_6_other (id INTEGER PRIMARY KEY)`)
	db.create(t, "eventlog_6_secret")
	role := "role_" + db.schema
	db.exec(t, `CREATE ROLE `+role)
	db.exec(t, `GRANT USAGE ON SCHEMA `+db.schema+` TO `+role)
	t.Cleanup(func() { // runs before the schema is dropped
		for _, sql := range []string{`DROP OWNED BY `, `DROP ROLE `} {
			if _, err := db.Exec(context.Background(), sql+role); err != nil {
				t.Error(err)
			}
		}
	})
	tests := []struct {
		name string
		opt  pglog.Options
		code errs.Code
		want string
	}{
		{"no table", pglog.Options{DSN: db.dsn, StoreID: "nope"}, errs.NotFound, "/test#eventlog_6_nope: there is no such table"},
		{"no named table", pglog.Options{DSN: db.dsn, StoreID: "demo", Table: "nowhere.events"}, errs.NotFound, "/test#nowhere.events: there is no such table"},
		{"no uniqueness", pglog.Options{DSN: db.dsn, StoreID: "nokey"}, errs.Refused, `"seqNum" is not unique`},
		{"another table", pglog.Options{DSN: db.dsn, StoreID: "other"}, errs.Invalid, `not an eventlog of LiveStore: column "seqNum" does not exist`},
		{"not permitted", pglog.Options{DSN: db.dsn + "&role=" + role, StoreID: "secret"}, errs.Invalid, "permission denied"},
		{"no store", pglog.Options{DSN: db.dsn}, errs.Invalid, "needs a store id"},
		{"no database", pglog.Options{DSN: strings.Replace(db.dsn, "/test?", "/nowhere?", 1), StoreID: "x"}, errs.NotFound, `database "nowhere" does not exist`},
		{"nobody there", pglog.Options{DSN: "postgres://me:hunter2@127.0.0.1:1/db?password=hunter2", StoreID: "x"}, errs.Internal, "postgres://me@127.0.0.1:1/db#eventlog_6_x: can't connect"},
		{"not a DSN", pglog.Options{DSN: "host=x password=hunter2", StoreID: "x"}, errs.Invalid, "is not a URL"},
		{"another scheme", pglog.Options{DSN: "mysql://me:hunter2@x", StoreID: "x"}, errs.Invalid, "is not a URL"},
		{"an odd password", pglog.Options{DSN: "postgres://me:hunter2/x#@host/db", StoreID: "x"}, errs.Invalid, "is not a URL"},
		{"a wrong option", pglog.Options{DSN: "postgres://me:hunter2@host/db?sslmode=hunter2", StoreID: "x"}, errs.Invalid, "can't be used"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, err := pglog.Open(t.Context(), test.opt)
			if err == nil {
				l.Close()
				t.Fatal("no error")
			}
			e := errs.As(err)
			if e == nil || e.Code != test.code || !strings.Contains(err.Error(), test.want) || e.Hint == "" {
				t.Errorf("error %v (%s), want one with a hint that says %q (%s)", err, errs.CodeOf(err), test.want, test.code)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, e), "hunter2") {
				t.Errorf("the error quotes the password: %v", err)
			}
		})
	}
}

func TestNamedTable(t *testing.T) {
	db := open(t)
	db.create(t, "Odd \"name")
	opt := pglog.Options{DSN: strings.Replace(db.dsn, "search_path", "application_name", 1), Table: db.schema + `.Odd "name`}
	l, err := pglog.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Append(t.Context(), batch(1, 1)); err != nil {
		t.Fatal(err)
	}
	if got := eventlogtest.Collect(t, l, livestore.ClientSeq{}); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
	db.exec(t, `DROP TABLE "Odd ""name"`)
	for what, err := range map[string]error{"Append": l.Append(t.Context(), batch(2, 1)), "Events": firstError(t, l)} {
		if errs.CodeOf(err) != errs.NotFound {
			t.Errorf("%s on a table that was dropped: %v", what, err)
		}
	}
	var n int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = $1`, db.schema).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d tables, %v: headgate must not create any", n, err)
	}
}

// TestForeignRows reads what others wrote: wide numbers, loose columns, arguments as text.
func TestForeignRows(t *testing.T) {
	db := open(t)
	db.exec(t, `CREATE TABLE eventlog_6_loose ("seqNum" BIGINT PRIMARY KEY, "parentSeqNum" BIGINT, "name" VARCHAR(99), "args" TEXT, "clientId" TEXT, "sessionId" TEXT, extra INT)`)
	db.exec(t, `INSERT INTO eventlog_6_loose VALUES
		(1, 0, 'v1.A', '{"a": [1, 2]}', 'c', 's'), (2, NULL, 'v1.A', 'null', 'c', 's'), (3, 2, NULL, '1', 'c', 's'),
		(4, 3, 'v1.A', '{"secret', 'c', 's'), (5, 4, 'v1.A', NULL, 'c', 's'), (9007199254740991, 5, 'v1.A', '1', 'c', 's')`)
	l := db.log(t, "loose")
	var got []string
	for e, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
		line := fmt.Sprintf("%s<%s %s %s", e.Seq, e.Parent, e.Name, e.Args)
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			line = fmt.Sprintf("%s: %s", bad.Seq, bad.Err.Msg)
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	want := []string{
		`e1<e0 v1.A {"a":[1,2]}`, "e2: its parentSeqNum is NULL", "e3: its name is NULL", "e4: its arguments are not JSON",
		"e5<e4 v1.A null", "e9007199254740991<e5 v1.A 1",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestPages reads a log whose events change in size, so that pages of all lengths are asked for.
func TestPages(t *testing.T) {
	db := open(t)
	db.create(t, "eventlog_6_pages")
	const n = 4000
	db.exec(t, fmt.Sprintf(`INSERT INTO eventlog_6_pages SELECT i, i - 1, 'v1.A',
		to_jsonb(repeat('x', CASE WHEN i %% 500 BETWEEN 100 AND 120 THEN 200000 ELSE i %% 7 END)), 'c', 's' FROM generate_series(1, %d) i`, n))
	l := db.log(t, "pages")
	seen := livestore.SeqNum(0)
	for e, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; e.Seq.Global != seen {
			t.Fatalf("event %d is %s", seen, e.Seq)
		}
		if i := int(seen); i%500 >= 100 && i%500 <= 120 && len(e.Args) != 200002 {
			t.Fatalf("%s has %d bytes", e.Seq, len(e.Args))
		}
	}
	if seen != n {
		t.Errorf("%d events", seen)
	}
}

// batch is n events from first on.
func batch(first livestore.SeqNum, n int) []livestore.Event {
	var events []livestore.Event
	for seq := first; seq < first+livestore.SeqNum(n); seq++ {
		events = append(events, livestore.Event{
			Name: "v1.A", Args: json.RawMessage(`{"a":1}`), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: seq}, Parent: livestore.ClientSeq{Global: seq - 1},
		})
	}
	return events
}

func firstError(t *testing.T, l *pglog.Log) error {
	t.Helper()
	for _, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			return err
		}
	}
	return nil
}
