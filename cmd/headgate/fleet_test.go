//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"headgate/internal/livestore"
)

// TestFleet has three workers on Postgres migrate a fleet, and kills one of them in the middle: the work is spread, no
// store is worked on by two at once, and the killed worker's stores are taken over.
func TestFleet(t *testing.T) {
	t.Parallel()
	stores := 12
	if os.Getenv("HEADGATE_SOAK") != "" {
		stores = 200
	}
	w := newWorld(t, stores)
	w.control = postgresSchema(t) // the tables of no store in it
	w.configure(w.url, "pace: 300ms", chaosMigration)
	w.fill(t, w.stores[0], 300) // one store has more to do

	workers := make([]*program, 3)
	for i := range workers {
		workers[i] = w.startWorker(t)
	}
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	w.await(t, "a third of the stores", func(s fleetStatus) bool { return s.in("succeeded") > int64(stores)/3 })
	// The one that works on something is killed; its stores are free when its leases end.
	if err := workers[0].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	end := w.await(t, "the end", func(s fleetStatus) bool { return s.Runs[0].State == "succeeded" || s.Runs[0].State == "failed" })
	if end.Runs[0].State != "succeeded" || end.in("succeeded") != int64(stores) {
		t.Fatalf("%+v", end)
	}
	t.Logf("%d stores; %s after one of three workers was killed all were done", stores, time.Since(killed).Round(time.Second))
	for i, k := range workers {
		n := k.stop(t)
		t.Logf("worker %d took %d stores", i, n)
		if n == 0 {
			t.Errorf("worker %d had nothing to do", i)
		}
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	for _, s := range w.stores {
		r := w.inspect(t, s)
		if r.duplicates != 0 || r.markers != 1 || r.others != w.written(s) || r.mixed {
			t.Errorf("%s: %+v", s, r)
		}
	}
}

// TestPauseAndResume holds a run in the middle by its throttle, lets it pause in the hold, from another process, and go on;
// and a deleted control database only costs a look at the logs.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for _, s := range w.stores {
		w.fill(t, s, 300)
	}
	w.configure(w.url, "pace: 1s\n    throttle: {command: [test, -e, go], every: 200ms}", chaosMigration)
	w.write("go", "")
	worker := w.startWorker(t)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	w.await(t, "the first events", func(s fleetStatus) bool { return s.committed() > 0 })
	if err := os.Remove(filepath.Join(w.app, "go")); err != nil {
		t.Fatal(err)
	}
	worker.says(t, "holding the migrations of chaos: test ends with 1")
	pause := func() fleetStatus {
		t.Helper()
		w.headgate(t, 0, "migration", "pause", "--env", "chaos", "--reason", "too slow")
		paused := w.await(t, "the pause", func(s fleetStatus) bool { return s.Runs[0].State == "paused" })
		if paused.in("running")+paused.in("pausing") != 0 || paused.in("paused") == 0 || !strings.HasPrefix(paused.Held, "test ends with 1") {
			t.Errorf("%+v", paused)
		}
		return paused
	}
	paused := pause() // those under way stand still in the hold, and end there
	heads := w.heads(t)
	// A hold outlasts a pause: nothing is pushed for longer than the pace.
	w.headgate(t, 0, "migration", "resume", "--env", "chaos")
	w.await(t, "the run", func(s fleetStatus) bool { return s.Runs[0].State == "running" })
	<-time.After(2500 * time.Millisecond)
	if now := w.heads(t); !slices.Equal(now, heads) || paused.committed() == 0 {
		t.Errorf("events were pushed in the hold: %v, %v", heads, now)
	}
	pause()
	w.write("go", "")
	w.headgate(t, 4, "migration", "up", "--env", "chaos", "--yes")
	worker.stop(t)
	w.headgate(t, 0, "migration", "resume", "--env", "chaos")
	// A run of other stores is not joined for one of them.
	w.headgate(t, 4, "migration", "up", "--env", "chaos", "--yes", "--store", string(w.stores[0]))
	out := w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	if !strings.Contains(out, "joining run "+paused.Runs[0].ID) {
		t.Errorf("the run was not joined:\n%s", out)
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	w.headgate(t, 0, "audit", "verify", "--env", "chaos")
	if err := os.RemoveAll(w.app + "/.headgate"); err != nil {
		t.Fatal(err)
	}
	w.once(t)
}

// labelMigration leaves another tag for each list, named by a module beside it, after [chaosMigration].
const labelMigration = `import { label } from './lib/label.ts'
export const requires = '>= 1.4.0'
export const after = ['00001']
export const emits = { 'v1.TagCreated': { key: ['id'] } }
export default function* (query, uuid5) {
  for (const { list } of query('SELECT DISTINCT list FROM todos ORDER BY list'))
    yield { event: 'v1.TagCreated', args: { id: uuid5('label ' + list), name: label(list) } }
}
`

