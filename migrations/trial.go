package migrations

import (
	"context"
	"iter"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A Trial is a log as it would be: with the events after its own ones that previews would commit. So the migrations that
// come later are previewed on what the earlier ones leave. The log itself is only read, up to where it ended at first.
type Trial struct {
	eventlog.Reader
	head   eventlog.Head
	known  bool // head is read
	events []livestore.Event
}

// NewTrial makes a trial of a log, which stays the caller's to close.
func NewTrial(log eventlog.Reader) *Trial { return &Trial{Reader: log} }

func (t *Trial) base(ctx context.Context) (eventlog.Head, error) {
	if t.known {
		return t.head, nil
	}
	h, err := t.Reader.Head(ctx)
	t.head, t.known = h, err == nil
	return h, err
}

// Head is where the log ended at first, or the last event that was tried on it. No tried event is confirmed.
func (t *Trial) Head(ctx context.Context) (eventlog.Head, error) {
	h, err := t.base(ctx)
	if n := len(t.events); n > 0 {
		h.Last = t.events[n-1].Seq
		if h.Events >= 0 {
			h.Events += int64(n)
		}
	}
	return h, err
}

// Events streams the log up to where it ended at first, and then what was tried on it.
func (t *Trial) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		base, err := t.base(ctx)
		if err != nil {
			yield(livestore.Event{}, err)
			return
		}
		for e, err := range t.Reader.Events(ctx, after) {
			if err == nil && e.Seq.Compare(base.Last) > 0 {
				break
			}
			if !yield(e, err) {
				return
			}
		}
		for _, e := range t.events {
			if e.Seq.Compare(after) > 0 && !yield(e, nil) {
				return
			}
		}
	}
}

// add takes what a preview would commit. It is pending, so that no checkpoint holds it.
func (t *Trial) add(batch []livestore.Event) {
	for _, e := range batch {
		e.Pending = true
		t.events = append(t.events, e)
	}
}
