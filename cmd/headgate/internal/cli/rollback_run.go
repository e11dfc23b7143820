package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func (a *app) rollbackRunCommand() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "carry out the incident's plan, a confirmation per step",
		UsageText: "headgate rollback run --env prod\nheadgate rollback run --env prod --step raise-floor --yes\n" +
			"headgate rollback run --env prod --step canary-rebuild --skip --reason=not-possible-here",
		Description: `Each step says what must hold, what it does by which commands, what to expect and when to stop; then it asks. What headgate
can do it does, by those commands; the rest is for people, who say when it is done. A step that is done is not done again. One
that was interrupted is asked about again: its commands go on from where they were, or change nothing.

Without a terminal, --yes agrees to the steps that headgate does, one after the other, up to the first that is for people;
with --step it also says that such a one is done. What was done, by whom, stands in the incident and in headgate audit. Where
headgate.yaml demands approvals for the environment, what writes data waits for them (headgate plan approve); what only takes
back or keeps out does not.

Ends with 4 where a step waits for somebody, 6 where somebody else is at it.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "step", Usage: "only the `STEP`, by its id in plan.json"},
			&cli.BoolFlag{Name: "yes", Usage: "do it without asking"},
			&cli.BoolFlag{Name: "skip", Usage: "leave the step out; needs --step and --reason"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, do nothing"},
		},
		Action: a.rollbackRun,
	}
}

// A planRun carries out the plan of an incident.
type planRun struct {
	*incident
	plan   *planner.Plan
	env    config.Environment
	yes    bool
	named  bool // one step was named
	reason string
	report runReportOfPlan
}

// A runReportOfPlan is what `rollback run` reports.
type runReportOfPlan struct {
	Incident    string        `json:"incident"`
	Environment string        `json:"environment"`
	Plan        string        `json:"plan"`
	DryRun      bool          `json:"dryRun,omitempty"`
	Steps       []steppedPlan `json:"steps"` // that this run was about
	NextActions []string      `json:"next_actions"`
}

// A steppedPlan is one step, and what its commands reported.
type steppedPlan struct {
	corrective.Doing
	Title    string            `json:"title"`
	Commands []string          `json:"commands"`
	Reports  []json.RawMessage `json:"reports,omitempty"` // with --format json
}

func (a *app) rollbackRun(c *cli.Context) error {
	i, err := a.neededIncident(c)
	if err != nil {
		return err
	}
	return a.runPlan(c, i, c.String("step"))
}

// runPlan carries out the plan of an incident, or one step of it.
func (a *app) runPlan(c *cli.Context, i *incident, step string) error {
	if i.Remedy == nil {
		return errs.NotFoundf("incident %s has no plan yet", i.ID).At("%s", i.shown("incident.yaml")).Then(i.nextCommand())
	}
	if c.Bool("skip") && (step == "" || reasonOf(c) == "") {
		return errs.Invalidf("--skip needs --step and --reason").Hintf("which step is left out, and why, stays in the incident and the audit")
	}
	var err error
	r := planRun{incident: i, yes: c.Bool("yes"), named: step != "", reason: reasonOf(c)}
	if r.plan, err = i.plan(); err != nil {
		return err
	}
	if r.env, err = i.cfg.Environment(i.Environment); err != nil {
		return err
	}
	var steps []planner.Step
	for _, s := range r.plan.Intent.Steps {
		if d := i.doing(step); step == "" || d != nil && d.ID == s.ID {
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		return i.stepped(step)
	}
	r.report = runReportOfPlan{Incident: i.ID, Environment: i.Environment, Plan: r.plan.Digest, DryRun: c.Bool("dry-run"), Steps: []steppedPlan{}, NextActions: []string{}}
	if c.Bool("dry-run") {
		return r.carryOut(c, steps)
	}
	return r.alone(c.Context, func(held context.Context) error {
		c.Context = held
		return r.carryOut(c, steps)
	})
}

// carryOut does the steps, up to the first that stops it.
func (r *planRun) carryOut(c *cli.Context, steps []planner.Step) error {
	var stopped error
	for _, s := range steps {
		if c.Bool("skip") {
			stopped = r.skip(c.Context, s)
		} else {
			stopped = r.step(c, s)
		}
		if stopped != nil {
			break
		}
	}
	if errors.Is(stopped, errLeft) {
		stopped = nil
		if c.Context.Err() != nil {
			return errs.New(errs.Interrupted, "interrupted")
		}
	}
	if errs.As(stopped) == nil && stopped != nil {
		return stopped
	}
	r.report.NextActions = append(r.report.NextActions, r.nextCommand())
	if err := r.app.render(r.report, r.write); err != nil {
		return err
	}
	return stopped
}

func (r *planRun) write(w io.Writer) error {
	for _, s := range r.report.Steps {
		if s.State == corrective.Done || s.State == corrective.Skipped {
			note := ""
			if s.Note != "" {
				note = ": " + s.Note
			}
			fmt.Fprintf(w, "%s %s%s\n", r.app.stdout.paint(good, string(s.State)), s.ID, note)
		}
	}
	for _, n := range r.report.NextActions {
		fmt.Fprintf(w, "\nnext: %s\n", n)
	}
	return nil
}

// alone keeps others from carrying out the same plan while work does. What it holds can be lost: then work's context ends.
func (r *planRun) alone(ctx context.Context, work func(context.Context) error) error {
	owner := ownerName(randomHex(4))
	var failed error
	err := r.app.withOperationsOf(ctx, r.env, func(ops operations) (err error) {
		since := r.app.now()
		lease, err := ops.HoldIncident(ctx, r.ID, owner, 0)
		if errs.CodeOf(err) == errs.NotFound {
			r.app.log.Warn("the server is of an earlier headgate: nobody keeps others from this plan meanwhile", "server", r.app.serverOf(r.env))
			failed = work(ctx)
			return nil
		}
		if err != nil {
			return err
		}
		held, stop := control.Hold(ctx, lease.Name, since, lease.ExpiresAt.Sub(lease.Heartbeat), func(ctx context.Context) error {
			_, err := ops.HoldIncident(ctx, r.ID, owner, lease.Fence)
			return err
		})
		failed = work(held)
		if lost := context.Cause(held); failed != nil && errs.CodeOf(lost) == errs.Locked {
			failed = lost
		}
		stop()
		return ops.ReleaseIncident(context.WithoutCancel(ctx), r.ID, owner, lease.Fence)
	})
	return errors.Join(failed, err)
}

// step carries out one step, unless it is done.
func (r *planRun) step(c *cli.Context, s planner.Step) error {
	if err := r.refresh(); err != nil {
		return err
	}
	d := *r.Doing(s.ID)
	if d.State == corrective.Done || d.State == corrective.Skipped {
		if d.Note = "is " + string(d.State) + " already"; r.named {
			r.add(s, d, nil, nil)
		}
		return nil
	}
	if !r.report.DryRun {
		if err := r.ready(c.Context, s); err != nil {
			return err
		}
	}
	commands, note, err := r.commands(c.Context, s)
	if err != nil {
		return err
	}
	r.describe(s, d, commands, note)
	if r.report.DryRun {
		r.add(s, d, commands, nil)
		return nil
	}
	if note != "" && len(commands) == 0 { // it is so already
		return r.done(c.Context, s, nil, nil, note)
	}
	if err := r.approved(c.Context, s, len(commands) > 0); err != nil {
		return err
	}
	if err := r.agreed(c.Context, s, d, len(commands) > 0); err != nil || r.Doing(s.ID).State == corrective.Skipped {
		return err
	}
	if len(commands) == 0 {
		if err := r.believed(s); err != nil {
			return err
		}
		return r.done(c.Context, s, nil, nil, "done by people")
	}
	if err := r.record(c.Context, operate.StepIncident, r.reason, operate.IncidentNote{Step: s.ID, State: string(corrective.Begun)}); err != nil {
		return err
	}
	r.MarkStep(s.ID, corrective.Begun, r.app.by("").Actor, r.app.now(), "")
	if err := r.save(); err != nil {
		return err
	}
	reports, err := r.execute(c.Context, s, commands)
	if err != nil {
		if e := errs.As(err); e != nil {
			if e.Code == errs.Stale && s.Migration != "" { // the migration was edited: the plan is of another one
				e.Next = []string{strings.Replace(r.planWith(), "NAME", s.Migration, 1)}
			}
			e.Then(r.command("rollback run --step " + s.ID))
		}
		return err
	}
	return r.done(c.Context, s, commands, reports, "")
}

// refresh reads what the incident's commands kept since.
func (r *planRun) refresh() error {
	if err := r.incident.refresh(); err != nil {
		return err
	}
	if r.Remedy == nil || r.Remedy.Plan != r.plan.Digest {
		return errs.New(errs.Stale, "the incident has another plan than when this began").At("%s", r.shown("plan.json")).Then(r.command("rollback run"))
	}
	return nil
}

// ready refuses a step that lacks something: those before it, or what people have to write first.
func (r *planRun) ready(ctx context.Context, s planner.Step) error {
	switch {
	case r.bySample() && !slices.Contains([]planner.StepKind{planner.StopEmission, planner.WriteCorrections, planner.ProveCorrections}, s.Kind):
		return errs.New(errs.Stale, "the plan is by a sample of the stores: what the others hold it does not know").At("%s", r.shown("plan.json")).
			Hintf("read them all, and plan again: what is done stays done").Then(r.planWhole())
	case s.Corrections != "" && r.Doing(s.ID).State == corrective.Todo: // what was begun with them goes on with its files
		if err := r.sameCorrections(ctx, s); err != nil {
			return err
		}
	case s.Kind == planner.ProveCorrections && r.corrected() == "":
		return errs.NotFoundf("release %s is not recorded yet", s.Release).
			Hintf("make the edits that headgate rollback generate named, run the app's own tests, and record the code").
			Then("headgate release add " + s.Release + r.onlySchema())
	case s.Kind == planner.BackfillRows && s.Placeholder:
		return errs.Invalidf("the plan has no migration with the opposite events yet").At("%s", r.shown("plan.json")).
			Hintf("%s", s.Gate).Then(r.planWith())
	}
	for _, d := range r.Remedy.Steps {
		if d.ID == s.ID {
			return nil
		}
		if d.State != corrective.Done && d.State != corrective.Skipped {
			return errs.Invalidf("step %s comes before, and is not done", d.ID).
				Hintf("where it is not wanted, leave it out: --skip --reason TEXT").Then(r.command("rollback run --step " + d.ID))
		}
	}
	return nil
}

// believed refuses a word that the recorded releases contradict: a deployment without a new epoch would change nothing.
func (r *planRun) believed(s planner.Step) error {
	if s.Kind != planner.EpochBump {
		return nil
	}
	all, err := releaseDir(r.cfg).LoadAll(r.plan.Intent.Schema)
	if err != nil {
		return err
	}
	bump, add := "headgate epoch bump"+r.onlySchema()+" --reason "+r.ID, "headgate release add VERSION"+r.onlySchema()
	last := all[len(all)-1]
	if schema.CompareVersions(last.Version, r.Remedy.Bad) <= 0 {
		return errs.NotFoundf("no release after %s is recorded yet", r.Remedy.Bad).Then(bump).Then(add)
	}
	for _, other := range all[:len(all)-1] {
		if other.StateHash == last.StateHash {
			return errs.Refusedf("the state hash of %s is that of %s: clients that ran it rebuild nothing", last.Version, other.Version).Then(bump).Then(add)
		}
	}
	return nil
}

// describe says what a step is, on a terminal and in a dry run.
func (r *planRun) describe(s planner.Step, d corrective.Doing, commands []corrective.Command, note string) {
	if !r.asks() && !r.report.DryRun || r.app.format == formatJSON {
		return
	}
	w := r.app.stderr
	fmt.Fprintf(w, "\n%s\n", w.paint(strong, s.ID+": "+s.Title))
	fmt.Fprintf(w, "  before   %s\n  does     %s\n", s.Gate, s.Action)
	for n, c := range commands {
		if n == linesShown {
			fmt.Fprintf(w, "           and %d more commands, for each store the same\n", len(commands)-n)
			break
		}
		fmt.Fprintf(w, "           $ %s\n", commandLine(c))
	}
	fmt.Fprintf(w, "  expect   %s\n  back     %s\n", s.Verification, s.Undo)
	if d.State == corrective.Begun {
		fmt.Fprintf(w, "  %s by %s at %s, and nobody said how it ended. Done again, it goes on from there\n", w.paint(warn, "begun"), d.By, d.At.Format(time.RFC3339))
	}
	if note != "" {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

func (r *planRun) asks() bool { return r.app.interactive && r.app.format == formatText && !r.yes }

// approved waits for the environment's approvals, where the step writes data.
func (r *planRun) approved(ctx context.Context, s planner.Step, ours bool) error {
	switch s.Kind {
	case planner.ResetClients, planner.ResetBackend, planner.CopyLog, planner.BackfillRows:
		if ours {
			return r.app.approved(ctx, r.env, r.plan, r.shown("plan.json"))
		}
	}
	return nil
}

// agreed asks whether a step may be done, or is.
func (r *planRun) agreed(ctx context.Context, s planner.Step, d corrective.Doing, ours bool) error {
	if r.yes && (ours || r.named) {
		return nil
	}
	id := r.command("rollback run --step "+s.ID) + " --yes"
	if !r.asks() {
		if !ours {
			return errs.New(errs.Stale, "step %s is for people: %s", s.ID, s.Title).Hintf("%s Then say that it is done", s.Action).Then(id)
		}
		return errs.New(errs.Stale, "step %s would be done, and nobody said yes: %s", s.ID, s.Title).Hintf("--dry-run shows its commands").Then(id)
	}
	question, yes := "Do it?", "do it"
	if !ours {
		question, yes = "This is for people. Is it done, and did what is expected come?", "it is done"
	} else if d.State == corrective.Begun {
		question, yes = "It was begun before. Go on with it?", "go on with it"
	}
	n, err := r.app.ask(question, "not now: leave", yes, "leave this step out for good")
	switch {
	case err != nil || n == 0:
		return errLeft
	case n == 1:
		return nil
	}
	if r.reason, err = r.app.askText("Why is it left out?", "one line, for the incident and the audit. Nothing: leave"); err != nil || r.reason == "" {
		return errLeft
	}
	return r.skip(ctx, s)
}

func (r *planRun) skip(ctx context.Context, s planner.Step) error {
	if d := r.Doing(s.ID); d.State == corrective.Done {
		return errs.Invalidf("step %s is done already", s.ID).Then(r.command("rollback status"))
	}
	if err := r.record(ctx, operate.StepIncident, r.reason, operate.IncidentNote{Step: s.ID, State: string(corrective.Skipped)}); err != nil {
		return err
	}
	r.MarkStep(s.ID, corrective.Skipped, r.app.by("").Actor, r.app.now(), r.reason)
	r.add(s, *r.Doing(s.ID), nil, nil)
	return r.save()
}

// done keeps that a step is.
func (r *planRun) done(ctx context.Context, s planner.Step, commands []corrective.Command, reports []json.RawMessage, note string) error {
	if err := r.refresh(); err != nil {
		return err
	}
	if d := r.Doing(s.ID); d.State == corrective.Done && note == "" {
		note = d.Note // its command said so itself
	}
	if err := r.record(ctx, operate.StepIncident, r.reason, operate.IncidentNote{Step: s.ID, State: string(corrective.Done)}); err != nil {
		return err
	}
	r.MarkStep(s.ID, corrective.Done, r.app.by("").Actor, r.app.now(), note)
	r.add(s, *r.Doing(s.ID), commands, reports)
	return r.save()
}

func (r *planRun) add(s planner.Step, d corrective.Doing, commands []corrective.Command, reports []json.RawMessage) {
	one := steppedPlan{Doing: d, Title: s.Title, Commands: []string{}, Reports: reports}
	for _, c := range commands {
		one.Commands = append(one.Commands, commandLine(c))
	}
	r.report.Steps = append(r.report.Steps, one)
}

// planIncident is the open incident whose plan a file is.
func (a *app) planIncident(cfg *config.Config, p *planner.Plan, file string) (*incident, error) {
	open, err := a.openIncidents(cfg, p.Intent.Environment)
	if err != nil {
		return nil, err
	}
	for _, i := range open {
		if i.Remedy != nil && i.Remedy.Plan == p.Digest {
			return i, nil
		}
	}
	return nil, errs.New(errs.Stale, "no open incident on %s has this plan", p.Intent.Environment).At("%s", file).
		Hintf("incident %s was closed, or has another plan by now", p.Intent.Answer.Incident).Then("headgate rollback status --env " + p.Intent.Environment)
}
