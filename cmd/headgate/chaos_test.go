//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/testenv"
)

// chaosMigration gives every todo a date, and leaves a tag for each list and a marker.
const chaosMigration = `-- headgate: requires >= 1.4.0
-- headgate: marker v1.MigrationRan
-- +goose Up
-- headgate: emit v1.TodoScheduled key id
SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id;
-- headgate: emit v1.TagCreated key id
SELECT uuid5(list) AS id, list AS name FROM todos GROUP BY list;
-- headgate: assert 'every todo has a date' SELECT count(*) = 0 FROM todos WHERE dueAt IS NULL;
`

// TestChaos kills `headgate migration up` at random moments while others write to the same stores at full speed, two real
// clients type, the network is cut in the middle of answers, and sometimes two runners work at once. In the end every
// store has each event once, what the others wrote is all there, and the real clients hold the state that headgate makes
// of the log.
func TestChaos(t *testing.T) {
	t.Parallel()
	stores, kills, writes := 3, 7, 60
	if os.Getenv("HEADGATE_SOAK") != "" {
		stores, kills, writes = 20, 200, 600
	}
	w := newWorld(t, stores)
	proxy := testenv.NewProxy(t, w.url)
	w.configure(proxy.URL, "pace: 400ms", chaosMigration)
	rnd := rand.New(rand.NewPCG(11, uint64(stores)))

	var noise atomic.Uint64
	proxy.Set(func(toBackend bool, data []byte) testenv.Verdict {
		if !toBackend && bytes.Contains(data, []byte(`"_tag":"Exit"`)) && noise.Add(1)%23 == 0 {
			return testenv.Cut
		}
		return testenv.Pass
	})
	for _, s := range w.stores {
		w.fill(t, s, 300)
	}
	pair := w.startPair(t, w.stores[0], 8, 1000)
	writers := w.startWriters(t, writes)
	// A preview on a slow machine misses most of what the writers make due.
	up := []string{"migration", "up", "--env", "chaos", "--yes", "--max-drift", "none"}
	start := time.Now()
	for k := 0; k < kills; k++ {
		runners := 1 + rnd.IntN(3)/2
		var wg sync.WaitGroup
		for range runners {
			// Every other one is killed while it commits, however long it took to get there.
			committing, after := k%2 == 0, time.Duration(100+rnd.IntN(1200))*time.Millisecond
			if !committing {
				after = time.Duration(rnd.IntN(4000)) * time.Millisecond
			}
			wg.Go(func() {
				w.kill(t, committing, after, append(slices.Clone(up), "--log-level", "info")...)
			})
		}
		wg.Wait()
		k += runners - 1
	}
	writers.Wait()
	pair.typed(t)
	proxy.Set(nil)
	pair.synced(t)
	w.headgate(t, 0, up...)
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	if out := w.headgate(t, 0, up...); !strings.Contains(out, "0 events committed") {
		t.Errorf("a second run committed something:\n%s", out)
	}
	duplicates, lost, ours := 0, 0, 0
	runs := map[string]bool{}
	for _, s := range w.stores {
		r := w.inspect(t, s)
		duplicates += r.duplicates
		ours += r.ours
		lost += w.written(s) - r.others
		maps.Copy(runs, r.runs)
		if r.markers != 1 {
			t.Errorf("%s: %d markers", s, r.markers)
		}
	}
	pair.end(t, w)
	if duplicates != 0 || lost != 0 || ours == 0 || len(runs) < 2 {
		t.Errorf("%d of ours from %d runs, %d duplicates, %d lost", ours, len(runs), duplicates, lost)
	}
	t.Logf("%s: %d stores, %d kills, %d events of ours from %d runs beside %d of others, %d duplicates, %d lost",
		time.Since(start).Round(time.Second), len(w.stores), kills, ours, len(runs), w.total(), duplicates, lost)
}

// A world is an app, a backend and the stores on it.
type world struct {
	t      *testing.T
	app    string // the copy of the example, at release 1.4.0, which defines the marker
	url    string
	token  string
	stores []livestore.StoreID
	// control is the control database's address, empty for the default.
	control string

	mu   sync.Mutex
	sent map[livestore.StoreID]int // by others
}

