package controltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// claimAtOnce: of many that claim a store, one has it.
func claimAtOnce(t *testing.T, d *database) {
	d.run(t, "r", "a")
	other := d.open(t)
	var got atomic.Int64
	failed := atOnce(20, func(i int) error {
		db := d.DB
		if i%2 == 1 {
			db = other
		}
		ok, err := db.Move(t.Context(), "r", "a", []control.State{control.Pending}, control.Running, control.Change{Owner: fmt.Sprint(i), Fence: int64(i + 1)})
		if ok {
			got.Add(1)
		}
		return err
	})
	if err := errors.Join(failed...); err != nil || got.Load() != 1 {
		t.Errorf("%d claimed it, %v", got.Load(), err)
	}
}

// fullWave: of many stores that are claimed at the same moment, as many are as may run in parallel, whoever claims them.
func fullWave(t *testing.T, d *database) {
	ctx := t.Context()
	const parallel = 3
	var ids []string
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("s%02d", i))
	}
	d.run(t, "r", ids...)
	d.run(t, "other", ids...) // is not counted
	d.move(t, "other", "s00", control.Pending, control.Running, control.Change{Owner: "o", Fence: 1})
	second := d.open(t)
	var got atomic.Int64
	failed := atOnce(len(ids), func(i int) error {
		db := d.DB
		if i%2 == 1 {
			db = second
		}
		ok, err := db.Move(ctx, "r", ids[i], []control.State{control.Pending}, control.Running,
			control.Change{Owner: fmt.Sprint(i), Fence: int64(i + 1), Parallel: parallel})
		if ok {
			got.Add(1)
		}
		return err
	})
	if err := errors.Join(failed...); err != nil || got.Load() != parallel {
		t.Errorf("%d were claimed, %v", got.Load(), err)
	}
	// One that ends makes room for one, one that is to pause does not, and without a limit there is room.
	var owned, pending []control.StoreRun
	for s, err := range d.StoreRuns(ctx, "r", control.AllWaves) {
		if err != nil {
			t.Fatal(err)
		}
		if s.State == control.Running {
			owned = append(owned, s)
		} else {
			pending = append(pending, s)
		}
	}
	if len(owned) != parallel {
		t.Fatalf("%d run", len(owned))
	}
	claim := func(s control.StoreRun, parallel int) bool {
		ok, err := d.Move(ctx, "r", s.Store, []control.State{control.Pending}, control.Running, control.Change{Owner: "o", Fence: 99, Parallel: parallel})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	d.move(t, "r", owned[0].Store, control.Running, control.Pausing, control.Change{})
	if claim(pending[0], parallel) {
		t.Error("a store that is still to pause made room")
	}
	d.move(t, "r", owned[0].Store, control.Pausing, control.Paused, control.Change{})
	if !claim(pending[0], parallel) || claim(pending[1], parallel) {
		t.Error("a store that ended did not make room for one")
	}
	if !claim(pending[1], 0) {
		t.Error("a claim without a limit was refused")
	}
}

// hold: what is done under a lease that is renewed ends when someone breaks it, and the lease stays with its owner when the
// work has ended by itself.
func hold(t *testing.T, d *database) {
	ctx := t.Context()
	l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "sweep/1", Owner: "one"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	held, stop := d.Hold(ctx, l, 200*time.Millisecond) // by the test's clock it ends later
	d.clock.Advance(10 * time.Millisecond)
	for renewed := false; !renewed && held.Err() == nil; {
		leases, err := d.Leases(ctx, "prod")
		if err != nil || len(leases) != 1 {
			t.Fatal(leases, err)
		}
		renewed = leases[0].Heartbeat.After(l.Heartbeat)
	}
	stop()
	if leases, err := d.Leases(ctx, "prod"); err != nil || len(leases) != 1 || leases[0].Owner != "one" {
		t.Errorf("%+v, %v", leases, err)
	}
	if held.Err() == nil {
		t.Error("the work goes on after stop")
	}

	held, stop = d.Hold(ctx, l, 200*time.Millisecond)
	defer stop()
	if _, err := d.Break(ctx, "prod", "sweep/1", control.By{Actor: "ana", Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	<-held.Done()
	wantCode(t, context.Cause(held), errs.Locked)
}

// away: a database that does not answer for a while takes no lease from its owner; one that is away for as long as the
// lease lasts does, though nobody says so.
func away(t *testing.T, d *database) {
	const ttl = 4 * time.Second
	l, err := d.Acquire(t.Context(), control.Lease{Env: "prod", Name: "store/a", Owner: "one"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	held, stop := d.Hold(t.Context(), l, ttl)
	defer stop()
	d.clock.Advance(time.Second)
	back := d.block(t)
	<-time.After(ttl * 3 / 5)
	back()
	select {
	case <-held.Done():
		t.Fatalf("lost after %s of %s: %v", ttl*3/5, ttl, context.Cause(held))
	case <-time.After(ttl):
	}
	if now, err := d.Leases(t.Context(), "prod"); err != nil || len(now) != 1 || !now[0].Heartbeat.After(l.Heartbeat) {
		t.Errorf("it was not renewed: %+v, %v", now, err)
	}
	back = d.block(t)
	<-held.Done()
	wantCode(t, context.Cause(held), errs.Locked)
	back()
}

// block keeps every write to the leases waiting until the function that it returns is called.
func (d *database) block(t *testing.T) (unblock func()) {
	t.Helper()
	driver, statement := "sqlite", "BEGIN IMMEDIATE"
	if d.Postgres() {
		driver, statement = "pgx", "BEGIN; LOCK TABLE leases"
	}
	pool, err := sql.Open(driver, d.DataSource())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_, err := conn.ExecContext(t.Context(), "ROLLBACK")
		if err := errors.Join(err, conn.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	}
}
