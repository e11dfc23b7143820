package operate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"headgate/internal/control"
)

// TestSharedFleet: rollouts that look at the same time read once for each horizon, and nobody gets what is old, was forgotten
// or failed.
func TestSharedFleet(t *testing.T) {
	now, reads := time.Now(), map[time.Duration]int{}
	var fails error
	s := sharedFleet{now: func() time.Time { return now }, read: func(_ context.Context, horizon time.Duration) (control.Fleet, error) {
		reads[horizon]++
		return control.Fleet{Since: now}, fails
	}}
	get := func(horizon time.Duration) {
		t.Helper()
		if f, err := s.of(t.Context(), horizon); !errors.Is(err, fails) || err == nil && now.Sub(f.Since) >= fleetAge {
			t.Errorf("%v, %v", f.Since, err)
		}
	}
	want := func(n int) {
		t.Helper()
		if reads[time.Minute] != n {
			t.Errorf("%d reads, want %d", reads[time.Minute], n)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { get(time.Hour) })
		all.Go(func() { get(time.Minute) })
	}
	all.Wait()
	want(1)
	now = now.Add(fleetAge)
	get(time.Minute)
	get(time.Minute)
	want(2)
	s.forget()
	get(time.Minute)
	want(3)
	s.forget()
	fails = errors.New("away")
	get(time.Minute)
	fails = nil
	get(time.Minute)
	want(5)
}
