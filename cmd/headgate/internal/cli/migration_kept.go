package cli

import (
	"context"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
)

// planOf returns the migration of a run, read anew where this process does not know it: it must be the one that the run
// began with. A worker whose app's directory has another one, or other releases, takes what the run keeps.
func (r *runner) planOf(ctx context.Context, db *control.DB, run control.Run) (migrationPlan, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.plans {
		if p.Name == run.Migration && p.Checksum == run.Checksum {
			return p, nil
		}
	}
	o, err := jobs.ReadOptions(run)
	if err != nil {
		return migrationPlan{}, err
	}
	p, err := r.planHere(ctx, run)
	if r.worker && o.Kept != nil && ctx.Err() == nil && (err != nil || !r.has(ctx, p, *o.Kept)) {
		r.app.log.Debug("the app's directory has not what the run began with: the control database has", "run", run.ID, "because", err)
		p, err = r.planKept(ctx, db, run, *o.Kept)
	}
	if err == nil {
		r.plans = append(r.plans, p)
	}
	return p, err
}

// planHere is the migration of a run as the app's directory has it.
func (r *runner) planHere(ctx context.Context, run control.Run) (migrationPlan, error) {
	defs, err := r.app.definitions(ctx, r.cfg, run.Migration)
	if err != nil {
		return migrationPlan{}, err
	}
	if defs[0].Checksum != run.Checksum {
		return migrationPlan{}, errs.Refusedf("the file is another one than run %s began with", run.ID).At("%s", defs[0].Path).
			Hintf("bring the file back as it was, or cancel the run").Then("headgate migration cancel " + run.Migration + " --env " + r.env.Name)
	}
	return r.plan(ctx, defs[0])
}

// planKept is the migration of a run as the control database keeps it. Its files are on the disk only while they are read.
func (r *runner) planKept(ctx context.Context, db *control.DB, run control.Run, k jobs.Kept) (p migrationPlan, err error) {
	dir, err := r.app.workDir()
	if err != nil {
		return p, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // best effort; it ages out
	there := *r.cfg
	there.Migrations, there.Releases = filepath.Join(dir, "migrations"), filepath.Join(dir, "releases")
	if err := unpack(ctx, db, there.Migrations, k.Migration); err != nil {
		return p, err
	}
	if err := unpack(ctx, db, there.Releases, slices.Collect(maps.Values(k.Releases))...); err != nil {
		return p, err
	}
	if err := releaseDir(&there).Adopt(k.Schema); err != nil {
		return p, err
	}
	defs, err := r.app.definitions(ctx, &there, run.Migration)
	if err != nil {
		return p, err
	}
	if defs[0].Checksum != run.Checksum {
		return p, errs.New(errs.Mismatch, "what run %s keeps is another migration than it began with", run.ID).At("%s", db.Place())
	}
	p, err = r.planFrom(ctx, &there, defs[0])
	p.Definition = p.In(r.cfg.Migrations)
	return p, err
}

// unpack writes archives to a directory that it makes, for this user alone.
func unpack(ctx context.Context, db *control.DB, dir string, digests ...string) error {
	failed := func(err error) error {
		return errs.New(errs.Internal, "can't write what the run keeps").At("%s", dir).Because(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(err)
	}
	root, err := os.OpenRoot(dir) // no path leads out of it
	if err != nil {
		return failed(err)
	}
	defer root.Close() //nolint:errcheck // nothing is written through it itself
	for _, digest := range digests {
		files, err := db.Archive(ctx, digest)
		if err != nil {
			return err
		}
		for name, content := range files {
			if err := root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o700); err != nil {
				return failed(err)
			}
			if err := root.WriteFile(filepath.FromSlash(name), content, 0o600); err != nil {
				return failed(err)
			}
		}
	}
	return nil
}

// has reports whether the app's directory has what a run keeps, and no release beside it.
func (r *runner) has(ctx context.Context, p migrationPlan, k jobs.Kept) bool {
	_, here, err := r.files(ctx, p)
	return err == nil && reflect.DeepEqual(here, k)
}

// keepFiles stores what whoever works on a run of the migration needs of the app's directory.
func (r *runner) keepFiles(ctx context.Context, db *control.DB, p migrationPlan) (*jobs.Kept, error) {
	archives, k, err := r.files(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, a := range archives {
		if _, err := db.Keep(ctx, a); err != nil {
			if e := errs.As(err); e != nil && e.Code == errs.Invalid {
				e.At("%s", p.Path).Hintf("what the migration needs goes to the workers that way: split its inputs over several migrations")
			}
			return nil, err
		}
	}
	return &k, nil
}

// files are the archives of a migration with those before it, and of each release of its schema; those that it runs with
// have their scripts.
func (r *runner) files(ctx context.Context, p migrationPlan) (archives []control.Archive, k jobs.Kept, err error) {
	all, err := r.app.definitions(ctx, r.cfg, "")
	if err != nil {
		return nil, k, err
	}
	chain := control.Archive{}
	wanted := []string{p.Name}
	for _, d := range slices.Backward(all) { // those before have lower numbers
		if !slices.Contains(wanted, d.Name) {
			continue
		}
		if d.Name == p.Name {
			d = p.Definition // what was previewed
		}
		wanted = append(wanted, d.After...)
		files, err := d.Files()
		if err != nil {
			return nil, k, err
		}
		maps.Copy(chain, files)
	}
	k = jobs.Kept{Schema: p.Schema, Releases: map[string]string{}, Migration: chain.Digest()}
	archives = append(archives, chain)
	scripts := []string{p.target.Release.Version}
	for _, b := range p.before {
		scripts = append(scripts, b.target.Release.Version)
	}
	dir := releaseDir(r.cfg)
	versions, err := dir.Versions(p.Schema)
	if err != nil {
		return nil, k, err
	}
	for _, v := range versions {
		files, err := dir.Files(p.Schema, v, slices.Contains(scripts, v))
		if err != nil {
			return nil, k, err
		}
		archives = append(archives, files)
		k.Releases[v] = control.Archive(files).Digest()
	}
	return archives, k, nil
}