func newWorld(t *testing.T, stores int) *world {
	t.Helper()
	w := &world{t: t, app: copyExample(t), sent: map[livestore.StoreID]int{}}
	w.url, w.token = testenv.Backend(t)
	addMarker(t, w.app)
	for i := range stores {
		s := livestore.StoreID(fmt.Sprintf("store-%02d", i))
		w.stores = append(w.stores, s)
		w.fill(t, s, 40+10*(i%4))
	}
	return w
}

// addMarker makes release 1.4.0 of the example: 1.3.0 with an event that says that a migration ran.
func addMarker(t *testing.T, app string) {
	t.Helper()
	from, to := filepath.Join(app, "history", "1.3.0"), filepath.Join(app, "history", "1.4.0")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	replace := func(name, old, text string) {
		t.Helper()
		path := filepath.Join(to, "livestore", name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(b, []byte(old)) {
			t.Fatalf("%s has no %q", path, old)
		}
		if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(text), 1), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	replace("events.ts", "  draftSaved:", `  migrationRan: Events.synced({
    name: 'v1.MigrationRan',
    schema: Schema.Struct({ id: Schema.String, migration: Schema.String, checksum: Schema.String, events: Schema.Int }),
  }),
  draftSaved:`)
	replace("materializers.ts", "  'v1.DraftSaved':", "  'v1.MigrationRan': () => [],\n  'v1.DraftSaved':")
}

// configure writes headgate.yaml and the migration, and records the release.
func (w *world) configure(url, pace, migration string) {
	w.t.Helper()
	var b strings.Builder
	b.WriteString("app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  chaos:\n")
	if pace != "" {
		fmt.Fprintf(&b, "    %s\n", pace)
	}
	if w.control != "" {
		fmt.Fprintf(&b, "    control: %q\n", w.control)
	}
	fmt.Fprintf(&b, "    auth: {payload: {authToken: %s}}\n    fleet: {alive: [{release: 1.4.0}]}\n    stores:\n", w.token)
	for _, s := range w.stores {
		fmt.Fprintf(&b, "      - {id: %s, schema: main, log: \"sync-cf:%s\"}\n", s, url)
	}
	w.write("headgate.yaml", b.String())
	w.write("headgate/migrations/00001_schedule.sql", migration)
	w.record(w.t, "1.4.0")
	w.headgate(w.t, 0, "migration", "check")
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.app, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		w.t.Fatal(err)
	}
}

// headgate runs the real program and demands its exit status.
func (w *world) headgate(t *testing.T, status int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "headgate", args...)
	cmd.Dir = w.app
	out, err := cmd.CombinedOutput()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != status {
		t.Fatalf("headgate %s: exit status %d, want %d\n%s", strings.Join(args, " "), got, status, out)
	}
	return string(out)
}

