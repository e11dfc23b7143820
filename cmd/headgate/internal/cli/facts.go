package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/script"
	"headgate/planner"
)

// samplesPerEvent bounds the real payloads that two materializers are compared on.
const samplesPerEvent = 40

// gather finds the facts: it streams the environment's logs, and runs the app's materializers in the sandbox.
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
	if err := g.backfills(ctx); err != nil {
		return planner.Facts{}, err
	}
	for _, e := range q.schema.Gated {
		g.facts.Gates = append(g.facts.Gates, planner.Gate{Event: e, By: "headgate.yaml (gated)", LateReturners: -1})
	}
	opened, err := a.rolloutGates(q.cfg, q.schema.Name)
	if err != nil {
		return planner.Facts{}, err
	}
	g.facts.Gates = append(g.facts.Gates, opened...)
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

// backfills are the events that the app's migrations commit: their materializers meet rows that are there already.
func (g *gatherer) backfills(ctx context.Context) error {
	defs, err := g.app.definitions(ctx, g.q.cfg, "")
	if err != nil {
		return err
	}
	for _, d := range defs {
		if d.Schema != g.q.schema.Name || !d.Admits(g.q.to.Version) && !isWorkingTree(g.q.to.Release) {
			continue
		}
		for _, e := range d.Emits {
			g.facts.Backfills = append(g.facts.Backfills, planner.Backfill{Migration: d.Name, Event: e.Event})
		}
	}
	return nil
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
	r, err := g.app.openStore(ctx, g.q.cfg, *g.q.env, s)
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
	malformed := 0
	for e, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			if malformed++; malformed == 1 {
				g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("store %s: %v", s.ID, err))
			}
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
	if malformed > 1 {
		g.facts.Unverified = append(g.facts.Unverified, fmt.Sprintf("store %s: %d more events that can't be read: headgate log stats lists them", s.ID, malformed-1))
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
	names := make([]string, 0, len(g.q.to.Events))
	for _, e := range g.q.to.Events {
		names = append(names, e.Name)
	}
	if err := g.decode(ctx, s, r, names, p); err != nil {
		return atStore(err, g.q.cfg, s)
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
func (g *gatherer) decode(ctx context.Context, s config.Store, r eventlog.Reader, names []string, p *progress) error {
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
