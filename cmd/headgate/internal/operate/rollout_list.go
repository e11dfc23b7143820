package operate

import (
	"context"
	"slices"
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
			line.Problem = r.told(err)
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
	q := control.AuditQuery{Subject: name, Action: rolloutActions, After: after}
	for {
		q.Limit = historyPage
		if limit > 0 {
			q.Limit = min(historyPage, limit-len(t.Entries))
		}
		page, err := r.DB.AuditOf(ctx, r.Name, q)
		if err != nil {
			return t, err
		}
		t.Entries = append(t.Entries, page...)
		if len(page) < q.Limit || len(t.Entries) == limit {
			break
		}
		q.After = page[len(page)-1].Seq
	}
	return r.known(t, name, after)
}

// rolloutActions begin what the audit has of rollouts, and historyPage is how many entries one query reads.
const (
	rolloutActions = "rollout."
	historyPage    = 500
)

// RolloutLatest is what the audit has of a rollout, the latest first, at most limit.
func (r Rollouts) RolloutLatest(ctx context.Context, name string, limit int) (Trail, error) {
	entries, err := r.DB.AuditOf(ctx, r.Name, control.AuditQuery{Subject: name, Action: rolloutActions, Latest: true, Limit: limit})
	if err != nil {
		return Trail{}, err
	}
	return r.known(Trail{Environment: r.Name, Entries: append([]control.AuditEntry{}, entries...)}, name, 0)
}

// known is a rollout's trail, unless it is empty since there is no such rollout.
func (r Rollouts) known(t Trail, name string, after int64) (Trail, error) {
	if len(t.Entries) == 0 && after == 0 {
		if _, _, err := r.Read(name); err != nil {
			return Trail{}, err
		}
	}
	return t, nil
}
