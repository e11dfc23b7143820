package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
)

func checkpoints(t *testing.T) *replay.Checkpoints {
	return &replay.Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), MinEvents: 10}
}

// mixed makes n events of several kinds that build on one another.
func mixed(n int) []entry {
	var out []entry
	for i := range n {
		id := fmt.Sprintf(`"id%d"`, i%37)
		switch i % 5 {
		case 0:
			out = append(out, entry{name: "v1.Plain", args: fmt.Sprintf(`{"id":%s,"text":"t%d"}`, id, i)})
		case 1:
			out = append(out, entry{name: "v1.Counted", args: fmt.Sprintf(`{"id":%s,"by":%d}`, id, i)})
		case 2:
			out = append(out, entry{name: "v9.Unknown", args: `{}`})
		case 3:
			out = append(out, entry{name: "v1.Awkward", args: fmt.Sprintf(`{"id":%s,"whole":%d,"text":"x"}`, id, i)})
		case 4:
			out = append(out, entry{name: "v1.Changed", args: fmt.Sprintf(`{"id":%s,"text":"c%d","flag":true}`, id, i)})
		}
	}
	return out
}

func TestCheckpointGoesOn(t *testing.T) {
	for _, schema := range []string{"plain.ts", "atomic.ts"} {
		t.Run(schema, func(t *testing.T) {
			tg := schemaOf(t, schema)
			cp := checkpoints(t)
			opts := func() replay.Options {
				o := options(outFile(t))
				o.Checkpoints, o.Store = cp, "demo"
				return o
			}
			all := mixed(200)
			// The first replay sees 120 events, of which 20 are pending: the checkpoint is at 100.
			res := run(t, tg, openLog(t, "file:"+writeLog(t, all[:120], 20)), opts())
			if res.FromCheckpoint != 0 || res.Events != 120 {
				t.Fatalf("the first replay: %+v", res)
			}
			o := opts()
			got := run(t, tg, openLog(t, "file:"+writeLog(t, all, 0)), o)
			if got.FromCheckpoint != 100 || got.Events != 200 {
				t.Fatalf("the second replay starts at %d of %d, want 100 of 200", got.FromCheckpoint, got.Events)
			}
			want := run(t, tg, openLog(t, "file:"+writeLog(t, all, 0)), options(outFile(t)))
			if want.State.Digest != got.State.Digest {
				t.Errorf("going on gives %s, replaying all %s", got.State.Digest, want.State.Digest)
			}
			if fmt.Sprint(want.Skipped) != fmt.Sprint(got.Skipped) || want.Applied != got.Applied || want.Head != got.Head {
				t.Errorf("going on gives %+v, replaying all %+v", got, want)
			}
			// Nothing new: everything comes from the checkpoint.
			if res := run(t, tg, openLog(t, "file:"+writeLog(t, all, 0)), opts()); res.FromCheckpoint != 200 || res.State.Digest != want.State.Digest {
				t.Errorf("the third replay: %+v", res)
			}
			for _, f := range files(t, cp.Dir) {
				if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", f, info.Mode(), err)
				}
			}
		})
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A log that is not the one that the checkpoint was made from is replayed whole.
func TestCheckpointOfAnotherPast(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	all := mixed(100)
	change := func(at int, e entry) []entry {
		out := append([]entry(nil), all...)
		out[at] = e
		return out
	}
	for name, other := range map[string][]entry{
		"another argument early": change(3, entry{name: "v1.Awkward", args: `{"id":"id3","whole":4}`}),
		"another name":           change(2, entry{name: "v9.Unknowm", args: `{}`}),
		"another last event":     change(99, entry{name: "v1.Plain", args: `{"id":"z","text":""}`}),
		"a shorter log":          all[:50],
		"a clientOnly event":     change(50, entry{name: all[50].name, args: all[50].args, client: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			cp := checkpoints(t)
			o := options(outFile(t))
			o.Checkpoints, o.Store = cp, "demo"
			run(t, tg, openLog(t, "file:"+writeLog(t, all, 0)), o)
			o.Out = outFile(t)
			got := run(t, tg, openLog(t, "file:"+writeLog(t, other, 0)), o)
			want := run(t, tg, openLog(t, "file:"+writeLog(t, other, 0)), options(outFile(t)))
			if got.FromCheckpoint != 0 || got.State.Digest != want.State.Digest {
				t.Errorf("it went on from %d, state right: %v", got.FromCheckpoint, got.State.Digest == want.State.Digest)
			}
		})
	}
}

func TestDamagedCheckpointIsIgnored(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	log := writeLog(t, mixed(100), 0)
	want := run(t, tg, openLog(t, "file:"+log), options(outFile(t))).State.Digest
	for _, ext := range []string{".db", ".json"} {
		cp := checkpoints(t)
		o := options(outFile(t))
		o.Checkpoints, o.Store = cp, "demo"
		run(t, tg, openLog(t, "file:"+log), o)
		for _, f := range files(t, cp.Dir) {
			if filepath.Ext(f) == ext {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(f, b[:len(b)/2], 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := run(t, tg, openLog(t, "file:"+log), o); got.FromCheckpoint != 0 || got.State.Digest != want {
			t.Errorf("with half a %s: from %d, state right: %v", ext, got.FromCheckpoint, got.State.Digest == want)
		}
	}
}

func TestCheckpointsAreOfOneReleaseAndStore(t *testing.T) {
	cp := checkpoints(t)
	log := writeLog(t, mixed(60), 0)
	o := options(outFile(t))
	o.Checkpoints, o.Store = cp, "demo"
	run(t, schemaOf(t, "plain.ts"), openLog(t, "file:"+log), o)
	if res := run(t, schemaOf(t, "atomic.ts"), openLog(t, "file:"+log), o); res.FromCheckpoint != 0 {
		t.Error("another release went on from it")
	}
	o.Store = "../../elsewhere"
	if res := run(t, schemaOf(t, "plain.ts"), openLog(t, "file:"+log), o); res.FromCheckpoint != 0 {
		t.Error("another store went on from it")
	}
	for _, f := range files(t, filepath.Dir(cp.Dir)) {
		if !strings.HasPrefix(f, cp.Dir) {
			t.Errorf("%s lies outside", f)
		}
	}
}

// Hooks that do more than begin and commit make the state depend on when they ran.
func TestNoCheckpointWithOwnHooks(t *testing.T) {
	cp := checkpoints(t)
	o := options(outFile(t))
	o.Checkpoints, o.Store = cp, "demo"
	run(t, schemaOf(t, "hooked.ts"), openLog(t, "file:"+writeLog(t, mixed(60), 0)), o)
	if _, err := os.Stat(cp.Dir); err == nil {
		t.Error("there is a checkpoint")
	}
}

func TestCheckpointsArePruned(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	cp := checkpoints(t)
	log := writeLog(t, mixed(60), 0)
	now := time.Now()
	keep := func(store string, at time.Time) {
		o := options(outFile(t))
		o.Checkpoints, o.Store, o.Now = cp, store, func() time.Time { return at }
		run(t, tg, openLog(t, "file:"+log), o)
		for _, f := range files(t, cp.Dir) {
			if strings.Contains(f, store) {
				if err := os.Chtimes(f, at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	stores := func() string {
		var out []string
		for _, f := range files(t, cp.Dir) {
			if filepath.Ext(f) == ".db" {
				out = append(out, filepath.Base(filepath.Dir(f)))
			}
		}
		return strings.Join(out, " ")
	}
	keep("one", now.Add(-40*24*time.Hour))
	keep("two", now.Add(-20*24*time.Hour))
	if got := stores(); got != "one two" {
		t.Fatalf("20 days after the first one: %q", got)
	}
	keep("three", now)
	if got := stores(); got != "three two" {
		t.Errorf("after 30 days: %q", got)
	}
	cp.MaxBytes = 1
	keep("four", now)
	if got := stores(); got != "four" {
		t.Errorf("with no room: %q", got)
	}
}

// The app's own hooks run, inside the transaction that headgate's hooks open.
func TestHooks(t *testing.T) {
	dir := awkward(t)
	entries := append(mixed(40), entry{name: "v1.Plain", args: `{"id":"new","text":"four"}`})
	log := writeLog(t, entries, 0)
	livestore := filepath.Join(t.TempDir(), "livestore.db")
	if r := liveStore(t, []rebuild{{Log: log, Entry: filepath.Join(dir, "hooked.ts"), Out: livestore}}); !r[0].OK {
		t.Fatalf("LiveStore does not boot: %s", r[0].Error)
	}
	out := outFile(t)
	res := run(t, target(t, dir, "hooked.ts"), openLog(t, "file:"+log), options(out))
	if len(res.Unverifiable) > 0 {
		t.Errorf("unverifiable: %q", res.Unverifiable)
	}
	sameState(t, livestore, out)
	db, err := engine.OpenDBReadOnly(out)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var notes []string
	if err := db.Query("SELECT at FROM notes WHERE at <> 'insert'", engine.Binds{}, func(_ []string, v []any) error {
		notes = append(notes, fmt.Sprint(v[0]))
		return nil
	}); err != nil || strings.Join(notes, " ") != "pre post" {
		t.Errorf("the hooks wrote %q (%v)", notes, err)
	}
}

func TestUnverifiable(t *testing.T) {
	log := writeLog(t, mixed(20), 0)
	for schema, want := range map[string]string{
		"asynchronous.ts": "migration hook pre: Error: the hook is asynchronous",
		"manual.ts":       `the migration strategy is "manual"`,
	} {
		res := run(t, schemaOf(t, schema), openLog(t, "file:"+log), options(outFile(t)))
		if len(res.Unverifiable) != 1 || !strings.Contains(res.Unverifiable[0], want) {
			t.Errorf("%s: %q, want %q", schema, res.Unverifiable, want)
		}
	}
}

func TestNotDerivableFromADump(t *testing.T) {
	app := filepath.Join("..", "..", "..", "examples", "todo", "data", "demo", "dump.json")
	dump, err := filepath.Abs(app)
	if err != nil {
		t.Fatal(err)
	}
	res := run(t, todo(t, "1.3.0"), openLog(t, "dump:"+dump), options(outFile(t)))
	if got := strings.Join(res.NotDerivable, " "); got != "drafts ui" || len(res.Unverifiable) > 0 {
		t.Errorf("not derivable: %q, unverifiable %q", got, res.Unverifiable)
	}
}
