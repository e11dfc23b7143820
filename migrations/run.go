package migrations

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
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
	// MaxEvents bounds what the run commits, with what it committed before it was killed or paused: more due events than
	// that are refused. 0 for no bound.
	MaxEvents int64

	Now    func() time.Time
	Sleep  func(context.Context, time.Duration) error
	Jitter func(most time.Duration) time.Duration // a random time below most

	// Wait, if not nil, is called before each push: it waits while the job is to stand still, and reports whether it did.
	// That is no lack of progress.
	Wait func(context.Context) (held bool, err error)

	// Progress is called after each push with the events that the run has committed so far and those that were still due.
	Progress func(committed, due int64)
}

// maxBatch is how many events go in one push at the most: as many as LiveStore's own leader sends.
const maxBatch = 50

// window is how many due events are held in memory.
const window = 10_000

// A session is a Job at work: the store's state, and what its log says of the migration.
type session struct {
	Job
	ledger *ledger
	live   *replay.Live
	report Report

	commit  func(ctx context.Context, batch []livestore.Event, meanwhile func()) error // how a batch gets into the log
	foreign int64                                                                      // of the ledger, when due was last asked
	settled []bool                                                                     // sources that had nothing due, while nobody else wrote
	left    int64                                                                      // what must be due at most of the current source
	reveal  bool                                                                       // errors may show values
}

// watched is a log that shows the ledger what is read from it.
type watched struct {
	eventlog.Reader
	ledger *ledger
	bytes  *int64 // of the arguments that were read
}

