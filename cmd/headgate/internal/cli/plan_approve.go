package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/planner"
	"headgate/rollout"
)

func (a *app) planShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show a plan that was written",
		ArgsUsage: "FILE",
		UsageText: "headgate plan show plan.json\nheadgate plan show plan.json --env prod\nheadgate plan show plan.json --format markdown",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "env", Usage: "also list who approved it for the environment `ENV`"}, formatFlag("markdown")},
		Action:    a.planShow,
	}
}

func (a *app) planApproveCommand() *cli.Command {
	return &cli.Command{
		Name:      "approve",
		Usage:     "agree that a plan is carried out",
		ArgsUsage: "FILE",
		UsageText: "headgate plan approve plan.json --env prod\nheadgate plan approve plan.json --reason reviewed",
		Description: `Records who agrees to exactly this plan, by its digest, in the environment's control database and its audit.
HEADGATE_ACTOR says who you are, or else USER. Where headgate.yaml says approvals: 2 for the environment, headgate apply
waits for so many, and that of who applies it does not count. The plan is kept there, too, and the dashboard shows it. A plan that is made anew has the same digest where nothing
changed but counts; otherwise it is another one. A plan that findings block is refused with 3, one of a rollback with 4 where other corrections
lie here than it was made with.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`; that of the plan by default"},
			&cli.StringFlag{Name: "reason", Usage: "why: `TEXT`"},
		},
		Action: a.planApprove,
	}
}

// A planApprovals says who approved a plan.
type planApprovals struct {
	Environment string             `json:"environment"`
	Digest      string             `json:"digest"`
	Needed      int                `json:"needed"` // by others than who applies it
	Approvals   []control.Approval `json:"approvals"`
	NextActions []string           `json:"next_actions"`
}

func (a *app) planApprove(c *cli.Context) error {
	file := c.Args().First()
	p, env, err := a.planFor(c, file)
	if err != nil {
		return err
	}
	if p.Blocked() {
		return blockedPlan(p, file)
	}
	for _, step := range p.Intent.Steps {
		if step.Corrections == "" {
			continue
		}
		if _, err := a.plannedCorrections(c.Context, a.loaded, p.Intent.Schema, step); err != nil {
			return err
		}
	}
	var mine control.Approval
	r := approvals(env, p)
	err = a.withOperationsOf(c.Context, env, func(ops operations) (err error) {
		if mine, err = ops.ApprovePlan(c.Context, p.Digest, string(p.JSON()), a.by(reasonOf(c))); err == nil {
			r.Approvals, err = ops.PlanApprovals(c.Context, p.Digest)
		}
		return err
	})
	if err != nil {
		return err
	}
	r.NextActions = append(r.NextActions, "headgate plan show "+file+" --env "+env.Name)
	return a.render(r, func(w io.Writer) error {
		fmt.Fprintf(w, "%s approves plan %s for %s\n", mine.Actor, p.Digest, env.Name)
		return r.write(w, "  ")
	})
}

// planFor reads a plan and the environment that it is for, which must be what --env says.
func (a *app) planFor(c *cli.Context, file string) (*planner.Plan, config.Environment, error) {
	p, err := a.readPlan(file)
	if err != nil {
		return nil, config.Environment{}, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, config.Environment{}, err
	}
	of := p.Intent.Environment
	if name := c.String("env"); name != "" && name != of {
		return nil, config.Environment{}, errs.Invalidf("the plan is for environment %q, not %q", of, name).At("%s", file)
	}
	env, err := cfg.Environment(of)
	return p, env, err
}

// approvals are those of a plan, before anybody was asked for them.
func approvals(env config.Environment, p *planner.Plan) planApprovals {
	return planApprovals{Environment: env.Name, Digest: p.Digest, Needed: env.Approvals, Approvals: []control.Approval{}, NextActions: []string{}}
}

// approvalsOf reads who approved a plan, from the control database.
func (a *app) approvalsOf(ctx context.Context, env config.Environment, p *planner.Plan) (r planApprovals, err error) {
	r = approvals(env, p)
	if a.needsControl(env) != nil { // the database is the server's
		err = a.withOperationsOf(ctx, env, func(ops operations) error {
			list, err := ops.PlanApprovals(ctx, p.Digest)
			r.Approvals = append(r.Approvals, list...)
			return err
		})
		return r, err
	}
	db, err := a.existingControl(ctx, env)
	if db == nil || err != nil {
		return r, err
	}
	list, err := db.Approvals(ctx, env.Name, p.Digest)
	r.Approvals = append(r.Approvals, list...)
	return r, errors.Join(err, db.Close())
}

// write lists the approvals; bullet begins each line.
func (r planApprovals) write(w io.Writer, bullet string) error {
	for _, k := range r.Approvals {
		why := ""
		if k.Reason != "" {
			why = ": " + k.Reason
		}
		fmt.Fprintf(w, "%sapproved by %s at %s%s\n", bullet, k.Actor, k.At.Format(time.RFC3339), why)
	}
	_, err := fmt.Fprintf(w, "%s%s; %s asks for %d, by others than who applies it\n", bullet, count(len(r.Approvals), "approval"), r.Environment, r.Needed)
	return err
}

// approved refuses a plan that too few others approved.
func (a *app) approved(ctx context.Context, env config.Environment, p *planner.Plan, file string) error {
	if env.Approvals == 0 {
		return nil
	}
	r, err := a.approvalsOf(ctx, env, p)
	if err != nil {
		return err
	}
	me := a.by("").Actor
	others := slices.DeleteFunc(r.Approvals, func(k control.Approval) bool { return rollout.SamePerson(k.Actor, me) })
	if len(others) >= env.Approvals {
		return nil
	}
	return errs.New(errs.Stale, "the plan has %d of the %s that environment %q asks for", len(others), count(env.Approvals, "approval"), env.Name).
		At("%s", file).Hintf("others than %s must approve exactly this plan: %s", me, p.Digest).
		Then("headgate plan approve " + file + " --env " + env.Name)
}

// blockedPlan is the refusal of a plan that findings block.
func blockedPlan(p *planner.Plan, file string) error {
	return errs.New(errs.Findings, "the plan is blocked by %s", count(len(p.Evidence.Blocking), "finding")).At("%s", file).
		Then("headgate plan show " + file)
}

// A shownPlan is a plan with who approved it.
type shownPlan struct {
	*planner.Plan
	Approvals planApprovals `json:"approvals"`
}

func (a *app) planShow(c *cli.Context) error {
	file := c.Args().First()
	if c.String("env") == "" {
		p, err := a.readPlan(file)
		if err != nil {
			return err
		}
		return a.renderPlans([]*planner.Plan{p})
	}
	p, env, err := a.planFor(c, file)
	if err != nil {
		return err
	}
	r := approvals(env, p)
	if address := a.serverOf(env); address != "" {
		client, err := a.client(address, env.Name)
		if err != nil {
			return err
		}
		r.Approvals, err = client.PlanApprovals(c.Context, p.Digest)
		if err != nil {
			return err
		}
	} else if r, err = a.approvalsOf(c.Context, env, p); err != nil {
		return err
	}
	return a.render(shownPlan{p, r},
		func(w io.Writer) error {
			err := p.WriteText(w, a.paintSeverity)
			fmt.Fprintf(w, "\nApprovals\n")
			return errors.Join(err, r.write(w, "  "))
		},
		rendering{"markdown", func(w io.Writer) error {
			err := p.WriteMarkdown(w)
			fmt.Fprintf(w, "\n### Approvals\n\n")
			return errors.Join(err, r.write(w, "- "))
		}})
}
