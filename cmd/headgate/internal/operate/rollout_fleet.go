package operate

import (
	"context"
	"sync"
	"time"

	"headgate/internal/control"
)

// fleetAge is how old it may be who was seen, where rollouts share it. Reports are no younger: they come in batches.
const fleetAge = time.Second

// A sharedFleet is who was seen, read once for the rollouts that a tick looks at side by side. Nobody changes what it returns.
type sharedFleet struct {
	read func(ctx context.Context, horizon time.Duration) (control.Fleet, error)
	now  func() time.Time

	mu    sync.Mutex // held while reading: who comes meanwhile wants the same
	known map[time.Duration]fleetAt
}

type fleetAt struct {
	control.Fleet
	at time.Time
}

// of is who was seen within a horizon.
func (s *sharedFleet) of(ctx context.Context, horizon time.Duration) (control.Fleet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.known[horizon]; ok && s.now().Sub(k.at) < fleetAge {
		return k.Fleet, nil
	}
	fleet, err := s.read(ctx, horizon)
	if err != nil {
		return fleet, err
	}
	if s.known == nil {
		s.known = map[time.Duration]fleetAt{}
	}
	s.known[horizon] = fleetAt{fleet, s.now()}
	return fleet, nil
}

// forget has the next one read anew.
func (s *sharedFleet) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = nil
}

// readFleet is who was seen within a horizon.
func (e Environment) readFleet(ctx context.Context, horizon time.Duration) (control.Fleet, error) {
	return e.DB.Fleet(ctx, e.Name, e.Now().Add(-horizon))
}
