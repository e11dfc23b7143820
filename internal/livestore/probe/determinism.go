package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/script"
)

// DeterminismJob is the name under which a program registers [JobDeterminism] in the sandbox.
const DeterminismJob = "probe.determinism"

// A Cause is what a materializer's outcome depends on beside its event and the state.
type Cause string

const (
	Clock    Cause = "the clock"
	Random   Cause = "randomness"
	TimeZone Cause = "the time zone"
	Calls    Cause = "earlier calls"
	IO       Cause = "I/O"
	SQLite   Cause = "SQLite" // a function of SQLite's in one of its statements: random(), 'now'
)

// A Dependence says that a materializer is not a function of its event and the state.
type Dependence struct {
	Event string `json:"event"`
	// Causes are what it depends on, sorted. It is empty when the runs differed and no single cause explains it.
	Causes []Cause `json:"causes"`
	// Differs says what came out different: the statement's table and parameter ("todos: parameter 1: another text(21)").
	Differs string `json:"differs"`
	// Uses names functions that were called, where they are known ("fetch", "random").
	Uses []string `json:"uses,omitempty"`
	// Payload is a generated payload that shows it.
	Payload json.RawMessage `json:"payload"`

	repeated bool // the same call gave something else the second time
}

// Determinism is the outcome of [CheckDeterminism].
type Determinism struct {
	// Events and Payloads are how much was run. An event without an admitted payload is in Untried.
	Events       int          `json:"events"`
	Payloads     int          `json:"payloads"`
	Untried      []string     `json:"untried,omitempty"`
	Dependencies []Dependence `json:"dependencies,omitempty"`
	// SameZone is true when the machine could not give the sandbox another time zone.
	SameZone bool `json:"sameZone,omitempty"`
}

// world is what a run could observe of its surroundings.
type world struct {
	Now  time.Time `json:"now"`
	Seed uint32    `json:"seed"`
	Zone string    `json:"zone"`
}

var (
	thisWorld  = world{Now: script.FixedNow(), Seed: 1, Zone: "UTC"}
	otherWorld = world{Now: time.Date(2031, 7, 15, 13, 45, 12, 345e6, time.UTC), Seed: 977, Zone: "Asia/Kolkata"}
)

// fallbackZone needs no zone files; only Date honours it, Intl does not.
const fallbackZone = "HGT-5:30"

type determinismParams struct {
	App   App   `json:"app"`
	World world `json:"world"`
	// Fill makes the filled state; nil: this run's own.
	Fill []engine.Operation `json:"fill,omitempty"`
}

// Sources are the scripts that the job evaluates.
func (p determinismParams) Sources() []string { return p.App.Program.Sources() }

type determinismRun struct {
	Fill    []engine.Operation `json:"fill"`
	Offset  string             `json:"offset"` // of the time zone, as the app sees it
	Trials  []trial            `json:"trials"`
	Untried []string           `json:"untried"`
}

// A trial is one payload's outcome against the empty and the filled state, and against the filled one once more.
type trial struct {
	Event string             `json:"event"`
	Args  json.RawMessage    `json:"args"`
	Runs  [3]json.RawMessage `json:"runs"` // engine.Materialized
}

