package eventlogtest_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAppenderSuite shows that the suite can be passed, with the smallest log that does.
func TestAppenderSuite(t *testing.T) {
	var mu sync.Mutex
	stores := map[livestore.StoreID]*memory{}
	eventlogtest.RunAppender(t, func(_ *testing.T, store livestore.StoreID) eventlog.Appender {
		mu.Lock()
		defer mu.Unlock()
		if stores[store] == nil {
			stores[store] = &memory{}
		}
		return &handle{log: stores[store]}
	})
}

type memory struct {
	mu     sync.Mutex
	events []livestore.Event
}

func (m *memory) after(n livestore.SeqNum) []livestore.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[min(max(int(n), 0), len(m.events)):]
}

type handle struct {
	log    *memory
	closed bool
}

func (h *handle) ClientOnly() bool { return false }

func (h *handle) Close() error {
	h.closed = true
	return nil
}

func (h *handle) Head(ctx context.Context) (eventlog.Head, error) {
	n := len(h.log.after(0))
	last := livestore.ClientSeq{Global: livestore.SeqNum(n)}
	return eventlog.Head{Confirmed: last.Global, Last: last, Events: int64(n)}, ctx.Err()
}

func (h *handle) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		if h.closed || ctx.Err() != nil {
			yield(livestore.Event{}, errors.Join(errs.Invalidf("closed"), ctx.Err()))
			return
		}
		for _, e := range h.log.after(after.Global) {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (h *handle) Append(ctx context.Context, batch []livestore.Event) error {
	if h.closed || ctx.Err() != nil {
		return errors.Join(errs.Invalidf("closed"), ctx.Err())
	}
	if err := eventlog.CheckBatch(batch); err != nil {
		return err
	}
	h.log.mu.Lock()
	defer h.log.mu.Unlock()
	if head := livestore.SeqNum(len(h.log.events)); batch[0].Parent.Global != head {
		return &eventlog.AheadError{Head: head}
	}
	h.log.events = append(h.log.events, batch...)
	return nil
}
