package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/planner"
)

// interrupted is about a state in use that ends before its log does.
func (x *Examiner) interrupted(ctx context.Context, p *Patient, s *clientState, head eventlog.Head) ([]Finding, error) {
	f := Finding{
		Check: Interrupted, Code: "ST113", Severity: planner.Error, Where: s.Path,
		Text:   fmt.Sprintf("the state in use, %s, ends at %s, and the log at %s: LiveStore takes it for a whole one", s.of(), s.head, head.Last),
		Repair: heal(s), Next: x.bump("rebuilds that were interrupted"),
		Evidence: []string{fmt.Sprintf("%s it lacks, the first is %s: a rebuild was interrupted, or an older state was opened again", events(s.missing), s.firstMissing)},
	}
	if x.NoState {
		return []Finding{f}, nil
	}
	t, err := x.Target(s.newest().Version)
	if err != nil {
		return nil, err
	}
	res, err := x.replay(ctx, p, t)
	if err == nil && res.Poison == nil {
		f.Evidence = append(f.Evidence, rows(s, res)...)
	}
	return []Finding{f}, err
}

// hold holds the state in use against replays of the log: under the newest release that has its hash, and, where that
// makes another state, under those before it.
func (x *Examiner) hold(ctx context.Context, p *Patient, s *clientState, seen sight) ([]Finding, error) {
	newest := s.newest()
	differs, unclear, err := x.against(ctx, p, s, newest.Version)
	switch {
	case err != nil:
		return nil, err
	case unclear != "":
		return []Finding{{
			Check: StateUnknown, Severity: planner.Info, Where: s.Path, Text: "the state in use can't be held against its log: " + unclear,
			Next: "headgate state replay " + p.Ref + " --release " + newest.Version,
		}}, nil
	case len(differs) == 0:
		return nil, nil
	}
	hole := seen.hole(newest)
	for _, r := range slices.Backward(s.releases[:len(s.releases)-1]) {
		other, unclear, err := x.against(ctx, p, s, r.Version)
		if err != nil {
			return nil, err
		}
		if len(other) > 0 || unclear != "" {
			continue
		}
		return []Finding{{
			Check: StateDiffers, Code: "ST102", Severity: planner.Warning, Where: s.Path, Evidence: append(differs, hole...),
			Text:   fmt.Sprintf("the state in use is what %s makes of the log; %s, with the same hash, makes another one, and nothing rebuilds it", r.Version, newest.Version),
			Repair: heal(s), Next: x.bump(fmt.Sprintf("what %s reads otherwise than %s", newest.Version, r.Version)),
		}}, nil
	}
	if x.Diff {
		if differs, err = x.diff(ctx, p, s, newest.Version); err != nil {
			return nil, err
		}
	}
	f := Finding{
		Check: StateDiffers, Severity: planner.Error, Where: s.Path, Repair: heal(s), Next: x.bump("states that do not hold what their logs make"),
		Text: fmt.Sprintf("the state in use, %s, holds other rows than %s makes of the log", s.of(), newest.Version),
	}
	if len(hole) > 0 {
		f.Check, f.Code, f.Next = SkippedEvents, "ST103", x.bump("events that were skipped before the upgrade")
		f.Text += ": the client skipped events before it upgraded"
	} else {
		hole = []string{"a rebuild was interrupted and the state used since, an older state was opened again, or a materializer was edited"}
	}
	f.Evidence = append(differs, hole...)
	return []Finding{f}, nil
}

// against says where the state differs from what a release makes of the log. Row counts come first, they are cheap; then
// digests. unclear says why it can't be told.
func (x *Examiner) against(ctx context.Context, p *Patient, s *clientState, version string) (differs []string, unclear string, err error) {
	t, err := x.Target(version)
	if err != nil {
		return nil, "", err
	}
	res, err := x.replay(ctx, p, t)
	switch {
	case err != nil:
		return nil, "", err
	case res.Poison != nil:
		return nil, "a rebuild ends at " + res.Poison.String(), nil
	case len(res.Unverifiable) > 0:
		return nil, strings.Join(res.Unverifiable, "; "), nil
	}
	if differs = rows(s, res); len(differs) == 0 {
		differs, err = s.tables(ctx, res)
	}
	return differs, "", err
}

