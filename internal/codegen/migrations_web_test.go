package codegen_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/testenv"
)

// A tab is one opening of the page of testdata/clientrun/web. See testdata/app/tabs.mjs.
type tab struct {
	Tab     string `json:"tab"`
	Context string `json:"context"` // browsers that share nothing
	Start   run    `json:"start"`
	Commits int    `json:"commits,omitempty"` // leave it when it has committed so often
	Close   bool   `json:"close,omitempty"`
}

// TestOnWebClientMigrations runs the migrations in tabs of headless Chromium, with the app's files on OPFS, against the
// real backend. HEADGATE_WEB=1 runs it.
func TestOnWebClientMigrations(t *testing.T) {
	if os.Getenv("HEADGATE_WEB") == "" {
		t.Skip("HEADGATE_WEB=1 runs the proofs in a browser")
	}
	app := migrationApp(t, "00001_fill_notes", "00002_archive_notes")
	page := filepath.Join(proofApp(t), ".build", "notes")
	if err := os.RemoveAll(page); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "clientrun", "web"): "web",
		filepath.Join(app, "history", "9.9.9", "livestore"):                                   "livestore",
	} {
		if err := os.CopyFS(filepath.Join(page, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	w := buildPage(t, filepath.Join(page, "web"), filepath.Join(page, "livestore", codegen.FileName), "notes-page")
	t.Run("two tabs", func(t *testing.T) { w.migratingTabs(t, app) })
	t.Run("two browsers offline", func(t *testing.T) { w.migratingOffline(t, app) })
}

// Two tabs of one client start at the same time, and one of them is reloaded in the middle: they take turns, so that
// each event is there once.
func (w webProof) migratingTabs(t *testing.T, app string) {
	online := seeded(t, app).with(run{"head": notes})
	migrate := online.with(run{"migrate": run{"pace": 100, "jitter": 300, "chunk": 5}})
	s := browse[[]tab, []migrated](t, w, "tabs.mjs", [][]tab{
		{{Tab: "a", Context: "x", Start: migrate, Commits: 3}},
		{{Tab: "a", Context: "x", Start: migrate}, {Tab: "b", Context: "x", Start: migrate}},
		{{Tab: "a", Context: "x", Start: migrate}},
	})
	done := append(s[1], s[2]...)
	w.equal(t, done)
	seen, markers := w.keys(t, app, online)
	for key, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", key, n)
		}
	}
	if want := notes + notes + 2 + archived; len(seen) != want || markers != 1 {
		t.Errorf("%d events and %d markers, want %d and 1", len(seen), markers, want)
	}
}

// Two browsers pull the notes, run the migrations offline, one of them with a reload in the middle, and come online one
// after the other: both have sent theirs, and both states, and that of a new browser, are as if it had been one.
func (w webProof) migratingOffline(t *testing.T, app string) {
	online := seeded(t, app)
	fast := run{"migrate": run{"pace": 50, "jitter": 0, "chunk": 5}}
	pull, alone := online.with(run{"head": notes}), offline(online).with(fast)
	sent := notes + notes + 2 + archived + 1
	both := online.with(fast).with(run{"head": sent + notes + 2 + archived + 1})
	s := browse[[]tab, []migrated](t, w, "tabs.mjs", [][]tab{
		{{Tab: "a", Context: "x", Start: pull}, {Tab: "b", Context: "y", Start: pull}},
		{{Tab: "a", Context: "x", Start: alone}, {Tab: "b", Context: "y", Start: alone, Commits: 2}},
		{{Tab: "b", Context: "y", Start: alone}},
		// LiveStore 0.4.0 does not start any more when it is closed while it writes what it pulls: "During boot the backend
		// head should never be greater than the local head". So a is closed before b sends.
		{{Tab: "a", Context: "x", Start: online.with(run{"head": sent}), Close: true}},
		{{Tab: "b", Context: "y", Start: both}},
		{{Tab: "a", Context: "x", Start: both}, {Tab: "b", Context: "y", Start: both}, {Tab: "c", Context: "z", Start: both}},
	})
	for _, m := range []migrated{s[1][0], s[2][0]} {
		if m.Failed != "" || len(m.Left) != 0 || m.Unsent != notes+2+archived+1 {
			t.Errorf("offline: %d unsent, left %v, %s", m.Unsent, m.Left, m.Failed)
		}
	}
	w.equal(t, append(s[4], s[5]...))
	seen, markers := w.keys(t, app, online)
	if len(seen) != notes+notes+2+archived || markers != 2 {
		t.Errorf("%d different events and %d markers", len(seen), markers)
	}
}

// equal demands that the tabs have nothing left to do, and the same state.
func (w webProof) equal(t *testing.T, tabs []migrated) {
	t.Helper()
	for i, m := range tabs {
		if m.Failed != "" || len(m.Left)+m.Unsent != 0 {
			t.Errorf("tab %d: %d unsent, left %v, %s", i, m.Unsent, m.Left, m.Failed)
			continue
		}
		sameState(t, i, tabs[0], m)
	}
}

// keys counts the events of the log by what they are about, and the markers.
func (w webProof) keys(t *testing.T, app string, online run) (seen map[string]int, markers int) {
	t.Helper()
	seen = map[string]int{}
	for _, e := range migrate(t, app, online.with(run{"pull": true})).Log {
		if e.Name == codegen.MarkerEvent {
			markers++
			continue
		}
		var args struct{ ID string }
		if err := json.Unmarshal(e.Args, &args); err != nil {
			t.Fatal(err)
		}
		seen[strings.Join([]string{e.Name, args.ID}, " ")]++
	}
	return seen, markers
}
