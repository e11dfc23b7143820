package operate

import (
	"context"
	"fmt"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// A StopReport says what was stopped, and what can't be.
type StopReport struct {
	Environment string   `json:"environment"`
	Stopped     bool     `json:"stopped"` // nothing advances
	DryRun      bool     `json:"dryRun,omitempty"`
	Aborted     []string `json:"aborted"`         // rollouts
	Paused      []string `json:"paused"`          // runs of migrations
	Reset       string   `json:"reset,omitempty"` // that opens no more stores
	Remains     []string `json:"remains"`         // what can't be stopped
	NextActions []string `json:"next_actions"`
}

// Stop aborts what ramps up, pauses the runs and the reset, and holds every advance. It contacts no store and reads no rollout's file.
func (e Environment) Stop(ctx context.Context, by control.By, dryRun bool) (StopReport, error) {
	r := StopReport{Environment: e.Name, DryRun: dryRun, Aborted: []string{}, Paused: []string{}, Remains: []string{}, NextActions: []string{}}
	if !dryRun {
		if err := e.DB.Stop(ctx, e.Name, by); err != nil {
			return r, err
		}
		r.Stopped = true
	}
	if err := e.stopRollouts(ctx, by, &r); err != nil {
		return r, err
	}
	if err := e.stopRuns(ctx, by, &r); err != nil {
		return r, err
	}
	if err := e.stopReset(ctx, by, &r); err != nil {
		return r, err
	}
	r.Remains = append(r.Remains,
		"what is committed stays in the logs: no abort takes an event back",
		"clients that fetched the flags before go on until they fetch them again; offline ones until they come back",
		"flags that were exported to a file stay as they are until they are exported again")
	r.NextActions = append(r.NextActions, "headgate flags export --env "+e.Name, "headgate stop --env "+e.Name+" --lift --reason TEXT")
	return r, nil
}

// A LiftReport says that things may advance again.
type LiftReport struct {
	Environment string   `json:"environment"`
	Stopped     bool     `json:"stopped"` // false
	NextActions []string `json:"next_actions"`
}

// Lift ends a stop. What it aborted and paused stays so.
func (e Environment) Lift(ctx context.Context, by control.By) (LiftReport, error) {
	lifted, err := e.DB.Lift(ctx, e.Name, by)
	if err == nil && !lifted {
		err = errs.Invalidf("%s is not stopped", e.Name)
	}
	return LiftReport{Environment: e.Name, NextActions: []string{"headgate rollout list --env " + e.Name}}, err
}

// stopRollouts aborts what ramps up. A row that changes in between is read again.
func (e Environment) stopRollouts(ctx context.Context, by control.By, r *StopReport) error {
	rows, err := e.DB.Rollouts(ctx, e.Name)
	if err != nil {
		return err
	}
	for _, row := range rows {
		for row.State.Phase.Ramping() {
			d, err := rollout.Act(e.Now(), nil, row.State, rollout.Facts{}, rollout.Request{Command: rollout.Abort, By: by.Actor, Reason: by.Reason})
			if err != nil {
				return err
			}
			moved := r.DryRun
			if !moved {
				published, err := e.DB.PublishedFlags(ctx, e.Name) // of this row or a later one: then Advance refuses
				if err != nil {
					return err
				}
				t := control.Transition{Decision: d, Flags: closedFlags(published, row.Name, d.State.Revision)}
				if moved, err = e.DB.Advance(ctx, row, t, by); err != nil {
					return err
				}
			}
			if moved {
				r.Aborted = append(r.Aborted, row.Name)
				break
			}
			if row, err = e.DB.Rollout(ctx, e.Name, row.Name); err != nil {
				return err
			}
		}
		kept, err := e.DB.Committed(ctx, e.Name, row.Name)
		if err != nil {
			return err
		}
		var events int64
		for _, k := range kept {
			events += k.Events
		}
		if events > 0 || row.State.Phase.Open() {
			r.Remains = append(r.Remains, fmt.Sprintf("%s: %s of the new version in %s, as of the last count", row.Name, plural(events, "event"), plural(int64(len(kept)), "store")))
		}
		if row.State.Phase.Open() {
			r.Remains = append(r.Remains, fmt.Sprintf("%s is %s: every store emits the new version until someone undoes it", row.Name, row.State.Phase))
			if row.State.Phase != rollout.Retired {
				r.NextActions = append(r.NextActions, "headgate rollout undo "+row.Name+" --env "+e.Name+" --reason TEXT")
			}
		}
	}
	return nil
}

// stopRuns pauses the migrations that are under way.
func (e Environment) stopRuns(ctx context.Context, by control.By, r *StopReport) error {
	for run, err := range e.DB.Runs(ctx, e.Name, control.Pending, control.Running) {
		if err != nil {
			return err
		}
		r.Paused = append(r.Paused, run.Migration)
		if run.State == control.Running {
			r.Remains = append(r.Remains, run.Migration+": the batches under way are committed, the stores stop after them")
		}
	}
	if r.DryRun || len(r.Paused) == 0 {
		return nil
	}
	_, err := e.Ask(ctx, Pause, "", by)
	if errs.CodeOf(err) == errs.NotFound {
		return nil // they have ended by themselves
	}
	return err
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
