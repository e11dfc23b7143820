package probe

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// MixedJob is the name under which a program registers [JobMixed] in the sandbox.
const MixedJob = "probe.mixed"

// A MixedReplay is an interleaving of old and new versions of event families that goes wrong where neither all the old
// versions nor all the new ones do.
type MixedReplay struct {
	// Families are those whose versions are mixed in it.
	Families []string `json:"families"`
	// Events are the interleaving, shrunk, with the generated payloads.
	Events []MixedEvent `json:"events"`
	// Message is set when a materializer failed. Otherwise the two orders of the two events gave different states, and
	// Difference says where.
	Message    string `json:"message,omitempty"`
	Difference string `json:"difference,omitempty"`
}

// A MixedEvent is one event of an interleaving.
type MixedEvent struct {
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
}

// Mixed is the outcome of [CheckMixed].
type Mixed struct {
	// Families are those with several versions; without one there is nothing to mix.
	Families []string `json:"families"`
	// Interleavings and Pairs are how many were run and could tell something: both uniform runs went well.
	Interleavings int           `json:"interleavings"`
	Pairs         int           `json:"pairs"`
	Stopped       bool          `json:"stopped,omitempty"`
	Found         []MixedReplay `json:"found,omitempty"`
}

type mixedParams struct {
	App    App    `json:"app"`
	Budget Budget `json:"budget"`
}

// Sources are the scripts that the job evaluates.
func (p mixedParams) Sources() []string { return p.App.Program.Sources() }

// CheckMixed replays generated interleavings of old and new versions of the app's event families.
//
// What goes wrong is reported only when mixing is to blame. A sequence of events is written three times, about the same
// entities: with the oldest version of each family, with the newest, and mixed. It is a finding when the mixed one fails
// and the others don't. And two events about different entities are said to commute when both their orders give one state
// in the oldest and in the newest versions, so that nobody ever relied on their order; it is a finding when they
// don't commute mixed. An app whose events depend on order by design (a position that counts rows, the last writer
// of a shared row) does so in uniform versions too, and is left alone.
func CheckMixed(ctx context.Context, l script.Launcher, app App, b Budget) (Mixed, error) {
	if len(families(&app)) == 0 {
		return Mixed{Families: []string{}}, nil
	}
	return script.Run[Mixed](ctx, l, MixedJob, mixedParams{app, b})
}

// families are the event families with several versions that have materializers, by name: the versions' event names
// from old to new.
func families(app *App) map[string][]string {
	byFamily := map[string][]*schema.Event{}
	for _, e := range app.subjects() {
		if e.FamilyVersion > 0 {
			byFamily[e.Family] = append(byFamily[e.Family], e)
		}
	}
	out := map[string][]string{}
	for f, list := range byFamily {
		if len(list) < 2 {
			continue
		}
		sort.Slice(list, func(i, j int) bool { return list[i].FamilyVersion < list[j].FamilyVersion })
		for _, e := range list {
			out[f] = append(out[f], e.Name)
		}
	}
	return out
}

// A slot is a place in an interleaving: a family whose version is open, or one event; about an entity; with one of the
// payload variants.
type slot struct {
	family  string // "" when versions has one
	entity  int
	variant int
	// versions are the event names from old to new.
	versions []string
	// pick is the version that the mixed run takes.
	pick int
}

type mixer struct {
	*runner
	budget  Budget
	ctx     context.Context
	slots   []slot // one for each family and each other event, about entity 1, variant 0
	cache   map[string]json.RawMessage
	out     Mixed
	reports map[string]bool
}

// JobMixed is the sandbox's side of [CheckMixed].
func JobMixed(ctx context.Context, s *script.Session) (any, error) {
	var p mixedParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	r, err := open(s, &p.App, script.VMOptions{})
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.ensureFilled(); err != nil {
		return nil, err
	}
	b := p.Budget.orDefault()
	ctx, cancel := context.WithTimeout(ctx, 3*b.PerEvent)
	defer cancel()
	m := &mixer{runner: r, budget: b, ctx: ctx, cache: map[string]json.RawMessage{}, reports: map[string]bool{}}
	m.slots, m.out.Families = slotsOf(&p.App)
	for _, f := range []func() error{m.twos, m.randoms, m.commuting} {
		err := f()
		if endless(err) {
			m.out.Stopped = true
			break
		}
		if err != nil {
			return nil, err
		}
		if err := s.Send("alive"); err != nil {
			return nil, err
		}
	}
	m.out.Stopped = m.out.Stopped || ctx.Err() != nil
	return m.out, nil
}

