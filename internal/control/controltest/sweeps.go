package controltest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// What is known of a migration's stores comes from its runs and its sweeps, of the same file only.
func sweeps(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r1", "a", "b", "c")
	r, err := d.Run(ctx, "r1")
	if err != nil {
		t.Fatal(err)
	}
	d.move(t, "r1", "a", control.Pending, control.Running, control.Change{Owner: "w", Fence: 1})
	d.move(t, "r1", "a", control.Running, control.Succeeded, control.Change{Fence: 1, Progress: &control.Progress{Head: 7}})
	d.move(t, "r1", "b", control.Pending, control.Running, control.Change{Owner: "w", Fence: 1})
	d.move(t, "r1", "b", control.Running, control.Failed, control.Change{Fence: 1, Progress: &control.Progress{Head: 7}})
	known := func(checksum string) []control.SweptStore {
		return collect(t, d.Swept(ctx, r.Env, r.Migration, checksum))
	}
	want := []control.SweptStore{{Store: "a", Done: true}, {Store: "b"}, {Store: "c"}}
	if diff := cmp.Diff(want, known(r.Checksum)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if at, err := d.LastSweep(ctx, r.Env, r.Migration); err != nil || !at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	for range 2 {
		err := d.KeepSwept(ctx, r.Env, r.Migration, r.Checksum, control.Values([]control.SweptStore{{Store: "a", Head: 9}, {Store: "n", Head: 4}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	want = []control.SweptStore{{Store: "a", Done: true, Head: 9}, {Store: "b"}, {Store: "c"}, {Store: "n", Done: true, Head: 4}}
	if diff := cmp.Diff(want, known(r.Checksum)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if at, err := d.LastSweep(ctx, r.Env, r.Migration); err != nil || !at.Equal(d.clock.Now()) {
		t.Errorf("%v, %v", at, err)
	}
	if got := known("another"); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if _, err := d.Forget(ctx, r.Env, "a", control.By{Actor: "ana", Reason: "reset"}); err != nil {
		t.Fatal(err)
	}
	if got := known(r.Checksum); got[0] != (control.SweptStore{Store: "a", Done: true}) { // its log may be another one
		t.Errorf("%v", got)
	}
}

// A store stays left out of a migration until looking at it goes well, a run takes it or a sweep finds nothing due.
func leftOut(t *testing.T, d *database) {
	ctx := t.Context()
	const env, m = "prod", "00001_a"
	d.stores(t, "a", "b", "c", "d", "e")
	leave := func(run string, bad ...string) {
		t.Helper()
		var looked []control.LeftOut
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			looked = append(looked, control.LeftOut{Store: id})
		}
		for _, id := range bad {
			looked[id[0]-'a'].ErrorCode, looked[id[0]-'a'].Error = errs.Unverifiable, "poison in "+id+"\nlook at it"
		}
		if err := d.LeaveOut(ctx, env, m, run, control.Values(looked)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(stores ...string) {
		t.Helper()
		var got []string
		for _, s := range collect(t, d.LeftOut(ctx, env)) {
			got = append(got, s.Store)
		}
		if diff := cmp.Diff(stores, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	leave("", "a", "b")
	all := collect(t, d.LeftOut(ctx, env))
	first := control.LeftOut{Migration: m, Store: "a", ErrorCode: errs.Unverifiable, Error: "poison in a\nlook at it", At: d.clock.Now()}
	if len(all) != 2 || all[0] != first {
		t.Errorf("%+v", all)
	}
	d.clock.Advance(time.Minute)
	leave("", "b", "c", "d", "e") // a is well
	want("b", "c", "d", "e")
	create := func(id string, stores ...control.RunStore) {
		t.Helper()
		if _, err := d.CreateRun(ctx, control.Run{ID: id, Env: env, Migration: m}, control.Values(stores), ana()); err != nil {
			t.Fatal(err)
		}
	}
	create("r1", control.RunStore{Store: "b"})
	want("c", "d", "e")
	if err := d.KeepSwept(ctx, env, m, "sum", control.Values([]control.SweptStore{{Store: "c", Head: 4}})); err != nil {
		t.Fatal(err)
	}
	want("d", "e")
	if _, err := d.Forget(ctx, env, "d", control.By{Actor: "ana", Reason: "reset"}); err != nil {
		t.Fatal(err)
	}
	want("e")
	if other := collect(t, d.LeftOut(ctx, "staging")); len(other) != 0 {
		t.Errorf("%+v", other)
	}
	// One that the inventory has on hold, and those of a run that was cancelled, wait for nothing.
	leave("r1", "a", "e")
	if _, err := d.Sync(ctx, env, control.Values([]control.Store{{ID: "a", State: control.StoreActive}, {ID: "e", State: control.StoreHold}}), ana()); err != nil {
		t.Fatal(err)
	}
	want("a")
	if ok, err := d.MoveRun(ctx, "r1", []control.State{control.Pending}, control.Cancelled, ana()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	want()
	var many []control.LeftOut
	for i := range 1234 {
		many = append(many, control.LeftOut{Store: fmt.Sprintf("s%04d", i), ErrorCode: errs.Internal, Error: "away"})
	}
	if err := d.LeaveOut(ctx, env, "00002_b", "", control.Values(many)); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, d.LeftOut(ctx, env)); len(got) != len(many) || got[1233].Store != "s1233" {
		t.Errorf("%d stores", len(got))
	}
}
