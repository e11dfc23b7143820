package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"os"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
)

// followEvery is how often a followed log is looked at, at the most.
const followEvery = 500 * time.Millisecond

// askEvery is the same for a backend, which others need too.
const askEvery = 2 * time.Second

// A follower prints what is added to a log: a client's, by its file, or one behind a backend, by its head.
type follower struct {
	a      *app
	log    storeLog
	reveal bool

	remote    eventlog.Reader // of a log behind a backend: one connection for all the time
	path      string          // of the file
	seen      fileTimes
	confirmed livestore.ClientSeq // the last confirmed event that was printed
	pending   map[uint64]struct{} // pending and clientOnly events after it that were printed, by fingerprint
	seed      maphash.Seed
}

// fileTimes tells whether a log may have changed.
type fileTimes struct {
	size     int64
	modified time.Time
}

func newFollower(a *app, l storeLog, reveal bool) *follower {
	return &follower{a: a, log: l, reveal: reveal, pending: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

// followLog prints the last n events and then what is added, until ctx ends.
func (a *app) followLog(ctx context.Context, l storeLog, n int, reveal bool) (err error) {
	if l.url.Kind == openlog.Dump {
		return errs.Invalidf("--follow needs a client's log, a dump does not grow").At("%s", l.url).Hintf("leave --follow out")
	}
	f := newFollower(a, l, reveal)
	defer func() {
		if f.remote != nil {
			err = errors.Join(err, f.remote.Close())
		}
	}()
	if err := f.begin(ctx, n); err != nil {
		return err
	}
	least := followEvery
	if f.remote != nil {
		least = askEvery
	}
	wait := least
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		start := a.now()
		if err := f.poll(ctx); err != nil {
			return err
		}
		// A big log takes a while to copy, a backend a while to answer: at most a tenth of the time goes into that.
		wait = max(least, 9*a.now().Sub(start))
	}
}

// begin prints the last n events and takes all others for printed.
func (f *follower) begin(ctx context.Context, n int) (err error) {
	r, done, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if f.remote != nil { // what is added from now on is news
		head, err := r.Head(ctx)
		if err != nil {
			return err
		}
		r = upTo{r, head}
	}
	last, err := f.a.lastEvents(ctx, r, f.log, n, f.reveal)
	if err != nil {
		return err
	}
	for _, e := range last {
		if err := f.print(e); err != nil {
			return err
		}
	}
	head, err := r.Head(ctx)
	if err != nil {
		return err
	}
	f.confirmed = livestore.ClientSeq{Global: min(head.Confirmed, head.Last.Global)}
	return f.news(ctx, r, func(tailEvent) error { return nil })
}

// upTo is a log as it was when it went as far as head.
type upTo struct {
	eventlog.Reader
	head eventlog.Head
}

func (u upTo) Head(context.Context) (eventlog.Head, error) { return u.head, nil }

func (u upTo) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range u.Reader.Events(ctx, after) {
			if e.Seq.Compare(u.head.Last) > 0 || !yield(e, err) {
				return
			}
		}
	}
}

// poll prints what was added since the last time.
func (f *follower) poll(ctx context.Context) (err error) {
	if f.remote == nil {
		if now, err := timesOf(f.path); err != nil || now == f.seen {
			return err
		}
	}
	r, done, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return f.news(ctx, r, f.print)
}

// open opens the log, remembering how its file looked before. done is for when it was read.
func (f *follower) open(ctx context.Context) (r eventlog.Reader, done func() error, err error) {
	if f.remote != nil {
		return f.remote, func() error { return nil }, nil
	}
	if f.path != "" {
		if f.seen, err = timesOf(f.path); err != nil {
			return nil, nil, err
		}
	}
	if r, err = f.log.open(ctx); err != nil {
		return nil, nil, err
	}
	if f.log.url.Remote() {
		f.remote = r
		return f.open(ctx)
	}
	if p, ok := r.(interface{ Path() string }); ok {
		f.path = p.Path()
	}
	return r, r.Close, nil
}

// news calls print for each event after the last confirmed one that was not there before, and remembers it. A
// rebase renumbers pending events: they are news then.
func (f *follower) news(ctx context.Context, r eventlog.Reader, print func(tailEvent) error) error {
	head, err := r.Head(ctx)
	if err != nil {
		return err
	}
	if head.Last.Compare(f.confirmed) < 0 { // the backend was reset, and with it the log
		f.confirmed = livestore.ClientSeq{}
		clear(f.pending)
	}
	there := map[uint64]struct{}{}
	confirmed := f.confirmed
	for e, err := range r.Events(ctx, f.confirmed) {
		t, err := tailed(e, err, f.reveal)
		if err != nil {
			return err
		}
		id := f.fingerprint(e)
		if _, printed := f.pending[id]; !printed {
			if err := print(t); err != nil {
				return err
			}
		}
		if e.Seq.Global < min(head.Confirmed, head.Last.Global) {
			continue // no event can come before it any more
		}
		if e.Seq.Global == head.Confirmed && !e.ClientOnly() {
			confirmed = e.Seq
			continue
		}
		there[id] = struct{}{}
	}
	f.confirmed, f.pending = confirmed, there
	return nil
}

// fingerprint identifies a pending event as long as it is not renumbered.
func (f *follower) fingerprint(e livestore.Event) uint64 {
	var h maphash.Hash
	h.SetSeed(f.seed)
	for _, s := range []string{e.Seq.String(), e.Name, e.ClientID, e.SessionID, string(e.Args)} {
		maphash.WriteComparable(&h, s)
	}
	return h.Sum64()
}

func (f *follower) print(t tailEvent) error {
	f.a.rendered = true
	if f.a.format != formatJSON {
		_, err := fmt.Fprintln(f.a.stdout, t)
		return err
	}
	line, err := json.Marshal(t)
	if err != nil {
		return errs.New(errs.Internal, "can't write the event as JSON").Because(err)
	}
	_, err = fmt.Fprintf(f.a.stdout, "%s\n", line)
	return err
}

func timesOf(path string) (fileTimes, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileTimes{}, errs.New(errs.Internal, "can't look at the log").At("%s", path).Because(err).Hintf("was the app's data removed?")
	}
	return fileTimes{size: info.Size(), modified: info.ModTime()}, nil
}
