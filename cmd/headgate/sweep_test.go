//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A swept is what `headgate migration sweep` prints.
type swept struct {
	Committed  int64
	MayEnd     bool
	Migrations []struct {
		Skipped               string
		Stores, Unchanged, In int
		Due                   int64
		Run                   *struct{ ID, State string }
		Failed                []struct{ Store, Code, Error string }
		End                   struct{ Why string }
	}
	NextActions []string `json:"next_actions"`
}

func (w *world) sweep(t *testing.T, status int, args ...string) (s swept) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "headgate", append([]string{"migration", "sweep", "--env", "chaos", "--format", "json"}, args...)...)
	cmd.Dir = w.app
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // the status says it
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("exit status %d, want %d\n%s%s", got, status, out, &stderr)
	}
	if status == 0 || len(out) > 0 {
		if err := json.Unmarshal(out, &s); err != nil {
			t.Fatalf("%v\n%s%s", err, out, &stderr)
		}
	}
	return s
}

// TestSweep has an old client push what it did offline after a migration ran: a sweep commits exactly what that made due,
// and the next one nothing.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	w.configure(w.url, "pace: 0", chaosMigration)
	w.sweep(t, 2, "--yes") // nobody agreed to anything
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	before := map[string]int{}
	for _, s := range w.stores {
		before[string(s)] = w.inspect(t, s).ours
	}
	if s := w.sweep(t, 0, "--yes"); s.Committed != 0 || s.Migrations[0].Run != nil || s.MayEnd {
		t.Errorf("%+v", s)
	}
	w.fill(t, w.stores[0], 6)
	if s := w.sweep(t, 4); len(s.Migrations) != 0 {
		t.Errorf("%+v", s)
	}
	s := w.sweep(t, 0, "--yes")
	one := s.Migrations[0]
	if s.Committed == 0 || s.Committed != one.Due || one.In != 1 || one.Unchanged != 2 || one.Run.State != "succeeded" ||
		!strings.Contains(one.End.Why, "the census has no client") || len(s.NextActions) != 1 {
		t.Errorf("%+v", s)
	}
	for i, store := range w.stores {
		r := w.inspect(t, store)
		late := r.ours - before[string(store)]
		if r.duplicates != 0 || r.markers != 1 || i == 0 && late != int(s.Committed) || i > 0 && late != 0 {
			t.Errorf("%s: %+v", store, r)
		}
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	if out := w.headgate(t, 0, "status", "--env", "chaos"); !strings.Contains(out, "sweep "+one.Run.ID) {
		t.Errorf("no sweep in the status:\n%s", out)
	}
	if out := w.headgate(t, 0, "audit", "--env", "chaos", "--format", "json"); !strings.Contains(out, `"kind":"sweep"`) && !strings.Contains(out, `"kind": "sweep"`) {
		t.Errorf("no sweep in the audit:\n%s", out)
	}
	if again := w.sweep(t, 0, "--yes"); again.Committed != 0 {
		t.Errorf("%+v", again)
	}
	if again := w.sweep(t, 0, "--yes"); again.Migrations[0].Unchanged != 3 {
		t.Errorf("%+v", again)
	}

	// More than late arrivals explain is left to somebody who looks.
	w.fill(t, w.stores[1], 120)
	s = w.sweep(t, 5, "--yes")
	if s.Committed != 0 || len(s.Migrations[0].Failed) != 1 || s.Migrations[0].Failed[0].Code != "stale" {
		t.Errorf("%+v", s)
	}
	if s = w.sweep(t, 0, "--yes", "--max-drift", "none"); s.Committed < 80 {
		t.Errorf("%+v", s)
	}

	// The census says when no sweep is needed any more.
	day := time.Now().UTC().Add(-24 * time.Hour).Format(time.RFC3339)
	census := func(release string) {
		w.write("clients.csv", "storeId,clientId,release,lastSeen\nstore-00,c1,"+release+","+day+"\n")
		w.headgate(t, 0, "census", "import", "clients.csv", "--env", "chaos")
	}
	census("1.3.0")
	if s := w.sweep(t, 0, "--yes"); s.MayEnd || !strings.Contains(s.Migrations[0].End.Why, "1 client of release 1.3.0") {
		t.Errorf("%+v", s)
	}
	census("1.4.0")
	if s := w.sweep(t, 0, "--yes", "--every", "1h"); !s.MayEnd {
		t.Errorf("%+v", s)
	}
	w.headgate(t, 0, "audit", "verify", "--env", "chaos")
}

// TestWorkersSweep has two workers sweep beside their work: one of them begins the run.
func TestWorkersSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	w.configure(w.url, "pace: 0", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	w.fill(t, w.stores[1], 6)
	workers := []*program{w.startWorker(t, "--sweep", "2s"), w.startWorker(t, "--sweep", "2s")}
	var found fleetStatus
	w.await(t, "a sweep", func(s fleetStatus) bool {
		found = s
		return len(s.Runs) == 1 && s.Runs[0].State == "succeeded" && strings.Contains(string(s.Runs[0].Options), `"sweep"`)
	})
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	for _, k := range workers {
		k.stop(t)
	}
	if out := w.headgate(t, 0, "audit", "--env", "chaos", "--format", "json"); strings.Count(out, `"run.create"`) != 2 {
		t.Errorf("%s\n%s", fmt.Sprint(found), out)
	}
}