func slotsOf(app *App) ([]slot, []string) {
	fams := families(app)
	var out []slot
	names := []string{}
	for f, versions := range fams {
		names = append(names, f)
		out = append(out, slot{family: f, entity: 1, versions: versions})
	}
	for _, e := range app.subjects() {
		if _, several := fams[e.Family]; !several || e.FamilyVersion == 0 {
			out = append(out, slot{entity: 1, versions: []string{e.Name}})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].versions[0] < out[j].versions[0] })
	sort.Strings(names)
	return out, names
}

// variants is how many payloads each version has for an entity: everything, nothing optional, and two random ones.
const variants = 4

// args is a version's payload for a slot, nil when the decoder admits none.
func (m *mixer) args(name string, s slot) json.RawMessage {
	key := name + string(rune('0'+s.entity)) + string(rune('0'+s.variant))
	if a, ok := m.cache[key]; ok {
		return a
	}
	g := m.generator(m.app.event(name))
	var v any
	var ok bool
	switch s.variant {
	case 0:
		v, ok = g.Base(s.entity)
	case 1:
		v, ok = g.Bare(s.entity)
	default:
		v, ok = g.RandomAbout(s.entity, rand.New(rand.NewPCG(uint64(s.variant), uint64(s.entity))))
	}
	var a json.RawMessage
	if ok {
		if a = payload.Encode(v); !m.admits(name, a) {
			a = nil
		}
	}
	m.cache[key] = a
	return a
}

// steps writes a sequence in one way: the version of each slot is chosen by pick. ok is false when a payload is missing.
func (m *mixer) steps(slots []slot, pick func(slot) int) (out []step, ok bool) {
	for _, s := range slots {
		name := s.versions[pick(s)]
		a := m.args(name, s)
		if a == nil {
			return nil, false
		}
		out = append(out, step{name, a})
	}
	return out, true
}

func oldest(slot) int   { return 0 }
func newest(s slot) int { return len(s.versions) - 1 }
func mixed(s slot) int  { return s.pick }

// replay applies a sequence to a state and takes it back. It returns the first failure.
func (m *mixer) replay(db *engine.DB, steps []step) (*engine.Poison, error) {
	var p *engine.Poison
	err := within(db, func() error {
		for _, s := range steps {
			r, err := m.apply(db, s)
			if err != nil {
				return err
			}
			if r.Poison != nil {
				p = r.Poison
				return nil
			}
		}
		return nil
	})
	return p, err
}

// onlyMixedFails reports the failure of a sequence in its mixed form when both uniform forms go well.
func (m *mixer) onlyMixedFails(slots []slot) (failed *engine.Poison, telling bool, err error) {
	for _, pick := range []func(slot) int{oldest, newest} {
		steps, ok := m.steps(slots, pick)
		if !ok {
			return nil, false, nil
		}
		if p, err := m.replay(m.empty, steps); p != nil || err != nil {
			return nil, false, err
		}
	}
	steps, ok := m.steps(slots, mixed)
	if !ok {
		return nil, false, nil
	}
	failed, err = m.replay(m.empty, steps)
	return failed, true, err
}

func (m *mixer) tryInterleaving(slots []slot) error {
	p, telling, err := m.onlyMixedFails(slots)
	if err != nil || !telling {
		return err
	}
	m.out.Interleavings++
	if p == nil {
		return nil
	}
	for i := 0; i < len(slots); {
		without := slices.Delete(slices.Clone(slots), i, i+1)
		if q, _, err := m.onlyMixedFails(without); err == nil && q != nil {
			slots, p, i = without, q, 0
			continue
		}
		i++
	}
	m.report(slots, (&failure{poison: p}).message(), "")
	return nil
}

func (m *mixer) report(slots []slot, message, difference string) {
	steps, _ := m.steps(slots, mixed)
	r := MixedReplay{Message: message, Difference: difference}
	var key []string
	for i, s := range steps {
		r.Events = append(r.Events, MixedEvent{s.event, s.args})
		key = append(key, s.event)
		if f := slots[i].family; f != "" && !slices.Contains(r.Families, f) {
			r.Families = append(r.Families, f)
		}
	}
	sort.Strings(r.Families)
	if difference != "" {
		sort.Strings(key)
	}
	if k := strings.Join(key, " "); !m.reports[k] && len(m.out.Found) < 20 {
		m.reports[k] = true
		m.out.Found = append(m.out.Found, r)
	}
}

