package planner

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// unknownEvent raises a new event's severity where a live release would stop at it for good.
func (h *hazards) unknownEvent(from *schema.Release, c Change, usual Severity) (Severity, string) {
	name := c.Event
	if c.Kind == EventRenamed {
		name = strings.TrimPrefix(c.Note, "-> ")
	}
	var failing []string
	for _, r := range h.liveReleases(from) {
		if r.UnknownEventHandling == "fail" && eventNamed(r, name) == nil {
			failing = append(failing, r.Version)
		}
	}
	gate := h.gate(name)
	switch {
	case len(failing) == 0 && gate != nil:
		return usual, "Held by " + gate.By + " until its readers are there" + late(gate) + "."
	case len(failing) == 0 && slices.Contains(h.in.Facts.Adapters, "web"):
		return usual, "On the web a client whose log ends with an event that it does not know loses what it commits after a reload, unless withStartupCheck (headgate generate) goes around its adapter."
	case len(failing) == 0:
		return usual, ""
	case gate != nil:
		return Warning, fmt.Sprintf("unknownEventHandling is fail in %s: a client there stops syncing for good at the first such event. Held by %s until its readers are there%s.",
			strings.Join(failing, ", "), gate.By, late(gate))
	}
	return Error, fmt.Sprintf("unknownEventHandling is fail in %s: a client there stops syncing for good at the first such event.", strings.Join(failing, ", "))
}

// liveReleases are the release compared against and every other that the fleet still runs and headgate knows.
func (h *hazards) liveReleases(from *schema.Release) []*schema.Release {
	live := []*schema.Release{from}
	for _, l := range h.in.Facts.Live {
		r := h.known(l.Version)
		if r != nil && r != h.in.To && !slices.Contains(live, r) {
			live = append(live, r)
		}
	}
	return live
}

func (h *hazards) gate(event string) *Gate {
	for i := range h.in.Facts.Gates {
		if h.in.Facts.Gates[i].Event == event {
			return &h.in.Facts.Gates[i]
		}
	}
	return nil
}

func late(g *Gate) string {
	switch {
	case g.LateReturners < 0:
		return "; how many clients may return from beyond the horizon is unknown"
	case g.LateReturners > 0:
		return fmt.Sprintf("; %s may still return from beyond the horizon", count(int64(g.LateReturners), "client"))
	}
	return ""
}

// names judges the event names of To by themselves.
func (h *hazards) names() {
	seen := map[string]int{}
	for i := range h.in.To.Events {
		e := &h.in.To.Events[i]
		if seen[e.Name]++; seen[e.Name] == 2 {
			h.lint(Change{Kind: EventDuplicate, Event: e.Name})
		}
		if e.Derived || e.ClientOnly {
			continue
		}
		if e.FamilyVersion == 0 {
			h.lint(Change{Kind: EventUnversioned, Event: e.Name})
		}
		if gap := h.missingPredecessor(e); gap != "" {
			h.lint(Change{Kind: EventGap, Event: e.Name, Note: "no known release defines " + gap})
		}
	}
}

// missingPredecessor names the version before e when no known release defines it.
func (h *hazards) missingPredecessor(e *schema.Event) string {
	if e.FamilyVersion <= 1 {
		return ""
	}
	for _, r := range slices.Concat(h.in.History, h.in.From, []*schema.Release{h.in.To}) {
		for i := range r.Events {
			x := &r.Events[i]
			// An unversioned name counts as the family's first version.
			before := x.FamilyVersion == e.FamilyVersion-1 || x.FamilyVersion == 0 && e.FamilyVersion == 2
			if before && (strings.EqualFold(x.Family, e.Family) || strings.EqualFold(x.Name, e.Family)) {
				return ""
			}
		}
	}
	return fmt.Sprintf("v%d.%s", e.FamilyVersion-1, e.Family)
}

// lint records a finding about To alone.
func (h *hazards) lint(c Change) {
	code, replay, fleet := judge(c)
	message := h.rules[code].Title
	if c.Note != "" {
		message += ": " + c.Note
	}
	h.add(Finding{Code: code, Event: c.Event, Path: c.Path, Message: message}, replay, fleet)
}

// payloads judges the argument types of To by themselves: what can't be analysed, what looks like personal data.
func (h *hazards) payloads() {
	for i := range h.in.To.Events {
		e := &h.in.To.Events[i]
		if e.Derived {
			continue
		}
		if e.Args == nil {
			h.lint(Change{Kind: TypeUnanalysable, Event: e.Name, Path: "$.args", Note: "the release has no dump of it"})
			continue
		}
		visitWire(e.Args, func(path string, head schema.Head) {
			switch head.Type.Kind {
			case schema.Any, schema.Unknown:
				if len(head.Transforms) == 0 {
					h.lint(Change{Kind: TypeUnanalysable, Event: e.Name, Path: path, Note: string(head.Type.Kind)})
				}
			case schema.Opaque:
				h.lint(Change{Kind: TypeUnanalysable, Event: e.Name, Path: path, Note: head.Type.Why})
			case schema.String, schema.Number:
				if word := personal(path); word != "" && !e.ClientOnly && readable(head) {
					h.add(Finding{Code: "SE102", Event: e.Name, Path: path, Message: "personal data in a plaintext event: the name says " + word}, Info, OK)
				}
			}
		})
	}
}

// readable reports whether the value lies in the log as it is: no code of the app stands between.
func readable(head schema.Head) bool {
	return !slices.ContainsFunc(head.Transforms, func(t *schema.Type) bool { return !fromEffect(t.ID) })
}

// visitWire calls visit for every node of the encoded side of t, with the first path that leads to it.
func visitWire(t *schema.Type, visit func(path string, head schema.Head)) {
	env := t.Suspends()
	seen := map[*schema.Type]bool{} // recursive types end here
	var walk func(t *schema.Type, path string)
	walk = func(t *schema.Type, path string) {
		head := schema.Peel(t, env)
		if seen[head.Type] {
			return
		}
		seen[head.Type] = true
		visit(path, head)
		for _, m := range head.Type.Members {
			walk(m, path)
		}
		for _, f := range head.Type.Fields {
			walk(f.Type, childPath(path, f.Name))
		}
		for i, e := range head.Type.Elements {
			walk(e.Type, fmt.Sprintf("%s[%d]", path, i))
		}
		for _, r := range head.Type.Rest {
			walk(r, path+"[*]")
		}
		for _, x := range head.Type.Index {
			walk(x.Value, path+".*")
		}
	}
	walk(t, "$.args")
}

// count writes a number with thousands separators and a noun.
func count(n int64, noun string) string {
	s := thousands(n) + " " + noun
	if n != 1 {
		s += "s"
	}
	return s
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
