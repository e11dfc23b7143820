package loggen_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
)

func spec() loggen.Spec {
	return loggen.Spec{
		N: 1000, Seed: 42, Level: 2, ClientOnly: true, Pending: 20,
		Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Every: time.Minute,
		SchemaHash: map[string]int64{"v1.TodoCreated": -17},
	}
}

// TestTheReadersSeeWhatWasGenerated holds generator and readers against each other.
func TestTheReadersSeeWhatWasGenerated(t *testing.T) {
	want := slices.Collect(spec().Events())
	path := filepath.Join(t.TempDir(), "eventlog@6.db")
	n, err := spec().WriteFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := filelog.Open(t.Context(), path, filelog.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if d := cmp.Diff(want, eventlogtest.Collect(t, r, livestore.ClientSeq{})); d != "" {
		t.Errorf("file (-generated +read):\n%s", d)
	}
	head, err := r.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if head.Confirmed != 980 || head.Events != n || int(n) != len(want) {
		t.Errorf("head %+v of %d events", head, n)
	}
	var dump bytes.Buffer
	if err := spec().WriteDump(&dump, "demo"); err != nil {
		t.Fatal(err)
	}
	var synced []livestore.Event
	for _, e := range want {
		if !e.ClientOnly() && !e.Pending {
			synced = append(synced, livestore.Event{Name: e.Name, Args: e.Args, Seq: e.Seq, Parent: e.Parent, ClientID: e.ClientID, SessionID: e.SessionID})
		}
	}
	file := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(file, dump.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := dumplog.Open(t.Context(), file, dumplog.Options{StoreID: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d := cmp.Diff(synced, eventlogtest.Collect(t, d, livestore.ClientSeq{})); d != "" {
		t.Errorf("dump (-generated +read):\n%s", d)
	}
}

func TestSeeds(t *testing.T) {
	a, b := slices.Collect(spec().Events()), slices.Collect(spec().Events())
	if d := cmp.Diff(a, b); d != "" {
		t.Errorf("the same seed gave another log:\n%s", d)
	}
	other := spec()
	other.Seed++
	if cmp.Equal(a, slices.Collect(other.Events())) {
		t.Error("another seed gave the same log")
	}
}

// TestEveryEventOfTheApp has each event name of the level, valid arguments and a whole chain.
func TestEveryEventOfTheApp(t *testing.T) {
	for level, names := range []int{13, 14, 15} {
		s := spec()
		s.Level = level
		seen := map[string]bool{}
		events := func(yield func(livestore.Event, error) bool) {
			for e := range s.Events() {
				if !yield(e, nil) {
					return
				}
			}
		}
		for e, err := range eventlog.Check(livestore.ClientSeq{}, events, func(p eventlog.Problem) { t.Error(p) }) {
			if err = errors.Join(err, json.Unmarshal(e.Args, new(map[string]any))); err != nil {
				t.Errorf("event %s: %v", e.Seq, err)
			}
			seen[e.Name] = true
		}
		if len(seen) != names {
			t.Errorf("level %d has %d event names, want %d: %v", level, len(seen), names, seen)
		}
	}
}
