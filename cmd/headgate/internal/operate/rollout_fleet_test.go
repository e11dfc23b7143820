package operate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"headgate/internal/control"
)

// TestSharedFleet: rollouts that look at the same time read once for each horizon, and nobody gets what is old, was forgotten
// or failed.
func TestSharedFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := map[time.Duration]int{}
		var fails error
		s := sharedFleet{now: time.Now, read: func(_ context.Context, horizon time.Duration) (control.Fleet, error) {
			time.Sleep(2 * fleetAge) // it is large
			reads[horizon]++
			return control.Fleet{Since: time.Now()}, fails
		}}
		get := func(horizon time.Duration, want int) {
			t.Helper()
			f, err := s.of(t.Context(), horizon)
			if reads[horizon] != want || !errors.Is(err, fails) || err == nil && time.Since(f.Since) >= fleetAge {
				t.Errorf("%d reads, want %d; %v, %v", reads[horizon], want, f.Since, err)
			}
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { get(time.Hour, 1) })
		}
		all.Wait()
		get(time.Minute, 1)
		get(time.Minute, 1)
		time.Sleep(fleetAge)
		get(time.Minute, 2)
		s.forget()
		get(time.Minute, 3)
		s.forget()
		fails = errors.New("away")
		get(time.Minute, 4)
		fails = nil
		get(time.Minute, 5)
	})
}
