package rollout

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// NoRelease is the release of a client that says none.
const NoRelease = "none"

// A Source says how it is known that a client is out there. The words are stable.
type Source string

const (
	FromSync      Source = "sync"      // the sync Worker's report of a connection: the authority
	FromFlag      Source = "flag"      // the context of a flag's evaluation
	FromTelemetry Source = "telemetry" // what the app's helper sent
	FromImport    Source = "import"    // `headgate census import`
)

// Sources are all of them, the authority first.
func Sources() []Source { return []Source{FromSync, FromFlag, FromTelemetry, FromImport} }

// An Observation is a client that was seen in a store.
type Observation struct {
	Client   string
	Release  string    // NoRelease where the client did not say it
	LastSeen time.Time // by the clock of who received the report
	Source   Source
	Refused  bool // the Worker refused it for its release, before it could pull
}

// A Watch says since when the sync Worker reports, and what it refuses.
type Watch struct {
	Since time.Time // the environment's first report; zero for none yet
	Last  time.Time // the store's last report; zero for none: nobody watches this store
	Floor string    // the release below which the Worker that reported last refuses to sync; empty for none

	Heard time.Time // the environment's last report; zero where nobody knows
	Known bool      // somebody set or lifted the floor
	Now   string    // and then this is it; empty for none
}

// silence is after how long without any report from an environment its reports are taken for broken.
const silence = 24 * time.Hour

// silent reports whether nobody watches the store, or nobody does any more.
func (w Watch) silent(now time.Time) bool {
	return w.Last.IsZero() || w.Since.IsZero() || !w.Heard.IsZero() && now.Sub(w.Heard) > silence
}

// shutsOut reports whether a client can't sync. What a report said of a floor that was lowered since is over: the client
// comes in again.
func (w Watch) shutsOut(o Observation) bool {
	return (o.Refused || shutOut(o.Release, w.Floor)) && (!w.Known || shutOut(o.Release, w.Now))
}

// A Gate is the rule of who may hold a store back.
type Gate struct {
	Horizon time.Duration // how long a client may be away and still count
	Waivers []Waiver
	Clients []string // patterns of server-side clients: those that fit one are one client, whose last release counts

	// Reads reports whether clients of a release define and materialize what the rollout opens. It is not asked about
	// NoRelease.
	Reads func(release string) bool
}

// Readiness says whether a store may open. The words are stable.
type Readiness string

const (
	Eligible   Readiness = "eligible"   // every client that is active reads the new version
	Waiting    Readiness = "waiting"    // nobody blocks, but it has not been watched for as long as a client may be away
	Blocked    Readiness = "blocked"    // a client is active that does not read it
	Unobserved Readiness = "unobserved" // the sync backend reports nobody, or stopped reporting at all
)

// A Verdict is the gate's answer for a store.
type Verdict struct {
	Readiness Readiness `json:"readiness"`
	Blockers  []Blocker `json:"blockers,omitempty"` // the latest first
	// Until is when the store may open if nothing more is heard; zero where only a report can open it.
	Until   time.Time `json:"until,omitzero"`
	Clients int       `json:"clients"`           // active, without tools
	Readers int       `json:"readers"`           // of those, how many read the new version
	Clamped int       `json:"clamped,omitempty"` // clients that were said to be seen in the future, and count as seen now
	Waived  []string  `json:"waived,omitempty"`  // the waivers that made a difference
}

// A Blocker is a client that holds a store back.
type Blocker struct {
	Client   string    `json:"client"`
	Release  string    `json:"release"`
	LastSeen time.Time `json:"lastSeen"`
	Source   Source    `json:"source"`
}

// Tools are how the client ids of programs that replay nothing begin: headgate's own writers and LiveStore's devtools.
func Tools() []string { return []string{"hg:", "devtools-"} }

// Store judges a store by who was seen in it, in any order.
func (g Gate) Store(store livestore.StoreID, now time.Time, w Watch, seen []Observation) Verdict {
	v := Verdict{Readiness: Eligible}
	waive := func(fits func(Waiver) bool) bool {
		i := slices.IndexFunc(g.Waivers, func(w Waiver) bool { return w.Holds(now) && fits(w) })
		if i >= 0 && !slices.Contains(v.Waived, g.Waivers[i].What()) {
			v.Waived = append(v.Waived, g.Waivers[i].What())
		}
		return i >= 0
	}
	for _, o := range g.clients(now, seen, &v) {
		v.Clients++
		if o.Release != NoRelease && g.Reads(o.Release) {
			v.Readers++
			continue
		}
		if w.shutsOut(o) {
			continue
		}
		if waive(func(w Waiver) bool {
			return w.Client != "" && fits(w.Client, o.Client) || w.Release != "" && w.Release == o.Release
		}) {
			continue
		}
		v.Blockers = append(v.Blockers, Blocker{Client: o.Client, Release: o.Release, LastSeen: o.LastSeen, Source: o.Source})
		v.Until = later(v.Until, o.LastSeen.Add(g.Horizon+time.Millisecond))
	}
	slices.SortFunc(v.Blockers, func(a, b Blocker) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Client, b.Client))
	})
	covered := w.Since.Add(g.Horizon)
	excused := (w.silent(now) || covered.After(now)) &&
		waive(func(w Waiver) bool { return w.Store != "" && fits(w.Store, string(store)) })
	switch {
	case w.silent(now) && !excused:
		v.Readiness, v.Until = Unobserved, time.Time{}
	case len(v.Blockers) > 0:
		v.Readiness = Blocked
		if covered.After(now) && !excused {
			v.Until = later(v.Until, covered)
		}
	case covered.After(now) && !excused:
		v.Readiness, v.Until = Waiting, covered
	}
	return v
}

