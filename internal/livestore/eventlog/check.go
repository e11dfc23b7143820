package eventlog

import (
	"errors"
	"fmt"
	"iter"

	"headgate/internal/livestore"
)

// A ProblemKind says what is wrong with a log. The set is closed and the words are stable: they appear in JSON.
type ProblemKind string

const (
	// Gap: numbers are missing before the event. Real clients apply such a log all the same.
	Gap ProblemKind = "gap"
	// Duplicate: the event has the number of the event before it.
	Duplicate ProblemKind = "duplicate"
	// OutOfOrder: the event's number is below one that came before, or not above the root.
	OutOfOrder ProblemKind = "out-of-order"
	// BrokenParent: the event names a parent that is not the event before it.
	BrokenParent ProblemKind = "broken-parent"
	// Unreadable: the event is malformed, see [Malformed].
	Unreadable ProblemKind = "malformed"
	// HeadBeyondLog: the client recorded a confirmed head past its last event, as a kill between the two writes
	// leaves it: it will never pull what is missing.
	HeadBeyondLog ProblemKind = "head-beyond-log"
	// CountMismatch: a dump's eventCount is not the number of its events. LiveStore does not compare them.
	CountMismatch ProblemKind = "count-mismatch"
)

// A Problem is something wrong with a log that reading goes past.
type Problem struct {
	Kind ProblemKind
	// Seq is the event that shows the problem.
	Seq livestore.ClientSeq
	// Name is the event's name, empty where it can't be read.
	Name string
	// Prev is the event before it: the greatest seen so far, e0 at the start.
	Prev livestore.ClientSeq
	// Parent is what a BrokenParent event names as its parent.
	Parent livestore.ClientSeq
	// Missing is how many numbers a Gap leaves out.
	Missing int64
	// Detail says more about the kinds that need it, in one line and without payload.
	Detail string
}

// String says the problem in one line.
func (p Problem) String() string {
	switch p.Kind {
	case Gap:
		return fmt.Sprintf("%s: gap, %d missing after %s", p.Seq, p.Missing, p.Prev)
	case Duplicate:
		return fmt.Sprintf("%s: duplicate, the event before it has the same number", p.Seq)
	case OutOfOrder:
		return fmt.Sprintf("%s: out of order, it comes after %s", p.Seq, p.Prev)
	case BrokenParent:
		return fmt.Sprintf("%s: broken parent chain, it names %s as its parent, the event before it is %s", p.Seq, p.Parent, p.Prev)
	default:
		return fmt.Sprintf("%s: %s, %s", p.Seq, p.Kind, p.Detail)
	}
}

// Check passes the events on as they come, errors included, and hands report what is wrong with their order,
// before the event that shows it. The events are those that [Reader.Events] streams after the given place.
//
// The rules are LiveStore's: a synced event's number is one above the synced event before it, which is its
// parent; a clientOnly event counts up its second number and names the event before it, synced or not. Rebase
// generations are not compared. Where numbers are missing, a parent that is either the last event seen or the
// last one missing is not reported again.
func Check(after livestore.ClientSeq, events iter.Seq2[livestore.Event, error], report func(Problem)) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		c := checker{prev: after, report: report}
		for e, err := range events {
			var bad *Malformed
			switch {
			case err == nil:
				c.see(e)
			case errors.As(err, &bad):
				report(Problem{Kind: Unreadable, Seq: bad.Seq, Name: e.Name, Prev: c.prev, Detail: bad.Err.Msg})
				c.numbered(e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

type checker struct {
	prev   livestore.ClientSeq
	report func(Problem)
}

// numbered takes the number of a malformed event for seen, so that its neighbour is not called a gap.
func (c *checker) numbered(e livestore.Event) {
	if e.Seq.Compare(c.prev) > 0 {
		c.prev = e.Seq
	}
}

func (c *checker) see(e livestore.Event) {
	p := Problem{Seq: e.Seq, Name: e.Name, Prev: c.prev}
	if order := e.Seq.Compare(c.prev); order <= 0 {
		p.Kind = OutOfOrder
		if order == 0 && e.Seq.Global > 0 {
			p.Kind = Duplicate
		}
		c.report(p)
		return // its parent says nothing more
	}
	missing, before := c.missing(e.Seq)
	if missing > 0 {
		p.Kind, p.Missing = Gap, missing
		c.report(p)
	}
	expected := c.prev
	if !e.ClientOnly() {
		expected.Client = 0 // a synced event never names a clientOnly one
	}
	if e.Parent.Compare(expected) != 0 && (missing == 0 || e.Parent.Compare(before) != 0) {
		p.Kind, p.Parent, p.Missing = BrokenParent, e.Parent, 0
		p.Prev = expected
		c.report(p)
	}
	c.prev = e.Seq
}

// missing returns how many numbers lie between the last event and seq, and the number right before seq.
func (c *checker) missing(seq livestore.ClientSeq) (int64, livestore.ClientSeq) {
	switch {
	case !(livestore.Event{Seq: seq}).ClientOnly():
		return int64(seq.Global-c.prev.Global) - 1, livestore.ClientSeq{Global: seq.Global - 1}
	case seq.Global == c.prev.Global:
		return seq.Client - c.prev.Client - 1, livestore.ClientSeq{Global: seq.Global, Client: seq.Client - 1}
	default: // the synced event that it follows is missing too
		return int64(seq.Global-c.prev.Global) + seq.Client - 1, livestore.ClientSeq{Global: seq.Global, Client: seq.Client - 1}
	}
}
