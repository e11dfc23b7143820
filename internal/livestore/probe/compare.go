package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// CompareJob is the name under which a program registers [JobCompare] in the sandbox.
const CompareJob = "probe.compare"

// A Verdict is what comparing two releases' materializers of one event gave.
type Verdict string

const (
	Same       Verdict = "same"       // no payload told them apart
	Statements Verdict = "statements" // other statements or parameters, the same rows on every payload tried
	Different  Verdict = "different"  // Witness gives other rows, or only the new one fails
	Unclear    Verdict = "unclear"    // nothing could be compared; Why says so
)

// A Behaviour compares the materializers of one event in two releases.
type Behaviour struct {
	Event   string  `json:"event"`
	Verdict Verdict `json:"verdict"`
	// Tried is how many payloads both releases admit and were run on; Real how many of them came from logs. Refused
	// payloads are those that the old release admits and the new one does not: another finding's matter.
	Tried   int `json:"tried"`
	Real    int `json:"real,omitempty"`
	Refused int `json:"refused,omitempty"`
	// Stopped is set when there would have been more to try.
	Stopped bool `json:"stopped,omitempty"`
	// SourceChanged is true when the source closure of the materializer or of the event differs. Exact is false when a
	// closure covers whole modules, so that the change may lie elsewhere in them.
	SourceChanged bool `json:"sourceChanged,omitempty"`
	Exact         bool `json:"exact,omitempty"`
	// Witness is the shape of a payload that tells them apart; WitnessPayload is the payload itself when it was generated.
	Witness        string          `json:"witness,omitempty"`
	WitnessPayload json.RawMessage `json:"witnessPayload,omitempty"`
	// Difference says what came out different, by table, column and type.
	Difference string   `json:"difference,omitempty"`
	Opaque     []string `json:"opaque,omitempty"`
	Why        string   `json:"why,omitempty"`
}

type compareParams struct {
	From    App               `json:"from"`
	To      App               `json:"to"`
	Budget  Budget            `json:"budget"`
	Samples map[string]Sample `json:"samples,omitempty"`
}

// Sources are the scripts that the job evaluates.
func (p compareParams) Sources() []string {
	return append(p.From.Program.Sources(), p.To.Program.Sources()...)
}

// Compare runs the materializers of two releases on the same generated and real payloads against the same states. It makes
// sense only between releases with one state hash: with another hash every client rebuilds. samples are real payloads
// by event, see [Collect]; they may be nil.
func Compare(ctx context.Context, l script.Launcher, from, to App, samples map[string]Sample, b Budget) ([]Behaviour, error) {
	return script.Run[[]Behaviour](ctx, l, CompareJob, compareParams{from, to, b, samples})
}

