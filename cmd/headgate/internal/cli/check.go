package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// comparisonFlags choose what is compared with what, for check, checklist and plan.
func comparisonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`; all of them when it is left out"},
		&cli.StringFlag{Name: "env", Usage: "take the fleet and the logs of the environment `ENV`; the only one when it is left out"},
	}
}

func (a *app) checkCommand() *cli.Command {
	return &cli.Command{
		Name:     "check",
		Category: daily,
		Usage:    "find what the new release breaks, for whom",
		UsageText: "headgate check\n" +
			"headgate check --from 1.2.0 --to 1.3.0 --env prod\n" +
			"headgate check --format github --fail-on warning",
		Description: `Without arguments it is the check of a pull request: the working tree against every release that is alive, as
headgate.yaml says, or against the latest other one that is recorded. It compares the schemas on the wire, runs both releases'
materializers in a sandbox, and asks the new decoder about every event of the logs at hand. Each finding has a code
that ` + "`headgate help finding CODE`" + ` explains. Exit status 3 says that there are findings at or above --fail-on.`,
		Flags: append(comparisonFlags(),
			&cli.StringSliceFlag{Name: "from", Usage: "compare against `RELEASE`; may be given several times"},
			&cli.StringFlag{Name: "to", Usage: "judge the recorded `RELEASE` instead of the working tree"},
			choice("profile", "judge as `PROFILE`: fleet both directions, replay only new code on old logs, rollback also a way back", "fleet", "replay", "rollback"),
			choice("fail-on", "exit with 3 from this `SEVERITY` on", "error", "warning", "info"),
			formatFlag("sarif", "github", "markdown", "junit"),
		),
		Action: a.check,
	}
}

func (a *app) check(c *cli.Context) error {
	failOn, err := planner.ParseFailOn(c.String("fail-on"))
	if err != nil {
		return err
	}
	profile, err := planner.ParseProfile(c.String("profile"))
	if err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	var reports []planner.Report
	var bad []planner.Finding
	for _, s := range schemas {
		cmp, err := a.compare(c, cfg, s, c.StringSlice("from"), c.String("to"))
		if err != nil {
			return err
		}
		in, err := a.input(c.Context, cmp, profile)
		if err != nil {
			return err
		}
		report := planner.Check(in)
		reports = append(reports, report)
		bad = append(bad, report.Failing(failOn)...)
	}
	err = a.render(map[string]any{"reports": reports},
		func(w io.Writer) error {
			return each(w, reports, func(w io.Writer, r planner.Report) error { return r.WriteText(w, a.paintSeverity) })
		},
		rendering{"sarif", func(w io.Writer) error { return planner.WriteSARIF(w, buildVersion().Version, reports...) }},
		rendering{"github", func(w io.Writer) error {
			for _, r := range reports {
				if err := r.WriteGitHub(w); err != nil {
					return err
				}
			}
			return nil
		}},
		rendering{"markdown", func(w io.Writer) error {
			return each(w, reports, func(w io.Writer, r planner.Report) error { return r.WriteMarkdown(w) })
		}},
		rendering{"junit", func(w io.Writer) error { return planner.WriteJUnit(w, failOn, reports...) }},
	)
	if err != nil {
		return err
	}
	return failing(bad, failOn)
}

// paintSeverity colours text by how bad it is.
func (a *app) paintSeverity(s planner.Severity, text string) string {
	switch s {
	case planner.Error:
		return a.stdout.paint(bad, text)
	case planner.Warning:
		return a.stdout.paint(warn, text)
	case planner.Info:
		return a.stdout.paint(faint, text)
	}
	return a.stdout.paint(good, text)
}

// A comparison is what lies on both sides of a check, and where to look for facts about it.
type comparison struct {
	cfg    *config.Config
	schema config.Schema
	env    *config.Environment // nil: no logs, no fleet
	from   []build             // compared against
	to     build
}

// compare loads both sides. Without from it is what is alive in the environment, or else the latest record before to;
// without to it is the code that lies here.
func (a *app) compare(c *cli.Context, cfg *config.Config, s config.Schema, from []string, to string) (comparison, error) {
	b, err := a.target(c.Context, cfg, s, to)
	if err != nil {
		return comparison{}, err
	}
	if len(from) == 0 {
		env, err := a.environmentOf(c.Context, cfg, c.String("env"))
		if err != nil {
			return comparison{}, err
		}
		if from, err = alive(cfg, s, env, b, to != ""); err != nil {
			return comparison{}, err
		}
	}
	return a.compareWith(c, cfg, s, from, b)
}

// target is the recorded release to or, without one, the code that lies here. Where that code is recorded it goes by
// its version: what a release breaks must not vanish from the check once the release is recorded.
func (a *app) target(ctx context.Context, cfg *config.Config, s config.Schema, to string) (build, error) {
	if to != "" {
		return recorded(cfg, s, to)
	}
	b, err := a.evaluate(ctx, cfg, s, cfg.Dir, workingTree)
	if err != nil {
		return b, err
	}
	version, err := recordedAs(cfg, s, b)
	if version != "" {
		b.Version = version
	}
	return b, err
}

// compareWith sets to against the recorded releases from.
func (a *app) compareWith(c *cli.Context, cfg *config.Config, s config.Schema, from []string, to build) (comparison, error) {
	env, err := a.environmentOf(c.Context, cfg, c.String("env"))
	out := comparison{cfg: cfg, schema: s, env: env, to: to}
	if err != nil {
		return out, err
	}
	for _, v := range from {
		b, err := recorded(cfg, s, v)
		if err != nil {
			return out, err
		}
		out.from = append(out.from, b)
	}
	return out, nil
}

// environmentOf is the environment that is named; without a name the only one, or none.
func (a *app) environmentOf(ctx context.Context, cfg *config.Config, name string) (*config.Environment, error) {
	if name == "" && len(cfg.Environments) != 1 {
		return nil, nil
	}
	e, err := a.environment(ctx, cfg, name)
	return &e, err
}

// alive are the releases that to has to get along with, itself left out.
func alive(cfg *config.Config, s config.Schema, env *config.Environment, to build, asked bool) ([]string, error) {
	versions, err := releaseDir(cfg).Versions(s.Name)
	if err != nil {
		return nil, err
	}
	if env != nil && len(env.Fleet.Alive) > 0 {
		var out []string
		for _, v := range env.Fleet.Alive {
			if v.Release != to.Version && (len(cfg.Schemas) == 1 || slices.Contains(versions, v.Release)) {
				out = append(out, v.Release)
			}
		}
		return out, nil
	}
	if v := latest(versions, to.Version, asked); v != "" {
		return []string{v}, nil
	}
	return nil, nil
}

// latest is the version to come from: the last one before to where to was asked for, and the last other one where to
// is the code that lies here, since old code that is deployed again meets what came after it. Empty: there is none.
func latest(versions []string, to string, asked bool) string {
	for _, v := range slices.Backward(versions) {
		if v != to && (!asked || schema.CompareVersions(v, to) < 0) {
			return v
		}
	}
	return ""
}

// input gathers what a check of the comparison looks at.
func (a *app) input(ctx context.Context, c comparison, profile planner.Profile) (planner.Input, error) {
	// What can be wrong at once is read before what takes its time.
	history, err := releaseDir(c.cfg).LoadAll(c.schema.Name)
	if err != nil {
		return planner.Input{}, err
	}
	suppressions, err := a.suppressions(c.cfg)
	if err != nil {
		return planner.Input{}, err
	}
	facts, err := a.gather(ctx, c)
	if err != nil {
		return planner.Input{}, err
	}
	in := planner.Input{To: c.to.Release, History: history, Profile: profile, Facts: facts, Suppressions: suppressions, Now: a.now()}
	for _, b := range c.from {
		in.From = append(in.From, b.Release)
	}
	return in, nil
}

// suppressions are those of headgate.yaml and the debt that `headgate baseline` accepted.
func (a *app) suppressions(cfg *config.Config) ([]planner.Suppression, error) {
	var out []planner.Suppression
	for _, s := range cfg.Suppressions {
		p := planner.Suppression{
			Code: planner.Code(s.Code), Path: s.Path, Reason: s.Reason, Owner: s.Owner, Expires: s.Expires, Where: cfg.Where(s.Line),
		}
		if err := p.Validate(); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	debt, err := loadBaseline(cfg)
	return append(out, debt...), err
}

// failing is the error of findings at or above failOn, nil when there are none.
func failing(findings []planner.Finding, failOn planner.Severity) error {
	if len(findings) == 0 {
		return nil
	}
	var codes []string
	for _, f := range findings {
		if !slices.Contains(codes, string(f.Code)) {
			codes = append(codes, string(f.Code))
		}
	}
	return errs.New(errs.Findings, "%s at or above %s: %s", count(len(findings), "finding"), failOn, strings.Join(codes, ", ")).
		Hintf("each finding says how to fix it").Then("headgate help finding " + codes[0])
}
