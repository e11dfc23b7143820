package probe_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/probe"
)

func edgeCases(t *testing.T, r *release, b probe.Budget) (probe.EdgeCases, map[string]probe.EdgeCase) {
	t.Helper()
	l := launcher(t)
	l.Limits.Call = 5 * time.Second // a loop costs as much
	got, err := probe.CheckEdgeCases(t.Context(), l, r.app(), b)
	if err != nil {
		t.Fatal(err)
	}
	byEvent := map[string]probe.EdgeCase{}
	for _, c := range got.Cases {
		if _, there := byEvent[c.Event]; !there {
			byEvent[c.Event] = c
		}
	}
	return got, byEvent
}

func TestEdgeCasesAreFoundAndShrunk(t *testing.T) {
	all, got := edgeCases(t, fixture(t, "edges"), probe.Budget{})
	type found struct {
		State   probe.State
		Payload string
		Message string // a part
	}
	want := map[string]found{
		"v1.NumberIntoInteger": {probe.Filled, `{"id":"e1","n":0.5}`, "cannot store REAL value in INTEGER column things.count"},
		"v1.EmptyName":         {probe.Filled, `{"id":"","name":""}`, "TypeError"},
		"v1.AbsentNote":        {probe.Filled, `{"id":""}`, "TypeError"},
		"v1.NullName":          {probe.Filled, `{"id":"e1","name":null}`, "NOT NULL constraint failed: things.name"},
		"v1.TagsTwice":         {probe.Empty, `{"id":"","tags":["a","a"]}`, "UNIQUE constraint failed"},
		"v1.OneMember":         {probe.Filled, `{"id":"","shape":{"_tag":"box","width":0}}`, "TypeError"},
		"v1.MissingRow":        {probe.Empty, `{"id":"e1"}`, "TypeError"},
		"v1.Endless":           {probe.Filled, `{"id":"e1","n":2147483648}`, "it ran longer than 5s"},
		"v1.InvalidDate":       {probe.Filled, `{"at":"","id":""}`, "RangeError"},
	}
	for event, w := range want {
		c, ok := got[event]
		if !ok {
			t.Errorf("%s: not found", event)
			continue
		}
		if c.State != w.State || !strings.Contains(c.Message, w.Message) || event != "v1.TagsTwice" && string(c.Payload) != w.Payload {
			t.Errorf("%s: got %s %s %q, want %+v", event, c.State, c.Payload, c.Message, w)
		}
		if c.Shape == "" || strings.Contains(c.Shape, "e1") {
			t.Errorf("%s: shape %q", event, c.Shape)
		}
	}
	for event, c := range got {
		if _, ok := want[event]; !ok {
			t.Errorf("%s: false alarm: %s %s %q", event, c.State, c.Payload, c.Message)
		}
	}
	for _, c := range all.Coverage {
		if c.Tried == 0 {
			t.Errorf("%s: nothing was tried", c.Event)
		}
		if opaque := len(c.Opaque) > 0; opaque != (c.Event == "v1.Guarded") || opaque && c.Refused == 0 {
			t.Errorf("%s: opaque %v, refused %d", c.Event, c.Opaque, c.Refused)
		}
	}
}

func TestTheExampleHasNoEdgeCases(t *testing.T) {
	t.Parallel()
	got, _ := edgeCases(t, example(t, "1.2.0"), probe.Budget{})
	if len(got.Cases) > 0 || len(got.Coverage) != 14 {
		t.Errorf("got %+v", got)
	}
}

func TestBudgetIsKeptAndSaid(t *testing.T) {
	t.Parallel()
	got, _ := edgeCases(t, example(t, "1.2.0"), probe.Budget{Payloads: 50})
	for _, c := range got.Coverage {
		if c.Tried > 50 || !c.Stopped {
			t.Errorf("%s: tried %d, stopped %v", c.Event, c.Tried, c.Stopped)
		}
	}
	got, _ = edgeCases(t, example(t, "1.2.0"), probe.Budget{PerEvent: 1})
	if i := slices.IndexFunc(got.Coverage, func(c probe.Coverage) bool { return c.Tried > 0 || !c.Stopped }); i >= 0 {
		t.Error(cmp.Diff(probe.Coverage{Stopped: true}, got.Coverage[i]))
	}
}
