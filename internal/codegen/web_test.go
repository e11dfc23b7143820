package codegen_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// webProof is the built page and the browser that opens it.
type webProof struct {
	app, dist, chromium string
}

// A step is one opening of the page. See testdata/app/web.mjs.
type step struct {
	Start  webStart `json:"start"`
	Commit []any    `json:"commit,omitempty"` // event, first number, count
	Flush  bool     `json:"flush,omitempty"`  // wait until the leader has what was committed
	Kill   bool     `json:"kill,omitempty"`   // SIGKILL the browser when the leader blocks
	Beside bool     `json:"beside,omitempty"` // leave the page before open, as another tab
}

type webStart struct {
	Variant     variant `json:"variant"`
	Check       bool    `json:"check,omitempty"`
	FastPath    bool    `json:"fastPath,omitempty"` // goes without headgateWebAdapterOptions
	StopAtEvent int     `json:"stopAtEvent,omitempty"`
	StopAtWrite int     `json:"stopAtWrite,omitempty"` // counted from the app's post hook on: in the commit
}

func (w webProof) run(t *testing.T, steps ...step) []seen {
	t.Helper()
	all := browse[step, seen](t, w, "web.mjs", steps)
	for i, s := range all {
		if steps[i].Kill && s.Stopped == "" {
			t.Fatalf("step %d: the browser was to be killed, it said %+v", i, s)
		}
	}
	return all
}

// browse has a script open the page as the steps say, and returns what each of them saw.
func browse[Step, Seen any](t *testing.T, w webProof, script string, steps []Step) (all []Seen) {
	t.Helper()
	arg, err := json.Marshal(map[string]any{"dist": w.dist, "profile": t.TempDir(), "chromium": w.chromium, "steps": steps})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script, string(arg))
	cmd.Dir = w.app
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != len(steps) {
		t.Fatalf("%s printed %q: %v", script, out, err)
	}
	return all
}

// TestOnWeb drives the web adapter, persisted on OPFS, in headless Chromium, with a production build of Vite, and
// kills the whole browser. It takes a minute or two: HEADGATE_WEB=1 runs it.
func TestOnWeb(t *testing.T) {
	if os.Getenv("HEADGATE_WEB") == "" {
		t.Skip("HEADGATE_WEB=1 runs the proofs in a browser")
	}
	w := buildWebProof(t)
	t.Run("partial state", w.partialState)
	t.Run("rebuild killed", func(t *testing.T) {
		w.rebuildKilled(t, []int{75, 150}, []int{2, 100, 300})
	})
	t.Run("events that the release does not know", w.unknownAtTheEnd)
	t.Run("two tabs", w.twoTabs)
}

// TestSoakRebuildKilledOnWeb kills 20 rebuilds at random events, and 20 at random writes of the commit.
func TestSoakRebuildKilledOnWeb(t *testing.T) {
	soak(t)
	var atEvents, atWrites []int
	for range 20 {
		atEvents, atWrites = append(atEvents, 1+rand.IntN(150)), append(atWrites, 1+rand.IntN(300))
	}
	buildWebProof(t).rebuildKilled(t, atEvents, atWrites)
}

