// Package controltest is the suite that the control database passes on every engine.
package controltest

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the drivers, to look at the tables from outside
	_ "modernc.org/sqlite"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// Run runs the suite. fresh returns the URL of an empty database that is removed after the test.
func Run(t *testing.T, fresh func(t *testing.T) string) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *database)
	}{
		{"open", open},
		{"open at once", openAtOnce},
		{"open a newer one", openNewer},
		{"inventory", inventory},
		{"inventory refused", inventoryRefused},
		{"10,000 stores", manyStores},
		{"heads", heads},
		{"forget", forget},
		{"emptied", emptied},
		{"census", census},
		{"census at once", censusAtOnce},
		{"who was seen", whoWasSeen},
		{"who was given flags", fetches},
		{"deliveries", deliveries},
		{"deliveries at once", deliveriesAtOnce},
		{"rollout", aRollout},
		{"rollout at once", rolloutAtOnce},
		{"signals", signals},
		{"signals at once", signalsAtOnce},
		{"signals age", signalsAge},
		{"arrivals", arrivals},
		{"arrivals at once", arrivalsAtOnce},
		{"arrivals forgotten", arrivalsForgotten},
		{"clients over time", clientsOverTime},
		{"floor and stop", floorAndStop},
		{"reset", reset},
		{"reset at once", resetAtOnce},
		{"run", run},
		{"run refused", runRefused},
		{"moves", moves},
		{"every move", everyMove},
		{"claim at once", claimAtOnce},
		{"a wave is full", fullWave},
		{"progress", progress},
		{"waves", waves},
		{"retry", retry},
		{"orphans", orphans},
		{"unfinished", unfinished},
		{"left out", leftOut},
		{"sweeps", sweeps},
		{"pages of a run", runPages},
		{"leases", leases},
		{"a lease is held", hold},
		{"a lease outlasts a database that is away", away},
		{"lease at once", leaseAtOnce},
		{"fencing", fencing},
		{"break", breaking},
		{"audit", audit},
		{"audit at once", auditAtOnce},
		{"audit broken", auditBroken},
		{"tokens", tokens},
		{"replies", replies},
		{"archives", archives},
		{"archives that nobody needs", pruneArchives},
		{"approvals", approvals},
		{"plans", plans},
		{"context", canceled},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := &database{url: fresh(t), clock: NewClock()}
			d.DB = d.open(t)
			test.run(t, d)
		})
	}
}

// A database is one that a test works on.
type database struct {
	*control.DB
	url   string
	clock *Clock
}

// open opens the database once more, as another process would.
func (d *database) open(t *testing.T) *control.DB {
	t.Helper()
	db, err := control.Open(t.Context(), control.Options{URL: d.url, Now: d.clock.Now})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return db
}

// try runs SQL of the test's own.
func (d *database) try(t *testing.T, query string) error {
	t.Helper()
	driver := "sqlite"
	if d.Postgres() {
		driver = "pgx"
	}
	pool, err := sql.Open(driver, d.DataSource())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close() //nolint:errcheck // the statement is done
	_, err = pool.ExecContext(t.Context(), query)
	return err
}

// exec runs SQL of the test's own, which must go through.
func (d *database) exec(t *testing.T, query string) {
	t.Helper()
	if err := d.try(t, query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// tables are all that the database has.
func (d *database) tables(t *testing.T) (names []string) {
	t.Helper()
	driver, query := "sqlite", "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if d.Postgres() {
		driver, query = "pgx", "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
	}
	pool, err := sql.Open(driver, d.DataSource())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close() //nolint:errcheck // it is read
	rows, err := pool.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

// stores puts active stores into the inventory of the environment prod.
func (d *database) stores(t *testing.T, ids ...string) {
	t.Helper()
	var stores []control.Store
	for _, id := range ids {
		stores = append(stores, control.Store{ID: id, Schema: "main", State: control.StoreActive})
	}
	if _, err := d.Sync(t.Context(), "prod", control.Values(stores), ana()); err != nil {
		t.Fatal(err)
	}
}

// run makes a run with these stores in wave 0.
func (d *database) run(t *testing.T, id string, stores ...string) {
	t.Helper()
	d.stores(t, stores...)
	var in []control.RunStore
	for _, s := range stores {
		in = append(in, control.RunStore{Store: s})
	}
	_, err := d.CreateRun(t.Context(), control.Run{ID: id, Env: "prod", Migration: "00001_x", Checksum: "abc"}, control.Values(in), ana())
	if err != nil {
		t.Fatal(err)
	}
}

// move moves a store of a run, which must happen.
func (d *database) move(t *testing.T, run, store string, from, to control.State, c control.Change) {
	t.Helper()
	if ok, err := d.Move(t.Context(), run, store, []control.State{from}, to, c); err != nil || !ok {
		t.Fatalf("move %s from %s to %s: %v, %v", store, from, to, ok, err)
	}
}

func ana() control.By { return control.By{Actor: "ana"} }

// A Clock is a clock that stands still until it is advanced.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at the beginning of 2026.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// collect returns all values of a sequence, which must have no error.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var out []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// wantCode demands an error for the user.
func wantCode(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if errs.CodeOf(err) != code {
		t.Fatalf("error %v (%s), want one that is %s", err, errs.CodeOf(err), code)
	}
}

// atOnce runs work n times at once, and returns the errors.
func atOnce(n int, work func(i int) error) []error {
	failed := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			failed[i] = work(i)
		})
	}
	close(start)
	wg.Wait()
	return failed
}

func canceled(t *testing.T, d *database) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Acquire(ctx, control.Lease{Env: "prod", Name: "a", Owner: "one"}, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire: %v", err)
	}
	for _, err := range d.Stores(ctx, "prod", control.StoreFilter{}) {
		if !errors.Is(err, context.Canceled) || errs.As(err) != nil {
			t.Errorf("Stores: %v, want the context's error", err)
		}
	}
}
