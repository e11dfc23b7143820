package server

import (
	"context"
	"net/http"
	"slices"

	"headgate/rollout/observe"
)

// receiver takes what is seen of clients. Who may send was found out on the way in.
func (s *Server) receiver() observe.Receiver {
	return observe.Receiver{
		Observer: observer{s}, Now: s.Operate.Now, Batches: &s.batches,
		MayReport: func(r *http.Request, store string) bool {
			stores := caller(r.Context()).Stores
			return len(stores) == 0 || slices.Contains(stores, store)
		},
		Lost:    func(sender string, n int64) { s.meters.lost.WithLabelValues(sender).Add(float64(n)) },
		Foreign: func(sender string, n int64) { s.meters.foreign.WithLabelValues(sender).Add(float64(n)) },
	}
}

func (s *Server) reports(w http.ResponseWriter, r *http.Request) {
	s.receiver().Reports().ServeHTTP(w, r)
}

func (s *Server) telemetry(w http.ResponseWriter, r *http.Request) {
	s.receiver().Telemetry().ServeHTTP(w, r)
}

// traces takes LiveStore's spans as an OpenTelemetry exporter sends them. A token for one store says of which one they are.
func (s *Server) traces(w http.ResponseWriter, r *http.Request) {
	stores := caller(r.Context()).Stores
	s.receiver().Traces(func(spans []observe.Span) {
		names := s.counter.knownNames()
		for _, span := range spans {
			if span.Store == observe.None && len(stores) == 1 {
				span.Store = stores[0]
			}
			s.counter.add(names.OfSpan(span)...)
		}
		s.meters.observed.WithLabelValues("span").Add(float64(len(spans)))
	}).ServeHTTP(w, r)
}

// An observer keeps and counts.
type observer struct{ *Server }

func (o observer) Observe(ctx context.Context, batch []observe.Observation) error {
	if err := o.Operate.Observe(ctx, batch); err != nil {
		o.Log.ErrorContext(ctx, "observations can't be kept; the sender sends them again", "request", requestID(ctx), "error", err)
		return err
	}
	names := o.counter.knownNames()
	for _, seen := range batch {
		o.meters.observed.WithLabelValues(string(seen.Kind)).Add(float64(seen.Count))
		if s, ok := names.Sighting(seen); ok {
			o.counter.add(s)
		}
	}
	return nil
}
