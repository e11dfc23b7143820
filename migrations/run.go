package migrations

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
)

// A Job is one migration on one store.
type Job struct {
	Definition Definition
	Target     replay.Target // the newest release that the definition's requires admits
	Store      livestore.StoreID
	Log        eventlog.Reader // an eventlog.Appender where events are committed
	After      []Job           // the migrations that come before, on the same store

	Launcher    script.Launcher
	Checkpoints *replay.Checkpoints
	Dir         string // private; the state lies here while the job works, as large as the app's

	// Run and Fence tell the runs of a migration apart: the events' session id is hg:<Run>:<Fence>.
	Run   string
	Fence int64

	// Pace is the least time between two pushes; it doubles, up to eight times itself, while others write.
	Pace time.Duration
	// Patience is how long the job goes on without progress.
	Patience time.Duration
	// MaxEvents bounds what is committed: more due events than that are refused. 0 for no bound.
	MaxEvents int64

	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Jitter func(most time.Duration) time.Duration // a random time below most

	// Progress is called after each push with the events committed so far and those that were still due.
	Progress func(committed, due int64)
}

// maxBatch is how many events go in one push at the most: as many as LiveStore's own leader sends.
const maxBatch = 50

// window is how many due events are held in memory.
const window = 2000

// A session is a Job at work: the store's state, and what its log says of the migration.
type session struct {
	Job
	ledger *ledger
	live   *replay.Live
	report Report

	commit  func(context.Context, []livestore.Event) error // how a batch gets into the log
	foreign int64                                          // of the ledger, when due was last asked
	settled []bool                                         // emits that had nothing due, while nobody else wrote
	left    int64                                          // what must be due at most of the current emit
}

// watched is a log that shows the ledger what is read from it.
type watched struct {
	eventlog.Reader
	ledger *ledger
}

