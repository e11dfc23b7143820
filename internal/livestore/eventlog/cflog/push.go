package cflog

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// maxPush is how large the message of a push is at the most, in bytes, unless it has one event only: what LiveStore's
// own clients keep to.
const maxPush = 900_000

// pushFrame is enough for what stands in the message around payload and events.
const pushFrame = 400

// Append adds the batch after the log's head, see [eventlog.Appender]. A batch of more than 900,000 bytes goes in
// several pushes; when one of the later ones fails, in whatever way, that is an [eventlog.AmbiguousError].
//
// What the app's onPush refuses is an errs.Invalid error, and a backend that was reset an errs.Refused one.
func (l *Log) Append(ctx context.Context, batch []livestore.Event) error {
	if err := l.usable(ctx); err != nil {
		return err
	}
	if err := eventlog.CheckBatch(batch); err != nil {
		return err
	}
	if l.backendID == "" { // a push without the id would be taken by a backend that was reset
		if err := l.introduce(ctx); err != nil {
			return err
		}
	}
	for sent := 0; sent < len(batch); {
		n, err := l.push(ctx, batch[sent:])
		switch {
		case err != nil && sent > 0:
			return &eventlog.AmbiguousError{Err: fmt.Errorf("%d of %d events are stored, then: %w", sent, len(batch), err)}
		case err != nil:
			return err
		}
		sent += n
	}
	l.advance(batch)
	return nil
}

// advance notes where the log goes now, for Head.
func (l *Log) advance(batch []livestore.Event) {
	if l.known.seq == batch[0].Parent.Global {
		l.known = place{seq: batch[len(batch)-1].Seq.Global, count: l.known.count + int64(len(batch))}
	}
}

// push sends as many of the events as one message holds, and returns how many those are.
func (l *Log) push(ctx context.Context, batch []livestore.Event) (int, error) {
	payload, err := l.payload(ctx)
	if err != nil {
		return 0, err
	}
	req := pushPayload{StoreID: l.opt.StoreID, Payload: payload, BackendID: option{l.backendID}}
	size := pushFrame + len(payload)
	for _, e := range batch {
		w := pushedEvent{Name: e.Name, Args: e.Args, SeqNum: e.Seq.Global, Parent: e.Parent.Global, ClientID: e.ClientID, SessionID: e.SessionID}
		text, err := encode(w)
		if err != nil {
			return 0, err
		}
		if size += len(text) + 1; size > maxPush && len(req.Batch) > 0 {
			break
		}
		req.Batch = append(req.Batch, w)
	}

	m, err := l.deliver(ctx, req)
	hidden := secretsOf(payload)
	switch {
	case err != nil:
		return 0, err
	case m.Tag == "Defect":
		l.dropPusher()
		_, text := causeText(m.Defect)
		return 0, l.pushFailed(ctx, batch[0], failure{kind: "Defect", text: text}, hidden)
	case m.Exit.Tag == "Success":
		return len(req.Batch), nil
	default:
		return 0, l.pushFailed(ctx, batch[0], readFailure(m.Exit.Cause), hidden)
	}
}

// introduce has the backend say its id.
func (l *Log) introduce(ctx context.Context) error {
	if !l.opt.HTTP {
		return l.newPull(0).run(ctx, func(page) bool { return false })
	}
	return l.retry(ctx, func() error {
		payload, err := l.payload(ctx)
		if err != nil {
			return err
		}
		return l.askID(ctx, pullPayload{StoreID: l.opt.StoreID, Payload: payload})
	})
}

// deliver sends a push once, and returns its Exit, or a Defect. An error that is not ambiguous says that the backend does
// not have it.
func (l *Log) deliver(ctx context.Context, req pushPayload) (*message, error) {
	if l.opt.HTTP {
		return l.postPush(ctx, req)
	}
	if l.pusher != nil && !l.pusher.alive(ctx) {
		l.dropPusher()
	}
	if l.pusher == nil {
		var err error
		if l.pusher, err = l.connect(ctx, req.Payload); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s := l.pusher
	s.secrets = secretsOf(req.Payload)
	m, err := s.push(ctx, req)
	if err != nil {
		l.dropPusher()
		return nil, l.unanswered(ctx, err, s.secrets)
	}
	return m, nil
}

// unanswered makes an error of a push whose answer did not come.
func (l *Log) unanswered(ctx context.Context, err error, hidden secrets) error {
	if ctx.Err() != nil {
		return &eventlog.AmbiguousError{Err: context.Cause(ctx)}
	}
	return &eventlog.AmbiguousError{Err: l.lost(err, hidden)}
}

// push returns the push's Exit, or a Defect. An error leaves open what became of it.
func (s *socket) push(ctx context.Context, req pushPayload) (*message, error) {
	c, err := s.send(ctx, "SyncWsRpc.Push", req)
	if err != nil {
		return nil, err
	}
	for {
		m, err := c.next(ctx)
		if err != nil || m.Tag != "Chunk" {
			return m, err
		}
	}
}

func (l *Log) dropPusher() {
	if l.pusher != nil {
		l.pusher.close()
		l.pusher = nil
	}
}

// pushFailed says what a refused push means. first is the first event of it.
func (l *Log) pushFailed(ctx context.Context, first livestore.Event, f failure, hidden secrets) error {
	text := hidden.cut(f.text)
	switch {
	case f.kind == "ServerAheadError":
		return &eventlog.AheadError{Head: f.head}
	case f.kind == "BackendIdMismatchError":
		return l.wasReset(l.backendID, f.id)
	case f.kind == "UnknownError" && strings.Contains(f.text, "UNIQUE constraint failed: eventlog_"):
		return &eventlog.AheadError{Head: -1} // two pushes overlapped, and 0.4.0 noticed only at the insert
	case f.kind == "UnknownError" && !f.stored:
		return l.refusedByApp(ctx, first, text)
	case f.kind == "Defect" && strings.HasPrefix(f.text, "Unknown request tag"):
		return errs.New(errs.Internal, "the sync backend does not know how to push: %s", text).At("%s", l.where).Hintf(versionHint)
	default:
		return &eventlog.AmbiguousError{Err: errs.New(errs.Internal, "the sync backend failed while storing: %s", text).At("%s", l.where).
			Hintf("look into the Worker's log")}
	}
}

// refusedByApp tells an onPush that threw, before anything was stored, from an onPushRes that threw afterwards: on the
// wire they are the same.
func (l *Log) refusedByApp(ctx context.Context, first livestore.Event, text string) error {
	refused := errs.Invalidf("the sync backend refused the events: %s", text).At("%s", l.where).
		Hintf("the app's onPush decides what may be pushed. " + tokenHint)
	for e, err := range l.Events(ctx, first.Parent) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return &eventlog.AmbiguousError{Err: fmt.Errorf("%w (and it can't be read: %w)", refused, err)}
		}
		if e.Seq.Global == first.Seq.Global && e.Name == first.Name && e.ClientID == first.ClientID && e.SessionID == first.SessionID {
			return &eventlog.AmbiguousError{Err: refused}
		}
		break
	}
	return refused
}
