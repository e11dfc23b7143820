package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"headgate/corrective"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/replay"
	"headgate/planner"
)

// A stop is an event at which clients of some releases stop.
type stop struct {
	replay.Poison
	releases []string
	evidence []string
}

// poison asks each release that is alive about every event of the log: does it decode, and does its materializer take it?
func (x *Examiner) poison(ctx context.Context, p *Patient) ([]Finding, error) {
	var stops []*stop
	for _, version := range x.Alive {
		t, err := x.Target(version)
		if err != nil {
			return nil, err
		}
		under, err := x.stopsUnder(ctx, p, t)
		if err != nil {
			return nil, err
		}
		for _, s := range under {
			i := slices.IndexFunc(stops, func(o *stop) bool { return o.Poison == s.Poison })
			if i < 0 {
				stops = append(stops, s)
				continue
			}
			stops[i].releases = append(stops[i].releases, version)
			stops[i].evidence = append(stops[i].evidence, s.evidence...)
		}
	}
	var out []Finding
	for _, s := range stops {
		out = append(out, x.poisoned(p, s))
	}
	return out, nil
}

// stopsUnder are the events that stop clients of one release: the first of each name that does not decode, and the first
// whose materializer fails.
func (x *Examiner) stopsUnder(ctx context.Context, p *Patient, t replay.Target) ([]*stop, error) {
	version := t.Release.Version
	var out []*stop
	if !x.NoState {
		res, err := x.replay(ctx, p, t)
		if err != nil {
			return nil, err
		}
		if res.Poison == nil {
			return nil, nil // the decoders took all of it
		}
		if res.Poison.Stage != engine.StageDecode && res.Poison.Stage != engine.StageUnknown {
			bad := *res.Poison
			out = append(out, &stop{Poison: bad, releases: []string{version}, evidence: []string{version + ": the first is " + bad.Seq.String() + ", where a replay ends"}})
		}
	}
	reading, err := corrective.Receive(ctx, x.Launcher, p.Log, corrective.Selection{}, nil, t)
	if err != nil {
		return nil, err
	}
	for _, e := range reading.Events {
		if e.Verdict != corrective.Breaks {
			continue
		}
		s := &stop{Poison: replay.Poison{Event: e.Event, Stage: engine.StageUnknown}, releases: []string{version}}
		s.evidence = []string{fmt.Sprintf("%s: all %s of that name", version, events(e.Events))}
		if len(e.Failing) > 0 {
			first := e.Failing[0]
			s.Poison = replay.Poison{Seq: first.Seq, Event: e.Event, Stage: engine.StageDecode, Path: first.Path, Wanted: first.Wanted}
			s.evidence = []string{fmt.Sprintf("%s: of %s of that name %s", version, events(e.Events), offenders(e.Failing))}
		}
		out = append(out, s)
	}
	return out, nil
}

func offenders(list []probe.Offender) string {
	var all []string
	for _, o := range list {
		all = append(all, o.Seq.String())
	}
	s := strings.Join(all, ", ")
	if len(list) == probe.MaxOffenders {
		s += " and maybe more"
	}
	return s
}

func (x *Examiner) poisoned(p *Patient, s *stop) Finding {
	f := Finding{
		Check: Poison, Severity: planner.Error, Evidence: s.evidence,
		Repair: "A release that can read it heals its clients as they upgrade: a tolerant schema, or a materializer that takes it. Until then a floor keeps the others out",
		Next:   "headgate rollback plan --event " + Argument(s.Event) + " " + p.Ref,
	}
	under := "under " + strings.Join(s.releases, ", ")
	if p.Client != nil { // it is in the log already
		f.Text = s.String() + " " + under + ": boot fails when this client rebuilds its state"
		f.Next = "headgate state replay " + p.Ref + " --release " + s.releases[0]
		return f
	}
	f.Text = s.String() + " " + under + ": sync ends there, silently unless onSyncError says so"
	if others := x.takers(s); len(others) > 0 {
		f.Evidence = append(f.Evidence, "clients that took it in on "+strings.Join(others, ", ")+" and upgrade do not boot")
	}
	return f
}

// takers are releases that are alive, take the event in, and have another state hash than one that does not: who goes from
// one to the other rebuilds with the event in the log.
func (x *Examiner) takers(s *stop) []string {
	var out []string
	for _, version := range x.Alive {
		r := x.release(version)
		if r == nil || slices.Contains(s.releases, version) {
			continue
		}
		if slices.ContainsFunc(s.releases, func(bad string) bool {
			b := x.release(bad)
			return b != nil && b.StateHash != r.StateHash
		}) {
			out = append(out, version)
		}
	}
	return out
}
