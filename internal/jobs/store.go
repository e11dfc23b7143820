package jobs

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

// Why the work on a store ends early.
var (
	errPausing    = errors.New("the run is to pause")
	errCancelling = errors.New("the run is to be cancelled")
	errLost       = errors.New("the lease on the store was lost")
)

// store is what a job does: it claims the store of the run, if the row is still there for it, and migrates it.
func (f *Fleet) store(ctx context.Context, run, store string) (wait time.Duration, err error) {
	free := context.WithoutCancel(ctx) // what is known at the end is kept, whatever ended it
	row, err := f.DB.StoreRun(free, run, store)
	if err != nil || row.State != control.Pending {
		return 0, err
	}
	r, err := f.DB.Run(free, run)
	if err != nil || r.State != control.Running {
		return 0, err
	}
	if f.gate.holds() {
		return time.Second, nil
	}
	o, err := ReadOptions(r)
	if err != nil {
		return 0, err
	}
	parallel := o.wave(row.Wave).Parallel
	if full, err := f.full(free, r, row.Wave, parallel); err != nil || full {
		return time.Second, err
	}
	lease, err := f.DB.Acquire(free, control.Lease{Env: f.Env, Name: control.StoreLease(store), Owner: f.Owner, Run: run}, f.TTL)
	if errs.CodeOf(err) == errs.Locked {
		return max(f.TTL/4, time.Second), nil
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		limited, done := context.WithTimeout(free, f.TTL)
		defer done()
		err = errors.Join(err, f.DB.Release(limited, lease))
	}()
	moved, err := f.DB.Move(free, run, store, []control.State{control.Pending}, control.Running, control.Change{Owner: f.Owner, Fence: lease.Fence, Parallel: parallel})
	if err == nil && !moved && parallel > 0 {
		return time.Second, nil // others may have filled the wave meanwhile: the row is read again
	}
	if err != nil || !moved {
		return 0, err
	}
	f.Log.Info("migrating a store", "run", run, "store", store, "fence", lease.Fence)
	work := &storeWork{Fleet: f, run: r, row: row, lease: lease, progress: row.Progress}
	return 0, work.do(ctx, o)
}

// do migrates the store, and brings its row to where that ended. The lease is kept all the while.
func (w *storeWork) do(ctx context.Context, o RunOptions) error {
	free := context.WithoutCancel(ctx)
	held, let := w.DB.Hold(ctx, w.lease, w.TTL)
	defer let()
	working, cancel := context.WithCancelCause(held)
	defer cancel(nil)
	w.cancel = cancel
	listening, done := context.WithCancel(free)
	var listens sync.WaitGroup
	listens.Go(func() { w.listen(listening) })
	defer listens.Wait()
	defer done() // before the wait

	var state control.State
	cause := w.patiently(working, func() (onward bool, err error) {
		before := w.progress.Committed
		state, err = w.migrate(working, o)
		return w.progress.Committed > before, err
	})
	if cause != nil && state == "" {
		state, cause = w.why(working, cause)
	}
	if state == "" { // not ours any more
		return nil
	}
	c := control.Change{Fence: w.lease.Fence, Progress: &w.progress}
	if cause != nil {
		c.ErrorCode, c.Error = errs.CodeOf(cause), ErrorText(cause)
		w.Log.Info("a store failed", "run", w.run.ID, "store", w.row.Store, "state", state, "error", cause)
	}
	return w.patiently(ctx, func() (bool, error) {
		limited, done := context.WithTimeout(free, w.TTL) // whoever comes after a database that does not answer finds it in the log
		defer done()
		return false, w.end(limited, w.run.ID, w.row.Store, state, c)
	})
}

const (
	firstWait = 250 * time.Millisecond // doubles from try to try
	maxWait   = 10 * time.Second
)

// patiently calls work again while it fails with what may pass by itself, until that has lasted for the fleet's patience.
// The time begins anew when work got onward.
func (f *Fleet) patiently(ctx context.Context, work func() (onward bool, err error)) error {
	var over *time.Timer
	wait := firstWait
	for {
		onward, err := work()
		if !errs.Passing(err) || ctx.Err() != nil {
			return err
		}
		if over == nil {
			over = time.NewTimer(f.Patience)
			defer over.Stop()
		} else if onward {
			over.Reset(f.Patience)
			wait = firstWait
		}
		f.Log.Info("trying again", "error", err)
		select {
		case <-time.After(wait/2 + f.Jitter(wait/2)):
			wait = min(2*wait, maxWait)
		case <-ctx.Done():
			return err
		case <-over.C:
			lasting := *errs.As(err)
			lasting.Msg += ", for " + f.Patience.String()
			lasting.Passing = false
			return &lasting
		}
	}
}

