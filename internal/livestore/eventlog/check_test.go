package eventlog_test

import (
	"errors"
	"iter"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// chain reads "1<0 1.1<1 2<1": events with their parents. "!3" is a malformed event.
func chain(t *testing.T, s string) iter.Seq2[livestore.Event, error] {
	t.Helper()
	seq := func(s string) livestore.ClientSeq {
		global, client, _ := strings.Cut(s, ".")
		g, err := strconv.ParseInt(global, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := strconv.ParseInt(client, 10, 64)
		return livestore.ClientSeq{Global: livestore.SeqNum(g), Client: c}
	}
	return func(yield func(livestore.Event, error) bool) {
		for word := range strings.FieldsSeq(s) {
			if bad, ok := strings.CutPrefix(word, "!"); ok {
				e := livestore.Event{Seq: seq(bad), Name: "n"}
				if !yield(e, &eventlog.Malformed{Seq: e.Seq, Err: errs.Invalidf("not JSON")}) {
					return
				}
				continue
			}
			own, parent, _ := strings.Cut(word, "<")
			if !yield(livestore.Event{Seq: seq(own), Parent: seq(parent), Name: "n"}, nil) {
				return
			}
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, log string
		after     livestore.ClientSeq
		want      []string
	}{
		{name: "empty"},
		{name: "whole", log: "1<0 1.1<1 1.2<1.1 2<1 3<2 3.1<3"},
		{name: "clientOnly before any synced event", log: "0.1<0 0.2<0.1 1<0"},
		{name: "goes on after a place", log: "5<4 6<5", after: livestore.ClientSeq{Global: 4, Client: 2}},
		{name: "gap at the start", log: "3<2", want: []string{"e3: gap, 2 missing after e0"}},
		{name: "gap", log: "1<0 4<3 5<4", want: []string{"e4: gap, 2 missing after e1"}},
		{name: "numbers left out in a whole chain", log: "1<0 10<1", want: []string{"e10: gap, 8 missing after e1"}},
		{name: "gap and broken parent", log: "1<0 9<5", want: []string{
			"e9: gap, 7 missing after e1",
			"e9: broken parent chain, it names e5 as its parent, the event before it is e1",
		}},
		{name: "clientOnly gap", log: "1<0 1.3<1.2", want: []string{"e1.3: gap, 2 missing after e1"}},
		{name: "clientOnly after a missing event", log: "1<0 2.1<2", want: []string{"e2.1: gap, 1 missing after e1"}},
		{name: "duplicate", log: "1<0 2<1 2<1 3<2", want: []string{"e2: duplicate, the event before it has the same number"}},
		{name: "out of order", log: "1<0 3<2 2<1 4<3", want: []string{
			"e3: gap, 1 missing after e1", "e2: out of order, it comes after e3",
		}},
		{name: "the root as an event", log: "0<0 1<0", want: []string{"e0: out of order, it comes after e0"}},
		{name: "broken parent", log: "1<0 2<0 3<2", want: []string{
			"e2: broken parent chain, it names e0 as its parent, the event before it is e1",
		}},
		{name: "a clientOnly parent of a synced event", log: "1<0 1.1<1 2<1.1", want: []string{
			"e2: broken parent chain, it names e1.1 as its parent, the event before it is e1",
		}},
		{name: "malformed", log: "1<0 !2 3<2", want: []string{"e2: malformed, not JSON"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			n := 0
			events := eventlog.Check(test.after, chain(t, test.log), func(p eventlog.Problem) { got = append(got, p.String()) })
			for _, err := range events {
				var bad *eventlog.Malformed
				if err != nil && !errors.As(err, &bad) {
					t.Fatal(err)
				}
				n++
			}
			if want := len(strings.Fields(test.log)); n != want {
				t.Errorf("%d events were passed on, want all %d", n, want)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("problems (-want +got):\n%s", d)
			}
		})
	}
}

func TestCheckStopsWithItsConsumer(t *testing.T) {
	for range eventlog.Check(livestore.ClientSeq{}, chain(t, "1<0 !2 3<2"), func(p eventlog.Problem) { t.Errorf("read on to %s", p) }) {
		break
	}
}

func TestReleaseOf(t *testing.T) {
	for session, want := range map[string]string{
		"static.1-3-0": "1.3.0", "a.b.10-0-12": "10.0.12", "s.1-0-0-rc-1": "1.0.0-rc-1", "s.1-5-0-beta_1": "1.5.0-beta.1", "s.1-5-0-rc-x_2_y": "1.5.0-rc-x.2.y", ".1-0-0": "1.0.0",
		"static": "", "static.1-3": "", "static.1-3-x": "", "1-3-0": "", "s.": "", "s.--": "", "s.1-0-0-": "", "": "",
	} {
		got, ok := eventlog.ReleaseOf(session)
		if got != want || ok != (want != "") {
			t.Errorf("ReleaseOf(%q) = %q, %v, want %q", session, got, ok, want)
		}
	}
}
