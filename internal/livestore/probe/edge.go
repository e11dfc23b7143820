package probe

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// EdgeJob is the name under which a program registers [JobEdge] in the sandbox.
const EdgeJob = "probe.edge"

// Budget bounds a probe. The zero value is [DefaultBudget].
type Budget struct {
	// Payloads is the number of generated payloads tried per event.
	Payloads int `json:"payloads"`
	// PerEvent is the time spent on one event, after which the next one's turn comes.
	PerEvent time.Duration `json:"perEvent"`
	// Shrink is how often a failing payload may be tried again to make it smaller.
	Shrink int `json:"shrink"`
}

// DefaultBudget suits a pull-request check.
func DefaultBudget() Budget { return Budget{Payloads: 300, PerEvent: 10 * time.Second, Shrink: 200} }

func (b Budget) orDefault() Budget {
	d := DefaultBudget()
	if b.Payloads <= 0 {
		b.Payloads = d.Payloads
	}
	if b.PerEvent <= 0 {
		b.PerEvent = d.PerEvent
	}
	if b.Shrink <= 0 {
		b.Shrink = d.Shrink
	}
	return b
}

// A State says which state a payload was materialized against.
type State string

const (
	Filled State = "filled" // rows about the payload's entity are there
	Empty  State = "empty"  // no rows at all: as when they were deleted, or never made
)

// An EdgeCase is a payload that the event's schema admits and the materializer does not survive, shrunk.
type EdgeCase struct {
	Event   string          `json:"event"`
	State   State           `json:"state"`
	Payload json.RawMessage `json:"payload"` // generated
	Shape   string          `json:"shape"`
	Stage   engine.Stage    `json:"stage"`
	Message string          `json:"message"`
	Stack   string          `json:"stack,omitempty"` // of a throw; bundle's Script.LocateTrace reads it
}

// Coverage is how far a probe came with one event.
type Coverage struct {
	Event string `json:"event"`
	// Tried payloads were admitted by the decoder and run; Refused ones were generated and not admitted.
	Tried   int `json:"tried"`
	Refused int `json:"refused,omitempty"`
	// Stopped is set when there would have been more: the number of payloads or the time was spent.
	Stopped bool `json:"stopped,omitempty"`
	// Opaque are the places that only the app's code can judge. With Tried 0, nothing could be generated.
	Opaque []string `json:"opaque,omitempty"`
}

// EdgeCases is the outcome of [CheckEdgeCases].
type EdgeCases struct {
	Cases    []EdgeCase `json:"cases,omitempty"`
	Coverage []Coverage `json:"coverage,omitempty"`
}

type edgeParams struct {
	App    App    `json:"app"`
	Budget Budget `json:"budget"`
}

// Sources are the scripts that the job evaluates.
func (p edgeParams) Sources() []string { return p.App.Program.Sources() }

// CheckEdgeCases runs every materializer on payloads at the edges of what its event's schema admits.
func CheckEdgeCases(ctx context.Context, l script.Launcher, app App, b Budget) (EdgeCases, error) {
	return script.Run[EdgeCases](ctx, l, EdgeJob, edgeParams{app, b})
}

// maxCases bounds the distinct failures reported of one event.
const maxCases = 5

