package migrations

import (
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/replay/state"
)

// An Outcome says how a migration stands on a store. The words are stable: they appear in JSON.
type Outcome string

const (
	Done       Outcome = "done"        // nothing is due any more
	Due        Outcome = "due"         // events are due, an assert does not hold, or the marker is missing
	NothingDue Outcome = "nothing-due" // and nothing ever was
	Fresh      Outcome = "fresh"       // the log is empty: the migration does not apply, and nothing is ever pushed
)

// A Report is what a migration did, or would do, on one store. It holds no payload.
type Report struct {
	Store     livestore.StoreID `json:"store"`
	Migration string            `json:"migration"`
	Release   string            `json:"release"` // whose materializers made the state
	Outcome   Outcome           `json:"outcome,omitempty"`

	Before int64            `json:"before"` // events that other runs committed
	Events int64            `json:"events"` // that this run committed, also before it was killed or paused, or would
	Bytes  int64            `json:"bytes"`  // of their arguments
	Head   livestore.SeqNum `json:"head"`   // the log's last event afterwards
	// MarkerDue says that the marker is one more event of this run, not counted in Events.
	MarkerDue bool `json:"markerDue"`
	Marker    bool `json:"marker"` // the migration's marker is in the log, or would be

	Pushes     int64 `json:"pushes"`
	Conflicts  int64 `json:"conflicts"`  // pushes that others were faster than
	Unanswered int64 `json:"unanswered"` // pushes whose outcome was read from the log

	Duplicates int64   `json:"duplicates"`       // of a verification: events whose key has an earlier one
	Twice      []Twice `json:"twice,omitempty"`  // the first of them
	Digest     string  `json:"digest,omitempty"` // of a verification: SHA-256 over the migration's events, in hex

	Asserts []AssertResult `json:"asserts"`

	// Waits names the migration that comes before and is not done on the store, of a verification.
	Waits string `json:"waits,omitempty"`
	// Again is what a second run would find, of a preview; nil where the store is fresh or the preview ended early.
	Again *Again `json:"again,omitempty"`
	// Paced is how long the pushes of a preview take at the job's pace, while nobody else writes.
	Paced time.Duration `json:"pacedNs,omitempty"`

	// Tables are the tables whose rows a preview found changed; empty for a commit.
	Tables []state.TableDiff `json:"tables,omitempty"`

	Read    int64         `json:"read"`      // events of the log that the state stands for
	ReadFor time.Duration `json:"readForNs"` // what reading and replaying them took
	// Replayed is how many of them were read and replayed now, and not taken from a checkpoint; ReadBytes those events'
	// arguments. StateBytes is the state's file, Rows what the migration's queries returned, each time they were asked.
	Replayed   int64 `json:"replayed"`
	ReadBytes  int64 `json:"readBytes"`
	StateBytes int64 `json:"stateBytes"`
	Rows       int64 `json:"rows"`
}

// Again is what a second run would find: the migration was asked once more, on the state after its own events.
type Again struct {
	Events int64 `json:"events"` // that it would commit, the keys of the first run taken as committed
	Rows   int64 `json:"rows"`   // that its queries still return, or its generator yields, whatever the keys
}

// An AssertResult is how one of the definition's asserts turned out.
type AssertResult struct {
	Label string `json:"label"`
	Line  int    `json:"line"`
	True  bool   `json:"true"`
	// Before says, of a preview, that it held before any event, too: then it proves nothing.
	Before bool `json:"before,omitempty"`
}

// Open reports whether a run of the verified migration would commit something on the store, or has to wait for another.
func (r Report) Open(d Definition) bool {
	return r.Outcome != Fresh && (r.Events > 0 || r.Waits != "" || d.Marker != "" && !r.Marker)
}
