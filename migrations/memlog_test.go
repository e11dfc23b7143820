package migrations_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A memLog is a store whose backend does everything that a real one was seen to do, on demand: it stores a part of a
// batch, it does not answer, others write just before a push arrives.
type memLog struct {
	events []livestore.Event
	// before runs before a push is looked at; an error of fault is returned after stored events of the batch were kept.
	before func(m *memLog)
	fault  func(batch []livestore.Event) (stored int, err error)
	read   func(m *memLog) // runs before the log is read
	pushes int
}

var errKilled = errors.New("killed")

func (m *memLog) Head(context.Context) (eventlog.Head, error) {
	h := livestore.SeqNum(len(m.events))
	return eventlog.Head{Confirmed: h, Last: livestore.ClientSeq{Global: h}, BackendID: "mem", Events: int64(h)}, nil
}

func (m *memLog) ClientOnly() bool { return false }
func (m *memLog) Close() error     { return nil }

func (m *memLog) Events(_ context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	if m.read != nil {
		m.read(m)
	}
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range m.events[min(int(after.Global), len(m.events)):] {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (m *memLog) Append(_ context.Context, batch []livestore.Event) error {
	m.pushes++
	if m.before != nil {
		m.before(m)
	}
	if batch[0].Parent.Global != livestore.SeqNum(len(m.events)) {
		return &eventlog.AheadError{Head: livestore.SeqNum(len(m.events))}
	}
	stored, err := len(batch), error(nil)
	if m.fault != nil {
		stored, err = m.fault(batch)
	}
	m.events = append(m.events, batch[:stored]...)
	return err
}

// write appends an event as another client does.
func (m *memLog) write(name string, args any) {
	b, err := json.Marshal(args)
	if err != nil {
		panic(err)
	}
	n := livestore.SeqNum(len(m.events))
	m.events = append(m.events, livestore.Event{
		Name: name, Args: b, ClientID: "alice", SessionID: "static",
		Seq: livestore.ClientSeq{Global: n + 1}, Parent: livestore.ClientSeq{Global: n},
	})
}

func (m *memLog) create(id string) {
	m.write("v1.TodoCreated", map[string]any{"id": id, "text": "t", "createdAt": "2026-01-01T00:00:00.000Z"})
}

// ours returns the events that headgate committed, by their name and id, and fails where the log is no chain.
func (m *memLog) ours(t testing.TB) map[string]int {
	t.Helper()
	out := map[string]int{}
	for i, e := range m.events {
		if e.Seq.Global != livestore.SeqNum(i+1) || e.Parent.Global != livestore.SeqNum(i) {
			t.Fatalf("event %d is %s after %s", i, e.Seq, e.Parent)
		}
		if !slices.Contains([]string{"alice"}, e.ClientID) {
			var args struct{ ID string }
			if err := json.Unmarshal(e.Args, &args); err != nil {
				t.Fatal(err)
			}
			out[fmt.Sprintf("%s %s", e.Name, args.ID)]++
		}
	}
	return out
}
