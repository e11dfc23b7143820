package migrations

import (
	"context"
	"errors"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A pusher appends a session's batches to a log that others write to.
type pusher struct {
	*session
	log eventlog.Appender

	batch     int           // events in a push; halved when others are faster
	pace      time.Duration // between pushes; doubled while others write
	last      time.Time     // of the last push
	progress  time.Time     // of the last push that was stored
	conflicts int64
	dare      bool // the next push goes without a look before it
	crowded   int  // looks in a row that found something new
	behind    int  // answers in a row that say that the log ends before what was read from it

	pushes, unanswered int64
}

// A movedError says that the log has new events, which are in the state now: what is due must be asked again.
type movedError struct{}

func (*movedError) Error() string { return "the log has moved on" }

// pushTimeout is how long a push may take. A push under way is not cut off when the run is: its answer says what is
// in the log.
const pushTimeout = 30 * time.Second

// maxCrowded is after how many such looks a push is made without one.
const maxCrowded = 3

// maxBehind is how many such answers are believed.
const maxBehind = 5

// limit is how many events the next push takes.
func (p *pusher) limit() int { return p.batch }

// push waits for its turn, makes sure that the state is the log's, and appends the batch. While that is on its way,
// meanwhile is called.
func (p *pusher) push(ctx context.Context, batch []livestore.Event, meanwhile func()) error {
	if !p.last.IsZero() {
		if err := p.Sleep(ctx, p.last.Add(p.pace).Sub(p.Now())); err != nil {
			return err
		}
	}
	if p.Wait != nil {
		held, err := p.Wait(ctx)
		if err != nil {
			return err
		}
		if held {
			p.progress = p.Now()
		}
	}
	// A push at the wrong place is refused, so this is for the others' sake: what they wrote is seen before ours collides
	// with it. A pace of 0 says that the store is idle.
	if p.Pace > 0 && !p.dare {
		moved, err := p.pull(ctx)
		switch {
		case err != nil && transient(err):
			return p.recover(ctx, err)
		case err != nil:
			return err
		case moved:
			p.slower()
			if p.crowded++; p.crowded < maxCrowded {
				return &movedError{}
			}
			// Others write faster than what is due can be asked: a push has to try its luck, a small one.
			p.crowded, p.dare, p.batch = 0, true, max(1, p.batch/2)
			if p.patienceIsOver() {
				return p.stalled(errors.New("others write faster than what is due can be asked"))
			}
			return &movedError{}
		}
		p.crowded = 0
	}
	p.dare = false
	p.last = p.Now()
	pushing, done := context.WithTimeout(context.WithoutCancel(ctx), pushTimeout)
	answer := make(chan error, 1)
	go func() { answer <- p.log.Append(pushing, batch) }()
	meanwhile()
	err := <-answer
	done()
	p.pushes++
	var ahead *eventlog.AheadError
	var lost *eventlog.AmbiguousError
	switch {
	case err == nil:
		p.progress = p.Now()
		p.behind = 0
		p.batch = min(p.batch*2, maxBatch)
		p.pace = max(p.Pace, p.pace/2)
		return nil
	case errors.As(err, &ahead):
		p.conflicts++
		if ahead.Head < 0 || ahead.Head >= p.live.Head.Global {
			p.behind = 0
		} else if p.behind++; p.behind == maxBehind { // for a moment it may be, beside another's push
			return errs.Refusedf("the backend's head is e%d, but its log goes to e%d", ahead.Head, p.live.Head.Global).
				Hintf("a push was cut short there, or the backend lost events: repair the backend before anything is committed")
		}
		p.batch = max(1, p.batch/2)
		p.slower()
	case errors.As(err, &lost):
		p.unanswered++
	case errors.Is(err, context.DeadlineExceeded): // pushTimeout is over, wherever the backend's client was then
		p.unanswered++
		err = &eventlog.AmbiguousError{Err: err}
	default:
		return err
	}
	return p.recover(ctx, err)
}

func (p *pusher) slower() { p.pace = min(p.pace*2, 8*p.Pace) }

// recover reads the log until it answers, after a push that was not stored, or of which that is not known.
func (p *pusher) recover(ctx context.Context, cause error) error {
	for wait := 100 * time.Millisecond; ; wait = min(wait*2, 10*time.Second) {
		if err := p.Sleep(ctx, wait/2+p.Jitter(wait/2)); err != nil {
			return err
		}
		if p.patienceIsOver() {
			return p.stalled(cause)
		}
		moved, err := p.pull(ctx)
		if err != nil {
			if !transient(err) {
				return err
			}
			cause = err
			continue
		}
		if moved {
			return &movedError{}
		}
		if lost := (*eventlog.AmbiguousError)(nil); errors.As(cause, &lost) || wait >= 400*time.Millisecond {
			return &movedError{} // nothing of it is there: the same again
		}
	}
}

func (p *pusher) patienceIsOver() bool { return p.Now().Sub(p.progress) > p.Patience }

func (p *pusher) stalled(cause error) error {
	return &stop{Stalled, errs.New(errs.Partial, "no event could be committed for %s", p.Patience).Because(cause).
		Hintf("others write too fast, or the backend does not answer; what was committed stays, and the command goes on from there")}
}

// A readError is a failure to read the log, which may pass, unlike one of what it says.
type readError struct{ error }

func (e *readError) Unwrap() error { return e.error }

// transient reports whether reading again may help.
func transient(err error) bool {
	var read *readError
	var bad *eventlog.Malformed
	return errors.As(err, &read) && !errors.As(err, &bad) && errs.CodeOf(err) == errs.Internal
}

// pull brings the state up to the log, and reports whether there was anything new.
func (p *pusher) pull(ctx context.Context) (moved bool, err error) {
	var batch []livestore.Event
	before := p.ledger.events
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		moved = true
		if err := p.live.Drop(); err != nil {
			return err
		}
		poison, err := p.live.Apply(batch)
		if err != nil {
			return err
		}
		if poison != nil {
			return p.unreadable(ctx, poison)
		}
		batch = batch[:0]
		return nil
	}
	for e, err := range p.log.Events(ctx, p.live.Head) {
		if err != nil {
			return moved, &readError{err}
		}
		p.ledger.see(e)
		if batch = append(batch, e); len(batch) == 256 {
			if err := flush(); err != nil {
				return moved, err
			}
		}
	}
	if err := flush(); err != nil {
		return moved, err
	}
	if n := p.ledger.events - before; n > 0 { // a push without an answer was stored, or another run was faster
		p.progress = p.Now()
	}
	return moved, nil
}