// ErrorText is what the control database keeps of an error: what happened in the first line, in the second what to do
// about it, and then the commands to run next.
func ErrorText(err error) string {
	lines := []string{err.Error()}
	if e := errs.As(err); e != nil {
		lines = append(append(lines, e.Hint), e.Next...)
	}
	for i, l := range lines {
		lines[i] = strings.ReplaceAll(l, "\n", " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// full reports whether as many stores of the wave are under way as may be, before a lease is taken for nothing. The claim
// itself counts them again.
func (f *Fleet) full(ctx context.Context, r control.Run, wave, parallel int) (bool, error) {
	if parallel == 0 {
		return false, nil
	}
	counts, err := f.DB.Counts(ctx, r.ID)
	if err != nil {
		return false, err
	}
	all := waves(counts)
	return wave < len(all) && all[wave].owned >= int64(parallel), nil
}

// end moves the store to its last state. Where a request came in the meantime, what was asked for is as good as done.
func (f *Fleet) end(ctx context.Context, run, store string, to control.State, c control.Change) error {
	from := map[control.State][]control.State{
		control.Pending:   {control.Running},
		control.Paused:    {control.Pausing},
		control.Cancelled: {control.Cancelling},
	}[to]
	if from == nil {
		from = []control.State{control.Running, control.Pausing, control.Cancelling}
	}
	moved, err := f.DB.Move(ctx, run, store, from, to, c)
	if err != nil || moved || to != control.Pending {
		return err
	}
	for state, after := range map[control.State]control.State{control.Pausing: control.Paused, control.Cancelling: control.Cancelled} {
		if moved, err := f.DB.Move(ctx, run, store, []control.State{state}, after, c); err != nil || moved {
			return err
		}
	}
	return nil
}

// A storeWork is the work on one store of a run.
type storeWork struct {
	*Fleet
	run    control.Run
	row    control.StoreRun
	lease  control.Lease
	cancel context.CancelCauseFunc // ends the work, with why

	mu       sync.Mutex
	progress control.Progress
}

// migrate runs the migration on the store once, and says which state that ends in where it did not fail.
func (w *storeWork) migrate(ctx context.Context, o RunOptions) (state control.State, err error) {
	job, done, err := w.Open(ctx, w.run, w.row.Store)
	if err != nil {
		return "", err
	}
	defer func() { _ = done() }() // nothing more is written to the log
	if state, err := w.known(ctx, job.Log); state != "" || err != nil {
		return state, err
	}
	if o.Pace != nil {
		job.Pace = *o.Pace
	}
	job.Run, job.Fence, job.MaxEvents = w.run.ID, w.lease.Fence, o.bound(w.row.Expected)
	if f := w.Fleet; f.gate != nil {
		job.Wait = f.gate.wait
	}
	job.Progress = func(committed, due int64) {
		w.report(context.WithoutCancel(ctx), func(p *control.Progress) { p.Committed, p.Due = committed, due })
	}
	r, err := job.Commit(ctx)
	w.mu.Lock()
	if r.Store != "" { // it was opened
		w.progress.Committed, w.progress.Before, w.progress.Head = r.Events, r.Before, int64(r.Head)
		w.progress.Pushes += r.Pushes
		w.progress.Conflicts += r.Conflicts
	}
	if err == nil {
		w.progress.Due = 0
	}
	w.mu.Unlock()
	if err != nil {
		return "", err
	}
	if state, err := w.known(ctx, job.Log); state != "" || err != nil {
		return state, err
	}
	return control.Succeeded, nil
}

// known compares the store with what is known of it: one that had events and has none any more is never pushed to.
func (w *storeWork) known(ctx context.Context, log eventlog.Reader) (control.State, error) {
	vanished, err := w.DB.Ask(ctx, w.Env, w.row.Store, func(ctx context.Context) (int64, string, error) {
		h, err := log.Head(ctx)
		return int64(max(h.Confirmed, h.Last.Global)), h.BackendID, err
	})
	if vanished {
		return control.Vanished, control.VanishedError(w.Env, w.row.Store)
	}
	return "", err
}

// why turns an error into a state. An empty one: the store is not ours any more, and nothing is said of it.
func (w *storeWork) why(ctx context.Context, err error) (control.State, error) {
	if ctx.Err() != nil {
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, errLost), errs.CodeOf(cause) == errs.Locked: // [control.DB.Hold] says the latter
			return "", nil
		case errors.Is(cause, errPausing):
			return control.Paused, nil
		case errors.Is(cause, errCancelling):
			return control.Cancelled, nil
		}
		return control.Pending, nil // this process ends
	}
	switch migrations.KindOf(err) {
	case migrations.Poisoned:
		return control.Quarantined, err
	case migrations.Stalled:
		return control.Stalled, err
	}
	return control.Failed, err
}

// report keeps the progress, and hears whether the work is to end. A database that does not answer holds nothing up.
func (w *storeWork) report(ctx context.Context, change func(*control.Progress)) {
	w.mu.Lock()
	change(&w.progress)
	p := w.progress
	w.mu.Unlock()
	limited, done := context.WithTimeout(ctx, w.TTL/4)
	defer done()
	state, held, err := w.DB.Report(limited, w.run.ID, w.row.Store, w.lease.Fence, p)
	switch {
	case err != nil: // the lease decides whether that lasts too long
		w.Log.Info("can't report progress", "store", w.row.Store, "error", err)
	case !held:
		w.cancel(errLost)
	case state == control.Pausing:
		w.cancel(errPausing)
	case state == control.Cancelling:
		w.cancel(errCancelling)
	}
}

// listen reports until the context ends, so that a request to stop is heard between two pushes, too.
func (w *storeWork) listen(ctx context.Context) {
	for pause(ctx, w.TTL/4) == nil {
		w.report(ctx, func(*control.Progress) {})
	}
}
