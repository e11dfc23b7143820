package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
	"headgate/planner"
)

func (a *app) gateCommand() *cli.Command {
	return &cli.Command{
		Name:      "gate",
		Category:  daily,
		Usage:     "may this be deployed? the deploy step of CI",
		UsageText: "headgate gate --env prod\nheadgate gate --env prod --format json",
		Description: `Looks at the code as it lies here, which is what CI is about to deploy, and at the environment it goes to. The gate
is open when that code is a recorded release whose file nobody edited, when no finding is an error for the releases alive
there, when no item of the checklist failed, when no store is another than the control database knows (vanished, on another
backend, shorter), when no incident is open there (headgate rollback), unless this is the release that it verified, and when the migrations that the release needs (needed-by) are done in every store. Otherwise it prints what blocks, the next command, and exits with 3.`,
		Flags:  comparisonFlags(),
		Action: a.gate,
	}
}

// A gateLine is one thing that the gate looked at.
type gateLine struct {
	Schema string `json:"schema"`
	What   string `json:"what"`
	Open   bool   `json:"open"`
	Why    string `json:"why"`
	next   string
}

func (a *app) gate(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	env, err := a.environment(c.Context, cfg, c.String("env"))
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	var lines []gateLine
	for _, s := range schemas {
		l, err := a.gateSchema(c, cfg, s)
		if err != nil {
			return err
		}
		lines = append(lines, l...)
	}
	var blocked []string
	var next []string
	for _, l := range lines {
		if !l.Open {
			what := l.What
			if len(schemas) > 1 {
				what += " of " + l.Schema
			}
			blocked = append(blocked, what)
			if l.next != "" {
				next = append(next, l.next)
			}
		}
	}
	err = a.render(map[string]any{"environment": env.Name, "open": len(blocked) == 0, "lines": lines}, func(w io.Writer) error {
		for _, l := range lines {
			verdict := a.stdout.paint(good, "ok     ")
			if !l.Open {
				verdict = a.stdout.paint(bad, "blocked")
			}
			what := l.What
			if len(schemas) > 1 {
				what = l.Schema + " " + what
			}
			if _, err := fmt.Fprintf(w, "%s  %s: %s\n", verdict, what, l.Why); err != nil {
				return err
			}
		}
		word := "open"
		if len(blocked) > 0 {
			word = "closed"
		}
		_, err := fmt.Fprintf(w, "the gate to %s is %s\n", env.Name, word)
		return err
	})
	if err != nil || len(blocked) == 0 {
		return err
	}
	e := errs.New(errs.Findings, "the gate to %s is closed: %s", env.Name, strings.Join(blocked, ", "))
	for _, n := range next {
		e.Then(n)
	}
	return e
}

func (a *app) gateSchema(c *cli.Context, cfg *config.Config, s config.Schema) ([]gateLine, error) {
	cmp, err := a.compare(c, cfg, s, nil, "")
	if err != nil {
		return nil, err
	}
	release := gateLine{Schema: s.Name, What: "release", Open: true, Why: cmp.to.Version + " is recorded, and is what lies here"}
	if isWorkingTree(cmp.to.Release) {
		versions, err := releaseDir(cfg).Versions(s.Name)
		if err != nil {
			return nil, err
		}
		release.Open, release.Why = false, "the code that lies here is not recorded as a release"
		release.next = "headgate release add " + following(versions) + onlySchema(cfg, s)
	}
	in, err := a.input(c.Context, cmp, planner.ProfileFleet)
	if err != nil {
		return nil, err
	}
	report := planner.Check(in)
	errors, warnings, _, _ := report.Counts()
	findings := gateLine{Schema: s.Name, What: "findings", Open: errors == 0, Why: fmt.Sprintf("%s, %s", count(errors, "error"), count(warnings, "warning"))}
	if errors > 0 {
		var list []string
		for _, f := range report.Failing(planner.Error) {
			list = append(list, strings.TrimSpace(string(f.Code)+" "+f.Place()))
		}
		findings.Why += ": " + strings.Join(list, "; ")
		findings.next = "headgate check --schema " + s.Name + " --env " + cmp.env.Name
	}
	list, err := a.checklistOf(c.Context, cmp, in, report)
	if err != nil {
		return nil, err
	}
	failed := list.Failing(planner.Failed)
	items := gateLine{Schema: s.Name, What: "checklist", Open: len(failed) == 0, Why: fmt.Sprintf("%d failed, %d open", len(failed), list.Counts()[planner.Open])}
	if len(failed) > 0 {
		var ids []string
		for _, f := range failed {
			ids = append(ids, f.ID)
		}
		items.Why += ": " + strings.Join(ids, " ")
		items.next = "headgate checklist --schema " + s.Name + " --env " + cmp.env.Name
	}
	lines := []gateLine{release, findings, items}
	incident, err := a.gateIncident(cfg, s, cmp.env.Name, cmp.to.Version)
	if err != nil {
		return nil, err
	}
	if incident != nil {
		lines = append([]gateLine{*incident}, lines...)
	}
	same, err := a.gateStores(c.Context, cfg, s, cmp)
	if err != nil {
		return nil, err
	}
	if same != nil {
		lines = append(lines, *same)
	}
	done, err := a.gateMigrations(c.Context, cfg, s, cmp)
	if err != nil || done == nil {
		return lines, err
	}
	return append(lines, *done), nil
}

