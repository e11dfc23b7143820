package cli

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/migrations"
	"headgate/rollout"
)

// emitters are the flags that decide whether the app emits the bad events: of the rollouts that were started, of flags.yaml,
// and those that headgate.yaml says the app has.
func (s *assessor) emitters(ctx context.Context, bad []string) ([]corrective.Emitter, error) {
	out, err := s.rolledOut(ctx, bad)
	if err != nil {
		return nil, err
	}
	add := func(e corrective.Emitter) {
		if !slices.ContainsFunc(out, func(o corrective.Emitter) bool { return o.Event == e.Event && (o.Flag == e.Flag || e.Flag == "") }) {
			out = append(out, e)
		}
	}
	_, file, err := s.app.flags()
	switch {
	case err == nil:
		for _, f := range file.Flags {
			for _, v := range f.Variants {
				if slices.Contains(bad, v.Event) {
					add(corrective.Emitter{Event: v.Event, Flag: f.Key})
				}
			}
		}
	case !errors.Is(err, fs.ErrNotExist) && errs.CodeOf(err) != errs.NotFound:
		return nil, err
	}
	for _, event := range s.schema.Gated {
		if slices.Contains(bad, event) {
			add(corrective.Emitter{Event: event})
		}
	}
	return out, nil
}

// rolledOut are the flags of rollouts that were started and are about the events.
func (s *assessor) rolledOut(ctx context.Context, bad []string) (out []corrective.Emitter, err error) {
	names, err := rolloutNames(s.cfg)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	list, err := s.app.rolloutLines(ctx, s.env)
	if err != nil {
		return nil, err
	}
	for _, line := range list {
		if line.Phase == rollout.Draft || !slices.ContainsFunc(line.Events, func(e string) bool { return slices.Contains(bad, e) }) {
			continue
		}
		def, _, err := s.app.definitionOf(s.cfg, line.Name)
		if err != nil {
			return nil, err
		}
		for _, e := range def.Events {
			if slices.Contains(bad, e.New()) {
				out = append(out, corrective.Emitter{Event: e.New(), Flag: e.Key(), Rollout: line.Name})
			}
		}
	}
	return out, nil
}

// backfills are headgate's own runs that are not over, and the last ones that left stores undone.
func (s *assessor) backfills(ctx context.Context) (out []corrective.Backfill, err error) {
	var runs []operate.RunStatus
	err = s.app.known(ctx, s.env, "the runs of backfills", func(ops operations) (err error) {
		runs, err = ops.UndoneRuns(ctx)
		return err
	})
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	defs, err := s.app.definitions(ctx, s.cfg, "")
	for _, run := range runs {
		out = append(out, backfillOf(run, defs))
	}
	return out, err
}

func backfillOf(run operate.RunStatus, defs []migrations.Definition) corrective.Backfill {
	b := corrective.Backfill{
		Migration: run.Migration, Run: run.ID, State: string(run.State),
		Going: slices.Contains([]control.State{control.Pending, control.Running, control.Pausing}, run.State),
	}
	for _, d := range defs {
		if d.Name != run.Migration {
			continue
		}
		for _, e := range d.Emits {
			b.Emits = append(b.Emits, e.Event)
		}
	}
	for _, w := range run.Waves {
		b.Stores += w.Stores
		if w.State == control.Succeeded {
			b.Done += w.Stores
		}
	}
	return b
}
