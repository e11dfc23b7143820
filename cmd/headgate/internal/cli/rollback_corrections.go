package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/planner"
)

// A correctionsDraft is the corrections that a remedy goes by.
type correctionsDraft struct {
	path   string
	text   string // to be written; empty where all of it is there
	digest string // of the corrections, as they then are; empty for a remedy that needs none
}

// corrects reports whether a remedy makes something else of events by the corrections.
func corrects(k corrective.RemedyKind) bool {
	return slices.Contains([]corrective.RemedyKind{corrective.CorrectiveRelease, corrective.BackendReset, corrective.CopyLog}, k)
}

// draftCorrections begins the corrections that a remedy needs, or adds to those that are there. It writes nothing. What it drafted for
// the plan before is somebody's by now, who may have it match otherwise: nothing is added to that.
func (i *incident) draftCorrections(ctx context.Context, kind corrective.RemedyKind, r *rollbackReport) (correctionsDraft, error) {
	rel := correctionsPath(i.Schema)
	d := correctionsDraft{path: filepath.Join(i.cfg.Dir, filepath.FromSlash(rel))}
	if !corrects(kind) {
		return d, nil
	}
	data, err := os.ReadFile(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d, errs.New(errs.Internal, "can't read the corrections").At("%s", rel).Because(err).Hintf("make the file readable")
	}
	if err != nil || i.Remedy == nil || !corrects(i.Remedy.Kind) {
		text, added, err := i.drafted(r).AddTo(ctx, rel, data)
		if err != nil {
			return d, err
		}
		if data = []byte(text); added {
			d.text = text
		}
	}
	c, err := corrective.ParseCorrections(ctx, rel, data)
	if err == nil {
		d.digest, err = c.Digest()
	}
	return d, err
}

// drafted is what can be said of the bad events without asking anybody.
func (i *incident) drafted(r *rollbackReport) corrective.Draft {
	d := corrective.Draft{Schema: i.Schema, Selection: i.Selection, Reason: i.Reason, Stamped: r.Events.Proven == r.Events.Total()}
	for _, one := range r.Damages {
		for _, n := range one.Names {
			d.Events = append(d.Events, n.Event)
		}
	}
	slices.Sort(d.Events)
	d.Events = slices.Compact(d.Events)
	return d
}

func (d correctionsDraft) write() error {
	if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
		return errs.New(errs.Internal, "can't create the directory").At("%s", filepath.Dir(d.path)).Because(err)
	}
	return atomicfile.Write(d.path, []byte(d.text), 0o666)
}

// plannedCorrections reads the corrections that a step was planned with; others are errs.Stale.
func (a *app) plannedCorrections(ctx context.Context, cfg *config.Config, schemaName string, step planner.Step) (corrective.Corrections, error) {
	s, err := cfg.Schema(schemaName)
	if err != nil {
		return corrective.Corrections{}, err
	}
	list, err := a.corrections(ctx, cfg, s)
	if err != nil {
		return list, err
	}
	digest, err := list.Digest()
	if err == nil && digest != step.Corrections {
		err = errs.New(errs.Stale, "the corrections are others than when step %s was planned", step.ID).At("%s", correctionsPath(schemaName)).
			Hintf("the plan, and who approved it, is about those that were there: plan again, or take the file back")
	}
	return list, err
}

// agreedDump refuses to import a dump that is not what the corrections of a plan make of a log, as far as the first so many events
// go; 0 for all of them. Somebody agreed to those, not to a file.
func (a *app) agreedDump(ctx context.Context, env config.Environment, s config.Store, step *planner.Step, log eventlog.Reader, first int64, d operate.Dump) error {
	list, err := a.plannedCorrections(ctx, a.loaded, s.Schema, *step)
	if err != nil {
		return err
	}
	p := a.progress("correcting "+string(s.ID), first)
	defer p.Done()
	made, err := corrective.Transform{Log: log, Store: s.ID, Corrections: list, First: first, Progress: func() { p.Add(1) }}.Look(ctx)
	if err != nil {
		return readable(err)
	}
	if made.Digest == d.Found.Digest {
		return nil
	}
	return errs.Refusedf("what is imported is not what the plan's corrections make of the log of store %s", s.ID).At("%s", d.Path).
		Hintf("it is another file, or events arrived after the log was corrected. Nothing was changed; this corrects the log as it is now").
		Then("headgate rollback run --env " + env.Name)
}