// JobCompare is the sandbox's side of [Compare].
func JobCompare(ctx context.Context, s *script.Session) (any, error) {
	var p compareParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	c := &comparer{budget: p.Budget.orDefault(), samples: p.Samples}
	var err error
	if c.old, err = open(s, &p.From, script.VMOptions{}); err != nil {
		return nil, err
	}
	defer c.old.close()
	if c.now, err = open(s, &p.To, script.VMOptions{}); err != nil {
		return nil, err
	}
	defer c.now.close()
	if err := c.old.ensureFilled(); err != nil {
		return nil, err
	}
	if err := c.now.refill(c.old.fill); err != nil {
		return nil, fmt.Errorf("the new release's tables don't take the old one's rows: %w", err)
	}
	out := []Behaviour{}
	for _, e := range p.From.subjects() {
		if !p.To.materializes(e.Name) {
			continue // that it went is another finding
		}
		b, err := c.event(ctx, e)
		if endless(err) {
			b.Verdict, b.Why, err = Unclear, "a materializer was stopped: "+err.Error(), nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		if err := s.Send("alive"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a *App) materializer(event string) *schema.Materializer {
	for i := range a.Materializers {
		if a.Materializers[i].Event == event {
			return &a.Materializers[i]
		}
	}
	return nil
}

func (a *App) materializes(event string) bool {
	return a.event(event) != nil && a.materializer(event) != nil
}

type comparer struct {
	old, now *runner
	budget   Budget
	samples  map[string]Sample
}

func (c *comparer) sourceChanged(event string) (changed, exact bool) {
	exact = true
	for _, pair := range [][2]schema.Source{
		{c.old.app.materializer(event).Source, c.now.app.materializer(event).Source},
		{c.old.app.event(event).Source, c.now.app.event(event).Source},
	} {
		if pair[0].Digest != pair[1].Digest {
			changed = true
			exact = exact && pair[0].Scope == "closure" && pair[1].Scope == "closure"
		}
	}
	return changed, exact
}

// values are the generated payloads for an event: all there are for one whose source changed, examples otherwise.
func (c *comparer) values(e *schema.Event, changed bool) []any {
	g := payload.New(e.Args, news(c.old.app.Hints[e.Name], c.now.app.Hints[e.Name]))
	values := g.Examples()
	if !changed {
		return values
	}
	values = append(values, g.Edge()...)
	rng := rand.New(rand.NewPCG(5, 5))
	for range 2 * randomTail {
		if v, ok := g.Random(rng); ok {
			values = append(values, v)
		}
	}
	return values
}

// news joins the hints of both releases. What only one of them has comes first: that is where they may part.
func news(old, now payload.Hints) payload.Hints {
	return payload.Hints{Numbers: unsharedFirst(old.Numbers, now.Numbers), Strings: unsharedFirst(old.Strings, now.Strings)}
}

func unsharedFirst[T comparable](old, now []T) []T {
	var first, rest []T
	for _, v := range slices.Concat(now, old) {
		if slices.Contains(old, v) && slices.Contains(now, v) {
			rest = append(rest, v)
		} else {
			first = append(first, v)
		}
	}
	return append(first, rest...)
}

func (c *comparer) event(ctx context.Context, e *schema.Event) (Behaviour, error) {
	ctx, cancel := context.WithTimeout(ctx, c.budget.PerEvent)
	defer cancel()
	b := Behaviour{Event: e.Name, Verdict: Same, Opaque: c.old.generator(e).Opaque()}
	b.SourceChanged, b.Exact = c.sourceChanged(e.Name)
	for _, args := range c.samples[e.Name].Payloads { // first of all: a slow machine may have no time for more
		if !c.old.admits(e.Name, args) {
			continue
		}
		if done, err := c.one(ctx, &b, e, args, true); err != nil || done {
			return b, err
		}
	}
	list, _, cut, err := c.old.payloads(e.Name, c.values(e, b.SourceChanged), c.budget.Payloads)
	if err != nil {
		return b, err
	}
	b.Stopped = cut
	for _, args := range list {
		if done, err := c.one(ctx, &b, e, args, false); err != nil || done {
			return b, err
		}
	}
	if b.Tried == 0 {
		b.Verdict, b.Why = Unclear, "no payload could be made that both releases admit"
	}
	return b, nil
}

// one tries one payload. done is true when nothing more needs to be tried.
func (c *comparer) one(ctx context.Context, b *Behaviour, e *schema.Event, args json.RawMessage, real bool) (done bool, err error) {
	if ctx.Err() != nil {
		b.Stopped = true
		return true, nil
	}
	if !c.now.admits(e.Name, args) {
		b.Refused++
		return false, nil
	}
	b.Tried++
	if real {
		b.Real++
	}
	d, err := c.differ(step{e.Name, args}, real)
	if err != nil || d == nil {
		return false, err
	}
	if !d.rows {
		if b.Verdict == Same {
			b.Verdict, b.Difference = Statements, d.text
			b.Witness = payload.Shape(decodeArgs(args), e.Args)
		}
		return false, nil
	}
	small := payload.Shrink(decodeArgs(args), c.budget.Shrink, func(v any) bool {
		a := payload.Encode(v)
		if !c.old.admits(e.Name, a) || !c.now.admits(e.Name, a) {
			return false
		}
		s, err := c.differ(step{e.Name, a}, real)
		if err != nil || s == nil || !s.rows || s.fails != d.fails {
			return false
		}
		d = s
		return true
	})
	b.Verdict, b.Difference = Different, d.text
	b.Witness = payload.Shape(small, e.Args)
	if !real {
		b.WitnessPayload = payload.Encode(small)
	}
	return true, nil
}

// A departure is where two materializers part.
type departure struct {
	rows  bool // the states differ, or only the new one fails
	fails bool // only the new one fails
	text  string
}

// differ runs both materializers against the empty and the filled state and, for a real payload, against one whose rows
// are about the payload's own strings. The first difference in rows counts, else one in statements.
func (c *comparer) differ(s step, real bool) (*departure, error) {
	var found *departure
	try := func(old, now *engine.DB) (more bool, err error) {
		d, queried, err := c.against(old, now, s)
		if err != nil {
			return false, err
		}
		if d != nil && (found == nil || d.rows) {
			found = d
		}
		return (d == nil && queried) || (d != nil && !d.rows), nil
	}
	more, err := try(c.old.filled, c.now.filled)
	if err != nil || !more {
		return found, err
	}
	more, err = try(c.old.empty, c.now.empty)
	if err != nil || !more || !real {
		return found, err
	}
	for _, key := range keysOf(decodeArgs(s.args)) {
		more, err := c.aboutKey(key, s, try)
		if err != nil || !more {
			return found, err
		}
	}
	return found, nil
}

// aboutKey tries in a state filled with rows about one string.
func (c *comparer) aboutKey(key string, s step, try func(old, now *engine.DB) (bool, error)) (more bool, err error) {
	err = within(c.old.empty, func() error {
		fill, err := c.old.insertAll(c.old.empty, c.old.about(func(g *payload.Generator) (any, bool) { return g.BaseAbout(key) }))
		if err != nil {
			return err
		}
		return within(c.now.empty, func() error {
			if p := execute(c.now.empty, fill); p != nil {
				return errors.New("the new release's tables don't take the old one's rows")
			}
			more, err = try(c.old.empty, c.now.empty)
			return err
		})
	})
	return more, err
}

// keysOf are the strings at the top of a payload that may be ids, few.
func keysOf(v any) []string {
	m, _ := v.(map[string]any)
	var out []string
	for _, k := range sortedKeys(m) {
		if s, ok := m[k].(string); ok && s != "" && len(s) <= 64 && len(out) < 3 {
			out = append(out, s)
		}
	}
	return out
}

// against compares in one state. Rows are compared only when the statements differ.
func (c *comparer) against(oldDB, nowDB *engine.DB, s step) (d *departure, queried bool, err error) {
	c.now.seq = c.old.seq // a materializer may use the event's number
	old, err := c.old.materialize(oldDB, s)
	if err != nil {
		return nil, false, err
	}
	now, err := c.now.materialize(nowDB, s)
	if err != nil {
		return nil, false, err
	}
	queried = old.Queried || now.Queried
	text := difference(old, now)
	if old.Poison != nil || text == "" {
		return nil, queried, nil // the same; or a poison event already, which no client has rows of
	}
	if now.Poison != nil {
		return &departure{rows: true, fails: true, text: "only the new one fails: " + (&failure{poison: now.Poison}).message()}, queried, nil
	}
	before, oldPoison, err := after(oldDB, old.Ops)
	if err != nil || oldPoison != nil {
		return nil, queried, err
	}
	behind, nowPoison, err := after(nowDB, now.Ops)
	if err != nil {
		return nil, queried, err
	}
	if nowPoison != nil {
		return &departure{rows: true, fails: true, text: "only the new one fails: " + nowPoison.Message}, queried, nil
	}
	if rows := before.diff(behind); rows != "" {
		return &departure{rows: true, text: rows}, queried, nil
	}
	return &departure{text: text}, queried, nil
}

// after is the state that operations lead to; it is taken back.
func after(db *engine.DB, ops []engine.Operation) (snapshot, *engine.Poison, error) {
	var p *engine.Poison
	var s snapshot
	err := within(db, func() error {
		if p = execute(db, ops); p != nil {
			return nil
		}
		var err error
		s, err = snap(db)
		return err
	})
	return s, p, err
}
