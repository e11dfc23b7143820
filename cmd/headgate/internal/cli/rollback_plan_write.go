package cli

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
	"headgate/planner"
)

func remedyKinds() (out []string) {
	for _, k := range corrective.RemedyKinds() {
		out = append(out, string(k))
	}
	return out
}

// checkRemedyFlags refuses what can't be, before any log is read.
func checkRemedyFlags(c *cli.Context) error {
	kind := c.String("remedy")
	switch {
	case c.IsSet("remedy") && !slices.Contains(remedyKinds(), kind):
		return errs.Invalidf("--remedy: there is no %q", kind).Hintf("there are: %s", strings.Join(remedyKinds(), ", "))
	case c.IsSet("migration") && kind != string(corrective.CompensatingEvent):
		return errs.Invalidf("--migration is for --remedy %s", corrective.CompensatingEvent)
	}
	return nil
}

// plan is the one that was written for the incident.
func (i *incident) plan() (*planner.Plan, error) {
	if i.Remedy == nil {
		return &planner.Plan{}, nil
	}
	p, err := i.app.readPlan(i.shown("plan.json"))
	if err == nil && p.Digest != i.Remedy.Plan {
		err = errs.New(errs.Stale, "the plan is another one than the incident's").At("%s", i.shown("plan.json")).Hintf("write it anew")
	}
	if e := errs.As(err); e != nil {
		e.Next = []string{i.command("rollback plan --remedy " + string(i.Remedy.Kind))}
	}
	return p, err
}

// planned writes the plan of one remedy into the incident's folder.
func (i *incident) planned(c *cli.Context, s *assessor, facts corrective.Facts, r *rollbackReport) error {
	if r.Hit == 0 && r.Estimate != nil {
		return errs.NotFoundf("no event in the %s of the sample is meant: the others have to be read, too", count(r.Stores, "store")).Then(i.command("rollback assess"))
	}
	if r.Hit == 0 {
		return errs.NotFoundf("no event in %s is meant: there is nothing to plan", count(r.Stores, "store")).
			Hintf("%s; look at what the logs hold, and open an incident about that", i.Selection).
			Then("headgate log stats --env " + i.Environment).Then(i.command(`rollback close --reason "matches nothing"`))
	}
	m, err := i.remedy(c, r)
	if err != nil {
		return err
	}
	drafted, err := i.draftCorrections(c.Context, m.Kind, r)
	if err != nil {
		return err
	}
	layout := corrective.Layout{Facts: facts, Kind: m.Kind, Corrections: drafted.digest}
	for _, d := range r.Damages {
		layout.Stores = append(layout.Stores, d.Store)
	}
	if layout.Version, err = s.nextVersion(m.Kind, facts.Bad.Version); err != nil {
		return err
	}
	in := planner.RollbackInput{
		App: i.cfg.App, Schema: i.Schema, Environment: i.Environment, From: facts.Bad, To: facts.Base(m.Kind), Stores: layout.Stores,
		Answer: planner.Answer{Incident: i.ID, Selection: r.Selection, Remedy: string(m.Kind)}, Horizon: s.env.Fleet.Horizon, Now: i.app.now(),
		Facts: planner.Facts{Adapters: adapterNames(s)}, Next: []string{"headgate rollback run --env " + i.Environment},
	}
	if m.Kind.Destructive() {
		in.Answer.Loses, in.Answer.LossReason = m.Loses, reasonOf(c)
	}
	if m.Kind == corrective.CorrectiveRelease || m.Kind == corrective.EpochRebuild {
		in.Rebuilds = "the release carries a new epoch"
	}
	for _, d := range r.Damages {
		in.Facts.Logs = append(in.Facts.Logs, planner.LogFacts{Store: d.Store, Head: d.Head, Events: map[string]int64{"": d.Read}, Pending: d.Pending})
	}
	if name := c.String("migration"); name != "" {
		defs, err := i.app.definitions(c.Context, i.cfg, name)
		if err != nil {
			return err
		}
		if err := fits(defs[0], facts.Bad, i.Schema); err != nil {
			return err
		}
		layout.Migration = defs[0].Name
		in.Migrations = []planner.MigrationRef{{Name: defs[0].Name, Digest: defs[0].Checksum}}
	}
	in.Steps = layout.Steps()
	p, err := planner.BuildRollback(in)
	if err != nil {
		return err
	}
	r.Chosen, r.Plan = m.Kind, p
	if err := i.choose(c, *r, m); err != nil {
		return err
	}
	return i.writePlan(c, s, r, m, drafted)
}

