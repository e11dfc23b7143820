package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
	"headgate/migrations"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			bundle.DescribeJob: bundle.JobDescribe,
			replay.Job:         replay.JobReplay,
			replay.LiveJob:     replay.JobLive,
		}, os.Exit))
	}
	goleak.VerifyTestMain(m)
}

// freshLog is the log of a store that nobody wrote to: nothing is ever due there.
type freshLog struct{ backend string }

func (l freshLog) Head(context.Context) (eventlog.Head, error) {
	return eventlog.Head{BackendID: l.backend}, nil
}
func (freshLog) ClientOnly() bool { return false }
func (freshLog) Close() error     { return nil }
func (freshLog) Append(context.Context, []livestore.Event) error {
	return errors.New("nothing may be pushed")
}

func (freshLog) Events(context.Context, livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(func(livestore.Event, error) bool) {}
}

// A bench is a control database, a release, and what the stores of a run do.
type bench struct {
	t      *testing.T
	db     *control.DB
	target replay.Target

	mu     sync.Mutex
	opened []string
	fails  map[string]error
	passes map[string]int // the try that does not fail
	tries  map[string]int
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := control.Open(t.Context(), control.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{t: t, db: db, fails: map[string]error{}, passes: map[string]int{}, tries: map[string]int{}}
	src := bundle.Source{Dir: testenv.Example(t, "todo"), Entry: "history/1.3.0/livestore/schema.ts"}
	s, err := bundle.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	d, err := bundle.Describe(t.Context(), b.launcher(), s, src)
	if err != nil {
		t.Fatal(err)
	}
	d.App, d.Schema, d.Version = "todo", "main", "1.3.0"
	b.target = replay.Target{Release: d, Program: engine.Program{Code: s.Code, Export: s.Export}}
	return b
}

func (b *bench) launcher() script.Launcher {
	exe, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits()}
}

func (b *bench) fleet(owner string) *jobs.Fleet {
	return &jobs.Fleet{Options: jobs.Options{
		DB: b.db, Env: "e", Owner: owner, Jobs: 4, TTL: 5 * time.Second, Poll: 50 * time.Millisecond,
		Patience: time.Second, Jitter: func(time.Duration) time.Duration { return 0 },
		Open: b.open, Log: slog.New(slog.DiscardHandler),
	}}
}

func (b *bench) open(_ context.Context, run control.Run, store string) (migrations.Job, func() error, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = append(b.opened, store)
	b.tries[store]++
	if err := b.fails[store]; err != nil && b.tries[store] != b.passes[store] {
		return migrations.Job{}, nil, err
	}
	d, err := migrations.Parse(run.Migration+".sql", []byte("-- headgate: requires >= 1.3.0\n-- +goose Up\n-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;\n"))
	return migrations.Job{
		Definition: d, Target: b.target, Store: livestore.StoreID(store), Log: freshLog{"b-" + store}, Launcher: b.launcher(), Dir: b.t.TempDir(),
		Patience: time.Minute, Now: time.Now, Sleep: func(context.Context, time.Duration) error { return nil },
		Jitter: func(time.Duration) time.Duration { return 0 },
	}, func() error { return nil }, err
}

