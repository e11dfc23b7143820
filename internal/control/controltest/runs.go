package controltest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func run(t *testing.T, d *database) {
	ctx := t.Context()
	d.stores(t, "a", "b")
	made, err := d.CreateRun(ctx, control.Run{ID: "r1", Env: "prod", Migration: "00001_x", Checksum: "abc", Options: json.RawMessage(`{"pace":"1s"}`)},
		control.Values([]control.RunStore{{Store: "a", Wave: 1, Due: 3}, {Store: "b"}}), ana())
	if err != nil {
		t.Fatal(err)
	}
	want := control.Run{
		ID: "r1", Env: "prod", Migration: "00001_x", Checksum: "abc", State: control.Pending, Actor: "ana", CreatedAt: d.clock.Now(),
		Options: json.RawMessage(`{"pace":"1s"}`),
	}
	got, err := d.Run(ctx, "r1")
	if diff := cmp.Diff([]control.Run{want, want}, []control.Run{made, got}); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	stores := collect(t, d.StoreRuns(ctx, "r1", control.AllWaves))
	wantStores := []control.StoreRun{
		{Run: "r1", Store: "b", State: control.Pending, UpdatedAt: d.clock.Now()},
		{Run: "r1", Store: "a", Wave: 1, State: control.Pending, Progress: control.Progress{Due: 3}, Expected: 3, UpdatedAt: d.clock.Now()},
	}
	if diff := cmp.Diff(wantStores, stores); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	d.clock.Advance(time.Minute)
	by := control.By{Actor: "bob", Reason: "why not"}
	for _, step := range []struct {
		from  []control.State
		to    control.State
		moved bool
	}{
		{[]control.State{control.Pending}, control.Running, true},
		{[]control.State{control.Pending}, control.Running, false},
		{[]control.State{control.Running}, control.Pausing, true},
		{[]control.State{control.Pausing, control.Running}, control.Cancelling, true},
		{[]control.State{control.Cancelling}, control.Cancelled, true},
	} {
		if ok, err := d.MoveRun(ctx, "r1", step.from, step.to, by); err != nil || ok != step.moved {
			t.Errorf("to %s: %v, %v", step.to, ok, err)
		}
	}
	if got, err := d.Run(ctx, "r1"); err != nil || got.State != control.Cancelled || !got.EndedAt.Equal(d.clock.Now()) {
		t.Errorf("%+v, %v", got, err)
	}
	if ok, err := d.MoveRun(ctx, "nowhere", []control.State{control.Pending}, control.Running, by); err != nil || ok {
		t.Errorf("%v, %v", ok, err)
	}
	for _, to := range []control.State{control.Running, control.Pending, control.Failed} { // it has ended
		if _, err := d.MoveRun(ctx, "r1", []control.State{control.Cancelled}, to, by); errs.CodeOf(err) != errs.Internal {
			t.Errorf("from cancelled to %s: %v", to, err)
		}
	}
	var actions []string
	for _, e := range collect(t, d.Audit(ctx, "prod", time.Time{})) {
		actions = append(actions, e.Actor+" "+e.Action+" "+e.Subject)
	}
	wantActions := []string{"ana inventory.sync ", "ana run.create r1", "bob run.running r1", "bob run.pausing r1", "bob run.cancelling r1", "bob run.cancelled r1"}
	if diff := cmp.Diff(wantActions, actions); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func runRefused(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r1", "a", "b")
	if _, err := d.Sync(ctx, "prod", control.Values([]control.Store{{ID: "a", State: "active"}}), ana()); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		run    control.Run
		stores []control.RunStore
		code   errs.Code
	}{
		"there already": {control.Run{ID: "r1", Env: "prod", Migration: "m"}, nil, errs.Invalid},
		"no id":         {control.Run{Env: "prod", Migration: "m"}, nil, errs.Invalid},
		"twice":         {control.Run{ID: "r2", Env: "prod", Migration: "m"}, []control.RunStore{{Store: "a"}, {Store: "a"}}, errs.Invalid},
		"unknown store": {control.Run{ID: "r2", Env: "prod", Migration: "m"}, []control.RunStore{{Store: "a"}, {Store: "z"}}, errs.Refused},
		"held store":    {control.Run{ID: "r2", Env: "prod", Migration: "m"}, []control.RunStore{{Store: "b"}}, errs.Refused},
		"another env":   {control.Run{ID: "r2", Env: "staging", Migration: "m"}, []control.RunStore{{Store: "a"}}, errs.Refused},
	} {
		_, err := d.CreateRun(ctx, tc.run, control.Values(tc.stores), ana())
		if errs.CodeOf(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := d.Run(ctx, "r2")
	wantCode(t, err, errs.NotFound)
	_, err = d.StoreRun(ctx, "r1", "z")
	wantCode(t, err, errs.NotFound)
	for id, want := range map[string]int{"r1": 2, "r2": 0} {
		if got := collect(t, d.StoreRuns(ctx, id, control.AllWaves)); len(got) != want {
			t.Errorf("%s: %d stores", id, len(got))
		}
	}
}

// moves goes through a store's life.
func moves(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r", "a")
	d.move(t, "r", "a", control.Pending, control.Running, control.Change{Owner: "w1", Fence: 1})
	d.clock.Advance(time.Second)
	p := control.Progress{Due: 10, Committed: 4, Before: 1, Pushes: 2, Conflicts: 1, Head: 20}
	d.move(t, "r", "a", control.Running, control.Pending, control.Change{Fence: 1, Progress: &p}) // put back
	want := control.StoreRun{Run: "r", Store: "a", State: control.Pending, Progress: p, Attempt: 1, Fence: 1, UpdatedAt: d.clock.Now()}
	check := func() {
		t.Helper()
		got, err := d.StoreRun(ctx, "r", "a")
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
	}
	check()
	d.move(t, "r", "a", control.Pending, control.Running, control.Change{Owner: "w2", Fence: 3})
	d.move(t, "r", "a", control.Running, control.Pausing, control.Change{})
	want.State, want.Owner, want.Fence, want.Attempt = control.Pausing, "w2", 3, 2
	check()
	if ok, err := d.Move(ctx, "r", "a", []control.State{control.Running}, control.Succeeded, control.Change{Fence: 3}); err != nil || ok {
		t.Errorf("moved from a state that it is not in: %v, %v", ok, err)
	}
	if ok, err := d.Move(ctx, "r", "a", []control.State{control.Running, control.Pausing}, control.Stalled,
		control.Change{Fence: 3, ErrorCode: errs.Internal, Error: "no progress\x00 for 2m"}); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
	want.State, want.Owner, want.ErrorCode, want.Error = control.Stalled, "", errs.Internal, "no progress\uFFFD for 2m"
	check()
	for _, c := range []control.Change{{}, {Owner: "w"}, {Fence: 9}} { // a claim without owner and fence
		if _, err := d.Move(ctx, "r", "a", []control.State{control.Pending}, control.Running, c); errs.CodeOf(err) != errs.Internal {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if ok, err := d.Move(ctx, "r", "z", []control.State{control.Pending}, control.Paused, control.Change{}); err != nil || ok {
		t.Errorf("an unknown store: %v, %v", ok, err)
	}
}

// everyMove tries each move between two states: it happens or is an error, as doc.go draws it. What has ended for good
// is never left.
func everyMove(t *testing.T, d *database) {
	legal := map[control.State][]control.State{
		control.Pending:    {control.Running, control.Paused, control.Cancelled},
		control.Running:    {control.Pending, control.Running, control.Pausing, control.Cancelling, control.Succeeded, control.Failed, control.Stalled, control.Vanished, control.Quarantined},
		control.Pausing:    {control.Paused, control.Cancelling, control.Succeeded, control.Failed, control.Stalled, control.Vanished, control.Quarantined},
		control.Paused:     {control.Cancelled},
		control.Cancelling: {control.Cancelled, control.Succeeded, control.Failed, control.Stalled, control.Vanished, control.Quarantined},
	}
	path := map[control.State][]control.State{ // from pending to each state
		control.Pending: {}, control.Running: {control.Running}, control.Pausing: {control.Running, control.Pausing}, control.Paused: {control.Paused},
		control.Cancelling: {control.Running, control.Cancelling}, control.Cancelled: {control.Cancelled},
	}
	var ids []string
	for _, from := range control.States() {
		if path[from] == nil {
			path[from] = []control.State{control.Running, from}
		}
		for _, to := range control.States() {
			ids = append(ids, string(from)+"-"+string(to))
		}
	}
	retryable := []control.State{control.Paused, control.Failed, control.Stalled, control.Vanished, control.Quarantined}
	d.run(t, "r", ids...)
	for _, from := range control.States() {
		for _, to := range control.States() {
			id, at, fence := string(from)+"-"+string(to), control.Pending, int64(0)
			change := func(to control.State) control.Change {
				if to != control.Running {
					return control.Change{}
				}
				fence++
				return control.Change{Owner: "w", Fence: fence}
			}
			for _, step := range path[from] {
				d.move(t, "r", id, at, step, change(step))
				at = step
			}
			ok, err := d.Move(t.Context(), "r", id, []control.State{from}, to, change(to))
			switch {
			case slices.Contains(legal[from], to):
				if err != nil || !ok {
					t.Errorf("from %s to %s: %v, %v", from, to, ok, err)
				}
				continue
			case errs.CodeOf(err) != errs.Internal || ok:
				t.Errorf("from %s to %s: %v, %v, want an error", from, to, ok, err)
			}
			if s, err := d.StoreRun(t.Context(), "r", id); err != nil || s.State != from {
				t.Errorf("from %s to %s: it is %s, %v", from, to, s.State, err)
			}
			if n, err := d.Retry(t.Context(), "r", retryable, []control.RunStore{{Store: id}}, ana()); err != nil || (n == 1) != from.Retryable() {
				t.Errorf("retry from %s: %d, %v", from, n, err)
			}
		}
	}
	if _, err := d.Move(t.Context(), "r", ids[0], nil, control.Paused, control.Change{}); errs.CodeOf(err) != errs.Internal {
		t.Errorf("from nowhere: %v", err)
	}
}

func progress(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r", "a")
	p := control.Progress{Due: 9, Committed: 3, Before: 2, Pushes: 1, Conflicts: 4, Head: 17}
	if _, held, err := d.Report(ctx, "r", "a", 0, p); err != nil || held {
		t.Errorf("nobody works on it: %v, %v", held, err)
	}
	d.move(t, "r", "a", control.Pending, control.Running, control.Change{Owner: "w", Fence: 2})
	for _, step := range []struct{ from, to control.State }{
		{control.Running, control.Running}, {control.Running, control.Pausing}, {control.Pausing, control.Cancelling},
	} {
		if step.from != step.to { // someone asks
			if n, err := d.MoveAll(ctx, "r", control.AllWaves, []control.State{step.from}, step.to); err != nil || n != 1 {
				t.Fatal(n, err)
			}
		}
		p.Committed++
		if state, held, err := d.Report(ctx, "r", "a", 2, p); err != nil || !held || state != step.to {
			t.Errorf("%s, %v, %v, want %s", state, held, err, step.to)
		}
	}
	if _, held, err := d.Report(ctx, "r", "a", 1, control.Progress{}); err != nil || held {
		t.Errorf("another fence: %v, %v", held, err)
	}
	d.move(t, "r", "a", control.Cancelling, control.Cancelled, control.Change{Fence: 2})
	if _, held, err := d.Report(ctx, "r", "a", 2, control.Progress{}); err != nil || held {
		t.Errorf("after its end: %v, %v", held, err)
	}
	if s, err := d.StoreRun(ctx, "r", "a"); err != nil || s.Progress != p || s.Owner != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

func waves(t *testing.T, d *database) {
	ctx := t.Context()
	d.stores(t, "a", "b", "c", "d")
	_, err := d.CreateRun(ctx, control.Run{ID: "r", Env: "prod", Migration: "m"}, control.Values([]control.RunStore{
		{Store: "a", Wave: 0, Due: 5}, {Store: "b", Wave: 1, Due: 6}, {Store: "c", Wave: 1, Due: 7}, {Store: "d", Wave: 2},
	}), ana())
	if err != nil {
		t.Fatal(err)
	}
	d.move(t, "r", "a", control.Pending, control.Running, control.Change{Owner: "w", Fence: 1})
	d.move(t, "r", "a", control.Running, control.Succeeded, control.Change{Fence: 1, Progress: &control.Progress{Due: 5, Committed: 5, Pushes: 2, Conflicts: 1}})
	d.move(t, "r", "b", control.Pending, control.Running, control.Change{Owner: "w", Fence: 1})

	if n, err := d.MoveAll(ctx, "r", 1, []control.State{control.Pending}, control.Paused); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := d.MoveAll(ctx, "r", control.AllWaves, []control.State{control.Running}, control.Pausing); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	for _, to := range []control.State{control.Running, control.Pending} {
		if _, err := d.MoveAll(ctx, "r", control.AllWaves, []control.State{control.Pending}, to); errs.CodeOf(err) != errs.Internal {
			t.Errorf("all to %s: %v", to, err)
		}
	}
	want := []control.WaveCount{
		{Wave: 0, State: control.Succeeded, Stores: 1, Due: 5, Committed: 5, Pushes: 2, Conflicts: 1},
		{Wave: 1, State: control.Pausing, Stores: 1, Due: 6},
		{Wave: 1, State: control.Paused, Stores: 1, Due: 7},
		{Wave: 2, State: control.Pending, Stores: 1},
	}
	got, err := d.Counts(ctx, "r")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for _, tc := range []struct {
		wave   int
		states []control.State
		want   string
	}{
		{control.AllWaves, nil, "abcd"},
		{1, nil, "bc"},
		{control.AllWaves, []control.State{control.Paused, control.Succeeded}, "ac"},
		{2, []control.State{control.Paused}, ""},
	} {
		got := ""
		for _, s := range collect(t, d.StoreRuns(ctx, "r", tc.wave, tc.states...)) {
			got += s.Store
		}
		if got != tc.want {
			t.Errorf("wave %d, %v: %s, want %s", tc.wave, tc.states, got, tc.want)
		}
	}
	if s, err := d.StoreRun(ctx, "r", "b"); err != nil || s.Owner != "w" { // it is asked, not taken away
		t.Errorf("%+v, %v", s, err)
	}
}

func retry(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r", "a", "b", "c", "d")
	moveRun := func(from, to control.State) {
		t.Helper()
		if ok, err := d.MoveRun(ctx, "r", []control.State{from}, to, ana()); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	moveRun(control.Pending, control.Running)
	for store, state := range map[string]control.State{"a": control.Failed, "b": control.Stalled, "c": control.Succeeded, "d": control.Quarantined} {
		d.move(t, "r", store, control.Pending, control.Running, control.Change{Owner: "w", Fence: 4})
		d.move(t, "r", store, control.Running, state, control.Change{ErrorCode: errs.Invalid, Error: "why", Progress: &control.Progress{Due: 2, Committed: 3}})
	}
	if s, err := d.StoreRun(ctx, "r", "c"); err != nil || s.Error != "" || s.ErrorCode != "" {
		t.Errorf("a success has an error: %+v, %v", s, err)
	}
	moveRun(control.Running, control.Failed)
	by := control.By{Actor: "bob", Reason: "fixed", Allowed: []string{"RO102"}}
	if n, err := d.Retry(ctx, "r", []control.State{control.Paused}, nil, by); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if r, err := d.Run(ctx, "r"); err != nil || r.State != control.Failed { // nothing to do, nothing done
		t.Errorf("%+v, %v", r, err)
	}
	if n, err := d.Retry(ctx, "r", []control.State{control.Failed, control.Stalled}, []control.RunStore{{Store: "a", Due: 9}, {Store: "c", Due: 1}}, by); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if r, err := d.Run(ctx, "r"); err != nil || r.State != control.Pending || !r.EndedAt.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if n, err := d.Retry(ctx, "r", []control.State{control.Failed, control.Stalled}, nil, by); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	s, err := d.StoreRun(ctx, "r", "a")
	if err != nil || s.State != control.Pending || s.Error != "" || s.Fence != 4 || s.Attempt != 1 || s.Due != 9 || s.Expected != 12 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, from := range [][]control.State{nil, {control.Succeeded}, {control.Failed, control.Running}} {
		if _, err := d.Retry(ctx, "r", from, nil, by); errs.CodeOf(err) != errs.Internal {
			t.Errorf("from %v: %v", from, err)
		}
	}
	retries := 0
	for _, e := range collect(t, d.Audit(ctx, "prod", time.Time{})) {
		if e.Action == "run.retry" && e.Actor == "bob" {
			if !strings.Contains(string(e.Detail), `"allowed":["RO102"]`) || !strings.Contains(string(e.Detail), `"reason":"fixed"`) {
				t.Errorf("the audit does not say what was allowed, and why: %s", e.Detail)
			}
			retries++
		}
	}
	if retries != 2 {
		t.Errorf("%d retries in the audit", retries)
	}
	moveRun(control.Pending, control.Cancelled)
	_, err = d.Retry(ctx, "r", []control.State{control.Paused}, nil, by)
	wantCode(t, err, errs.Refused)
	_, err = d.Retry(ctx, "nowhere", []control.State{control.Paused}, nil, by)
	wantCode(t, err, errs.NotFound)
}

// orphans finds the stores whose worker died: the lease ended, was released or never taken.
func orphans(t *testing.T, d *database) {
	ctx := t.Context()
	d.run(t, "r", "alive", "dead", "pausing", "pending", "done")
	for _, id := range []string{"alive", "dead", "pausing", "done"} {
		l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease(id), Owner: "w", Run: "r"}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		d.move(t, "r", id, control.Pending, control.Running, control.Change{Owner: "w", Fence: l.Fence})
		if id == "pausing" {
			d.move(t, "r", id, control.Running, control.Pausing, control.Change{})
		}
		if id == "done" {
			d.move(t, "r", id, control.Running, control.Succeeded, control.Change{Fence: l.Fence})
		}
		if id == "alive" {
			d.clock.Advance(30 * time.Second)
			if _, err := d.Heartbeat(ctx, l, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := collect(t, d.Orphans(ctx, "prod")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	d.clock.Advance(2 * time.Minute)
	var got []string
	for _, s := range collect(t, d.Orphans(ctx, "prod")) {
		got = append(got, s.Store)
		if !s.State.Owned() {
			t.Errorf("%+v", s)
		}
	}
	if diff := cmp.Diff([]string{"dead", "pausing"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := collect(t, d.Orphans(ctx, "staging")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func runPages(t *testing.T, d *database) {
	const n = 701
	for i := range n {
		_, err := d.CreateRun(t.Context(), control.Run{ID: fmt.Sprintf("r%d", i), Env: "prod", Migration: "m"}, control.Values[control.RunStore](nil), ana())
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			d.clock.Advance(time.Second)
		}
	}
	runs := collect(t, d.Runs(t.Context(), "prod"))
	if len(runs) != n || runs[0].CreatedAt.Before(runs[n-1].CreatedAt) {
		t.Errorf("%d runs from %s to %s", len(runs), runs[0].CreatedAt, runs[n-1].CreatedAt)
	}
	seen := map[string]bool{}
	for _, r := range runs {
		seen[r.ID] = true
	}
	if len(seen) != n {
		t.Errorf("%d different runs", len(seen))
	}
	if ok, err := d.MoveRun(t.Context(), "r7", []control.State{control.Pending}, control.Running, ana()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	for r, err := range d.Runs(t.Context(), "prod", control.Running, control.Paused) {
		if err != nil || r.ID != "r7" {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// unfinished finds the stores that the last run they were in did not do.
func unfinished(t *testing.T, d *database) {
	fail := func(run string, stores ...string) {
		t.Helper()
		d.run(t, run, "a", "b", "c")
		for _, s := range []string{"a", "b"} {
			to := control.Succeeded
			if slices.Contains(stores, s) {
				to = control.Failed
			}
			d.move(t, run, s, control.Pending, control.Running, control.Change{Owner: "w", Fence: 1})
			d.move(t, run, s, control.Running, to, control.Change{ErrorCode: errs.Invalid, Error: "why " + run})
		}
		for _, m := range [][2]control.State{{control.Pending, control.Running}, {control.Running, control.Failed}} {
			if ok, err := d.MoveRun(t.Context(), run, []control.State{m[0]}, m[1], ana()); err != nil || !ok {
				t.Fatal(ok, err)
			}
		}
		d.clock.Advance(time.Minute)
	}
	fail("r1", "a", "b")
	fail("r2", "b")
	var got []string
	for _, u := range collect(t, d.Unfinished(t.Context(), "prod")) {
		got = append(got, u.Migration+" "+u.Run+" "+u.Store+" "+string(u.State)+" "+u.Error)
	}
	if diff := cmp.Diff([]string{"00001_x r2 b failed why r2", "00001_x r2 c pending "}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := collect(t, d.Unfinished(t.Context(), "staging")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}
