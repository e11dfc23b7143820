package corrective_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// memory is a log in memory.
type memory []livestore.Event

func (m memory) Head(context.Context) (eventlog.Head, error) {
	last := m[len(m)-1].Seq
	return eventlog.Head{Confirmed: last.Global, Last: last, Events: int64(len(m))}, nil
}

func (m memory) Events(_ context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range m {
			if e.Seq.Compare(after) > 0 && !yield(e, nil) {
				return
			}
		}
	}
}

func (m memory) ClientOnly() bool { return false }
func (m memory) Close() error     { return nil }

var noon = time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)

// event is number n of a log, an hour after the one before.
func event(n int, client, session, name, args string) livestore.Event {
	return livestore.Event{
		Name: name, Args: json.RawMessage(args), ClientID: client, SessionID: session,
		Seq: livestore.ClientSeq{Global: livestore.SeqNum(n)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(n - 1)},
		CreatedAt: noon.Add(time.Duration(n) * time.Hour),
	}
}

func sample() memory {
	m := memory{
		event(1, "anna", "s.1-2-0", "v1.TodoCreated", `{"id":"a"}`),
		event(2, "ben", "s.1-3-0", "v1.TodoCreated", `{"id":"b","list":"x"}`),
		event(3, "cleo", "s", "v1.TodoCreated", `{"id":"c","list":"x"}`),
		event(4, "dora", "s", "v1.TodoCreated", `{"id":"d","list":"y"}`),
		event(5, "hg:00001_x:12345678", "hg:r:1", "v1.TodoTagged", `{"todoId":"b","n":1}`),
		event(6, "anna", "s.1-2-0", "v1.TodoRenamed", `{"id":"d"}`),
		event(7, "anna", "s.1-2-0", "v1.TodoRenamed", `{"id":"a"}`),
		event(8, "ben", "s.1-3-0", "v1.TodoRenamed", `{"id":"b"}`),
	}
	m[7].Pending, m[7].CreatedAt = true, time.Time{}
	return m
}

// census knows cleo on the bad release, and dora on a later one.
func census(client string) string {
	return map[string]string{"cleo": "1.3.0", "dora": "1.4.0", "anna": "1.3.0"}[client]
}

func assess(t *testing.T, s corrective.Selection) (corrective.Damage, error) {
	t.Helper()
	if err := s.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	read := int64(0)
	d, err := corrective.Assess(t.Context(), "s", sample(), s, census, func(n int64) { read += n })
	if err == nil && read != 8 {
		t.Errorf("progress was told of %d events", read)
	}
	return d, err
}

// TestRelease: a stamp of another release proves innocence, and nothing else does. What headgate committed is no release's.
func TestRelease(t *testing.T) {
	d, err := assess(t, corrective.Selection{Release: "1.3.0", Since: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := corrective.Damage{
		Store: "s", Head: 8, Read: 8, Events: corrective.Split{Proven: 2, Inferred: 1, Unknown: 1}, Pending: 1,
		First: livestore.ClientSeq{Global: 2}, Last: livestore.ClientSeq{Global: 8}, FirstAt: noon.Add(2 * time.Hour), LastAt: noon.Add(4 * time.Hour),
		Names: []corrective.Count{
			{Event: "v1.TodoCreated", Events: 3, First: livestore.ClientSeq{Global: 2}},
			{Event: "v1.TodoRenamed", Events: 1, First: livestore.ClientSeq{Global: 8}},
		},
		Writers: []corrective.Writer{
			{Client: "ben", Events: corrective.Split{Proven: 2}},
			{Client: "cleo", Events: corrective.Split{Inferred: 1}},
			{Client: "dora", Events: corrective.Split{Unknown: 1}},
		},
		Entities: 3,
		Dependents: []corrective.Count{
			{Event: "v1.TodoRenamed", Events: 1, First: livestore.ClientSeq{Global: 6}}, {Event: "v1.TodoTagged", Events: 1, First: livestore.ClientSeq{Global: 5}},
		},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReleaseAlone: where stamps are missing every event might be of the release.
func TestReleaseAlone(t *testing.T) {
	_, err := assess(t, corrective.Selection{Release: "1.3.0"})
	if errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" || !strings.Contains(err.Error(), "1 events of store s") {
		t.Errorf("error %v", err)
	}
	stamped, err := corrective.Assess(t.Context(), "s", sample()[:2], corrective.Selection{Release: "1.3.0"}, nil, func(int64) {})
	if err != nil || stamped.Events != (corrective.Split{Proven: 1}) {
		t.Errorf("%+v, error %v", stamped.Events, err)
	}
}

func TestConditions(t *testing.T) {
	for name, test := range map[string]struct {
		s    corrective.Selection
		want string // numbers of the first and last event, and how many
	}{
		"a name":             {corrective.Selection{Events: []string{"v1.TodoRenamed"}}, "e6 e8 3"},
		"an expression":      {corrective.Selection{Where: "args ->> 'list' = 'x'"}, "e2 e3 2"},
		"a number":           {corrective.Selection{Since: 7}, "e7 e8 2"},
		"a time":             {corrective.Selection{After: noon.Add(6 * time.Hour)}, "e6 e8 3"}, // a pending one has none, and counts
		"a client":           {corrective.Selection{Clients: []string{"anna", "dora"}}, "e1 e7 4"},
		"all of them":        {corrective.Selection{Events: []string{"v1.TodoCreated"}, Where: "seq < 4", Since: 2, Clients: []string{"ben"}}, "e2 e2 1"},
		"a prerelease stamp": {corrective.Selection{Release: "1.3.0-rc.1", Since: 1}, "e3 e4 2"}, // those that nobody stamped
	} {
		t.Run(name, func(t *testing.T) {
			d, err := assess(t, test.s)
			if got := fmt.Sprintf("%s %s %d", d.First, d.Last, d.Events.Total()); got != test.want || err != nil {
				t.Errorf("%s, error %v, want %s", got, err, test.want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for name, s := range map[string]corrective.Selection{"nothing": {}, "no SQL": {Where: "name ="}} {
		if err := s.Validate(t.Context()); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestNoTimes: a log without times can't be cut at one.
func TestNoTimes(t *testing.T) {
	log := sample()
	log[3].CreatedAt = time.Time{}
	_, err := corrective.Assess(t.Context(), "s", log, corrective.Selection{After: noon.Add(5 * time.Hour)}, nil, func(int64) {})
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(errs.As(err).Hint, "--since e4") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkAssess(b *testing.B) {
	log := make(memory, 100_000)
	for i := range log {
		log[i] = event(i+1, "anna", "s.1-3-0", "v1.TodoCreated", fmt.Sprintf(`{"id":"t%d","list":"x"}`, i))
	}
	for name, s := range map[string]corrective.Selection{
		"name": {Events: []string{"v1.TodoCreated"}}, "where": {Where: "args ->> 'list' = 'x'"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if d, err := corrective.Assess(b.Context(), "s", log, s, nil, func(int64) {}); err != nil || d.Events.Proven != 100_000 {
					b.Fatal(d.Events, err)
				}
			}
			b.ReportMetric(float64(len(log))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
