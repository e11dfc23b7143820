package codegen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/codegen"
	"headgate/internal/testenv"
	"headgate/migrations"
)

// migrationApp is a copy of the example app with the app of testdata/clientrun as one more release, whose generated
// file has the migrations that are named.
func migrationApp(t *testing.T, names ...string) string {
	t.Helper()
	app := testenv.CopyExample(t, "todo")
	from := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "clientrun")
	release := filepath.Join(app, "history", "9.9.9", "livestore")
	if err := os.CopyFS(release, os.DirFS(filepath.Join(from, "livestore"))); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(app, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	m := manifest(0)
	s := m.Schemas["main"]
	s.Marker = &codegen.Marker{Event: codegen.MarkerEvent, Table: codegen.MarkerTable, Column: codegen.MarkerColumn}
	for _, d := range definitions(t, names...) {
		c := codegen.Migration{Name: d.Name, Checksum: d.Checksum, File: "headgate/migrations/" + filepath.Base(d.Path), Marker: d.Marker != ""}
		for _, e := range d.Emits {
			c.Emits = append(c.Emits, codegen.Emit{Event: e.Event, Key: e.Key, Line: e.SQLLine, SQL: e.SQL})
		}
		for _, a := range d.Asserts {
			c.Asserts = append(c.Asserts, codegen.Assert{Label: a.Label, Line: a.Line, SQL: a.SQL})
		}
		s.Migrations.Client = append(s.Migrations.Client, c)
	}
	m.Schemas["main"] = s
	data, err := codegen.Render(m, "main")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(release, codegen.FileName), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return app
}

func definitions(t *testing.T, names ...string) (found []migrations.Definition) {
	t.Helper()
	all, err := migrations.LoadDir(filepath.Join("testdata", "clientrun", "migrations"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		d, err := migrations.Find(all, name)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, d)
	}
	return found
}

// A migrated is what a client of testdata/clientrun saw. The state is of all tables.
type migrated struct {
	Pending, Left []struct {
		Migration string
		Due       int
	}
	Runs []struct {
		Migration        string
		Committed        int
		Marked, Finished bool
	}
	Progress     []struct{ Committed, Due int }
	Shared       bool
	Locks        []string
	Failed       string
	Head, Unsent int
	State        map[string][]map[string]any
	Log          []struct {
		Name     string
		Args     json.RawMessage
		ClientID string
	}
}

func (m migrated) committed() (n int) {
	for _, r := range m.Runs {
		n += r.Committed
	}
	return n
}

func migrate(t *testing.T, app string, r run) migrated {
	t.Helper()
	out, err := migrateCommand(t, app, r)
	if err != nil {
		t.Fatalf("the client %v: %v\n%s", r, err, out)
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var m migrated
	if err := json.Unmarshal(lines[len(lines)-1], &m); err != nil {
		t.Fatalf("the client printed %q: %v", out, err)
	}
	return m
}

func migrateCommand(t *testing.T, app string, r run) ([]byte, error) {
	t.Helper()
	arg, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "run.mjs", string(arg))
	cmd.Dir = app
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	return cmd.CombinedOutput()
}

func ids(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("n%03d%s", i, strings.Repeat("x", i%9)))
	}
	return list
}

const (
	notes    = 40
	archived = 15 // of them, those that 00002_archive_notes is about
)

// seeded fills a store on the real backend and returns what a client needs to sync with it.
func seeded(t *testing.T, app string) (online run) {
	t.Helper()
	url, token := testenv.Backend(t)
	online = run{"storeId": "proof", "url": url, "token": token}
	first := migrate(t, app, online.with(run{"dir": t.TempDir(), "clientId": "seed", "add": ids(notes)}))
	if first.Head != notes || first.Unsent != 0 || len(first.Pending) == 0 {
		t.Fatalf("%+v", first)
	}
	return online
}

func offline(online run) run { return run{"storeId": online["storeId"], "token": online["token"]} }