// mixes calls f with every choice of versions for the slots that is not uniform. Those that take the oldest or newest
// versions only are all there is for two slots; for more, the caller chooses at random.
func mixes(slots []slot, f func([]slot) error) error {
	open := 0
	for _, s := range slots {
		if len(s.versions) > 1 {
			open++
		}
	}
	if open == 0 {
		return nil
	}
	choice := slices.Clone(slots)
	var walk func(i int) error
	walk = func(i int) error {
		if i == len(choice) {
			if uniform(choice) {
				return nil
			}
			return f(slices.Clone(choice))
		}
		for v := range choice[i].versions {
			choice[i].pick = v
			if err := walk(i + 1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(0)
}

// uniform reports whether a choice is what one of the uniform runs is.
func uniform(slots []slot) bool {
	old, now := true, true
	for _, s := range slots {
		old = old && s.pick == oldest(s)
		now = now && s.pick == newest(s)
	}
	return old || now
}

// twos tries all sequences of two and, with what makes rows first, of three events about one entity.
func (m *mixer) twos() error {
	for _, a := range m.slots {
		for _, b := range m.slots {
			if m.ctx.Err() != nil {
				return nil
			}
			if err := mixes([]slot{a, b}, m.tryInterleaving); err != nil {
				return err
			}
		}
	}
	return nil
}

// randoms tries longer sequences about two entities.
func (m *mixer) randoms() error {
	rng := rand.New(rand.NewPCG(11, 13))
	for range 150 {
		if m.ctx.Err() != nil {
			return nil
		}
		n := 3 + rng.IntN(4)
		slots := make([]slot, n)
		for i := range slots {
			s := m.slots[rng.IntN(len(m.slots))]
			s.entity, s.variant, s.pick = 1+rng.IntN(2), rng.IntN(variants), rng.IntN(len(s.versions))
			slots[i] = s
		}
		if uniform(slots) {
			continue
		}
		if err := m.tryInterleaving(slots); err != nil {
			return err
		}
	}
	return nil
}

// commuting compares the two orders of pairs about different entities.
func (m *mixer) commuting() error {
	for i, a := range m.slots {
		for _, b := range m.slots[i:] {
			if len(a.versions) == 1 || len(b.versions) == 1 {
				continue // one open version makes no mix
			}
			for variant := range variants {
				if m.ctx.Err() != nil {
					return nil
				}
				a, b := a, b
				a.entity, a.variant, b.entity, b.variant = 1, variant, 2, variant
				if err := mixes([]slot{a, b}, m.tryPair); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (m *mixer) tryPair(pair []slot) error {
	for _, db := range []*engine.DB{m.empty, m.filled} {
		telling := true
		for _, pick := range []func(slot) int{oldest, newest} {
			d, ok, err := m.orders(db, pair, pick)
			if err != nil {
				return err
			}
			telling = telling && ok && d == ""
		}
		if !telling {
			continue
		}
		m.out.Pairs++
		d, ok, err := m.orders(db, pair, mixed)
		if err != nil {
			return err
		}
		if ok && d != "" {
			m.report(pair, "", d)
			return nil
		}
	}
	return nil
}

// orders compares the states that both orders of a pair give. ok is false when they can't be compared: one fails, or
// one of the events changes nothing, so that of course they commute.
func (m *mixer) orders(db *engine.DB, pair []slot, pick func(slot) int) (difference string, ok bool, err error) {
	steps, ok := m.steps(pair, pick)
	if !ok {
		return "", false, nil
	}
	var before, ab, ba, a snapshot
	if before, err = snap(db); err != nil {
		return "", false, err
	}
	for _, run := range []struct {
		steps []step
		into  *snapshot
	}{{steps[:1], &a}, {steps, &ab}, {[]step{steps[1], steps[0]}, &ba}} {
		if ok, err = m.stateAfter(db, run.steps, run.into); err != nil || !ok {
			return "", false, err
		}
	}
	if a.diff(before) == "" || ab.diff(a) == "" {
		return "", false, nil
	}
	return ab.diff(ba), true, nil
}

func (m *mixer) stateAfter(db *engine.DB, steps []step, into *snapshot) (ok bool, err error) {
	err = within(db, func() error {
		for _, s := range steps {
			r, err := m.apply(db, s)
			if err != nil {
				return err
			}
			if r.Poison != nil {
				return nil
			}
		}
		var err error
		*into, err = snap(db)
		ok = err == nil
		return err
	})
	return ok, err
}