// record is [recordRelease] for tests that are no scripts.
func (w *world) record(t *testing.T, versions ...string) {
	t.Helper()
	for _, version := range versions {
		err := recordRelease(w.app, version, func() error { w.headgate(t, 0, "release", "add", version); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
}

// kill runs the real program and kills it some time after its start, or after it has begun to commit, with its children
// left to find out by themselves.
func (w *world) kill(t *testing.T, committing bool, after time.Duration, args ...string) {
	cmd := exec.CommandContext(t.Context(), "headgate", args...)
	cmd.Dir = w.app
	var out bytes.Buffer
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	shoot := func() { _ = cmd.Process.Signal(syscall.SIGKILL) } // it may have ended
	var timer *time.Timer
	if !committing {
		timer = time.AfterFunc(after, shoot)
	}
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		out.WriteString(lines.Text() + "\n")
		if timer == nil && strings.Contains(lines.Text(), "migrating a store") {
			timer = time.AfterFunc(after, shoot)
		}
	}
	err = cmd.Wait()
	if timer != nil {
		timer.Stop()
	}
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) && (!exit.Exited() || exit.ExitCode() == 5 || exit.ExitCode() == 4) {
		return // done before the signal, killed, or some stores of it failed for now
	}
	t.Errorf("%v\n%s", err, &out)
}

func (w *world) open(t *testing.T, s livestore.StoreID) eventlog.Appender {
	t.Helper()
	return openBackend(t, w.url, w.token, s)
}

func (w *world) count(s livestore.StoreID, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[s] += n
}

// written is how many events others than headgate wrote to a store.
func (w *world) written(s livestore.StoreID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[s]
}

func (w *world) total() (n int) {
	for _, s := range w.stores {
		n += w.written(s)
	}
	return n
}

// fill commits n todos to a store.
func (w *world) fill(t *testing.T, s livestore.StoreID, n int) {
	t.Helper()
	log := w.open(t, s)
	defer log.Close()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := head.Last.Global
	for done := 0; done < n; {
		var batch []livestore.Event
		for range min(50, n-done) {
			batch = append(batch, todoEvent(at, "seed", int(at)))
			at++
		}
		if err := log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		done += len(batch)
	}
	w.count(s, n)
}

// todoEvent is what a writer commits after the event at.
func todoEvent(at livestore.SeqNum, client string, n int) livestore.Event {
	e := livestore.Event{
		Seq: livestore.ClientSeq{Global: at + 1}, Parent: livestore.ClientSeq{Global: at}, ClientID: client, SessionID: "s",
		Name: "v1.TodoCreated", Args: json.RawMessage(fmt.Sprintf(`{"id":"%s-%d","text":"t","createdAt":"2026-01-01T00:00:00.000Z"}`, client, n)),
	}
	if n%3 == 2 {
		e.Name = "v1.TodoMoved"
		e.Args = json.RawMessage(fmt.Sprintf(`{"id":"%s-%d","list":"list-%d","position":%d}`, client, n-1, n%5, n))
	}
	return e
}

// startWriters has one writer per store commit events as fast as the backend takes them, in bursts.
func (w *world) startWriters(t *testing.T, events int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i, s := range w.stores {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			log := openBackend(t, w.url, w.token, s)
			defer log.Close()
			for n := 0; n < events; {
				if t.Context().Err() != nil {
					return
				}
				head, err := log.Head(t.Context())
				if err != nil {
					t.Errorf("writer of %s: %v", s, err)
					return
				}
				batch := []livestore.Event{todoEvent(head.Last.Global, fmt.Sprintf("writer%d", i), n)}
				var ahead *eventlog.AheadError
				switch err := log.Append(t.Context(), batch); {
				case errors.As(err, &ahead):
				case err != nil:
					t.Errorf("writer of %s: %v", s, err)
					return
				default:
					n++
					w.count(s, 1)
				}
				if rnd.IntN(10) == 0 { // between two bursts
					<-time.After(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				}
			}
		})
	}
	return &wg
}

// A found is what a store's log holds in the end.
type found struct {
	ours, duplicates, markers, others int // others' without what they repeated
	repeated                          int
	head                              livestore.SeqNum
	runs                              map[string]bool // by session id
	mixed                             bool            // two owners of a lease worked at the same time
}

func (w *world) inspect(t *testing.T, s livestore.StoreID) found {
	t.Helper()
	log := w.open(t, s)
	defer log.Close()
	f := found{runs: map[string]bool{}}
	seen, theirs := map[string]bool{}, map[string]bool{}
	session := ""
	for e, err := range log.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Seq.Global != f.head+1 || e.Parent.Global != f.head {
			t.Fatalf("%s: %s comes after e%d, its parent is %s", s, e.Seq, f.head, e.Parent)
		}
		f.head = e.Seq.Global
		var args struct{ ID string }
		if err := json.Unmarshal(e.Args, &args); err != nil {
			t.Fatal(err)
		}
		key := e.Name + " " + args.ID
		switch {
		case !strings.HasPrefix(e.ClientID, "hg:00001_schedule:"):
			if own := e.ClientID + " " + key; theirs[own] { // real clients of 0.4.0 do that by themselves
				t.Logf("%s: %s committed %s at %s, and before", s, e.ClientID, key, e.Seq)
				f.repeated++
			} else {
				theirs[own] = true
				f.others++
			}
			continue
		case e.Name == "v1.MigrationRan":
			f.markers++
			continue
		}
		if seen[key] {
			f.duplicates++
			t.Logf("%s: %s at %s is there already", s, key, e.Seq)
		}
		seen[key] = true
		if session != "" && e.SessionID != session && f.runs[e.SessionID] {
			f.mixed = true
		}
		session = e.SessionID
		f.runs[session] = true
		f.ours++
	}
	return f
}
