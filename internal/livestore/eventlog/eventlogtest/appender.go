package eventlogtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// RunAppender runs the suite for logs that can be appended to, and [Run] over what it appended.
//
// open returns a new handle on the log of a store, and fails the test where it can't. A store that was never opened
// is empty. Two handles on one store are two writers of the same log. The suite closes what it opens. Store IDs are
// made up anew in each run, at most 20 characters of A-Z, 0-9 and '-', so one backend can serve many runs.
func RunAppender(t *testing.T, open func(t *testing.T, store livestore.StoreID) eventlog.Appender) {
	s := appenderSuite{open: open}
	t.Run("an empty store", s.empty)
	t.Run("appends and reads back", s.appends)
	t.Run("reads as any log", s.reads)
	t.Run("tails from a cursor", s.tails)
	t.Run("a writer that is behind", s.conflict)
	t.Run("the same events twice", s.twice)
	t.Run("batches that it must refuse", s.refuses)
	t.Run("the largest event", s.largest)
	t.Run("two writers race", s.race)
	t.Run("reads while another writes", s.readsBesideWriter)
	t.Run("memory is flat", s.memory)
	t.Run("ends with its context", s.context)
	t.Run("refuses to append after Close", s.closed)
}

type appenderSuite struct {
	open func(t *testing.T, store livestore.StoreID) eventlog.Appender
}

