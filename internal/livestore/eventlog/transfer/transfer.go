// Package transfer puts the events of a dump into an empty log, with their numbers, writers and arguments as they are, and
// compares the two. It begins with what must be right before the first event is pushed, and can be killed
// anywhere: the next run goes on where the log ends, if all that is in it is the beginning of the dump.
//
// It does not know releases: whether clients can decode the events is for its caller to find out. It does not reset
// anything, and changes no event.
package transfer

import (
	"context"
	"errors"
	"iter"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
)

// Options says how a transfer is done. The zero value is good.
type Options struct {
	// Before is called before each push; an error ends the transfer. nil for nothing.
	Before func(context.Context) error
	// Stored is told how many more events are in the log; nil for nobody.
	Stored func(int64)
	// Sleep waits before a push is tried again; nil for the real time.
	Sleep func(context.Context, time.Duration) error
}

// A Result says what a transfer did.
type Result struct {
	Events int64  `json:"events"` // of the dump
	Before int64  `json:"before"` // of them, those that were in the log already
	Pushed int64  `json:"pushed"` // of them, those that this run added
	Digest string `json:"digest"` // of all
}

// maxPush is how many bytes of arguments go in one push, unless it is one event.
const maxPush = 500_000

// maxTries is how often a push is tried again without anything of it being stored.
const maxTries = 6

// Into brings a log that holds nothing, or a beginning of the dump, to hold the dump. The dump must have passed
// [dumplog.Reader.Verify], whose result is want. A log that holds anything else is errs.Refused, before anything is pushed;
// so is one that somebody else writes into meanwhile. Whether it has the dump's events afterwards is for [Same] to find out.
func Into(ctx context.Context, to eventlog.Appender, from *dumplog.Reader, want dumplog.Verified, opt Options) (Result, error) {
	t := newTransfer(ctx, to, to, from, opt)
	defer t.stop()
	r := Result{Events: want.Events, Digest: want.Digest}
	var err error
	if r.Before, err = t.compare(ctx); err != nil {
		return r, err
	}
	t.opt.Stored(r.Before)
	for {
		batch, err := t.batch()
		switch {
		case err != nil:
			return r, err
		case len(batch) == 0:
			return r, nil
		}
		if err := t.push(ctx, batch); err != nil {
			return r, err
		}
		r.Pushed += int64(len(batch))
		t.opt.Stored(int64(len(batch)))
	}
}

// Look finds out what Into would find, and pushes nothing: how many events of the dump are in the log.
func Look(ctx context.Context, log eventlog.Reader, from *dumplog.Reader) (before int64, err error) {
	t := newTransfer(ctx, log, nil, from, Options{})
	defer t.stop()
	return t.compare(ctx)
}

// Same reads a log and compares it with a dump that was verified: another event, or another number of them, is errs.Mismatch,
// and names the first. read is told how many more events were read.
func Same(ctx context.Context, log eventlog.Reader, from *dumplog.Reader, read func(int64)) error {
	t := newTransfer(ctx, log, nil, from, Options{})
	defer t.stop()
	for e, err := range synced(log.Events(ctx, livestore.ClientSeq{})) {
		if err != nil {
			return err
		}
		want, more, err := t.next()
		switch {
		case err != nil:
			return err
		case !more:
			return differ("the log has event %s (%s), and the dump ends at %s", e.Seq, e.Name, t.last)
		case !eventlog.SameEvent(want, e):
			return differ("the log has another event %s (%s) than the dump (%s %s)", e.Seq, e.Name, want.Seq, want.Name)
		}
		read(1)
	}
	want, more, err := t.next()
	if more {
		return differ("the log ends before event %s (%s) of the dump", want.Seq, want.Name)
	}
	return err
}

func differ(format string, args ...any) error {
	return errs.New(errs.Mismatch, format, args...).Hintf("somebody else wrote into the store, or its backend changes what it stores")
}

// transfer is one run.
type transfer struct {
	log  eventlog.Reader
	to   eventlog.Appender // log; nil to look only
	opt  Options
	next func() (e livestore.Event, more bool, err error) // of the dump
	stop func()

	last    livestore.ClientSeq // that next returned
	pending []livestore.Event   // read, for the next batch
}

