package operate

import (
	"context"
	"fmt"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A ResetReport says how far a reset of stores is.
type ResetReport struct {
	control.Reset
	Opening     []livestore.StoreID `json:"opening"`           // by this command
	Until       time.Time           `json:"until,omitzero"`    // when the last store is open, at best
	Stopped     string              `json:"stopped,omitempty"` // why nothing opens
	DryRun      bool                `json:"dryRun,omitempty"`
	NextActions []string            `json:"next_actions"`
}

// Reset says how far the environment's last reset is; errs.NotFound where there was none.
func (e Environment) Reset(ctx context.Context) (ResetReport, error) {
	r, err := e.DB.LastReset(ctx, e.Name)
	if err != nil {
		return ResetReport{}, err
	}
	return e.resetReport(ctx, r, nil)
}

// A ResetAsk says which stores a reset is for, and its pace. Who asks has accepted what may be lost.
type ResetAsk struct {
	Stores  []livestore.StoreID
	All     bool   // every active store instead
	Schema  string // with All: those of this one only
	PerHour int
	DryRun  bool // say what would be armed, arm nothing
}

// ArmReset makes a reset ready. It opens nothing.
func (r Rollouts) ArmReset(ctx context.Context, ask ResetAsk, by control.By) (ResetReport, error) {
	switch {
	case ask.All == (len(ask.Stores) > 0):
		return ResetReport{}, errs.Invalidf("either single stores or all of them are reset")
	case ask.Schema != "" && !ask.All:
		return ResetReport{}, errs.Invalidf("a schema is for all stores, not for single ones")
	case ask.PerHour < 1:
		return ResetReport{}, errs.Invalidf("a reset opens one store per hour at least")
	}
	stores, err := r.ToReset(ctx, ask)
	if err != nil {
		return ResetReport{}, err
	}
	if ask.DryRun {
		would := control.Reset{Env: r.Name, State: control.ResetArmed, PerHour: ask.PerHour, Stores: len(stores)}
		return ResetReport{Reset: would, DryRun: true, Opening: []livestore.StoreID{}, NextActions: []string{}}, nil
	}
	armed, err := r.DB.ArmReset(ctx, r.Name, stores, ask.PerHour, by)
	if err != nil {
		return ResetReport{}, err
	}
	return r.resetReport(ctx, armed, nil)
}

// FireReset lets an armed or paused reset open stores, and opens the first ones. perHour 0 keeps the budget. Where somebody
// else must do it, who armed it can't fire it: errs.Stale.
func (e Environment) FireReset(ctx context.Context, perHour int, by control.By, dryRun bool) (ResetReport, error) {
	r, err := e.DB.LastReset(ctx, e.Name)
	if err != nil {
		return ResetReport{}, err
	}
	if e.Others && r.State == control.ResetArmed && rollout.SamePerson(r.ArmedBy, by.Actor) {
		return ResetReport{}, errs.New(errs.Stale, "%s armed the reset, and %s asks for somebody else's word", by.Actor, e.Name).
			Hintf("HEADGATE_ACTOR says who you are").Then("headgate reset fire --env " + e.Name)
	}
	if dryRun {
		if perHour > 0 {
			r.PerHour = perHour
		}
		report, err := e.resetReport(ctx, r, nil)
		report.DryRun = true
		return report, err
	}
	if _, err := e.DB.FireReset(ctx, e.Name, perHour, by); err != nil {
		return ResetReport{}, err
	}
	r, opened, err := e.DB.OpenReset(ctx, e.Name, by.Actor)
	if err != nil {
		return ResetReport{}, err
	}
	return e.resetReport(ctx, r, opened)
}

// CancelReset ends the reset; the stores that are open stay so.
func (e Environment) CancelReset(ctx context.Context, by control.By) (ResetReport, error) {
	r, err := e.DB.CancelReset(ctx, e.Name, by)
	if err != nil {
		return ResetReport{}, err
	}
	return e.resetReport(ctx, r, nil)
}

// OpenReset opens the stores that a fired reset is due to open. It is called before flags are published.
func (e Environment) OpenReset(ctx context.Context) ([]livestore.StoreID, error) {
	r, opened, err := e.DB.OpenReset(ctx, e.Name, rollout.Controller)
	if len(opened) > 0 {
		e.Log.Info("opened stores for a reset", "reset", r.ID, "stores", len(opened), "of", r.Stores, "so far", r.Opened)
	}
	return opened, err
}

func (e Environment) resetReport(ctx context.Context, r control.Reset, opened []livestore.StoreID) (ResetReport, error) {
	stop, err := e.DB.Stopped(ctx, e.Name)
	if err != nil {
		return ResetReport{}, err
	}
	out := ResetReport{Reset: r, Opening: append([]livestore.StoreID{}, opened...), Stopped: stop.Reason}
	command := func(verb string) string { return "headgate reset " + verb + " --env " + e.Name }
	if left := r.Stores - r.Opened; !r.State.Ended() && left > 0 {
		out.Until = e.Now().UTC().Truncate(time.Second).Add(time.Duration((r.Lately+left-1)/r.PerHour) * time.Hour)
	}
	switch r.State {
	case control.ResetArmed, control.ResetPaused:
		out.NextActions = []string{command("fire"), command("cancel") + " --reason TEXT"}
	case control.ResetFiring:
		out.NextActions = []string{"headgate flags export --env " + e.Name, command("status"), command("cancel") + " --reason TEXT"}
	default:
		out.NextActions = []string{"headgate flags export --env " + e.Name}
	}
	return out, nil
}

// stopReset holds a reset that opens stores.
func (e Environment) stopReset(ctx context.Context, by control.By, r *StopReport) error {
	last, err := e.DB.LastReset(ctx, e.Name)
	if errs.CodeOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	held := last.State == control.ResetFiring
	if held && !r.DryRun {
		if last, held, err = e.DB.PauseReset(ctx, e.Name, by); err != nil {
			return err
		}
	}
	if held {
		r.Reset = fmt.Sprintf("reset %d: no more stores get it, %d of %d have", last.ID, last.Opened, last.Stores)
	}
	if last.Opened > 0 && (held || last.State == control.ResetPaused) {
		r.Remains = append(r.Remains, fmt.Sprintf("reset %d: clients of the %s that have it reset when they next start", last.ID, plural(int64(last.Opened), "store")))
	}
	return nil
}
