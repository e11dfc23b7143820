package control

import (
	"slices"

	"headgate/internal/errs"
)

// A State is a state of a store in a run, or of a run. The words are stable. The package's comment has the picture.
type State string

const (
	Pending    State = "pending"    // nobody works on it yet
	Running    State = "running"    // its owner does
	Pausing    State = "pausing"    // it shall pause after the batch under way
	Paused     State = "paused"     // until Retry
	Cancelling State = "cancelling" // it shall end after the batch under way
	Cancelled  State = "cancelled"  // what was committed stays
	Succeeded  State = "succeeded"
	Failed     State = "failed" // the row says why

	// Of stores only.
	Stalled     State = "stalled"     // no progress for too long
	Vanished    State = "vanished"    // a known store answered head 0
	Quarantined State = "quarantined" // its log holds an event that a release fails on
)

// States are all of them, in the order that tables show.
func States() []State {
	return []State{Pending, Running, Pausing, Paused, Cancelling, Cancelled, Succeeded, Failed, Stalled, Vanished, Quarantined}
}

// Ended reports whether nothing works on it and nothing will, unless someone asks for a Retry.
func (s State) Ended() bool {
	switch s {
	case Succeeded, Cancelled, Failed, Stalled, Vanished, Quarantined:
		return true
	}
	return false
}

// Owned reports whether somebody works on a store that is in this state, or died while doing so.
func (s State) Owned() bool { return s == Running || s == Pausing || s == Cancelling }

// Retryable reports whether Retry makes it pending again.
func (s State) Retryable() bool {
	return slices.Contains([]State{Paused, Failed, Stalled, Vanished, Quarantined}, s)
}

// next are the states that Move may bring a store into from s.
func (s State) next() []State {
	ends := []State{Succeeded, Failed, Stalled, Vanished, Quarantined}
	switch s {
	case Pending:
		return []State{Running, Paused, Cancelled}
	case Running: // pending: put back; running: taken over
		return append(ends, Pending, Running, Pausing, Cancelling)
	case Pausing:
		return append(ends, Paused, Cancelling)
	case Cancelling:
		return append(ends, Cancelled)
	case Paused:
		return []State{Cancelled}
	}
	return nil
}

// nextOfRun are the states that MoveRun may bring a run into from s.
func (s State) nextOfRun() []State {
	switch s {
	case Pending:
		return []State{Running, Paused, Cancelled, Failed}
	case Running:
		return []State{Pausing, Cancelling, Succeeded, Failed}
	case Pausing:
		return []State{Paused, Cancelling, Succeeded, Failed}
	case Cancelling:
		return []State{Cancelled, Succeeded, Failed}
	case Paused:
		return []State{Cancelled}
	}
	return nil
}

// legal refuses a move that the state machine does not have: a mistake of the program.
func legal(next func(State) []State, from []State, to State) error {
	if len(from) == 0 {
		return errs.New(errs.Internal, "a move to %s names no state to move from", to)
	}
	for _, f := range from {
		if !slices.Contains(next(f), to) {
			return errs.New(errs.Internal, "there is no move from %s to %s", f, to)
		}
	}
	return nil
}
