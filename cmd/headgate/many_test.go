//go:build unix

package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	_ "modernc.org/sqlite" // to look into the control database

	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/testenv"
)

// A crowd is an app with many stores: three with events, all others of clients that never committed anything.
type crowd struct {
	t      testing.TB
	app    string
	stores int
	peak   int64 // of the last command and its children: resident bytes
}

func newCrowd(t testing.TB, stores int) *crowd {
	t.Helper()
	c := &crowd{t: t, app: testenv.CopyExample(t, "todo"), stores: stores}
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(c.app, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\n"+
		"environments:\n  prod:\n    inventory: {file: stores.csv}\n    pace: 0\n    fleet: {alive: [{release: 1.3.0}]}\n")
	write("headgate/migrations/00001_schedule.sql", "-- headgate: requires >= 1.3.0\n-- +goose Up\n-- headgate: emit v1.TodoScheduled key id\n"+
		"SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id;\n")
	log, err := os.ReadFile(filepath.Join(c.app, "data", "demo", "eventlog@6.db"))
	if err != nil {
		t.Fatal(err)
	}
	write("empty/placeholder", "")
	if _, err := (loggen.Spec{}).WriteFile(t.Context(), filepath.Join(c.app, "empty", "eventlog@6.db")); err != nil {
		t.Fatal(err)
	}
	list := strings.Builder{}
	list.WriteString("id,log\n")
	for i := range stores {
		if i%(stores/3) != 1 {
			fmt.Fprintf(&list, "store-%05d,file:empty/eventlog@6.db\n", i)
			continue
		}
		write(fmt.Sprintf("full/%d/eventlog@6.db", i), string(log))
		fmt.Fprintf(&list, "store-%05d,file:full/%d/eventlog@6.db\n", i, i)
	}
	write("stores.csv", list.String())
	checkout := exec.CommandContext(t.Context(), "node", "scripts/checkout.mjs", "1.3.0")
	checkout.Dir = c.app
	if out, err := checkout.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c.headgate("release", "add", "1.3.0")
	return c
}

// headgate runs the real program, and returns what it prints to stdout.
func (c *crowd) headgate(args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "headgate", args...)
	cmd.Dir = c.app
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		c.t.Fatalf("headgate %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	c.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if runtime.GOOS == "linux" { // elsewhere it is bytes
		c.peak <<= 10
	}
	return out.String()
}

// done marks the run's empty stores as done, so that what is left are those with events.
func (c *crowd) done() {
	c.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(c.app, ".headgate", "control.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = db.ExecContext(c.t.Context(), `UPDATE store_runs SET state = 'succeeded' WHERE due = 0`)
	if err := errors.Join(err, db.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// A manyReport is what up and preview print of many stores.
type manyReport struct {
	Migrations []struct{ Stores []struct{ Store string } }
	Runs       []struct {
		State  string
		States []struct {
			State     string
			Stores    int
			Committed int
		}
		Stores []struct{ Store, State string }
	}
	Committed, Events int
}

func (c *crowd) report(args ...string) (r manyReport) {
	c.t.Helper()
	out := c.headgate(append(args, "--format", "json")...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		c.t.Fatalf("%v\n%.2000s", err, out)
	}
	return r
}

// TestManyStores: of more than 50 stores the text counts those that come out alike, and JSON lists each, in order.
func TestManyStores(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 60)
	out := c.headgate("migration", "preview", "--env", "prod", "--all")
	for _, want := range []string{"OUTCOME     STORES  DUE  BYTES\n", "events due  3       48   ", "fresh       57      0    ", "48 events would be committed in 3 of 60 stores"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	p := c.report("migration", "preview", "--env", "prod", "--all")
	if len(p.Migrations) != 1 || len(p.Migrations[0].Stores) != 60 || p.Events != 48 {
		t.Fatalf("%+v", p)
	}
	for i, s := range p.Migrations[0].Stores {
		if want := fmt.Sprintf("store-%05d", i); s.Store != want {
			t.Errorf("store %d is %s", i, s.Store)
		}
	}
	r := c.report("migration", "up", "--env", "prod", "--yes", "--detach")
	if len(r.Runs) != 1 || len(r.Runs[0].Stores) != 60 || r.Runs[0].Stores[59].Store != "store-00059" || r.Runs[0].States[0].Stores != 60 {
		t.Errorf("%+v", r)
	}
	out = c.headgate("migration", "up", "--env", "prod", "--yes")
	for _, want := range []string{"STATE      STORES  COMMITTED  BEFORE\nsucceeded  60      48         0\n", "\n48 events committed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}

// BenchmarkManyStores says how much memory headgate takes at the most for 10,000 stores, and what each adds to that of 100:
// to plan a run (the preview of each, and the run's rows), to show its status, and to end and report it with each store's row.
func BenchmarkManyStores(b *testing.B) {
	for b.Loop() {
		few, many := measure(b, 100), measure(b, 10_000)
		for _, what := range []string{"plan", "status", "report"} {
			b.ReportMetric(float64(many[what])/(1<<20), what+"-MB")
			b.ReportMetric(float64(many[what]-few[what])/9900, what+"-B/store")
		}
	}
}

// measure is the peak of each command, in bytes.
func measure(b *testing.B, stores int) map[string]int64 {
	b.Helper()
	c := newCrowd(b, stores)
	peak := map[string]int64{}
	c.headgate("migration", "up", "--env", "prod", "--yes", "--detach")
	peak["plan"] = c.peak
	c.headgate("status", "--env", "prod")
	peak["status"] = c.peak
	c.done()
	r := c.report("migration", "up", "--env", "prod", "--yes")
	if len(r.Runs) != 1 || len(r.Runs[0].Stores) != stores || r.Runs[0].State != "succeeded" || r.Committed != 48 {
		b.Fatalf("%d runs, %d events", len(r.Runs), r.Committed)
	}
	peak["report"] = c.peak
	b.Logf("%d stores: %v", stores, peak)
	return peak
}
