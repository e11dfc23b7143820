package dumplog

import (
	"context"
	"io"
	"iter"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// MaxEventBytes is the most that an event's JSON may have: a sync backend accepts a greater one, and from then
// on no client can pull the store.
const MaxEventBytes = 899_796

// ExportOptions says what an export is of.
type ExportOptions struct {
	StoreID livestore.StoreID // goes into the header; `livestore sync import` compares it
	Now     time.Time         // goes into the header
	// Pending takes the pending events too. Their numbers are provisional.
	Pending bool
	// Progress is called after each event of the two passes; nil for none.
	Progress func()
}

// Exported says what an export holds and leaves out.
type Exported struct {
	Header
	ClientOnly int64 // left out: the format has no place for them
	Pending    int64 // left out, without ExportOptions.Pending
}

// Export writes the events of a log as a dump that `livestore sync import` accepts, with their digest. It reads the log twice:
// the number of events and the digest come first in the file, and nothing is written unless everything is right. A log with
// a gap, a broken parent chain, an event that is malformed or too big to be pulled is refused. What is added to the log
// meanwhile is left out; one that changes otherwise is an error.
func Export(ctx context.Context, r eventlog.Reader, w io.Writer, opt ExportOptions) (Exported, error) {
	x := Exported{Header: Header{StoreID: opt.StoreID, ExportedAt: opt.Now.UTC().Format("2006-01-02T15:04:05.000Z")}}
	progress := opt.Progress
	if progress == nil {
		progress = func() {}
	}
	var problem *eventlog.Problem
	digest := eventlog.NewDigest()
	for e, err := range eventlog.Check(livestore.ClientSeq{}, x.filter(r.Events(ctx, livestore.ClientSeq{}), opt.Pending), func(p eventlog.Problem) {
		if problem == nil {
			problem = &p
		}
	}) {
		switch {
		case err != nil:
			return Exported{}, err
		case problem != nil:
			return Exported{}, errs.Invalidf("a dump of this log could not be imported: %s", problem).
				Hintf("`headgate log stats` lists all problems; the backend's own log may be whole: `livestore sync export`")
		case wireSize(e) > MaxEventBytes:
			return Exported{}, errs.Refusedf("event %s (%s) is too big: %d bytes, a client can pull at most %d", e.Seq, e.Name, wireSize(e), MaxEventBytes).
				Hintf("imported into a store it would stop every client from syncing")
		}
		digest.Add(e)
		progress()
	}
	x.EventCount, x.Digest = digest.Events(), digest.Sum()
	out := NewWriter(w, x.Header)
	var again Exported
	for e, err := range again.filter(r.Events(ctx, livestore.ClientSeq{}), opt.Pending) {
		if err != nil {
			return Exported{}, err
		}
		if out.written.Events() == x.EventCount {
			break
		}
		if err := out.Write(e); err != nil {
			return Exported{}, err
		}
		progress()
	}
	if out.written.Sum() != x.Digest {
		return Exported{}, errs.New(errs.Internal, "the log changed while it was read").Hintf("it was reset, or another program writes into it; run it again")
	}
	if err := out.Close(); err != nil {
		return Exported{}, err
	}
	return x, nil
}

// filter leaves out what does not belong in a dump, and counts it.
func (x *Exported) filter(events iter.Seq2[livestore.Event, error], pending bool) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range events {
			switch {
			case err == nil && e.ClientOnly():
				x.ClientOnly++
			case err == nil && e.Pending && !pending:
				x.Pending++
			default:
				if !yield(e, err) {
					return
				}
			}
		}
	}
}