// rows says where the row counts of a state are not those of a replay.
func rows(s *clientState, res replay.Result) (out []string) {
	want := map[string]int64{}
	for _, t := range res.State.Tables {
		want[t.Name] = t.Rows
	}
	names := map[string]bool{}
	for name := range want {
		names[name] = true
	}
	for name := range s.rows {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s.rows[name] != want[name] {
			out = append(out, fmt.Sprintf("table %s has %d rows, a replay makes %d", name, s.rows[name], want[name]))
		}
	}
	return limited(out)
}

// tables says which tables hold others rows than a replay's, though as many.
func (s *clientState) tables(ctx context.Context, res replay.Result) (out []string, err error) {
	digest, err := s.whole(ctx)
	if err != nil {
		return nil, err
	}
	want := map[string]string{}
	for _, t := range res.State.Tables {
		want[t.Name] = t.Digest
	}
	for _, t := range digest.Tables {
		if want[t.Name] != t.Digest {
			out = append(out, fmt.Sprintf("table %s has %d rows as a replay does, but not the same", t.Name, t.Rows))
		}
	}
	return limited(out), nil
}

// whole is the digest of the state, taken once.
func (s *clientState) whole(ctx context.Context) (state.Digest, error) {
	if s.digest == nil {
		d, err := state.DigestFile(ctx, s.Copy)
		if err != nil {
			return d, err
		}
		s.digest = &d
	}
	return *s.digest, nil
}

// diff counts the rows that differ from a replay's, table by table.
func (x *Examiner) diff(ctx context.Context, p *Patient, s *clientState, version string) (out []string, err error) {
	d, err := state.CompareFiles(ctx, s.Copy, p.stateFile(version), state.Options{})
	if err != nil {
		return nil, err
	}
	for _, t := range d.Tables {
		if t.Equal() {
			continue
		}
		out = append(out, fmt.Sprintf("table %s: %d of %d rows are missing, %d should not be there, %d have other values", t.Name, t.OnlyB, t.RowsB, t.OnlyA, t.Changed))
	}
	return limited(out), nil
}

func limited(lines []string) []string {
	if n := len(lines); n > maxEvidence {
		lines = append(lines[:maxEvidence:maxEvidence], fmt.Sprintf("and %d more", n-maxEvidence))
	}
	return lines
}

// A Holding is what a client holds, to be compared with other clients'.
type Holding struct {
	patient *Patient
	file    string
	hash    string
	head    eventlog.Head
	digest  state.Digest
	release string
	// local are the tables that clientOnly events write: they are each client's own.
	local []string
}

// holding takes the digest of the state in use. A client with pending events is at no head that others share.
func (x *Examiner) holding(ctx context.Context, p *Patient, s *clientState, head eventlog.Head) (*Holding, error) {
	if head.Last.Global > head.Confirmed || head.Confirmed == 0 {
		return nil, nil
	}
	local, unknown := replay.NotDerivable(s.newest())
	if len(unknown) > 0 {
		return nil, nil
	}
	d, err := s.whole(ctx)
	return &Holding{patient: p, file: s.Path, hash: s.Hash, head: head, digest: d, release: s.newest().Version, local: local}, err
}

// Compare reports clients of one store that are at one head, under releases of one hash, and hold different states.
func Compare(all []*Holding) (out []Finding) {
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.patient.Store != b.patient.Store || a.hash != b.hash || a.head.Confirmed != b.head.Confirmed || a.head.BackendID != b.head.BackendID {
				continue
			}
			tables := a.differing(b)
			if len(tables) == 0 {
				continue
			}
			out = append(out, Finding{
				Check: DigestsDiffer, Severity: planner.Error, Store: a.patient.Store, Where: a.file,
				Text:     fmt.Sprintf("it and %s are at e%d, both with the state hash of %s, and hold different states", b.file, a.head.Confirmed, a.release),
				Evidence: limited(tables),
				Repair:   "One of them does not hold what its log makes, or their logs part: the findings about each say which. An epoch bump puts states right, unless a materializer is not deterministic (MT101)",
				Next:     "headgate state diff " + Argument(a.file) + " " + Argument(b.file),
			})
		}
	}
	return out
}

func (h *Holding) differing(o *Holding) (out []string) {
	other := map[string]state.TableDigest{}
	for _, t := range o.digest.Tables {
		other[t.Name] = t
	}
	for _, t := range h.digest.Tables {
		if u := other[t.Name]; u.Digest != t.Digest && !slices.Contains(h.local, t.Name) {
			out = append(out, fmt.Sprintf("table %s: %d rows and %d, with other contents", t.Name, t.Rows, u.Rows))
		}
	}
	return out
}
