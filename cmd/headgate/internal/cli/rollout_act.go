package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/rollout"
)

// A rolloutResult is what became of a rollout.
type rolloutResult struct {
	Rollout     string          `json:"rollout"`
	Environment string          `json:"environment"`
	From        rollout.Phase   `json:"from"`
	Phase       rollout.Phase   `json:"phase"`
	Step        int             `json:"step"` // 1 for the first; 0 outside of the ramp
	Weight      string          `json:"weight"`
	Opened      int             `json:"opened"` // stores, by this command
	Revision    int             `json:"revision"`
	Reasons     []string        `json:"reasons"`
	Committed   *committedCount `json:"committed,omitempty"` // after an abort or an undo
	DryRun      bool            `json:"dryRun,omitempty"`
	Next        rollout.Next    `json:"next"`
	NextActions []string        `json:"next_actions"`
}

func (v *rolloutView) result(from rollout.Phase, d rollout.Decision, dryRun bool) rolloutResult {
	r := rolloutResult{
		Rollout: v.def.Name, Environment: v.env.Name, From: from, Phase: d.State.Phase, Weight: d.State.Weight(v.def).String(), Opened: len(d.Open),
		Revision: d.State.Revision, Reasons: append([]string{}, d.Reasons...), Next: d.Next, DryRun: dryRun, NextActions: v.nextActions(d.State),
	}
	if d.State.Phase == rollout.Ramp {
		r.Step = d.State.Step + 1
	}
	return r
}

// nextActions are the commands that lead on.
func (v *rolloutView) nextActions(s rollout.State) []string {
	switch {
	case s.Paused != nil:
		return []string{v.command("resume"), v.command("abort")}
	case s.Phase == rollout.Draft, s.Phase == rollout.Aborted, s.Phase == rollout.Undone:
		return []string{v.command("start")}
	case s.Phase == rollout.PointOfNoReturn:
		return []string{v.command("promote") + " --full"}
	case s.Phase == rollout.Drained:
		return []string{v.command("promote")}
	case s.Phase == rollout.Retired:
		return []string{v.command("history")}
	}
	return []string{v.command("tick")}
}

func (a *app) rolloutAct(c *cli.Context, command rollout.Command) error {
	if c.Bool("full") {
		command = rollout.Finish
	}
	closing := command == rollout.Abort || command == rollout.Undo
	return a.withRollout(c, c.Args().First(), closing, func(v *rolloutView) error {
		if !closing { // who closes waits for no inventory
			if err := v.look(c.Context); err != nil {
				return err
			}
		}
		if command == rollout.Start {
			if err := v.mayStart(c); err != nil {
				return err
			}
		}
		by := a.by(c.String("reason"))
		d, err := rollout.Act(a.now(), v.def, v.row.State, v.facts, rollout.Request{
			Command: command, By: by.Actor, Reason: by.Reason, Force: c.Bool("force"),
		})
		if err != nil {
			return v.refused(err)
		}
		result := v.result(v.row.State.Phase, d, c.Bool("dry-run"))
		if !result.DryRun {
			if v.row.Version == 0 {
				if v.row, err = v.db.CreateRollout(c.Context, v.env.Name, v.def.Name, by); err != nil {
					return err
				}
			}
			moved, err := v.take(c.Context, d, by)
			if err != nil {
				return err
			}
			if !moved {
				return errs.New(errs.Locked, "the rollout has just been changed by somebody else").Hintf("look at it, and try again").Then(v.command("status"))
			}
		}
		if closing {
			kept, err := v.keptCount(c.Context)
			if err != nil {
				return err
			}
			result.Committed = &kept
		}
		return a.render(result, func(w io.Writer) error { return writeRolloutResult(w, result) })
	})
}

// mayStart refuses to start what the check has an error for.
func (v *rolloutView) mayStart(c *cli.Context) error {
	findings, err := v.check(c.Context)
	if err != nil {
		return err
	}
	for _, f := range findings {
		if !f.Warning {
			return errs.New(errs.Findings, "%s: %s", f.Code, f.Msg).At("%s:%d", v.app.rel(v.def.Path), f.Line).Hintf("%s", f.Hint).Then(v.command("check"))
		}
	}
	return nil
}

// refused gives an error the next command.
func (v *rolloutView) refused(err error) error {
	e := errs.As(err)
	if e == nil {
		return err
	}
	for i, next := range e.Next {
		if next != "headgate release add VERSION" {
			e.Next[i] = next + " --env " + v.env.Name
		}
	}
	if len(e.Next) == 0 {
		e.Then(v.command("status"))
	}
	return v.app.nearby(err)
}

func writeRolloutResult(w io.Writer, r rolloutResult) error {
	verb := "is"
	if r.DryRun {
		verb = "would be"
	}
	fmt.Fprintf(w, "%s on %s %s in phase %s", r.Rollout, r.Environment, verb, r.Phase)
	if r.Step > 0 {
		fmt.Fprintf(w, ", step %d", r.Step)
	}
	fmt.Fprintf(w, ", weight %s\n", r.Weight)
	if r.Opened > 0 {
		fmt.Fprintf(w, "  %s opened\n", count(r.Opened, "store"))
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	if r.Committed != nil {
		writeCommitted(w, *r.Committed)
		fmt.Fprintf(w, "  clients that fetched the flags before go on until they fetch them again; offline ones until they come back\n")
	}
	fmt.Fprintf(w, "  what happens next: %s\n", nextText(r.Next))
	if len(r.NextActions) > 0 {
		fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
	}
	return nil
}

func nextText(n rollout.Next) string {
	if n.When.IsZero() {
		return n.What
	}
	return n.What + ", at " + n.When.UTC().Format(time.RFC3339)
}
