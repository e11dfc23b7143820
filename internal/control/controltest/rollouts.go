package controltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func whoWasSeen(t *testing.T, d *database) {
	ctx := t.Context()
	start := d.clock.Now()
	report := func(clients ...control.Client) {
		t.Helper()
		if err := d.Observe(ctx, "prod", clients); err != nil {
			t.Fatal(err)
		}
	}
	report(
		control.Client{Store: "s1", ID: "a", Release: "1.0.0", Source: rollout.FromSync, LastSeen: start.Add(time.Hour)}, // a client's clock does not count
		control.Client{Store: "s2", ID: "b", Release: "none", Source: rollout.FromSync, Refused: true, Floor: "1.1.0"},
		control.Client{Store: "s3", ID: "c", Release: "1.1.0", Source: rollout.FromFlag},
	)
	d.clock.Advance(time.Hour)
	report(
		control.Client{Store: "s1", ID: "a", Release: "1.1.0", Source: rollout.FromSync, Floor: "1.0.0"},
		control.Client{Store: "s1", ID: "a", Release: "1.0.0", Source: rollout.FromTelemetry},
		control.Client{Store: "s1", ID: "a", Release: "1.1.0", Source: rollout.FromSync, Floor: "1.0.0"}, // twice in a batch
	)
	later := d.clock.Now()
	got, err := d.Fleet(ctx, "prod", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[livestore.StoreID][]rollout.Observation{
		"s1": {
			{Client: "a", Release: "1.1.0", LastSeen: later, Source: rollout.FromSync},
			{Client: "a", Release: "1.0.0", LastSeen: later, Source: rollout.FromTelemetry},
		},
		"s2": {{Client: "b", Release: "none", LastSeen: start, Source: rollout.FromSync, Refused: true}},
		"s3": {{Client: "c", Release: "1.1.0", LastSeen: start, Source: rollout.FromFlag}},
	}
	bySource := cmpopts.SortSlices(func(a, b rollout.Observation) bool { return a.Source < b.Source })
	if diff := cmp.Diff(want, got.Seen, bySource); diff != "" {
		t.Error(diff)
	}
	if w := got.Watch("s1"); !w.Since.Equal(start) || !w.Last.Equal(later) || w.Floor != "1.0.0" {
		t.Errorf("s1: %+v", w)
	}
	if w := got.Watch("s3"); !w.Since.Equal(start) || !w.Last.IsZero() {
		t.Errorf("s3, which only a flag context named: %+v", w)
	}
	one, err := d.StoreFleet(ctx, "prod", "s1", later)
	if err != nil || len(one.Seen) != 1 || len(one.Seen["s1"]) != 2 || !one.Watch("s1").Since.Equal(start) {
		t.Errorf("%+v, %v", one, err)
	}
	if !got.Watch("s2").Heard.Equal(later) {
		t.Errorf("the last report was at %s", got.Watch("s2").Heard)
	}
	// A client is one, whoever says it, and the sync backend knows it best.
	if of, err := d.ClientsOf(ctx, "prod", "s1"); err != nil || len(of) != 1 || of[0].Release != "1.1.0" {
		t.Errorf("%+v, %v", of, err)
	}
	counts, err := d.Census(ctx, "prod", time.Time{})
	if diff := cmp.Diff([]control.ReleaseCount{
		{Release: "1.1.0", Clients: 2, Stores: 2, LastSeen: later}, {Release: "none", Clients: 1, Stores: 1, LastSeen: start},
	}, counts); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
}

func todoRollout(t *testing.T) *rollout.Definition {
	t.Helper()
	def, err := rollout.ParseDefinition([]byte("events: {TodoCreated: {from: v1, to: v2}}\nsteps: [{weight: 50, pause: 1h}]\n"), "todo-v2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return def
}

func aRollout(t *testing.T, d *database) {
	ctx := t.Context()
	def := todoRollout(t)
	_, err := d.Rollout(ctx, "prod", "todo-v2")
	wantCode(t, err, errs.NotFound)
	r, err := d.CreateRollout(ctx, "prod", "todo-v2", ana())
	if err != nil || r.State.Phase != rollout.Draft || r.Version != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if again, err := d.CreateRollout(ctx, "prod", "todo-v2", ana()); err != nil || again.Version != 1 {
		t.Fatalf("%+v, %v", again, err)
	}
	stores := make([]livestore.StoreID, 450)
	for i := range stores {
		stores[i] = livestore.StoreID(fmt.Sprintf("s%03d", i))
	}
	after := rollout.State{Phase: rollout.Ramp, Attempt: 1, Revision: 1, Since: d.clock.Now(), Paused: &rollout.Pause{By: "ana", At: d.clock.Now()}}
	tr := control.Transition{
		Decision: rollout.Decision{State: after, Action: "advance", Open: stores, Reasons: []string{"because"}},
		Flags:    def.Flags("1.1.0", 1, stores, false),
	}
	if ok, err := d.Advance(ctx, r, tr, ana()); err != nil || !ok {
		t.Fatalf("%t, %v", ok, err)
	}
	if ok, err := d.Advance(ctx, r, tr, ana()); err != nil || ok {
		t.Fatalf("a stale row was moved: %t, %v", ok, err)
	}
	got, err := d.Rollout(ctx, "prod", "todo-v2")
	if diff := cmp.Diff(after, got.State); diff != "" || err != nil || got.Version != 2 {
		t.Errorf("%v\n%s", err, diff)
	}
	if open, err := d.OpenedStores(ctx, "prod", "todo-v2", 1); err != nil || !cmp.Equal(open, stores) {
		t.Errorf("%d open, %v", len(open), err)
	}
	if open, err := d.OpenedStores(ctx, "prod", "todo-v2", 2); err != nil || len(open) != 0 {
		t.Errorf("%d open, %v", len(open), err)
	}
	flags, err := d.PublishedFlags(ctx, "prod")
	if diff := cmp.Diff(tr.Flags, flags); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, c := range []control.Committed{{Store: "s001", Head: 10, Events: 3}, {Store: "s001", Head: 9, Events: 2}, {Store: "s001", Head: 12, Events: 4, OldAt: d.clock.Now()}} {
		if err := d.KeepCommitted(ctx, "prod", "todo-v2", c); err != nil {
			t.Fatal(err)
		}
	}
	if c, err := d.Committed(ctx, "prod", "todo-v2"); err != nil || len(c) != 1 || c[0].Events != 4 || !c[0].OldAt.Equal(d.clock.Now()) {
		t.Errorf("%+v, %v", c, err)
	}
	entries := collect(t, d.Audit(ctx, "prod", time.Time{}))
	if len(entries) != 2 || entries[1].Action != "rollout.advance" || !strings.Contains(string(entries[1].Detail), `"opened":450`) {
		t.Errorf("audit: %+v", entries)
	}

	// Another rollout can't take the flag over while this one is under way, and nothing of its transition stays.
	other, err := d.CreateRollout(ctx, "prod", "todo-v2-again", ana())
	if err != nil {
		t.Fatal(err)
	}
	theft := control.Transition{Decision: rollout.Decision{State: after, Action: "advance"}, Flags: def.Flags("1.1.0", 1, nil, false)}
	for i := range theft.Flags {
		theft.Flags[i].Rollout = "todo-v2-again"
	}
	ok, err := d.Advance(ctx, other, theft, ana())
	wantCode(t, err, errs.Stale)
	flags, err = d.PublishedFlags(ctx, "prod")
	if diff := cmp.Diff(tr.Flags, flags); diff != "" || err != nil || ok {
		t.Errorf("%t, %v\n%s", ok, err, diff)
	}
	aborted := after
	aborted.Phase, aborted.Revision = rollout.Aborted, 2
	closed := control.Transition{Decision: rollout.Decision{State: aborted, Action: "abort"}, Flags: def.Flags("1.1.0", 2, nil, false)}
	if ok, err := d.Advance(ctx, got, closed, ana()); err != nil || !ok {
		t.Fatalf("%t, %v", ok, err)
	}
	if ok, err := d.Advance(ctx, other, theft, ana()); err != nil || !ok {
		t.Fatalf("%t, %v", ok, err)
	}
	// What was counted in a log is forgotten with it.
	d.stores(t, "s001")
	if _, err := d.Forget(ctx, "prod", "s001", control.By{Actor: "ana", Reason: "a new backend"}); err != nil {
		t.Fatal(err)
	}
	if c, err := d.Committed(ctx, "prod", "todo-v2"); err != nil || len(c) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

// rolloutAtOnce decides about the same row from several sides: each step is taken once.
func rolloutAtOnce(t *testing.T, d *database) {
	ctx := t.Context()
	if _, err := d.CreateRollout(ctx, "prod", "todo-v2", ana()); err != nil {
		t.Fatal(err)
	}
	const steps = 10
	failed := atOnce(4, func(int) error {
		db := d.open(t)
		for {
			r, err := db.Rollout(ctx, "prod", "todo-v2")
			if err != nil || r.State.Step == steps {
				return err
			}
			next := r.State
			next.Step++
			if _, err := db.Advance(ctx, r, control.Transition{Decision: rollout.Decision{State: next, Action: "advance"}}, ana()); err != nil {
				return err
			}
		}
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if n := len(collect(t, d.Audit(ctx, "prod", time.Time{}))); n != steps+1 {
		t.Errorf("%d entries in the audit, want %d", n, steps+1)
	}
}

func floorAndStop(t *testing.T, d *database) {
	ctx := t.Context()
	if s, err := d.Floor(ctx, "prod"); err != nil || s != (control.Setting{}) {
		t.Errorf("%+v, %v", s, err)
	}
	why := control.By{Actor: "ana", Reason: "old builds"}
	for _, release := range []string{"1.0.0", "1.1.0"} {
		if err := d.SetFloor(ctx, "prod", release, why); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := d.Floor(ctx, "prod"); err != nil || s != (control.Setting{Value: "1.1.0", Actor: "ana", Reason: "old builds", At: d.clock.Now()}) {
		t.Errorf("%+v, %v", s, err)
	}
	wantCode(t, d.Stop(ctx, "prod", ana()), errs.Invalid)
	if err := d.Stop(ctx, "prod", why); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Stopped(ctx, "prod"); err != nil || s.Reason != "old builds" {
		t.Errorf("%+v, %v", s, err)
	}
	for _, want := range []bool{true, false} {
		if lifted, err := d.Lift(ctx, "prod", why); err != nil || lifted != want {
			t.Errorf("%t, %v", lifted, err)
		}
	}
	if s, err := d.Stopped(ctx, "prod"); err != nil || s.Reason != "" {
		t.Errorf("%+v, %v", s, err)
	}
}