func (w watched) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range w.Reader.Events(ctx, after) {
			if err == nil {
				w.ledger.see(e)
				*w.bytes += int64(len(e.Args))
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
	head, err := j.Log.Head(ctx)
	switch {
	case err != nil:
		return nil, err
	case head.Last.Global == 0:
		return j.session(), nil
	}
	return j.follow(ctx)
}

func (j Job) session() *session {
	s := &session{Job: j, ledger: newLedger(j.Definition, j.Run), settled: make([]bool, j.Definition.sources()), left: -1}
	s.report = Report{Store: j.Store, Migration: j.Definition.Name, Release: j.Target.Release.Version, Asserts: []AssertResult{}}
	return s
}

// follow is open where an empty log has a state, too.
func (j Job) follow(ctx context.Context) (*session, error) {
	s := j.session()
	start := j.Now()
	more, err := j.beside()
	if err != nil {
		return nil, err
	}
	live, res, err := replay.Follow(ctx, j.Launcher, j.Target, watched{j.Log, s.ledger, &s.report.ReadBytes}, replay.Options{
		Out: filepath.Join(j.Dir, "state.db"), Checkpoints: j.Checkpoints, Store: string(j.Store), Now: j.Now,
	}, more)
	if err != nil {
		return nil, err
	}
	s.live = live
	s.report.Read, s.report.Replayed = res.Events, res.Events-res.FromCheckpoint
	if info, err := os.Stat(filepath.Join(j.Dir, "state.db")); err == nil {
		s.report.StateBytes = info.Size()
	}
	s.report.ReadFor = j.Now().Sub(start)
	s.report.Head = res.Head.Global
	s.report.Before = s.ledger.events - s.ledger.own
	s.report.Events = s.ledger.own
	if res.Poison != nil {
		return nil, j.unreadable(ctx, res.Poison)
	}
	if err = s.suspicious(res); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// ready opens the job where the migrations that come before are done on the store, and refuses it elsewhere.
func (j Job) ready(ctx context.Context) (*session, error) {
	waits, err := j.waits(ctx)
	if err == nil && waits != "" {
		err = errs.New(errs.Stale, "migration %s comes before, and is not done on this store", waits).
			At("%s:%d", j.Definition.Path, j.Definition.AfterLine).
			Then("headgate migration up " + waits + " --store " + string(j.Store))
	}
	if err != nil {
		return nil, err
	}
	return j.open(ctx)
}

// beside is what the definition's queries or module need beside the state.
func (j Job) beside() (o replay.LiveOptions, err error) {
	o.Namespace = j.Definition.Namespace(j.Store)
	if o.Inputs, err = j.Definition.inputs(j.Target.Release); err != nil {
		return o, err
	}
	if m := j.Definition.module; m != nil {
		o.Module = &replay.Module{Code: m.script.Code}
		o.Module.Rules, err = m.rules(j.Definition, j.Target.Release)
	}
	return o, err
}

func (s *session) close() {
	if s.live != nil {
		s.live.Close()
	}
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
	return s.edited()
}

// edited refuses a store on which the migration ran, or runs, from another file.
func (s *session) edited() error {
	if s.ledger.edited == "" {
		return nil
	}
	return errs.Refusedf("the migration ran on this store from a file with another content (checksum %s…)", s.ledger.edited).
		At("%s", s.Definition.Path).
		Hintf("bring the file back as it was, and write what is to change as a new migration")
}

// waits names the first migration that comes before and is not done on the store. Its events in the log don't say so: it
// may have been killed in the middle. So it is asked what it would do. A key with two events, or an assert that does not
// hold any more, is for verify to say: no run of it would change that, and what comes after may put it right.
func (j Job) waits(ctx context.Context) (string, error) {
	for _, before := range j.After {
		r, _, err := before.Verify(ctx)
		if err != nil || r.Open(before.Definition) {
			return before.Definition.Name, err
		}
	}
	return "", nil
}

// Commit commits what is due, until nothing is, and then the marker. It can be killed at any moment, run twice and
// race with live writers and other runs of itself: every key gets one event. A canceled context ends it after the
// batch under way.
func (j Job) Commit(ctx context.Context) (Report, error) {
	log, ok := j.Log.(eventlog.Appender)
	if !ok {
		return Report{}, errs.Invalidf("events can't be committed to this kind of log")
	}
	s, err := j.ready(ctx)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	p := &pusher{session: s, log: log, batch: maxBatch, pace: j.Pace, progress: j.Now()}
	s.commit = p.push
	err = s.all(ctx, p.limit)
	s.report.Events = s.ledger.own
	if s.live != nil {
		s.report.Head = s.live.Head.Global
	}
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
		if err := s.edited(); err != nil {
			return err
		}
		s.report.Events = s.ledger.own // a push without an answer may have been stored
		due, total, source, err := s.due()
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
		if err := s.some(ctx, due, total, source, limit); err != nil {
			return err
		}
	}
	if err := s.asserts(); err != nil {
		return err
	}
	s.report.MarkerDue = s.Definition.Marker != "" && !s.ledger.marked
	if err := s.mark(ctx); err != nil {
		return err
	}
	s.report.Outcome = Done
	if s.report.Events == 0 && s.report.Before == 0 {
		s.report.Outcome = NothingDue
	}
	return nil
}

// some commits the due events one batch after the other, until none is left or another one's event may have changed
// what is due. While a batch is on its way the next one is tried.
func (s *session) some(ctx context.Context, due []candidate, total int64, source int, limit func() int) error {
	committed := int64(0)
	var next []livestore.Event
	for len(due) > 0 {
		if ctx.Err() != nil {
			break // all says so
		}
		var err error
		if next == nil {
			if next, err = s.try(due[:min(len(due), limit())], source); err != nil {
				return err
			}
		}
		batch, rest := next, due[len(next):]
		var failed error
		next = nil
		err = s.commit(ctx, batch, func() {
			if len(rest) > 0 && s.live.Room() {
				next, failed = s.try(rest[:min(len(rest), limit())], source)
			}
		})
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
		due = rest
		committed += int64(len(batch))
		s.report.Events = s.ledger.own
		s.Progress(s.report.Events, total-committed)
		if err := errors.Join(s.live.Keep(), failed); err != nil {
			return err
		}
	}
	s.left = total - committed
	return s.live.Drop()
}

// try makes a batch of candidates and adds it to the state on trial.
func (s *session) try(due []candidate, source int) ([]livestore.Event, error) {
	batch := s.number(due)
	p, err := s.live.Try(batch)
	if err == nil && p != nil {
		err = errs.New(errs.Unverifiable, "release %s fails on an event that would be committed: %s", s.Target.Release.Version, p).
			At("%s", s.Definition.place(source)).
			Hintf("nothing of it was committed; correct the query or the materializer")
	}
	return batch, err
}

// number makes events of candidates, after the last event of the state and of what is tried.
func (s *session) number(due []candidate) []livestore.Event {
	events := make([]livestore.Event, len(due))
	head := s.live.Top().Global
	for i, c := range due {
		n := head + livestore.SeqNum(i)
		events[i] = livestore.Event{
			Name: c.event, Args: c.args, Seq: livestore.ClientSeq{Global: n + 1}, Parent: livestore.ClientSeq{Global: n},
			ClientID: s.Definition.ClientID(), SessionID: fmt.Sprintf("%s%s:%d", clientPrefix, s.Run, s.Fence),
		}
	}
	return events
}
