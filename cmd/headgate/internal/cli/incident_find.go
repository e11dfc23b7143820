package cli

import (
	"fmt"
	"slices"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/livestore/replay/state"
	"headgate/planner"
)

// stoppedInIncident says so in the incident that is open there. Who stops needs no headgate.yaml for that.
func (a *app) stoppedInIncident(r operate.StopReport) error {
	cfg, err := a.config()
	if err != nil || !r.Stopped {
		return nil // a stop through a server works without the app's files
	}
	i, err := a.openIncident(cfg, r.Environment)
	if i == nil || err != nil {
		return err
	}
	return i.mark(corrective.WalkStop, corrective.Done, fmt.Sprintf("aborted %s, paused %s", count(len(r.Aborted), "rollout"), count(len(r.Paused), "backfill")))
}

// assessed keeps what an assessment found, and says so in the report. A part of the stores is no assessment of them all.
func (i *incident) assessed(r *assessment) error {
	if err := i.refresh(); err != nil {
		return err
	}
	if r.Hit == 0 && r.Estimate == nil && len(r.Failed) == 0 {
		r.NextActions = []string{"headgate log stats --env " + i.Environment, i.command(`rollback close --reason "matches nothing"`)}
		return nil
	}
	part := r.Estimate != nil || i.part
	r.NextActions = []string{i.command("rollback plan")}
	if part {
		r.NextActions = []string{i.command("rollback assess")}
	}
	if len(r.Damages) > 0 {
		r.NextActions = append(r.NextActions, "headgate log tail --store "+string(r.Damages[0].Store)+" --env "+i.Environment)
	}
	if part && i.Step(corrective.WalkAssess).State == corrective.Done {
		return nil // all of them were read before
	}
	if err := i.keepJSON("assess.json", r.withoutRows()); err != nil {
		return err
	}
	note := fmt.Sprintf("%s in %d of %s", counted(r.Events.Total(), "bad event"), r.Hit, count(r.Stores, "store"))
	if len(r.Failed) > 0 {
		note += fmt.Sprintf(", %d could not be read", len(r.Failed))
	}
	switch {
	case r.Estimate != nil:
		return i.mark(corrective.WalkAssess, corrective.Todo, fmt.Sprintf("a sample: between %d and %d of %s", r.Estimate.Low, r.Estimate.High, count(r.Estimate.Stores, "store")))
	case part:
		return i.mark(corrective.WalkAssess, corrective.Todo, note+" so far")
	}
	return i.mark(corrective.WalkAssess, corrective.Done, note)
}

// withoutRows is the report without what users wrote.
func (r assessment) withoutRows() assessment {
	r.Damages = slices.Clone(r.Damages)
	for i := range r.Damages {
		r.Damages[i] = r.Damages[i].withoutRows()
	}
	return r
}

func (d damageReport) withoutRows() damageReport {
	for _, e := range []**corrective.Effect{&d.Effect, &d.Otherwise} {
		if *e == nil {
			continue
		}
		bare := **e
		bare.Tables = slices.Clone(bare.Tables)
		for i := range bare.Tables {
			bare.Tables[i].Rows = nil
		}
		*e = &bare
	}
	return d
}

// generated says that the corrections are in the app's code.
func (i *incident) generated(r correctionsReport) error {
	if err := i.refresh(); err != nil {
		return err
	}
	var events int64
	for _, one := range r.List {
		events += one.Events
	}
	note := fmt.Sprintf("%s in %s, epoch %d", counted(events, "event"), count(r.Stores, "store"), r.Epoch)
	return i.proceed(corrective.WalkGenerate, planner.WriteCorrections, note)
}

// proceed says that a step of the walk is done, and those of the plan that are the same.
func (i *incident) proceed(step string, kind planner.StepKind, note string) error {
	by, at := i.app.by("").Actor, i.app.now()
	i.Mark(step, corrective.Done, by, at, note)
	p, err := i.plan()
	if err != nil {
		return err
	}
	for _, s := range p.Intent.Steps {
		if s.Kind == kind && i.Doing(s.ID) != nil {
			i.MarkStep(s.ID, corrective.Done, by, at, note)
		}
	}
	return i.save()
}

// notProven is how the note of a verification begins that did not end right.
const notProven = "not proven: "

// verified keeps what a verification found.
func (i *incident) verified(r verification, part bool) error {
	if err := i.refresh(); err != nil {
		return err
	}
	r.Proofs = slices.Clone(r.Proofs)
	for p := range r.Proofs {
		for _, tables := range []*[]state.TableDiff{&r.Proofs[p].Wrong, &r.Proofs[p].Changed} {
			*tables = slices.Clone(*tables)
			for t := range *tables {
				(*tables)[t].Rows = nil // what users wrote
			}
		}
	}
	if err := i.keepJSON("verify.json", r); err != nil {
		return err
	}
	note := fmt.Sprintf("%s is as declared in %d of %s", r.Release, r.Right, count(r.Hit, "store"))
	switch {
	case len(r.Problems) > 0 || r.Right < r.Hit || r.Hit == 0 || len(r.Failed) > 0:
		i.Verified = ""
		return i.mark(corrective.WalkVerify, corrective.Todo, notProven+note)
	case part:
		return i.mark(corrective.WalkVerify, corrective.Todo, note+", of a part of them")
	}
	i.Verified = r.Release
	return i.proceed(corrective.WalkVerify, planner.ProveCorrections, note)
}