// Two clients run the migrations while they are offline, then come online one after the other.
func TestClientMigrationsOffline(t *testing.T) {
	t.Parallel()
	app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
	online := seeded(t, app)
	a, b := run{"dir": t.TempDir(), "clientId": "a"}, run{"dir": t.TempDir(), "clientId": "b"}
	fast := run{"migrate": run{"pace": 0, "jitter": 0}}
	for _, c := range []run{a, b} {
		migrate(t, app, online.with(c).with(run{"head": notes}))
		m := migrate(t, app, offline(online).with(c).with(fast).with(run{"locks": true}))
		if m.Failed != "" || len(m.Pending) != 2 || m.Pending[0].Due != notes || m.Pending[1].Due != 0 || len(m.Runs) != 2 || len(m.Left) != 0 || !m.Shared {
			t.Fatalf("offline: %+v", m)
		}
		if !m.Runs[0].Finished || m.Runs[0].Marked || m.Runs[0].Committed != notes+2 || !m.Runs[1].Marked || m.Runs[1].Committed == 0 {
			t.Errorf("offline: %+v", m.Runs)
		}
		if !slices.Equal(m.Locks, []string{"headgate-migrations-proof"}) {
			t.Errorf("the locks %q were asked for", m.Locks)
		}
		if m.Unsent != m.committed()+1 {
			t.Errorf("%d events wait to be sent, %d were committed and the marker", m.Unsent, m.committed())
		}
	}
	first := migrate(t, app, online.with(a).with(fast))
	second := migrate(t, app, online.with(b).with(fast).with(run{"head": first.Head}))
	final := run{"head": second.Head, "migrate": run{}}
	equalAfter(t, app, online.with(final), a, b, run{"dir": t.TempDir(), "clientId": "fresh"})
	markers := 0
	log := migrate(t, app, online.with(run{"pull": true})).Log
	for _, e := range log {
		if e.Name == codegen.MarkerEvent {
			markers++
		}
	}
	if markers != 2 || len(log) != notes+2*(notes+2+archived+1) {
		t.Errorf("%d events and %d markers in the log: both clients were to commit theirs", len(log), markers)
	}
}

// equalAfter opens the clients online one after the other, and demands that nothing is left on any of them.
func equalAfter(t *testing.T, app string, online run, clients ...run) migrated {
	t.Helper()
	var want migrated
	for i, c := range clients {
		m := migrate(t, app, online.with(c))
		if m.Failed != "" || len(m.Pending)+len(m.Left)+len(m.Runs)+m.Unsent != 0 {
			t.Errorf("%v has something left: %+v", c, m)
		}
		if i == 0 {
			want = m
		}
		sameState(t, i, want, m)
	}
	return want
}

// sameState compares the state of the nth client with that of the first, which has what the migrations make.
func sameState(t *testing.T, n int, first, m migrated) {
	t.Helper()
	if diff := cmp.Diff(first.State, m.State); diff != "" || m.Head != first.Head {
		t.Errorf("client %d is at e%d, the first one at e%d (-first +this):\n%s", n, m.Head, first.Head, diff)
	}
	if marks := len(m.State["migrations"]); marks != 1 || len(m.State["notes"]) != notes || len(m.State["tags"]) != 2 {
		t.Errorf("%d markers, %d notes, %d tags, want 1, %d and 2", marks, len(m.State["notes"]), len(m.State["tags"]), notes)
	}
}

// Two clients are online and start at the same time, as a fleet does after a release, with the default options.
func TestClientMigrationsTogether(t *testing.T) {
	app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
	online := seeded(t, app)
	clients := []run{{"dir": t.TempDir(), "clientId": "a"}, {"dir": t.TempDir(), "clientId": "b"}}
	head := 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() {
			m := migrate(t, app, online.with(c).with(run{"head": notes, "migrate": run{}}))
			if m.Failed != "" || m.Unsent != 0 {
				t.Errorf("%v: %+v", c, m)
			}
			mu.Lock()
			defer mu.Unlock()
			head = max(head, m.Head)
		})
	}
	all.Wait()
	equalAfter(t, app, online.with(run{"head": head, "migrate": run{"jitter": 0}}), clients...)
	log := migrate(t, app, online.with(run{"pull": true})).Log
	t.Logf("%d events in the log; %d without a duplicate", len(log), notes+notes+2+archived+1)
}

