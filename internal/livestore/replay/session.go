package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/script"
)

const (
	// window is how many batches may be on their way: enough to keep the child busy.
	window = 4
	// batchTime is what one call into the app's code should take: far below the sandbox's limit, so that a release
	// of slow materializers is slow and not killed.
	batchTime = 200 * time.Millisecond
	// firstBatch is the size to begin with, while nothing is known about the materializers.
	firstBatch = 16
)

// A session is one child's life: the events that went to it and what came back.
type session struct {
	*run
	result jobResult

	size    atomic.Int64 // events per batch, adapted to how long the last ones took
	flights chan flight  // batches that the child has not answered, oldest first
	tally   tally        // of what was answered
	sent    position     // of what was sent
	keep    *Checkpoint  // to be kept at the end; nil for none

	malformed *eventlog.Malformed // where reading ended
	badName   string
	poison    *Poison
}

// A flight is what the parent remembers of a batch.
type flight struct {
	names []string
	seqs  []livestore.ClientSeq
	// snapshot is the checkpoint that the child copies when it gets there, instead of a batch.
	snapshot *Checkpoint
}

// A position is how far the log was sent, with the hash chain of all events up to there.
type position struct {
	Seq    livestore.ClientSeq
	Events int64
	Chain  chain
}

func (r *run) session(ctx context.Context, autocommit bool) (*session, error) {
	s := &session{run: r, flights: make(chan flight, window)}
	s.size.Store(firstBatch)
	params := jobParams{
		Program: r.target.Program, Path: r.out.Name(), Continue: r.from != nil, Hooks: r.hooks(), Autocommit: autocommit,
	}
	for _, t := range r.target.Release.Tables {
		params.DDL = append(params.DDL, t.DDL...)
	}
	if r.from != nil {
		s.opts.Progress(r.from.Events)
		s.sent = r.from.position()
		s.tally = r.from.tally()
	}
	proc, err := r.launcher.Start(ctx, Job, params)
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var g errgroup.Group
	var sendErr error
	g.Go(func() error {
		defer close(s.flights)
		if sendErr = s.send(sending, proc); sendErr != nil && !isPipe(sendErr) {
			proc.Close() // the child waits for frames that won't come
		}
		return nil
	})
	g.Go(func() error {
		defer stop()
		err := s.receive(ctx, proc)
		if err != nil || s.result.Poison != nil || s.result.Trouble != nil {
			proc.Close() // a sender that waits for the pipe wakes up
		}
		return err
	})
	// Where the child ended, the sender only met a broken pipe; where the log can't be read, the child was ended.
	err = g.Wait()
	ended := err == nil && (s.result.Poison != nil || s.result.Trouble != nil)
	switch {
	case ended:
	case sendErr != nil && (err == nil || !isPipe(sendErr) && !errors.Is(sendErr, context.Canceled)):
		return nil, sendErr
	case err != nil:
		return nil, s.explain(err)
	}
	switch {
	case s.result.Trouble != nil:
		return nil, s.troubleError()
	case s.result.Poison != nil:
		s.poison = s.poisonOf(s.result.Poison)
	case s.malformed != nil:
		s.poison = &Poison{Seq: s.malformed.Seq, Event: s.badName, Stage: StageJSON, Path: "$", Wanted: "JSON", Message: s.malformed.Err.Msg}
	}
	return s, nil
}

// isPipe reports whether err only says that the child is gone.
func isPipe(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) }

