package cli

import (
	"slices"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/migrations"
	"headgate/planner"
)

func (a *app) applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Category:  daily,
		Usage:     "carry out a step of a plan",
		ArgsUsage: "PLAN",
		UsageText: "headgate apply plan.json --step backfill\nheadgate apply plan.json --step backfill --yes\n" +
			"headgate apply headgate/incidents/2027-01-31-1.3.0/plan.json --step raise-floor",
		Description: `The step backfill runs the migrations that the plan carries on the stores that it names, as headgate migration up
--plan does. A plan that findings block, whose migrations were edited since, or whose release is recorded with another
content is refused with 3 or 4: make a new one. So is one with fewer approvals than the environment's approvals: demands
(headgate plan approve); your own does not count. The other steps are done by people; headgate plan show prints them.

Of the plan of an incident, any step: as headgate rollback run does it.`,
		Flags:  append([]cli.Flag{&cli.StringFlag{Name: "step", Usage: "the `STEP`: backfill, or of an incident's plan any", Value: "backfill"}}, upFlags()...),
		Action: a.apply,
	}
}

func (a *app) apply(c *cli.Context) error {
	file := c.Args().First()
	p, env, err := a.planFor(c, file)
	if err != nil {
		return err
	}
	if p.Intent.Answer == nil {
		if step := c.String("step"); step != "backfill" {
			return errs.Invalidf("--step: headgate does only backfill of this plan, not %q", step).At("%s", file).
				Hintf("the other steps are done by people").Then("headgate plan show " + file)
		}
		return a.migrationUp(c)
	}
	i, err := a.planIncident(a.loaded, p, file)
	if err != nil {
		return err
	}
	a.log.Debug("a step of an incident", "incident", i.ID, "environment", env.Name)
	if !c.IsSet("step") {
		return errs.Invalidf("--step is missing").Then("headgate plan show " + file)
	}
	return a.runPlan(c, i, c.String("step"))
}

// upRunner makes the runner of `migration up`, or of the plan that is named.
func (a *app) upRunner(c *cli.Context) (*runner, error) {
	file := c.String("plan")
	if c.Command.Name == "apply" {
		file = c.Args().First()
	}
	if file == "" {
		r, err := a.runner(c)
		if err == nil && r.env.Approvals > 0 && !c.Bool("dry-run") {
			return nil, errs.New(errs.Stale, "environment %q asks for %s of a plan, and there is none", r.env.Name, count(r.env.Approvals, "approval")).
				At("%s", r.cfg.Where(r.env.Line)).Hintf("make a plan, have it approved, and apply it").
				Then("headgate plan --env " + r.env.Name + " --out plan.json")
		}
		return r, err
	}
	p, env, err := a.planFor(c, file)
	if err != nil {
		return nil, err
	}
	if err := checkPlan(p, file); err != nil {
		return nil, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	release, err := releaseDir(cfg).Load(p.Intent.Schema, p.Intent.To.Version)
	if err != nil {
		return nil, err
	}
	if digest, err := release.Digest(); err != nil || digest != p.Intent.To.Digest {
		return nil, errs.New(errs.Stale, "release %s is another one than when the plan was made", release.Version).At("%s", file).
			Hintf("make a new plan").Then("headgate plan --out " + file)
	}
	all, err := a.definitions(c.Context, cfg, "")
	if err != nil {
		return nil, err
	}
	var defs []migrations.Definition
	for _, m := range p.Intent.Migrations {
		i := slices.IndexFunc(all, func(d migrations.Definition) bool { return d.Name == m.Name })
		if i < 0 || all[i].Checksum != m.Digest {
			return nil, errs.New(errs.Stale, "migration %s was changed since the plan was made", m.Name).At("%s", file).
				Hintf("make a new plan, and have it approved again").Then("headgate plan --out " + file)
		}
		defs = append(defs, all[i])
	}
	if !c.Bool("dry-run") {
		if err := a.approved(c.Context, env, p, file); err != nil {
			return nil, err
		}
	}
	r, err := a.newRunner(c.Context, cfg, env, defs, c.Int("jobs"))
	if err != nil {
		return nil, err
	}
	r.planned = p.Digest
	var stores []string
	for _, s := range p.Intent.Stores {
		stores = append(stores, string(s))
	}
	if only := c.StringSlice("store"); len(only) > 0 {
		stores = only
	}
	return r, r.choose(c.Context, stores)
}

// checkPlan refuses a plan that has nothing to run, or that findings block.
func checkPlan(p *planner.Plan, file string) error {
	switch {
	case p.Blocked():
		return blockedPlan(p, file)
	case len(p.Intent.Migrations) == 0:
		return errs.NotFoundf("the plan carries no migration").At("%s", file).
			Hintf("a plan carries the migrations whose requires admits the release that it goes to, and not the one that it comes from").
			Then("headgate migration list")
	}
	return nil
}
