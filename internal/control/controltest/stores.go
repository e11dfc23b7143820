package controltest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func inventory(t *testing.T, d *database) {
	ctx := t.Context()
	sync := func(want control.SyncResult, stores ...control.Store) {
		t.Helper()
		d.clock.Advance(time.Hour)
		got, err := d.Sync(ctx, "prod", control.Values(stores), ana())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	a := control.Store{ID: "a", Schema: "main", Log: "sync-cf:https://me:hunter2@sync.example.org/x?token=hunter2", Region: "eu", State: control.StoreActive}
	b := control.Store{ID: "b", Schema: "main", Log: "postgres://me:hunter2@db/app", State: control.StoreHold, Note: "legal"}
	c := control.Store{ID: "c", Schema: "other", Log: "postgres:postgres://me:hunter2@db/app#t", State: control.StoreActive}
	sync(control.SyncResult{Stores: 3, Added: 3}, a, b, c)
	sync(control.SyncResult{Stores: 3}, c, b, a)
	first := d.clock.Now()
	if vanished, err := d.SetHead(ctx, "prod", "a", 7, "backend"); err != nil || vanished {
		t.Fatalf("SetHead: %v, %v", vanished, err)
	}

	// A store that is missing is held, one that is on hold stays as it is, and both keep what is known of them.
	c.Region = "us"
	sync(control.SyncResult{Stores: 1, Changed: 1, Held: 1}, c)
	want := []control.Store{
		{
			ID: "a", Schema: "main", Log: "sync-cf:https://me@sync.example.org/x", Region: "eu", State: control.StoreHold,
			Note: "not in the inventory since 2026-01-01T03:00:00Z", Head: 7, BackendID: "backend", SeenAt: first,
		},
		{ID: "b", Schema: "main", Log: "postgres://me@db/app", State: control.StoreHold, Note: "legal", SeenAt: first},
		{ID: "c", Schema: "other", Log: "postgres:postgres://me@db/app#t", Region: "us", State: control.StoreActive, SeenAt: d.clock.Now()},
	}
	if diff := cmp.Diff(want, collect(t, d.Stores(ctx, "prod", control.StoreFilter{}))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	got := collect(t, d.Stores(ctx, "prod", control.StoreFilter{States: []control.StoreState{control.StoreHold, control.StoreDeleted}}))
	if len(got) != 2 {
		t.Errorf("held: %+v", got)
	}
	if got := collect(t, d.Stores(ctx, "prod", control.StoreFilter{Schema: "other"})); len(got) != 1 || got[0].ID != "c" {
		t.Errorf("of schema other: %+v", got)
	}

	// It is back, and another one is deleted. The clock has gone back.
	d.clock.Advance(-30 * time.Hour)
	b.State, b.Note = control.StoreDeleted, ""
	sync(control.SyncResult{Stores: 3, Changed: 2}, a, b, c)
	if s, err := d.Store(ctx, "prod", "a"); err != nil || s.State != control.StoreActive || s.Note != "" || s.Head != 7 {
		t.Errorf("%+v, %v", s, err)
	}
	sync(control.SyncResult{Stores: 1, Held: 1}, a) // a deleted store stays deleted
	if n := len(collect(t, d.Audit(ctx, "prod", time.Time{}))); n != 4 {
		t.Errorf("%d entries in the audit, want one for each change", n)
	}
}

func inventoryRefused(t *testing.T, d *database) {
	d.stores(t, "a", "b")
	boom := errors.New("boom")
	var many []control.Store
	for i := range 500 {
		many = append(many, control.Store{ID: fmt.Sprintf("s%03d", i), State: control.StoreActive})
	}
	for name, tc := range map[string]struct {
		stores iter.Seq2[control.Store, error]
		code   errs.Code
	}{
		"twice":          {control.Values([]control.Store{{ID: "x", State: "active"}, {ID: "x", State: "active"}}), errs.Invalid},
		"twice, far off": {control.Values(append(many, control.Store{ID: "s003", State: "active"})), errs.Invalid},
		"no id":          {control.Values([]control.Store{{State: "active"}}), errs.Invalid},
		"no text":        {control.Values([]control.Store{{ID: "a\x00b", State: "active"}}), errs.Invalid},
		"no state":       {control.Values([]control.Store{{ID: "x"}}), errs.Invalid},
		"half-way": {func(yield func(control.Store, error) bool) {
			_ = yield(control.Store{ID: "x", State: "active"}, nil) && yield(control.Store{}, boom)
		}, errs.Internal},
	} {
		_, err := d.Sync(t.Context(), "prod", tc.stores, ana())
		if errs.CodeOf(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.Sync(t.Context(), "prod", control.Values(many), control.By{}); err == nil {
		t.Error("nobody may sync")
	}
	if got := collect(t, d.Stores(t.Context(), "prod", control.StoreFilter{})); len(got) != 2 || got[0].State != control.StoreActive {
		t.Errorf("something changed: %+v", got)
	}
}

func manyStores(t *testing.T, d *database) {
	const n = 10_000
	inventory := func(yield func(control.Store, error) bool) {
		for i := range n {
			if !yield(control.Store{ID: fmt.Sprintf("store-%d", i), Schema: "main", State: control.StoreActive}, nil) {
				return
			}
		}
	}
	if r, err := d.Sync(t.Context(), "prod", inventory, ana()); err != nil || r.Added != n {
		t.Fatalf("%+v, %v", r, err)
	}
	stores := func(yield func(control.RunStore, error) bool) {
		for s, err := range d.Stores(t.Context(), "prod", control.StoreFilter{}) { // reads while the run is written
			if !yield(control.RunStore{Store: s.ID, Wave: 1, Due: 2}, err) {
				return
			}
		}
	}
	if _, err := d.CreateRun(t.Context(), control.Run{ID: "r", Env: "prod", Migration: "m"}, stores, ana()); err != nil {
		t.Fatal(err)
	}
	counts, err := d.Counts(t.Context(), "r")
	if diff := cmp.Diff([]control.WaveCount{{Wave: 1, State: control.Pending, Stores: n, Due: 2 * n}}, counts); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	last := ""
	seen := 0
	for s, err := range d.StoreRuns(t.Context(), "r", control.AllWaves) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Store <= last {
			t.Fatalf("%s comes after %s", s.Store, last)
		}
		last = s.Store
		if seen++; seen%1000 == 0 { // whoever iterates may write
			d.move(t, "r", s.Store, control.Pending, control.Paused, control.Change{})
		}
	}
	if seen != n {
		t.Errorf("%d stores, want %d", seen, n)
	}
}

func heads(t *testing.T, d *database) {
	d.stores(t, "a")
	for _, step := range []struct {
		name     string
		head     int64
		backend  string
		vanished bool
		code     errs.Code
	}{
		{"an empty store", 0, "", false, ""},
		{"it grows", 5, "one", false, ""},
		{"the same", 5, "one", false, ""},
		{"who says no id", 6, "", false, ""},
		{"shorter", 4, "one", false, errs.Refused},
		{"another backend", 9, "two", false, errs.Refused},
		{"vanished", 0, "one", true, ""},
		{"vanished with its backend", 0, "two", true, ""},
		{"back", 7, "one", false, ""},
	} {
		known, err := d.Store(t.Context(), "prod", "a")
		if err != nil {
			t.Fatal(err)
		}
		compared := known.Compare("prod", step.head, step.backend) // says the same, and keeps nothing
		if got := errs.CodeOf(compared); got != step.code && (!step.vanished || got != errs.Refused) {
			t.Errorf("%s: compared: %v", step.name, compared)
		}
		vanished, err := d.SetHead(t.Context(), "prod", "a", step.head, step.backend)
		if vanished != step.vanished || errs.CodeOf(err) != step.code {
			t.Errorf("%s: vanished %v, %v", step.name, vanished, err)
		}
		if e := errs.As(err); e != nil && (e.Hint == "" || strings.Contains(e.Error(), "%!")) {
			t.Errorf("%s: %v, hint %q", step.name, e, e.Hint)
		}
	}
	if s, err := d.Store(t.Context(), "prod", "a"); err != nil || s.Head != 7 || s.BackendID != "one" {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := d.SetHead(t.Context(), "prod", "nowhere", 1, "")
	wantCode(t, err, errs.NotFound)

	// An answer that somebody else's commit overtook is not taken for a loss; one that stays what it is, is.
	for _, c := range []struct {
		answers  []int64
		asked    int
		vanished bool
		code     errs.Code
	}{
		{[]int64{8}, 1, false, ""},
		{[]int64{6, 9}, 2, false, ""},
		{[]int64{0, 9}, 2, false, ""},
		{[]int64{6, 6}, 2, false, errs.Refused},
		{[]int64{0, 0}, 2, true, ""},
	} {
		asked := 0
		vanished, err := d.Ask(t.Context(), "prod", "a", func(context.Context) (int64, string, error) {
			asked++
			return c.answers[asked-1], "one", nil
		})
		if vanished != c.vanished || errs.CodeOf(err) != c.code || asked != c.asked {
			t.Errorf("%v: asked %d times, vanished %v, %v", c.answers, asked, vanished, err)
		}
	}
	away := errors.New("away")
	if _, err := d.Ask(t.Context(), "prod", "a", func(context.Context) (int64, string, error) { return 0, "", away }); !errors.Is(err, away) {
		t.Errorf("%v", err)
	}
}

// forget clears what is known of a store, and of one that is in the inventory only what its backend said.
func forget(t *testing.T, d *database) {
	ctx := t.Context()
	d.stores(t, "a", "gone")
	d.clock.Advance(time.Minute)
	d.stores(t, "a")
	clients := []control.Client{{Store: "a", ID: "x", Release: "1.0.0", LastSeen: d.clock.Now()}, {Store: "gone", ID: "y", Release: "0.9.0", LastSeen: d.clock.Now()}}
	if _, err := d.ImportCensus(ctx, "prod", "test", control.Values(clients), ana()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetHead(ctx, "prod", "a", 7, "one"); err != nil {
		t.Fatal(err)
	}
	by := control.By{Actor: "bob", Reason: "it was reset"}
	_, err := d.Forget(ctx, "prod", "a", ana())
	wantCode(t, err, errs.Invalid)
	_, err = d.Forget(ctx, "prod", "z", by)
	wantCode(t, err, errs.NotFound)
	if _, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "w"}, time.Minute); err != nil {
		t.Fatal(err)
	}
	_, err = d.Forget(ctx, "prod", "a", by)
	wantCode(t, err, errs.Locked)
	d.clock.Advance(2 * time.Minute) // nobody renewed it
	if was, err := d.Forget(ctx, "prod", "a", by); err != nil || was.Head != 7 || was.BackendID != "one" {
		t.Fatalf("%+v, %v", was, err)
	}
	if vanished, err := d.SetHead(ctx, "prod", "a", 0, "two"); err != nil || vanished {
		t.Errorf("vanished %v, %v", vanished, err)
	}
	if _, err := d.Forget(ctx, "prod", "gone", by); err != nil {
		t.Fatal(err)
	}
	_, err = d.Store(ctx, "prod", "gone")
	wantCode(t, err, errs.NotFound)
	census, err := d.Census(ctx, "prod", time.Time{})
	if err != nil || len(census) != 1 || census[0].Release != "1.0.0" {
		t.Errorf("%+v, %v", census, err)
	}
	l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "v"}, time.Minute)
	if err != nil || l.Fence != 2 {
		t.Errorf("%+v, %v", l, err)
	}
	var forgotten []string
	for _, e := range collect(t, d.Audit(ctx, "prod", time.Time{})) {
		if e.Action == "store.forget" {
			forgotten = append(forgotten, e.Actor+" "+e.Subject)
		}
	}
	if diff := cmp.Diff([]string{"bob a", "bob gone"}, forgotten); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// emptied forgets what a store's backend said, for who holds the store's lease.
func emptied(t *testing.T, d *database) {
	ctx := t.Context()
	d.stores(t, "a")
	if _, err := d.SetHead(ctx, "prod", "a", 7, "one"); err != nil {
		t.Fatal(err)
	}
	entry := control.Entry{Env: "prod", Actor: "ana", Action: "store.reset.done", Subject: "a"}
	l, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "w"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(2 * time.Minute)
	young, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("a"), Owner: "v"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, d.Emptied(ctx, l, "a", entry), errs.Locked)
	if s, err := d.Store(ctx, "prod", "a"); err != nil || s.Head != 7 {
		t.Errorf("a lost lease changed it: %+v, %v", s, err)
	}
	if err := d.Emptied(ctx, young, "a", entry); err != nil {
		t.Fatal(err)
	}
	if s, err := d.Store(ctx, "prod", "a"); err != nil || s.Head != 0 || s.BackendID != "" {
		t.Errorf("%+v, %v", s, err)
	}
	if vanished, err := d.SetHead(ctx, "prod", "a", 3, "two"); err != nil || vanished {
		t.Errorf("vanished %v, %v", vanished, err)
	}
	// A store that is in no inventory yet.
	other, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: control.StoreLease("b"), Owner: "v"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	entry.Subject = "b"
	if err := d.Emptied(ctx, other, "b", entry); err != nil {
		t.Error(err)
	}
	var done []string
	for _, e := range collect(t, d.Audit(ctx, "prod", time.Time{})) {
		if e.Action == entry.Action {
			done = append(done, e.Subject)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, done); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
