package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/script"
	"headgate/planner"
)

// samplesPerEvent bounds the real payloads that two materializers are compared on.
const samplesPerEvent = 40

// gather finds the facts: it reads the environment's logs once, and runs the app's materializers in the sandbox.
// What could not be found out is in Facts.Unverified; only a broken log or an interrupt is an error.
func (a *app) gather(ctx context.Context, q comparison) (planner.Facts, error) {
	l, err := a.launcher()
	if err != nil {
		return planner.Facts{}, err
	}
	g := &gatherer{app: a, q: q, launcher: l, samples: map[string]probe.Sample{}}
	for _, ad := range q.schema.Adapters {
		g.facts.Adapters = append(g.facts.Adapters, string(ad))
	}
	for _, e := range q.schema.Gated {
		g.facts.Gates = append(g.facts.Gates, planner.Gate{Event: e, By: "headgate.yaml (gated)", LateReturners: -1})
	}
	if q.env != nil {
		g.facts.Horizon = q.env.Fleet.Horizon
		for _, alive := range q.env.Fleet.Alive {
			g.facts.Live = append(g.facts.Live, planner.LiveRelease{Version: alive.Release, Share: alive.Share})
		}
		if err := g.logs(ctx); err != nil {
			return planner.Facts{}, err
		}
	}
	if err := g.run(ctx); err != nil {
		return planner.Facts{}, err
	}
	slices.Sort(g.facts.Checked)
	g.facts.Checked = slices.Compact(g.facts.Checked)
	return g.facts, nil
}

type gatherer struct {
	app      *app
	q        comparison
	launcher script.Launcher
	samples  map[string]probe.Sample

	facts planner.Facts
}

// logs reads every log of the environment that belongs to the schema.
func (g *gatherer) logs(ctx context.Context) error {
	p := g.app.progress("reading logs", 0)
	defer p.Done()
	for _, s := range g.q.env.Stores {
		if s.Schema != g.q.schema.Name {
			continue
		}
		if err := g.log(ctx, s, p); err != nil {
			return err
		}
	}
	return nil
}

func (g *gatherer) log(ctx context.Context, s config.Store, p *progress) error {
	url := openlog.URL{Kind: openlog.Kind(s.Log.Kind), Path: s.Log.Path}
	r, err := openlog.Open(ctx, url, openlog.Options{StoreID: s.ID})
	if err != nil {
		return atStore(err, g.q.cfg, s)
	}
	defer r.Close() //nolint:errcheck // read only
	head, err := r.Head(ctx)
	if err != nil {
		return atStore(err, g.q.cfg, s)
	}
	f := planner.LogFacts{Store: s.ID, Head: head.Confirmed, Events: map[string]int64{}, Skipped: map[string]int64{}}
	c := eventlog.NewCollector(g.app.now())
	for e, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("store %s: %v", s.ID, err))
			continue
		}
		if err != nil {
			return atStore(err, g.q.cfg, s)
		}
		c.Add(e)
		f.Events[e.Name]++
		if e.Pending {
			f.Pending++
		}
		if e.HasSchemaHash && e.SchemaHash == livestore.UnknownSchemaHash {
			f.Skipped[e.Name]++
		}
		p.Add(1)
	}
	st := c.Stats()
	for _, h := range st.HighFrequency {
		f.HighFrequency = append(f.HighFrequency, h.Name)
	}
	for _, n := range st.Names {
		f.PerDay += n.PerDay
	}
	if info, err := os.Stat(s.Log.Path); err == nil && !info.IsDir() {
		f.Bytes = info.Size()
	}
	if err := g.decode(ctx, s, r, p); err != nil {
		return atStore(err, g.q.cfg, s)
	}
	names := make([]string, 0, len(g.q.to.Events))
	for _, e := range g.q.to.Events {
		names = append(names, e.Name)
	}
	found, err := probe.Collect(ctx, r, names, samplesPerEvent)
	if err != nil {
		return atStore(err, g.q.cfg, s)
	}
	g.samples = probe.Merge(samplesPerEvent, g.samples, found)
	g.facts.Logs = append(g.facts.Logs, f)
	return nil
}

// decode asks the new release's decoder about every event of a log that it defines.
func (g *gatherer) decode(ctx context.Context, s config.Store, r eventlog.Reader, p *progress) error {
	var names []string
	for _, e := range g.q.to.Events {
		names = append(names, e.Name)
	}
	ev, err := probe.Decode(ctx, g.launcher, programOf(g.q.to), r, names, livestore.ClientSeq{}, p.Add)
	var failed *script.Failure
	if errors.As(err, &failed) {
		g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("store %s: the decoder of %s could not be asked: %v", s.ID, nameOf(g.q.to.Release), failed))
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range ev.Events {
		out := planner.ProbeResult{To: g.q.to.Version, Event: d.Event, Store: s.ID, Head: ev.Head.Global, Count: d.Count, Failing: d.Failing}
		for _, o := range d.Offenders {
			out.FirstOffenders = append(out.FirstOffenders, planner.Offender{Seq: o.Seq.Global, Path: o.Path, Want: o.Wanted})
		}
		g.facts.Probes = append(g.facts.Probes, out)
	}
	return nil
}

