package observe

import (
	"context"
	"slices"
	"time"
)

// Kind is what was observed.
type Kind string

// From the sync backend, which is the authority on who is out there.
const (
	Pull     Kind = "pull"     // the client read the store, or is connected to it and gets what is pushed
	Push     Kind = "push"     // the client wrote to the store
	Rejected Kind = "rejected" // a push of the client was turned away by the backend's own code, and may be sent again
	Refused  Kind = "refused"  // the client is below the floor and was turned away before it could read
)

// From the app's helper.
const (
	Started      Kind = "started"       // the app opened the store
	Flag         Kind = "flag"          // the app asked for the version of an event to emit
	UnknownEvent Kind = "unknown_event" // a pulled event that the release does not know
	Materializer Kind = "materializer"  // a materializer threw
	OpenFailed   Kind = "open_failed"   // createStore was rejected
	MustUpdate   Kind = "must_update"   // the app learned that it is below the floor
)

func fromBackend() []Kind { return []Kind{Pull, Push, Rejected, Refused} }

func fromApp() []Kind {
	return []Kind{Started, Flag, UnknownEvent, Materializer, OpenFailed, MustUpdate}
}

func (k Kind) known() bool { return slices.Contains(append(fromBackend(), fromApp()...), k) }

// None stands for a clientId, release or schema that the client did not say.
const None = "none"

// An Observation is one thing that was seen of one client of one store, Count times.
type Observation struct {
	Kind     Kind
	StoreID  string
	Schema   string
	ClientID string
	Release  string
	// Event is the event's name for UnknownEvent, Materializer and Flag, "" otherwise.
	Event string
	Count int64
	// Revision is that of the flag's definition for Flag, where the app says which one it has; 0 otherwise.
	Revision int64
	// Floor is the release below which the sync backend turns clients of the store away; empty for none, and for what the
	// app says.
	Floor string
	// At is when this server received it: what a client says about time does not count.
	At time.Time
}

// An Observer stores observations.
type Observer interface {
	// Observe stores a batch, whole or not at all. The same batch may come twice, also where it has no key: a sender that got
	// no answer sends it again. An error is answered with 503, and the sender tries later.
	Observe(ctx context.Context, batch Batch) error
}
