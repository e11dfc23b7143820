package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
)

// A card is a rollout, as large as it is shown.
type card struct {
	operate.RolloutStatus
	Abortable bool // in its phase
	Moves     bool // by who looks
	Alone     bool // on a page of its own
	Ramp      *ramp
	Opened    []segment
	Readiness []segment
	Why       string  // it can't be shown but for its history
	History   []entry // the latest first
	Unknown   *chart
}

// overview is the page at /.
type overview struct {
	Stopped  control.Setting
	Cards    []card                // rollouts under way
	Others   []operate.RolloutLine // drafts, and those that have ended
	Problems []problem             // rollouts that can't be shown; those that ramp can be aborted all the same
	Moves    bool                  // who looks may abort
	Status   operate.Status
	Runs     []run
	Unknown  *chart // nil where nothing was seen
}

// A problem is why a rollout can't be shown.
type problem struct {
	Rollout   string
	Phase     rollout.Phase
	Why       string
	Abortable bool
}

// A run is a run of a migration, by stores.
type run struct {
	operate.RunStatus
	Stores, Done, Failed int64
	Share                []segment
}

// kept has the last overview for a moment: several people look at the same one.
type kept struct {
	stale atomic.Uint64 // counts what made the view old; it may be raised while one is made

	mu      sync.Mutex
	at      time.Time
	changed <-chan struct{}
	seen    uint64 // of stale
	view    *overview
}

const (
	keepFor = 2 * time.Second
	// patience is how long a view may take to make: an inventory's command or database may hang.
	patience = 20 * time.Second
)

// forget waits for nobody: what was done is answered at once.
func (k *kept) forget() { k.stale.Add(1) }

// look returns the overview, of now or of a moment ago in which the flags have not changed.
func (d *Dashboard) look(r *http.Request) (*overview, error) {
	k := &d.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	changed, seen := d.Changed(), k.stale.Load()
	if k.view != nil && k.changed == changed && k.seen == seen && d.Operate.Now().Sub(k.at) < keepFor {
		return k.view, nil
	}
	v, err := d.gather(r)
	if err != nil {
		return nil, err
	}
	k.view, k.at, k.changed, k.seen = v, d.Operate.Now(), changed, seen
	return v, nil
}

