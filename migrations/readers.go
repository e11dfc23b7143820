package migrations

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// A Verdict says what clients of a release do with a migration's events. The words are stable.
type Verdict string

const (
	Reads Verdict = "reads" // define and materialize them
	// Skips: an event is not defined there, or has no materializer. The client goes on without it, and has a hole that
	// an upgrade does not fill by itself.
	Skips Verdict = "skips"
	// Breaks: the client stops, for good.
	Breaks Verdict = "breaks"
)

// A Reader is a release that is live, and what it does with a migration's events.
type Reader struct {
	Release string  `json:"release"`
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
}

// Readers judges the releases that are live against the events that a migration commits, as target has them. web says
// that the app runs in browsers.
func Readers(d Definition, target *schema.Release, live []*schema.Release, web bool) []Reader {
	out := []Reader{}
	for _, r := range live {
		out = append(out, read(d, target, r, web))
	}
	return out
}

func (d Definition) events() []string {
	var names []string
	for _, e := range d.Emits {
		names = append(names, e.Event)
	}
	if d.Marker != "" {
		names = append(names, d.Marker)
	}
	return names
}

func read(d Definition, target, r *schema.Release, web bool) Reader {
	out := Reader{Release: r.Version, Verdict: Reads}
	var undefined, silent []string
	for _, name := range d.events() {
		if _, ok := r.Event(name); !ok {
			undefined = append(undefined, name)
		} else if _, ok := r.Materializer(name); !ok && name != d.Marker {
			silent = append(silent, name)
		}
	}
	switch {
	case len(undefined) > 0 && r.UnknownEventHandling == "fail":
		out.Verdict = Breaks
		out.Why = fmt.Sprintf("it does not define %s and unknownEventHandling is fail: a client there stops syncing for good", strings.Join(undefined, ", "))
		return out
	case len(undefined) > 0:
		out.Verdict = Skips
		out.Why = "it does not define " + strings.Join(undefined, ", ") + ": a client there skips it, and keeps the hole when it upgrades"
		if web {
			out.Why += "; in a browser it may lose what it commits after a reload, while such an event is the last of its log"
		}
	case len(silent) > 0:
		out.Verdict = Skips
		out.Why = "it has no materializer for " + strings.Join(silent, ", ")
	}
	if why := undecodable(d, target, r); why != "" {
		out.Verdict, out.Why = Breaks, why
	}
	return out
}

// undecodable says what keeps a release from reading the events as target writes them.
func undecodable(d Definition, target, r *schema.Release) string {
	older := schema.CompareVersions(r.Version, target.Version) < 0
	in := planner.Input{From: []*schema.Release{target}, To: r, Profile: planner.ProfileReplay, Now: time.Unix(0, 0)}
	if older {
		in.From, in.To, in.Profile = []*schema.Release{r}, target, planner.ProfileFleet
	}
	events := d.events()
	for _, f := range planner.Check(in).Findings {
		if f.Severity != planner.Error || !slices.Contains(events, f.Event) || older != (f.Direction != planner.Replay) {
			continue
		}
		if _, ok := r.Event(f.Event); !ok {
			continue // told already
		}
		if f.Path == "" {
			continue // about the event as a whole, its materializer for instance: not about reading it
		}
		return fmt.Sprintf("%s: %s (%s)", f.Event, f.Message, f.Code)
	}
	return ""
}
