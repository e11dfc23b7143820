package server

import (
	"context"
	"net/http"
	"slices"

	"headgate/cmd/headgate/internal/operate"
	"headgate/rollout/observe"
)

// receiver takes what is seen of clients. Who may send was found out on the way in.
func (s *Server) receiver() observe.Receiver {
	return observe.Receiver{
		Observer: observer{s}, Now: s.Environment.Now,
		Authorize: func(r *http.Request) (func(string) bool, error) {
			stores := caller(r.Context()).Stores
			return func(store string) bool { return len(stores) == 0 || slices.Contains(stores, store) }, nil
		},
		Lost: func(sender string, dropped int64) { s.meters.lost.WithLabelValues(sender).Add(float64(dropped)) },
	}
}

func (s *Server) reports(w http.ResponseWriter, r *http.Request) {
	s.receiver().Reports().ServeHTTP(w, r)
}

func (s *Server) telemetry(w http.ResponseWriter, r *http.Request) {
	s.receiver().Telemetry().ServeHTTP(w, r)
}

// An observer keeps and counts.
type observer struct{ *Server }

func (o observer) Observe(ctx context.Context, batch []observe.Observation) error {
	if err := o.Environment.Observe(ctx, batch); err != nil {
		o.Log.ErrorContext(ctx, "observations can't be kept; the sender sends them again", "request", requestID(ctx), "error", err)
		return err
	}
	for _, seen := range batch {
		o.meters.observed.WithLabelValues(string(seen.Kind)).Add(float64(seen.Count))
	}
	return nil
}

// Floors are the releases that clients have to reach.
type Floors struct {
	Floors map[string]string `json:"floors"` // by schema, * for all
}

func (s *Server) floors(ctx context.Context, _ *nothing) (Floors, error) {
	floors, err := s.Environment.Floors(ctx)
	return Floors{floors}, err
}

type floorIn struct {
	Release string `json:"release"`          // or none
	Reason  string `json:"reason,omitempty"` // for the audit
}

func (s *Server) setFloor(ctx context.Context, in *floorIn) (operate.FloorChange, error) {
	return s.Environment.SetFloor(ctx, in.Release, by(ctx, in.Reason), false)
}

type stopIn struct {
	Reason string `json:"reason"` // for the audit
}

func (s *Server) stop(ctx context.Context, in *stopIn) (operate.StopReport, error) {
	return s.Environment.Stop(ctx, by(ctx, in.Reason), false)
}
