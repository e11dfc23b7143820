package jobs

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/migrations"
)

// Options says what a fleet works on. All are required, but Alive and Throttle.
type Options struct {
	DB    *control.DB
	Env   string
	Owner string        // unlike that of any other process
	Jobs  int           // stores at a time
	TTL   time.Duration // of the lease on a store; a worker that dies holds its stores up for so long
	Poll  time.Duration // between two looks at the runs

	// Open makes the migration's job on a store of a run, with its log; done closes that. It must refuse a run whose
	// migration is not the one that is here, and fill in all but Run, Fence and Progress.
	Open func(ctx context.Context, run control.Run, store string) (job migrations.Job, done func() error, err error)
	// Patience is how long a store's backend, or the control database, may be away before it is given up.
	Patience time.Duration
	Jitter   func(most time.Duration) time.Duration // a random time below most

	// Alive reports whether the process behind an owner may still live; nil if nobody can tell. The leases of a dead one
	// are taken away at once.
	Alive func(owner string) bool

	// Throttle holds the work; nil for none.
	Throttle *Probe

	Log *slog.Logger
}

// A Fleet is this process's part in the runs of an environment.
type Fleet struct {
	Options
	queue *queue
	gate  *throttle
	rung  map[storeArgs]int // looks at the runs since the bell was rung
}

// Work works on every run of the environment that is active or becomes so, until the context ends. The batches under way
// are finished then, and their stores put back.
func (f *Fleet) Work(ctx context.Context) error {
	return f.work(ctx, func(context.Context) (bool, error) { return false, nil })
}

// Finish works, too, until one run has ended or was paused. look is called with the run's counts now and then.
func (f *Fleet) Finish(ctx context.Context, run string, look func([]control.WaveCount)) error {
	return f.work(ctx, func(ctx context.Context) (bool, error) {
		counts, err := f.DB.Counts(ctx, run)
		if err != nil {
			return false, err
		}
		look(counts)
		r, err := f.DB.Run(ctx, run)
		return err == nil && (r.State.Ended() || r.State == control.Paused), err
	})
}

func (f *Fleet) work(ctx context.Context, done func(context.Context) (bool, error)) (err error) {
	f.rung = map[storeArgs]int{}
	if f.Throttle != nil {
		if err := f.Throttle.check(); err != nil {
			return err
		}
		f.gate = newThrottle(*f.Throttle)
		asking, stop := context.WithCancel(ctx)
		var asks sync.WaitGroup
		defer asks.Wait()
		defer stop() // before the wait
		first := make(chan struct{})
		asks.Go(func() { f.gate.run(asking, func() { close(first) }) })
		<-first
	}
	f.queue, err = openQueue(ctx, f.DB, queueName(f.Env), f.Jobs, f.Log, f.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.queue.close()) }()
	free := context.WithoutCancel(ctx)
	if err := f.queue.start(free); err != nil {
		return errs.New(errs.Internal, "can't start the queue in the control database").Because(err)
	}
	defer func() { err = errors.Join(err, f.queue.stop(free)) }()
	if err := f.Reap(ctx); err != nil {
		return err
	}
	for {
		end := false
		err := f.patiently(ctx, func() (onward bool, err error) {
			if err := f.conduct(ctx); err != nil {
				return false, err
			}
			end, err = done(ctx)
			return false, err
		})
		if err != nil || end {
			return err
		}
		if err := pause(ctx, f.Poll); err != nil {
			return err
		}
	}
}

// Reap takes the leases of processes away that are known to be dead.
func (f *Fleet) Reap(ctx context.Context) error {
	if f.Alive == nil {
		return nil
	}
	leases, err := f.DB.Leases(ctx, f.Env)
	if err != nil {
		return err
	}
	for _, l := range leases {
		if f.Alive(l.Owner) {
			continue
		}
		_, err := f.DB.Break(ctx, f.Env, l.Name, control.By{Actor: f.Owner, Reason: "the process " + l.Owner + " is gone"})
		if err != nil && errs.CodeOf(err) != errs.NotFound { // somebody else was faster
			return err
		}
	}
	return nil
}

// conduct looks at every active run once.
func (f *Fleet) conduct(ctx context.Context) error {
	if err := f.orphans(ctx); err != nil {
		return err
	}
	active := map[string]bool{}
	for r, err := range f.DB.Runs(ctx, f.Env, control.Pending, control.Running, control.Pausing, control.Cancelling) {
		if err != nil {
			return err
		}
		active[r.ID] = true
		if err := f.advance(ctx, r); err != nil {
			return err
		}
	}
	maps.DeleteFunc(f.rung, func(a storeArgs, _ int) bool { return !active[a.Run] })
	return nil
}

// Settle brings a run to where it can get without work: one that is to pause or to end does, when nobody works on it.
func (f *Fleet) Settle(ctx context.Context, run string) error {
	if err := errors.Join(f.Reap(ctx), f.orphans(ctx)); err != nil {
		return err
	}
	r, err := f.DB.Run(ctx, run)
	if err != nil || r.State != control.Pausing && r.State != control.Cancelling {
		return err
	}
	return f.advance(ctx, r)
}

