package cflog

import (
	"context"
	"iter"

	"headgate/internal/livestore"
)

// Events streams the events after the given place. Only its global number counts: a backend has no others. What is
// appended while it reads may or may not come.
func (l *Log) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		if err := l.usable(ctx); err != nil {
			yield(livestore.Event{}, err)
			return
		}
		left := false
		err := l.newPull(after.Global).run(ctx, func(p page) bool {
			for _, got := range p.events {
				var err error
				if got.bad != nil {
					err = got.bad
				}
				if left = !yield(got.event, err); left {
					return false
				}
			}
			return true
		})
		if err != nil && !left {
			yield(livestore.Event{}, err)
		}
	}
}

// A page is one answer of a pull, without what came before.
type page struct {
	events    []pulled
	remaining int64 // how many events there were after these when the pull began
}

// A pull reads everything after a place, over as many connections as it takes.
//
// The backend also sends each push that happens meanwhile, at once, as if it were a page of the pull, and says nowhere
// which is which. Such a broadcast is the end of the log, so it says that no more follows, and before the pull has
// come that far it does not continue what was read. It is left out then: a page will bring it, or the next read. In a
// log with a gap the last page looks the same. It is missing when the pull ends, and a second pull from there begins
// with it. Over HTTP there are no broadcasts, and every page is taken.
type pull struct {
	log     *Log
	last    livestore.SeqNum // the greatest number so far
	cursor  bool             // false: from the very start, numbers below 1 included
	trust   bool             // take the first page as it is
	moved   bool             // a page came over this connection
	got     int64            // events over this connection
	total   int64            // what the first page announced, -1 before it
	skipped bool             // something was left out
	left    bool             // visit wants no more
}

func (l *Log) newPull(after livestore.SeqNum) *pull {
	return &pull{log: l, last: after, cursor: after != 0}
}

// run hands over page after page until there is no more or visit returns false.
func (p *pull) run(ctx context.Context, visit func(page) bool) error {
	tries := p.log.newTries()
	for {
		p.moved, p.got, p.total, p.skipped = false, 0, -1, false
		err := p.once(ctx, visit)
		switch {
		case err == nil && !p.left && p.skipped && p.got < max(p.total, 1):
			p.trust = true
			continue
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if p.moved {
			tries.failed = 0
		}
		if err := tries.again(ctx, err); err != nil {
			return err
		}
	}
}

func (p *pull) once(ctx context.Context, visit func(page) bool) error {
	l := p.log
	payload, err := l.payload(ctx)
	if err != nil {
		return err
	}
	req := pullPayload{StoreID: l.opt.StoreID, Payload: payload}
	x, err := l.pull(ctx, req, p)
	if err != nil {
		return err
	}
	defer x.close()
	for {
		chunk, err := l.chunk(ctx, x, secretsOf(payload))
		if err != nil || chunk == nil {
			return err
		}
		if err := x.ack(ctx); err != nil { // before the page is used, so that the next one is under way
			return l.lost(err, secretsOf(payload))
		}
		for i := range chunk.Values {
			if pg, ok := p.accept(&chunk.Values[i]); ok && !visit(pg) {
				p.left = true
				return nil
			}
		}
	}
}

// An exchange is one call that was sent, and its answer.
type exchange interface {
	// next returns the next message of the answer: a Chunk, an Exit or a Defect. A *protocolError says that there is
	// none, and something else instead.
	next(ctx context.Context) (*message, error)
	// ack asks for the next page.
	ack(ctx context.Context) error
	close()
}

// pull begins to read from where p stands.
func (l *Log) pull(ctx context.Context, req pullPayload, p *pull) (exchange, error) {
	if l.opt.HTTP {
		if p.cursor && l.backendID == "" {
			if err := l.askID(ctx, req); err != nil {
				return nil, err
			}
		}
		req.Cursor = p.place()
		return l.post(ctx, "SyncHttpRpc.Pull", req.Payload, req, pullAnswers*l.opt.Timeout)
	}
	s, err := l.dial(ctx, req.Payload)
	if err != nil {
		return nil, err
	}
	if p.cursor && l.backendID == "" {
		if err := s.learn(ctx, req); err != nil {
			s.close()
			return nil, err
		}
	}
	req.Cursor = p.place()
	c, err := s.send(ctx, "SyncWsRpc.Pull", req)
	if err != nil {
		s.close()
		return nil, l.lost(err, s.secrets)
	}
	return c, nil
}

// place is what the backend is told to begin after. It needs the backend's id.
func (p *pull) place() option {
	if !p.cursor {
		return option{}
	}
	return option{cursor{BackendID: p.log.backendID, SeqNum: p.last}}
}

// learn has the backend say its id, which any answer has.
func (s *socket) learn(ctx context.Context, req pullPayload) error {
	c, err := s.send(ctx, "SyncWsRpc.Pull", req)
	if err != nil {
		return s.log.lost(err, s.secrets)
	}
	if _, err := s.log.chunk(ctx, c, s.secrets); err != nil {
		return err
	}
	if s.log.backendID == "" {
		return s.log.lost(&protocolError{"no page at all"}, s.secrets)
	}
	if err := s.write(ctx, control{Tag: "Interrupt", RequestID: c.id}); err != nil {
		return s.log.lost(err, s.secrets)
	}
	return nil
}

// chunk returns a pull's next answer, nil after the last.
func (l *Log) chunk(ctx context.Context, x exchange, hidden secrets) (*message, error) {
	m, err := x.next(ctx)
	switch {
	case err != nil:
		return nil, l.lost(err, hidden)
	case m.Tag == "Defect":
		_, text := causeText(m.Defect)
		return nil, l.pullFailed(failure{kind: "Defect", text: text}, hidden)
	case m.Tag == "Exit" && m.Exit.Tag == "Success":
		return nil, nil
	case m.Tag == "Exit":
		return nil, l.pullFailed(readFailure(m.Exit.Cause), hidden)
	}
	for _, v := range m.Values {
		if v.BackendID == "" {
			return nil, l.lost(&protocolError{"a page without the backend's id"}, hidden)
		}
		if err := l.remember(v.BackendID); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// accept takes an answer in, unless it is a broadcast that came too early.
func (p *pull) accept(r *pullResponse) (page, bool) {
	all := r.events(p.log.where)
	if len(all) > 0 && r.PageInfo.Tag == "NoMore" && !p.trust && !p.log.opt.HTTP && !p.continues(all[0]) {
		p.skipped = true
		return page{}, false
	}
	p.trust, p.moved = false, true
	if p.total < 0 {
		p.total = int64(len(all)) + r.PageInfo.Remaining
	}
	p.got += int64(len(all))
	fresh := all[:0]
	for _, e := range all {
		unplaced := e.bad != nil && e.event.Seq == livestore.ClientSeq{}
		if p.cursor && !unplaced && e.event.Seq.Global <= p.last {
			continue // a broadcast brought it
		}
		fresh = append(fresh, e)
		if !unplaced {
			p.last, p.cursor = e.event.Seq.Global, true
		}
	}
	return page{events: fresh, remaining: r.PageInfo.Remaining}, true
}

// continues reports whether an event follows what was read.
func (p *pull) continues(e pulled) bool {
	return e.bad != nil || e.event.Seq.Global <= p.last+1 || e.event.Parent.Global == p.last
}
