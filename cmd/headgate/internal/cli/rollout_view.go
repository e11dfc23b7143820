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
	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

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

// rollouts are those of an environment. The configuration must be loaded.
func (a *app) rollouts(env config.Environment, db *control.DB) operate.Rollouts {
	cfg := a.loaded
	return operate.Rollouts{
		Environment: a.operate(env, db), Dir: cfg.Dir, Clients: env.Clients, Shown: func(args []string) string { return commandLine(args)[len("headgate "):] },
		Names:     func() ([]string, error) { return rolloutNames(cfg) },
		Read:      func(name string) (*rollout.Definition, []*schema.Release, error) { return a.definitionOf(cfg, name) },
		MayStart:  a.mayStart,
		Inventory: func(ctx context.Context) ([]config.Store, error) { return a.stores(ctx, cfg, env) },
		OpenLog: func(ctx context.Context, s config.Store) (eventlog.Reader, error) {
			return a.openStore(ctx, cfg, env, s)
		},
		Counting: func() (func(), func()) {
			p := a.progress("counting events", 0)
			return func() { p.Add(1) }, p.Done
		},
	}
}

// withRollout hands work the rollout that is named, in the environment of --env, see operate.Rollouts.Open.
func (a *app) withRollout(c *cli.Context, name string, closing bool, work func(*operate.Rollout) error) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		v, err := a.rollouts(env, db).Open(c.Context, name, closing)
		if err != nil {
			return err
		}
		return work(v)
	})
}

// checkRollout holds the rollout against everything that is known.
func (a *app) checkRollout(ctx context.Context, v *operate.Rollout) ([]rollout.Finding, error) {
	edited, err := rollout.Read(flagsPath(a.loaded))
	if err != nil && errs.CodeOf(err) != errs.NotFound {
		return nil, a.nearby(err)
	}
	if edited != nil {
		edited.Path = a.rel(edited.Path)
	}
	counts, err := v.DB.Census(ctx, v.Name, v.Now().Add(-v.Definition.Horizon))
	if err != nil {
		return nil, err
	}
	var live []rollout.LiveRelease
	for _, c := range counts {
		live = append(live, rollout.LiveRelease{Release: c.Release, Clients: c.Clients, LastSeen: c.LastSeen})
	}
	floor, err := v.DB.Floor(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	findings := v.Definition.Check(v.Releases, edited, v.Row.State, live, floor.Value)
	published, err := v.DB.PublishedFlags(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	for _, f := range published {
		for _, own := range v.Definition.Events {
			if f.Rollout == v.Definition.Name || f.Key != own.Key() {
				continue
			}
			other, err := v.DB.Rollout(ctx, v.Name, f.Rollout)
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

// mayStart refuses to start what the check has an error for.
func (a *app) mayStart(ctx context.Context, v *operate.Rollout) error {
	findings, err := a.checkRollout(ctx, v)
	if err != nil {
		return err
	}
	for _, f := range findings {
		if !f.Warning {
			return errs.New(errs.Findings, "%s: %s", f.Code, f.Msg).At("%s:%d", a.rel(v.Definition.Path), f.Line).Hintf("%s", f.Hint).Then(v.Command("check"))
		}
	}
	return nil
}