func newTransfer(ctx context.Context, log eventlog.Reader, to eventlog.Appender, from *dumplog.Reader, opt Options) *transfer {
	if opt.Stored == nil {
		opt.Stored = func(int64) {}
	}
	if opt.Before == nil {
		opt.Before = func(context.Context) error { return nil }
	}
	if opt.Sleep == nil {
		opt.Sleep = sleep
	}
	next, stop := iter.Pull2(from.Events(ctx, livestore.ClientSeq{}))
	t := &transfer{log: log, to: to, opt: opt, stop: stop}
	t.next = func() (livestore.Event, bool, error) {
		e, err, more := next()
		if more && err == nil {
			t.last = e.Seq
		}
		return e, more && err == nil, err
	}
	return t
}

// synced leaves clientOnly events out: they are a client's own, and in no dump.
func synced(events iter.Seq2[livestore.Event, error]) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range events {
			if err == nil && e.ClientOnly() {
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// compare reads what is in the log, which must be the beginning of the dump, and returns how many events that are.
func (t *transfer) compare(ctx context.Context) (n int64, err error) {
	for e, err := range synced(t.log.Events(ctx, livestore.ClientSeq{})) {
		if err != nil {
			return n, err
		}
		want, more, err := t.next()
		switch {
		case err != nil:
			return n, err
		case !more && n > 0:
			return n, notEmpty("the store has more events than the dump, from %s (%s) on", e.Seq, e.Name)
		case !more:
			return n, notEmpty("the store is not empty: it has event %s (%s), and the dump has none", e.Seq, e.Name)
		case !eventlog.SameEvent(want, e) && n == 0:
			return n, notEmpty("the store is not empty: its first event (%s) is not the dump's (%s)", e.Name, want.Name)
		case !eventlog.SameEvent(want, e):
			return n, notEmpty("the store has the first %d events of the dump, and then another: %s (%s)", n, e.Seq, e.Name)
		}
		n++
	}
	return n, nil
}

func notEmpty(format string, args ...any) error {
	return errs.Refusedf(format, args...).
		Hintf("events go into a store that has none, or goes on from what an import began; a sync-cf store is emptied by headgate store reset")
}

// batch takes the next events of the dump, none at its end.
func (t *transfer) batch() ([]livestore.Event, error) {
	batch, size := t.pending, 0
	t.pending = nil
	for _, e := range batch {
		size += len(e.Args)
	}
	for len(batch) < eventlog.MaxBatchEvents {
		e, more, err := t.next()
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		if size += len(e.Args); size > maxPush && len(batch) > 0 {
			t.pending = []livestore.Event{e}
			break
		}
		batch = append(batch, e)
	}
	return batch, nil
}

// push appends a batch. Where it is not known what became of it, or others were faster, the log says what is there.
func (t *transfer) push(ctx context.Context, batch []livestore.Event) error {
	for tries := 0; ; {
		if err := t.opt.Before(ctx); err != nil {
			return err
		}
		err := t.to.Append(ctx, batch)
		var ahead *eventlog.AheadError
		var lost *eventlog.AmbiguousError
		if err == nil || !errors.As(err, &ahead) && !errors.As(err, &lost) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		stored, e := t.stored(ctx, batch)
		switch {
		case e != nil:
			return e
		case stored == len(batch):
			return nil
		case stored > 0:
			batch, tries = batch[stored:], 0
		}
		if ahead != nil && ahead.Head >= 0 && ahead.Head < batch[0].Parent.Global && tries > 2 {
			return errs.Refusedf("the backend's head is e%d, but its log goes to e%d", ahead.Head, batch[0].Parent.Global).
				Hintf("a push was cut short there: headgate store reset empties the store, then import again")
		}
		if tries++; tries > maxTries {
			return errs.New(errs.Internal, "the backend does not take event %s", batch[0].Seq).Because(err).
				Hintf("what was pushed stays; the same command goes on from there")
		}
		if err := t.opt.Sleep(ctx, 100*time.Millisecond<<tries); err != nil {
			return err
		}
	}
}

// stored says how many events of a batch the log has.
func (t *transfer) stored(ctx context.Context, batch []livestore.Event) (n int, err error) {
	for e, err := range synced(t.log.Events(ctx, batch[0].Parent)) {
		switch {
		case err != nil:
			return n, err
		case n == len(batch) || !eventlog.SameEvent(batch[n], e):
			return n, errs.Refusedf("somebody else wrote event %s (%s) of client %q into the store meanwhile", e.Seq, e.Name, e.ClientID).
				Hintf("the store is not what the dump says any more: see that nobody writes to it, empty it again, and import again")
		}
		n++
	}
	return n, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
