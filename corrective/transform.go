package corrective

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
)

// A Transformed says what corrections made of a log.
type Transformed struct {
	Store     livestore.StoreID `json:"store"`
	Read      int64             `json:"read"`      // events of the log
	Written   int64             `json:"written"`   // events of the dump that was made
	Unchanged int64             `json:"unchanged"` // of them, those that no correction matched; their numbers may be others
	Digest    string            `json:"digest"`    // of what was written
	// Corrections counts what each one matched, in the order of the file.
	Corrections []CorrectionCount `json:"corrections"`
}

// A CorrectionCount says what a correction did.
type CorrectionCount struct {
	Name    string `json:"name"`
	Matched int64  `json:"matched"`
	Dropped int64  `json:"dropped"` // of them, those that nothing was made of
	Made    int64  `json:"made"`    // events in the place of the others
}

// A Provenance says where an event of the dump comes from, or where one of the log went: one line of the file beside the dump.
type Provenance struct {
	Seq        livestore.SeqNum `json:"seq,omitempty"` // in the dump; left out for an event that was dropped
	From       livestore.SeqNum `json:"from"`          // in the log
	Event      string           `json:"event"`         // its name in the log
	Correction string           `json:"correction,omitempty"`
	Args       string           `json:"args"` // the digest of its arguments in the log, see [eventlog.ArgsDigest]
}

// A Transform makes a dump of what corrections make of a log, numbered from 1 without gaps.
type Transform struct {
	Log         eventlog.Reader
	Store       livestore.StoreID // of the log
	Corrections Corrections       // none: events are only numbered anew
	Out         io.Writer         // gets the dump
	Provenance  io.Writer         // gets where each event comes from, a [Provenance] a line
	Now         time.Time
	First       int64  // Look only at so many events of what comes out; 0 for all of it
	Progress    func() // called after each event of both passes
}

// Look finds out what Run would write, and writes nothing; it needs neither Out nor Provenance.
func (r Transform) Look(ctx context.Context) (Transformed, error) {
	x, err := r.Corrections.Compile(ctx)
	if err != nil {
		return Transformed{}, err
	}
	defer x.Close()
	return r.look(ctx, x)
}

func (r Transform) look(ctx context.Context, x *Corrector) (Transformed, error) {
	c := r.Corrections
	t := Transformed{Store: r.Store, Corrections: []CorrectionCount{}}
	counts := map[string]*CorrectionCount{}
	for _, one := range c.List {
		counts[one.Name] = &CorrectionCount{Name: one.Name}
	}
	digest := eventlog.NewDigest()
	for made, err := range x.transformed(ctx, r.Log) {
		if err != nil {
			return t, err
		}
		t.Read++
		r.Progress()
		n := counts[made.correction]
		switch {
		case n == nil:
			t.Unchanged++
		case len(made.events) == 0:
			n.Matched++
			n.Dropped++
		default:
			n.Matched++
			n.Made += int64(len(made.events))
		}
		for _, e := range made.events {
			if err := eventlog.CheckBatch([]livestore.Event{e}); err != nil {
				return t, err
			}
			if digest.Add(e); digest.Events() == r.First {
				break
			}
		}
		if digest.Events() == r.First && r.First > 0 {
			break
		}
	}
	t.Written, t.Digest = digest.Events(), digest.Sum()
	matched := int64(0)
	for _, one := range c.List {
		t.Corrections = append(t.Corrections, *counts[one.Name])
		matched += counts[one.Name].Matched
	}
	if len(c.List) > 0 && matched == 0 {
		return t, errs.NotFoundf("no correction matches any of the %d events", t.Read).Hintf("nothing was written: is it the right log?")
	}
	return t, nil
}

// Run reads the log twice and holds one event at a time. Corrections of which none matches anything are errs.NotFound, and
// then nothing is written. An event that got too large to be pulled is errs.Refused.
func (r Transform) Run(ctx context.Context) (Transformed, error) {
	x, err := r.Corrections.Compile(ctx)
	if err != nil {
		return Transformed{}, err
	}
	defer x.Close()
	t, err := r.look(ctx, x)
	if err != nil {
		return t, err
	}
	header := dumplog.Header{StoreID: r.Store, ExportedAt: r.Now.UTC().Format("2006-01-02T15:04:05.000Z"), EventCount: t.Written, Digest: t.Digest}
	w, lines := dumplog.NewWriter(r.Out, header), bufio.NewWriter(r.Provenance)
	enc := json.NewEncoder(lines)
	for made, err := range x.transformed(ctx, r.Log) {
		if err != nil {
			return t, err
		}
		r.Progress()
		line := Provenance{From: made.from.Seq.Global, Event: made.from.Name, Correction: made.correction, Args: eventlog.ArgsDigest(made.from.Args)}
		for _, e := range made.events {
			line.Seq = e.Seq.Global
			if err := w.Write(e); err != nil {
				return t, err
			}
			if err := enc.Encode(line); err != nil {
				return t, err
			}
		}
		if len(made.events) == 0 {
			if err := enc.Encode(line); err != nil {
				return t, err
			}
		}
	}
	if err := lines.Flush(); err != nil {
		return t, err
	}
	return t, w.Close()
}

// made is what became of an event of a log.
type made struct {
	from       livestore.Event
	events     []livestore.Event // with their new numbers
	correction string            // "" for none
}

// transformed applies the corrections to each event, and numbers what comes out.
func (c *Corrector) transformed(ctx context.Context, log eventlog.Reader) iter.Seq2[made, error] {
	return func(yield func(made, error) bool) {
		var last livestore.SeqNum
		for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
			if err == nil && e.ClientOnly() { // a client's own, in no dump
				continue
			}
			m := made{from: e}
			if err == nil {
				m.events, m.correction, err = c.Apply(ctx, e)
			}
			if err != nil {
				yield(made{}, err)
				return
			}
			for i := range m.events {
				m.events[i].Seq, m.events[i].Parent = livestore.ClientSeq{Global: last + 1}, livestore.ClientSeq{Global: last}
				last++
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}
