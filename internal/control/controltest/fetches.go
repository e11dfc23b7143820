package controltest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

func fetches(t *testing.T, d *database) {
	ctx := t.Context()
	keep := func(batch ...control.Fetch) {
		t.Helper()
		if err := d.KeepFetches(ctx, "prod", batch); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	keep(
		control.Fetch{Rollout: "r", Store: "s1", Client: "ann", Revision: 1, At: time.Unix(1, 0)}, // only the receipt counts
		control.Fetch{Rollout: "r", Store: "s1", Client: "ann", Revision: 2},
		control.Fetch{Rollout: "r", Store: "s2", Client: "ann", Revision: 5},
		control.Fetch{Rollout: "other", Store: "s1", Client: "ann", Revision: 9},
	)
	first := d.clock.Now()
	d.clock.Advance(time.Minute)
	keep(control.Fetch{Rollout: "r", Store: "s2", Client: "ann", Revision: 4}) // an older answer is what it has now
	got, err := d.Fetches(ctx, "prod", "r")
	if err != nil || len(got) != 2 || got[0].Revision != 2 || !got[0].At.Equal(first) || got[1].Revision != 4 || !got[1].At.Equal(d.clock.Now()) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := d.Fetches(ctx, "staging", "r"); err != nil || len(got) != 0 {
		t.Errorf("another environment: %+v, %v", got, err)
	}
	wantCode(t, d.KeepFetches(ctx, "prod", []control.Fetch{{Rollout: "r", Store: "s1", Client: "a\x00b", Revision: 1}}), errs.Invalid)

	var many []control.Fetch
	for i := range 1000 {
		many = append(many, control.Fetch{Rollout: "many", Store: livestore.StoreID(fmt.Sprint("s", i%7)), Client: fmt.Sprint("c", i%500), Revision: i})
	}
	failed := errors.Join(atOnce(4, func(int) error { return d.KeepFetches(ctx, "prod", many) })...)
	if got, err := d.Fetches(ctx, "prod", "many"); err != nil || failed != nil || len(got) != 1000 {
		t.Errorf("%d, %v, %v", len(got), err, failed)
	}
}