// gateStores compares the environment's stores with what the control database knows of them; nil where there is none, or
// where it knows nothing.
func (a *app) gateStores(ctx context.Context, cfg *config.Config, s config.Schema, cmp comparison) (*gateLine, error) {
	if cmp.env == nil {
		return nil, nil
	}
	r, err := a.newRunner(ctx, cfg, *cmp.env, nil, 0)
	if err != nil {
		return nil, err
	}
	for _, store := range cmp.env.Stores {
		if store.Schema == s.Name {
			r.stores = append(r.stores, store)
		}
	}
	if err := r.recall(ctx); err != nil || len(r.known) == 0 {
		return nil, err
	}
	failed := r.each(ctx, "compared stores", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(eventlog.Reader) error { return nil })
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	line := &gateLine{Schema: s.Name, What: "stores", Open: true, Why: fmt.Sprintf("%s as the control database knows them", count(len(r.stores), "store"))}
	var open []string
	for _, f := range r.failures(failed) {
		open = append(open, f.Error)
	}
	if len(open) > 0 {
		line.Open, line.Why = false, strings.Join(open, "; ")
		line.next = "headgate migration status --env " + r.env.Name
	}
	return line, nil
}

// gateMigrations looks at the migrations that the release needs to be done in every store of the environment; nil where
// there are none.
func (a *app) gateMigrations(ctx context.Context, cfg *config.Config, s config.Schema, cmp comparison) (*gateLine, error) {
	all, err := a.definitions(ctx, cfg, "")
	if err != nil {
		return nil, err
	}
	var needed []migrations.Definition
	for _, d := range all {
		if d.Schema == s.Name && !isWorkingTree(cmp.to.Release) && d.NeededBy(cmp.to.Version) {
			needed = append(needed, d)
		}
	}
	if len(needed) == 0 || cmp.env == nil {
		return nil, nil
	}
	r, err := a.newRunner(ctx, cfg, *cmp.env, needed, 0)
	if err != nil {
		return nil, err
	}
	if err := r.choose(ctx, nil); err != nil {
		return nil, err
	}
	found, failed := r.verify(ctx)
	defer found.reports.close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	line := &gateLine{Schema: s.Name, What: "migrations", Open: true}
	var open []string
	line.next = "headgate migration verify --env " + r.env.Name
	for _, f := range r.failures(failed) {
		open = append(open, fmt.Sprintf("%s could not be asked: %s", f.Store, f.Error))
	}
	for _, v := range found.first {
		open = append(open, fmt.Sprintf("%s is not done on %s (%s)", v.Migration, v.Store, r.lacks(v.Report)))
		if r.committable(v.Report) {
			line.next = "headgate migration up --env " + r.env.Name
		}
	}
	if n := found.Open - len(found.first); n > 0 {
		open = append(open, fmt.Sprintf("and %d more", n))
	}
	line.Why = fmt.Sprintf("%s done on %s", count(len(needed), "migration"), count(len(r.stores), "store"))
	if len(open) > 0 {
		line.Open, line.Why = false, strings.Join(open, "; ")
	}
	return line, nil
}

// recordedAs is the version under which exactly this code is recorded, empty when it is not.
func recordedAs(cfg *config.Config, s config.Schema, b build) (string, error) {
	all, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return "", err
	}
	for i := len(all) - 1; i >= 0; i-- {
		same := *b.Release
		same.Version, same.Bundle = all[i].Version, all[i].Bundle
		mine, err := same.Digest()
		if err != nil {
			return "", err
		}
		theirs, err := all[i].Digest()
		if err != nil {
			return "", err
		}
		if mine == theirs {
			return all[i].Version, nil
		}
	}
	return "", nil
}

// following is the version that a release after all of versions may have.
func following(versions []string) string {
	if len(versions) == 0 {
		return "1.0.0"
	}
	v, err := schema.ParseVersion(versions[len(versions)-1])
	if err != nil {
		return "VERSION"
	}
	if len(v.Prerelease) == 0 {
		v.Patch++
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// onlySchema names the schema in a command, where the app has several.
func onlySchema(cfg *config.Config, s config.Schema) string {
	if len(cfg.Schemas) == 1 {
		return ""
	}
	return " --schema " + s.Name
}
