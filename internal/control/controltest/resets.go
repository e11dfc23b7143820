package controltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func storeIDs(n int) (out []livestore.StoreID) {
	for i := range n {
		out = append(out, livestore.StoreID(fmt.Sprintf("s%03d", i)))
	}
	return out
}

// reset follows a reset through its states. After each step no store's generation has fallen, and no hour has more stores
// than the budget.
func reset(t *testing.T, d *database) {
	ctx := t.Context()
	why := control.By{Actor: "ana", Reason: "files are damaged"}
	before := map[livestore.StoreID]int{}
	look := func(want int) {
		t.Helper()
		now, err := d.Generations(ctx, "prod")
		if err != nil || len(now) != want {
			t.Fatalf("%d stores have a generation, want %d; %v", len(now), want, err)
		}
		for s, g := range before {
			if now[s] < g || now[s] > g+1 {
				t.Errorf("%s went from generation %d to %d", s, g, now[s])
			}
		}
		before = now
	}
	step := func(state control.ResetState, opens int) {
		t.Helper()
		r, opened, err := d.OpenReset(ctx, "prod", rollout.Controller)
		if err != nil || r.State != state || len(opened) != opens {
			t.Fatalf("%s, %d opened, %v; want %s, %d", r, len(opened), err, state, opens)
		}
	}

	_, err := d.LastReset(ctx, "prod")
	wantCode(t, err, errs.NotFound)
	_, err = d.FireReset(ctx, "prod", 0, why)
	wantCode(t, err, errs.NotFound)
	if _, moved, err := d.PauseReset(ctx, "prod", why); err != nil || moved {
		t.Errorf("%t, %v", moved, err)
	}
	if _, opened, err := d.OpenReset(ctx, "prod", "x"); err != nil || opened != nil {
		t.Errorf("%v, %v", opened, err)
	}
	for _, bad := range []func() error{
		func() error { _, err := d.ArmReset(ctx, "prod", storeIDs(2), 1, ana()); return err },
		func() error { _, err := d.ArmReset(ctx, "prod", nil, 1, why); return err },
		func() error { _, err := d.ArmReset(ctx, "prod", storeIDs(2), 0, why); return err },
	} {
		wantCode(t, bad(), errs.Invalid)
	}

	r, err := d.ArmReset(ctx, "prod", storeIDs(450), 100, why)
	if err != nil || r.ID != 1 || r.State != control.ResetArmed || r.Stores != 450 || r.ArmedBy != "ana" || r.Reason != why.Reason {
		t.Fatalf("%+v, %v", r, err)
	}
	step(control.ResetArmed, 0) // armed is not fired
	look(0)
	_, err = d.ArmReset(ctx, "prod", storeIDs(1), 1, why)
	wantCode(t, err, errs.Stale)
	d.clock.Advance(control.ArmedFor + time.Minute)
	_, err = d.FireReset(ctx, "prod", 0, why)
	wantCode(t, err, errs.Stale)
	if r, err = d.CancelReset(ctx, "prod", why); err != nil || r.State != control.ResetCancelled {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = d.CancelReset(ctx, "prod", why)
	wantCode(t, err, errs.Stale)

	if r, err = d.ArmReset(ctx, "prod", storeIDs(450), 100, why); err != nil || r.ID != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = d.FireReset(ctx, "prod", 0, control.By{Actor: "ben"}); err != nil || r.State != control.ResetFiring || r.FiredBy != "ben" {
		t.Fatalf("%+v, %v", r, err)
	}
	step(control.ResetFiring, 100)
	step(control.ResetFiring, 0)
	look(100)
	d.clock.Advance(30 * time.Minute)
	if _, err = d.FireReset(ctx, "prod", 150, why); err != nil { // a larger budget
		t.Fatal(err)
	}
	step(control.ResetFiring, 50)
	d.clock.Advance(31 * time.Minute)
	step(control.ResetFiring, 100) // of the first hour's 150, 50 still count
	look(250)

	// A stop holds it, and so does what stays of it until somebody fires again.
	if err := d.Stop(ctx, "prod", why); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(2 * time.Hour)
	step(control.ResetFiring, 0)
	if r, moved, err := d.PauseReset(ctx, "prod", why); err != nil || !moved || r.State != control.ResetPaused {
		t.Errorf("%s, %t, %v", r, moved, err)
	}
	_, err = d.FireReset(ctx, "prod", 0, why)
	wantCode(t, err, errs.Stale)
	if _, err := d.Lift(ctx, "prod", why); err != nil {
		t.Fatal(err)
	}
	step(control.ResetPaused, 0)
	look(250)
	if _, err = d.FireReset(ctx, "prod", 1000, why); err != nil {
		t.Fatal(err)
	}
	step(control.ResetDone, 200)
	step(control.ResetDone, 0)
	look(450)

	// The next one raises its stores by one, in another order.
	d.clock.Advance(2 * time.Hour)
	if r, err = d.ArmReset(ctx, "prod", storeIDs(3), 2, why); err != nil || r.ID != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err = d.FireReset(ctx, "prod", 0, why); err != nil {
		t.Fatal(err)
	}
	step(control.ResetFiring, 2)
	look(450)
	if _, err = d.CancelReset(ctx, "prod", why); err != nil {
		t.Fatal(err)
	}
	look(450) // what was opened stays
	flags, err := d.PublishedFlags(ctx, "prod")
	if err != nil || len(flags) != 1 || flags[0].Key != rollout.ResetKey {
		t.Fatalf("%+v, %v", flags, err)
	}
	second := 0
	for s, g := range before {
		if e := flags[0].Evaluate(rollout.Caller{Store: s}); e.Value != int64(g) {
			t.Errorf("%s is told %v, and has generation %d", s, e.Value, g)
		}
		if g == 2 {
			second++
		}
	}
	if second != 2 {
		t.Errorf("%d stores have generation 2", second)
	}
	var actions []string
	for _, e := range collect(t, d.Audit(ctx, "prod", time.Time{})) {
		actions = append(actions, strings.TrimPrefix(e.Action, "reset.")+"#"+e.Subject)
	}
	want := "arm#1 cancel#1 arm#2 fire#2 open#2 fire#2 open#2 open#2 stop# pause#2 stop.lift# fire#2 open#2 arm#3 fire#3 open#3 cancel#3"
	if got := strings.Join(actions, " "); got != want {
		t.Errorf("audit: %s\nwant:  %s", got, want)
	}
}

// resetAtOnce opens from several sides: the hour has no more stores than the budget.
func resetAtOnce(t *testing.T, d *database) {
	ctx := t.Context()
	if _, err := d.ArmReset(ctx, "prod", storeIDs(100), 30, control.By{Actor: "ana", Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.FireReset(ctx, "prod", 0, ana()); err != nil {
		t.Fatal(err)
	}
	failed := atOnce(4, func(int) error {
		db := d.open(t)
		for range 5 {
			if _, _, err := db.OpenReset(ctx, "prod", rollout.Controller); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if g, err := d.Generations(ctx, "prod"); err != nil || len(g) != 30 {
		t.Errorf("%d opened, %v", len(g), err)
	}
}
