package planner

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/schema"
)

// An Input is everything a check looks at.
type Input struct {
	// From are the releases compared against: the latest one, or all that are alive. Empty for a first release.
	From []*schema.Release
	To   *schema.Release
	// History are all known releases of the schema, in any order; From and To may be among them.
	History []*schema.Release

	Profile      Profile
	Facts        Facts
	Suppressions []Suppression
	// Now decides which suppressions have expired.
	Now time.Time
}

// A hazards collects findings, one per direction until the end.
type hazards struct {
	in    Input
	rules rules
	out   []Finding
}

// Check judges To against every release of From and returns all findings, worst first.
func Check(in Input) Report {
	in.History = slices.Clone(in.History)
	slices.SortStableFunc(in.History, func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	h := &hazards{in: in, rules: ruleTable()}
	for _, from := range in.From {
		h.pair(from)
	}
	h.alone()

	r := Report{Schema: in.To.Schema, Profile: in.Profile, To: in.To.Version, From: []string{}, Unverified: slices.Clone(in.Facts.Unverified)}
	for _, f := range in.From {
		r.From = append(r.From, f.Version)
	}
	if !in.To.LiveStore.Verified {
		r.Unverified = append(r.Unverified, fmt.Sprintf("LiveStore %s is not a version that headgate was proven on: the worst is assumed", in.To.LiveStore.Version))
	}
	h.weigh()
	if in.Profile == ProfileReplay {
		h.out = slices.DeleteFunc(h.out, func(f Finding) bool { return f.Direction == Fleet })
	}
	h.out = mergeDirections(mergeFrom(h.out))
	for i := range h.out {
		if h.out[i].Location == nil {
			h.out[i].Location = h.locate(h.out[i])
		}
	}
	r.Findings = suppress(h.out, in.Suppressions, in.Now, in.To.Version)
	slices.SortStableFunc(r.Findings, compareFindings)
	return r
}

// pair judges what lies between one release and To.
func (h *hazards) pair(from *schema.Release) {
	earlier := slices.DeleteFunc(slices.Clone(h.in.History), func(r *schema.Release) bool {
		return schema.CompareVersions(r.Version, from.Version) >= 0
	})
	for _, c := range Diff(from, h.in.To, earlier) {
		h.change(from, c)
	}
	h.newEvents(from)
	h.behaviour(from)
	h.rebuild(from)
	h.hashReturns(from)
	h.corrections(from)
	h.unchangedNames(from)
}

// alone judges To by itself.
func (h *hazards) alone() {
	h.names()
	h.payloads()
	h.tables()
	h.materializers()
	h.app()
}

// change turns one change into findings.
func (h *hazards) change(from *schema.Release, c Change) {
	code, replay, fleet := judge(c)
	if code == "" {
		return
	}
	old, now := eventNamed(from, c.Event), eventNamed(h.in.To, c.Event)
	if now != nil && now.Derived || old != nil && old.Derived {
		return // ST108 speaks of the client document
	}
	if old != nil && old.ClientOnly && (now == nil || now.ClientOnly) && h.in.Profile != ProfileRollback && fleet != Info {
		fleet = OK // no other client ever reads it; the same client under the old release does
	}
	detail := ""
	switch code {
	case "EV101", "EV103":
		fleet, detail = h.unknownEvent(from, c, fleet)
	case "ST101", "ST104", "ST105":
		if h.in.To.Migrations.Strategy == "manual" {
			replay, fleet = Info, Info
			detail = "No client rebuilds: migrations are manual."
		}
	case "AR101":
		inner := c
		inner.Item = false
		as, _, _ := judge(inner)
		detail = "As " + string(as) + " for the items: " + h.rules[as].Title + "."
	case "FD106":
		if p := h.probesFor(code, from.Version, c.Event, c.Path); failing(p) > 0 {
			fleet = Warning
			detail = describeProbes(p)
		}
	}
	if h.in.Profile == ProfileRollback && fleet == Error && breaksName(code, c.Path) {
		detail = strings.TrimSpace(detail + " After a rollback a client that has to rebuild under " + from.Version + " fails at boot.")
	}
	message := h.rules[code].Title
	if c.Note != "" {
		message += ": " + c.Note
	}
	h.add(Finding{Code: code, From: []string{from.Version}, Event: c.Event, Table: c.Table, Path: c.Path, Message: message, Detail: detail}, replay, fleet)
}

// add records a finding, one per direction that is not OK, with its code's fix unless it has its own.
func (h *hazards) add(f Finding, replay, fleet Severity) {
	f.To = h.in.To.Version
	if f.Fix == "" {
		f.Fix = h.rules[f.Code].Fix
	}
	for _, side := range []struct {
		d Direction
		s Severity
	}{{Replay, replay}, {Fleet, fleet}} {
		if side.s != OK {
			f.Direction, f.Severity = side.d, side.s
			h.out = append(h.out, f)
		}
	}
}

// breaksName reports whether a fleet error means that the very release compared against can't decode the arguments. A
// reused name (FD111) breaks an earlier one.
func breaksName(code Code, path string) bool {
	return code != "FD111" && strings.HasPrefix(path, "$.args")
}

// unchangedNames sums up, per event, what old releases can't read under a name they know.
func (h *hazards) unchangedNames(from *schema.Release) {
	breaks := map[string][]string{}
	var names []string
	for _, f := range h.out {
		if f.Event == "" || f.Direction != Fleet || f.Severity != Error || !slices.Equal(f.From, []string{from.Version}) || !breaksName(f.Code, f.Path) {
			continue
		}
		if breaks[f.Event] == nil {
			names = append(names, f.Event)
		}
		if what := string(f.Code) + " at " + f.Path; !slices.Contains(breaks[f.Event], what) {
			breaks[f.Event] = append(breaks[f.Event], what)
		}
	}
	for _, name := range names {
		e := eventNamed(h.in.To, name)
		fix := h.rules["EV108"].Fix
		if e != nil && e.Family != "" {
			fix = fmt.Sprintf("Define the new shape as v%d.%s, and keep %s with its materializer as it was in %s.", nextVersion(h.in.To, e), e.Family, name, from.Version)
		}
		h.add(Finding{
			Code: "EV108", From: []string{from.Version}, Event: name, Fix: fix,
			Message: fmt.Sprintf("clients on %s can't decode what %s writes under this name", from.Version, h.in.To.Version),
			Detail:  strings.Join(breaks[name], "; "),
		}, OK, Error)
	}
}

// nextVersion is the first version of e's family that the release does not define.
func nextVersion(r *schema.Release, e *schema.Event) int {
	n := e.FamilyVersion
	for i := range r.Events {
		if r.Events[i].Family == e.Family {
			n = max(n, r.Events[i].FamilyVersion)
		}
	}
	return n + 1
}

func eventNamed(r *schema.Release, name string) *schema.Event {
	if i := slices.IndexFunc(r.Events, func(e schema.Event) bool { return e.Name == name }); i >= 0 && name != "" {
		return &r.Events[i]
	}
	return nil
}

func materializerOf(r *schema.Release, event string) *schema.Materializer {
	if i := slices.IndexFunc(r.Materializers, func(m schema.Materializer) bool { return m.Event == event }); i >= 0 {
		return &r.Materializers[i]
	}
	return nil
}

// known returns a release by version, from all that the input names.
func (h *hazards) known(version string) *schema.Release {
	for _, r := range slices.Concat([]*schema.Release{h.in.To}, h.in.From, h.in.History) {
		if r.Version == version {
			return r
		}
	}
	return nil
}

// locate finds the file that a finding is about.
func (h *hazards) locate(f Finding) *Location {
	var files []string
	if m := materializerOf(h.in.To, f.Event); m != nil && (strings.HasPrefix(string(f.Code), "MT") || strings.HasPrefix(string(f.Code), "ST")) {
		files = m.Source.Files
	} else if e := eventNamed(h.in.To, f.Event); e != nil {
		files = e.Source.Files
	}
	if len(files) == 0 {
		return nil
	}
	return &Location{File: files[0]}
}

// mergeFrom joins findings that differ only in the release compared against.
func mergeFrom(list []Finding) []Finding {
	var out []Finding
	seen := map[string][]int{} // places in out by what identifies a finding cheaply
	for _, f := range list {
		key := strings.Join([]string{string(f.Code), string(f.Direction), f.Event, f.Table, f.Path, f.Message}, "\x00")
		i := slices.IndexFunc(seen[key], func(i int) bool {
			g := out[i]
			g.From = f.From
			return reflect.DeepEqual(f, g)
		})
		if i < 0 {
			seen[key] = append(seen[key], len(out))
			out = append(out, f)
			continue
		}
		g := &out[seen[key][i]]
		for _, v := range f.From {
			if !slices.Contains(g.From, v) {
				g.From = append(slices.Clip(g.From), v)
			}
		}
		slices.SortFunc(g.From, schema.CompareVersions)
	}
	return out
}

// mergeDirections joins the two directions of one finding where they are equally bad.
func mergeDirections(list []Finding) []Finding {
	var out []Finding
	for _, f := range list {
		if f.Direction == Fleet {
			twin := f
			twin.Direction = Replay
			if i := slices.IndexFunc(out, func(g Finding) bool { return reflect.DeepEqual(g, twin) }); i >= 0 {
				out[i].Direction = Both
				continue
			}
		}
		out = append(out, f)
	}
	return out
}
