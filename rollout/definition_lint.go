package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/schema"
)

// The findings about a rollout; RO103 and RO104 stand elsewhere.
const (
	RO101 = "RO101" // emitted before its readers are there
	RO102 = "RO102" // a release that is alive lacks the definition
	RO105 = "RO105" // a prerelease that the floor shuts out is alive
	RO106 = "RO106" // an analysis looks at a signal that nobody reports
)

// A Finding is what is wrong with a rollout.
type Finding struct {
	Code    string `json:"code"`
	Warning bool   `json:"warning"`
	Line    int    `json:"line"`
	Msg     string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// A LiveRelease is a release that clients were seen on.
type LiveRelease struct {
	Release  string
	Clients  int64
	LastSeen time.Time
}

// Check holds a rollout against the recorded releases of its schema, the flags that people edit (nil for none), how far it
// is (the zero State before its start), and the releases that are alive with the floor that the Worker enforces.
func (d *Definition) Check(releases []*schema.Release, edited *File, s State, live []LiveRelease, floor string) []Finding {
	var out []Finding
	add := func(f Finding) { out = append(out, f) }
	emitFloor := d.FloorOf(releases)
	for _, flag := range d.Flags(emitFloor, 0, nil, false) {
		for _, p := range Lint(&flag, releases) {
			add(Finding{Code: p.Code, Line: p.Line, Msg: p.Msg, Hint: p.Hint})
		}
	}
	for _, f := range d.Events {
		if edited == nil {
			break
		}
		if flag, ok := edited.Flag(f.Key()); ok {
			code := Finding{
				Code: RO101, Line: f.Line, Msg: fmt.Sprintf("%s:%d has the flag %s too", edited.Path, flag.Line, f.Key()),
				Hint: "remove it there: the rollout publishes it",
			}
			if v := flag.index(f.To); v >= 0 && (flag.Variants[v].Open() || flag.Default == v) && !flag.Disabled {
				code.Msg += " and opens " + f.New() + " without looking for its readers"
			}
			add(code)
		}
	}
	if s.Identity != "" && s.Phase.Active() && s.Identity != d.Identity() {
		add(Finding{Code: RO104, Line: d.Events[0].Line, Msg: fmt.Sprintf("the rollout was started with %s, the file has %s", s.Identity, d.Identity()), Hint: "put it back: stores would get other places"})
	}
	reads := d.Readers(releases)
	for _, l := range live {
		seen := fmt.Sprintf("%d clients, last seen %s", l.Clients, l.LastSeen.UTC().Format(time.RFC3339))
		if l.Release == NoRelease || !reads(l.Release) {
			add(Finding{Code: RO102, Warning: true, Line: d.Events[0].Line, Msg: fmt.Sprintf("release %s is alive (%s) and does not read %s", l.Release, seen, strings.Join(d.New(), " and ")), Hint: "the gate holds their stores until they upgrade or age out; a floor ends the wait"})
		}
		if floor != "" && l.Release != NoRelease && schema.CompareVersions(l.Release, floor) < 0 && strings.HasPrefix(l.Release, floor+"-") {
			add(Finding{Code: RO105, Warning: true, Line: d.Events[0].Line, Msg: fmt.Sprintf("the floor %s shuts out %s, which is alive (%s)", floor, l.Release, seen), Hint: "set the floor to " + floor + "-0, or have its testers upgrade first"})
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return strings.Compare(a.Code, b.Code) })
	return out
}

// Unheard are the analyses of steps whose signals can't tell anything: signs are those that were ever seen in the environment.
func (d *Definition) Unheard(seen func(Sign) bool) []Finding {
	var out []Finding
	for _, t := range d.Analysis {
		used := slices.ContainsFunc(d.Steps, func(s Step) bool { return slices.Contains(s.Analysis, t.Name) })
		if t.Signal == "" || !used {
			continue
		}
		if why := t.Signal.Mute(seen); why != "" {
			out = append(out, Finding{
				Code: RO106, Warning: true, Line: t.Line,
				Msg:  fmt.Sprintf("the analysis %s looks at %s, but %s: it would see nothing that goes wrong, and where it has no data it counts as onNoData says, %s", t.Name, t.Signal, why, t.OnNoData),
				Hint: "have the wrapped sync backend and the app report to headgate serve before the first step opens; or measure it with prometheus: or command:",
			})
		}
	}
	return out
}

// Closed are published flags with nothing open: the same keys and order, weight 0. They need no definition.
func Closed(flags []Flag, revision int) []Flag {
	out := slices.Clone(flags)
	for i := range out {
		f := &out[i]
		f.Revision, f.Variants = revision, slices.Clone(f.Variants)
		for j := range f.Variants {
			v := &f.Variants[j]
			v.Percent, v.Stores = 0, nil
			if j == f.Default {
				v.Percent = hundred
			}
		}
	}
	return out
}
