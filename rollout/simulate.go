package rollout

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"headgate/internal/livestore"
)

// A Simulation is a fleet on a virtual clock, and who lets the rollout pass where a person must.
type Simulation struct {
	Fleet   []SimulatedStore
	Begin   time.Time
	Tick    time.Duration // between two ticks of the controller
	Limit   time.Duration // when to give up
	Promote bool          // steps that wait for a person, and the point of no return, are passed as soon as they may be
	Force   bool          // the point of no return too where stores are not eligible
}

// A SimulatedStore is a store with its clients.
type SimulatedStore struct {
	ID      livestore.StoreID
	Clients []SimulatedClient
}

// A SimulatedClient goes from an old release to one that reads the new version.
type SimulatedClient struct {
	ID       string
	Release  string        // the old one; empty for a client that reads from the beginning
	Upgrades time.Duration // after the beginning; negative for never
	Every    time.Duration // it is seen again after this time, from the beginning on
	LastSeen time.Duration // it is not seen after this; negative for no end
}

// Adoption makes a fleet: half of the clients have upgraded after half, exponentially; a part of them, tail, is offline for
// a time up to offline at first, and a part, never, does not upgrade. The same seed gives the same fleet.
type Adoption struct {
	Stores, PerStore int
	Half             time.Duration
	Tail             float64
	Offline          time.Duration
	Never            float64
	Seed             uint64
}

// Make makes the fleet.
func (a Adoption) Make() []SimulatedStore {
	r := rand.New(rand.NewPCG(a.Seed, 1))
	out := make([]SimulatedStore, a.Stores)
	for i := range out {
		s := SimulatedStore{ID: livestore.StoreID(fmt.Sprintf("store-%d", i))}
		for j := range 1 + r.IntN(max(1, 2*a.PerStore-1)) { // PerStore in the mean
			c := SimulatedClient{ID: fmt.Sprintf("client-%d", j), Release: "0.0.1", Every: 24 * time.Hour, LastSeen: -1}
			c.Upgrades = time.Duration(-math.Log2(1-r.Float64()) * float64(a.Half))
			if r.Float64() < a.Tail {
				c.Every = time.Duration(1 + r.Int64N(max(1, int64(a.Offline))))
				c.Upgrades = max(c.Upgrades, c.Every)
			}
			if r.Float64() < a.Never {
				c.Upgrades, c.LastSeen = -1, time.Duration(r.Int64N(int64(max(1, a.Offline))))
			}
			s.Clients = append(s.Clients, c)
		}
		out[i] = s
	}
	return out
}

// seen is what is known of a client at a time after the beginning, and when that may become worse or better than an old
// client that comes back in time.
func (c SimulatedClient) seen(begin time.Time, after, horizon time.Duration) (o Observation, change time.Duration) {
	every := max(c.Every, time.Minute)
	last := after - after%every
	change = last + every
	if c.LastSeen >= 0 && last > c.LastSeen {
		last, change = c.LastSeen, math.MaxInt64
	}
	release := c.Release
	switch {
	case release == "", c.Upgrades >= 0 && last >= c.Upgrades:
		release, change = simulatedReader, math.MaxInt64
	case every >= horizon || change == math.MaxInt64:
	case c.Upgrades >= 0 && c.LastSeen < 0:
		change = max(change, (c.Upgrades+every-1)/every*every)
	case c.LastSeen < 0:
		change = math.MaxInt64
	}
	return Observation{Client: c.ID, Release: release, LastSeen: begin.Add(last), Source: FromSync}, change
}

// simulatedReader is the release that reads, in a simulation.
const simulatedReader = "1.0.0"

// An Event is something that happened in a simulation.
type Event struct {
	After  time.Duration `json:"after"`
	Phase  Phase         `json:"phase"`
	Step   int           `json:"step"` // 1 for the first
	Weight string        `json:"weight"`
	Tally  Tally         `json:"stores"`
}

// A SimulationResult is what became of it.
type SimulationResult struct {
	Phase    Phase         `json:"phase"` // Full ends it
	Full     time.Duration `json:"full"`  // to Full; negative where it was not reached
	Ticks    int           `json:"ticks"`
	Events   []Event       `json:"events"`   // each change of the phase or the step, and the end
	Blockers []Held        `json:"blockers"` // the stores that were held back last
	Shrank   int           `json:"shrank"`   // publications that took a store's new version away: always 0, or the run fails
	Proofs   int           `json:"proofs"`   // publications that were proven to widen the one before
	Next     Next          `json:"next"`
}

// Held is a store that is held back.
type Held struct {
	Store livestore.StoreID `json:"store"`
	Why   string            `json:"why"`
}

// heldShown bounds the stores that a result lists.
const heldShown = 10

