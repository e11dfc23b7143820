// Package eventlog reads and checks event logs, whatever keeps them. Backends live in subpackages (filelog,
// dumplog) and pass the suite in eventlogtest; openlog opens a log by its URL; this package holds what is true
// of every log: the [Reader] contract, the rules of the chain ([Check]) and the figures of a log ([Collector]).
// It does not decode arguments and does not know releases.
package eventlog

import (
	"context"
	"iter"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// A Head says how far a log goes.
type Head struct {
	// Confirmed is the last event that the backend confirmed; 0 for an empty store. A source that can't hold
	// pending events (a dump) confirms all it has.
	Confirmed livestore.SeqNum
	// Last is the last event of the log, pending and clientOnly events included.
	Last livestore.ClientSeq
	// BackendID is the backend's random id, empty where the source does not know it.
	BackendID string
	// Events is how many events the log holds, -1 where counting would mean reading it all.
	Events int64
}

// A Reader streams one store's event log. It is safe for one goroutine at a time; Head and further Events
// sequences may be used while one is under way.
type Reader interface {
	// Head returns how far the log goes.
	Head(ctx context.Context) (Head, error)

	// Events streams the events after the given place, in (Global, Client) order; the zero ClientSeq starts at
	// the beginning. Memory stays flat however long the log is.
	//
	// An event that can't be read (malformed JSON) comes as a [*Malformed] error, beside it an Event with what
	// could be read and no Args; a consumer that goes on gets the event after it. Every other error ends the
	// sequence. All errors that a user can act on are or hold an *errs.Error. A gap, a duplicate or a broken
	// parent chain is not an error: see [Check]. A dump that is out of order is streamed as it lies.
	Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error]

	// ClientOnly reports whether the source holds clientOnly events at all: a client's own log does, a dump and a
	// backend do not, so client documents can't be derived from those.
	ClientOnly() bool

	// Close releases what the reader holds open.
	Close() error
}

// A Malformed is one event of a log that can't be read, as an error of [Reader.Events].
type Malformed struct {
	// Seq is the event's place; the zero ClientSeq where not even that can be read.
	Seq livestore.ClientSeq
	// Err says what is wrong with it and where. It quotes no payload.
	Err *errs.Error
}

// Error returns the text of m.Err.
func (m *Malformed) Error() string { return m.Err.Error() }

// Unwrap returns m.Err.
func (m *Malformed) Unwrap() error { return m.Err }
