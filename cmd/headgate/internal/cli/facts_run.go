package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/script"
	"headgate/planner"
)

// A finder runs some of the app's code and says what it found. It may be called beside others.
type finder struct {
	what  string
	codes []planner.Code // that are decided when it succeeds
	find  func(ctx context.Context) (planner.Facts, error)
}

// run asks the app's code. A probe that the code does not survive is unverified, not an error.
func (g *gatherer) run(ctx context.Context) error {
	to := g.q.to
	app := anonymous(to)
	finders := []finder{
		{"determinism", []planner.Code{"MT101"}, func(ctx context.Context) (planner.Facts, error) { return g.determinism(ctx, app) }},
		{"edge cases", []planner.Code{"MT103"}, func(ctx context.Context) (planner.Facts, error) { return g.edges(ctx, app) }},
		{"mixed versions", []planner.Code{"MT104"}, func(ctx context.Context) (planner.Facts, error) { return g.mixed(ctx, app) }},
		{"query plans", []planner.Code{"ST110"}, func(context.Context) (planner.Facts, error) { return g.plans() }},
	}
	unchanged := 0
	for _, from := range g.q.from {
		if from.StateHash != to.StateHash {
			continue // every client rebuilds: what the old materializers made is gone
		}
		unchanged++
		old := anonymous(from)
		finders = append(finders, finder{"behaviour since " + from.Version, []planner.Code{"ST102"}, func(ctx context.Context) (planner.Facts, error) {
			return g.compare(ctx, from.Version, old, app)
		}})
	}
	if unchanged == 0 {
		g.facts.Checked = append(g.facts.Checked, "ST102")
	}
	p := g.app.progress("running the app's code", int64(len(finders)))
	defer p.Done()
	found := make([]planner.Facts, len(finders))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for i, f := range finders {
		group.Go(func() error {
			defer p.Add(1)
			start := g.app.now()
			facts, err := f.find(ctx)
			g.app.log.Debug("ran the app's code", "for", f.what, "took", g.app.now().Sub(start))
			var failed *script.Failure
			switch {
			case errors.As(err, &failed):
				facts = planner.Facts{Unverified: []string{fmt.Sprintf("%s of %s: %v", f.what, nameOf(to.Release), failed)}}
			case err != nil:
				return err
			default:
				facts.Checked = f.codes
			}
			found[i] = facts
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, f := range found {
		g.facts.Behaviour = append(g.facts.Behaviour, f.Behaviour...)
		g.facts.Runs = append(g.facts.Runs, f.Runs...)
		g.facts.EdgeCases = append(g.facts.EdgeCases, f.EdgeCases...)
		g.facts.MixedReplays = append(g.facts.MixedReplays, f.MixedReplays...)
		g.facts.QueryPlans = append(g.facts.QueryPlans, f.QueryPlans...)
		g.facts.Checked = append(g.facts.Checked, f.Checked...)
		g.facts.Unverified = append(g.facts.Unverified, f.Unverified...)
	}
	return nil
}

// anonymous is a release as probes see it, without its version: the same code is asked once, whatever it is called.
func anonymous(b build) probe.App {
	app := probe.AppOf(b.Release, programOf(b), b.Script.Hints(b.Release))
	app.Version = ""
	return app
}

func (g *gatherer) determinism(ctx context.Context, to probe.App) (planner.Facts, error) {
	var out planner.Facts
	d, err := probe.CheckDeterminism(ctx, g.launcher, to)
	if err != nil {
		return out, err
	}
	for _, dep := range d.Dependencies {
		run := planner.MaterializerRun{Release: g.q.to.Version, Event: dep.Event, Differs: dep.Differs}
		for _, c := range dep.Causes {
			run.Uses = append(run.Uses, string(c))
		}
		run.Uses = append(run.Uses, dep.Uses...)
		out.Runs = append(out.Runs, run)
	}
	for _, e := range d.Untried {
		out.Unverified = append(out.Unverified, fmt.Sprintf("whether the materializer of %s is deterministic: it could be run on no payload", e))
	}
	return out, nil
}

// maxShown is the length up to which a generated payload is shown itself, and not only by its shape.
const maxShown = 160

func (g *gatherer) edges(ctx context.Context, to probe.App) (planner.Facts, error) {
	var out planner.Facts
	r, err := probe.CheckEdgeCases(ctx, g.launcher, to, probe.DefaultBudget())
	if err != nil {
		return out, err
	}
	for _, c := range r.Cases {
		e := planner.EdgeCase{Release: g.q.to.Version, Event: c.Event, Shape: string(c.Payload), Error: c.Message, RowsMissing: c.State == probe.Empty}
		if len(e.Shape) > maxShown {
			e.Shape = c.Shape
		}
		if at := g.q.to.Script.LocateTrace(c.Stack); at != "" {
			e.Error += " at " + at
		}
		out.EdgeCases = append(out.EdgeCases, e)
	}
	for _, c := range r.Coverage {
		if c.Tried > 0 {
			continue
		}
		why := "no payload that its schema admits could be made"
		if len(c.Opaque) > 0 {
			why += ": " + strings.Join(c.Opaque, ", ")
		}
		out.Unverified = append(out.Unverified, fmt.Sprintf("edge cases of %s: %s", c.Event, why))
	}
	return out, nil
}

func (g *gatherer) mixed(ctx context.Context, to probe.App) (planner.Facts, error) {
	var out planner.Facts
	m, err := probe.CheckMixed(ctx, g.launcher, to, probe.DefaultBudget())
	if err != nil {
		return out, err
	}
	for _, f := range m.Found {
		one := planner.MixedReplay{Release: g.q.to.Version, Family: strings.Join(f.Families, ", "), Error: f.Message, Difference: f.Difference}
		for _, e := range f.Events {
			one.Order = append(one.Order, e.Event)
		}
		out.MixedReplays = append(out.MixedReplays, one)
	}
	return out, nil
}

func (g *gatherer) plans() (planner.Facts, error) {
	var out planner.Facts
	plans, err := probe.QueryPlans(g.q.to.Release)
	for _, p := range plans {
		one := planner.QueryPlan{Release: g.q.to.Version, Query: p.Query}
		for _, s := range p.Scans {
			one.Scans = append(one.Scans, s.Table)
		}
		out.QueryPlans = append(out.QueryPlans, one)
		if p.Error != "" {
			out.Unverified = append(out.Unverified, fmt.Sprintf("the query %s: %s", p.Query, p.Error))
		}
	}
	return out, err
}

func (g *gatherer) compare(ctx context.Context, version string, from, to probe.App) (planner.Facts, error) {
	var out planner.Facts
	list, err := probe.Compare(ctx, g.launcher, from, to, g.samples, probe.DefaultBudget())
	for _, b := range list {
		// Other statements that give the same rows change nothing for anybody; a changed source is said by itself.
		verdict := map[probe.Verdict]planner.Verdict{
			probe.Same: planner.Same, probe.Statements: planner.Same, probe.Different: planner.Different, probe.Unclear: planner.Unclear,
		}[b.Verdict]
		out.Behaviour = append(out.Behaviour, planner.Behaviour{
			From: version, To: g.q.to.Version, Event: b.Event, Verdict: verdict, Payloads: b.Tried, Real: b.Real,
			Witness: b.Witness, Difference: b.Difference, SourceChanged: b.SourceChanged, Why: b.Why,
		})
	}
	return out, err
}