// Run runs a rollout on the fleet: the same Decide, Act, Gate and Publish as the real one, nothing is measured but
// successes, and nobody approves too late. The Worker is taken to have reported for a horizon before the beginning.
func (sim Simulation) Run(d *Definition) (SimulationResult, error) {
	gate := Gate{Horizon: d.Horizon, Waivers: d.Waivers, Reads: func(r string) bool { return r == simulatedReader }}
	watch := Watch{Since: sim.Begin.Add(-d.Horizon), Last: sim.Begin}
	facts := Facts{Floor: simulatedReader, Stores: make([]StoreFact, len(sim.Fleet))}
	due := make([]time.Duration, len(sim.Fleet)) // when a store's verdict may change
	at := map[livestore.StoreID]int{}
	for i, s := range sim.Fleet {
		facts.Stores[i].ID = s.ID
		at[s.ID] = i
	}
	facts.Place(d)
	out := SimulationResult{Full: -1, Events: []Event{}, Blockers: []Held{}}
	state := State{Phase: Draft}
	var open []livestore.StoreID
	var published []Flag
	take := func(next Decision) error {
		now := append(slices.Clip(open), next.Open...)
		if next.Changed {
			flags, err := Publish(d, state, next.State, published, open, now)
			if err != nil {
				out.Shrank++
				return err
			}
			published = flags
			out.Proofs++
		}
		for _, s := range next.Open {
			facts.Stores[at[s]].Open = true
		}
		open, state = now, next.State
		return nil
	}
	var buffer []Observation
	for after := time.Duration(0); after <= sim.Limit; after += sim.Tick {
		now := sim.Begin.Add(after)
		out.Ticks++
		for i, s := range sim.Fleet {
			if due[i] > after {
				continue
			}
			buffer = buffer[:0]
			next := time.Duration(math.MaxInt64)
			for _, c := range s.Clients {
				o, change := c.seen(sim.Begin, after, d.Horizon)
				buffer, next = append(buffer, o), min(next, change)
			}
			v := gate.Store(s.ID, now, watch, buffer)
			if !v.Until.IsZero() {
				next = min(next, v.Until.Sub(sim.Begin))
			}
			facts.Stores[i].Verdict, due[i] = v, max(next, after+1)
		}
		before := state
		for !state.Phase.Open() {
			next, err := sim.step(now, d, state, facts)
			if err != nil {
				return out, err
			}
			out.Next = next.Next
			if !next.Changed {
				break
			}
			if err := take(next); err != nil {
				return out, err
			}
			facts.Measurements = nil
		}
		if state.Phase != before.Phase || state.Step != before.Step {
			out.Events = append(out.Events, event(d, state, facts, after))
		}
		if state.Phase.Open() {
			out.Full = after
			break
		}
	}
	out.Phase = state.Phase
	if out.Full < 0 {
		out.Events = append(out.Events, event(d, state, facts, time.Duration(out.Ticks-1)*sim.Tick))
	}
	held := slices.DeleteFunc(slices.Clone(facts.Stores), func(s StoreFact) bool { return s.Verdict.Readiness == Eligible })
	slices.SortFunc(held, func(a, b StoreFact) int {
		return cmp.Or(b.Verdict.Until.Compare(a.Verdict.Until), cmp.Compare(a.ID, b.ID))
	})
	for _, s := range held[:min(len(held), heldShown)] {
		out.Blockers = append(out.Blockers, Held{s.ID, s.Verdict.String()})
	}
	return out, nil
}

// step is one decision: the controller's, or else that of the people who let the rollout pass.
func (sim Simulation) step(now time.Time, d *Definition, s State, f Facts) (Decision, error) {
	for _, t := range Due(now, d, s) {
		// Success itself is not simulated: the outcome of each measurement is.
		f.Measurements = append(f.Measurements, Measurement{Template: t.Name, At: now, passes: true})
	}
	f.Confirmation = &Confirmation{OK: true, Why: "simulated: it is confirmed", At: now}
	if s.Phase == Draft {
		return Act(now, d, s, f, Request{Command: Start, By: "simulation"})
	}
	next := Decide(now, d, s, f)
	if next.Changed || !sim.Promote {
		return next, nil
	}
	for _, b := range []Barrier{ToRamp, ToFull} {
		if n := s.missing(d, b); n > 0 && (b == ToRamp) == (s.Phase == ReaderGate) && (s.Phase == ReaderGate || s.Phase == PointOfNoReturn) {
			return Act(now, d, s, f, Request{Command: Approve, By: fmt.Sprintf("approver %d", n)})
		}
	}
	manual := s.Phase == Ramp && d.Steps[s.Step].Manual && s.Paused == nil
	command := Promote
	if s.Phase == PointOfNoReturn {
		manual, command = true, Finish
	}
	if !manual {
		return next, nil
	}
	r := Request{Command: command, By: "simulation", Force: sim.Force && command == Finish, Reason: "simulated"}
	if passed, err := Act(now, d, s, f, r); err == nil {
		return passed, nil
	}
	return next, nil // held: what the controller says stays
}

func event(d *Definition, s State, f Facts, after time.Duration) Event {
	e := Event{After: after, Phase: s.Phase, Weight: s.Weight(d).String(), Tally: f.Count()}
	if s.Phase == Ramp {
		e.Step = s.Step + 1
	}
	return e
}