// handles opens n handles on a new store.
func (s appenderSuite) handles(t *testing.T, n int) []eventlog.Appender {
	t.Helper()
	store := newStore()
	all := make([]eventlog.Appender, n)
	for i := range all {
		a := s.open(t, store)
		all[i] = a
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	return all
}

func newStore() livestore.StoreID { return livestore.StoreID("suite-" + rand.Text()[:12]) }

func (s appenderSuite) empty(t *testing.T) {
	a := s.handles(t, 1)[0]
	wantHead(t, a, 0)
	wantEvents(t, a, livestore.ClientSeq{}, nil)
	if a.ClientOnly() {
		t.Error("ClientOnly() = true, a backend has no clientOnly events")
	}
}

// awkward is what arguments may be. Numbers are such that a double holds them: JavaScript stands between.
func awkward() []string {
	return []string{
		`{"id":"a","text":"hello"}`,
		`null`, `{}`, `[]`, `""`, `true`, `0`, `-1.5`, `1e+21`, `9007199254740991`, `0.1`,
		`{"text":"héllo ✓ 😀 𝒳 \u2028 <b>&amp;</b> \"quoted\" back\\slash \n\t\u0001"}`,
		`{"10":"integer-like keys","2":["a",{"b":null}],"":"","😀":{"z":1,"a":[[[]]]}}`,
		`"\ud83d\ude00 as an escape"`,
		`{"text":"` + strings.Repeat("0123456789", 200) + `"}`,
	}
}

func (s appenderSuite) appends(t *testing.T) {
	both := s.handles(t, 2)
	var want []livestore.Event
	for _, args := range awkward() {
		want = append(want, event(livestore.SeqNum(len(want)+1), "writer", args))
	}
	n := len(want)
	want = append(want, chain(livestore.SeqNum(n+1), eventlog.MaxBatchEvents, "writer", 10)...)
	for _, b := range [][2]int{{0, 1}, {1, n}, {n, len(want)}} {
		mustAppend(t, both[0], want[b[0]:b[1]])
		for _, a := range both { // who wrote and who only reads
			wantHead(t, a, livestore.SeqNum(b[1]))
		}
	}
	for _, a := range both {
		wantEvents(t, a, livestore.ClientSeq{}, want)
	}
}

func (s appenderSuite) reads(t *testing.T) {
	store := newStore()
	a := s.open(t, store)
	var batch []livestore.Event
	for i, args := range awkward() {
		batch = append(batch, event(livestore.SeqNum(i+1), "writer", args))
	}
	mustAppend(t, a, batch)
	head, err := a.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Collect(t, a, livestore.ClientSeq{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	Run(t, Case{
		Open: func(context.Context) (eventlog.Reader, error) { return s.open(t, store), nil },
		Want: want,
		Head: eventlog.Head{
			Confirmed: livestore.SeqNum(len(batch)), Last: batch[len(batch)-1].Seq,
			BackendID: head.BackendID, Events: int64(len(batch)),
		},
	})
}

func (s appenderSuite) tails(t *testing.T) {
	both := s.handles(t, 2)
	writer, reader := both[0], both[1]
	var at livestore.ClientSeq
	for _, n := range []int{3, 1, 40} {
		batch := chain(at.Global+1, n, "writer", 10)
		mustAppend(t, writer, batch)
		wantEvents(t, reader, at, batch)
		at = batch[n-1].Seq
		wantEvents(t, reader, at, nil)
	}
	wantEvents(t, reader, livestore.ClientSeq{Global: at.Global + 100}, nil)
	// A client's log has places that a backend's has not: after a clientOnly event the next synced one follows.
	wantEvents(t, reader, livestore.ClientSeq{Global: at.Global - 1, Client: 2}, chain(at.Global, 1, "writer", 10))
}

func (s appenderSuite) conflict(t *testing.T) {
	both := s.handles(t, 2)
	first, late := both[0], both[1]
	log := chain(1, 2, "first", 10)
	mustAppend(t, first, log)
	wantAhead(t, late, chain(1, 3, "late", 10), 2)
	wantAhead(t, late, chain(2, 1, "late", 10), 2)
	wantAhead(t, late, chain(11, 1, "late", 10), 2) // beyond the head: the log would have a gap
	wantEvents(t, late, livestore.ClientSeq{}, log)
	mustAppend(t, late, chain(3, 2, "late", 10))
	log = append(log, chain(3, 2, "late", 10)...)
	wantAhead(t, first, chain(3, 1, "first", 10), 4)
	for _, a := range both {
		wantEvents(t, a, livestore.ClientSeq{}, log)
		wantHead(t, a, 4)
	}
}

func (s appenderSuite) twice(t *testing.T) {
	a := s.handles(t, 1)[0]
	batch := chain(1, 3, "writer", 10)
	mustAppend(t, a, batch)
	wantAhead(t, a, batch, 3)
	wantEvents(t, a, livestore.ClientSeq{}, batch)
}

func (s appenderSuite) refuses(t *testing.T) {
	a := s.handles(t, 1)[0]
	log := chain(1, 2, "writer", 10)
	mustAppend(t, a, log)
	with := func(change func(batch []livestore.Event)) []livestore.Event {
		batch := chain(3, 3, "writer", 10)
		change(batch)
		return batch
	}
	for name, batch := range map[string][]livestore.Event{
		"no events":          {},
		"one too many":       chain(3, eventlog.MaxBatchEvents+1, "writer", 10),
		"a gap":              with(func(b []livestore.Event) { b[2].Seq.Global, b[2].Parent.Global = 6, 5 }),
		"a gap at the start": with(func(b []livestore.Event) { b[0].Parent.Global = 1 }),
		"the same number":    with(func(b []livestore.Event) { b[1] = b[0] }),
		"descending":         with(func(b []livestore.Event) { b[1], b[2] = b[2], b[1] }),
		"another parent":     with(func(b []livestore.Event) { b[1].Parent.Global = 1 }),
		"the root":           chain(0, 3, "writer", 10),
		"a clientOnly event": with(func(b []livestore.Event) { b[2].Seq, b[2].Parent = livestore.ClientSeq{Global: 4, Client: 1}, b[1].Seq }),
		"beyond JavaScript":  chain(1<<53, 1, "writer", 10),
		"not JSON":           with(func(b []livestore.Event) { b[1].Args = json.RawMessage(`{"a":`) }),
		"no arguments":       with(func(b []livestore.Event) { b[1].Args = nil }),
		"not UTF-8":          with(func(b []livestore.Event) { b[1].Args = json.RawMessage("\"\xff\"") }),
		"a name not UTF-8":   with(func(b []livestore.Event) { b[1].Name = "\xff" }),
		"too large":          with(func(b []livestore.Event) { b[2] = sized(5, eventlog.MaxEventBytes+1) }),
	} {
		err := a.Append(t.Context(), batch)
		var ahead *eventlog.AheadError
		var ambiguous *eventlog.AmbiguousError
		if errs.As(err) == nil || errors.As(err, &ahead) || errors.As(err, &ambiguous) {
			t.Errorf("%s: error %v, want an *errs.Error that says what is wrong with the batch", name, err)
		}
	}
	wantHead(t, a, 2)
	wantEvents(t, a, livestore.ClientSeq{}, log)
}

func (s appenderSuite) largest(t *testing.T) {
	both := s.handles(t, 2)
	batch := []livestore.Event{sized(1, eventlog.MaxEventBytes), sized(2, 1000), sized(3, eventlog.MaxEventBytes)}
	mustAppend(t, both[0], batch)
	wantEvents(t, both[1], livestore.ClientSeq{}, batch)
	wantHead(t, both[1], 3)
}

// A racer appends n events of its own, two at a time, and numbers them anew whenever the other was faster.
func racer(ctx context.Context, a eventlog.Appender, name string, n int) error {
	var head livestore.SeqNum
	for done := 0; done < n; {
		size := min(2, n-done)
		batch := chain(head+1, size, name, 10)
		for i := range batch {
			batch[i].Args = json.RawMessage(fmt.Sprintf("%d", done+i))
		}
		err := a.Append(ctx, batch)
		var ahead *eventlog.AheadError
		switch {
		case err == nil:
			done, head = done+size, head+livestore.SeqNum(size)
			continue
		case !errors.As(err, &ahead):
			return fmt.Errorf("%s: append after e%d: %w", name, head, err)
		}
		for e, err := range a.Events(ctx, livestore.ClientSeq{Global: head}) {
			if err != nil {
				return fmt.Errorf("%s: read after e%d: %w", name, head, err)
			}
			if e.ClientID == name && string(e.Args) == fmt.Sprint(done) {
				return fmt.Errorf("%s: %s was refused because the log ends at e%d, and stored", name, e.Seq, ahead.Head)
			}
			head = e.Seq.Global
		}
	}
	return nil
}

func (s appenderSuite) race(t *testing.T) {
	const each = 41
	names := []string{"left", "right"}
	both := s.handles(t, 2)
	failed := make([]error, 2)
	var wg sync.WaitGroup
	for i, a := range both {
		wg.Go(func() { failed[i] = racer(t.Context(), a, names[i], each) })
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
	next := map[string]int{}
	events := both[0].Events(t.Context(), livestore.ClientSeq{})
	for e, err := range eventlog.Check(livestore.ClientSeq{}, events, func(p eventlog.Problem) { t.Errorf("problem: %s", p) }) {
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint(next[e.ClientID]); string(e.Args) != want {
			t.Errorf("%s of %s is its event %s, want its event %s", e.Seq, e.ClientID, e.Args, want)
		}
		next[e.ClientID]++
	}
	for _, name := range names {
		if next[name] != each {
			t.Errorf("%d events of %s, want %d", next[name], name, each)
		}
	}
	wantHead(t, both[1], 2*each)
}

func (s appenderSuite) readsBesideWriter(t *testing.T) {
	const before, beside = 500, 20
	both := s.handles(t, 2)
	writer, reader := both[0], both[1]
	var log []livestore.Event
	for len(log) < before {
		batch := chain(livestore.SeqNum(len(log)+1), eventlog.MaxBatchEvents, "writer", 10)
		mustAppend(t, writer, batch)
		log = append(log, batch...)
	}
	started, failed := make(chan struct{}), make(chan error, 1)
	more := chain(before+1, beside, "writer", 10)
	go func() {
		select {
		case <-started: // the pull is under way, and only its first page is read
		case <-t.Context().Done():
			return
		}
		for i := range more {
			if err := writer.Append(t.Context(), more[i:i+1]); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	log = append(log, more...)
	var got []livestore.Event
	for e, err := range reader.Events(t.Context(), livestore.ClientSeq{}) {
		if len(got) == 0 {
			close(started)
		}
		if err != nil {
			t.Error(err)
			break
		}
		if got = append(got, e); len(got) == 10 { // everything is written while most of the pages are unread
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	}
	if len(got) < before || len(got) > len(log) {
		t.Fatalf("read %d events, there were %d and then %d", len(got), before, len(log))
	}
	sameEvents(t, log[:len(got)], got)
	wantEvents(t, reader, got[len(got)-1].Seq, log[len(got):])
}

// memory reads a log of some 10 MB and lets the consumer look at the live heap, page after page.
func (s appenderSuite) memory(t *testing.T) {
	const n, size, allowed = 5000, 2000, 5 << 20
	both := s.handles(t, 2)
	for at := 0; at < n; at += eventlog.MaxBatchEvents {
		mustAppend(t, both[0], chain(livestore.SeqNum(at+1), eventlog.MaxBatchEvents, "writer", size))
	}
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	wantHead(t, both[1], n) // what is only allocated once
	before, most := live(), int64(0)
	seen := 0
	for e, err := range both[1].Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; e.Seq.Global != livestore.SeqNum(seen) {
			t.Fatalf("event %d is %s", seen, e.Seq)
		}
		if seen%(n/10) == 0 {
			most = max(most, live()-before)
		}
	}
	if seen != n {
		t.Errorf("read %d events, want %d", seen, n)
	}
	t.Logf("most live heap: %d kB above %d kB, for a log of %d kB", most>>10, before>>10, n*size>>10)
	if most > allowed {
		t.Errorf("reading held %d kB, want at most %d kB", most>>10, allowed>>10)
	}
}

func (s appenderSuite) context(t *testing.T) {
	a := s.handles(t, 1)[0]
	mustAppend(t, a, chain(1, 1, "writer", 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := a.Append(ctx, chain(2, 1, "writer", 10))
	var ambiguous *eventlog.AmbiguousError
	if !errors.Is(err, context.Canceled) || errors.As(err, &ambiguous) {
		t.Errorf("error %v, want context.Canceled and not ambiguous: nothing was sent", err)
	}
	if _, err := a.Head(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Head: error %v, want context.Canceled", err)
	}
	wantHead(t, a, 1)
	mustAppend(t, a, chain(2, 1, "writer", 10)) // the handle still works
}

func (s appenderSuite) closed(t *testing.T) {
	store := newStore()
	a := s.open(t, store)
	mustAppend(t, a, chain(1, 1, "writer", 10))
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	if err := a.Append(t.Context(), chain(2, 1, "writer", 10)); err == nil {
		t.Error("Append after Close: no error")
	}
	again := s.open(t, store)
	wantHead(t, again, 1)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}
