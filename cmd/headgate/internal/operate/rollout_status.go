package operate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A RolloutStatus is how far a rollout is, who holds it back, and what happens next.
type RolloutStatus struct {
	Rollout     string                `json:"rollout"`
	Environment string                `json:"environment"`
	Events      []string              `json:"events"`
	Phase       rollout.Phase         `json:"phase"`
	Step        int                   `json:"step"` // 1 for the first; 0 outside of the ramp
	Steps       int                   `json:"steps"`
	Weight      string                `json:"weight"`
	Since       time.Time             `json:"since,omitzero"`
	Attempt     int                   `json:"attempt"`
	Revision    int                   `json:"revision"`
	Floor       string                `json:"floor"`
	Horizon     string                `json:"horizon"`
	Paused      *rollout.Pause        `json:"paused,omitempty"`
	Stopped     string                `json:"stopped,omitempty"`
	Approved    []rollout.Approval    `json:"approved,omitempty"`
	Stores      rollout.Tally         `json:"stores"`
	Blocking    []BlockingClient      `json:"blocking"` // the latest first, at most blockingShown
	Clamped     int                   `json:"clamped,omitempty"`
	Committed   CommittedCount        `json:"committed"`
	Confirm     *rollout.Confirmation `json:"confirm,omitempty"` // why it was last not confirmed that the rollout goes on
	Closed      *Acknowledged         `json:"closed,omitempty"`  // after an abort or an undo: who knows
	Analysis    []rollout.AnalysisRun `json:"analysis,omitempty"`
	Next        rollout.Next          `json:"next"`
	NextActions []string              `json:"next_actions"`
}

// A BlockingClient holds a store back.
type BlockingClient struct {
	Store livestore.StoreID `json:"store"`
	rollout.Blocker
	Until time.Time `json:"until"` // when it has been away for long enough
}

// blockingShown bounds the clients that are listed.
const blockingShown = 50

// RolloutStatus looks at the rollout that is named. With logs it reads on in those of the stores that were ever open, to
// count what is committed; without, the count is the last one.
func (r Rollouts) RolloutStatus(ctx context.Context, name string, logs bool) (RolloutStatus, error) {
	v, err := r.Open(ctx, name, false)
	if err != nil {
		return RolloutStatus{}, err
	}
	if err := v.Look(ctx); err != nil {
		return RolloutStatus{}, err
	}
	state := v.Row.State
	out := RolloutStatus{
		Rollout: v.Definition.Name, Environment: v.Name, Events: v.Definition.New(), Phase: state.Phase, Steps: len(v.Definition.Steps), Weight: state.Weight(v.Definition).String(),
		Since: state.Since, Attempt: state.Attempt, Revision: state.Revision, Floor: cmp.Or(state.Floor, v.Facts.Floor), Horizon: config.FormatDuration(v.Definition.Horizon),
		Paused: state.Paused, Stopped: v.Facts.Stopped, Approved: state.Approved, Stores: v.Facts.Count(), Blocking: v.blocking(),
		Analysis: state.Analysis, Confirm: state.Confirm, Next: rollout.Decide(v.Now(), v.Definition, state, v.Facts).Next, NextActions: v.NextActions(state),
	}
	if state.Phase == rollout.Ramp {
		out.Step = state.Step + 1
	}
	if state.Phase.Open() {
		out.Stores.Open = out.Stores.Stores
	}
	for i := range out.Analysis {
		if t, ok := v.Definition.Template(out.Analysis[i].Template); ok && out.Analysis[i].Query == "" {
			out.Analysis[i].Query = v.Query(t)
		}
	}
	if state.Phase == rollout.Aborted || state.Phase == rollout.Undone {
		if out.Closed, err = v.acknowledged(ctx); err != nil {
			return RolloutStatus{}, err
		}
	}
	for _, s := range v.Facts.Stores {
		out.Clamped += s.Verdict.Clamped
	}
	if logs {
		out.Committed, err = v.countWithin(ctx, v.CountTime)
	} else {
		out.Committed, err = v.KeptCount(ctx)
	}
	return out, err
}

// blocking are the clients that hold stores back.
func (v *Rollout) blocking() []BlockingClient {
	out := []BlockingClient{}
	for _, s := range v.Facts.Stores {
		for _, b := range s.Verdict.Blockers {
			out = append(out, BlockingClient{s.ID, b, b.LastSeen.Add(v.Definition.Horizon)})
		}
	}
	slices.SortFunc(out, func(a, b BlockingClient) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Client, b.Client))
	})
	return out[:min(len(out), blockingShown)]
}
