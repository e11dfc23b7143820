package jobs

import (
	"encoding/json"
	"slices"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// RunOptions are what a run keeps for whoever works on it.
type RunOptions struct {
	// Kind is empty for a run that somebody looked at and agreed to, and Sweep for one that follows from it.
	Kind string `json:"kind,omitempty"`
	// Whole says that the run was for all stores of the migration's schema, and not for chosen ones.
	Whole bool   `json:"whole,omitempty"`
	Waves []Wave `json:"waves,omitempty"` // by number; a wave that is missing has no options
	// Drift bounds what a store may commit: so many events more than its preview found. Negative for no bound.
	Drift float64 `json:"drift"` // as a share
	Slack int64   `json:"slack"` // but at least so many
	// Pace is the least time between two pushes to a store; nil for what the store has itself.
	Pace *time.Duration `json:"pace,omitempty"` // in nanoseconds
	// Allow are the findings that may pass, and Reason is why.
	Allow  []string `json:"allow,omitempty"`
	Reason string   `json:"reason,omitempty"`
	// Plan is the digest of the plan that the run carries out; empty for none.
	Plan string `json:"plan,omitempty"`
	// Kept is what the control database keeps of the app's directory for the run; nil for one that an older headgate began.
	Kept *Kept `json:"kept,omitempty"`
}

// Kept are the digests of archives: see control.DB.Keep.
type Kept struct {
	Schema    string            `json:"schema"`
	Releases  map[string]string `json:"releases"`  // by version: all that were recorded, with the scripts that the run needs
	Migration string            `json:"migration"` // its files, and those of the migrations before it
}

// Sweep is the kind of a run that commits what late arrivals made due.
const Sweep = "sweep"

// A Wave is a part of the stores, which run when those before have ended.
type Wave struct {
	Name     string `json:"name"`
	Parallel int    `json:"parallel,omitempty"` // stores at a time over all processes; 0 for no limit
	Continue bool   `json:"continue,omitempty"` // go on however many stores fail
	After    []int  `json:"after,omitempty"`    // the waves that must have ended well; see RunOptions.before
}

// JSON is what control.Run keeps.
func (o RunOptions) JSON() json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil {
		return nil // it holds nothing that can't be written
	}
	return b
}

// ReadOptions reads what a run keeps.
func ReadOptions(r control.Run) (o RunOptions, err error) {
	if err := json.Unmarshal(r.Options, &o); err != nil {
		return o, errs.New(errs.Internal, "the options of run %s can't be read", r.ID).Because(err)
	}
	return o, nil
}

func (o RunOptions) wave(i int) Wave {
	if i < len(o.Waves) {
		return o.Waves[i]
	}
	return Wave{}
}

// before are the waves that must have ended well before wave i of n begins: all with a lower number or, once any wave says
// which it waits for, those. Stores of no wave of [RunOptions] wait for all others.
func (o RunOptions) before(i, n int) []int {
	if i < len(o.Waves) && slices.ContainsFunc(o.Waves, func(w Wave) bool { return len(w.After) > 0 }) {
		return slices.DeleteFunc(slices.Clone(o.Waves[i].After), func(k int) bool { return k >= n }) // one without stores
	}
	var all []int
	for k := range min(i, n) {
		all = append(all, k)
	}
	return all
}

// bound is how many events a store may commit, one at least; 0 for any number.
func (o RunOptions) bound(due int64) int64 {
	if o.Drift < 0 {
		return 0
	}
	return max(1, due+max(int64(float64(due)*o.Drift), o.Slack))
}

// Late is how many events of late arrivals may be due in a store where the migration committed so many, before somebody
// has to look; negative for any number.
func (o RunOptions) Late(committed int64) int64 {
	if o.Drift < 0 {
		return -1
	}
	return max(int64(float64(committed)*o.Drift), o.Slack)
}

// KindOf says whether somebody agreed to a run, or it follows from one: "run" or [Sweep].
func KindOf(r control.Run) string {
	if o, err := ReadOptions(r); err == nil && o.Kind != "" {
		return o.Kind
	}
	return "run"
}
