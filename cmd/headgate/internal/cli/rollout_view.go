package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
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
		Environment: a.operate(env, db), Dir: cfg.Dir, Where: cfg.Where(env.Line), Clients: env.Clients, Shown: func(args []string) string { return commandLine(args)[len("headgate "):] },
		Names: func() ([]string, error) { return rolloutNames(cfg) },
		Read:  func(name string) (*rollout.Definition, []*schema.Release, error) { return a.definitionOf(cfg, name) },
		Known: func() (operate.Names, error) {
			schemas := map[string][]*schema.Release{}
			for _, s := range cfg.Schemas {
				var err error
				if schemas[s.Name], err = releaseDir(cfg).LoadAll(s.Name); err != nil {
					return operate.Names{}, err
				}
			}
			return operate.NamesOf(schemas), nil
		},
		Place: a.rel,
		Flags: func() (*rollout.File, error) {
			_, file, err := a.flags()
			return file, err
		},
		Exportable: func(file *rollout.File) error { return a.exportable(cfg, file) },
		ToReset: func(ctx context.Context, ask operate.ResetAsk) ([]livestore.StoreID, error) {
			return a.storesToReset(ctx, env, ask)
		},
		Getenv:    func(name string) string { v, _ := a.lookupEnv(name); return v },
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
