package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"headgate/corrective"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
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
