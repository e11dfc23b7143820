package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
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

// TestSlowAnalysis: while the analysis of one rollout takes its time the others move, and a store whose old client comes
// back meanwhile is not opened by what was known before.
func TestSlowAnalysis(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, func(o *Options) {
		read := o.Operate.Read
		o.Operate.Dir = dir
		o.Operate.Read = func(name string) (*rollout.Definition, []*schema.Release, error) {
			d, releases, err := read(name)
			if err == nil && name == "abort" { // the first of them
				d, err = rollout.ParseDefinition([]byte(`events: {Abort: {from: v1, to: v2}}
steps: [{weight: 100, pause: manual, analysis: [slow]}]
analysis:
  slow: {command: [sh, -c, "touch began; while [ ! -e go ]; do sleep 0.05; done; echo 0"], interval: 1h, count: 5, failureCondition: "result > 1"}
`), d.Path)
				if err == nil {
					d.Schema = "main"
				}
			}
			return d, releases, err
		}
	})
	w.seeClients(t, "1.1.0")
	ana := control.By{Actor: "ana", Reason: "test"}
	see := func(release string) {
		t.Helper()
		w.advance(time.Second)
		if err := w.Operate.DB.Observe(t.Context(), "prod", []control.Client{{Store: "s4", ID: "ann", Release: release, Source: rollout.FromSync}}); err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string) {
		t.Helper()
		if _, err := w.Operate.RolloutAct(t.Context(), name, operate.RolloutAsk{Command: rollout.Start}, ana); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); <-time.After(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: not while the analysis went on", what)
				return
			}
		}
	}
	see("1.0.0")
	start("abort")
	ended := make(chan error, 1)
	go func() {
		_, err := w.Operate.Tick(t.Context(), false)
		ended <- err
	}()
	await("the ramp", func() bool {
		row, err := w.Operate.DB.Rollout(t.Context(), "prod", "abort")
		return err == nil && row.State.Phase == rollout.Ramp
	})
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	see("1.1.0")
	start("pause")
	w.advance(2 * time.Hour)
	go func() {
		_, err := w.Operate.Tick(t.Context(), false)
		ended <- err
	}()
	await("the measurement", func() bool {
		_, err := os.Stat(filepath.Join(dir, "began"))
		return err == nil
	})
	await("another rollout's ramp", func() bool {
		row, err := w.Operate.DB.Rollout(t.Context(), "prod", "pause")
		return err == nil && row.State.Phase == rollout.Ramp
	})
	see("1.0.0")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "go"), nil, 0o600), <-ended); err != nil {
		t.Fatal(err)
	}
	open, err := w.Operate.DB.OpenedStores(t.Context(), "prod", "abort", 1)
	if want := []livestore.StoreID{"s0", "s1", "s2", "s3"}; err != nil || !slices.Equal(open, want) {
		t.Errorf("%v are open, %v", open, err)
	}
}