// JobEdge is the sandbox's side of [CheckEdgeCases].
func JobEdge(ctx context.Context, s *script.Session) (any, error) {
	var p edgeParams
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
	out := EdgeCases{}
	for _, e := range p.App.subjects() {
		cases, c, err := r.edgeCases(ctx, e, p.Budget.orDefault())
		if err != nil {
			return nil, err
		}
		out.Cases = append(out.Cases, cases...)
		out.Coverage = append(out.Coverage, c)
		if err := s.Send("alive"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// randomTail is how many random payloads follow the systematic ones.
const randomTail = 40

func (r *runner) edgeCases(ctx context.Context, e *schema.Event, b Budget) ([]EdgeCase, Coverage, error) {
	ctx, cancel := context.WithTimeout(ctx, b.PerEvent)
	defer cancel()
	g := r.generator(e)
	c := Coverage{Event: e.Name, Opaque: g.Opaque()}
	values := append(g.Examples(), g.Edge()...)
	if more := max(b.Payloads-randomTail, 1); len(values) > more {
		values, c.Stopped = spread(values, more), true
	}
	values = append(values, r.randoms(e.Name, min(randomTail, b.Payloads))...)
	list, refused, _, err := r.payloads(e.Name, values, len(values))
	if err != nil {
		return nil, c, err
	}
	c.Refused = refused
	var out []EdgeCase
	seen := map[string]bool{}
	for _, args := range list {
		if ctx.Err() != nil {
			c.Stopped = true
			break
		}
		c.Tried++
		f, err := r.survives(step{e.Name, args})
		if endless(err) {
			c.Stopped = true // each further payload may take as long
			return append(out, EdgeCase{
				Event: e.Name, State: Filled, Payload: args, Shape: payload.Shape(decodeArgs(args), e.Args), Stage: engine.StageMaterialize, Message: err.Error(),
			}), c, nil
		}
		if err != nil {
			return nil, c, err
		}
		if f == nil || seen[f.class()] || len(out) == maxCases {
			continue
		}
		small, sf := r.shrinkFailure(e.Name, args, f, b.Shrink)
		seen[f.class()] = true
		out = append(out, EdgeCase{
			Event: e.Name, State: f.state, Payload: small, Shape: payload.Shape(decodeArgs(small), e.Args),
			Stage: sf.poison.Stage, Message: sf.message(), Stack: sf.poison.Stack,
		})
	}
	return out, c, nil
}

// endless reports whether app code was stopped because it ran too long or took too much memory.
func endless(err error) bool {
	var f *script.Failure
	return errors.As(err, &f) && f.Kind != script.Threw
}

// A failure is an event that turned out to be poison against a state.
type failure struct {
	state  State
	poison *engine.Poison
}

func (f *failure) message() string {
	if f.poison.Name == "" || f.poison.Name == "SqliteError" {
		return f.poison.Message
	}
	return f.poison.Name + ": " + f.poison.Message
}

// class tells kinds of failures apart: a throw by its place in the code, a refused statement by SQLite's message. Messages
// of throws may hold values. The state is left out: a payload about another row than the filled state's fails there as
// every one does in the empty state.
func (f *failure) class() string {
	if f.poison.Stack != "" && f.poison.Stage != engine.StageSQL {
		return string(f.poison.Stage) + f.poison.Name + f.poison.Stack
	}
	return string(f.poison.Stage) + f.poison.Message
}

// survives materializes one event against both states. A row that is already there, or one that it refers to and isn't,
// is no failure in the filled state, since ids are not made to be equal; in the empty state an event that collides
// collides with itself, unless it refers to something.
func (r *runner) survives(s step) (*failure, error) {
	m, err := r.materialize(r.filled, s)
	if err != nil {
		return nil, err
	}
	if m.Poison != nil && m.Poison.Stage == engine.StageDecode {
		return nil, nil // not admitted, then
	}
	if p, err := r.outcome(r.filled, m); err != nil || p != nil && !collides(p) {
		return failed(Filled, p), err
	}
	if m.Queried {
		if m, err = r.materialize(r.empty, s); err != nil {
			return nil, err
		}
	}
	p, err := r.outcome(r.empty, m)
	if p != nil && refersToNothing(p) {
		return nil, err
	}
	return failed(Empty, p), err
}

func failed(s State, p *engine.Poison) *failure {
	if p == nil {
		return nil
	}
	return &failure{s, p}
}

// outcome executes what a materializer made, and takes it back.
func (r *runner) outcome(db *engine.DB, m engine.Materialized) (*engine.Poison, error) {
	if m.Poison != nil {
		return m.Poison, nil
	}
	var p *engine.Poison
	err := within(db, func() error {
		p = execute(db, m.Ops)
		return nil
	})
	return p, err
}

// shrinkFailure makes a failing payload smaller while it fails in the same way.
func (r *runner) shrinkFailure(event string, args json.RawMessage, f *failure, budget int) (json.RawMessage, *failure) {
	best := f
	v := payload.Shrink(decodeArgs(args), budget, func(v any) bool {
		small := payload.Encode(v)
		if !r.admits(event, small) {
			return false
		}
		g, err := r.survives(step{event, small})
		if err != nil || g == nil || g.state != f.state || g.class() != f.class() {
			return false
		}
		best = g
		return true
	})
	return payload.Encode(v), best
}
