package operate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"headgate/internal/control"
	"headgate/rollout"
)

// A SignalReport is what the sync backend, the apps and LiveStore's spans told of an environment.
type SignalReport struct {
	Environment string         `json:"environment"`
	Since       time.Time      `json:"since"`
	Signals     []SignalValue  `json:"signals"`
	Unknown     []UnknownEvent `json:"unknown"`           // the most first
	Traced      time.Time      `json:"traced,omitzero"`   // when a span of LiveStore's last arrived
	Told        time.Time      `json:"told,omitzero"`     // when an app's helper last reported
	Reported    time.Time      `json:"reported,omitzero"` // when the sync backend last reported a reader
}

// A SignalValue is a signal of all stores.
type SignalValue struct {
	Signal rollout.Signal `json:"signal"`
	Value  any            `json:"value"` // null for no data
	Made   string         `json:"made"`
}

// An UnknownEvent is an event that a release did not know, and how often clients of that release met it.
type UnknownEvent struct {
	Event   string `json:"event"`   // other for one that no recorded release has
	Release string `json:"release"` // of the reader
	Count   int64  `json:"count"`
}

// Signals are the signals of an environment within a time, 0 for an hour.
func (e Environment) Signals(ctx context.Context, within time.Duration) (SignalReport, error) {
	within = cmp.Or(within, time.Hour)
	now := e.Now().UTC()
	r := SignalReport{Environment: e.Name, Since: now.Add(-within).Truncate(control.SignalSlot), Signals: []SignalValue{}, Unknown: []UnknownEvent{}}
	counts, err := e.DB.Signals(ctx, e.Name, control.SignalQuery{Since: r.Since, Until: now.Add(control.SignalSlot)})
	if err != nil {
		return r, err
	}
	for _, s := range rollout.Signals() {
		value, made := s.Value(counts, within)
		r.Signals = append(r.Signals, SignalValue{s, value, made})
	}
	for _, c := range counts {
		if c.Sign == rollout.SawUnknown {
			r.Unknown = append(r.Unknown, UnknownEvent{c.Event, c.Release, c.N})
		}
	}
	slices.SortStableFunc(r.Unknown, func(a, b UnknownEvent) int { return cmp.Compare(b.Count, a.Count) })
	seen, err := e.DB.SignsSeen(ctx, e.Name, "")
	r.Traced, r.Reported = seen[rollout.SawTraced], seen[rollout.SawRead]
	for _, sign := range rollout.Told() {
		if seen[sign].After(r.Told) {
			r.Told = seen[sign]
		}
	}
	return r, err
}
