package codegen_test

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
	"headgate/migrations"
)

// What a client commits is, event for event, what headgate commits to a store of the same id and content.
func TestClientMigrationsCommitWhatHeadgateDoes(t *testing.T) {
	t.Parallel()
	names := []string{"00001_fill_notes", "00002_archive_notes"}
	app := migrationApp(t, names...)
	online := seeded(t, app)
	seed := migrate(t, app, online.with(run{"pull": true})).Log
	m := migrate(t, app, online.with(run{"dir": t.TempDir(), "clientId": "a", "head": notes, "migrate": run{"pace": 0, "jitter": 0}}))
	if m.Failed != "" || len(m.Left) != 0 {
		t.Fatalf("%+v", m)
	}
	client := migrate(t, app, online.with(run{"pull": true})).Log[notes:]

	log := &memLog{}
	for _, e := range seed {
		log.add(livestore.Event{Name: e.Name, Args: e.Args, ClientID: e.ClientID, SessionID: "static"})
	}
	target, launcher := build(t, app)
	for _, d := range definitions(t, names...) {
		r, err := migrations.Job{
			Definition: d, Target: target, Store: livestore.StoreID(online["storeId"].(string)), Log: log, Launcher: launcher, Dir: t.TempDir(),
			Run: "r1", Fence: 1, Patience: time.Minute, Now: time.Now,
			Sleep:    func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
			Jitter:   func(time.Duration) time.Duration { return 0 },
			Progress: func(int64, int64) {},
		}.Commit(t.Context())
		if err != nil || r.Outcome != migrations.Done {
			t.Fatalf("headgate: %+v, %v", r, err)
		}
	}
	type event struct {
		Name string
		Args any
	}
	value := func(name string, args json.RawMessage) event {
		var v any
		if err := json.Unmarshal(args, &v); err != nil {
			t.Fatal(err)
		}
		return event{name, v}
	}
	var want, got []event
	for _, e := range log.events[notes:] {
		want = append(want, value(e.Name, e.Args))
	}
	for _, e := range client {
		got = append(got, value(e.Name, e.Args))
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) != notes+2+archived+1 {
		t.Errorf("(-headgate +client), %d events:\n%s", len(want), diff)
	}
}

// build makes a release of the app for headgate.
func build(t *testing.T, app string) (replay.Target, script.Launcher) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	launcher := script.Launcher{Exe: exe, Limits: script.DefaultLimits(), Compiled: script.NewCompiled(nil)}
	src := bundle.Source{Dir: app, Entry: "history/9.9.9/livestore/schema.ts"}
	s, err := bundle.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	d, err := bundle.Describe(t.Context(), launcher, s, src)
	if err != nil {
		t.Fatal(err)
	}
	d.App, d.Schema, d.Version = "todo", "main", "9.9.9"
	return replay.Target{Release: d, Program: engine.Program{Code: s.Code, Export: s.Export}, Locate: s.LocateTrace}, launcher
}

// A memLog is a store that nobody else writes to.
type memLog struct{ events []livestore.Event }

func (m *memLog) add(e livestore.Event) {
	n := livestore.SeqNum(len(m.events))
	e.Seq, e.Parent = livestore.ClientSeq{Global: n + 1}, livestore.ClientSeq{Global: n}
	m.events = append(m.events, e)
}

func (m *memLog) Head(context.Context) (eventlog.Head, error) {
	h := livestore.SeqNum(len(m.events))
	return eventlog.Head{Confirmed: h, Last: livestore.ClientSeq{Global: h}, BackendID: "mem", Events: int64(h)}, nil
}

func (m *memLog) ClientOnly() bool { return false }
func (m *memLog) Close() error     { return nil }

func (m *memLog) Events(_ context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range m.events[min(int(after.Global), len(m.events)):] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memLog) Append(_ context.Context, batch []livestore.Event) error {
	m.events = append(m.events, batch...)
	return nil
}