func buildWebProof(t *testing.T) webProof {
	t.Helper()
	generated := filepath.Join(proofApp(t), ".build", "generated-web", "headgate.generated.ts")
	if err := os.MkdirAll(filepath.Dir(generated), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(generated, render(t, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	return buildPage(t, ".", generated, "web")
}

// buildPage builds the page in a directory of testdata/app, with a generated file, as .build/OUT.
func buildPage(t *testing.T, root, generated, out string) webProof {
	t.Helper()
	w := webProof{app: proofApp(t), dist: filepath.Join(proofApp(t), ".build", out), chromium: chromiumPath(t)}
	vite := filepath.Join("node_modules", ".bin", "vite")
	runTool(t, w.app, []string{"GENERATED=" + generated, "OUT_DIR=" + w.dist}, vite, "build", root, "--config", "vite.config.ts")
	return w
}

// A rebuild without the hooks is killed; the profile is then partial, and what is committed is lost. The check heals it.
func (w webProof) partialState(t *testing.T) {
	const events, killedAt = 200, 100
	bare, safe := variant{"column": true, "bare": true}, variant{"column": true}
	s := w.run(t,
		step{Start: webStart{Variant: variant{}}, Commit: []any{"v1", 1, events}, Flush: true},
		step{Start: webStart{Variant: bare, StopAtEvent: killedAt}, Kill: true},
		step{Start: webStart{Variant: bare}, Commit: []any{"v1", 901, 5}},
		step{Start: webStart{Variant: bare}},
		step{Start: webStart{Variant: safe, Check: true}, Commit: []any{"v1", events + 1, 5}, Flush: true},
		step{Start: webStart{Variant: safe, Check: true}},
	)
	void := s[2]
	if void.Rows != killedAt-1+5 || void.SessionPending != 5 || void.LeaderHead != events {
		t.Errorf("without the check the session has %d rows and %d pending, the log ends at %d: this LiveStore no longer has the fault that the check is for",
			void.Rows, void.SessionPending, void.LeaderHead)
	}
	wantRows(t, "without the check: partial for good, the commits are lost", s[3], killedAt-1, sum(killedAt-1))
	wantRows(t, "healed", s[4], events+5, sum(events+5))
	if !slices.Equal(s[4].outcomes(), []string{"rebuilt"}) || s[4].LeaderHead != events+5 {
		t.Errorf("healed: reported %+v, the log ends at %d", s[4].Reports, s[4].LeaderHead)
	}
	wantRows(t, "the next start", s[5], events+5, sum(events+5))
	if len(s[5].Reports) != 0 {
		t.Errorf("the next start: reported %+v", s[5].Reports)
	}
}

// Rebuilds with the hooks, of a state of 3 MB that is larger than the page cache, are killed before and in the
// commit. Each rebuild needs the state hash to move, so column goes on and off: LiveStore removes the older file.
func (w webProof) rebuildKilled(t *testing.T, atEvents, atWrites []int) {
	const events = 150
	with := func(column bool) variant { return variant{"pad": 20_000, "hooks": "record", "column": column} }
	steps := []step{{Start: webStart{Variant: with(false)}, Commit: []any{"v1", 1, events}, Flush: true}}
	column := false
	kill := func(s webStart, fastPath bool) {
		column = !column
		s.Variant = with(column)
		steps = append(steps, step{Start: s, Kill: true}, step{Start: webStart{Variant: with(column), FastPath: fastPath}})
	}
	for _, n := range atEvents {
		kill(webStart{StopAtEvent: n}, n == events) // nothing has spilled, so that even the fast path can read the file
	}
	for _, n := range atWrites {
		kill(webStart{StopAtWrite: n}, false)
	}
	withOptions := len(steps)
	kill(webStart{StopAtWrite: 100}, true)
	steps = append(steps, step{Start: webStart{Variant: with(column)}})

	all := w.run(t, steps...)
	for i, s := range all[:withOptions] {
		if !steps[i].Kill {
			wantRows(t, "after "+all[max(i-1, 0)].Stopped, s, events, sum(events))
		}
	}
	if s := all[withOptions+1]; !strings.Contains(s.Failed, "malformed") && !strings.Contains(s.Failed, "not a database") {
		t.Errorf("with the fast path, after a kill in the commit: %q with %d rows; headgateWebAdapterOptions is no longer needed", s.Failed, s.Rows)
	}
	wantRows(t, "the same profile with headgateWebAdapterOptions", all[withOptions+2], events, sum(events))
}

// The log ends with events that the running release does not know. LiveStore's web session then starts before them,
// and what it commits is lost; the check starts it where the log ends.
func (w webProof) unknownAtTheEnd(t *testing.T) {
	s := w.run(t,
		step{Start: webStart{Variant: variant{"v2": true}}, Commit: []any{"v1", 1, 20}, Flush: true},
		step{Start: webStart{Variant: variant{"v2": true}}, Commit: []any{"v2", 1, 5}, Flush: true},
		step{Start: webStart{Variant: variant{"column": true}}, Commit: []any{"v1", 901, 3}},
		step{Start: webStart{Variant: variant{"column": true}}},
		step{Start: webStart{Variant: variant{"column": true}, Check: true}, Commit: []any{"v1", 21, 3}, Flush: true},
		step{Start: webStart{Variant: variant{"column": true}, Check: true}},
	)
	wantRows(t, "without the check: the commits are lost", s[3], 20, sum(20))
	for _, i := range []int{4, 5} {
		wantRows(t, "with the check", s[i], 23, sum(23))
		if len(s[i].Reports) != 0 || s[i].LeaderHead != 28 {
			t.Errorf("with the check: reported %+v, the log ends at %d, want 28", s[i].Reports, s[i].LeaderHead)
		}
	}
}

// A second tab opens beside the one that leads: nothing is rebuilt, and both tabs' events reach the log.
func (w webProof) twoTabs(t *testing.T) {
	check := webStart{Variant: variant{}, Check: true}
	s := w.run(t,
		step{Start: check, Commit: []any{"v1", 1, 20}, Flush: true},
		step{Start: check, Commit: []any{"v1", 21, 5}, Flush: true, Beside: true},
		step{Start: check},
	)
	for i, want := range []int{20, 25, 25} {
		wantRows(t, "tab", s[i], want, sum(want))
		if len(s[i].Reports) != 0 {
			t.Errorf("step %d: reported %+v", i, s[i].Reports)
		}
	}
}