// TestWorkerWithoutTheApp begins runs in the app's directory, and has a worker elsewhere do all of each: one whose migration
// of that name is another, and one that has headgate.yaml alone, for a migration that needs other files and one before it.
// They take what the runs began with from the control database.
func TestWorkerWithoutTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 4)
	w.control = postgresSchema(t)
	w.write("headgate/migrations/dates.csv", "due\n2030-01-01T00:00:00.000Z\n")
	w.write("headgate/migrations/00002_label.ts", labelMigration)
	w.write("headgate/migrations/lib/label.ts", "export const label = (list) => `list ${list}`\n")
	w.configure(w.url, "pace: 300ms", strings.NewReplacer(
		"-- +goose Up", "-- headgate: input dates.csv\n-- +goose Up", "'2030-01-01T00:00:00.000Z' AS dueAt", "dates.due AS dueAt",
		"FROM todos WHERE dueAt IS NULL ORDER", "FROM todos, dates WHERE dueAt IS NULL ORDER").Replace(chaosMigration))
	yaml, err := os.ReadFile(filepath.Join(w.app, "headgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	bare, other := &world{t: t, app: t.TempDir()}, &world{t: t, app: t.TempDir()}
	for _, e := range []*world{bare, other} {
		e.write("headgate.yaml", string(yaml))
	}
	other.write("headgate/migrations/00001_schedule.sql", strings.Replace(chaosMigration, "2030", "2031", 1))
	for _, run := range []struct {
		migration string
		in        *world
	}{{"00001_schedule", other}, {"00002_label", bare}} {
		worker := run.in.startWorker(t)
		w.headgate(t, 0, "migration", "up", run.migration, "--env", "chaos", "--yes", "--detach")
		end := w.await(t, "the end of "+run.migration, func(s fleetStatus) bool { return s.Runs[0].State == "succeeded" || s.Runs[0].State == "failed" })
		if end.Runs[0].State != "succeeded" || end.in("succeeded") != int64(len(w.stores)) {
			t.Fatalf("%s: %+v", run.migration, end)
		}
		if n := worker.stop(t); n != len(w.stores) {
			t.Errorf("the worker of %s took %d stores:\n%s", run.migration, n, worker.stderr)
		}
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	for _, s := range w.stores {
		if r := w.inspect(t, s); r.duplicates != 0 || r.ours == 0 || r.others <= w.written(s) || r.mixed { // the labels are among the others
			t.Errorf("%s: %+v", s, r)
		}
	}
	if left, err := os.ReadDir(bare.app); err != nil || len(left) > 2 { // headgate.yaml, and .headgate with checkpoints
		t.Errorf("%v, %v", left, err)
	}
}

// heads is where the stores' logs end.
func (w *world) heads(t *testing.T) (heads []livestore.SeqNum) {
	t.Helper()
	for _, s := range w.stores {
		log := w.open(t, s)
		h, err := log.Head(t.Context())
		if err := errors.Join(err, log.Close()); err != nil {
			t.Fatal(err)
		}
		heads = append(heads, h.Last.Global)
	}
	return heads
}

// A program is a real headgate that runs beside the test.
type program struct {
	cmd    *exec.Cmd
	stderr *output
	ended  chan error
}

// An output is what a program has printed so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// says waits until the program has printed the text.
func (p *program) says(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(p.stderr.String(), text); <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not say %q:\n%s", text, p.stderr)
		}
	}
}

func (w *world) start(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(t.Context(), "headgate", args...), stderr: &output{}, ended: make(chan error, 1)}
	p.cmd.Dir = w.app
	p.cmd.Stderr = p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

func (w *world) startWorker(t *testing.T, more ...string) *program {
	t.Helper()
	return w.start(t, append([]string{"worker", "--env", "chaos", "--jobs", "4", "--log-level", "info"}, more...)...)
}

// end waits for the program to end by itself, which must go well.
func (p *program) end(t *testing.T) {
	t.Helper()
	if err := <-p.ended; err != nil && !p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("headgate %s ended with %v:\n%s", p.cmd.Args[1], err, p.stderr)
	}
}

// stop ends a worker in order, unless it was killed, and returns how many stores it took.
func (p *program) stop(t *testing.T) int {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have been killed
	p.end(t)
	return strings.Count(p.stderr.String(), "migrating a store")
}

// A fleetStatus is what `headgate status` prints of an environment.
type fleetStatus struct {
	Held string
	Runs []struct {
		ID, State string
		Options   json.RawMessage
		Waves     []struct {
			State             string
			Stores, Committed int64
		}
	}
}

func (s fleetStatus) in(state string) (n int64) {
	for _, w := range s.Runs[0].Waves {
		if w.State == state {
			n += w.Stores
		}
	}
	return n
}

func (s fleetStatus) committed() (n int64) {
	for _, w := range s.Runs[0].Waves {
		n += w.Committed
	}
	return n
}

// await asks for the status until it is as wanted.
func (w *world) await(t *testing.T, what string, is func(fleetStatus) bool) fleetStatus {
	t.Helper()
	var last string
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		var envs []fleetStatus
		last = w.headgate(t, 0, "status", "--env", "chaos", "--format", "json")
		if err := json.Unmarshal([]byte(last), &envs); err != nil {
			t.Fatalf("%v\n%s", err, last)
		}
		if len(envs) == 1 && len(envs[0].Runs) > 0 && is(envs[0]) {
			return envs[0]
		}
	}
	t.Fatalf("%s was not reached:\n%s", what, last)
	return fleetStatus{}
}
