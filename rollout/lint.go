package rollout

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// RO103 is the finding that a variant may be emitted by builds that do not have its event.
const RO103 = "RO103"

// A Problem is what is wrong with a flag, given the recorded releases.
type Problem struct {
	Code    string `json:"code,omitempty"` // of a finding: RO103
	Flag    string `json:"flag"`
	Variant string `json:"variant"`
	Line    int    `json:"line"`
	Open    bool   `json:"open"` // the variant has stores: the problem is real as soon as the flags are published
	Msg     string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Lint holds a flag against the recorded releases of its schema: each release at or above a variant's floor must define
// the event as a synced one and materialize it. It says nothing about who reads a store, nor about a plain flag.
func Lint(f *Flag, releases []*schema.Release) []Problem {
	if f.Plain() {
		return nil
	}
	releases = slices.SortedFunc(slices.Values(releases), func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	var out []Problem
	for _, v := range f.Variants {
		if v.Event == Off {
			continue
		}
		if msg, hint := lintVariant(v, releases); msg != "" {
			out = append(out, Problem{Code: RO103, Flag: f.Key, Variant: v.Name, Line: v.Line, Open: !f.Disabled && v.Open(), Msg: msg, Hint: hint})
		}
	}
	return out
}

func lintVariant(v Variant, releases []*schema.Release) (msg, hint string) {
	lacks := func(r *schema.Release) bool { return emits(r, v.Event) != "" }
	first := slices.IndexFunc(releases, func(r *schema.Release) bool { return !lacks(r) })
	admitted := slices.DeleteFunc(slices.Clone(releases), func(r *schema.Release) bool { return !v.Admits(r.Version) })
	switch {
	case len(releases) == 0:
		return "no release is recorded, so nothing shows that a build can emit " + v.Event, "record the releases: headgate release add VERSION"
	case len(admitted) == 0:
		return fmt.Sprintf("no recorded release is at or above the floor %s, so nothing shows that its builds can emit %s", v.Floor, v.Event),
			"record the release: headgate release add " + v.Floor
	case first < 0:
		return "no recorded release defines and materializes " + v.Event, knownEvents(v, releases)
	case v.Floor == "":
		admitted = releases[first:] // builds from before the event's first release have no emitter that could ask
	}
	var lacking []string
	last := -1
	for i, r := range admitted {
		if lacks(r) {
			lacking, last = append(lacking, r.Version), i
		}
	}
	if last < 0 {
		return "", ""
	}
	msg = fmt.Sprintf("release %s %s", strings.Join(lacking, ", "), emits(admitted[last], v.Event))
	switch {
	case v.Floor == "":
		return msg, "bring the event back: who gets the default can't be held off by a floor"
	case last+1 < len(admitted):
		hint = "raise the floor to " + admitted[last+1].Version
	default:
		hint = "bring the event back, record that release, and raise the floor to it"
	}
	return fmt.Sprintf("%s, and the floor %s lets its builds emit it", msg, v.Floor), hint
}

// emits returns why a release can't emit an event, or "".
func emits(r *schema.Release, event string) string {
	e, ok := r.Event(event)
	switch {
	case !ok:
		return "does not define " + event
	case e.Derived || e.ClientOnly:
		return "does not sync " + event + ", so no other client would see it"
	}
	if _, ok := r.Materializer(event); !ok {
		return "has no materializer for " + event + ", so it would change nothing"
	}
	return ""
}

// knownEvents says which events the newest release has in the variant's place.
func knownEvents(v Variant, releases []*schema.Release) string {
	var names []string
	for _, e := range releases[len(releases)-1].Events {
		if !e.ClientOnly && !e.Derived {
			names = append(names, e.Name)
		}
	}
	return didYouMean(v.Event, names)
}
