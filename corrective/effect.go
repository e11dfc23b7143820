package corrective

import (
	"context"
	"iter"
	"path/filepath"
	"slices"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/script"
)

// picked is a log with only the bad events in it, or without them.
type picked struct {
	eventlog.Reader
	matcher *matcher
	bad     bool
}

func (p picked) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range p.Reader.Events(ctx, after) {
			if err == nil {
				var hit bool
				if hit, _, err = p.matcher.match(ctx, e); err == nil && hit != p.bad {
					continue
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// An Effect is the difference between the state that the log makes and the one that it should have made.
type Effect struct {
	// Release made the state as it is; Instead made the one that it should be, from the log without the bad events where
	// Absent, and from all of it otherwise.
	Release string `json:"release"`
	Instead string `json:"instead"`
	Absent  bool   `json:"absent"`
	// Tables are those that differ: A is the state as it is, B as it should be.
	Tables []state.TableDiff `json:"tables"`
	// Poison is the event that made one of the two impossible; then there are no tables.
	Poison        *replay.Poison `json:"poison,omitempty"`
	PoisonRelease string         `json:"poisonRelease,omitempty"`
	// NotDerivable are the tables that this log can't yield, Unverifiable what may make a client's state another one.
	NotDerivable []string `json:"notDerivable"`
	Unverifiable []string `json:"unverifiable"`
}

// A Comparison says how [Measure] makes the two states.
type Comparison struct {
	Launcher script.Launcher
	Release  replay.Target  // whose materializers made the state as it is
	Good     *replay.Target // whose materializers make the one that it should be; nil: Release's, without the bad events
	Dir      string         // private; both states lie here, each as large as the app's
	Options  replay.Options // Out is not used
	Diff     state.Options
}

// Measure makes both states and compares them. Poison is in the result, not an error.
func Measure(ctx context.Context, log eventlog.Reader, s Selection, ran func(client string) string, c Comparison) (Effect, error) {
	out := Effect{
		Release: c.Release.Release.Version, Instead: c.Release.Release.Version, Absent: c.Good == nil,
		Tables: []state.TableDiff{}, NotDerivable: []string{}, Unverifiable: []string{},
	}
	m, err := s.compile(ctx, ran)
	if err != nil {
		return out, err
	}
	defer m.close() //nolint:errcheck // in memory
	is, should := c.Options, c.Options
	is.Out, should.Out = filepath.Join(c.Dir, "is.db"), filepath.Join(c.Dir, "should.db")
	target, reader := c.Release, eventlog.Reader(picked{log, m, false})
	if c.Good != nil {
		target, reader = *c.Good, log
		out.Instead = target.Release.Version
	} else {
		should.Checkpoints = nil // it is another log
	}
	for _, one := range []struct {
		target replay.Target
		log    eventlog.Reader
		o      replay.Options
	}{{c.Release, log, is}, {target, reader, should}} {
		res, err := replay.Replay(ctx, c.Launcher, one.target, one.log, one.o)
		if err != nil {
			return out, err
		}
		out.NotDerivable = append(out.NotDerivable, res.NotDerivable...)
		out.Unverifiable = append(out.Unverifiable, res.Unverifiable...)
		if res.Poison != nil {
			out.Poison, out.PoisonRelease = res.Poison, one.target.Release.Version
			return out, nil
		}
	}
	slices.Sort(out.NotDerivable)
	slices.Sort(out.Unverifiable)
	out.NotDerivable, out.Unverifiable = slices.Compact(out.NotDerivable), slices.Compact(out.Unverifiable)
	return out, out.compare(ctx, is.Out, should.Out, c.Diff)
}

func (f *Effect) compare(ctx context.Context, is, should string, o state.Options) error {
	d, err := state.CompareFiles(ctx, is, should, o)
	if err != nil {
		return err
	}
	for _, t := range d.Tables {
		if !t.Equal() && !slices.Contains(f.NotDerivable, t.Name) {
			f.Tables = append(f.Tables, t)
		}
	}
	return nil
}

// A Verdict says what clients of a release do with the bad events. The words are stable.
type Verdict string

const (
	Reads Verdict = "reads" // they define, decode and materialize all of them
	// Skips: they go on without them, and keep the hole when they upgrade, unless their state hash moves.
	Skips Verdict = "skips"
	// Breaks: their sync ends at the first one, and a client that rebuilds does not boot.
	Breaks Verdict = "breaks"
)

// A Reading is what clients of one release do with the bad events of a store.
type Reading struct {
	Release string           `json:"release"`
	Verdict Verdict          `json:"verdict"`
	Skipped []string         `json:"skipped,omitempty"` // names that it does not define or materialize
	Failing []probe.Decoding `json:"failing,omitempty"` // what it does not decode

	strict bool // an event that it does not know ends its clients' sync
}

// Of is what clients of the release do with the events of one name.
func (r Reading) Of(event string) Verdict {
	switch {
	case slices.ContainsFunc(r.Failing, func(d probe.Decoding) bool { return d.Event == event }):
		return Breaks
	case !slices.Contains(r.Skipped, event):
		return Reads
	case r.strict:
		return Breaks
	}
	return Skips
}

// Receive asks a release's own decoder about the bad events of a log.
func Receive(ctx context.Context, l script.Launcher, log eventlog.Reader, s Selection, ran func(client string) string, target replay.Target, names []Count) (Reading, error) {
	r := Reading{Release: target.Release.Version, Verdict: Reads, strict: target.Release.UnknownEventHandling == "fail"}
	var known []string
	for _, n := range names {
		_, defined := target.Release.Event(n.Event)
		if _, taken := target.Release.Materializer(n.Event); !defined || !taken {
			r.Skipped = append(r.Skipped, n.Event)
			r.Verdict = Skips
		}
		if defined {
			known = append(known, n.Event)
		}
	}
	if len(r.Skipped) > 0 && r.strict {
		r.Verdict = Breaks
	}
	if len(known) == 0 {
		return r, nil
	}
	m, err := s.compile(ctx, ran)
	if err != nil {
		return r, err
	}
	defer m.close() //nolint:errcheck // in memory
	found, err := probe.Decode(ctx, l, target.Program, picked{log, m, true}, known, livestore.ClientSeq{}, nil)
	if err != nil {
		return r, err
	}
	for _, d := range found.Events {
		if d.Failing > 0 {
			r.Failing = append(r.Failing, d)
			r.Verdict = Breaks
		}
	}
	return r, nil
}