// fits refuses a migration that can't commit the opposite events now.
func fits(d migrations.Definition, bad *schema.Release, schemaName string) error {
	switch {
	case d.Schema != schemaName:
		return errs.Invalidf("migration %s is of schema %s, the incident of %s", d.Name, d.Schema, schemaName).At("%s", d.Path)
	case !d.Admits(bad.Version):
		return errs.Invalidf("migration %s does not admit release %s, which runs now", d.Name, bad.Version).At("%s", d.Path).
			Hintf("its requires says for which releases it is").Then("headgate migration check " + d.Name)
	}
	return nil
}

// remedy is the one to plan: the one that is named, or else the first possible one.
func (i *incident) remedy(c *cli.Context, r *rollbackReport) (corrective.Remedy, error) {
	m := r.Remedies[0]
	if kind := c.String("remedy"); kind != "" {
		m = r.Remedies[slices.IndexFunc(r.Remedies, func(m corrective.Remedy) bool { return string(m.Kind) == kind })]
	} else if i.app.walking {
		var err error
		if m, err = i.askRemedy(c, r); err != nil {
			return m, err
		}
	}
	again := i.command("rollback plan --remedy " + string(m.Kind))
	if !m.Possible {
		var why []string
		if m.Refused != "" {
			why = append(why, m.Refused)
		}
		for _, p := range m.Preconditions {
			if p.Met == corrective.No {
				why = append(why, "it does not hold that "+p.Text)
			}
		}
		e := errs.Refusedf("%s is no way here: %s", m.Kind, strings.Join(why, "; "))
		if first := r.Remedies[0]; first.Possible {
			e.Hintf("the first that is one: %s", first.Title).Then(i.command("rollback plan --remedy " + string(first.Kind)))
		}
		return m, e
	}
	if m.Kind.Destructive() && (!c.Bool("accept-loss") || reasonOf(c) == "") {
		return m, errs.Refusedf("%s loses data: %s", m.Kind, strings.Join(m.Loses, "; ")).
			Hintf("look at the ways before it first; the loss stands in the plan and the audit, with your reason").Then(again + ` --accept-loss --reason "…"`)
	}
	return m, nil
}

// choose keeps the choice, and records it.
func (i *incident) choose(c *cli.Context, r rollbackReport, m corrective.Remedy) error {
	by := i.app.by("")
	choice := corrective.Choice{Kind: m.Kind, Plan: r.Plan.Digest, Base: r.Plan.Intent.To.Version, Bad: r.Plan.Intent.From.Version, Sampled: r.Estimate != nil, Steps: []corrective.Doing{}}
	note := operate.IncidentNote{Remedy: string(m.Kind), Plan: r.Plan.Digest}
	if m.Kind.Destructive() {
		choice.Loses = m.Loses
		choice.AcceptedLoss = &corrective.Deed{By: by.Actor, At: i.app.now().UTC().Truncate(1e9), Reason: reasonOf(c)}
		note.Loses = m.Loses
	}
	for _, s := range r.Plan.Intent.Steps {
		choice.Steps = append(choice.Steps, corrective.Doing{ID: s.ID, State: corrective.Todo})
	}
	if err := i.refresh(); err != nil {
		return err
	}
	if err := i.record(c.Context, operate.PlanIncident, reasonOf(c), note); err != nil {
		return err
	}
	i.Choose(choice, r.Target, by.Actor, i.app.now())
	return nil
}

