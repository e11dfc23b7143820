package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// A rolloutView is a rollout in an environment, as a command sees it.
type rolloutView struct {
	app      *app
	cfg      *config.Config
	env      config.Environment
	db       *control.DB
	def      *rollout.Definition
	releases []*schema.Release
	row      control.Rollout // Version 0 before it was started

	stores []config.Store // of the rollout's schema
	facts  rollout.Facts
	open   []livestore.StoreID
}

// rolloutNames are the rollouts that have a file, in order.
func rolloutNames(cfg *config.Config) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(cfg.Dir, filepath.FromSlash(rollout.Dir)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.Internal, "can't list the rollouts").Because(err)
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && !e.IsDir() {
			out = append(out, name)
		}
	}
	return out, nil
}

func rolloutPath(cfg *config.Config, name string) string {
	return filepath.Join(cfg.Dir, filepath.FromSlash(rollout.Dir), name+".yaml")
}

// definitionOf reads a rollout's file, with the releases of its schema.
func (a *app) definitionOf(cfg *config.Config, name string) (*rollout.Definition, []*schema.Release, error) {
	def, err := rollout.ReadDefinition(rolloutPath(cfg, filepath.Base(name)))
	if err != nil {
		if errs.CodeOf(err) == errs.NotFound {
			names, _ := rolloutNames(cfg) // without them there is no suggestion
			if near := suggest.Nearest(name, names); near != "" {
				errs.As(err).Hintf("did you mean %s?", near)
			}
		}
		return nil, nil, a.nearby(err)
	}
	s, err := cfg.Schema(def.Schema)
	if err != nil {
		errs.As(err).At("%s", a.rel(def.Path))
		return nil, nil, err
	}
	def.Schema = s.Name
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	return def, releases, err
}

// withRollout hands work the rollout that is named, in the environment of --env. Nothing is known of the fleet yet. Who
// closes gets it even where its file is broken or gone.
func (a *app) withRollout(c *cli.Context, name string, closing bool, work func(*rolloutView) error) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		def, releases, err := a.definitionOf(a.loaded, name)
		if err != nil && closing {
			a.log.Warn("the rollout's file can't be read, which holds no abort", "error", err)
			def, err = &rollout.Definition{Name: name}, nil
		}
		if err != nil {
			return err
		}
		v := &rolloutView{app: a, cfg: a.loaded, env: env, db: db, def: def, releases: releases}
		if def.Horizon == 0 {
			def.Horizon = env.Fleet.Horizon
		}
		if def.Horizon == 0 {
			def.Horizon = rollout.DefaultHorizon
		}
		if err := v.reload(c.Context); err != nil {
			return err
		}
		return work(v)
	})
}

// reload reads how far the rollout is.
func (v *rolloutView) reload(ctx context.Context) (err error) {
	v.row, err = v.db.Rollout(ctx, v.env.Name, v.def.Name)
	if errs.CodeOf(err) == errs.NotFound {
		v.row, err = control.Rollout{Env: v.env.Name, Name: v.def.Name, State: rollout.State{Phase: rollout.Draft}}, nil
	}
	return err
}

