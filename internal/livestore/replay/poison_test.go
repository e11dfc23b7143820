package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
)

func TestPoison(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	good := entry{name: "v1.Plain", args: `{"id":"a","text":"b"}`}
	for _, c := range []struct {
		name  string
		entry entry
		want  replay.Poison
	}{
		{
			"missing field",
			entry{name: "v1.Plain", args: `{"id":"a"}`},
			replay.Poison{Stage: engine.StageDecode, Path: "$.text", Wanted: "a value (the key is missing)"},
		},
		{
			"wrong type",
			entry{name: "v1.Five", args: `{"id":"a","title":"t","position":1,"done":true,"meta":{"tags":["x",7],"note":null}}`},
			replay.Poison{Stage: engine.StageDecode, Path: "$.meta.tags[1]", Wanted: "string"},
		},
		{
			"throws",
			entry{name: "v1.Throwing", args: `{"id":"todo-4711","secret":"hush hush"}`},
			replay.Poison{Stage: engine.StageMaterialize, Error: "TypeError", Message: "no todo … with …", Where: "schema.ts:"},
		},
		{
			"refused by SQLite",
			entry{name: "v1.Awkward", args: `{"id":"a","whole":2.5}`},
			replay.Poison{Stage: engine.StageSQL, Error: "SqliteError", Message: "cannot store REAL value in INTEGER column awkward.whole", SQL: "INSERT OR REPLACE INTO '…'"},
		},
		{
			"value in the statement",
			entry{name: "v1.Strict", args: `{"id":"a"}`},
			replay.Poison{Stage: engine.StageSQL, Error: "SqliteError", Message: "cannot store TEXT value in INTEGER column counters.n", SQL: "INSERT INTO counters (id, n) VALUES (?, '…')"},
		},
		{
			"query fails",
			entry{name: "v1.BadQuery", args: `{"id":"a"}`},
			replay.Poison{Stage: engine.StageQuery, Error: "SqliteError", Message: "no such table: nowhere"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := outFile(t)
			log := openLog(t, "file:"+writeLog(t, []entry{good, {name: "v9.Other", args: "{}"}, good, c.entry, good}, 0))
			p := run(t, tg, log, options(out)).Poison
			if p == nil {
				t.Fatal("no poison")
			}
			if want := (livestore.ClientSeq{Global: 4}); p.Seq != want || p.Event != c.entry.name {
				t.Errorf("at %s %s, want %s %s", p.Seq, p.Event, want, c.entry.name)
			}
			if p.Stage != c.want.Stage || p.Path != c.want.Path || p.Wanted != c.want.Wanted || p.Error != c.want.Error ||
				!strings.HasPrefix(p.Message, c.want.Message) || !strings.HasPrefix(p.SQL, c.want.SQL) || !strings.HasPrefix(p.Where, c.want.Where) {
				t.Errorf("got  %+v\nwant %+v", *p, c.want)
			}
			if b, err := json.Marshal(p); err != nil || strings.Contains(string(b), "hush") || strings.Contains(string(b), "4711") || strings.Contains(string(b), "secret'") {
				t.Errorf("the report holds payload: %s (%v)", b, err)
			}
			onlyFiles(t, filepath.Dir(out))
		})
	}
}

// onlyFiles fails the test where a directory holds anything else than the named files.
func onlyFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

func TestUnknownEvents(t *testing.T) {
	entries := []entry{
		{name: "v1.Plain", args: `{"id":"a","text":"b"}`},
		{name: "v9.Other", args: "{}"},
		{name: "v1.Nothing", args: "{}"},
		{name: "v9.Other", args: "[1]"},
		{name: "v1.Plain", args: `{"id":"b","text":"b"}`},
	}
	log := writeLog(t, entries, 0)
	res := run(t, schemaOf(t, "plain.ts"), openLog(t, "file:"+log), options(outFile(t)))
	if res.Poison != nil || res.Events != 5 || res.Applied != 2 || res.Head.Global != 5 || len(res.Skipped) != 2 {
		t.Fatalf("got %+v", res)
	}
	if s := res.Skipped[1]; s.Name != "v9.Other" || s.Reason != "event-definition-missing" || s.Count != 2 || s.First.Global != 2 || s.Last.Global != 4 {
		t.Errorf("got %+v", s)
	}
	if s := res.Skipped[0]; s.Name != "v1.Nothing" || s.Reason != "materializer-missing" || s.Count != 1 || s.First.Global != 3 {
		t.Errorf("got %+v", s)
	}
	p := run(t, schemaOf(t, "failing.ts"), openLog(t, "file:"+log), options(outFile(t))).Poison
	if p == nil || p.Stage != engine.StageUnknown || p.Seq.Global != 2 || p.Event != "v9.Other" {
		t.Errorf("with the strategy fail: %+v", p)
	}
}

