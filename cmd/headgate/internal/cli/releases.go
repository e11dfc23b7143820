package cli

import (
	"context"
	"path/filepath"
	"runtime/debug"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/schema"
)

// A build is a release with the script that it was read from: one that is recorded, or the working tree.
type build struct {
	*schema.Release
	Script *bundle.Script
}

// releaseDir is where the app's releases are recorded.
func releaseDir(cfg *config.Config) bundle.Dir { return bundle.Dir{Path: cfg.Releases} }

// recorded loads a recorded release with its script.
func recorded(cfg *config.Config, s config.Schema, version string) (build, error) {
	dir := releaseDir(cfg)
	r, err := dir.Load(s.Name, version)
	if err != nil {
		return build{}, err
	}
	sc, err := dir.Script(r)
	return build{r, sc}, err
}

// source says where a schema's code lies, below dir, which is the app's directory or a checkout of it.
func source(cfg *config.Config, s config.Schema, dir string) (bundle.Source, error) {
	entry, err := filepath.Rel(cfg.Dir, s.Entry)
	if err != nil {
		return bundle.Source{}, err
	}
	src := bundle.Source{Dir: dir, Entry: filepath.ToSlash(entry), Export: s.Export}
	if s.Queries != "" {
		q, err := filepath.Rel(cfg.Dir, s.Queries)
		if err != nil {
			return bundle.Source{}, err
		}
		src.Queries = filepath.ToSlash(q)
	}
	return src, nil
}

// evaluate reads the schema that lies in dir by running the app's code in the sandbox.
func (a *app) evaluate(ctx context.Context, cfg *config.Config, s config.Schema, dir, version string) (build, error) {
	src, err := source(cfg, s, dir)
	if err != nil {
		return build{}, err
	}
	l, err := a.launcher()
	if err != nil {
		return build{}, err
	}
	start := a.now()
	sc, err := bundled(src)
	if err != nil {
		return build{}, err
	}
	built := a.now()
	r, err := bundle.Describe(ctx, l, sc, src)
	if err != nil {
		return build{}, err
	}
	a.log.Debug("evaluated the schema", "schema", s.Name, "bundled in", built.Sub(start), "described in", a.now().Sub(built))
	r.App, r.Schema, r.Version = cfg.App, s.Name, version
	return build{r, sc}, nil
}

// bundled is bundle.Build with a lazier garbage collector, which takes a quarter of the time otherwise: esbuild's own program
// turns it off.
func bundled(src bundle.Source) (*bundle.Script, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	return bundle.Build(src)
}

// workingTree is the version that code which is not recorded yet goes by, below that of every release. People read
// "the working tree" instead, see render.
const workingTree = "0.0.0-working-tree"

// isWorkingTree reports whether a release is the code as it lies in the app's directory.
func isWorkingTree(r *schema.Release) bool { return r.Version == workingTree }

// nameOf is what a release is called in text.
func nameOf(r *schema.Release) string {
	if isWorkingTree(r) {
		return "the working tree"
	}
	return r.Version
}

// schemasNamed are the schemas that a command works on: the one that --schema names, or all of them.
func schemasNamed(cfg *config.Config, name string) ([]config.Schema, error) {
	if name == "" {
		return cfg.Schemas, nil
	}
	s, err := cfg.Schema(name)
	if err != nil {
		return nil, err
	}
	return []config.Schema{s}, nil
}