// The section's types hold under the strictest settings, with the store of a typed app.
func TestClientMigrationTypes(t *testing.T) {
	t.Parallel()
	app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
	config := `{"extends": "./tsconfig.json", "include": ["history/9.9.9/livestore/*.ts"], "compilerOptions": {
		"strict": true, "exactOptionalPropertyTypes": true, "noUncheckedIndexedAccess": true, "noUnusedLocals": true,
		"noUnusedParameters": true, "noImplicitReturns": true, "erasableSyntaxOnly": true, "verbatimModuleSyntax": true}}`
	if err := os.WriteFile(filepath.Join(app, "tsconfig.migrations.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	runTool(t, app, nil, filepath.Join("node_modules", ".bin", "tsc"), "--noEmit", "-p", "tsconfig.migrations.json")
}

// A run that is ended, or killed, goes on at the next start where it was.
func TestClientMigrationsGoOn(t *testing.T) {
	t.Parallel()
	app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
	online := seeded(t, app)
	c := online.with(run{"dir": t.TempDir(), "clientId": "a", "head": notes})
	slow := run{"pace": 0, "jitter": 0, "chunk": 7}
	m := migrate(t, app, c.with(run{"migrate": slow, "abortAfter": 3}))
	if len(m.Runs) != 1 || m.Runs[0].Finished || m.committed() != 1+7+7 || m.Left[0].Due != notes-15+2 {
		t.Errorf("ended: %+v", m)
	}
	if out, err := migrateCommand(t, app, c.with(run{"migrate": slow, "killAfter": 2})); err == nil {
		t.Errorf("the client was to be killed: %s", out)
	}
	m = migrate(t, app, c.with(run{"migrate": slow}))
	if m.Failed != "" || len(m.Left) != 0 || !m.Runs[len(m.Runs)-1].Marked {
		t.Errorf("again: %+v", m)
	}
	seen := map[string]int{}
	for _, e := range migrate(t, app, c.with(run{"pull": true})).Log {
		var args struct{ ID string }
		if err := json.Unmarshal(e.Args, &args); err != nil {
			t.Fatal(err)
		}
		if seen[e.Name+args.ID]++; seen[e.Name+args.ID] > 1 {
			t.Errorf("%s %s is there %d times", e.Name, args.ID, seen[e.Name+args.ID])
		}
	}
}

// What would never end, or commit something else than headgate does, is refused; so is nothing at all in a new store.
func TestClientMigrationsRefuse(t *testing.T) {
	for name, want := range map[string]string{
		"00003_see_notes":   "(headgate/migrations/00003_see_notes.sql:4): the row of the first event is still due after it",
		"00004_write_dates": `(headgate/migrations/00004_write_dates.sql:4): v1.NoteSeen writes "at" in another form`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := migrationApp(t, name)
			c := run{"storeId": "proof", "token": "none", "dir": t.TempDir(), "clientId": "a", "migrate": run{"jitter": 0}}
			m := migrate(t, app, c.with(run{"add": ids(3)}))
			if !strings.Contains(m.Failed, want) || m.Head > 4 {
				t.Errorf("e%d, %q, want %q", m.Head, m.Failed, want)
			}
		})
	}
	t.Run("fresh store", func(t *testing.T) {
		t.Parallel()
		app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
		c := run{"storeId": "proof", "token": "none", "dir": t.TempDir(), "clientId": "a", "migrate": run{"jitter": 0}}
		m := migrate(t, app, c)
		if m.Failed != "" || len(m.Pending)+len(m.Left)+len(m.Runs)+m.Head != 0 {
			t.Errorf("%+v", m)
		}
	})
}