// A damaged row ends a rebuild in LiveStore; the events before it are what it is measured by.
func TestMalformedEventIsPoison(t *testing.T) {
	entries := []entry{{name: "v1.Plain", args: `{"id":"a","text":"b"}`}, {name: "v1.Plain", args: `{"id":`}, {name: "v1.Plain", args: `{"id":"c","text":"b"}`}}
	out := outFile(t)
	res := run(t, schemaOf(t, "plain.ts"), openLog(t, "file:"+writeLog(t, entries, 0)), options(out))
	if p := res.Poison; p == nil || p.Stage != replay.StageJSON || p.Seq.Global != 2 || p.Event != "v1.Plain" || res.Events != 1 {
		t.Errorf("got %+v", res)
	}
	onlyFiles(t, filepath.Dir(out))
}

func TestEndlessMaterializerIsNamed(t *testing.T) {
	tg := schemaOf(t, "slow.ts")
	l := launcher(t)
	l.Limits.Call = 2e9
	out := outFile(t)
	log := openLog(t, "file:"+writeLog(t, []entry{{name: "v1.Plain", args: `{"id":"a","text":"b"}`}, {name: "v1.Slow", args: "{}"}}, 0))
	_, err := replay.Replay(t.Context(), l, tg, log, options(out))
	e := errs.As(err)
	if e == nil || e.Code != errs.Unverifiable || !strings.Contains(e.Msg, "between events e1 and e2") || !strings.HasPrefix(e.Where, "slow.ts:") {
		t.Fatalf("got %v", err)
	}
	onlyFiles(t, filepath.Dir(out))
}

// A slowLog is a log that ends the run, or blocks, after some events.
type slowLog struct {
	eventlog.Reader
	after int
	then  func(context.Context) error
}

func (s slowLog) Events(ctx context.Context, from livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		n := 0
		for ev, err := range s.Reader.Events(ctx, from) {
			if n++; n > s.after {
				if err := s.then(ctx); err != nil {
					yield(livestore.Event{}, err)
					return
				}
			}
			if !yield(ev, err) {
				return
			}
		}
	}
}

func plainLog(n int) []entry {
	var out []entry
	for i := range n {
		out = append(out, entry{name: "v1.Plain", args: `{"id":"` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + `","text":"b"}`})
	}
	return out
}

func TestCancelLeavesNothing(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	out := outFile(t)
	if err := os.WriteFile(out, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := slowLog{openLog(t, "file:"+writeLog(t, plainLog(300), 0)), 200, func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return context.Cause(ctx)
	}}
	if _, err := replay.Replay(ctx, launcher(t), tg, log, options(out)); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	onlyFiles(t, filepath.Dir(out), "state.db")
	if b, err := os.ReadFile(out); err != nil || string(b) != "what was there" {
		t.Errorf("the old file is %q (%v)", b, err)
	}
}

func TestReaderErrorIsTheError(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	out := outFile(t)
	broken := errs.Invalidf("the disk is gone")
	log := slowLog{openLog(t, "file:"+writeLog(t, plainLog(300), 0)), 200, func(context.Context) error { return broken }}
	if _, err := replay.Replay(t.Context(), launcher(t), tg, log, options(out)); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	onlyFiles(t, filepath.Dir(out))
}

// A child that dies by itself is an error, not a short state.
func TestKilledChild(t *testing.T) {
	tg := schemaOf(t, "slow.ts")
	out := outFile(t)
	l := launcher(t)
	l.Limits.Silence = 3e9
	log := slowLog{openLog(t, "file:"+writeLog(t, []entry{{name: "v1.Plain", args: `{"id":"a","text":"b"}`}, {name: "v1.Slow", args: "{}"}}, 0)), 9, nil}
	_, err := replay.Replay(t.Context(), l, tg, log, options(out)) // the parent's patience ends before the child's own limit
	var f *script.Failure
	if e := errs.As(err); e == nil || errors.As(err, &f) || !strings.Contains(e.Msg, "was killed") {
		t.Fatalf("got %v", err)
	}
	onlyFiles(t, filepath.Dir(out))
}

func TestOutOfOrderDumpIsRefused(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	log := reversed{openLog(t, "file:"+writeLog(t, plainLog(3), 0))}
	_, err := replay.Replay(t.Context(), launcher(t), tg, log, options(outFile(t)))
	if e := errs.As(err); e == nil || e.Code != errs.Invalid || !strings.Contains(e.Msg, "out of order") {
		t.Fatalf("got %v", err)
	}
}

type reversed struct{ eventlog.Reader }

func (r reversed) Events(ctx context.Context, from livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		var all []livestore.Event
		for ev, err := range r.Reader.Events(ctx, from) {
			if err != nil {
				yield(ev, err)
				return
			}
			all = append(all, ev)
		}
		for i := len(all) - 1; i >= 0; i-- {
			if !yield(all[i], nil) {
				return
			}
		}
	}
}
