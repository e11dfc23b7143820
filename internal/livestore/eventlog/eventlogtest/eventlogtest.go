// Package eventlogtest is the suite that every backend of eventlog passes. It knows no backend and no file.
package eventlogtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A Case is a log as a backend holds it.
type Case struct {
	// Open opens it anew.
	Open func(ctx context.Context) (eventlog.Reader, error)
	// Want is what the log holds, at least three events without a problem in their order.
	Want []livestore.Event
	// Head is what the log says of itself. Events -1 is not compared.
	Head eventlog.Head
	// ClientOnly is whether the source holds clientOnly events.
	ClientOnly bool
}

// Run runs the suite.
func Run(t *testing.T, c Case) {
	if len(c.Want) < 3 {
		t.Fatalf("the case has %d events, the suite needs three", len(c.Want))
	}
	open := func(t *testing.T) eventlog.Reader {
		t.Helper()
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
		return r
	}

	t.Run("streams everything, as often as asked", func(t *testing.T) {
		r := open(t)
		for range 2 {
			diff(t, "events", c.Want, Collect(t, r, livestore.ClientSeq{}))
		}
	})
	t.Run("arguments are compact JSON", func(t *testing.T) {
		for _, e := range Collect(t, open(t), livestore.ClientSeq{}) {
			var v any
			if err := json.Unmarshal(e.Args, &v); err != nil {
				t.Errorf("event %s: arguments: %v", e.Seq, err)
			}
		}
	})
	t.Run("starts after any place", func(t *testing.T) {
		r := open(t)
		for i, e := range c.Want {
			diff(t, fmt.Sprintf("events after %s", e.Seq), c.Want[i+1:], Collect(t, r, e.Seq))
		}
	})
	t.Run("can be left and begun again", func(t *testing.T) {
		r := open(t)
		for e, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "first event", c.Want[0], e)
			break
		}
		diff(t, "events", c.Want, Collect(t, r, livestore.ClientSeq{}))
	})
	t.Run("a sequence inside a sequence", func(t *testing.T) {
		r := open(t)
		n := 0
		for e, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if n > 2 {
				break
			}
			if _, err := r.Head(t.Context()); err != nil {
				t.Fatalf("Head: %v", err)
			}
			diff(t, "inner events", c.Want[n:], Collect(t, r, e.Seq))
		}
	})
	t.Run("head", func(t *testing.T) {
		r := open(t)
		got, err := r.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := c.Head
		if got.Events == -1 {
			want.Events = -1
		}
		diff(t, "head", want, got)
		if r.ClientOnly() != c.ClientOnly {
			t.Errorf("ClientOnly() = %v", r.ClientOnly())
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		r := open(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n := 0
		var last error
		for _, err := range r.Events(ctx, livestore.ClientSeq{}) {
			n++
			last = err
		}
		if n != 1 || !errors.Is(last, context.Canceled) {
			t.Errorf("got %d elements and the error %v, want one, context.Canceled", n, last)
		}
	})
	t.Run("refuses to read after Close", func(t *testing.T) {
		r, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
		}
		for _, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
			if err == nil {
				t.Error("an event after Close")
			}
		}
	})
	t.Run("no problems", func(t *testing.T) {
		events := open(t).Events(t.Context(), livestore.ClientSeq{})
		for _, err := range eventlog.Check(livestore.ClientSeq{}, events, func(p eventlog.Problem) { t.Errorf("problem: %s", p) }) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Collect reads all events after a place and fails the test on an error.
func Collect(t testing.TB, r eventlog.Reader, after livestore.ClientSeq) []livestore.Event {
	t.Helper()
	all := []livestore.Event{}
	for e, err := range r.Events(t.Context(), after) {
		if err != nil {
			t.Fatalf("Events after %s: %v", after, err)
		}
		all = append(all, e)
	}
	return all
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}
