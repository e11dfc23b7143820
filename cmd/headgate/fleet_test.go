//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
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

	workers := make([]*fleetWorker, 3)
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

// TestPauseAndResume lets a run pause in the middle, from another process, and go on; and a deleted control database only
// costs a look at the logs.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for _, s := range w.stores {
		w.fill(t, s, 300)
	}
	w.configure(w.url, "pace: 1s", chaosMigration)
	worker := w.startWorker(t)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	w.await(t, "the first events", func(s fleetStatus) bool { return s.committed() > 0 })
	w.headgate(t, 0, "migration", "pause", "--env", "chaos", "--reason", "too slow")
	paused := w.await(t, "the pause", func(s fleetStatus) bool { return s.Runs[0].State == "paused" })
	if paused.in("running")+paused.in("pausing") != 0 || paused.in("paused") == 0 {
		t.Errorf("%+v", paused)
	}
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
	if out := w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes"); !strings.Contains(out, "0 events committed") {
		t.Errorf("without its database headgate committed again:\n%s", out)
	}
	for _, s := range w.stores {
		if r := w.inspect(t, s); r.duplicates != 0 || r.markers != 1 {
			t.Errorf("%s: %+v", s, r)
		}
	}
}

// A fleetWorker is a real `headgate worker`.
type fleetWorker struct {
	cmd    *exec.Cmd
	stderr *bytes.Buffer
	ended  chan error
}

func (w *world) startWorker(t *testing.T) *fleetWorker {
	t.Helper()
	k := &fleetWorker{cmd: exec.CommandContext(t.Context(), "headgate", "worker", "--env", "chaos", "--jobs", "4", "--log-level", "info"), stderr: &bytes.Buffer{}, ended: make(chan error, 1)}
	k.cmd.Dir = w.app
	k.cmd.Stderr = k.stderr
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { k.ended <- k.cmd.Wait() }()
	return k
}

// stop ends the worker in order, unless it was killed, and returns how many stores it took.
func (k *fleetWorker) stop(t *testing.T) int {
	t.Helper()
	_ = k.cmd.Process.Signal(syscall.SIGTERM) // it may have been killed
	err := <-k.ended
	if err != nil && !k.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("a worker ended with %v:\n%s", err, k.stderr)
	}
	return strings.Count(k.stderr.String(), "migrating a store")
}

// A fleetStatus is what `headgate status` prints of an environment.
type fleetStatus struct {
	Runs []struct {
		ID, State string
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
