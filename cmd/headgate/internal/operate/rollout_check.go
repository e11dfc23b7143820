package operate

import (
	"context"
	"fmt"
	"slices"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/rollout"
)

// A RolloutCheck is what is wrong with a rollout.
type RolloutCheck struct {
	Rollout     string            `json:"rollout"`
	Environment string            `json:"environment"`
	File        string            `json:"file"` // where the findings' lines are
	Floor       string            `json:"floor"`
	Horizon     string            `json:"horizon"`
	Findings    []rollout.Finding `json:"findings"`
	NextActions []string          `json:"next_actions"`
}

// Problems is how many of the findings are errors.
func (c RolloutCheck) Problems() int {
	n := 0
	for _, f := range c.Findings {
		if !f.Warning {
			n++
		}
	}
	return n
}

// RolloutCheck holds the rollout that is named against everything that is known.
func (r Rollouts) RolloutCheck(ctx context.Context, name string) (RolloutCheck, error) {
	v, err := r.Open(ctx, name, false)
	if err != nil {
		return RolloutCheck{}, err
	}
	out := RolloutCheck{
		Rollout: v.Definition.Name, Environment: v.Name, File: v.Place(v.Definition.Path), Floor: v.Definition.FloorOf(v.Releases),
		Horizon: config.FormatDuration(v.Definition.Horizon), Findings: []rollout.Finding{}, NextActions: []string{v.Command("start")},
	}
	if v.Row.State.Phase != rollout.Draft {
		out.NextActions = []string{v.Command("status")}
	}
	found, err := v.findings(ctx)
	out.Findings = append(out.Findings, found...)
	return out, err
}

func (v *Rollout) findings(ctx context.Context) ([]rollout.Finding, error) {
	edited, err := v.Flags()
	if err != nil && errs.CodeOf(err) != errs.NotFound {
		return nil, err
	}
	if edited != nil {
		edited = &rollout.File{Path: v.Place(edited.Path), Flags: edited.Flags}
	}
	counts, err := v.DB.Census(ctx, v.Name, v.Now().Add(-v.Definition.Horizon))
	if err != nil {
		return nil, err
	}
	var live []rollout.LiveRelease
	for _, c := range counts {
		live = append(live, rollout.LiveRelease{Release: c.Release, Clients: c.Clients, LastSeen: c.LastSeen})
	}
	floor, err := v.DB.Floor(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	found := v.Definition.Check(v.Releases, edited, v.Row.State, live, floor.Value)
	unheard, err := v.unheard(ctx)
	if err != nil {
		return nil, err
	}
	taken, err := v.taken(ctx)
	return slices.Concat(found, unheard, taken), err
}

// unheard finds the analyses that would see nothing.
func (v *Rollout) unheard(ctx context.Context) ([]rollout.Finding, error) {
	seen, err := v.DB.SignsSeen(ctx, v.Name, v.Definition.Schema)
	return v.Definition.Unheard(func(s rollout.Sign) bool { return !seen[s].IsZero() }), err
}

// taken finds the flags that another rollout has, since it is under way.
func (v *Rollout) taken(ctx context.Context) ([]rollout.Finding, error) {
	published, err := v.DB.PublishedFlags(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	var out []rollout.Finding
	for _, f := range published {
		for _, own := range v.Definition.Events {
			if f.Rollout == v.Definition.Name || f.Key != own.Key() {
				continue
			}
			other, err := v.DB.Rollout(ctx, v.Name, f.Rollout)
			if err != nil {
				return nil, err
			}
			if other.State.Phase.Active() {
				out = append(out, rollout.Finding{
					Code: rollout.RO104, Line: own.Line, Msg: fmt.Sprintf("the rollout %s has the flag %s, and its phase is %s", f.Rollout, f.Key, other.State.Phase),
					Hint: "let it end, or abort it: one rollout of an event at a time",
				})
			}
		}
	}
	return out, nil
}

// mayStart refuses to start what the check has an error for.
func (v *Rollout) mayStart(ctx context.Context) error {
	found, err := v.findings(ctx)
	if err != nil {
		return err
	}
	for _, f := range found {
		if !f.Warning {
			return errs.New(errs.Findings, "%s: %s", f.Code, f.Msg).At("%s:%d", v.Place(v.Definition.Path), f.Line).Hintf("%s", f.Hint).Then(v.Command("check"))
		}
	}
	return nil
}
