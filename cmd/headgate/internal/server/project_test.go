package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// actions have a rollout each in the tests' project: abort is a rollout of v2.Abort.
func actions() []string {
	return []string{"abort", "approve", "pause", "promote", "resume", "start", "undo"}
}

// project are the rollouts of an environment whose files are in memory: five stores, and releases 1.0.0, which lacks the
// new events, and 1.1.0.
func project(env operate.Environment) operate.Rollouts {
	release := func(version string, events ...string) *schema.Release {
		r := &schema.Release{Version: version}
		for _, e := range events {
			r.Events = append(r.Events, schema.Event{Name: e})
			r.Materializers = append(r.Materializers, schema.Materializer{Event: e})
		}
		return r
	}
	family := func(name string) string { return strings.ToUpper(name[:1]) + name[1:] }
	var old, both []string
	for _, name := range actions() {
		old, both = append(old, "v1."+family(name)), append(both, "v1."+family(name), "v2."+family(name))
	}
	var stores []config.Store
	for i := range 5 {
		stores = append(stores, config.Store{ID: livestore.StoreID(fmt.Sprint("s", i)), Schema: "main", State: config.Active})
	}
	env.Horizon = 30 * 24 * time.Hour
	return operate.Rollouts{
		Environment: env,
		Names:       func() ([]string, error) { return actions(), nil },
		Read: func(name string) (*rollout.Definition, []*schema.Release, error) {
			for _, known := range actions() {
				if name == known {
					text := "events: {" + family(name) + ": {from: v1, to: v2}}\nsteps: [{weight: 100, pause: manual}]\napprovals: {full: 1}\n"
					d, err := rollout.ParseDefinition([]byte(text), "/app/headgate/rollouts/"+name+".yaml")
					if err == nil {
						d.Schema = "main"
					}
					return d, []*schema.Release{release("1.0.0", old...), release("1.1.0", both...)}, err
				}
			}
			return nil, nil, errs.NotFoundf("there is no rollout %q", name)
		},
		Flags: func() (*rollout.File, error) { return nil, errs.NotFoundf("there are no flags") },
		Exportable: func(file *rollout.File) error {
			if file.Flags[0].Revision == 13 {
				return errs.New(errs.Findings, "RO103: it is open where no build has it")
			}
			return nil
		},
		ToReset: func(_ context.Context, ask operate.ResetAsk) ([]livestore.StoreID, error) {
			if ask.Schema != "" {
				return nil, errs.Refusedf("no build of schema %s acts on a reset", ask.Schema)
			}
			return slices.Clone(ask.Stores), nil
		},
		Place:     func(path string) string { return strings.TrimPrefix(path, "/app/") },
		Inventory: func(context.Context) ([]config.Store, error) { return stores, nil },
		OpenLog: func(context.Context, config.Store) (eventlog.Reader, error) {
			return nil, errors.New("there is no log here")
		},
		Counting: func() (func(), func()) { return func() {}, func() {} },
		Known: func() (operate.Names, error) {
			return operate.NamesOf(map[string][]*schema.Release{"main": {release("1.0.0", old...), release("1.1.0", both...)}}), nil
		},
		Shown: func(args []string) string { return strings.Join(args, " ") },
	}
}

// seeClients has the sync backend report a client on a release in each store, for longer than the horizon.
func (w *world) seeClients(t testing.TB, release string) {
	t.Helper()
	var seen []control.Client
	for i := range 5 {
		for _, ago := range []time.Duration{40 * 24 * time.Hour, 0} {
			seen = append(seen, control.Client{Store: fmt.Sprint("s", i), ID: "ann", Release: release, LastSeen: w.now().Add(-ago), Source: rollout.FromSync})
		}
	}
	if _, err := w.Operate.DB.ImportCensus(t.Context(), "prod", "test", control.Values(seen), control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
}

// prepare takes each action's rollout to where the action is possible; ana started them.
func (w *world) prepare(t testing.TB) {
	t.Helper()
	w.seeClients(t, "1.1.0")
	act := func(name, who string, commands ...rollout.Command) {
		t.Helper()
		for _, command := range commands {
			if _, err := w.Operate.RolloutAct(t.Context(), name, operate.RolloutAsk{Command: command}, control.By{Actor: who, Reason: "test"}); err != nil {
				t.Fatalf("%s %s: %v", command, name, err)
			}
		}
	}
	tick := func(name string) {
		t.Helper()
		if _, err := w.Operate.Tick(t.Context(), false, name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range actions() {
		if name != "start" {
			act(name, "ana", rollout.Start)
		}
	}
	act("resume", "ana", rollout.Hold)
	tick("approve")
	tick("promote")
	tick("undo")
	act("undo", "ana", rollout.Promote)
	act("undo", "ben", rollout.Approve)
	act("undo", "ana", rollout.Finish)
	var stores []livestore.StoreID
	for i := range 20 {
		stores = append(stores, livestore.StoreID(fmt.Sprint("s", i)))
	}
	if _, err := w.Operate.ArmReset(t.Context(), operate.ResetAsk{Stores: stores, PerHour: 1}, control.By{Actor: "ana", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
}