// look finds out who is out there, and what is open.
func (v *rolloutView) look(ctx context.Context) error {
	all, err := v.app.stores(ctx, v.cfg, v.env)
	if err != nil {
		return err
	}
	v.stores = nil
	for _, s := range all {
		if s.Schema == v.def.Schema {
			v.stores = append(v.stores, s)
		}
	}
	now := v.app.now()
	fleet, err := v.db.Fleet(ctx, v.env.Name, now.Add(-v.def.Horizon))
	if err != nil {
		return err
	}
	stopped, err := v.db.Stopped(ctx, v.env.Name)
	if err != nil {
		return err
	}
	if v.open, err = v.db.OpenedStores(ctx, v.env.Name, v.def.Name, v.row.State.Attempt); err != nil {
		return err
	}
	if !v.row.State.Phase.Ramping() && !v.row.State.Phase.Open() {
		v.open = nil
	}
	opened := map[livestore.StoreID]bool{}
	for _, s := range v.open {
		opened[s] = true
	}
	v.facts = rollout.Facts{Floor: v.def.FloorOf(v.releases), Stopped: stopped.Reason}
	gate := rollout.Gate{Horizon: v.def.Horizon, Waivers: v.def.Waivers, Clients: v.env.Clients, Reads: v.def.Readers(v.releases)}
	for _, s := range v.stores {
		v.facts.Stores = append(v.facts.Stores, rollout.StoreFact{
			ID: s.ID, Open: opened[s.ID], Verdict: gate.Store(s.ID, now, fleet.Watch(s.ID), fleet.Seen[s.ID]),
		})
	}
	committed, err := v.db.Committed(ctx, v.env.Name, v.def.Name)
	for _, c := range committed {
		if c.OldAt.After(v.facts.OldSeen) {
			v.facts.OldSeen = c.OldAt
		}
	}
	return err
}

// take makes a decision come true; moved is false where somebody else was faster.
func (v *rolloutView) take(ctx context.Context, d rollout.Decision, by control.By) (moved bool, err error) {
	t := control.Transition{Decision: d}
	if d.Close {
		published, err := v.db.PublishedFlags(ctx, v.env.Name)
		if err != nil {
			return false, err
		}
		t.Flags = closedFlags(published, v.def.Name, d.State.Revision)
	} else {
		open := append(append([]livestore.StoreID(nil), v.open...), d.Open...)
		if t.Flags, err = rollout.Publish(v.def, v.row.State, d.State, v.open, open); err != nil {
			return false, err
		}
	}
	return v.db.Advance(ctx, v.row, t, by)
}

// closedFlags are what a rollout published, with nothing open.
func closedFlags(published []rollout.Flag, name string, revision int) []rollout.Flag {
	var own []rollout.Flag
	for _, f := range published {
		if f.Rollout == name {
			own = append(own, f)
		}
	}
	return rollout.Closed(own, revision)
}

// check holds the rollout against everything that is known.
func (v *rolloutView) check(ctx context.Context) ([]rollout.Finding, error) {
	edited, err := rollout.Read(flagsPath(v.cfg))
	if err != nil && errs.CodeOf(err) != errs.NotFound {
		return nil, v.app.nearby(err)
	}
	if edited != nil {
		edited.Path = v.app.rel(edited.Path)
	}
	counts, err := v.db.Census(ctx, v.env.Name, v.app.now().Add(-v.def.Horizon))
	if err != nil {
		return nil, err
	}
	var live []rollout.LiveRelease
	for _, c := range counts {
		live = append(live, rollout.LiveRelease{Release: c.Release, Clients: c.Clients, LastSeen: c.LastSeen})
	}
	floor, err := v.db.Floor(ctx, v.env.Name)
	if err != nil {
		return nil, err
	}
	findings := v.def.Check(v.releases, edited, v.row.State, live, floor.Value)
	published, err := v.db.PublishedFlags(ctx, v.env.Name)
	if err != nil {
		return nil, err
	}
	for _, f := range published {
		for _, own := range v.def.Events {
			if f.Rollout == v.def.Name || f.Key != own.Key() {
				continue
			}
			other, err := v.db.Rollout(ctx, v.env.Name, f.Rollout)
			if err != nil {
				return nil, err
			}
			if other.State.Phase.Active() {
				findings = append(findings, rollout.Finding{
					Code: rollout.RO104, Line: own.Line, Msg: fmt.Sprintf("the rollout %s has the flag %s, and its phase is %s", f.Rollout, f.Key, other.State.Phase),
					Hint: "let it end, or abort it: one rollout of an event at a time",
				})
			}
		}
	}
	return findings, nil
}

// command is a command about the rollout, to be typed.
func (v *rolloutView) command(verb string) string {
	return "headgate rollout " + verb + " " + v.def.Name + " --env " + v.env.Name
}
