//go:build unix

package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// TestPostgresKilled kills the server of the control database, with all its children, in the middle of a run that three
// workers share with the `migration up` that began it. None of them gives up: the run succeeds, every store has each event
// once, and the audit is whole.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	stores, kills := 4, 2
	if os.Getenv("HEADGATE_SOAK") != "" {
		stores, kills = 20, 30
	}
	server := testenv.NewPostgres(t)
	w := newWorld(t, stores)
	w.control = server.URL
	// Two at a time, so that the run outlasts the kills.
	w.configure(w.url, "pace: 1s\n    waves: [{name: all, stores: ['*'], parallel: 2}]", chaosMigration)
	for _, s := range w.stores {
		w.fill(t, s, 300)
	}
	workers := make([]*program, 3)
	for i := range workers {
		workers[i] = w.startWorker(t)
	}
	up := w.start(t, "migration", "up", "--env", "chaos", "--yes")
	w.await(t, "the first events", func(s fleetStatus) bool { return s.committed() > 0 })
	rnd := rand.New(rand.NewPCG(7, uint64(stores)))
	under := 0 // kills while the run was under way
	for range kills {
		<-time.After(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		server.Kill()
		<-time.After(time.Duration(rnd.IntN(3000)) * time.Millisecond)
		server.Start()
		if s := w.await(t, "an answer", func(fleetStatus) bool { return true }); s.Runs[0].State == "running" {
			under++
		}
	}
	up.end(t)
	for _, k := range workers {
		k.stop(t)
	}
	w.headgate(t, 0, "audit", "verify", "--env", "chaos")
	duplicates, lost := w.once(t)
	if under == 0 {
		t.Error("the run ended before the first kill")
	}
	t.Logf("Postgres: %d stores, %d kills, %d of them under way, %d duplicates, %d lost", len(w.stores), kills, under, duplicates, lost)
}

// TestControlDeleted deletes the control database while a run goes on, and begins another, which knows nothing of the
// first and shares no lease with it. What is in the logs keeps them from committing anything twice.
func TestControlDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.configure(w.url, "pace: 500ms", chaosMigration)
	for _, s := range w.stores {
		w.fill(t, s, 300)
	}
	first := w.start(t, "migration", "up", "--env", "chaos", "--yes")
	w.await(t, "the first events", func(s fleetStatus) bool { return s.committed() > 0 })
	if err := os.RemoveAll(w.app + "/.headgate"); err != nil {
		t.Fatal(err)
	}
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	<-first.ended // how well depends on what it had open
	if strings.Contains(first.stderr.String(), "goroutine ") {
		t.Errorf("the run whose database is gone crashed:\n%s", first.stderr)
	}
	w.once(t)
}

// once demands that the migration is done everywhere, with each event and the marker once and what others wrote still there.
func (w *world) once(t *testing.T) (duplicates, lost int) {
	t.Helper()
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	if out := w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes"); !strings.Contains(out, "0 events committed") {
		t.Errorf("another run committed something:\n%s", out)
	}
	for _, s := range w.stores {
		r := w.inspect(t, s)
		duplicates += r.duplicates
		lost += w.written(s) - r.others
		if r.duplicates != 0 || r.markers != 1 || r.others != w.written(s) {
			t.Errorf("%s: %+v, %d written by others", s, r, w.written(s))
		}
	}
	return duplicates, lost
}
