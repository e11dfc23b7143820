package operate

import (
	"context"
	"errors"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// A RolloutResult is what became of a rollout.
type RolloutResult struct {
	Rollout     string            `json:"rollout"`
	Environment string            `json:"environment"`
	From        rollout.Phase     `json:"from"`
	Phase       rollout.Phase     `json:"phase"`
	Step        int               `json:"step"` // 1 for the first; 0 outside of the ramp
	Weight      string            `json:"weight"`
	Opened      int               `json:"opened"` // stores, by this command
	Revision    int               `json:"revision"`
	Reasons     []string          `json:"reasons"`
	Warnings    []rollout.Finding `json:"warnings,omitempty"`  // of a start: the analyses that would see nothing
	Committed   *CommittedCount   `json:"committed,omitempty"` // after an abort or an undo
	DryRun      bool              `json:"dryRun,omitempty"`
	Next        rollout.Next      `json:"next"`
	NextActions []string          `json:"next_actions"`
}

func (v *Rollout) result(from rollout.Phase, d rollout.Decision, dryRun bool) RolloutResult {
	r := RolloutResult{
		Rollout: v.Definition.Name, Environment: v.Name, From: from, Phase: d.State.Phase, Weight: d.State.Weight(v.Definition).String(), Opened: len(d.Open),
		Revision: d.State.Revision, Reasons: append([]string{}, d.Reasons...), Next: d.Next, DryRun: dryRun, NextActions: v.NextActions(d.State),
	}
	if d.State.Phase == rollout.Ramp {
		r.Step = d.State.Step + 1
	}
	return r
}

// NextActions are the commands that lead on.
func (v *Rollout) NextActions(s rollout.State) []string {
	switch {
	case s.Paused != nil:
		return []string{v.Command("resume"), v.Command("abort")}
	case s.Phase == rollout.Draft, s.Phase == rollout.Aborted, s.Phase == rollout.Undone:
		return []string{v.Command("start")}
	case s.Phase == rollout.PointOfNoReturn:
		return []string{v.Command("promote") + " --full"}
	case s.Phase == rollout.Drained:
		return []string{v.Command("promote")}
	case s.Phase == rollout.Retired:
		return []string{v.Command("history")}
	}
	if v.Ticking {
		return []string{v.Command("status")}
	}
	return []string{v.Command("tick")}
}

// Closes reports whether a command takes the new version back: that waits for no inventory and no file.
func Closes(command rollout.Command) bool { return command == rollout.Abort || command == rollout.Undo }

// A RolloutAsk is what a person wants of a rollout.
type RolloutAsk struct {
	Command rollout.Command
	Force   bool // in spite of what is not ready; needs a reason
	DryRun  bool // say what would happen, change nothing
}

// RolloutAct does with the rollout that is named what a person asks for. What is asked for too early is errs.Stale.
func (r Rollouts) RolloutAct(ctx context.Context, name string, ask RolloutAsk, by control.By) (RolloutResult, error) {
	v, err := r.Open(ctx, name, Closes(ask.Command))
	if err != nil {
		return RolloutResult{}, err
	}
	return v.Act(ctx, ask, by)
}

// Act is RolloutAct for a rollout that is open. What stands still or goes back is meant whatever the rollout did in
// between, as the controller does once a tick; what goes on is meant from where the person saw it.
func (v *Rollout) Act(ctx context.Context, ask RolloutAsk, by control.By) (RolloutResult, error) {
	for {
		result, err := v.act(ctx, ask, by)
		if !errors.Is(err, errFaster) {
			return result, err
		}
		if !Closes(ask.Command) && ask.Command != rollout.Hold {
			return result, errs.New(errs.Locked, "the rollout has just been changed by somebody else").Hintf("look at it, and try again").Then(v.Command("status"))
		}
		if err := v.Reload(ctx); err != nil {
			return RolloutResult{}, err
		}
	}
}

// errFaster says that the rollout is no longer as it was read.
var errFaster = errors.New("somebody else was faster")

func (v *Rollout) act(ctx context.Context, ask RolloutAsk, by control.By) (RolloutResult, error) {
	command, dryRun, closing := ask.Command, ask.DryRun, Closes(ask.Command)
	if !closing {
		if err := v.Look(ctx); err != nil {
			return RolloutResult{}, err
		}
	}
	var warnings []rollout.Finding
	if command == rollout.Start {
		if err := v.mayStart(ctx); err != nil {
			return RolloutResult{}, err
		}
		var err error
		if warnings, err = v.unheard(ctx); err != nil {
			return RolloutResult{}, err
		}
	}
	r := rollout.Request{Command: command, By: by.Actor, Reason: by.Reason, Force: ask.Force}
	if c := rollout.ConfirmFor(command, v.Definition, v.Row.State); c != nil && !ask.Force {
		v.Facts.Confirmation = &rollout.Confirmation{OK: true}
		if _, err := rollout.Act(v.Now(), v.Definition, v.Row.State, v.Facts, r); err != nil { // nobody is asked about what can't be
			return RolloutResult{}, v.refused(err)
		}
		answer := v.confirm(ctx, c, dryRun)
		if err := v.Look(ctx); err != nil { // that took its time: who is out there now?
			return RolloutResult{}, err
		}
		v.Facts.Confirmation = answer
	}
	d, err := rollout.Act(v.Now(), v.Definition, v.Row.State, v.Facts, r)
	if err != nil {
		return RolloutResult{}, v.refused(err)
	}
	result := v.result(v.Row.State.Phase, d, dryRun)
	result.Warnings = warnings
	if !dryRun {
		if v.Row.Version == 0 {
			if v.Row, err = v.DB.CreateRollout(ctx, v.Name, v.Definition.Name, by); err != nil {
				return RolloutResult{}, err
			}
		}
		moved, err := v.Take(ctx, d, by)
		if err != nil {
			return RolloutResult{}, err
		}
		if !moved {
			return RolloutResult{}, errFaster
		}
	}
	if closing {
		kept, err := v.KeptCount(ctx)
		if err != nil {
			return RolloutResult{}, err
		}
		result.Committed = &kept
	}
	return result, nil
}

// refused gives an error the next command.
func (v *Rollout) refused(err error) error {
	e := errs.As(err)
	if e == nil {
		return err
	}
	for i, next := range e.Next {
		if next != "headgate release add VERSION" {
			e.Next[i] = next + " --env " + v.Name
		}
	}
	if len(e.Next) == 0 {
		e.Then(v.Command("status"))
	}
	return err
}
