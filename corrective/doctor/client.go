package doctor

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// sameMoment is how near the times of two files lie that were copied, or checked out, together.
const sameMoment = 100 * time.Millisecond

// A clientState is one state file of a client, and what is known of it.
type clientState struct {
	filelog.State
	releases []*schema.Release // that have its hash, the oldest first
	rows     map[string]int64  // by table
	digest   *state.Digest     // nil before it is asked for
	// head is the last event that the state is known to hold. It is not known where the last event that the backend
	// confirmed left no trace in it.
	head  livestore.ClientSeq
	known bool

	// missing are the events of the log after head that the newest of releases materializes.
	missing      int64
	firstMissing livestore.ClientSeq
}

// newest is the newest release that has the state's hash, nil for none.
func (s *clientState) newest() *schema.Release {
	if len(s.releases) == 0 {
		return nil
	}
	return s.releases[len(s.releases)-1]
}

// of names the releases whose state it is.
func (s *clientState) of() string {
	if len(s.releases) == 0 {
		return "of no recorded release"
	}
	var all []string
	for _, r := range s.releases {
		all = append(all, r.Version)
	}
	return "of " + strings.Join(all, ", ")
}

func (s *clientState) see(e livestore.Event) {
	if !s.known || e.Seq.Compare(s.head) <= 0 || !materializes(s.newest(), e.Name) {
		return
	}
	if s.missing++; s.missing == 1 {
		s.firstMissing = e.Seq
	}
}

func materializes(r *schema.Release, event string) bool {
	if r == nil {
		return false
	}
	_, defined := r.Event(event)
	_, materialized := r.Materializer(event)
	return defined && materialized
}

// states looks into the client's state files. Those that LiveStore makes anew by itself, and those that it never makes, are
// left out.
func (x *Examiner) states(ctx context.Context, p *Patient) (out []clientState, unreadable []Finding, err error) {
	for _, file := range p.Client.States {
		if file.Copy == "" || file.Hash == filelog.ManualHash {
			continue
		}
		s := clientState{State: file}
		for _, r := range x.Releases {
			if r.StateHash == file.Hash {
				s.releases = append(s.releases, r)
			}
		}
		if err := s.look(ctx); err != nil {
			if ctx.Err() != nil {
				return nil, nil, context.Cause(ctx)
			}
			unreadable = append(unreadable, Finding{
				Check: StateUnreadable, Severity: planner.Error, Where: file.Path, Text: fmt.Sprintf("the state %s can't be read: %v", s.of(), withoutCopy(err, file)),
				Repair: "Remove it while the app is stopped: the next start makes it anew from the log, which stays", Next: "rm " + Argument(file.Path),
			})
			continue
		}
		out = append(out, s)
	}
	return out, unreadable, nil
}

// withoutCopy names the file itself where an error names the copy.
func withoutCopy(err error, file filelog.State) string {
	return strings.ReplaceAll(err.Error(), file.Copy, filepath.Base(file.Path))
}

func (s *clientState) look(ctx context.Context) error {
	f, err := state.Open(s.Copy)
	if err != nil {
		return err
	}
	defer f.Close()
	if s.head, s.known, err = f.Head(); err != nil {
		return err
	}
	if s.rows, err = f.Counts(ctx); err != nil {
		return err
	}
	total := int64(0)
	for _, n := range s.rows {
		total += n
	}
	s.known = s.known || total == 0 // it was cut short before its first event
	return nil
}

// inUse is the state that the client opened last, nil where it has none. A file tells that by its time; where files were
// copied together, by how far it goes.
func inUse(states []clientState) *clientState {
	var best *clientState
	for i := range states {
		s := &states[i]
		if best == nil || later(s, best) {
			best = s
		}
	}
	return best
}

func later(a, b *clientState) bool {
	if d := a.Modified.Sub(b.Modified); d.Abs() > sameMoment {
		return d > 0
	}
	if c := a.head.Compare(b.head); c != 0 {
		return c > 0
	}
	x, y := a.newest(), b.newest()
	return x != nil && (y == nil || schema.CompareVersions(x.Version, y.Version) > 0)
}

// judge reports what the state in use lacks.
func (x *Examiner) judge(ctx context.Context, p *Patient, used *clientState, seen sight, head eventlog.Head) ([]Finding, error) {
	switch {
	case used.newest() == nil:
		return []Finding{{
			Check: StateUnknown, Severity: planner.Info, Where: used.Path, Text: "the state in use is of no recorded release, and can't be held against its log",
			Repair: "Record the release that the client runs", Next: "headgate release add VERSION",
		}}, nil
	case used.missing > 0:
		return x.interrupted(ctx, p, used, head)
	case x.NoState:
		return nil, nil
	}
	return x.hold(ctx, p, used, seen)
}

// stale is about a state that was left behind.
func (x *Examiner) stale(s *clientState, head eventlog.Head) Finding {
	f := Finding{
		Check: StaleState, Code: "ST107", Severity: planner.Info, Where: s.Path,
		Text:     fmt.Sprintf("a state %s, left behind at %s; the log goes on to %s", s.of(), s.head, head.Last),
		Evidence: []string{fmt.Sprintf("%s it lacks, the first is %s: LiveStore compares no heads when it opens a state", events(s.missing), s.firstMissing)},
		Next:     "rm " + Argument(s.Path),
	}
	if s.newest() == nil {
		f.Repair = "A release with its hash would open it again. Remove it while the app is stopped"
		return f
	}
	f.Repair = fmt.Sprintf("A deploy of %s opens it again (A->B->A), and what it lacks stays missing. Remove it while the app is stopped, or bump the epoch before such a deploy", s.newest().Version)
	if d := x.Deployed; d != nil && d.StateHash == s.Hash {
		f.Severity = planner.Error
		f.Text = fmt.Sprintf("a deploy of the code that lies here opens a state %s that was left behind at %s; the log goes on to %s", s.of(), s.head, head.Last)
		f.Repair = "Bump the epoch before the deploy, so that no client opens such a state again; for this client alone, remove the file while the app is stopped"
		f.Next = x.bump(fmt.Sprintf("clients kept states of %s", s.newest().Version))
	}
	return f
}

// bump is the command that has every client rebuild its state.
func (x *Examiner) bump(reason string) string {
	return fmt.Sprintf("headgate epoch bump --schema %s --reason %q", x.schema(), reason)
}

func (x *Examiner) schema() string {
	if len(x.Releases) == 0 {
		return "SCHEMA"
	}
	return x.Releases[0].Schema
}

// heal is the repair of a state that LiveStore takes for a whole one.
func heal(s *clientState) string {
	return fmt.Sprintf("Only an epoch bump heals it, for every client like it, or for this one, while the app is stopped: rm %s. The log stays, with what was not sent", Argument(s.Path))
}

// hole are the events that the client skipped and that the release knows.
func (s sight) hole(r *schema.Release) (out []string) {
	var all []*skipped
	for _, k := range s.skipped {
		if materializes(r, k.name) {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *skipped) int { return a.first.Compare(b.first) })
	for _, k := range all[:min(len(all), maxEvidence)] {
		out = append(out, fmt.Sprintf("the client did not know %s when they came: %s, %s to %s", k.name, events(k.events), k.first, k.last))
	}
	return out
}
