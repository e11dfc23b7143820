package planner

import (
	"cmp"
	"math"
	"slices"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// A Forecast says what an upgrade costs the clients. It is evidence: a live store moves on while one reads it.
type Forecast struct {
	// Rebuild is true when each client runs its log again; Reason says why, or why not.
	Rebuild bool   `json:"rebuild"`
	Reason  string `json:"reason"`
	// Atomic is true when an interrupted rebuild leaves nothing behind.
	Atomic bool `json:"atomic,omitempty"`
	// Reopens are the adapters whose clients don't rebuild although the hash moves, because it returns to one they left
	// a state file of (ST107).
	Reopens []string `json:"reopens,omitempty"`
	// Bases say where the durations come from, per adapter.
	Bases  []Basis         `json:"bases,omitempty"`
	Stores []StoreForecast `json:"stores"`
	Fleet  FleetForecast   `json:"fleet"`
}

// A Basis is the calibration that a duration rests on.
type Basis struct {
	Adapter string `json:"adapter"`
	Rate    Rate   `json:"rate"`
	Basis   string `json:"basis"`
}

// A StoreForecast is what the upgrade costs a client of one store.
type StoreForecast struct {
	Store   livestore.StoreID `json:"store"`
	Head    livestore.SeqNum  `json:"head"`
	Events  int64             `json:"events"` // that the client runs again
	Pending int64             `json:"pending,omitempty"`
	// Seconds is the range over the adapters, each from its slow to its fast rate.
	Seconds Range `json:"seconds"`
	// PeakBytes is the space for the log and the states while they coexist, 0 when unknown.
	PeakBytes int64 `json:"peakBytes,omitempty"`
}

// A Range is a low and a high estimate.
type Range struct {
	Low  int64 `json:"low"`
	High int64 `json:"high"`
}

// A FleetForecast sums up the stores. Quantiles are over stores, by nearest rank.
type FleetForecast struct {
	Stores int `json:"stores"`
	// Events, Seconds (the high estimates) and PeakBytes are those of the median store, of the 95th percentile and of the worst.
	Events    Quantiles `json:"events"`
	Seconds   Quantiles `json:"seconds"`
	PeakBytes Quantiles `json:"peakBytes"`
}

// Quantiles are three points of a distribution over stores.
type Quantiles struct {
	P50 int64 `json:"p50"`
	P95 int64 `json:"p95"`
	Max int64 `json:"max"`
}

// NewForecast says what going from one release to the other costs, over the logs at hand.
func NewForecast(from, to *schema.Release, facts Facts) Forecast {
	f := Forecast{Rebuild: from != nil && rebuilds(from, to), Stores: []StoreForecast{}}
	switch {
	case from == nil:
		f.Reason = "a first release: there is nothing to rebuild"
	case f.Rebuild:
		f.Reason = "the state hash moves, " + from.StateHash + " -> " + to.StateHash
		f.Atomic = to.Migrations.AtomicRebuild
	case to.Migrations.Strategy == "manual":
		f.Reason = "migrations are manual: the state file stays"
	default:
		f.Reason = "the state hash does not move"
	}
	list := adapters(facts.Adapters)
	if f.Rebuild {
		for _, a := range list {
			f.Bases = append(f.Bases, Basis{a.Name, a.rate(f.Atomic), a.Basis})
		}
	}
	for _, l := range facts.Logs {
		f.Stores = append(f.Stores, forecastStore(f, list, l))
	}
	slices.SortFunc(f.Stores, func(a, b StoreForecast) int { return cmp.Compare(a.Store, b.Store) })
	f.Fleet.Stores = len(f.Stores)
	f.Fleet.Events = quantiles(f.Stores, func(s StoreForecast) int64 { return s.Events })
	f.Fleet.Seconds = quantiles(f.Stores, func(s StoreForecast) int64 { return s.Seconds.High })
	f.Fleet.PeakBytes = quantiles(f.Stores, func(s StoreForecast) int64 { return s.PeakBytes })
	return f
}

func (a Adapter) rate(atomic bool) Rate {
	if atomic {
		return a.Atomic
	}
	return a.PerSecond
}

func forecastStore(f Forecast, list []Adapter, l LogFacts) StoreForecast {
	s := StoreForecast{Store: l.Store, Head: l.Head, Pending: l.Pending}
	if !f.Rebuild {
		return s
	}
	for _, n := range l.Events {
		s.Events += n
	}
	s.Seconds.Low = math.MaxInt64
	keeps := false
	for _, a := range list {
		r := a.rate(f.Atomic)
		s.Seconds.Low = min(s.Seconds.Low, int64(float64(s.Events)/r.Fast))
		s.Seconds.High = max(s.Seconds.High, int64(math.Ceil(float64(s.Events)/r.Slow)))
		keeps = keeps || a.KeepsOldState
	}
	now := cmp.Or(l.NewStateBytes, l.StateBytes)
	if now == 0 {
		return s
	}
	s.PeakBytes = l.Bytes + now
	if keeps {
		s.PeakBytes += cmp.Or(l.StateBytes, now)
	}
	return s
}

// quantiles takes the median, the 95th percentile and the largest value by nearest rank.
func quantiles(stores []StoreForecast, value func(StoreForecast) int64) Quantiles {
	if len(stores) == 0 {
		return Quantiles{}
	}
	list := make([]int64, len(stores))
	for i, s := range stores {
		list[i] = value(s)
	}
	slices.Sort(list)
	rank := func(p float64) int64 { return list[max(0, int(math.Ceil(p*float64(len(list))))-1)] }
	return Quantiles{P50: rank(0.5), P95: rank(0.95), Max: list[len(list)-1]}
}