// clients are those that count: the ones seen within the horizon, tools left out, groups as one. Of a client that sync
// reported, that is its latest report, and what another source says only where that is later and does not read. A report
// can't be taken back by a source that is not the authority.
func (g Gate) clients(now time.Time, seen []Observation, v *Verdict) []Observation {
	type known struct{ sync, other *Observation }
	byName := map[string]*known{}
	var order []*known
	for _, o := range seen {
		if slices.ContainsFunc(Tools(), func(prefix string) bool { return strings.HasPrefix(o.Client, prefix) }) {
			continue
		}
		if o.LastSeen.After(now) {
			o.LastSeen = now
			v.Clamped++
		}
		if now.Sub(o.LastSeen) > g.Horizon {
			continue
		}
		if i := slices.IndexFunc(g.Clients, func(pattern string) bool { return fits(pattern, o.Client) }); i >= 0 {
			o.Client = g.Clients[i]
		}
		k := byName[o.Client]
		if k == nil {
			k = &known{}
			byName[o.Client] = k
			order = append(order, k)
		}
		place := &k.other
		if o.Source == FromSync {
			place = &k.sync
		}
		if *place == nil || g.before(**place, o) {
			*place = &o
		}
	}
	var out []Observation
	for _, k := range order {
		switch {
		case k.sync == nil:
			out = append(out, *k.other)
		case k.other != nil && k.other.LastSeen.After(k.sync.LastSeen) && !g.reads(*k.other):
			out = append(out, *k.other)
		default:
			out = append(out, *k.sync)
		}
	}
	return out
}

func (g Gate) reads(o Observation) bool { return o.Release != NoRelease && g.Reads(o.Release) }

// before reports whether b takes a's place as the last that is known of a client. Of two at the same time the one that
// blocks does.
func (g Gate) before(a, b Observation) bool {
	if c := a.LastSeen.Compare(b.LastSeen); c != 0 {
		return c < 0
	}
	return (g.reads(a) || a.Refused) && !g.reads(b) && !b.Refused
}

// shutOut reports whether a Worker with this floor refuses clients of a release, those without one too, before they pull.
func shutOut(release, floor string) bool {
	if floor == "" {
		return false
	}
	return release == NoRelease || schema.CompareVersions(release, floor) < 0
}

func fits(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// String says why the store is not open, in one line.
func (v Verdict) String() string {
	switch v.Readiness {
	case Blocked:
		b := v.Blockers[0]
		s := fmt.Sprintf("client %s on %s, last seen %s", b.Client, b.Release, b.LastSeen.UTC().Format(time.RFC3339))
		if n := len(v.Blockers) - 1; n > 0 {
			s += fmt.Sprintf(", and %d more", n)
		}
		return s
	case Waiting:
		return "watched for long enough from " + v.Until.UTC().Format(time.RFC3339) + " on"
	case Unobserved:
		return "the sync backend reports no client"
	}
	return "every active client reads the new version"
}

// Readers returns what Gate.Reads asks: whether a recorded release defines and materializes all of the rollout's events.
// Of a release that nobody recorded nothing is known.
func (d *Definition) Readers(releases []*schema.Release) func(release string) bool {
	reads := map[string]bool{}
	for _, r := range releases {
		reads[r.Version] = !slices.ContainsFunc(d.New(), func(event string) bool { return emits(r, event) != "" })
	}
	return func(release string) bool { return reads[release] }
}

// FloorOf is the rollout's floor: its own, or else the first release from which on all define and materialize what it
// opens. Empty where no release does.
func (d *Definition) FloorOf(releases []*schema.Release) string {
	if d.Floor != "" {
		return d.Floor
	}
	floor := ""
	ordered := slices.SortedFunc(slices.Values(releases), func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	for _, event := range d.New() {
		own := floorOf(event, ordered)
		if own == "" {
			return ""
		}
		if floor == "" || schema.CompareVersions(own, floor) > 0 {
			floor = own
		}
	}
	return floor
}
