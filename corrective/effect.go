package corrective

import (
	"cmp"
	"context"
	"iter"
	"path/filepath"
	"slices"
	"strings"

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
	defer m.close()
	is, should := c.Options, c.Options
	is.Out, should.Out = filepath.Join(c.Dir, "is.db"), filepath.Join(c.Dir, "should.db")
	target, reader := c.Release, eventlog.Reader(picked{log, m, false})
	if c.Good != nil {
		target, reader = *c.Good, log
		out.Instead = target.Release.Version
	} else {
		should.Checkpoints = nil // it is another log
	}
	made, err := makeStates(ctx, c.Launcher, side{c.Release, log, is}, side{target, reader, should})
	if err != nil {
		return out, err
	}
	out.NotDerivable, out.Unverifiable = made.notDerivable, made.unverifiable
	if out.Poison, out.PoisonRelease = made.poison, made.poisonRelease; out.Poison == nil {
		out.Tables, err = made.compare(ctx, is.Out, should.Out, c.Diff)
	}
	return out, err
}

// A side is one of two states that are compared.
type side struct {
	target replay.Target
	log    eventlog.Reader
	o      replay.Options
}

// states are what replays made.
type states struct {
	poison                     *replay.Poison
	poisonRelease              string
	notDerivable, unverifiable []string
}

// makeStates replays each side, until one meets a poison event.
func makeStates(ctx context.Context, l script.Launcher, sides ...side) (states, error) {
	out := states{notDerivable: []string{}, unverifiable: []string{}}
	for _, one := range sides {
		res, err := replay.Replay(ctx, l, one.target, one.log, one.o)
		if err != nil {
			return out, err
		}
		out.notDerivable = append(out.notDerivable, res.NotDerivable...)
		out.unverifiable = append(out.unverifiable, res.Unverifiable...)
		if res.Poison != nil {
			out.poison, out.poisonRelease = res.Poison, one.target.Release.Version
			return out, nil
		}
	}
	slices.Sort(out.notDerivable)
	slices.Sort(out.unverifiable)
	out.notDerivable, out.unverifiable = slices.Compact(out.notDerivable), slices.Compact(out.unverifiable)
	return out, nil
}

// compare lists the tables that differ, those that the logs can't yield left out.
func (s states) compare(ctx context.Context, a, b string, o state.Options) ([]state.TableDiff, error) {
	d, err := state.CompareFiles(ctx, a, b, o)
	if err != nil {
		return nil, err
	}
	tables := []state.TableDiff{}
	for _, t := range d.Tables {
		if !t.Equal() && !slices.Contains(s.notDerivable, t.Name) {
			tables = append(tables, t)
		}
	}
	return tables, nil
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

// A Reading is what clients of one release do with the events of a log that a selection picks.
type Reading struct {
	Release string  `json:"release"`
	Verdict Verdict `json:"verdict"` // the worst of all events
	Events  []Taken `json:"events"`  // by name
}

// A Taken is what a release does with the events of one name.
type Taken struct {
	Event   string           `json:"event"`
	Events  int64            `json:"events"`
	Verdict Verdict          `json:"verdict"`
	Failing []probe.Offender `json:"failing,omitempty"` // the first that it does not decode
}

// Receive asks a release's own decoder about the events of a log that a selection picks; the zero Selection picks all.
func Receive(ctx context.Context, l script.Launcher, log eventlog.Reader, s Selection, ran func(client string) string, target replay.Target) (Reading, error) {
	r := Reading{Release: target.Release.Version, Verdict: Reads, Events: []Taken{}}
	m, err := s.compile(ctx, ran)
	if err != nil {
		return r, err
	}
	defer m.close()
	found, err := probe.Decode(ctx, l, target.Program, picked{log, m, true}, nil, livestore.ClientSeq{}, nil)
	if err != nil {
		return r, err
	}
	for _, d := range found.Events {
		t := Taken{Event: d.Event, Events: d.Count, Verdict: Reads}
		_, materialized := target.Release.Materializer(d.Event)
		switch {
		case !d.Undefined && d.Failing > 0:
			t.Verdict, t.Failing = Breaks, d.Offenders
		case !d.Undefined && materialized:
		case target.Release.UnknownEventHandling == "fail":
			t.Verdict = Breaks
		default:
			t.Verdict = Skips
		}
		r.Events = append(r.Events, t)
		r.Verdict = worse(r.Verdict, t.Verdict)
	}
	return r, nil
}

// worse is the worse of two verdicts.
func worse(a, b Verdict) Verdict {
	order := []Verdict{Reads, Skips, Breaks}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// Merge adds what the release does with the events of another log.
func (r *Reading) Merge(o Reading) {
	r.Verdict = worse(cmp.Or(r.Verdict, Reads), o.Verdict)
	for _, t := range o.Events {
		i, known := slices.BinarySearchFunc(r.Events, t.Event, func(t Taken, name string) int { return strings.Compare(t.Event, name) })
		if !known {
			r.Events = slices.Insert(r.Events, i, t)
			continue
		}
		r.Events[i].Events += t.Events
		r.Events[i].Verdict = worse(r.Events[i].Verdict, t.Verdict)
	}
}
