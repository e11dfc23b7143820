package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

// editedAfterRun finds migrations that ran from a file with another content than it has now: by the runs of the control
// databases, and by what the logs hold. With --env these are the environment's, all of them; without, what is at hand here:
// control databases that exist, and logs that are files.
func (a *app) editedAfterRun(c *cli.Context, cfg *config.Config, defs []migrations.Definition) ([]migrationProblem, error) {
	envs := cfg.Environments
	asked := c.String("env") != ""
	if asked {
		env, err := cfg.Environment(c.String("env"))
		if err != nil {
			return nil, err
		}
		envs = []config.Environment{env}
	}
	var out []migrationProblem
	add := func(d migrations.Definition, msg string) {
		if !slices.ContainsFunc(out, func(p migrationProblem) bool { return p.Migration == d.Name }) {
			out = append(out, migrationProblem{Migration: d.Name, Where: a.shown(cfg, d.Path), Problem: migrations.Problem{
				Msg: msg, Hint: "bring the file back as it was, and write what is to change as a new migration",
			}})
		}
	}
	for _, env := range envs {
		err := a.editedInControl(c.Context, env, defs, add)
		if err != nil && (asked || c.Context.Err() != nil) {
			return nil, err
		}
		if err != nil {
			a.log.Warn("can't look for runs", "environment", env.Name, "error", err)
		}
		if err := a.editedInLogs(c.Context, cfg, env, defs, asked, add); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// editedInControl looks at the runs that began with another content and that may have committed something.
func (a *app) editedInControl(ctx context.Context, env config.Environment, defs []migrations.Definition, add func(migrations.Definition, string)) (err error) {
	db, err := a.existingControl(ctx, env)
	if db == nil || err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for run, err := range db.Runs(ctx, env.Name) {
		if err != nil {
			return err
		}
		i := slices.IndexFunc(defs, func(d migrations.Definition) bool { return d.Name == run.Migration && d.Checksum != run.Checksum })
		if i < 0 {
			continue
		}
		left := run.State == control.Succeeded || !run.State.Ended()
		if !left {
			counts, err := db.Counts(ctx, run.ID)
			if err != nil {
				return err
			}
			left = slices.ContainsFunc(counts, func(w control.WaveCount) bool { return w.Committed > 0 })
		}
		if left {
			add(defs[i], fmt.Sprintf("it was edited after it ran on %s: run %s of %s began with another content (%.15s…)",
				env.Name, run.ID, run.CreatedAt.Format(time.DateOnly), run.Checksum))
		}
	}
	return nil
}

// editedInLogs scans the logs for events that were committed from another content. Logs elsewhere are read only where all
// is set; then one that can't be read is an error.
func (a *app) editedInLogs(ctx context.Context, cfg *config.Config, env config.Environment, defs []migrations.Definition, all bool, add func(migrations.Definition, string)) error {
	r, err := a.newRunner(ctx, cfg, env, nil, 0)
	if err != nil {
		return err
	}
	stores := env.Stores
	if all {
		if stores, err = a.stores(ctx, cfg, env); err != nil {
			return err
		}
	}
	for _, s := range stores {
		if all || s.Log.Address == "" {
			r.stores = append(r.stores, s)
		}
	}
	if len(r.stores) == 0 {
		return nil
	}
	at := r.places()
	found := make([][]migrations.Standing, len(r.stores))
	failed := r.each(ctx, "read logs", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) (err error) {
			var of []migrations.Definition
			for _, d := range defs {
				if d.Schema == t.store.Schema {
					of = append(of, d)
				}
			}
			found[at[t.store.ID]], err = migrations.Scan(ctx, log, of)
			return err
		})
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, standings := range found {
		if failed[i] != nil && all {
			return failed[i]
		}
		for _, m := range standings {
			k := slices.IndexFunc(defs, func(d migrations.Definition) bool { return d.Name == m.Migration })
			if k >= 0 && m.Edited != "" {
				add(defs[k], fmt.Sprintf("it was edited after it ran: store %s of %s has events of another content (%s…)", r.stores[i].ID, env.Name, m.Edited))
			}
		}
	}
	return nil
}
