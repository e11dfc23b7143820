package controltest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func leases(t *testing.T, d *database) {
	ctx := t.Context()
	began := d.clock.Now()
	l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "store/a", Owner: "one", Run: "r1"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := control.Lease{
		Env: "prod", Name: "store/a", Owner: "one", Run: "r1", Fence: 1, AcquiredAt: began, Heartbeat: began, ExpiresAt: began.Add(time.Minute),
	}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	d.clock.Advance(30 * time.Second)
	for _, owner := range []string{"two", "one"} { // an owner is one goroutine: it does not get it twice either
		_, err = d.Acquire(ctx, control.Lease{Env: "prod", Name: "store/a", Owner: owner}, time.Minute)
		wantCode(t, err, errs.Locked)
		e := errs.As(err)
		if !strings.Contains(e.Msg, "by one since 2026-01-01T00:00:00Z") || len(e.Next) == 0 {
			t.Errorf("%v", e)
		}
	}
	other, err := d.Acquire(ctx, control.Lease{Env: "staging", Name: "store/a", Owner: "two"}, time.Minute)
	if err != nil || other.Fence != 1 {
		t.Fatalf("another environment's lease: %+v, %v", other, err)
	}
	if l, err = d.Heartbeat(ctx, l, time.Minute); err != nil {
		t.Fatal(err)
	}
	want.Heartbeat, want.ExpiresAt = d.clock.Now(), d.clock.Now().Add(time.Minute)
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	held, err := d.Leases(ctx, "prod")
	if diff := cmp.Diff([]control.Lease{want}, held); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for range 2 { // a second release is no error
		if err := d.Release(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	if held, err := d.Leases(ctx, "prod"); err != nil || len(held) != 0 {
		t.Errorf("%+v, %v", held, err)
	}
	_, err = d.Heartbeat(ctx, l, time.Minute)
	wantCode(t, err, errs.Locked)
	for fence := int64(2); fence < 5; fence++ { // it rises, release or not
		l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "store/a", Owner: "one"}, time.Minute)
		if err != nil || l.Fence != fence {
			t.Fatalf("%+v, %v, want fence %d", l, err, fence)
		}
		if err := d.Release(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []control.Lease{{Name: "a", Owner: "one"}, {Env: "prod", Owner: "one"}, {Env: "prod", Name: "a"}} {
		if _, err := d.Acquire(ctx, bad, time.Minute); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// leaseAtOnce: of many, exactly one gets a lease, whichever process they are in.
func leaseAtOnce(t *testing.T, d *database) {
	other := d.open(t)
	for round := range int64(5) {
		var got atomic.Int64
		failed := atOnce(20, func(i int) error {
			db := d.DB
			if i%2 == 1 {
				db = other
			}
			l, err := db.Acquire(t.Context(), control.Lease{Env: "prod", Name: "a", Owner: fmt.Sprint("owner-", i)}, time.Minute)
			if err == nil {
				got.Add(1)
				if l.Fence != round+1 || l.Owner != fmt.Sprint("owner-", i) {
					return fmt.Errorf("lease %+v in round %d", l, round)
				}
				return nil
			}
			if errs.CodeOf(err) == errs.Locked {
				return nil
			}
			return err
		})
		if err := errors.Join(failed...); err != nil || got.Load() != 1 {
			t.Fatalf("%d hold the lease, %v", got.Load(), err)
		}
		d.clock.Advance(time.Minute) // it ends by itself
	}
}

// fencing: a lease ends by the clock, and its old owner can do nothing with it.
func fencing(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r", "a")
	old, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "old"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d.move(t, "r", "a", control.Pending, control.Running, control.Change{Owner: "old", Fence: old.Fence})
	d.clock.Advance(time.Minute)
	_, err = d.Heartbeat(ctx, old, time.Minute) // late, even before anyone else took it
	wantCode(t, err, errs.Locked)

	young, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "young"}, time.Minute)
	if err != nil || young.Fence <= old.Fence {
		t.Fatalf("%+v, %v", young, err)
	}
	_, err = d.Heartbeat(ctx, old, time.Minute)
	wantCode(t, err, errs.Locked)
	if e := errs.As(err); !strings.Contains(e.Msg, "was lost to young") {
		t.Errorf("%v", e)
	}
	if err := d.Release(ctx, old); err != nil { // of a lease that is young's
		t.Fatal(err)
	}
	if _, err := d.Heartbeat(ctx, young, time.Minute); err != nil {
		t.Fatal(err)
	}

	// The row's fence holds the old owner off, whatever it still tries.
	d.move(t, "r", "a", control.Running, control.Running, control.Change{Owner: "young", Fence: young.Fence})
	if _, held, err := d.Report(ctx, "r", "a", old.Fence, control.Progress{Committed: 99}); err != nil || held {
		t.Errorf("the old owner reported: %v, %v", held, err)
	}
	for to, c := range map[control.State]control.Change{
		control.Succeeded: {Fence: old.Fence},
		control.Running:   {Fence: old.Fence, Owner: "old"},
	} {
		if ok, err := d.Move(ctx, "r", "a", []control.State{control.Running}, to, c); err != nil || ok {
			t.Errorf("the old owner moved to %s: %v, %v", to, ok, err)
		}
	}
	s, err := d.StoreRun(ctx, "r", "a")
	if err != nil || s.Owner != "young" || s.Fence != young.Fence || s.Attempt != 2 || s.Committed != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func breaking(t *testing.T, d *database) {
	ctx := t.Context()
	_, err := d.Break(ctx, "prod", "a", control.By{Actor: "ana", Reason: "gone"})
	wantCode(t, err, errs.NotFound)
	l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "a", Owner: "one"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Break(ctx, "prod", "a", control.By{Actor: "ana", Reason: " "})
	wantCode(t, err, errs.Invalid)
	if _, err := d.Break(ctx, "prod", "a", control.By{Reason: "gone"}); err == nil { // and nothing is done without its entry
		t.Error("nobody broke it")
	}
	if _, err := d.Heartbeat(ctx, l, time.Hour); err != nil {
		t.Fatal(err)
	}
	was, err := d.Break(ctx, "prod", "a", control.By{Actor: "ana", Reason: "its machine is gone"})
	if err != nil || was.Owner != "one" {
		t.Fatalf("%+v, %v", was, err)
	}
	_, err = d.Heartbeat(ctx, l, time.Hour)
	wantCode(t, err, errs.Locked)
	next, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "a", Owner: "two"}, time.Hour)
	if err != nil || next.Fence <= l.Fence {
		t.Fatalf("%+v, %v", next, err)
	}
	entries := collect(t, d.Audit(ctx, "prod", time.Time{}))
	if len(entries) != 1 {
		t.Fatalf("audit: %+v", entries)
	}
	e := entries[0]
	if e.Actor != "ana" || e.Action != "lock.break" || e.Subject != "a" || !strings.Contains(string(e.Detail), "its machine is gone") {
		t.Errorf("audit: %+v %s", e, e.Detail)
	}
}