// JobDeterminism is the sandbox's side of [CheckDeterminism]: one run of every materializer.
func JobDeterminism(_ context.Context, s *script.Session) (any, error) {
	var p determinismParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	out := determinismRun{}
	opts := script.VMOptions{Now: p.World.Now, Seed: p.World.Seed}
	var err error
	if out.Offset, err = zoneOffset(s, opts); err != nil {
		return nil, err
	}
	r, err := open(s, &p.App, opts)
	if err != nil {
		return nil, err
	}
	defer r.close()
	// Every run makes the same calls in the same order, so that one that draws random numbers or counts is at the same
	// point; then the rows are made the same.
	if err := r.ensureFilled(); err != nil {
		return nil, err
	}
	if p.Fill != nil {
		r.filled.Close()
		if err := r.refill(p.Fill); err != nil {
			return nil, err
		}
	}
	out.Fill = r.fill
	for _, e := range p.App.subjects() {
		list, _, _, err := r.payloads(e.Name, append(r.generator(e).Examples(), r.randoms(e.Name, 6)...), 40)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			out.Untried = append(out.Untried, e.Name)
		}
		for _, args := range list {
			t, err := r.trial(step{e.Name, args}, int64(len(out.Trials)))
			if endless(err) {
				out.Untried = append(out.Untried, e.Name)
				break
			}
			if err != nil {
				return nil, err
			}
			out.Trials = append(out.Trials, t)
		}
		if err := s.Send("alive"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// trial materializes one payload; seq is the same in every run.
func (r *runner) trial(s step, seq int64) (trial, error) {
	t := trial{Event: s.event, Args: s.args}
	for i, db := range []*engine.DB{r.empty, r.filled, r.filled} {
		r.seq = seq
		m, err := r.materialize(db, s)
		if err != nil {
			return t, err
		}
		if m.Poison != nil {
			m.Poison.Stack = "" // it says no more than where
		}
		if t.Runs[i], err = json.Marshal(m); err != nil {
			return t, err
		}
	}
	return t, nil
}

// zoneOffset asks an engine of its own for the time zone.
func zoneOffset(s *script.Session, opts script.VMOptions) (string, error) {
	vm, err := s.NewVM(opts)
	if err != nil {
		return "", err
	}
	defer vm.Close()
	if err := vm.Load("zone.js", "globalThis.zone = () => String(new Date(0).getTimezoneOffset())"); err != nil {
		return "", err
	}
	return vm.Call("zone", "")
}

// CheckDeterminism runs every materializer twice, with another clock, random source and time zone, and where the
// statements differ once more for each of these alone.
func CheckDeterminism(ctx context.Context, l script.Launcher, app App) (Determinism, error) {
	run := func(w world, fill []engine.Operation) (determinismRun, error) {
		l.TimeZone = w.Zone
		return script.Run[determinismRun](ctx, l, DeterminismJob, determinismParams{app, w, fill})
	}
	a, err := run(thisWorld, nil)
	if err != nil {
		return Determinism{}, err
	}
	other := otherWorld
	b, err := run(other, a.Fill)
	if err == nil && b.Offset == a.Offset {
		other.Zone = fallbackZone
		b, err = run(other, a.Fill)
	}
	if err != nil {
		return Determinism{}, err
	}
	out := Determinism{Payloads: len(a.Trials), Untried: a.Untried, SameZone: a.Offset == b.Offset}
	events := map[string]bool{}
	for _, t := range a.Trials {
		events[t.Event] = true
	}
	out.Events = len(events)
	found := dependencies(a, b, true)
	var unexplained []string
	for _, d := range found {
		if len(d.Causes) == 0 {
			unexplained = append(unexplained, d.Event)
		}
	}
	if len(unexplained) > 0 {
		for _, alone := range []struct {
			cause Cause
			world world
		}{
			{Clock, world{other.Now, thisWorld.Seed, thisWorld.Zone}},
			{Random, world{thisWorld.Now, other.Seed, thisWorld.Zone}},
			{TimeZone, world{thisWorld.Now, thisWorld.Seed, other.Zone}},
		} {
			c, err := run(alone.world, a.Fill)
			if err != nil {
				return Determinism{}, err
			}
			for _, d := range dependencies(a, c, false) {
				if i := slices.IndexFunc(found, func(f Dependence) bool { return f.Event == d.Event }); i >= 0 && slices.Contains(unexplained, d.Event) {
					found[i].Causes = append(found[i].Causes, alone.cause)
				}
			}
		}
	}
	for i := range found {
		if len(found[i].Causes) == 0 && found[i].repeated {
			found[i].Causes = []Cause{Calls}
		}
		slices.Sort(found[i].Causes)
		found[i].Causes = slices.Compact(found[i].Causes)
	}
	out.Dependencies = found
	return out, nil
}

// dependencies compares the trials of two runs and, if repeats is set, the second call of each trial of a with the first.
// There is at most one per event.
func dependencies(a, b determinismRun, repeats bool) []Dependence {
	others := map[string]trial{}
	for _, t := range b.Trials {
		others[t.Event+" "+string(t.Args)] = t
	}
	var out []Dependence
	for _, t := range a.Trials {
		if slices.ContainsFunc(out, func(d Dependence) bool { return d.Event == t.Event }) {
			continue
		}
		d := Dependence{Event: t.Event, Payload: t.Args}
		first := t.outcome(1)
		u, there := others[t.Event+" "+string(t.Args)]
		switch again := difference(first, t.outcome(2)); {
		case denied(first) != "":
			d.Causes, d.Uses = []Cause{IO}, []string{denied(first)}
			d.Differs = "it calls " + denied(first)
		case volatileWords(first) != nil:
			d.Causes, d.Uses = []Cause{SQLite}, volatileWords(first)
			d.Differs = "its statement uses " + strings.Join(d.Uses, ", ")
		case repeats && again != "":
			d.repeated, d.Differs = true, again
		case !there:
			d.Differs = "whether its payload is admitted"
		default:
			for i := range 2 {
				if d.Differs == "" {
					d.Differs = difference(t.outcome(i), u.outcome(i))
				}
			}
		}
		if d.Differs != "" {
			out = append(out, d)
		}
	}
	return out
}

func (t trial) outcome(i int) engine.Materialized {
	var m engine.Materialized
	_ = json.Unmarshal(t.Runs[i], &m) // this program wrote it
	return m
}

// difference says how two runs of a materializer differ, by statement and parameter; empty when they don't.
func difference(a, b engine.Materialized) string {
	switch {
	case (a.Poison == nil) != (b.Poison == nil):
		return "whether it throws"
	case a.Poison != nil && (a.Poison.Name != b.Poison.Name || a.Poison.Message != b.Poison.Message):
		return "what it throws"
	case len(a.Ops) != len(b.Ops):
		return fmt.Sprintf("the number of statements: %d -> %d", len(a.Ops), len(b.Ops))
	}
	for i := range a.Ops {
		if a.Ops[i].SQL != b.Ops[i].SQL {
			return fmt.Sprintf("the text of statement %d", i+1)
		}
		if d := a.Ops[i].Binds.Diff(b.Ops[i].Binds); d != "" {
			return fmt.Sprintf("statement %d, %s", i+1, d)
		}
	}
	return ""
}

// denied is what a materializer called that the sandbox refuses, empty when it did not.
func denied(m engine.Materialized) string {
	const refusal = " is not available where headgate evaluates"
	if m.Poison == nil {
		return ""
	}
	what, _, found := strings.Cut(m.Poison.Message, refusal)
	if !found {
		return ""
	}
	return what
}

// harmless words make a statement depend on earlier statements or on SQLite's version, which replay has in the same way.
var harmless = []string{"changes", "total_changes", "last_insert_rowid", "sqlite_version", "sqlite_source_id"}

var nowInCall = regexp.MustCompile(`(?i)\b(date|time|datetime|julianday|unixepoch|strftime|timediff)\s*\([^)]*'now'`)

// volatileWords are the functions of SQLite's that make a statement's effect depend on the clock or on chance.
func volatileWords(m engine.Materialized) []string {
	var out []string
	for _, op := range m.Ops {
		for _, w := range engine.Volatile(op.SQL) {
			switch {
			case w == "'now'" && !nowInCall.MatchString(op.SQL):
			case slices.Contains(harmless, w):
			default:
				out = append(out, w)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
