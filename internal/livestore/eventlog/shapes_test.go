package eventlog_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

func TestShaper(t *testing.T) {
	s := eventlog.NewShaper()
	add := func(seq livestore.SeqNum, name, args string) {
		s.Add(livestore.Event{Name: name, Args: []byte(args), Seq: livestore.ClientSeq{Global: seq}})
	}
	add(1, "v1.B", `{"id":"a","n":1}`)
	add(2, "v1.B", `{"n":2,"id":"secret"}`)
	add(3, "v1.B", `{"id":"a","n":1.5,"tags":["x",1,"y"],"deep":{"ok":true,"none":null}}`)
	add(4, "v1.A", `null`)
	add(5, "v1.B", `{"id":"b","n":3}`)
	want := []eventlog.EventShapes{
		{Name: "v1.A", Events: 1, Shapes: []eventlog.Shape{{Form: "null", Events: 1, First: livestore.ClientSeq{Global: 4}, Last: livestore.ClientSeq{Global: 4}}}},
		{Name: "v1.B", Events: 4, Shapes: []eventlog.Shape{
			{Form: `{"id":string,"n":integer}`, Events: 3, First: livestore.ClientSeq{Global: 1}, Last: livestore.ClientSeq{Global: 5}},
			{Form: `{"deep":{"none":null,"ok":boolean},"id":string,"n":number,"tags":[integer|string]}`, Events: 1, First: livestore.ClientSeq{Global: 3}, Last: livestore.ClientSeq{Global: 3}},
		}},
	}
	if diff := cmp.Diff(want, s.Events()); diff != "" {
		t.Error(diff)
	}
}

func TestShaperIsBounded(t *testing.T) {
	s := eventlog.NewShaper()
	for i := range 3 * eventlog.MaxShapes {
		s.Add(livestore.Event{Name: "v1.A", Args: fmt.Appendf(nil, `{"k%d":1}`, i)})
	}
	got := s.Events()[0]
	if len(got.Shapes) != eventlog.MaxShapes || got.Other != 2*eventlog.MaxShapes || got.Events != 3*eventlog.MaxShapes {
		t.Errorf("%d shapes, %d others of %d events", len(got.Shapes), got.Other, got.Events)
	}
}
