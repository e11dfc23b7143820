package operate

import (
	"context"
	"slices"
	"strings"
	"time"

	"headgate/internal/control"
	"headgate/rollout"
)

// A RolloutLine is a rollout in a list.
type RolloutLine struct {
	Name    string        `json:"name"`
	Events  []string      `json:"events"`
	Phase   rollout.Phase `json:"phase"`
	Weight  string        `json:"weight"`
	Paused  bool          `json:"paused"`
	Since   time.Time     `json:"since,omitzero"`
	Problem string        `json:"problem,omitempty"` // why its file can't be read: then there are no events and no weight
}

// RolloutList are the rollouts that have a file, and those that were started and have none any more, by name.
func (r Rollouts) RolloutList(ctx context.Context) ([]RolloutLine, error) {
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	rows, err := r.DB.Rollouts(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	states := map[string]rollout.State{}
	for _, row := range rows {
		states[row.Name] = row.State
		names = append(names, row.Name)
	}
	slices.Sort(names)
	out := []RolloutLine{}
	for _, name := range slices.Compact(names) {
		s, started := states[name]
		if !started {
			s.Phase = rollout.Draft
		}
		line := RolloutLine{Name: name, Events: []string{}, Phase: s.Phase, Paused: s.Paused != nil, Since: s.Since}
		if def, _, err := r.Read(name); err != nil {
			line.Problem = err.Error()
		} else {
			line.Events, line.Weight = def.New(), s.Weight(def).String()
		}
		out = append(out, line)
	}
	return out, nil
}

// RolloutHistory is what the audit has of a rollout, after an entry, 0 for the first: at most limit, 0 for all.
func (r Rollouts) RolloutHistory(ctx context.Context, name string, after int64, limit int) (Trail, error) {
	t := Trail{Environment: r.Name, Entries: []control.AuditEntry{}}
	for e, err := range r.DB.AuditAfter(ctx, r.Name, after, time.Time{}) {
		if err != nil {
			return t, err
		}
		if e.Subject != name || !strings.HasPrefix(e.Action, "rollout.") {
			continue
		}
		if t.Entries = append(t.Entries, e); len(t.Entries) == limit {
			break
		}
	}
	if len(t.Entries) == 0 && after == 0 {
		if _, _, err := r.Read(name); err != nil { // is there such a rollout?
			return Trail{}, err
		}
	}
	return t, nil
}
