package rollout

import (
	"time"

	"headgate/internal/livestore"
)

// A Phase is where a rollout is. The words are stable; the package's comment has the picture.
type Phase string

const (
	Draft           Phase = "draft"
	ReadersShipping Phase = "readers shipping"
	ReaderGate      Phase = "reader gate"
	Ramp            Phase = "ramp"
	PointOfNoReturn Phase = "point of no return"
	Full            Phase = "full"
	Draining        Phase = "draining"
	Drained         Phase = "drained"
	Retired         Phase = "retired"
	Aborted         Phase = "aborted"
	Undone          Phase = "undone"
)

// Phases lists the phases.
func Phases() []Phase {
	return []Phase{Draft, ReadersShipping, ReaderGate, Ramp, PointOfNoReturn, Full, Draining, Drained, Retired, Aborted, Undone}
}

// Active reports whether the controller moves a rollout that is in this phase.
func (p Phase) Active() bool {
	switch p {
	case ReadersShipping, ReaderGate, Ramp, PointOfNoReturn, Full, Draining:
		return true
	}
	return false
}

// Ramping reports whether an abort leads out of the phase.
func (p Phase) Ramping() bool {
	return p == ReadersShipping || p == ReaderGate || p == Ramp || p == PointOfNoReturn
}

// Open reports whether the new version is open to every store.
func (p Phase) Open() bool { return p == Full || p == Draining || p == Drained || p == Retired }

// A State is how far a rollout is. It is changed by [Decide] and [Act] only.
type State struct {
	Phase    Phase         `json:"phase"`
	Step     int           `json:"step"`     // of the ramp, 0 for the first
	Attempt  int           `json:"attempt"`  // 1 for the first start; the places of the stores are the same in all of them
	Since    time.Time     `json:"since"`    // of the phase, or the step
	Revision int           `json:"revision"` // of the published flags; it rises with each change of them
	Identity string        `json:"identity"` // of the definition, when it was started
	Floor    string        `json:"floor"`    // of the builds that may emit, when it was started
	Started  string        `json:"started"`  // who started it
	Paused   *Pause        `json:"paused,omitempty"`
	Approved []Approval    `json:"approved,omitempty"`
	Analysis []AnalysisRun `json:"analysis,omitempty"` // of the step

	Confirm *Confirmation `json:"confirm,omitempty"` // why it was last not confirmed that the rollout goes on
}

// A Pause says why a rollout stands still. What is open stays open.
type Pause struct {
	By     string    `json:"by"` // a person, or Controller
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Controller is who acts when nobody does.
const Controller = "controller"

// An Approval is someone's word that a rollout may go on.
type Approval struct {
	For Barrier   `json:"for"`
	By  string    `json:"by"`
	At  time.Time `json:"at"`
}

// A Barrier is what approvals are for. The words are stable.
type Barrier string

const (
	ToRamp Barrier = "ramp"
	ToFull Barrier = "full"
)

// Weight is the share of the stores that may be open.
func (s State) Weight(d *Definition) Percent {
	switch {
	case s.Phase.Open():
		return hundred
	case s.Phase == Ramp && s.Step < len(d.Steps):
		return d.Steps[s.Step].Weight
	case s.Phase == PointOfNoReturn:
		return d.Steps[len(d.Steps)-1].Weight
	}
	return 0
}

// Facts are what the controller knows of the world.
type Facts struct {
	Floor   string      // FloorOf the recorded releases
	Stores  []StoreFact // the stores of the environment
	Stopped string      // why nothing may advance in the environment; empty when it may

	Measurements []Measurement // since the last tick
	Confirmation *Confirmation // of who must confirm the step, when it was asked just now
	OldSeen      time.Time     // when an event of the old version was last committed, where that is known
	Unread       int           // logs that could not be read for that
}

// A StoreFact is what is known of a store.
type StoreFact struct {
	ID      livestore.StoreID
	Open    bool // it was opened in this attempt
	Verdict Verdict

	place  uint32 // of a hundred, where placed
	placed bool
}

// Place looks the stores' places up once, for who decides about the same stores many times.
func (f Facts) Place(d *Definition) {
	for i := range f.Stores {
		s := &f.Stores[i]
		s.place, s.placed = Bucket(d.Events[0].Key(), s.ID, uint32(hundred)), true
	}
}

// in reports whether the store belongs to a share of the stores.
func (s *StoreFact) in(d *Definition, w Percent) bool {
	if s.placed {
		return s.place < uint32(w)
	}
	return d.Takes(s.ID, w)
}

// Tally counts stores by their readiness.
type Tally struct {
	Stores     int `json:"stores"`
	Open       int `json:"open"`
	Eligible   int `json:"eligible"`
	Waiting    int `json:"waiting"`
	Blocked    int `json:"blocked"`
	Unobserved int `json:"unobserved"`
}

// Count counts the stores.
func (f Facts) Count() Tally {
	t := Tally{Stores: len(f.Stores)}
	for i := range f.Stores {
		s := &f.Stores[i]
		if s.Open {
			t.Open++
		}
		switch s.Verdict.Readiness {
		case Eligible:
			t.Eligible++
		case Waiting:
			t.Waiting++
		case Blocked:
			t.Blocked++
		case Unobserved:
			t.Unobserved++
		}
	}
	return t
}

// A Decision is what becomes of a rollout.
type Decision struct {
	State   State
	Changed bool                // State, or the stores that are open
	Action  string              // for the audit: "advance", "open", "pause"; empty when nothing changes
	Reasons []string            // why, one line each
	Open    []livestore.StoreID // to open now
	Close   bool                // all stores
	Next    Next
}

// Next says what happens next.
type Next struct {
	What string    `json:"what"`
	When time.Time `json:"when,omitzero"` // zero when it does not hang on time alone
}
