// Package eventlog reads and checks event logs, whatever keeps them. Backends live in subpackages (filelog,
// dumplog) and pass the suite in eventlogtest; this package holds what is true of every log. It does not
// decode arguments and does not know releases.
package eventlog

import (
	"context"
	"iter"

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

// A Reader streams one store's event log. It is safe for one goroutine at a time.
type Reader interface {
	// Head returns how far the log goes.
	Head(ctx context.Context) (Head, error)

	// Events streams the events after the given place, in (Global, Client) order; the zero ClientSeq starts at
	// the beginning. Memory stays flat however long the log is. The sequence ends after the first error; an event
	// that can't be read (malformed JSON) is such an error, an *errs.Error that names its sequence number.
	// A gap, a duplicate or a broken parent chain is not: see [Check].
	Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error]

	// ClientOnly reports whether the source holds clientOnly events at all: a client's own log does, a dump and a
	// backend do not, so client documents can't be derived from those.
	ClientOnly() bool

	// Close releases what the reader holds open.
	Close() error
}
