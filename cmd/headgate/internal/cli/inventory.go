package cli

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/suggest"
	"headgate/internal/errs"
	inv "headgate/internal/inventory"
	"headgate/internal/livestore"
)

// inventories keeps what each environment's inventory said, so that a run reads it once, and only if it needs it. It is
// safe for several goroutines: one reads, and the others that need the same one wait for it as long as they have time.
type inventories struct {
	mu    sync.Mutex
	byEnv map[string]*reading
}

// A reading is of an inventory that is read, or was.
type reading struct {
	done   chan struct{} // closed when it has ended
	fleet  *fleet
	err    error
	gaveUp bool // who read ran out of time, which says nothing about the inventory
}

func (r *reading) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// A fleet is all stores of an environment, those on hold and the deleted ones included.
type fleet struct {
	all    []config.Store
	at     map[livestore.StoreID]int
	place  func(i int) string // of all[i], for messages
	listed string             // what lists them: "headgate.yaml" or "the inventory"
	read   time.Time
}

// chosen are the configuration, and the schema and the environment that --schema and --env name.
func (a *app) chosen(c *cli.Context) (*config.Config, config.Schema, config.Environment, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, config.Schema{}, config.Environment{}, err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return nil, s, config.Environment{}, err
	}
	env, err := a.environment(c.Context, cfg, c.String("env"))
	return cfg, s, env, err
}

// environment is cfg.Environment with the stores that a run is about, whether headgate.yaml lists them or an inventory.
func (a *app) environment(ctx context.Context, cfg *config.Config, name string) (config.Environment, error) {
	env, err := cfg.Environment(name)
	if err == nil {
		env.Stores, err = a.stores(ctx, cfg, env)
	}
	return env, err
}

