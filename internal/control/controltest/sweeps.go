package controltest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
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
