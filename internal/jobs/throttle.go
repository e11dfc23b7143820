package jobs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"headgate/internal/errs"
)

// A Probe says whether the stores can bear a migration now.
type Probe struct {
	// Ask returns why to hold, empty to go on, and how long not to ask again, 0 for Every. An error is a probe that failed.
	Ask     func(ctx context.Context) (hold string, wait time.Duration, err error)
	Every   time.Duration // between two questions
	Timeout time.Duration // of one
	Ignore  bool          // one that fails holds nothing
	// Said is called when a hold begins, with why, and with "" when it ends.
	Said func(hold string)
}

// A throttle is a Probe that is asked again and again. While it holds, no store is begun, and those under way stand still
// between two batches. It is safe for concurrent use.
type throttle struct {
	Probe
	mu   sync.Mutex
	hold string        // empty: go on
	open chan struct{} // closed while it does not hold
}

func newThrottle(p Probe) *throttle {
	t := &throttle{Probe: p, open: make(chan struct{})}
	close(t.open)
	return t
}

// run asks until the context ends. The first answer is there when asked is called.
func (t *throttle) run(ctx context.Context, asked func()) {
	for {
		wait := t.ask(ctx)
		if asked != nil {
			asked()
			asked = nil
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// ask asks once, and returns how long to wait until the next time.
func (t *throttle) ask(ctx context.Context) time.Duration {
	limited, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	hold, wait, err := t.Ask(limited)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil && t.Ignore:
		hold = ""
	case err != nil:
		hold = fmt.Sprintf("the probe failed: %v", err)
	}
	t.set(hold)
	return max(wait, t.Every)
}

func (t *throttle) set(hold string) {
	t.mu.Lock()
	was := t.hold
	t.hold = hold
	switch {
	case was == "" && hold != "":
		t.open = make(chan struct{})
	case was != "" && hold == "":
		close(t.open)
	}
	t.mu.Unlock()
	if (was == "") != (hold == "") {
		t.Said(hold)
	}
}

// holds reports whether it holds now.
func (t *throttle) holds() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hold != ""
}

// wait waits until it does not hold, and reports whether it did.
func (t *throttle) wait(ctx context.Context) (held bool, err error) {
	for t.holds() {
		held = true
		t.mu.Lock()
		open := t.open
		t.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return held, context.Cause(ctx)
		}
	}
	return held, nil
}

// Held asks a probe once: why to hold, empty to go on.
func (p Probe) Held(ctx context.Context) string {
	p.Said = func(string) {}
	t := newThrottle(p)
	t.ask(ctx)
	return t.hold
}

// check refuses a probe that can't be asked.
func (p Probe) check() error {
	if p.Ask == nil || p.Every <= 0 || p.Timeout <= 0 || p.Said == nil {
		return errs.New(errs.Internal, "the probe is not complete")
	}
	return nil
}
