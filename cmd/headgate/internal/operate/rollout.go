package operate

import (
	"context"
	"slices"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// Rollouts are the rollouts of an environment: files in the app's repository, and how far they are.
type Rollouts struct {
	Environment
	Dir     string   // of the app, where an analysis runs
	Where   string   // a file and a line: what the environment is, for messages
	Clients []string // patterns of server-side clients

	Names func() ([]string, error) // that have a file
	Read  func(name string) (*rollout.Definition, []*schema.Release, error)
	Known func() (Names, error)         // of the recorded releases
	Flags func() (*rollout.File, error) // that people edit; errs.NotFound where there are none
	// Exportable is errs.Findings where flags open an event to builds that do not have it.
	Exportable func(*rollout.File) error
	// ToReset are the stores that are meant; errs.Refused where no build of them acts on a reset.
	ToReset func(context.Context, ResetAsk) ([]livestore.StoreID, error)
	Place   func(path string) string // a file, as a user would open it

	Inventory func(context.Context) ([]config.Store, error) // the active stores
	OpenLog   func(context.Context, config.Store) (eventlog.Reader, error)
	Counting  func() (counted func(), done func()) // is told about logs that are read
	Shown     func(args []string) string           // a command as it is shown
	Getenv    func(name string) string             // what signs in to Prometheus

	CountTime time.Duration // how long a status may read the stores' logs; 0 for as long as it takes
	Ticking   bool          // something ticks: nobody has to type it

	shared *sharedFleet // during a tick
}

// A Rollout is a rollout in an environment, as a command sees it.
type Rollout struct {
	Rollouts
	Definition *rollout.Definition
	Releases   []*schema.Release
	Row        control.Rollout // Version 0 before it was started

	// Look fills these in.
	Stores []config.Store // of the rollout's schema
	Facts  rollout.Facts
	open   []livestore.StoreID
	fleet  control.Fleet
}

// Open returns the rollout that is named. Nothing is known of the fleet yet. Who closes gets it even where its file is
// broken or gone.
func (r Rollouts) Open(ctx context.Context, name string, closing bool) (*Rollout, error) {
	def, releases, err := r.Read(name)
	if err != nil && closing {
		r.Log.Warn("the rollout's file can't be read, which holds no abort", "error", err)
		def, err = &rollout.Definition{Name: name}, nil
	}
	if err != nil {
		return nil, err
	}
	if def.Horizon == 0 {
		def.Horizon = r.Horizon
	}
	if def.Horizon == 0 {
		def.Horizon = rollout.DefaultHorizon
	}
	v := &Rollout{Rollouts: r, Definition: def, Releases: releases}
	return v, v.Reload(ctx)
}

// Reload reads how far the rollout is.
func (v *Rollout) Reload(ctx context.Context) (err error) {
	v.Row, err = v.DB.Rollout(ctx, v.Name, v.Definition.Name)
	if errs.CodeOf(err) == errs.NotFound {
		v.Row, err = control.Rollout{Env: v.Name, Name: v.Definition.Name, State: rollout.State{Phase: rollout.Draft}}, nil
	}
	return err
}

// Look finds out who is out there, and what is open.
func (v *Rollout) Look(ctx context.Context) error {
	all, err := v.Inventory(ctx)
	if err != nil {
		return err
	}
	v.Stores = nil
	for _, s := range all {
		if s.Schema == v.Definition.Schema {
			v.Stores = append(v.Stores, s)
		}
	}
	seen := v.readFleet
	if v.shared != nil {
		seen = v.shared.of
	}
	if v.fleet, err = seen(ctx, v.Definition.Horizon); err != nil {
		return err
	}
	now := v.Now()
	stopped, err := v.DB.Stopped(ctx, v.Name)
	if err != nil {
		return err
	}
	if v.open, err = v.DB.OpenedStores(ctx, v.Name, v.Definition.Name, v.Row.State.Attempt); err != nil {
		return err
	}
	if !v.Row.State.Phase.Ramping() && !v.Row.State.Phase.Open() {
		v.open = nil
	}
	opened := map[livestore.StoreID]bool{}
	for _, s := range v.open {
		opened[s] = true
	}
	floor, err := v.DB.Floor(ctx, v.Name)
	if err != nil {
		return err
	}
	v.Facts = rollout.Facts{Floor: v.Definition.FloorOf(v.Releases), Stopped: stopped.Reason}
	gate := rollout.Gate{Horizon: v.Definition.Horizon, Waivers: v.Definition.Waivers, Clients: v.Clients, Reads: v.Definition.Readers(v.Releases)}
	for _, s := range v.Stores {
		w := v.fleet.Watch(s.ID)
		w.Known, w.Now = !floor.At.IsZero(), floor.Value
		v.Facts.Stores = append(v.Facts.Stores, rollout.StoreFact{
			ID: s.ID, Open: opened[s.ID], Verdict: gate.Store(s.ID, now, w, v.fleet.Seen[s.ID]),
		})
	}
	return v.lookBack(ctx)
}

// lookBack finds out when an event of the old version was last seen.
func (v *Rollout) lookBack(ctx context.Context) error {
	committed, err := v.DB.Committed(ctx, v.Name, v.Definition.Name)
	for _, c := range committed {
		if c.OldAt.After(v.Facts.OldSeen) {
			v.Facts.OldSeen = c.OldAt
		}
	}
	return err
}

// Take makes a decision come true; moved is false where somebody else was faster.
func (v *Rollout) Take(ctx context.Context, d rollout.Decision, by control.By) (moved bool, err error) {
	t := control.Transition{Decision: d}
	published, err := v.DB.PublishedFlags(ctx, v.Name) // of this row or a later one: then Advance refuses
	if err != nil {
		return false, err
	}
	if d.Close {
		t.Flags = closedFlags(published, v.Definition.Name, d.State.Revision)
	} else {
		open := slices.Concat(v.open, d.Open)
		if t.Flags, err = rollout.Publish(v.Definition, v.Row.State, d.State, published, v.open, open); err != nil {
			return false, err
		}
	}
	return v.DB.Advance(ctx, v.Row, t, by)
}

// closedFlags are what a rollout published, with nothing open.
func closedFlags(published []rollout.Flag, name string, revision int) []rollout.Flag {
	var own []rollout.Flag
	for _, f := range published {
		if f.Rollout == name {
			own = append(own, f)
		}
	}
	return rollout.Closed(own, revision)
}

// Command is a command about the rollout, to be typed.
func (v *Rollout) Command(verb string) string {
	return "headgate rollout " + verb + " " + v.Definition.Name + " --env " + v.Name
}
