package observe

import (
	"errors"
	"fmt"
	"testing"
)

// TestBatchesAreBounded: the last ones are remembered, and no more.
func TestBatchesAreBounded(t *testing.T) {
	var b Batches
	counted := 0
	send := func(i int) {
		if err := b.once(keyOf("app", fmt.Sprint(i), "s", "ann"), func() error { counted++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	const more = 10
	for i := range batchesKept + more {
		send(i)
	}
	for i := more; i < batchesKept+more; i++ {
		send(i)
	}
	if counted != batchesKept+more || len(b.known) != batchesKept || len(b.order) != batchesKept {
		t.Errorf("%d counted, %d known, %d in order", counted, len(b.known), len(b.order))
	}
	send(0) // too old
	if counted != batchesKept+more+1 || len(b.known) != batchesKept {
		t.Errorf("%d counted, %d known", counted, len(b.known))
	}
}

// TestBatchesThatFail may come again, also where keeping them crashed; meanwhile nobody else keeps them.
func TestBatchesThatFail(t *testing.T) {
	var b Batches
	key := keyOf("app", "x", "s", "ann")
	away := errors.New("away")
	if err := b.once(key, func() error {
		if err := b.once(key, func() error { t.Error("kept twice at a time"); return nil }); !errors.Is(err, errUnderWay) {
			t.Error(err)
		}
		return away
	}); !errors.Is(err, away) {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = b.once(key, func() error { panic("crashed") }) // does not return
	}()
	kept := 0
	for range 2 {
		if err := b.once(key, func() error { kept++; return nil }); err != nil {
			t.Error(err)
		}
	}
	if kept != 1 || len(b.known) != 1 {
		t.Errorf("kept %d times, %d known", kept, len(b.known))
	}
}
