package cli

import (
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func (a *app) planCommand() *cli.Command {
	return &cli.Command{
		Name:     "plan",
		Category: daily,
		Usage:    "plan an upgrade: findings, forecast, steps",
		UsageText: "headgate plan --env prod\n" +
			"headgate plan --from 1.1.0 --to 1.2.0 --env prod --out plan.json",
		Description: `Goes from the latest recorded release to the working tree, or between two recorded releases. The plan says what
the upgrade breaks, what it costs each store (does the client rebuild, over how many events, how long, how much space),
and the steps, each with its gate, action, verification and undo. To know, each log of the environment is rebuilt once
under both releases. --out writes plan.json, whose digest covers what is meant, not the counts, which move every second. A
plan that findings block is written all the same, with exit status 3.`,
		Flags: append(comparisonFlags(),
			&cli.StringFlag{Name: "from", Usage: "start from `RELEASE`"},
			&cli.StringFlag{Name: "to", Usage: "go to the recorded `RELEASE` instead of the working tree"},
			&cli.StringFlag{Name: "out", Usage: "also write the plan to `FILE` as JSON"},
			choice("profile", "judge as `PROFILE`", "fleet", "replay", "rollback"),
			choice("fail-on", "findings from this `SEVERITY` on block the plan", "error", "warning", "info"),
			&cli.StringSliceFlag{Name: "allow", Usage: "let the finding `CODE` pass; needs --reason, both stand in the plan"},
			&cli.StringFlag{Name: "reason", Usage: "why a finding is allowed: `TEXT`"},
			formatFlag("markdown"),
		),
		Action:      a.plan,
		Subcommands: []*cli.Command{a.planShowCommand(), a.planApproveCommand()},
	}
}

func (a *app) plan(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	out := c.String("out")
	if out != "" && len(schemas) > 1 {
		_, err := cfg.Schema("") // says which there are
		return err
	}
	var plans []*planner.Plan
	for _, s := range schemas {
		p, err := a.planOf(c, cfg, s)
		if err != nil {
			return err
		}
		plans = append(plans, p)
	}
	if out != "" {
		if err := atomicfile.Write(a.abs(out), plans[0].JSON(), 0o666); err != nil {
			return err
		}
	}
	if err := a.renderPlans(plans); err != nil {
		return err
	}
	for _, p := range plans {
		if p.Blocked() {
			e := errs.New(errs.Findings, "the plan is blocked by %s", count(len(p.Evidence.Blocking), "finding"))
			for _, next := range p.Evidence.Next {
				e.Then(next)
			}
			return e
		}
	}
	return nil
}

func (a *app) renderPlans(plans []*planner.Plan) error {
	var value any = plans
	if len(plans) == 1 {
		value = plans[0]
	}
	return a.render(value,
		func(w io.Writer) error {
			return each(w, plans, func(w io.Writer, p *planner.Plan) error { return p.WriteText(w, a.paintSeverity) })
		},
		rendering{"markdown", func(w io.Writer) error {
			return each(w, plans, func(w io.Writer, p *planner.Plan) error { return p.WriteMarkdown(w) })
		}},
	)
}

func (a *app) planOf(c *cli.Context, cfg *config.Config, s config.Schema) (*planner.Plan, error) {
	profile, err := planner.ParseProfile(c.String("profile"))
	if err != nil {
		return nil, err
	}
	failOn, err := planner.ParseFailOn(c.String("fail-on"))
	if err != nil {
		return nil, err
	}
	to, err := a.target(c.Context, cfg, s, c.String("to"))
	if err != nil {
		return nil, err
	}
	from := c.String("from")
	if from == "" {
		versions, err := releaseDir(cfg).Versions(s.Name)
		if err != nil {
			return nil, err
		}
		if from = latest(versions, to.Version, c.String("to") != ""); from == "" {
			return nil, errs.NotFoundf("no other release of schema %s is recorded to plan from", s.Name).At("%s", cfg.Releases).
				Hintf("record what is in the field, from its tag or with its code lying here").Then("headgate release add 1.0.0 --git-ref v1.0.0")
		}
	}
	cmp, err := a.compareWith(c, cfg, s, []string{from}, to)
	if err != nil {
		return nil, err
	}
	rollback := !isWorkingTree(cmp.to.Release) && schema.CompareVersions(cmp.to.Version, from) < 0
	if rollback {
		profile = planner.ProfileRollback
	}
	in, err := a.input(c.Context, cmp, profile)
	if err != nil {
		return nil, err
	}
	if err := a.rebuild(c.Context, cmp, &in.Facts); err != nil {
		return nil, err
	}
	in.Facts.Gates = append(in.Facts.Gates, opensLater(cmp)...)
	p := planner.PlanInput{Input: in, Rollback: rollback, FailOn: failOn}
	if cmp.env != nil {
		p.Environment, p.Horizon = cmp.env.Name, cmp.env.Fleet.Horizon
		for _, st := range cmp.env.Stores {
			if st.Schema == s.Name {
				p.Stores = append(p.Stores, st.ID)
			}
		}
	}
	defs, err := a.definitions(c.Context, cfg, "")
	if err != nil {
		return nil, err
	}
	for _, d := range defs {
		if d.Schema == s.Name && d.Admits(cmp.to.Version) && !d.Admits(from) {
			m := planner.PlannedMigration{MigrationRef: planner.MigrationRef{Name: d.Name, Digest: d.Checksum}, Events: []string{}}
			for _, e := range d.Emits {
				m.Events = append(m.Events, e.Event)
			}
			p.Migrations = append(p.Migrations, m)
		}
	}
	for _, code := range c.StringSlice("allow") {
		p.Allow = append(p.Allow, planner.Allowance{Code: planner.Code(code), Reason: c.String("reason")})
	}
	return planner.BuildPlan(p)
}

// opensLater are the gates that the plan itself is: its steps open a new event only after its readers are there.
func opensLater(c comparison) []planner.Gate {
	var out []planner.Gate
	for _, e := range c.to.Events {
		known := false
		for _, from := range c.from {
			_, ok := from.Event(e.Name)
			known = known || ok
		}
		if !known && !e.ClientOnly {
			out = append(out, planner.Gate{Event: e.Name, By: "this plan", LateReturners: -1})
		}
	}
	return out
}

// readPlan reads a plan that was written, and refuses one that was edited.
func (a *app) readPlan(file string) (*planner.Plan, error) {
	path := a.abs(file)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errs.NotFoundf("can't read the plan").At("%s", path).Because(err).Then("headgate plan --out " + file)
	}
	p, err := planner.DecodePlan(data)
	if e := errs.As(err); e != nil {
		if e.Where == "" {
			e.At("%s", path)
		}
		if len(e.Next) == 0 {
			e.Then("headgate plan --out " + file)
		}
	}
	return p, err
}
