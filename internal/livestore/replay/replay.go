package replay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// A Target is the release that a log is replayed under.
type Target struct {
	Release *schema.Release
	Program engine.Program
	// Locate names the place in the app's TypeScript that a stack trace leads to; it may be nil.
	Locate func(trace string) string
}

// Options say where a replay writes and how it goes about it.
type Options struct {
	// Out is the database to write. What is there is replaced when the replay has succeeded, and only then.
	Out string
	// Checkpoints is where the state at the last confirmed event is kept; nil for nowhere.
	Checkpoints *Checkpoints
	// Store names the log among the checkpoints.
	Store string
	// Progress is called with the number of events that were processed since the last call.
	Progress func(events int64)
	// Now is the clock, for durations and the age of checkpoints.
	Now func() time.Time
	// BatchEvents and BatchBytes bound a batch; 0 for the defaults (512 events, 512 KiB).
	BatchEvents, BatchBytes int
}

// A Result is what a replay found.
type Result struct {
	// Head is the last event of the log that was processed, applied or skipped.
	Head livestore.ClientSeq `json:"head"`
	// Confirmed is the last event that the backend had confirmed.
	Confirmed livestore.SeqNum `json:"confirmed"`
	// Events is how many events the state stands for. FromCheckpoint of them were not replayed now.
	Events         int64 `json:"events"`
	FromCheckpoint int64 `json:"fromCheckpoint"`
	// Applied is how many of them a materializer took; the others are in Skipped, by name.
	Applied int64     `json:"applied"`
	Skipped []Skipped `json:"skipped"`
	// Poison is the event that ended the replay; then there is no state.
	Poison *Poison `json:"poison,omitempty"`
	// State is the digest of the database.
	State state.Digest `json:"state"`
	// NotDerivable are the tables that this log can't yield, since it holds no clientOnly events: never call them equal.
	NotDerivable []string `json:"notDerivable"`
	// Unverifiable says why the state may differ from a client's; empty when nothing is known against it.
	Unverifiable []string `json:"unverifiable"`
	// Duration is the wall-clock time of the whole replay, Rate the events per second that were replayed in it.
	Duration time.Duration `json:"durationNs"`
	Rate     float64       `json:"rate"`
	// Spent says where the sandbox's time went.
	Spent Spent `json:"spent"`
}

// Spent is wall-clock time of the sandbox's child.
type Spent struct {
	Start  time.Duration `json:"startNs"`  // evaluating the release's script
	Code   time.Duration `json:"codeNs"`   // decoders and materializers
	SQLite time.Duration `json:"sqliteNs"` // statements and queries
	Other  time.Duration `json:"otherNs"`  // tables, hooks, commits, waiting for events
}

// Skipped counts the events of one name that the release does not know.
type Skipped struct {
	Name   string              `json:"name"`
	Reason string              `json:"reason"` // event-definition-missing or materializer-missing
	Count  int64               `json:"count"`
	First  livestore.ClientSeq `json:"first"`
	Last   livestore.ClientSeq `json:"last"`
}

// Replay runs the log through the target's materializers into Options.Out. Poison is not an error: it is in the
// result, and nothing is written. An error that a user can act on is or holds an *errs.Error.
func Replay(ctx context.Context, l script.Launcher, t Target, r eventlog.Reader, o Options) (Result, error) {
	if o.BatchEvents == 0 {
		o.BatchEvents = 512
	}
	if o.BatchBytes == 0 {
		o.BatchBytes = 512 << 10
	}
	if o.Progress == nil {
		o.Progress = func(int64) {}
	}
	if o.Now == nil {
		return Result{}, errors.New("replay: no clock")
	}
	run := &run{launcher: l, target: t, reader: r, opts: o, start: o.Now()}
	res, err := run.all(ctx)
	if err != nil && ctx.Err() != nil && errs.As(err) == nil {
		return Result{}, context.Cause(ctx)
	}
	return res, err
}

// A run is one call of Replay.
type run struct {
	launcher script.Launcher
	target   Target
	reader   eventlog.Reader
	opts     Options
	start    time.Time

	head eventlog.Head
	key  checkpointKey
	from *Checkpoint // where it goes on from; nil for the beginning
	out  *atomicfile.File
}

func (r *run) all(ctx context.Context) (Result, error) {
	var err error
	if r.head, err = r.reader.Head(ctx); err != nil {
		return Result{}, err
	}
	if r.out, err = atomicfile.Create(r.opts.Out, 0o600); err != nil {
		return Result{}, err
	}
	defer r.out.Abort()
	defer os.Remove(r.snapshotPath()) //nolint:errcheck // mostly it is not there
	if r.checkpointable() {
		r.key = r.opts.Checkpoints.key(r.target, r.opts.Store, r.reader.ClientOnly())
		if r.from, err = r.opts.Checkpoints.restore(ctx, r.key, r.reader, r.head, r.out.Name(), r.start); err != nil {
			return Result{}, err
		}
	}
	s, err := r.session(ctx, false)
	if err == nil && s.result.NeedsAutocommit {
		// A statement that LiveStore runs by itself can't run inside a transaction: once more, without ours.
		r.from = nil
		if err := truncate(r.out.Name()); err != nil {
			return Result{}, err
		}
		s, err = r.session(ctx, true)
	}
	if err != nil {
		return Result{}, err
	}
	res := s.summary()
	if res.Poison == nil {
		if err := r.finish(ctx, s, &res); err != nil {
			return Result{}, err
		}
	}
	res.Duration = r.opts.Now().Sub(r.start)
	if sec := res.Duration.Seconds(); sec > 0 {
		res.Rate = float64(res.Events-res.FromCheckpoint) / sec
	}
	return res, nil
}

// finish takes the digest, keeps a checkpoint and puts the database in its place.
func (r *run) finish(ctx context.Context, s *session, res *Result) error {
	var err error
	if res.State, err = state.DigestFile(ctx, r.out.Name()); err != nil {
		return fmt.Errorf("read the new state: %w", err)
	}
	if s.keep != nil {
		if s.keep.path == "" {
			s.keep.Skipped = s.tally.skipped
		}
		if err := r.opts.Checkpoints.save(r.key, *s.keep, r.out.Name(), r.opts.Now()); err != nil {
			return err
		}
	}
	return r.out.Commit()
}

// snapshotPath is where the child copies the state at the last confirmed event.
func (r *run) snapshotPath() string { return r.out.Name() + "-confirmed" }

// hooks reports whether the release's hooks must run. Those that only begin and commit say nothing about the state.
func (r *run) hooks() bool {
	m := r.target.Release.Migrations
	return m.Strategy == "auto" && !transactionsOnly(m.Hooks)
}

func (r *run) checkpointable() bool {
	return r.opts.Checkpoints != nil && r.target.Release.Migrations.Strategy == "auto" && !r.hooks()
}

// applicationID marks a SQLite file as one that headgate wrote (PRAGMA application_id): "HGST".
const applicationID = 0x48475354

// Replaceable reports whether nothing is lost when a state is written to path: there is no file, an empty one, or one
// that headgate wrote.
func Replaceable(path string) (bool, error) {
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, errs.New(errs.Internal, "can't read the file that would be replaced").At("%s", path).Because(err)
	}
	defer f.Close()
	head := make([]byte, 100)
	n, err := io.ReadFull(f, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return true, nil
	}
	return n == len(head) && binary.BigEndian.Uint32(head[68:]) == applicationID, nil
}