func (d *Dashboard) gather(r *http.Request) (*overview, error) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	v := &overview{}
	var err error
	if v.Stopped, err = d.Operate.DB.Stopped(ctx, d.Operate.Name); err != nil {
		return nil, err
	}
	list, err := d.Operate.RolloutList(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range list {
		switch {
		case line.Problem != "":
			v.Problems = append(v.Problems, problem{line.Name, line.Phase, line.Problem, line.Phase.Ramping()})
		case line.Phase.Active():
			c, err := d.card(ctx, line.Name)
			if err != nil { // the inventory, say: the others are shown
				v.Problems = append(v.Problems, problem{line.Name, line.Phase, d.Problem(r, err).Detail, line.Phase.Ramping()})
				continue
			}
			v.Cards = append(v.Cards, c)
		default:
			v.Others = append(v.Others, line)
		}
	}
	if v.Status, err = d.Operate.Status(ctx); err != nil {
		return nil, err
	}
	for _, run := range v.Status.Runs {
		v.Runs = append(v.Runs, runOf(run))
	}
	if v.Unknown, err = d.unknownEvents(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

func (d *Dashboard) card(ctx context.Context, name string) (card, error) {
	status, err := d.Operate.RolloutStatus(ctx, name, false)
	if err != nil {
		return card{}, err
	}
	c := card{RolloutStatus: status, Abortable: status.Phase.Ramping(), Opened: opened(status.Stores), Readiness: readiness(status.Stores)}
	def, _, err := d.Operate.Read(name)
	if err != nil {
		return card{}, err
	}
	c.Ramp = rampOf(def.Steps, status)
	return c, nil
}

func runOf(s operate.RunStatus) run {
	out := run{RunStatus: s}
	var under int64
	for _, w := range s.Waves {
		out.Stores += w.Stores
		switch w.State {
		case control.Succeeded:
			out.Done += w.Stores
		case control.Failed, control.Stalled, control.Vanished, control.Quarantined:
			out.Failed += w.Stores
		case control.Running, control.Pausing, control.Cancelling:
			under += w.Stores
		}
	}
	out.Share = stack(part{"done", "done", out.Done}, part{"under way", "open", under}, part{"failed", "blocked", out.Failed}, part{"not yet", "unobserved", out.Stores - out.Done - out.Failed - under})
	return out
}

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request, v Visitor) error {
	all, err := d.look(r)
	if err != nil {
		return err
	}
	shown := *all
	shown.Moves = v.Moves
	shown.Cards = slices.Clone(all.Cards)
	for i := range shown.Cards {
		shown.Cards[i].Moves = v.Moves
	}
	d.show(w, r, http.StatusOK, "overview", v, "Overview", shown)
	return nil
}

func (d *Dashboard) rollout(w http.ResponseWriter, r *http.Request, v Visitor) error {
	name := r.PathValue("name")
	trail, err := d.Operate.RolloutLatest(r.Context(), name, entriesShown)
	if err != nil {
		return err
	}
	why := ""
	c, err := d.card(r.Context(), name)
	if err != nil { // what happened is shown all the same: an abort, say
		c, why = card{}, d.Problem(r, err).Detail
	}
	if c.Unknown, err = d.unknownEvents(r.Context()); err != nil {
		return err
	}
	c.Moves, c.Alone, c.Why, c.History = v.Moves, true, why, inWords(trail.Entries)
	d.show(w, r, http.StatusOK, "rollout", v, name, c)
	return nil
}

// A release is a row of the fleet.
type release struct {
	control.ReleaseCount
	Share  []segment
	Turned bool // away, by the floor
}

type fleet struct {
	operate.Census
	Floor operate.FloorSetting
	Rows  []release
	Plots []*chart
}

func (d *Dashboard) fleet(w http.ResponseWriter, r *http.Request, v Visitor) error {
	census, err := d.Operate.Census(r.Context(), 0)
	if err != nil {
		return err
	}
	f := fleet{Census: census}
	if f.Floor, err = d.Operate.Floor(r.Context()); err != nil {
		return err
	}
	refused := map[string]bool{}
	if f.Floor.Floor != "" {
		change, err := d.Operate.SetFloor(r.Context(), f.Floor.Floor, v.By, true) // only counts
		if err != nil {
			return err
		}
		for _, k := range change.Refused {
			refused[k.Release] = true
		}
	}
	for _, k := range census.Releases {
		f.Rows = append(f.Rows, release{k, stack(part{k.Release, "open", k.Clients}, part{"other releases", "rest", census.Clients - k.Clients}), refused[k.Release]})
	}
	for _, plot := range []func(context.Context) (*chart, error){d.adoption, d.unknownEvents} {
		c, err := plot(r.Context())
		if err != nil {
			return err
		}
		if c != nil {
			f.Plots = append(f.Plots, c)
		}
	}
	d.show(w, r, http.StatusOK, "fleet", v, "Fleet", f)
	return nil
}

// plansShown is how many plans are shown; all but the last one are closed at first.
const plansShown = 5

func (d *Dashboard) plans(w http.ResponseWriter, r *http.Request, v Visitor) error {
	list, err := d.Operate.LatestPlans(r.Context(), plansShown)
	if err != nil {
		return err
	}
	d.show(w, r, http.StatusOK, "plans", v, "Plans", list)
	return nil
}

// An entry is one of the audit, in words.
type entry struct {
	control.AuditEntry
	Reason string
}

// entriesShown bounds a list of the audit, and auditDays how far back it looks.
const (
	entriesShown = 100
	auditDays    = 30
)

// inWords gives entries of the audit their reasons.
func inWords(all []control.AuditEntry) []entry {
	var out []entry
	for _, e := range all {
		var detail struct {
			Reason  string   `json:"reason"`
			Reasons []string `json:"reasons"`
		}
		_ = json.Unmarshal(e.Detail, &detail) // one of another shape has no reason
		out = append(out, entry{e, cmp.Or(detail.Reason, strings.Join(detail.Reasons, "; "))})
	}
	return out
}

func (d *Dashboard) audit(w http.ResponseWriter, r *http.Request, v Visitor) error {
	last, err := d.Operate.DB.AuditOf(r.Context(), d.Operate.Name, control.AuditQuery{Latest: true, Limit: entriesShown})
	if err != nil {
		return err
	}
	since := d.Operate.Now().AddDate(0, 0, -auditDays)
	if i := slices.IndexFunc(last, func(e control.AuditEntry) bool { return e.At.Before(since) }); i >= 0 {
		last = last[:i]
	}
	d.show(w, r, http.StatusOK, "audit", v, "Audit", map[string]any{"Entries": inWords(last), "Days": auditDays, "Most": entriesShown})
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func clock(t time.Time) string { return t.UTC().Format("2 Jan 15:04") }
