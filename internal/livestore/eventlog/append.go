package eventlog

import (
	"context"
	"fmt"

	"headgate/internal/livestore"
)

// MaxBatchEvents is how many events LiveStore's own clients push at once at the most.
const MaxBatchEvents = 100

// MaxEventBytes is how large an event's JSON may be (UTF-8, without HTML escapes). sync-cf 0.4.0 accepts a larger
// one and then can't send it to anybody: the store is unreadable for good.
const MaxEventBytes = 899_796

// An Appender is a log that events can be added to, for one goroutine at a time. The log belongs to live clients:
// what is appended can't be taken back.
type Appender interface {
	Reader

	// Append adds the batch after the log's head: 1 to [MaxBatchEvents] events, numbered without gaps, each the
	// parent of the next. It must refuse a batch that is numbered otherwise, or that holds an event larger than
	// [MaxEventBytes], before anything is sent.
	//
	// It returns nil when all events are stored, an [*AheadError] when the head is not the first event's parent,
	// an [*AmbiguousError] when some or all may have been stored, and any other error when nothing was. After each
	// failure but the last kind the caller must read the log from where it stood before it decides what to push:
	// backends are not atomic, so a part of a batch may be there.
	Append(ctx context.Context, batch []livestore.Event) error
}

// An AheadError says that the log has events beyond the place that a batch was numbered for.
type AheadError struct {
	// Head is where the backend says its log ends, -1 where it does not say.
	Head livestore.SeqNum
}

// Error says it in one line.
func (e *AheadError) Error() string {
	if e.Head < 0 {
		return "the log has moved on"
	}
	return fmt.Sprintf("the log has moved on to e%d", e.Head)
}

// An AmbiguousError says that it is not known what of a batch was stored: no answer came.
type AmbiguousError struct{ Err error }

// Error says it in one line.
func (e *AmbiguousError) Error() string {
	return "no answer came, so the events may or may not have been stored: " + e.Err.Error()
}

// Unwrap returns what happened.
func (e *AmbiguousError) Unwrap() error { return e.Err }