func (w watched) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range w.Reader.Events(ctx, after) {
			if err == nil {
				w.ledger.see(e)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// open replays the log under the target release and reads from it what the migration did already. Where nothing is
// to be done on the store at all (an empty log) the session has no state. The caller closes it.
func (j Job) open(ctx context.Context) (*session, error) {
	s := &session{Job: j, ledger: newLedger(j.Definition), settled: make([]bool, len(j.Definition.Emits)), left: -1}
	s.report = Report{Store: j.Store, Migration: j.Definition.Name, Release: j.Target.Release.Version, Asserts: []AssertResult{}}
	start := j.Now()
	live, res, err := replay.Follow(ctx, j.Launcher, j.Target, watched{j.Log, s.ledger}, replay.Options{
		Out: filepath.Join(j.Dir, "state.db"), Checkpoints: j.Checkpoints, Store: string(j.Store), Now: j.Now,
	}, j.Definition.Namespace(j.Store))
	if err != nil {
		return nil, err
	}
	s.live = live
	s.report.Read = res.Events
	s.report.ReadFor = j.Now().Sub(start)
	s.report.Head = res.Head.Global
	s.report.Before = s.ledger.events
	if res.Poison != nil {
		return nil, poisoned(j, res.Poison)
	}
	err = s.suspicious(res)
	if err == nil {
		err = s.before(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() { s.live.Close() }

func poisoned(j Job, p *replay.Poison) error {
	return errs.New(errs.Unverifiable, "the log holds an event that release %s fails on: %s", j.Target.Release.Version, p).
		Hintf("a client that rebuilds its state from this log does not start; nothing was committed").
		Then("headgate log stats --store " + string(j.Store))
}

// unknownShare is the share of a log's events that its schema may not know.
const unknownShare = 0.05

// suspicious refuses a log that does not look like one of this schema, and one whose migration ran from another file.
func (s *session) suspicious(res replay.Result) error {
	var unknown int64
	for _, k := range res.Skipped {
		unknown += k.Count
	}
	if res.Events > 0 && float64(unknown) > unknownShare*float64(res.Events) {
		return errs.Refusedf("release %s does not know %d of the log's %d events: is this another schema's store?",
			s.Target.Release.Version, unknown, res.Events).
			Hintf("check the store's schema in headgate.yaml, and the migration's")
	}
	if s.ledger.edited != "" {
		return errs.Refusedf("the migration ran on this store from a file with another content (checksum %s…)", s.ledger.edited).
			At("%s", s.Definition.Path).
			Hintf("bring the file back as it was, and write what is to change as a new migration")
	}
	return nil
}

// before refuses a store on which a migration that comes before is not done. One that had nothing to do there left no
// event, so that it is asked what it would do.
func (s *session) before(ctx context.Context) error {
	for _, j := range s.After {
		if s.report.Head == 0 || s.ledger.ran[j.Definition.Name] {
			continue
		}
		_, done, err := j.Verify(ctx)
		if err != nil {
			return err
		}
		if !done {
			return errs.New(errs.Stale, "migration %s comes before, and is not done on this store", j.Definition.Name).
				At("%s:%d", s.Definition.Path, s.Definition.AfterLine).
				Then("headgate migration up " + j.Definition.Name + " --store " + string(s.Store))
		}
	}
	return nil
}

// Commit commits what is due, until nothing is, and then the marker. It can be killed at any moment, run twice and
// race with live writers and other runs of itself: every key gets one event. A canceled context ends it after the
// batch under way.
func (j Job) Commit(ctx context.Context) (Report, error) {
	log, ok := j.Log.(eventlog.Appender)
	if !ok {
		return Report{}, errs.Invalidf("events can't be committed to this kind of log")
	}
	s, err := j.open(ctx)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	p := &pusher{session: s, log: log, batch: maxBatch, pace: j.Pace, progress: j.Now()}
	s.commit = p.push
	err = s.all(ctx, p.limit)
	s.report.Pushes, s.report.Conflicts, s.report.Unanswered = p.pushes, p.conflicts, p.unanswered
	if err != nil && ctx.Err() != nil { // the sandbox ends with the context, whatever that looks like
		err = context.Cause(ctx)
	}
	return s.report, err
}

// all commits emit after emit, and begins anew when others wrote meanwhile.
func (s *session) all(ctx context.Context, limit func() int) error {
	if s.report.Head == 0 {
		s.report.Outcome = Fresh
		return nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		due, total, emit, err := s.due()
		if err != nil {
			return err
		}
		if len(due) == 0 {
			break
		}
		if s.MaxEvents > 0 && s.report.Events+total > s.MaxEvents {
			return errs.New(errs.Stale, "%d events are due, more than the %d that were expected", s.report.Events+total, s.MaxEvents).
				Hintf("the store changed since the preview: look at it again").
				Then("headgate migration preview " + s.Definition.Name + " --store " + string(s.Store))
		}
		if err := s.some(ctx, due, total, emit, limit); err != nil {
			return err
		}
	}
	if err := s.asserts(); err != nil {
		return err
	}
	if err := s.mark(ctx); err != nil {
		return err
	}
	s.report.Head = s.live.Head.Global
	s.report.Outcome = Done
	if s.report.Events == 0 && s.report.Before == 0 {
		s.report.Outcome = NothingDue
	}
	return nil
}

// some commits the due events one batch after the other, until none is left or another one's event may have changed
// what is due.
func (s *session) some(ctx context.Context, due []candidate, total int64, emit int, limit func() int) error {
	committed := int64(0)
	for len(due) > 0 {
		if ctx.Err() != nil {
			return nil // all says so
		}
		batch := s.number(due[:min(len(due), limit())])
		if p, err := s.live.Try(batch); err != nil {
			return err
		} else if p != nil {
			return errs.New(errs.Unverifiable, "release %s fails on an event that would be committed: %s", s.Target.Release.Version, p).
				At("%s:%d", s.Definition.Path, s.Definition.Emits[emit].SQLLine).
				Hintf("nothing of it was committed; correct the query or the materializer")
		}
		err := s.commit(ctx, batch)
		var moved *movedError
		if errors.As(err, &moved) {
			break
		}
		if err != nil {
			return err
		}
		for _, e := range batch {
			s.ledger.see(e)
			s.report.Bytes += int64(len(e.Args))
		}
		due = due[len(batch):]
		committed += int64(len(batch))
		s.report.Events += int64(len(batch))
		s.Progress(s.report.Events, total-committed)
		if p, err := s.live.Apply(batch); err != nil || p != nil {
			return errors.Join(err, poisonError(p))
		}
	}
	s.left = total - committed
	return nil
}

func poisonError(p *replay.Poison) error {
	if p == nil {
		return nil
	}
	return fmt.Errorf("an event that was tried before failed: %s", p)
}

// number makes events of candidates, after the last event of the state.
func (s *session) number(due []candidate) []livestore.Event {
	events := make([]livestore.Event, len(due))
	head := s.live.Head.Global
	for i, c := range due {
		n := head + livestore.SeqNum(i)
		events[i] = livestore.Event{
			Name: c.event, Args: c.args, Seq: livestore.ClientSeq{Global: n + 1}, Parent: livestore.ClientSeq{Global: n},
			ClientID: s.Definition.ClientID(), SessionID: fmt.Sprintf("%s%s:%d", clientPrefix, s.Run, s.Fence),
		}
	}
	return events
}

// due asks which events the first emit that has any would commit now: the query's rows without the keys that are in
// the log. At most [window] are returned; total counts all.
func (s *session) due() (due []candidate, total int64, emit int, err error) {
	others := s.ledger.foreign != s.foreign
	s.foreign = s.ledger.foreign
	if others {
		s.left = -1
		clear(s.settled)
	}
	for i := range s.Definition.Emits {
		due, total, err = s.dueOf(i)
		if err != nil {
			return nil, 0, i, err
		}
		if s.settled[i] && total > 0 || s.left >= 0 && total > s.left {
			return nil, 0, i, errs.Refusedf("the query returns new rows because of the events that it made: it would never end").
				At("%s:%d", s.Definition.Path, s.Definition.Emits[i].SQLLine).
				Hintf("let the key be something that the migration's own events don't add to")
		}
		if total > 0 {
			return due, total, i, nil
		}
		if !s.settled[i] {
			s.settled[i], s.left = true, -1
		}
	}
	return nil, 0, 0, nil
}

func (s *session) dueOf(i int) (due []candidate, total int64, err error) {
	emit := s.Definition.Emits[i]
	var enc *encoder
	var n int64
	seen := keySet{}
	err = s.live.Query(emit.SQL, func(columns []string, values []any) error {
		n++
		if enc == nil {
			if enc, err = newEncoder(s.Definition, emit, s.Target.Release, columns); err != nil {
				return err
			}
		}
		args, key, err := enc.row(n, columns, values)
		if err != nil {
			return err
		}
		if seen.has(key) {
			return errs.Invalidf("row %d has the key of an earlier row", n).At("%s", enc.place).
				Hintf("each key gets one event: let the query return each once (GROUP BY), or add a column to the key")
		}
		seen.add(key)
		if !s.Definition.Repeat && s.ledger.done.has(key) {
			return nil
		}
		total++
		if len(due) < window {
			due = append(due, candidate{event: emit.Event, args: args, key: key})
		}
		return nil
	})
	if e := errs.As(err); e != nil && e.Where == "" {
		e.At("%s:%d", s.Definition.Path, emit.SQLLine)
	}
	return due, total, err
}

// asserts evaluates the definition's asserts on the state as it is.
func (s *session) asserts() error {
	s.report.Asserts = s.report.Asserts[:0]
	var failed error
	for _, a := range s.Definition.Asserts {
		r := AssertResult{Label: a.Label, Line: a.Line}
		rows := 0
		err := s.live.Query(a.SQL, func(_ []string, values []any) error {
			rows++
			r.True = rows == 1 && len(values) == 1 && values[0] != nil && values[0] != int64(0) && values[0] != 0.0
			return nil
		})
		if e := errs.As(err); e != nil {
			return e.At("%s:%d", s.Definition.Path, a.Line)
		}
		if err != nil {
			return err
		}
		s.report.Asserts = append(s.report.Asserts, r)
		if !r.True && failed == nil {
			failed = errs.New(errs.Mismatch, "the assert %q does not hold", a.Label).At("%s:%d", s.Definition.Path, a.Line).
				Hintf("an assert returns one row with one value, 1 when it holds; events that are committed stay")
		}
	}
	return failed
}
