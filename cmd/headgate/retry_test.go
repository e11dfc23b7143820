//go:build unix

package main

import (
	"strings"
	"testing"
)

// TestDrift lets a store grow after its preview: it stops by itself, and goes on when someone has seen the new preview.
func TestDrift(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.configure(w.url, "pace: 0", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	w.fill(t, w.stores[0], 300)
	worker := w.startWorker(t)
	end := w.await(t, "the end", func(s fleetStatus) bool { return s.Runs[0].State == "failed" })
	worker.stop(t)
	if end.committed() != 0 {
		t.Errorf("%+v", end)
	}
	out := w.headgate(t, 4, "migration", "up", "--env", "chaos", "--only-failed")
	if !strings.Contains(out, " events and 1 marker would be committed in 1 store, and nobody said yes") {
		t.Errorf("nobody saw a preview:\n%s", out)
	}
	out = w.headgate(t, 0, "migration", "up", "--env", "chaos", "--only-failed", "--yes")
	if !strings.Contains(out, end.Runs[0].ID) {
		t.Errorf("it is another run:\n%s", out)
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	if r := w.inspect(t, w.stores[0]); r.duplicates != 0 || r.markers != 1 {
		t.Errorf("%+v", r)
	}
}
