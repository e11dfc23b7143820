package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/migrations"
)

const schedule = `-- headgate: requires >= 1.3.0
-- +goose Up
-- headgate: emit v1.TodoScheduled key id
SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id;
-- headgate: emit v1.TagCreated key id
SELECT uuid5(list) AS id, list AS name, NULL AS color FROM todos GROUP BY list;
-- headgate: assert 'a tag for each list' SELECT count(*) = (SELECT count(DISTINCT list) FROM todos) FROM tags;
`

func definition(t testing.TB, name, text string) migrations.Definition {
	t.Helper()
	d, err := migrations.Parse(name+".sql", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func job(t testing.TB, d migrations.Definition, log eventlog.Reader) migrations.Job {
	t.Helper()
	return migrations.Job{
		Definition: d, Target: todo(t, "1.3.0"), Store: "s", Log: log, Launcher: launcher(t), Dir: t.TempDir(),
		Run: "r1", Fence: 1, Patience: time.Minute, Now: time.Now, Sleep: noSleep,
		Jitter: func(time.Duration) time.Duration { return 0 }, Progress: func(int64, int64) {},
	}
}

func TestCommit(t *testing.T) {
	log := &memLog{}
	for i := range 130 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	d := definition(t, "00001_schedule", schedule)
	j := job(t, d, log)
	seen := int64(0)
	j.Progress = func(committed, due int64) { seen = committed }
	r, err := j.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 131 || r.Outcome != migrations.Done || r.Head != 261 || r.Pushes != 4 || r.Before != 0 || seen != 131 {
		t.Errorf("%+v, progress %d", r, seen)
	}
	last := log.events[260]
	if last.Name != "v1.TagCreated" || !strings.HasPrefix(last.ClientID, "hg:00001_schedule:") || last.SessionID != "hg:r1:1" || !strings.Contains(string(last.Args), `"name":"inbox"`) {
		t.Errorf("%+v %s", last, last.Args)
	}
	for key, n := range log.ours(t) {
		if n != 1 {
			t.Errorf("%s is there %d times", key, n)
		}
	}
	// Again: nothing is due, nothing is pushed, and verify agrees.
	pushes := log.pushes
	j = job(t, d, log)
	j.Run = "r2"
	if r, err = j.Commit(t.Context()); err != nil || r.Events != 0 || r.Before != 131 || log.pushes != pushes || r.Outcome != migrations.Done {
		t.Errorf("%+v, %v", r, err)
	}
	j.Run, j.Fence = "r1", 2
	if r, err = j.Commit(t.Context()); err != nil || r.Events != 131 || r.Before != 0 || log.pushes != pushes {
		t.Errorf("the same run: %+v, %v", r, err)
	}
	j = job(t, d, log)
	j.Run = "r2"
	v, done, err := job(t, d, log).Verify(t.Context())
	if err != nil || !done || v.Outcome != migrations.Done || v.Before != 131 || v.Duplicates != 0 || len(v.Digest) != 64 {
		t.Errorf("%+v, %v, %v", v, done, err)
	}
	// A row that lost what the migration gave it does not get it again.
	log.write("v1.TodoScheduled", map[string]any{"id": "t000", "dueAt": nil})
	if r, err = j.Commit(t.Context()); err != nil || r.Events != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	// A late arrival does.
	log.create("late")
	if r, err = j.Commit(t.Context()); err != nil || r.Events != 1 || log.ours(t)["v1.TodoScheduled late"] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	// One that was committed twice by somebody who copied the events is found.
	twice := log.events[130]
	twice.Seq.Global = livestore.SeqNum(len(log.events) + 1)
	twice.Parent.Global = twice.Seq.Global - 1
	log.events = append(log.events, twice)
	if v, done, err = job(t, d, log).Verify(t.Context()); err != nil || done || v.Duplicates != 1 || v.Outcome != migrations.Due {
		t.Errorf("%+v, %v, %v", v, done, err)
	}
}

// Whatever happens between headgate and the backend, and however often a run is killed, each key gets one event, and
// what others wrote stays.
func TestExactlyOnce(t *testing.T) {
	d := definition(t, "00001_schedule", schedule)
	seeds := 6
	if testing.Short() {
		seeds = 2
	}
	kills, conflicts, unanswered := 0, int64(0), int64(0)
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		log := &memLog{}
		for i := range 1 + rnd.IntN(120) {
			log.create(fmt.Sprintf("t%03d", i))
		}
		others := len(log.events)
		log.before = func(m *memLog) {
			for rnd.IntN(3) == 0 && others < 400 {
				if rnd.IntN(2) == 0 {
					m.create(fmt.Sprintf("n%03d", others))
				} else {
					m.write("v1.TodoMoved", map[string]any{"id": "t000", "list": fmt.Sprintf("l%d", rnd.IntN(3)), "position": 1})
				}
				others++
			}
		}
		log.fault = func(batch []livestore.Event) (int, error) {
			part := rnd.IntN(len(batch) + 1)
			switch rnd.IntN(6) {
			case 0:
				return part, &eventlog.AmbiguousError{Err: errors.New("cut")}
			case 1:
				return part, errKilled
			}
			return len(batch), nil
		}
		committed := int64(0)
		for {
			r, err := job(t, d, log).Commit(t.Context())
			conflicts += r.Conflicts
			unanswered += r.Unanswered
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if r.Events < committed {
				t.Errorf("seed %d: the run had committed %d events, now %d", seed, committed, r.Events)
			}
			committed = r.Events
			kills++
		}
		log.before, log.fault = nil, nil
		ours := log.ours(t)
		for key, n := range ours {
			if n != 1 {
				t.Errorf("seed %d: %s is there %d times", seed, key, n)
			}
		}
		if len(ours)+others != len(log.events) {
			t.Errorf("seed %d: %d of ours, %d of others, but %d events", seed, len(ours), others, len(log.events))
		}
		v, done, err := job(t, d, log).Verify(t.Context())
		if err != nil || !done {
			t.Errorf("seed %d: %+v, %v", seed, v, err)
		}
	}
	if kills == 0 || conflicts == 0 || unanswered == 0 {
		t.Errorf("the test tested nothing: %d kills, %d conflicts, %d unanswered", kills, conflicts, unanswered)
	}
	t.Logf("%d kills, %d conflicts, %d unanswered", kills, conflicts, unanswered)
}

// TestHeld: a job that had to stand still for longer than its patience has not stalled, though others wrote meanwhile. One
// that is to end while it stands still ends.
func TestHeld(t *testing.T) {
	log := &memLog{}
	for i := range 130 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	now := time.Now()
	j := job(t, definition(t, "00001_schedule", schedule), log)
	j.Now = func() time.Time { return now }
	asked := 0
	j.Wait = func(context.Context) (bool, error) {
		if asked++; asked == 2 {
			now = now.Add(10 * j.Patience)
			log.create("late")
			return true, nil
		}
		return false, nil
	}
	r, err := j.Commit(t.Context())
	if err != nil || r.Events != 132 || r.Conflicts != 1 {
		t.Errorf("%+v, error %v", r, err)
	}

	late := &memLog{}
	late.create("t")
	j = job(t, definition(t, "00001_schedule", schedule), late)
	j.Wait = func(context.Context) (bool, error) { return true, context.Canceled }
	if r, err := j.Commit(t.Context()); !errors.Is(err, context.Canceled) || late.pushes != 0 {
		t.Errorf("%+v, error %v, %d pushes", r, err, late.pushes)
	}
}

// A push that was not answered in time may be stored, whatever the backend's client calls that.
func TestPushWithoutAnAnswer(t *testing.T) {
	for _, stored := range []int{0, 7, 50} {
		log := &memLog{}
		for i := range 120 {
			log.create(fmt.Sprintf("t%03d", i))
		}
		log.fault = func(batch []livestore.Event) (int, error) {
			if log.pushes == 2 {
				return min(stored, len(batch)), context.DeadlineExceeded
			}
			return len(batch), nil
		}
		r, err := job(t, definition(t, "00001_schedule", schedule), log).Commit(t.Context())
		if err != nil || r.Events != 121 || r.Unanswered != 1 {
			t.Errorf("%d stored: %+v, %v", stored, r, err)
		}
		for key, n := range log.ours(t) {
			if n != 1 {
				t.Errorf("%d stored: %s is there %d times", stored, key, n)
			}
		}
	}
}

// A backend that is at another's push may say for a moment that the log ends before what it has sent of it. That happens
// again and again where many write; one that keeps saying so is refused.
func TestHeadBehindTheLog(t *testing.T) {
	log := &memLog{}
	for i := range 300 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	behind := 0
	log.fault = func(batch []livestore.Event) (int, error) {
		if log.pushes%2 == 0 {
			behind++
			return 0, &eventlog.AheadError{Head: livestore.SeqNum(len(log.events) - 1)}
		}
		return len(batch), nil
	}
	d := definition(t, "00001_schedule", schedule)
	if r, err := job(t, d, log).Commit(t.Context()); err != nil || r.Events != 301 || behind < 6 {
		t.Errorf("%+v, %v, %d times", r, err, behind)
	}
	log.create("late")
	log.fault = func([]livestore.Event) (int, error) {
		return 0, &eventlog.AheadError{Head: livestore.SeqNum(len(log.events) - 1)}
	}
	if r, err := job(t, d, log).Commit(t.Context()); errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "the backend's head is e") {
		t.Errorf("%+v, %v", r, err)
	}
}