// orphans brings the stores of dead workers on: to where they were asked to go, or to the next worker.
func (f *Fleet) orphans(ctx context.Context) error {
	to := map[control.State]control.State{control.Running: control.Pending, control.Pausing: control.Paused, control.Cancelling: control.Cancelled}
	for s, err := range f.DB.Orphans(ctx, f.Env) {
		if err != nil {
			return err
		}
		if _, err := f.DB.Move(ctx, s.Run, s.Store, []control.State{s.State}, to[s.State], control.Change{Fence: s.Fence}); err != nil {
			return err
		}
	}
	return nil
}

// A wave is how far the stores of a wave are.
type wave struct{ all, pending, owned, paused, bad int64 }

func waves(counts []control.WaveCount) []wave {
	var out []wave
	for _, c := range counts {
		for len(out) <= c.Wave {
			out = append(out, wave{})
		}
		w := &out[c.Wave]
		w.all += c.Stores
		switch {
		case c.State == control.Pending:
			w.pending += c.Stores
		case c.State.Owned():
			w.owned += c.Stores
		case c.State == control.Paused:
			w.paused += c.Stores
		case c.State != control.Succeeded && c.State != control.Cancelled:
			w.bad += c.Stores
		}
	}
	return out
}

// keepArchives is how long what a run keeps of the app's directory stays after it has ended.
const keepArchives = 30 * 24 * time.Hour

// stopShare is the share of a wave's stores that may fail before the others are not begun any more.
const stopShare = 0.02

// stopped reports whether so many stores of a wave failed that something is wrong with the migration.
func (w wave) stopped() bool { return w.bad > 0 && float64(w.bad) > stopShare*float64(w.all) }

// advance brings a run on.
func (f *Fleet) advance(ctx context.Context, r control.Run) error {
	counts, err := f.DB.Counts(ctx, r.ID)
	if err != nil {
		return err
	}
	all := waves(counts)
	var sum wave
	for _, w := range all {
		sum.owned += w.owned
		sum.pending += w.pending
		sum.bad += w.bad
	}
	by := control.By{Actor: f.Owner}
	end := func(to control.State) error {
		moved, err := f.DB.MoveRun(ctx, r.ID, []control.State{r.State}, to, by)
		if err == nil && moved && to.Ended() {
			_, err = f.DB.PruneArchives(ctx, keepArchives)
		}
		return err
	}
	switch {
	case r.State == control.Pending:
		return end(control.Running) // the next look begins
	case r.State != control.Running && sum.owned > 0:
		return nil // the owners were asked to stop
	case r.State == control.Pausing && sum.pending == 0 && !anyPaused(all), r.State == control.Cancelling && !anyCancelled(counts):
		return end(ended(sum)) // all stores were faster than the request
	case r.State == control.Pausing:
		return end(control.Paused)
	case r.State == control.Cancelling:
		return end(control.Cancelled)
	}
	o, err := ReadOptions(r)
	if err != nil {
		return err
	}
	stopped := func(i int) bool { return all[i].stopped() && !o.wave(i).Continue }
	well := func(i int) bool { return all[i].owned+all[i].pending == 0 && !stopped(i) }
	working := sum.owned > 0
	for i, w := range all {
		if w.pending == 0 || stopped(i) || slices.ContainsFunc(o.before(i, len(all)), func(k int) bool { return !well(k) }) {
			continue
		}
		working = true
		if err := f.ring(ctx, r, i, o.wave(i).Parallel, w.owned); err != nil {
			return err
		}
	}
	if working {
		return nil
	}
	return end(ended(sum)) // what is pending waits for a wave that was stopped
}

func ended(sum wave) control.State {
	if sum.bad > 0 {
		return control.Failed
	}
	return control.Succeeded
}

func anyPaused(all []wave) bool {
	for _, w := range all {
		if w.paused > 0 {
			return true
		}
	}
	return false
}

func anyCancelled(counts []control.WaveCount) bool {
	for _, c := range counts {
		if c.State == control.Cancelled {
			return true
		}
	}
	return false
}

const (
	// ringAgain is after how many looks the bell of a store that is still pending is rung again: its job was lost.
	ringAgain = 40
	// ringAtOnce bounds the stores of a wave that wait in the queue: a look at a run stays cheap however many it has.
	ringAtOnce = 500
)

// ring asks for workers for the pending stores of a wave, as many as may run at a time.
func (f *Fleet) ring(ctx context.Context, r control.Run, wave, parallel int, owned int64) error {
	most := int64(ringAtOnce)
	if parallel > 0 {
		most = min(most, int64(parallel)-owned)
	}
	var batch []river.InsertManyParams
	waiting := int64(0)
	for s, err := range f.DB.StoreRuns(ctx, r.ID, wave, control.Pending) {
		if err != nil {
			return err
		}
		if waiting >= most {
			break
		}
		waiting++
		a := storeArgs{Run: r.ID, Store: s.Store}
		if n, ok := f.rung[a]; ok && n < ringAgain {
			f.rung[a] = n + 1
			continue
		}
		f.rung[a] = 0
		batch = append(batch, river.InsertManyParams{Args: a, InsertOpts: &river.InsertOpts{Queue: queueName(f.Env), MaxAttempts: 3}})
	}
	if len(batch) == 0 {
		return nil
	}
	if err := f.queue.insert(ctx, batch); err != nil {
		return errs.New(errs.Internal, "can't ask for workers").Because(err)
	}
	return nil
}
