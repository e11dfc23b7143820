package rollout_test

import (
	"fmt"
	"slices"
	"testing"

	"headgate/internal/livestore"
	"headgate/rollout"
)

func TestResetFlag(t *testing.T) {
	if _, ok := rollout.ResetFlag(map[livestore.StoreID]int{"a": 0}); ok {
		t.Error("a flag for no store")
	}
	generations := map[livestore.StoreID]int{"a": 2, "b": 1, "c": 1}
	f, ok := rollout.ResetFlag(generations)
	if !ok || f.Revision != 4 || !f.Plain() {
		t.Fatalf("%+v", f)
	}
	generations["other"] = 0
	for store, want := range generations {
		if e := f.Evaluate(rollout.Caller{Store: store}); e.Value != int64(want) {
			t.Errorf("%s: %+v, want generation %d", store, e, want)
		}
	}
	if e := f.Evaluate(rollout.Caller{}); e.Value != int64(0) {
		t.Errorf("no store: %+v", e)
	}
}

func TestResetOrder(t *testing.T) {
	var stores []livestore.StoreID
	for i := range 200 {
		stores = append(stores, livestore.StoreID(fmt.Sprintf("s%03d", i)))
	}
	order := func(reset int64, of []livestore.StoreID) []livestore.StoreID {
		of = slices.Clone(of)
		rollout.ResetOrder(reset, of)
		return of
	}
	first := order(1, stores)
	backwards := slices.Clone(stores)
	slices.Reverse(backwards)
	if !slices.Equal(first, order(1, backwards)) {
		t.Error("the order depends on the order of the stores")
	}
	if slices.Equal(first[:20], order(2, stores)[:20]) {
		t.Error("each reset begins with the same stores")
	}
	for _, tc := range [][4]int{{10, 0, 50, 10}, {10, 4, 50, 6}, {10, 12, 50, 0}, {10, 0, 3, 3}} {
		if got := rollout.ResetDue(tc[0], tc[1], tc[2]); got != tc[3] {
			t.Errorf("ResetDue%v = %d", tc, got)
		}
	}
}