// writePlan writes what the plan consists of. The incident's own file comes last: it names the plan that is there.
func (i *incident) writePlan(c *cli.Context, s *assessor, r *rollbackReport, m corrective.Remedy, drafted correctionsDraft) error {
	if r.Estimate == nil || i.Step(corrective.WalkAssess).State != corrective.Done { // all of them were read before
		if err := i.keepJSON("assess.json", r.withoutRows()); err != nil {
			return err
		}
	}
	var md bytes.Buffer
	plain := *r
	plain.Plan = nil
	if err := errors.Join(writeRollbackMarkdown(&md, plain), r.Plan.WriteMarkdown(&md)); err != nil {
		return err
	}
	book := corrective.Runbook{
		Plan: r.Plan, Remedy: m, Affected: affected(s, r), Circumstances: i.circumstances(reasonOf(c)), Now: i.app.now(),
		Shown: func(cmd corrective.Command) string { return commandLine(cmd) },
	}
	book.Every = r.Estimate == nil && len(r.Plan.Intent.Stores) == len(s.stores)
	for name, data := range map[string][]byte{"plan.json": r.Plan.JSON(), "plan.md": md.Bytes(), "runbook.md": []byte(book.Markdown())} {
		if err := i.keep(name, data); err != nil {
			return err
		}
	}
	r.Wrote = []string{i.shown("plan.json"), i.shown("plan.md"), i.shown("runbook.md")}
	if drafted.text != "" {
		if err := drafted.write(); err != nil {
			return err
		}
		r.Wrote = append(r.Wrote, i.app.rel(drafted.path))
	}
	r.NextActions = []string{i.nextCommand()}
	if m.Kind == corrective.CompensatingEvent && c.String("migration") == "" {
		r.NextActions = m.Next // write it, and plan again
		r.NextActions = append(r.NextActions, i.planWith())
	}
	return i.save()
}

// planWith is the command that plans the migration that says the opposite.
func (i *incident) planWith() string {
	return i.command("rollback plan --remedy " + string(corrective.CompensatingEvent) + " --migration NAME")
}

// circumstances are those of the plan's steps.
func (i *incident) circumstances(reason string) corrective.Circumstances {
	if reason == "" {
		reason = i.Reason
	}
	return corrective.Circumstances{PlanFile: filepath.ToSlash(i.shown("plan.json")), Dir: filepath.ToSlash(i.app.rel(i.work())), Reason: reason}
}

// work is where logs as files lie while the plan is carried out: never among what is committed.
func (i *incident) work() string { return filepath.Join(i.cfg.Dir, ".headgate", "rollback", i.ID) }

// affected sums up whom it concerns.
func affected(s *assessor, r *rollbackReport) corrective.Affected {
	a := corrective.Affected{Events: r.Events, Stores: r.Hit, Of: r.Stores, Pending: r.Pending, Release: s.is.Release.Version, Target: r.Target, Estimate: r.Estimate}
	writers := map[string]bool{}
	for _, d := range r.Damages {
		a.Things += d.Entities
		a.Capped = a.Capped || d.Capped
		a.LargestRebuild = max(a.LargestRebuild, d.Read)
		for _, w := range d.Writers {
			writers[string(d.Store)+"\x00"+w.Client] = true
		}
		if !d.FirstAt.IsZero() && (a.From.IsZero() || d.FirstAt.Before(a.From)) {
			a.From = d.FirstAt
		}
		if d.LastAt.After(a.To) {
			a.To = d.LastAt
		}
	}
	a.Clients = len(writers)
	for _, rd := range r.Readers {
		a.Readers = append(a.Readers, fmt.Sprintf("clients on %s: %s (%s)", rd.Release, rd.Verdict, count(rd.Stores, "store")))
	}
	return a
}

// nextVersion is the version that a remedy is about: for a floor the first one after the bad one that is recorded, else one
// that the corrective release may have.
func (s *assessor) nextVersion(kind corrective.RemedyKind, bad string) (string, error) {
	versions, err := releaseDir(s.cfg).Versions(s.schema.Name)
	if err != nil {
		return "", err
	}
	if i := slices.Index(versions, bad); kind == corrective.Floor && i >= 0 && i+1 < len(versions) {
		return versions[i+1], nil // it is there already, and is not to be kept out
	}
	return following(versions), nil
}
