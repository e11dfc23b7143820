package server

import (
	"context"
	"net/http"
	"slices"

	"headgate/internal/control"
	"headgate/rollout/observe"
)

// receiver takes what is seen of clients. Who may send was found out on the way in.
func (s *Server) receiver() observe.Receiver {
	return observe.Receiver{
		Observer: observer{s}, Now: s.Operate.Now,
		MayReport: func(r *http.Request, store string) bool {
			stores := caller(r.Context()).Stores
			return len(stores) == 0 || slices.Contains(stores, store)
		},
		Sender: func(r *http.Request) string { return caller(r.Context()).ID },
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
	s.receiver().Traces(func(key string, spans []observe.Span) {
		names, seen := s.counter.knownNames(), []control.Sighting{}
		for _, span := range spans {
			if span.Store == observe.None && len(stores) == 1 {
				span.Store = stores[0]
			}
			seen = append(seen, names.OfSpan(span)...)
		}
		if len(seen) == 0 {
			return
		}
		s.counter.arrive(control.Arrival{Key: key, For: spansLife, Seen: seen}, func() {
			s.meters.observed.WithLabelValues("span").Add(float64(len(spans)))
		})
	}).ServeHTTP(w, r)
}

// An observer keeps and counts.
type observer struct{ *Server }

// Observe keeps who was seen, which a batch that comes again does not change, and has the rest wait to be counted.
func (o observer) Observe(ctx context.Context, batch observe.Batch) error {
	if err := o.Operate.Observe(ctx, batch.Observations); err != nil {
		o.Log.ErrorContext(ctx, "observations can't be kept; the sender sends them again", "request", requestID(ctx), "error", err)
		return err
	}
	names, seen := o.counter.knownNames(), []control.Sighting{}
	for _, what := range batch.Observations {
		if s, ok := names.Sighting(what); ok {
			seen = append(seen, s)
		}
	}
	o.counter.arrive(control.Arrival{Key: batch.Key, For: batchLife, Seen: seen}, func() {
		for _, what := range batch.Observations {
			o.meters.observed.WithLabelValues(string(what.Kind)).Add(float64(what.Count))
		}
		o.meters.lost.WithLabelValues(batch.Sender).Add(float64(batch.Dropped))
		o.meters.foreign.WithLabelValues(batch.Sender).Add(float64(batch.Foreign))
	})
	return nil
}