// stores returns the stores of an environment that a run is about: what headgate.yaml lists, or the inventory that it
// names, without those on hold and the deleted ones. The caller must not change the slice.
func (a *app) stores(ctx context.Context, cfg *config.Config, env config.Environment) ([]config.Store, error) {
	f, err := a.fleet(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return f.active(), nil
}

// allStores is like stores, with those on hold and the deleted ones: for the control database, which keeps what the
// inventory says of them. None of them may be contacted without a look at its State.
func (a *app) allStores(ctx context.Context, cfg *config.Config, env config.Environment) ([]config.Store, error) {
	f, err := a.fleet(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return f.all, nil
}

// store returns one store of an environment. One that is not listed, or must be left alone, is an error that says so.
func (a *app) store(ctx context.Context, cfg *config.Config, env config.Environment, id livestore.StoreID) (config.Store, error) {
	f, err := a.fleet(ctx, cfg, env)
	if err != nil {
		return config.Store{}, err
	}
	i, ok := f.at[id]
	if !ok {
		return config.Store{}, errs.NotFoundf("environment %q has no store %q", env.Name, id).At("%s", cfg.Where(env.Line)).
			Hintf("headgate contacts no store that is not listed, since reading one creates it; %s", f.near(string(id)))
	}
	switch s := f.all[i]; s.State {
	case config.Hold:
		return s, errs.Invalidf("store %s is on hold in %s", id, f.listed).At("%s", f.place(i)).
			Hintf("headgate leaves it alone until its state is active")
	case config.Deleted:
		return s, errs.Invalidf("store %s is deleted in %s", id, f.listed).At("%s", f.place(i)).
			Hintf("headgate does not contact it: reading a store creates it anew")
	default:
		return s, nil
	}
}

// fleet reads the stores of an environment on first use.
func (a *app) fleet(ctx context.Context, cfg *config.Config, env config.Environment) (*fleet, error) {
	return a.inventories.get(ctx, env.Name, func() (*fleet, error) { return a.readFleet(ctx, cfg, env) })
}

// get returns what is kept, what somebody else reads just now, or what read returns.
func (k *inventories) get(ctx context.Context, env string, read func() (*fleet, error)) (*fleet, error) {
	for {
		k.mu.Lock()
		r, there := k.byEnv[env]
		if !there {
			r = &reading{done: make(chan struct{}), err: errs.New(errs.Internal, "the inventory was not read to its end")}
			if k.byEnv == nil {
				k.byEnv = map[string]*reading{}
			}
			k.byEnv[env] = r
			k.mu.Unlock()
			defer close(r.done)
			if r.fleet, r.err = read(); r.err == nil {
				return r.fleet, nil
			}
			r.gaveUp = ctx.Err() != nil
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.byEnv[env] == r {
				delete(k.byEnv, env) // the next one tries again
			}
			return nil, r.err
		}
		k.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if !r.gaveUp {
			return r.fleet, r.err
		}
	}
}

func (a *app) readFleet(ctx context.Context, cfg *config.Config, env config.Environment) (*fleet, error) {
	f := &fleet{listed: config.FileName, all: env.Stores}
	f.place = func(i int) string { return cfg.Where(f.all[i].Line) }
	if env.Inventory.Line > 0 {
		var err error
		if f, err = readInventory(ctx, cfg, env); err != nil {
			return nil, err
		}
	}
	f.read = a.now()
	f.at = make(map[livestore.StoreID]int, len(f.all))
	for i, s := range f.all {
		f.at[s.ID] = i
	}
	return f, nil
}

// forget has an environment's inventory read anew when it is needed again.
func (k *inventories) forget(env string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.byEnv, env)
}

// forgetOld has inventories read anew that were read before a time.
func (k *inventories) forgetOld(before time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	maps.DeleteFunc(k.byEnv, func(_ string, r *reading) bool { return r.ended() && (r.fleet == nil || r.fleet.read.Before(before)) })
}

// readInventory reads what an environment's inventory lists, and gives each store its schema and its log.
func readInventory(ctx context.Context, cfg *config.Config, env config.Environment) (*fleet, error) {
	in := env.Inventory
	src := inv.Source{
		File: in.File, DSN: in.DSN, Query: in.Query, Command: in.Command, Dir: cfg.Dir, Where: cfg.Where(in.Line),
	}
	f := &fleet{listed: "the inventory"}
	var rows []int32
	f.place = func(i int) string { return src.Place(int(rows[i])) }
	err := src.Read(ctx, func(row inv.Store) error {
		s := config.Store{
			ID: row.ID, Schema: row.Schema, Log: env.Log, Region: row.Region, State: config.StoreState(row.State), Idle: row.Idle,
			Line: in.Line, // other messages name headgate.yaml
		}
		found, err := cfg.Schema(row.Schema)
		if e := errs.As(err); e != nil {
			if row.Schema == "" {
				e.Msg = fmt.Sprintf("store %s must say its schema, the app has several", row.ID)
				e.Hintf("add a column schema")
			}
			return e.At("%s", src.Place(row.Row))
		}
		s.Schema = found.Name
		if row.Log != "" {
			if s.Log, err = cfg.ParseLog(row.Log); err != nil {
				if e := errs.As(err); e != nil {
					e.Msg = "column log: " + e.Msg
					return e.At("%s", src.Place(row.Row))
				}
				return err
			}
		}
		if s.Log.Kind == "" && s.State != config.Deleted { // a deleted one is not contacted
			return errs.Invalidf("store %s has no log", row.ID).At("%s", src.Place(row.Row)).
				Hintf("add a column log, or `log:` for all stores beside `inventory:` in %s", config.FileName)
		}
		f.all, rows = append(f.all, s), append(rows, int32(row.Row))
		return nil
	})
	return f, err
}

// active returns the stores that may be worked on.
func (f *fleet) active() []config.Store {
	var out []config.Store
	for _, s := range f.all {
		if s.State == config.Active {
			out = append(out, s)
		}
	}
	return out
}

// near says which stores there are, or which one may be meant: an inventory is too long for a message.
func (f *fleet) near(id string) string {
	const most, searched = 20, 10_000
	active := f.active()
	if len(active) <= most {
		return "there are: " + storeIDs(active)
	}
	var ids []string
	for _, s := range active[:min(len(active), searched)] {
		ids = append(ids, string(s.ID))
	}
	if found := suggest.Nearest(id, ids); found != "" {
		return fmt.Sprintf("did you mean %s? There are %d", found, len(active))
	}
	return fmt.Sprintf("there are %d, %s and so on", len(active), strings.Join(ids[:3], ", "))
}