// run makes a run of stores, each in the wave that its name begins with.
func (b *bench) run(id string, o jobs.RunOptions, stores ...string) control.Run {
	b.t.Helper()
	by := control.By{Actor: "test"}
	var all []control.Store
	var rows []control.RunStore
	for _, s := range stores {
		all = append(all, control.Store{ID: s, Schema: "main", Log: "x", State: control.StoreActive})
		rows = append(rows, control.RunStore{Store: s, Wave: int(s[0] - '0')})
	}
	if _, err := b.db.Sync(b.t.Context(), "e", control.Values(all), by); err != nil {
		b.t.Fatal(err)
	}
	r, err := b.db.CreateRun(b.t.Context(), control.Run{ID: id, Env: "e", Migration: "00001_a", Options: o.JSON()}, control.Values(rows), by)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// states lists the run's state and those of its stores.
func (b *bench) states(id string) string {
	b.t.Helper()
	r, err := b.db.Run(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	out := []string{string(r.State)}
	for s, err := range b.db.StoreRuns(b.t.Context(), id, control.AllWaves) {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, s.Store+" "+string(s.State))
	}
	return strings.Join(out, ", ")
}

func (b *bench) finish(id string) {
	b.t.Helper()
	if err := b.fleet("one").Finish(b.t.Context(), id, func([]control.WaveCount) {}); err != nil {
		b.t.Fatal(err)
	}
}

func TestWavesInOrder(t *testing.T) {
	b := newBench(t)
	b.run("r", jobs.RunOptions{Waves: []jobs.Wave{{Parallel: 1}, {}}}, "0a", "0b", "1a", "1b", "2a")
	b.finish("r")
	if got := b.states("r"); got != "succeeded, 0a succeeded, 0b succeeded, 1a succeeded, 1b succeeded, 2a succeeded" {
		t.Error(got)
	}
	if !slices.IsSortedFunc(b.opened, func(a, c string) int { return int(a[0]) - int(c[0]) }) || len(b.opened) != 5 {
		t.Errorf("opened in the order %q", b.opened)
	}
	leases, err := b.db.Leases(t.Context(), "e")
	if err != nil || len(leases) != 0 {
		t.Errorf("leases are left: %v, %v", leases, err)
	}
}

// A wave in which too many stores fail keeps the next one from beginning, unless it says otherwise; what failed is taken
// up again when someone asks for it.
func TestWaveStops(t *testing.T) {
	b := newBench(t)
	b.fails["0b"] = errs.Invalidf("the query is wrong").Hintf("correct it")
	b.run("r", jobs.RunOptions{}, "0a", "0b", "1a")
	b.finish("r")
	// 0a may not have begun yet when 0b failed.
	if got := strings.Replace(b.states("r"), "0a pending", "0a succeeded", 1); got != "failed, 0a succeeded, 0b failed, 1a pending" {
		t.Error(got)
	}
	row, err := b.db.StoreRun(t.Context(), "r", "0b")
	if err != nil || row.ErrorCode != errs.Invalid || row.Error != "the query is wrong\ncorrect it" {
		t.Errorf("%+v, %v", row, err)
	}
	delete(b.fails, "0b")
	if _, err := b.db.Retry(t.Context(), "r", []control.State{control.Failed}, nil, control.By{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	b.finish("r")
	if got := b.states("r"); got != "succeeded, 0a succeeded, 0b succeeded, 1a succeeded" {
		t.Error(got)
	}
	b.fails["0b"] = errors.New("broken")
	b.run("s", jobs.RunOptions{Waves: []jobs.Wave{{Continue: true}}}, "0a", "0b", "1a")
	b.finish("s")
	if got := b.states("s"); got != "failed, 0a succeeded, 0b failed, 1a succeeded" {
		t.Error(got)
	}
}

// Waves that depend on none run side by side; what depends on one that was stopped does not begin.
func TestWavesThatDepend(t *testing.T) {
	b := newBench(t)
	waves := []jobs.Wave{{Name: "a"}, {Name: "b"}, {Name: "c", After: []int{0}}, {Name: "d", After: []int{1, 7}}}
	b.fails["0a"] = errs.Invalidf("the query is wrong")
	b.run("r", jobs.RunOptions{Waves: waves}, "0a", "1b", "2c", "3d", "4e")
	b.finish("r")
	if got := b.states("r"); got != "failed, 0a failed, 1b succeeded, 2c pending, 3d succeeded, 4e pending" {
		t.Error(got)
	}
	delete(b.fails, "0a")
	if _, err := b.db.Retry(t.Context(), "r", []control.State{control.Failed}, nil, control.By{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	b.finish("r")
	if got := b.states("r"); got != "succeeded, 0a succeeded, 1b succeeded, 2c succeeded, 3d succeeded, 4e succeeded" {
		t.Error(got)
	}
	if last := b.opened[len(b.opened)-1]; last != "4e" {
		t.Errorf("opened in the order %q", b.opened)
	}
}

// While the throttle holds no store is begun; what it says is said when it begins and ends to hold.
func TestThrottle(t *testing.T) {
	b := newBench(t)
	b.run("r", jobs.RunOptions{}, "0a", "0b")
	var mu sync.Mutex
	var said []string
	asked := 0
	f := b.fleet("one")
	f.Throttle = &jobs.Probe{
		Every: time.Millisecond, Timeout: time.Minute,
		Ask: func(context.Context) (string, time.Duration, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if asked++; asked <= 50 {
				if len(b.opened) > 0 {
					t.Errorf("%q were begun in a hold", b.opened)
				}
				return "busy", 0, nil
			}
			return "", 0, nil
		},
		Said: func(hold string) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, hold)
		},
	}
	if err := f.Finish(t.Context(), "r", func([]control.WaveCount) {}); err != nil {
		t.Fatal(err)
	}
	if got := b.states("r"); got != "succeeded, 0a succeeded, 0b succeeded" {
		t.Error(got)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(said, []string{"busy", ""}) {
		t.Errorf("said %q", said)
	}
}

func TestProbe(t *testing.T) {
	fails := jobs.Probe{Every: time.Second, Timeout: time.Minute, Ask: func(context.Context) (string, time.Duration, error) {
		return "", 0, errors.New("no answer")
	}}
	if got := fails.Held(t.Context()); got != "the probe failed: no answer" {
		t.Error(got)
	}
	fails.Ignore = true
	if got := fails.Held(t.Context()); got != "" {
		t.Error(got)
	}
	slow := jobs.Probe{Every: time.Second, Timeout: time.Millisecond, Ask: func(ctx context.Context) (string, time.Duration, error) {
		<-ctx.Done()
		return "", 0, ctx.Err()
	}}
	if got := slow.Held(t.Context()); !strings.Contains(got, "deadline") {
		t.Error(got)
	}
}

// A store that had events and has none is never pushed to.
func TestVanished(t *testing.T) {
	b := newBench(t)
	b.run("r", jobs.RunOptions{}, "0a")
	if _, err := b.db.SetHead(t.Context(), "e", "0a", 7, "b-0a"); err != nil {
		t.Fatal(err)
	}
	b.finish("r")
	if got := b.states("r"); got != "failed, 0a vanished" {
		t.Error(got)
	}
}

// What a dead worker left is brought to where it was asked to go, and its lease can be taken away at once.
func TestDeadWorker(t *testing.T) {
	b := newBench(t)
	by := control.By{Actor: "test"}
	b.run("r", jobs.RunOptions{}, "0a", "0b")
	if _, err := b.db.MoveRun(t.Context(), "r", []control.State{control.Pending}, control.Running, by); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"0a", "0b"} {
		l, err := b.db.Acquire(t.Context(), control.Lease{Env: "e", Name: control.StoreLease(s), Owner: "dead", Run: "r"}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if moved, err := b.db.Move(t.Context(), "r", s, []control.State{control.Pending}, control.Running, control.Change{Owner: "dead", Fence: l.Fence}); err != nil || !moved {
			t.Fatal(moved, err)
		}
	}
	f := b.fleet("two")
	f.Alive = func(owner string) bool { return owner != "dead" }
	if err := f.Finish(t.Context(), "r", func([]control.WaveCount) {}); err != nil {
		t.Fatal(err)
	}
	if got := b.states("r"); got != "succeeded, 0a succeeded, 0b succeeded" {
		t.Error(got)
	}
	// A run that is to pause does, without anybody working.
	b.run("p", jobs.RunOptions{}, "0a", "0b")
	for _, m := range [][2]control.State{{control.Pending, control.Running}, {control.Running, control.Pausing}} {
		if _, err := b.db.MoveRun(t.Context(), "p", []control.State{m[0]}, m[1], by); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.db.MoveAll(t.Context(), "p", control.AllWaves, []control.State{control.Pending}, control.Paused); err != nil {
		t.Fatal(err)
	}
	if err := b.fleet("three").Settle(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	if got := b.states("p"); got != "paused, 0a paused, 0b paused" {
		t.Error(got)
	}
}

// Two processes share a run, and each store is taken once.
func TestTwoFleets(t *testing.T) {
	b := newBench(t)
	var stores []string
	for i := range 8 {
		stores = append(stores, fmt.Sprintf("0s%d", i))
	}
	b.run("r", jobs.RunOptions{}, stores...)
	var wg sync.WaitGroup
	for _, owner := range []string{"one", "two"} {
		wg.Go(func() {
			if err := b.fleet(owner).Finish(t.Context(), "r", func([]control.WaveCount) {}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(b.opened)
	if !slices.Equal(b.opened, stores) {
		t.Errorf("opened %q", b.opened)
	}
}

// What passes by itself is waited for, what does not fails at once.
func TestPatience(t *testing.T) {
	b := newBench(t)
	away := errs.New(errs.Internal, "can't reach the backend").Hintf("check the network").Then("headgate x").Passes()
	b.fails["0back"], b.passes["0back"] = away, 3
	b.fails["0gone"] = away
	b.fails["0wrong"] = errs.Invalidf("the token is wrong")
	b.run("r", jobs.RunOptions{Waves: []jobs.Wave{{Continue: true}}}, "0back", "0gone", "0wrong")
	b.finish("r")
	if got := b.states("r"); got != "failed, 0back succeeded, 0gone failed, 0wrong failed" {
		t.Error(got)
	}
	if b.tries["0back"] != 3 || b.tries["0gone"] < 3 || b.tries["0wrong"] != 1 {
		t.Errorf("tries: %v", b.tries)
	}
	row, err := b.db.StoreRun(t.Context(), "r", "0gone")
	if err != nil || row.Error != "can't reach the backend, for 1s\ncheck the network\nheadgate x" || row.Attempt != 1 {
		t.Errorf("%+v, %v", row, err)
	}
}
