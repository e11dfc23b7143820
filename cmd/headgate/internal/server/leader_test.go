package server

import (
	"context"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// TestAbortIsFasterThanTheController: who aborts or pauses a rollout that the controller has just moved is not told to try
// again; who goes on is, since the step that was meant is over.
func TestAbortIsFasterThanTheController(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.seeClients(t, "1.1.0")
	ana := control.By{Actor: "ana", Reason: "test"}
	for _, c := range []struct {
		command rollout.Command
		want    errs.Code
	}{{rollout.Promote, errs.Locked}, {rollout.Hold, ""}, {rollout.Abort, ""}} {
		if _, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Start}, ana); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Operate.Tick(t.Context(), false, "start"); err != nil { // to the ramp
			t.Fatal(err)
		}
		seen, err := w.Operate.Open(t.Context(), "start", operate.Closes(c.command))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Promote}, ana); err != nil { // somebody is faster
			t.Fatal(err)
		}
		r, err := seen.Act(t.Context(), operate.RolloutAsk{Command: c.command}, ana)
		if errs.CodeOf(err) != c.want {
			t.Errorf("%s: %+v, %v", c.command, r, err)
		}
		if c.command != rollout.Abort {
			if _, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Abort}, ana); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestLead: a server leads when the one before is gone, keeps the lead while it waits, leads anew when it lost it, and
// leaves it in the end.
func TestLead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	db := w.Operate.DB
	if _, err := db.Acquire(t.Context(), control.Lease{Env: "prod", Name: operate.ControllerLease, Owner: "gone"}, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	works, ended := make(chan context.Context), make(chan error, 1)
	go func() {
		ended <- operate.Leader{Environment: w.Operate.Environment}.Lead(ctx, func(ctx context.Context) error {
			works <- ctx
			<-ctx.Done()
			return nil
		})
	}()
	lease := func() control.Lease {
		t.Helper()
		leases, err := db.Leases(t.Context(), "prod")
		if err != nil || len(leases) != 1 {
			t.Fatalf("%+v, %v", leases, err)
		}
		return leases[0]
	}
	first := <-works
	for !lease().Heartbeat.After(lease().AcquiredAt) {
		<-time.After(50 * time.Millisecond)
	}
	if l := lease(); l.Owner != w.Operate.Owner || first.Err() != nil {
		t.Errorf("%+v, %v", l, first.Err())
	}
	if _, err := db.Break(t.Context(), "prod", operate.ControllerLease, control.By{Actor: "ana", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	second := <-works
	if first.Err() == nil || second.Err() != nil {
		t.Errorf("%v, %v", first.Err(), second.Err())
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if leases, err := db.Leases(t.Context(), "prod"); err != nil || len(leases) != 0 {
		t.Errorf("%+v, %v", leases, err)
	}
}