func atStore(err error, cfg *config.Config, s config.Store) error {
	if e := errs.As(err); e != nil {
		return e
	}
	return fmt.Errorf("store %s (%s): %w", s.ID, cfg.Where(s.Line), err)
}

func programOf(b build) engine.Program {
	return engine.Program{Code: b.Script.Code, Export: b.Script.Export}
}

func appOf(b build, hints map[string]payload.Hints) probe.App {
	return probe.AppOf(b.Release, programOf(b), hints)
}

// run asks the app's code. A probe that the code does not survive is unverified, not an error.
func (g *gatherer) run(ctx context.Context) error {
	to := appOf(g.q.to, g.q.to.Script.Hints(g.q.to.Release))
	version := g.q.to.Version
	type asking struct {
		what  string
		codes []planner.Code
		ask   func(ctx context.Context) error
	}
	probes := []asking{
		{"determinism", []planner.Code{"MT101"}, func(ctx context.Context) error { return g.determinism(ctx, to) }},
		{"edge cases", []planner.Code{"MT103"}, func(ctx context.Context) error { return g.edges(ctx, to) }},
		{"mixed versions", []planner.Code{"MT104"}, func(ctx context.Context) error { return g.mixed(ctx, to) }},
		{"query plans", []planner.Code{"ST110"}, func(context.Context) error { return g.plans() }},
	}
	for _, from := range g.q.from {
		if from.StateHash != g.q.to.StateHash {
			continue // every client rebuilds: what the old materializers made is gone
		}
		probes = append(probes, asking{"behaviour since " + from.Version, []planner.Code{"ST102"}, func(ctx context.Context) error { return g.compare(ctx, from, to) }})
	}
	if len(g.q.from) > 0 {
		g.facts.Checked = append(g.facts.Checked, "ST102")
	}
	p := g.app.progress("running the app's code", int64(len(probes)))
	defer p.Done()
	for _, ask := range probes {
		err := ask.ask(ctx)
		var failed *script.Failure
		switch {
		case err == nil:
			g.facts.Checked = append(g.facts.Checked, ask.codes...)
		case errors.As(err, &failed):
			g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("%s of %s: %v", ask.what, version, failed))
		default:
			return err
		}
		p.Add(1)
	}
	return nil
}

func (g *gatherer) determinism(ctx context.Context, to probe.App) error {
	d, err := probe.CheckDeterminism(ctx, g.launcher, to)
	if err != nil {
		return err
	}
	for _, dep := range d.Dependencies {
		run := planner.MaterializerRun{Release: to.Version, Event: dep.Event, Differs: dep.Differs}
		for _, c := range dep.Causes {
			run.Uses = append(run.Uses, string(c))
		}
		run.Uses = append(run.Uses, dep.Uses...)
		g.facts.Runs = append(g.facts.Runs, run)
	}
	for _, e := range d.Untried {
		g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("the materializer of %s: no payload that its schema admits could be made", e))
	}
	return nil
}

func (g *gatherer) edges(ctx context.Context, to probe.App) error {
	r, err := probe.CheckEdgeCases(ctx, g.launcher, to, probe.DefaultBudget())
	if err != nil {
		return err
	}
	for _, c := range r.Cases {
		text := c.Message
		if c.State == probe.Empty {
			text += " (when the rows that it is about are not there)"
		}
		g.facts.EdgeCases = append(g.facts.EdgeCases, planner.EdgeCase{Release: to.Version, Event: c.Event, Shape: string(c.Payload), Error: text})
	}
	return nil
}

func (g *gatherer) mixed(ctx context.Context, to probe.App) error {
	m, err := probe.CheckMixed(ctx, g.launcher, to, probe.DefaultBudget())
	if err != nil {
		return err
	}
	for _, f := range m.Found {
		out := planner.MixedReplay{Release: to.Version, Family: strings.Join(f.Families, ", "), Error: f.Message, Difference: f.Difference}
		for _, e := range f.Events {
			out.Order = append(out.Order, e.Event)
		}
		g.facts.MixedReplays = append(g.facts.MixedReplays, out)
	}
	return nil
}

func (g *gatherer) plans() error {
	plans, err := probe.QueryPlans(g.q.to.Release)
	if err != nil {
		return err
	}
	for _, p := range plans {
		out := planner.QueryPlan{Release: g.q.to.Version, Query: p.Query}
		for _, s := range p.Scans {
			out.Scans = append(out.Scans, s.Table)
		}
		g.facts.QueryPlans = append(g.facts.QueryPlans, out)
	}
	return nil
}

func (g *gatherer) compare(ctx context.Context, from build, to probe.App) error {
	list, err := probe.Compare(ctx, g.launcher, appOf(from, from.Script.Hints(from.Release)), to, g.samples, probe.DefaultBudget())
	if err != nil {
		return err
	}
	for _, b := range list {
		verdict := map[probe.Verdict]planner.Verdict{
			probe.Same: planner.Same, probe.Statements: planner.Same, probe.Different: planner.Different, probe.Unclear: planner.Unclear,
		}[b.Verdict]
		g.facts.Behaviour = append(g.facts.Behaviour, planner.Behaviour{
			From: from.Version, To: to.Version, Event: b.Event, Verdict: verdict, Payloads: b.Tried, Real: b.Real,
			Witness: b.Witness, Difference: b.Difference, SourceChanged: b.SourceChanged, Why: b.Why,
		})
	}
	return nil
}
