//go:build unix

package main

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/internal/testenv"
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

// TestAway takes the sync backend away before a worker opens the stores, and then the control database while it works.
// Both come back, and nothing has failed.
func TestAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, s := range w.stores {
		w.fill(t, s, 200)
	}
	control, err := url.Parse(postgresSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	database := testenv.NewProxy(t, control.String())
	control.Host = strings.TrimPrefix(database.URL, "http://")
	w.control = control.String()
	backend := testenv.NewProxy(t, w.url)
	w.configure(backend.URL, "pace: 500ms", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")

	cut := func(bool, []byte) testenv.Verdict { return testenv.Cut }
	backend.Set(cut)
	said := w.runWorker(t)
	said(`trying again" error="http://`)
	backend.Set(nil)
	w.await(t, "the first events", func(s fleetStatus) bool { return s.committed() > 0 })
	database.Set(cut)
	database.CutAll()
	said("can't report progress", `trying again" error="postgres://`)
	database.Set(nil)
	end := w.await(t, "the end", func(s fleetStatus) bool { return s.Runs[0].State == "succeeded" || s.Runs[0].State == "failed" })
	if end.Runs[0].State != "succeeded" {
		t.Errorf("%+v", end)
	}
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	for _, s := range w.stores {
		if r := w.inspect(t, s); r.duplicates != 0 || r.markers != 1 || int64(r.ours) == 0 {
			t.Errorf("%s: %+v", s, r)
		}
	}
}

// runWorker starts a worker that must end in order with the test. said waits until it has logged all of some texts.
func (w *world) runWorker(t *testing.T) (said func(texts ...string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker.log")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("headgate", "worker", "--env", "chaos", "--log-level", "info")
	cmd.Dir, cmd.Stderr = w.app, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the worker ended with %v:\n%s", err, text())
		}
		log.Close()
	})
	return func(texts ...string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
			missing := texts[:0:0]
			for _, s := range texts {
				if !strings.Contains(text(), s) {
					missing = append(missing, s)
				}
			}
			if len(missing) == 0 {
				return
			}
		}
		t.Fatalf("the worker did not say %q", texts)
	}
}

// TestVanished resets the backend behind a store: it is left alone until someone forgets what is known of it.
func TestVanished(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.configure(w.url, "pace: 0", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	w.write("headgate/migrations/00002_again.sql", "-- headgate: requires >= 1.4.0\n-- +goose Up\n-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;\n")
	w.headgate(t, 0, "migration", "up", "again", "--env", "chaos", "--yes", "--detach")
	former := w.url
	w.url, w.token = testenv.Backend(t)
	yaml, err := os.ReadFile(filepath.Join(w.app, "headgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("headgate.yaml", strings.ReplaceAll(string(yaml), former, w.url))
	said := w.runWorker(t)
	said("a store failed")
	w.await(t, "the end", func(s fleetStatus) bool { return s.Runs[0].State == "failed" })
	out := w.headgate(t, 0, "status", "--env", "chaos")
	next := `headgate store forget store-00 --env chaos --reason "…"`
	if !strings.Contains(out, next) {
		t.Errorf("status does not name the command:\n%s", out)
	}
	out = w.headgate(t, 7, "migration", "up", "again", "--env", "chaos", "--only-failed", "--yes")
	if !strings.Contains(out, next) {
		t.Errorf("up does not name the command:\n%s", out)
	}
	out = w.headgate(t, 3, "doctor", "--env", "chaos", "--no-state")
	if !strings.Contains(out, "error   store-00: ") || !strings.Contains(out, "headgate store show store-00 --env chaos") {
		t.Errorf("doctor does not say what happened to the backend:\n%s", out)
	}
	w.headgate(t, 0, "store", "forget", "store-00", "--env", "chaos", "--reason", "it was reset")
	w.headgate(t, 0, "migration", "up", "again", "--env", "chaos", "--only-failed", "--yes")
}

// TestReadAnew changes headgate.yaml under a worker: a new store is found, and a release that came back holds a run up.
func TestReadAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.configure(w.url, "pace: 0", chaosMigration)
	w.runWorker(t)
	succeeded := func(s fleetStatus) bool { return s.Runs[0].State == "succeeded" }
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	first := w.await(t, "the first run's end", succeeded).Runs[0].ID
	w.fill(t, "store-new", 20)
	w.stores = append(w.stores, "store-new")
	w.configure(w.url, "pace: 0", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	w.await(t, "the second run's end", func(s fleetStatus) bool { return s.Runs[0].ID != first && succeeded(s) })

	w.fill(t, "store-new", 20)
	w.control = postgresSchema(t) // the worker does not look there
	w.configure(w.url, "pace: 0", chaosMigration)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes", "--detach")
	good, err := os.ReadFile(filepath.Join(w.app, "headgate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("headgate.yaml", strings.Replace(string(good), "release: 1.4.0", "release: 1.0.0", 1))
	w.runWorker(t)
	w.await(t, "the refusal", func(s fleetStatus) bool { return s.Runs[0].State == "failed" })
	if out := w.headgate(t, 0, "status", "--env", "chaos"); !strings.Contains(out, "release 1.0.0 is alive, but not recorded") {
		t.Errorf("status does not say why:\n%s", out)
	}
}