// send streams the log to the child.
func (s *session) send(ctx context.Context, proc *script.Proc) error {
	b := &batch{frame: []byte{0, frameEvents, '['}}
	flush := func() error {
		if len(b.names) == 0 {
			return nil
		}
		select {
		case s.flights <- b.flight:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := proc.SendBytes(append(b.frame, ']'))
		b.frame, b.flight = b.frame[:3], flight{}
		return err
	}
	snapshot := s.checkpointable()
	for ev, err := range s.reader.Events(ctx, s.sent.Seq) {
		if errors.As(err, &s.malformed) {
			s.badName = ev.Name
			break
		}
		if err != nil {
			return err
		}
		if ev.Seq.Compare(s.sent.Seq) < 0 {
			return errs.Invalidf("the log is out of order: %s comes after %s", ev.Seq, s.sent.Seq).
				Hintf("LiveStore applies events by number; write the dump again, sorted").Then("headgate log stats --log URL")
		}
		if ev.Pending && snapshot {
			snapshot = false
			if err := flush(); err != nil {
				return err
			}
			if err := s.snapshot(ctx, proc); err != nil {
				return err
			}
		}
		b.add(ev)
		s.sent.add(ev)
		if int64(len(b.names)) >= s.size.Load() || len(b.frame) >= s.opts.BatchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	if snapshot && s.malformed == nil {
		s.keep = s.checkpointAt(s.sent, "")
	}
	return proc.End()
}

// A batch is a frame that grows.
type batch struct {
	flight
	frame []byte
}

func (b *batch) add(ev livestore.Event) {
	if len(b.names) > 0 {
		b.frame = append(b.frame, ',')
	}
	b.frame = engine.AppendEvent(b.frame, ev)
	b.names = append(b.names, ev.Name)
	b.seqs = append(b.seqs, ev.Seq)
}

// snapshot has the child copy the state at the last confirmed event, before pending ones come in.
func (s *session) snapshot(ctx context.Context, proc *script.Proc) error {
	path := s.snapshotPath()
	s.keep = s.checkpointAt(s.sent, path)
	if s.keep == nil {
		return nil
	}
	select {
	case s.flights <- flight{snapshot: s.keep}:
	case <-ctx.Done():
		return ctx.Err()
	}
	return proc.SendBytes(append([]byte{0, frameSnapshot}, path...))
}

// receive takes the child's answers until its result.
func (s *session) receive(ctx context.Context, proc *script.Proc) error {
	for {
		data, done, err := proc.Recv(ctx)
		if err != nil {
			return err
		}
		if done {
			if err := json.Unmarshal(data, &s.result); err != nil {
				return fmt.Errorf("decode the replay's result: %w", err)
			}
			return nil
		}
		var a answer
		if err := json.Unmarshal(data, &a); err != nil {
			return fmt.Errorf("decode the replay's answer: %w", err)
		}
		if a.Idle {
			continue
		}
		f, ok := <-s.flights
		if !ok {
			return errors.New("the sandbox answered more than it was asked")
		}
		if f.snapshot != nil {
			f.snapshot.Skipped = slices.Clone(s.tally.skipped)
		}
		s.tally.add(f, a.Skipped)
		s.adapt(len(f.names), time.Duration(a.Micros)*time.Microsecond)
		s.opts.Progress(int64(len(f.names)))
	}
}

// adapt sizes the next batches by the time that one took.
func (s *session) adapt(events int, took time.Duration) {
	if events == 0 {
		return
	}
	want := s.size.Load() * 2
	if took > 0 {
		want = min(want, int64(float64(events)*float64(batchTime)/float64(took)))
	}
	s.size.Store(max(1, min(want, int64(s.opts.BatchEvents))))
}

// explain turns the end of a child into an error that says what to do.
func (s *session) explain(err error) error {
	var f *script.Failure
	if !errors.As(err, &f) {
		return err
	}
	e := errs.New(errs.Unverifiable, "the release's code can't be run over this log: %s", f.Error())
	if f.Kind == script.Threw {
		e.Msg = "the release's code can't be run: " + f.Error()
	} else if fl, ok := <-s.flights; ok && len(fl.seqs) > 0 {
		e.Msg += fmt.Sprintf(" (between events %s and %s)", fl.seqs[0], fl.seqs[len(fl.seqs)-1])
	}
	if s.target.Locate != nil {
		var trace string
		for _, fr := range f.Stack {
			trace += fmt.Sprintf("    at %s (%s:%d:%d)\n", fr.Function, fr.File, fr.Line, fr.Column)
		}
		if place := s.target.Locate(trace); place != "" {
			e.Where = place
		}
	}
	return e.Hintf("a materializer must end, and must not build large data")
}

func (s *session) troubleError() error {
	e := errs.New(errs.Internal, "can't write the state").At("%s", s.opts.Out).Because(s.result.Trouble)
	if s.result.Trouble.Full() {
		e.Msg = "can't write the state: the disk is full"
		e.Hintf("free some space, or write it somewhere else with --out; nothing was written")
	}
	return e
}

func truncate(path string) error {
	if err := os.Truncate(path, 0); err != nil {
		return errs.New(errs.Internal, "can't empty the file").At("%s", path).Because(err)
	}
	return nil
}
