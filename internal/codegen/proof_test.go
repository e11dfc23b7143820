package codegen_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// The proofs run real LiveStore clients with the rendered code, and kill them. testdata/app is the client. The long
// forms are the tests named Soak; they run where HEADGATE_SOAK=1.

func soak(t *testing.T) {
	t.Helper()
	if os.Getenv("HEADGATE_SOAK") == "" {
		t.Skip("HEADGATE_SOAK=1 runs the long form")
	}
}

func proofApp(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "app")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@livestore")); errors.Is(err, fs.ErrNotExist) {
		testenv.Need(t, "internal/codegen/testdata/app/node_modules", "run `npm ci --prefix internal/codegen/testdata/app`")
	}
	return dir
}

// builds remembers what was bundled in this run of the tests.
type builds struct {
	mu   sync.Mutex
	done map[int]string
}

// client returns the bundled node client whose generated file has the epoch. The bundle lies beside node_modules,
// where node finds the packages.
func (b *builds) client(t *testing.T, epoch int) string {
	t.Helper()
	app := proofApp(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	if dir, ok := b.done[epoch]; ok {
		return dir
	}
	out := filepath.Join(app, ".build", fmt.Sprintf("node-epoch-%d", epoch))
	generated := filepath.Join(app, ".build", fmt.Sprintf("generated-%d", epoch), "headgate.generated.ts")
	if err := os.MkdirAll(filepath.Dir(generated), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(generated, render(t, epoch), 0o644); err != nil {
		t.Fatal(err)
	}
	runTool(t, app, nil, "node", "build.mjs", generated, out)
	b.done[epoch] = out
	return out
}

func runTool(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// A run is what one run of the node client is told. See testdata/app/src/node/main.ts.
type run map[string]any

func (r run) with(more run) run {
	out := maps.Clone(r)
	maps.Copy(out, more)
	return out
}

type variant map[string]any

// A seen is what one run of a client saw. Failed is what createStore was rejected with.
type seen struct {
	Failed    string `json:"failed"`
	Epoch     int    `json:"epoch"`
	StateFile string `json:"stateFile"`

	Rows int `json:"rows"`
	Sum  int `json:"sum"`
	UI   int `json:"ui"`

	SessionHead    int `json:"sessionHead"`
	LeaderHead     int `json:"leaderHead"`
	Confirmed      int `json:"confirmed"`
	Pending        int `json:"pending"`
	SessionPending int `json:"sessionPending"`

	Hooks   []string `json:"hooks"`
	Reports []struct {
		StateHead string `json:"stateHead"`
		LogHead   string `json:"logHead"`
		Outcome   string `json:"outcome"`
	} `json:"reports"`
	Writes  int    `json:"writes"`
	Stopped string `json:"stopped"`
}

func (s seen) outcomes() []string {
	var out []string
	for _, r := range s.Reports {
		out = append(out, r.Outcome)
	}
	return out
}

func node(t *testing.T, bundle string, r run) *exec.Cmd {
	t.Helper()
	arg, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "node", filepath.Join(bundle, "main.mjs"), string(arg))
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	return cmd
}

// boot runs the client to its end.
func boot(t *testing.T, bundle string, r run) seen {
	t.Helper()
	cmd := node(t, bundle, r)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the client %v: %v\n%s%s", r, err, out, stderr.String())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var s seen
	if err := json.Unmarshal(lines[len(lines)-1], &s); err != nil {
		t.Fatalf("the client printed %q: %v", out, err)
	}
	return s
}

// bootKilled runs the client and demands that it killed itself.
func bootKilled(t *testing.T, bundle string, r run) {
	t.Helper()
	out, err := node(t, bundle, r).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the client %v was to be killed, it ended with %v\n%s", r, err, out)
	}
}

// copyStore copies a client's files, so that one seed serves many kills.
func copyStore(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func sum(n int) int { return n * (n + 1) / 2 }

func wantRows(t *testing.T, what string, s seen, rows, sum int) {
	t.Helper()
	if s.Failed != "" {
		t.Fatalf("%s: the store did not open: %s", what, s.Failed)
	}
	if s.Rows != rows || s.Sum != sum {
		t.Errorf("%s: %d rows with the sum %d, want %d with %d", what, s.Rows, s.Sum, rows, sum)
	}
}

func TestOnNode(t *testing.T) {
	proofApp(t)
	b := &builds{done: map[int]string{}}
	plain, bumped := b.client(t, 0), b.client(t, 1)

	t.Run("epoch heals skipped events", func(t *testing.T) { t.Parallel(); epochHealsSkippedEvents(t, plain, bumped) })
	t.Run("epoch heals a bad materializer", func(t *testing.T) { t.Parallel(); epochHealsBadMaterializer(t, plain, bumped) })
	t.Run("rebuild killed", func(t *testing.T) { t.Parallel(); rebuildKilled(t, plain) })
	t.Run("start-up check", func(t *testing.T) { t.Parallel(); startUpCheck(t, plain) })
	t.Run("start-up check leaves whole states alone", func(t *testing.T) { t.Parallel(); noFalseAlarm(t, plain) })
	t.Run("hooks of the app", func(t *testing.T) { t.Parallel(); appHooks(t, plain) })
}

// A client on a release without v2.ItemAdded pulls such events, skips them, and commits offline. The next release
// knows them, with the same tables.
func epochHealsSkippedEvents(t *testing.T, plain, bumped string) {
	dir, backend := t.TempDir(), filepath.Join(t.TempDir(), "backend.json")
	newRelease, oldRelease := variant{"v2": true}, variant{}
	writer := run{"dir": t.TempDir(), "clientId": "writer", "variant": newRelease, "backend": backend, "online": true}
	boot(t, plain, writer.with(run{"commit": run{"event": "v1", "first": 1, "count": 20}, "waitHead": 20}))
	boot(t, plain, writer.with(run{"commit": run{"event": "v2", "first": 1, "count": 10}, "waitHead": 30}))

	reader := run{"dir": dir, "clientId": "reader", "backend": backend}
	old := boot(t, plain, reader.with(run{"variant": oldRelease, "online": true, "waitHead": 30}))
	wantRows(t, "the old release", old, 20, sum(20))
	offline := boot(t, plain, reader.with(run{"variant": oldRelease, "commit": run{"event": "v1", "first": 21, "count": 5}}))
	wantRows(t, "offline", offline, 25, sum(25))

	reader = reader.with(run{"variant": newRelease})
	wantRows(t, "upgraded without a bump: still wrong", boot(t, plain, reader), 25, sum(25))
	healed := boot(t, bumped, reader)
	wantRows(t, "after the bump", healed, 35, sum(25)+sum(10))
	if healed.StateFile == offline.StateFile || healed.Epoch != 1 {
		t.Errorf("the bump did not move the state hash: %s, epoch %d", healed.StateFile, healed.Epoch)
	}
	if healed.Pending != 5 || healed.Confirmed != 30 {
		t.Errorf("after the bump %d events are pending and %d confirmed, want 5 and 30", healed.Pending, healed.Confirmed)
	}
	sent := boot(t, bumped, reader.with(run{"online": true, "waitHead": 35}))
	if sent.Confirmed != 35 || sent.Pending != 0 {
		t.Errorf("online again %d events are confirmed and %d pending, want 35 and 0", sent.Confirmed, sent.Pending)
	}
	fresh := boot(t, bumped, run{"dir": t.TempDir(), "clientId": "fresh", "backend": backend, "variant": newRelease, "online": true, "waitHead": 35})
	wantRows(t, "a new client", fresh, 35, sum(25)+sum(10))
}

func epochHealsBadMaterializer(t *testing.T, plain, bumped string) {
	client := run{"dir": t.TempDir(), "clientId": "a"}
	bad := boot(t, plain, client.with(run{"variant": variant{"bug": true}, "commit": run{"event": "v1", "first": 1, "count": 20}}))
	wantRows(t, "the release with the bug", bad, 20, 10*sum(20))
	client = client.with(run{"variant": variant{}})
	wantRows(t, "fixed without a bump: still wrong", boot(t, plain, client), 20, 10*sum(20))
	fixed := boot(t, bumped, client)
	wantRows(t, "after the bump", fixed, 20, sum(20))
	if fixed.Pending != 20 {
		t.Errorf("%d events are pending, want 20", fixed.Pending)
	}
}

// rebuildKilled kills a rebuild at events, and in the middle of writes of the commit; the control goes without the
// hooks. In the big state each row is 20 kB, so that it is larger than SQLite's page cache of 2 MB.
func rebuildKilled(t *testing.T, plain string) {
	small := killing{plain: plain, seed: t.TempDir(), events: 60}
	big := killing{plain: plain, seed: t.TempDir(), events: 120, pad: 20_000}
	small.fill(t)
	whole := big.fill(t)
	if whole.Writes < 550 {
		t.Fatalf("the rebuild wrote %d pages of 4 kB: the state is not larger than the page cache", whole.Writes)
	}
	small.atEvent(t, 2)
	small.atEvent(t, 40)
	big.atEvent(t, big.events)
	big.atWrite(t, whole.Writes/2)
	big.atWrite(t, whole.Writes)
}

// TestSoakRebuildKilledOnNode kills 20 rebuilds at random events, of a small and of a big state, and 20 at random
// writes of the commit.
func TestSoakRebuildKilledOnNode(t *testing.T) {
	soak(t)
	b := &builds{done: map[int]string{}}
	small := killing{plain: b.client(t, 0), seed: t.TempDir(), events: 300}
	big := killing{plain: b.client(t, 0), seed: t.TempDir(), events: 200, pad: 20_000}
	small.fill(t)
	whole := big.fill(t)
	for range 20 {
		small.atEvent(t, 2+rand.IntN(small.events-1))
		big.atEvent(t, 2+rand.IntN(big.events-1))
		big.atWrite(t, 1+rand.IntN(whole.Writes))
	}
}

// A killing is a log of so many events, and the rebuilds of it that are killed.
type killing struct {
	plain, seed string
	events, pad int
	stateFile   string
}

// fill writes the log, and rebuilds it once without a kill.
func (k *killing) fill(t *testing.T) seen {
	t.Helper()
	boot(t, k.plain, run{"dir": k.seed, "clientId": "a", "variant": variant{"pad": k.pad}, "commit": run{"event": "v1", "first": 1, "count": k.events}})
	s := boot(t, k.plain, run{"dir": copyStore(t, k.seed), "clientId": "a", "variant": variant{"pad": k.pad, "column": true}})
	wantRows(t, "not killed", s, k.events, sum(k.events))
	k.stateFile = s.StateFile
	return s
}

func (k *killing) atEvent(t *testing.T, n int) {
	t.Run(fmt.Sprintf("of %d bytes a row at event %d", k.pad, n), func(t *testing.T) {
		dir := copyStore(t, k.seed)
		client := run{"dir": dir, "clientId": "a", "variant": variant{"pad": k.pad, "column": true}}
		bootKilled(t, k.plain, client.with(run{"killAtEvent": n}))
		// Nothing may have spilled: the web adapter can't read such a file.
		if info, err := os.Stat(filepath.Join(dir, "proof", k.stateFile)); err != nil || info.Size() != 0 {
			t.Errorf("the killed rebuild left a state file that is not empty: %v, %v", info, err)
		}
		wantRows(t, "with the hooks", boot(t, k.plain, client), k.events, sum(k.events))

		control := run{"dir": copyStore(t, k.seed), "clientId": "a", "variant": variant{"pad": k.pad, "column": true, "bare": true}}
		bootKilled(t, k.plain, control.with(run{"killAtEvent": n}))
		wantRows(t, "without the hooks: partial, and taken for whole", boot(t, k.plain, control), n-1, sum(n-1))
	})
}

func (k *killing) atWrite(t *testing.T, n int) {
	t.Run(fmt.Sprintf("of %d bytes a row at write %d", k.pad, n), func(t *testing.T) {
		client := run{"dir": copyStore(t, k.seed), "clientId": "a", "variant": variant{"pad": k.pad, "column": true}}
		bootKilled(t, k.plain, client.with(run{"killAtWrite": n}))
		wantRows(t, "killed in the commit", boot(t, k.plain, client), k.events, sum(k.events))
	})
}

func startUpCheck(t *testing.T, plain string) {
	const events, killedAt = 60, 40
	seed := t.TempDir()
	partial := variant{"column": true, "bare": true}
	boot(t, plain, run{"dir": seed, "clientId": "a", "variant": variant{}, "commit": run{"event": "v1", "first": 1, "count": events}})
	bootKilled(t, plain, run{"dir": seed, "clientId": "a", "variant": partial, "killAtEvent": killedAt})
	wantRows(t, "without the check", boot(t, plain, run{"dir": copyStore(t, seed), "clientId": "a", "variant": partial}), killedAt-1, sum(killedAt-1))

	check := run{"clientId": "a", "variant": variant{"column": true}, "check": "fs"}
	more := run{"event": "v1", "first": events + 1, "count": 3}
	for name, extra := range map[string]run{
		"leader in this thread": {},
		"leader in a worker":    {"worker": "file://" + filepath.ToSlash(filepath.Join(plain, "worker.mjs"))},
	} {
		t.Run(name, func(t *testing.T) {
			client := check.with(extra).with(run{"dir": copyStore(t, seed)})
			healed := boot(t, plain, client.with(run{"commit": more}))
			wantRows(t, "healed", healed, events+3, sum(events+3))
			if !slices.Equal(healed.outcomes(), []string{"rebuilt"}) || healed.Reports[0].StateHead != "e39" || healed.Reports[0].LogHead != "e60" {
				t.Errorf("reported %+v", healed.Reports)
			}
			if healed.Pending != events+3 {
				t.Errorf("%d events are pending, want %d", healed.Pending, events+3)
			}
			again := boot(t, plain, client)
			wantRows(t, "the next start", again, events+3, sum(events+3))
			if len(again.Reports) != 0 {
				t.Errorf("the next start reported %+v", again.Reports)
			}
		})
	}
	t.Run("a state that can't be removed", func(t *testing.T) {
		client := check.with(run{"dir": copyStore(t, seed), "check": "other"})
		left := boot(t, plain, client.with(run{"commit": more}))
		wantRows(t, "left", left, killedAt-1+3, sum(killedAt-1)+sum(events+3)-sum(events))
		if !slices.Equal(left.outcomes(), []string{"left"}) || left.LeaderHead != events+3 {
			t.Errorf("reported %+v, log head %d", left.Reports, left.LeaderHead)
		}
	})
}

// noFalseAlarm starts clients whose state is whole though its head is not the log's, or only just.
func noFalseAlarm(t *testing.T, plain string) {
	silent := func(t *testing.T, what string, s seen) {
		t.Helper()
		if len(s.Reports) != 0 {
			t.Errorf("%s: reported %+v", what, s.Reports)
		}
	}
	t.Run("new client", func(t *testing.T) {
		s := boot(t, plain, run{"dir": t.TempDir(), "clientId": "a", "variant": variant{}, "check": "fs"})
		silent(t, "new client", s)
	})
	t.Run("clientOnly events at the end", func(t *testing.T) {
		client := run{"dir": t.TempDir(), "clientId": "a", "variant": variant{}, "check": "fs"}
		boot(t, plain, client.with(run{"commit": run{"event": "v1", "first": 1, "count": 3}}))
		boot(t, plain, client.with(run{"commit": run{"event": "ui", "first": 1, "count": 3}}))
		s := boot(t, plain, client)
		silent(t, "clientOnly", s)
		if s.UI != 3 || s.Rows != 3 {
			t.Errorf("%d ui rows and %d rows, want 3 and 3", s.UI, s.Rows)
		}
	})
	t.Run("events that the release does not know at the end", func(t *testing.T) {
		backend := filepath.Join(t.TempDir(), "backend.json")
		writer := run{"dir": t.TempDir(), "clientId": "writer", "variant": variant{"v2": true}, "backend": backend, "online": true}
		reader := run{"dir": t.TempDir(), "clientId": "reader", "variant": variant{}, "backend": backend, "online": true, "check": "fs"}
		boot(t, plain, writer.with(run{"commit": run{"event": "v1", "first": 1, "count": 5}, "waitHead": 5}))
		silent(t, "pulled while the check ran", boot(t, plain, reader.with(run{"waitHead": 5})))
		// Two pulls that hold nothing but unknown events: LiveStore then trims the rows that tell the state's head to none.
		for i, head := range []int{8, 11} {
			boot(t, plain, writer.with(run{"commit": run{"event": "v2", "first": 1 + 3*i, "count": 3}, "waitHead": head}))
			silent(t, "pulled", boot(t, plain, reader.with(run{"waitHead": head})))
			s := boot(t, plain, reader.with(run{"online": false}))
			silent(t, "started again", s)
			wantRows(t, "started again", s, 5, sum(5))
		}
	})
}

func appHooks(t *testing.T, plain string) {
	seed := t.TempDir()
	boot(t, plain, run{"dir": seed, "clientId": "a", "variant": variant{}, "commit": run{"event": "v1", "first": 1, "count": 10}})
	rebuild := func(hooks string) (run, seen) {
		client := run{"dir": copyStore(t, seed), "clientId": "a", "variant": variant{"column": true, "hooks": hooks}}
		return client, boot(t, plain, client)
	}
	for _, hooks := range []string{"record", "promise", "effect"} {
		t.Run(hooks, func(t *testing.T) {
			client, s := rebuild(hooks)
			wantRows(t, hooks, s, 10, sum(10))
			if want := []string{"init tables=0", "pre tables=1", "post tables=1"}; !slices.Equal(s.Hooks, want) {
				t.Errorf("the app's hooks saw %q, want %q", s.Hooks, want)
			}
			if hooks != "record" {
				return
			}
			if s := boot(t, plain, client); len(s.Hooks) != 0 {
				t.Errorf("the hooks ran again without a rebuild: %q", s.Hooks)
			}
		})
	}
	for hooks, want := range map[string]string{
		"throw-init":   "the init hook of the app",
		"throw-post":   "the post hook of the app",
		"begin":        "the app's init hook runs BEGIN",
		"foreign-keys": "the app's init hook runs PRAGMA FOREIGN_KEYS",
	} {
		t.Run(hooks, func(t *testing.T) {
			client, s := rebuild(hooks)
			if !strings.Contains(s.Failed, want) {
				t.Errorf("the store failed with %q, want %q", s.Failed, want)
			}
			if hooks != "throw-post" { // the one that fails last
				return
			}
			wantRows(t, "without the hook", boot(t, plain, client.with(run{"variant": variant{"column": true}})), 10, sum(10))
		})
	}
	t.Run("a materializer that throws", func(t *testing.T) {
		client := run{"dir": copyStore(t, seed), "clientId": "a", "variant": variant{"column": true, "throwAt": 5}}
		if s := boot(t, plain, client); !strings.Contains(s.Failed, "the materializer of the app") {
			t.Errorf("the store failed with %q", s.Failed)
		}
		wantRows(t, "fixed", boot(t, plain, client.with(run{"variant": variant{"column": true}})), 10, sum(10))
	})
	t.Run("strategy manual", func(t *testing.T) {
		out, err := node(t, plain, run{"dir": t.TempDir(), "clientId": "a", "variant": variant{"manual": true}}).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "headgate: migrations.strategy 'manual' can't be made safe") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// The rendered file has the app's types and breaks none of its compiler settings, with each of its sections: those of
// testdata/app are as strict as they go, those of the example are the example's. The compiler takes seconds to read the
// packages, and so reads them once for each app.
func TestTypes(t *testing.T) {
	t.Run("strict", func(t *testing.T) {
		t.Parallel()
		app := proofApp(t)
		if err := os.WriteFile(filepath.Join(app, "src", "livestore", "headgate.generated.ts"), render(t, 1), 0o644); err != nil {
			t.Fatal(err)
		}
		resetApp(t, "reset-types")
		writeFiles(t, filepath.Join(app, ".build", "all-sections-types"), allSectionsTypes(t))
		writeFiles(t, filepath.Join(app, ".build", "helper-types"), helperTypes(t))
		dir := filepath.Join(app, ".build", "types")
		writeFiles(t, dir, map[string][]byte{"tsconfig.json": []byte(
			`{"extends": "../../tsconfig.json", "include": ["../../src", "../reset-types", "../all-sections-types", "../helper-types"],
				"compilerOptions": {"target": "ES2020", "lib": ["ES2020", "DOM", "DOM.Iterable", "DOM.AsyncIterable"]}}`)}) // what an app may still be compiled for
		runTool(t, app, nil, filepath.Join("node_modules", ".bin", "tsc"), "-p", dir)
	})
	t.Run("example", func(t *testing.T) {
		t.Parallel()
		app := testenv.CopyExample(t, "todo")
		writeFiles(t, filepath.Join(app, "src", "livestore"), map[string][]byte{"headgate.generated.ts": render(t, 1)})
		writeFiles(t, filepath.Join(app, "history", "1.3.0", "livestore"), map[string][]byte{"headgate.generated.ts": renderReset(t)})
		runTool(t, app, nil, filepath.Join("node_modules", ".bin", "tsc"), "--noEmit")
	})
}