// A backend writes -0 as 0: the key must be found again.
func TestNegativeZero(t *testing.T) {
	log := &memLog{}
	log.create("a")
	d := definition(t, "1_a", emitting(">= 1.3.0", "v1.TodoMoved", "SELECT id, 'l' AS list, -0.0 AS position FROM todos"))
	d.Emits[0].Key = []string{"position"}
	if r, err := job(t, d, log).Commit(t.Context()); err != nil || r.Events != 1 || !strings.Contains(string(log.events[1].Args), `"position":0`) {
		t.Fatalf("%+v, %v, %s", r, err, log.events[1].Args)
	}
	again := job(t, d, log)
	again.Run = "r2"
	if r, err := again.Commit(t.Context()); err != nil || r.Events != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestPreview(t *testing.T) {
	log := &memLog{}
	for i := range 60 {
		log.create(fmt.Sprintf("t%02d", i))
	}
	d := definition(t, "00001_schedule", schedule)
	r, err := job(t, d, log).Preview(t.Context(), state.Options{Rows: 2, HashKey: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	if r.Events != 61 || r.Pushes != 2 || r.Head != 60 || log.pushes != 0 || len(log.events) != 60 {
		t.Errorf("%+v", r)
	}
	got := map[string][3]int64{}
	for _, table := range r.Tables {
		got[table.Name] = [3]int64{table.OnlyB, table.Changed, table.OnlyA}
	}
	if len(got) != 2 || got["todos"] != [3]int64{0, 60, 0} || got["tags"] != [3]int64{1, 0, 0} {
		t.Errorf("%v", got)
	}
	if len(r.Asserts) != 1 || !r.Asserts[0].True {
		t.Errorf("%+v", r.Asserts)
	}
	// What the preview says is what is committed.
	c, err := job(t, d, log).Commit(t.Context())
	if err != nil || c.Events != r.Events || c.Bytes != r.Bytes {
		t.Errorf("preview %+v, commit %+v, %v", r, c, err)
	}
}

func TestFresh(t *testing.T) {
	d := definition(t, "00001_schedule", schedule)
	log := &memLog{}
	r, err := job(t, d, log).Commit(t.Context())
	if err != nil || r.Outcome != migrations.Fresh || log.pushes != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	log.write("v1.TagCreated", map[string]any{"id": "g", "name": "n"})
	if r, err = job(t, d, log).Commit(t.Context()); errs.CodeOf(err) != errs.Mismatch || log.pushes != 0 { // a tag more than lists
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRefusals(t *testing.T) {
	many := func(m *memLog) {
		for i := range 20 {
			m.create(fmt.Sprintf("t%02d", i))
		}
	}
	head := "-- headgate: requires >= 1.3.0\n-- +goose Up\n"
	for _, c := range []struct {
		name, text string
		fill       func(*memLog)
		change     func(*migrations.Job)
		code       errs.Code
		msg        string
	}{
		{name: "SQL error", text: head + "-- headgate: emit v1.TodoArchived key id\n\nSELECT id FROM nowhere;", code: errs.Invalid, msg: "1_a.sql:5: SQLite refuses the query: no such table: nowhere"},
		{name: "SQL error further down", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id\n-- nowhere\nFROM todos\nJOIN main.nowhere USING (id);", code: errs.Invalid, msg: "1_a.sql:7: SQLite refuses the query: no such table: main.nowhere"},
		{name: "syntax", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id\nFROM todos\nWERE id > '';", code: errs.Invalid, msg: `1_a.sql:6: SQLite refuses the query: near "id": syntax error`},
		{name: "no end", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id\nFROM todos WHERE (id\n;", code: errs.Invalid, msg: "1_a.sql:6: SQLite refuses the query: incomplete input"},
		{name: "column", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id\nFROM todos\nWHERE text = 'é'\n  AND missing = 1;", code: errs.Invalid, msg: "1_a.sql:7: SQLite refuses the query: no such column: missing"},
		{name: "in an assert", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos WHERE 0;\n-- headgate: assert 'x'\nSELECT count(*) = 0\nFROM todos\nWHERE missing = 1;", code: errs.Invalid, msg: "1_a.sql:8: SQLite refuses the query: no such column: missing"},
		{name: "while it runs", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id\nFROM todos WHERE json_extract(text, '$.a') IS NULL;", code: errs.Invalid, msg: "1_a.sql:4: SQLite refuses the query: malformed JSON"},
		{name: "unknown column", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT id, text FROM todos;", code: errs.Invalid, msg: `1_a.sql:4: the query returns a column "text", which v1.TodoArchived has no field for`},
		{name: "missing field", text: head + "-- headgate: emit v1.TodoRenamed key id\nSELECT id FROM todos;", code: errs.Invalid, msg: `1_a.sql:4: v1.TodoRenamed needs "text"`},
		{name: "wrong type", text: head + "-- headgate: emit v1.TodoRenamed key id\nSELECT id, 5 AS text FROM todos;", code: errs.Invalid, msg: `1_a.sql:4: row 1 (id text(3)): column "text" is an integer and must be text`},
		{name: "key twice", text: head + "-- headgate: emit v1.TodoRenamed key id\nSELECT 'x' AS id, text FROM todos;", code: errs.Invalid, msg: "1_a.sql:4: row 2 has the key of an earlier row"},
		{name: "null key", text: head + "-- headgate: emit v1.TodoArchived key id\nSELECT NULL AS id FROM todos;", code: errs.Invalid, msg: "1_a.sql:4: row 1 has no key"},
		{
			name: "never ends", text: head + "-- headgate: emit v1.TagCreated key id\nSELECT coalesce(max(id), '') || 'x' AS id, 'n' AS name FROM tags;",
			code: errs.Refused, msg: "it would never end",
		},
		{
			name: "does not decode", text: head + "-- headgate: emit v1.TodoScheduled key id\nSELECT id, 'tomorrow' AS dueAt FROM todos;",
			code: errs.Unverifiable, msg: "fails on an event that would be committed",
		},
		{
			name: "another schema's store", text: schedule, code: errs.Refused, msg: "does not know 20 of the log's 40 events",
			fill: func(m *memLog) {
				many(m)
				for range 20 {
					m.write("v1.Invoice", map[string]any{})
				}
			},
		},
		{
			name: "drift", text: schedule, code: errs.Stale, msg: "more than the 5 that were expected",
			change: func(j *migrations.Job) { j.MaxEvents = 5 },
		},
		{
			name: "poisoned log", text: schedule, code: errs.Unverifiable, msg: "the log holds an event that release 1.3.0 fails on",
			fill: func(m *memLog) { many(m); m.write("v1.TodoCreated", map[string]any{"id": 5}) },
		},
		{
			name: "what comes before is not done", text: schedule, code: errs.Stale, msg: "migration 00000_before comes before",
			change: func(j *migrations.Job) {
				b := *j
				b.Definition, b.Dir = definition(t, "00000_before", head+"-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;"), t.TempDir()
				j.After = []migrations.Job{b}
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &memLog{}
			if c.fill == nil {
				c.fill = many
			}
			c.fill(log)
			j := job(t, definition(t, "1_a", c.text), log)
			if c.change != nil {
				c.change(&j)
			}
			n := len(log.events)
			_, err := j.Commit(t.Context())
			if errs.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.msg) {
				t.Errorf("%s: %v\nwant %s: …%s…", errs.CodeOf(err), err, c.code, c.msg)
			}
			if len(log.events) != n && c.name != "never ends" {
				t.Errorf("%d events were committed", len(log.events)-n)
			}
		})
	}
	t.Run("an event too large to be read again", func(t *testing.T) {
		log := &memLog{}
		many(log)
		j := job(t, definition(t, "1_a", head+"-- headgate: emit v1.TodoRenamed key id\nSELECT id, CASE id WHEN 't19' THEN printf('%.*c', 900000, 'x') ELSE 'y' END AS text FROM todos ORDER BY id;"), log)
		_, err := j.Commit(t.Context())
		if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "1_a.sql:4: row 20: ") || log.pushes != 0 {
			t.Errorf("%v, %d pushes", err, log.pushes)
		}
	})
	t.Run("poison that arrives meanwhile", func(t *testing.T) {
		log := &memLog{}
		many(log)
		log.before = func(m *memLog) { m.write("v1.TodoCreated", map[string]any{"id": 5}) }
		_, err := job(t, definition(t, "1_a", schedule), log).Commit(t.Context())
		if migrations.KindOf(err) != migrations.Poisoned {
			t.Errorf("%v", err)
		}
	})
	t.Run("edited meanwhile", func(t *testing.T) {
		log := &memLog{}
		for i := range 120 {
			log.create(fmt.Sprint(i))
		}
		other := definition(t, "1_a", schedule+"-- changed\n")
		log.before = func(m *memLog) {
			if m.pushes == 2 {
				m.write("v1.TodoScheduled", map[string]any{"id": "1", "dueAt": nil})
				m.events[len(m.events)-1].ClientID = other.ClientID()
			}
		}
		_, err := job(t, definition(t, "1_a", schedule), log).Commit(t.Context())
		if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "another content") {
			t.Error(err)
		}
	})
	t.Run("a half of what comes before", func(t *testing.T) {
		log := &memLog{}
		many(log)
		first := definition(t, "00000_before", head+"-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;")
		log.fault = func(batch []livestore.Event) (int, error) { return 5, errKilled }
		if _, err := job(t, first, log).Commit(t.Context()); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		log.fault = nil
		j := job(t, definition(t, "1_a", schedule), log)
		j.After = []migrations.Job{job(t, first, log)}
		if _, err := j.Commit(t.Context()); errs.CodeOf(err) != errs.Stale {
			t.Error(err)
		}
	})
	t.Run("others write all the time", func(t *testing.T) {
		log := &memLog{}
		many(log)
		n := 0
		log.read = func(m *memLog) {
			if n++; n > 2 && n <= 42 { // the first reads make the state
				m.create(fmt.Sprint("busy", n))
			}
		}
		j := job(t, definition(t, "1_a", schedule), log)
		j.Pace = time.Millisecond
		if r, err := j.Commit(t.Context()); err != nil || r.Outcome != migrations.Done || r.Events != 61 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	t.Run("edited file", func(t *testing.T) {
		log := &memLog{}
		many(log)
		if _, err := job(t, definition(t, "1_a", schedule), log).Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err := job(t, definition(t, "1_a", schedule+"-- changed\n"), log).Commit(t.Context())
		if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "another content") {
			t.Error(err)
		}
	})
	t.Run("interrupt", func(t *testing.T) {
		log := &memLog{}
		for i := range 200 {
			log.create(fmt.Sprint(i))
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		log.fault = func(batch []livestore.Event) (int, error) {
			cancel(stop)
			return len(batch), nil
		}
		_, err := job(t, definition(t, "1_a", schedule), log).Commit(ctx)
		if !errors.Is(err, stop) || len(log.events) != 250 {
			t.Errorf("%v, %d events", err, len(log.events))
		}
	})
}

func TestCheck(t *testing.T) {
	head := "-- headgate: requires >= 1.3.0\n-- +goose Up\n-- headgate: emit v1.TodoArchived key id\n"
	for text, msg := range map[string]string{
		schedule: "",
		head + "SELECT ID FROM todos -- no row in an empty store\n;":         `returns a column "ID"`,
		head + "SELECT id FROM nowhere;":                                     "no such table",
		head + "SELECT 1 AS id, 2 AS id;":                                    "column",
		head + "SELECT id FROM todos;\n-- headgate: assert 'a' SELECT 1, 2;": "returns 2 columns",
		head + "SELECT id FROM todos;\n-- headgate: assert 'a' SELECT x;":    "1_a.sql:5: SQLite refuses",
	} {
		d, err := migrations.Parse("1_a.sql", []byte(text))
		if err == nil {
			err = job(t, d, nil).Check(t.Context())
		}
		if msg == "" && err != nil || msg != "" && (err == nil || !strings.Contains(err.Error(), msg)) {
			t.Errorf("%s\n%v, want %q", text, err, msg)
		}
	}
}

// The bound on what a run commits holds over its kills.
func TestMaxEventsOfARun(t *testing.T) {
	log := &memLog{}
	for i := range 100 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	d := definition(t, "00001_schedule", schedule)
	j := job(t, d, log)
	j.MaxEvents = 110
	log.fault = func(batch []livestore.Event) (int, error) { return len(batch), errKilled }
	if _, err := j.Commit(t.Context()); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	log.fault = nil
	for i := range 30 {
		log.create(fmt.Sprintf("late%d", i))
	}
	j = job(t, d, log)
	j.MaxEvents, j.Fence = 110, 2
	r, err := j.Commit(t.Context())
	if errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), "130 events are due, more than the 110") || r.Events != 50 {
		t.Errorf("%+v, %v", r, err)
	}
}

// What comes after a migration does not wait for what no run of it can change: a key that has two events, as two clients
// that ran it offline leave it, and an assert that holds no more. It waits for what is due.
func TestAfter(t *testing.T) {
	log := &memLog{}
	log.create("t1")
	first := definition(t, "00001_schedule", schedule)
	if _, err := job(t, first, log).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	twice := log.events[len(log.events)-1]
	twice.Seq.Global, twice.Parent.Global, twice.SessionID = twice.Seq.Global+1, twice.Seq.Global, "hg:r0:1"
	log.events = append(log.events, twice)
	later := definition(t, "00002_archive", "-- headgate: requires >= 1.3.0\n-- headgate: after 00001_schedule\n-- +goose Up\n"+
		"-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos ORDER BY id;\n")
	j := job(t, later, log)
	j.Run, j.After = "r2", []migrations.Job{job(t, first, log)}
	if v, done, err := j.After[0].Verify(t.Context()); err != nil || done || v.Duplicates != 1 {
		t.Fatalf("%+v, %t, %v", v, done, err)
	}
	if r, err := j.Commit(t.Context()); err != nil || r.Events != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	log.create("t2")
	if _, err := j.Commit(t.Context()); errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), "00001_schedule comes before") {
		t.Errorf("with an event due before: %v", err)
	}
}

// A later migration is previewed on what the earlier ones leave, and the log stays as it is.
func TestPreviewInOrder(t *testing.T) {
	log := &memLog{}
	for i := range 60 {
		log.create(fmt.Sprintf("t%02d", i))
	}
	head := "-- headgate: requires >= 1.3.0\n-- +goose Up\n"
	first := definition(t, "00001_schedule", schedule)
	second := definition(t, "00002_rename", head+"-- headgate: emit v1.TodoRenamed key id\nSELECT id, 'dated' AS text FROM todos WHERE dueAt IS NOT NULL;\n"+
		"-- headgate: assert 'all are renamed' SELECT count(*) = 0 FROM todos WHERE text <> 'dated';")
	late := job(t, second, log)
	late.After = []migrations.Job{job(t, first, log)}
	if _, err := late.Preview(t.Context(), state.Options{HashKey: []byte("k")}); errs.CodeOf(err) != errs.Stale {
		t.Errorf("alone: %v", err)
	}
	v, done, err := late.Verify(t.Context())
	if err != nil || done || v.Waits != "00001_schedule" || v.Outcome != migrations.Due {
		t.Errorf("%+v, %v, %v", v, done, err)
	}
	trial := migrations.NewTrial(log)
	var reports []migrations.Report
	for _, d := range []migrations.Definition{first, second} {
		log.create("while " + d.Name) // others go on
		r, err := job(t, d, trial).Preview(t.Context(), state.Options{HashKey: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	if r := reports[1]; reports[0].Events != 62 || r.Events != 61 || r.Read != 61 || r.Asserts[0].Before || !r.Asserts[0].True || len(log.events) != 62 {
		t.Errorf("%+v\n%+v", reports, log.events)
	}
	if a := reports[1].Again; a == nil || a.Events != 0 || a.Rows != 61 { // its rows stay, the keys keep them from another event
		t.Errorf("%+v", a)
	}
	if a := reports[0].Again; a == nil || a.Events != 0 || a.Rows != 1 { // the tag
		t.Errorf("%+v", a)
	}
}

func TestRepeatThatNeverEnds(t *testing.T) {
	log := &memLog{}
	log.create("a")
	d := definition(t, "00001_a", "-- headgate: requires >= 1.3.0\n-- headgate: repeat\n-- +goose Up\n-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;")
	_, err := job(t, d, log).Preview(t.Context(), state.Options{HashKey: []byte("k")})
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "still gives 1 of its events after they were added") {
		t.Errorf("%v", err)
	}
}

// What only the clients can read is no job for the backend's side.
func TestEncrypted(t *testing.T) {
	d := definition(t, "00001_schedule", schedule)
	for _, args := range []any{"7e0c1f6e", map[string]any{"iv": "x", "ciphertext": "y"}} {
		log := &memLog{}
		log.create("a")
		log.write("v1.TodoCreated", args)
		_, err := job(t, d, log).Preview(t.Context(), state.Options{HashKey: []byte("k")})
		if e := errs.As(err); e == nil || migrations.KindOf(err) != migrations.Poisoned || !strings.Contains(e.Msg, "look encrypted end to end") ||
			e.Next[0] != "headgate generate --client-migration 00001_schedule" {
			t.Errorf("%v", err)
		}
	}
}
