package eventlogtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// event is one event of a gapless log.
func event(seq livestore.SeqNum, client, args string) livestore.Event {
	return livestore.Event{
		Name: "v1.TodoCreated", Args: json.RawMessage(args), ClientID: client, SessionID: "suite",
		Seq: livestore.ClientSeq{Global: seq}, Parent: livestore.ClientSeq{Global: seq - 1},
	}
}

// chain is n events from first on, each with a text of some size bytes that is its own.
func chain(first livestore.SeqNum, n int, client string, size int) []livestore.Event {
	batch := make([]livestore.Event, n)
	for i := range batch {
		seq := first + livestore.SeqNum(i)
		batch[i] = event(seq, client, fmt.Sprintf(`{"id":"%d","text":"%s"}`, seq, strings.Repeat("x", size)))
	}
	return batch
}

// sized is an event whose JSON has size bytes as LiveStore counts them: UTF-8, no HTML escapes. It holds what
// encoding/json would write longer.
func sized(seq livestore.SeqNum, size int) livestore.Event {
	const odd = "<&>😀é\u2028"
	e := event(seq, "writer", "")
	rest := size - len(fmt.Sprintf(`{"name":"%s","args":{"text":"%s"},"seqNum":%d,"parentSeqNum":%d,"clientId":"%s","sessionId":"%s"}`,
		e.Name, odd, e.Seq.Global, e.Parent.Global, e.ClientID, e.SessionID))
	e.Args = json.RawMessage(`{"text":"` + odd + strings.Repeat("x", rest) + `"}`)
	return e
}

func mustAppend(t *testing.T, a eventlog.Appender, batch []livestore.Event) {
	t.Helper()
	if err := a.Append(t.Context(), batch); err != nil {
		t.Fatalf("Append of %d events from %s on: %v", len(batch), batch[0].Seq, err)
	}
}

// wantAhead appends a batch that must be refused because the log ends at head.
func wantAhead(t *testing.T, a eventlog.Appender, batch []livestore.Event, head livestore.SeqNum) {
	t.Helper()
	err := a.Append(t.Context(), batch)
	var ahead *eventlog.AheadError
	if !errors.As(err, &ahead) {
		t.Errorf("Append after %s: error %v, want an AheadError: the head is e%d", batch[0].Parent, err, head)
		return
	}
	if ahead.Head != head && ahead.Head != -1 {
		t.Errorf("Append after %s: the AheadError's head is e%d, want e%d or -1", batch[0].Parent, ahead.Head, head)
	}
}

// wantHead checks the head of a log without pending events.
func wantHead(t *testing.T, r eventlog.Reader, seq livestore.SeqNum) {
	t.Helper()
	got, err := r.Head(t.Context())
	if err != nil {
		t.Fatalf("Head: %v", err)
	}
	if got.Confirmed != seq || got.Last != (livestore.ClientSeq{Global: seq}) {
		t.Errorf("Head is e%d, last %s, want e%d for both", got.Confirmed, got.Last, seq)
	}
	if got.Events != -1 && got.Events != int64(seq) {
		t.Errorf("Head counts %d events, want %d or -1", got.Events, seq)
	}
}

// wantEvents reads what follows a place.
func wantEvents(t *testing.T, r eventlog.Reader, after livestore.ClientSeq, want []livestore.Event) {
	t.Helper()
	sameEvents(t, want, Collect(t, r, after))
}

// sameEvents compares what was appended with what was read: arguments as JSON values, since JavaScript or a database
// stands between. Times are the backend's.
func sameEvents(t *testing.T, want, got []livestore.Event) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("read %d events, want %d", len(got), len(want))
	}
	for i := range min(len(want), len(got)) {
		w, g := plain(t, want[i]), plain(t, got[i])
		if reflect.DeepEqual(w, g) { // cmp takes seconds for a large event
			continue
		}
		if d := cmp.Diff(w, g); d != "" {
			if len(d) > 2000 {
				d = d[:2000] + " …"
			}
			t.Fatalf("event %s (-appended +read):\n%s", want[i].Seq, d)
		}
	}
}

// plain returns an event without its time, its arguments in one form.
func plain(t *testing.T, e livestore.Event) livestore.Event {
	t.Helper()
	var v any
	if err := json.Unmarshal(e.Args, &v); err != nil {
		t.Fatalf("event %s: its arguments are not JSON: %v", e.Seq, err)
	}
	args, err := json.Marshal(v) // sorts the keys
	if err != nil {
		t.Fatal(err)
	}
	e.Args = args
	e.CreatedAt = time.Time{}
	return e
}
