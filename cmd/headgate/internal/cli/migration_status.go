package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

func (a *app) migrationStatusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "say what the stores' logs hold of migrations",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration status --env prod\nheadgate migration status backfill_priority --env prod --store acme",
		Description: `Reads the logs only, no state is made: how many events of each migration are there, in how many runs, and the last one.
What is still due says verify. Where no run took a store since looking at it failed, the last reason is noted. A store that
is not what the control database knows of it is refused.

Through a server (--server) it reads no log, and shows how far the last run of each migration is.`,
		Flags:  migrationFlags(),
		Action: a.migrationStatus,
	}
}

// A storeStanding is how migrations stand in one store's log.
type storeStanding struct {
	Store      livestore.StoreID `json:"store"`
	Head       livestore.SeqNum  `json:"head"`
	Migrations []standing        `json:"migrations"`
}

// A standing is how a migration stands in a store's log.
type standing struct {
	migrations.Standing
	LeftOut *operate.FailedStore `json:"leftOut,omitempty"` // why no run took the store
}

func (a *app) migrationStatus(c *cli.Context) error {
	client, err := a.remote(c)
	if err != nil {
		return err
	}
	if client != nil {
		runs, err := client.LastRuns(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		return a.render(map[string]any{"runs": runs}, func(w io.Writer) error {
			if len(runs) == 0 {
				_, err := fmt.Fprintln(w, "no migration ran there yet")
				return err
			}
			return writeRuns(w, runs)
		})
	}
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	out, err := r.leftOut(c.Context)
	if err != nil {
		return err
	}
	at := r.places()
	s := standings{Environment: r.env.Name, stores: newPile[storeStanding](len(r.stores)), of: map[string]*standingSum{}}
	defer s.stores.close()
	failed := r.each(c.Context, "read logs", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			h, err := log.Head(ctx)
			if err != nil {
				return err
			}
			var defs []migrations.Definition
			for _, p := range t.plans {
				defs = append(defs, p.Definition)
			}
			found, err := migrations.Scan(ctx, log, defs)
			one := storeStanding{t.store.ID, h.Last.Global, []standing{}}
			for _, m := range found {
				one.Migrations = append(one.Migrations, standing{m, out[leftKey{string(t.store.ID), m.Migration}]})
			}
			if err == nil {
				s.add(at[t.store.ID], one)
			}
			return err
		})
	})
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	s.Failed = r.failures(failed)
	s.NextActions = []string{"headgate migration verify" + r.named(c)}
	if err := a.render(&s, func(w io.Writer) error { return r.writeStandings(w, &s) }); err != nil {
		return err
	}
	return r.outcome(failed, "")
}

// standings is what `migration status` reports. The stores are counted as they come, and listed from a pile.
type standings struct {
	Environment string                `json:"environment"`
	Failed      []operate.FailedStore `json:"failed"`
	NextActions []string              `json:"next_actions"`

	stores *pile[storeStanding]
	mu     sync.Mutex
	of     map[string]*standingSum // by migration
}

// A standingSum is a migration's standing in all stores.
type standingSum struct{ stores, with, marked, leftOut, events int64 }

func (s *standings) writeJSON(j *jsonWriter) {
	j.members(s)
	writeValues(j, "stores", s.stores.all())
}

func (s *standings) add(place int, one storeStanding) {
	s.stores.add(place, one)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range one.Migrations {
		sum := s.of[m.Migration]
		if sum == nil {
			sum = &standingSum{}
			s.of[m.Migration] = sum
		}
		sum.stores++
		sum.events += m.Events
		if m.Events > 0 {
			sum.with++
		}
		if m.Marked {
			sum.marked++
		}
		if m.LeftOut != nil {
			sum.leftOut++
		}
	}
}

// writeStandings writes the stores one by one, or the sums where they are many.
func (r *runner) writeStandings(w io.Writer, s *standings) error {
	rows := [][]string{{"STORE", "MIGRATION", "COMMITTED", "RUNS", "LAST", "NOTE"}}
	for _, one := range s.stores.few() {
		for _, m := range one.Migrations {
			last := "-"
			if m.Last > 0 {
				last = fmt.Sprintf("e%d of e%d", m.Last, one.Head)
			}
			rows = append(rows, []string{string(one.Store), m.Migration, fmt.Sprint(m.Events), fmt.Sprint(m.Runs), last, note(one, m)})
		}
	}
	if len(r.stores) > longTable {
		rows = [][]string{{"MIGRATION", "STORES", "WITH EVENTS", "MARKED", "NOT TAKEN", "COMMITTED"}}
		for _, name := range slices.Sorted(maps.Keys(s.of)) {
			m := s.of[name]
			rows = append(rows, []string{name, fmt.Sprint(m.stores), fmt.Sprint(m.with), fmt.Sprint(m.marked), fmt.Sprint(m.leftOut), fmt.Sprint(m.events)})
		}
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\nnext: %s\n", r.writeFailures(s.Failed), s.NextActions[0])
	return err
}

// A leftKey is a store and a migration.
type leftKey struct{ store, migration string }

// leftOut says why no run took stores. Where there is no control database nobody knows, and none is made.
func (r *runner) leftOut(ctx context.Context) (out map[leftKey]*operate.FailedStore, err error) {
	db, err := r.app.existingControl(ctx, r.env)
	if db == nil || err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	out = map[leftKey]*operate.FailedStore{}
	for l, err := range db.LeftOut(ctx, r.env.Name) {
		if err != nil {
			return nil, err
		}
		f := operate.LeftOutStore(r.env.Name, l)
		out[leftKey{l.Store, l.Migration}] = &f
	}
	return out, nil
}

func note(s storeStanding, m standing) string {
	switch {
	case m.LeftOut != nil:
		return "no run took it: " + m.LeftOut.Error
	case s.Head == 0:
		return "the store is empty"
	case !m.Known:
		return "there is no such file here"
	case m.Edited != "":
		return "ran from a file with another content: " + m.Edited + "…"
	case m.Marked:
		return "marked as done"
	case m.Events == 0:
		return "no event of it"
	}
	return ""
}
