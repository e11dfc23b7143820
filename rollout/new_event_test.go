package rollout_test

import (
	"encoding/json"
	"strings"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// TestNewEvent is a rollout of an event that has no older version: off until a store opens, and the same gate.
func TestNewEvent(t *testing.T) {
	release := func(version string, events ...string) *schema.Release {
		r := &schema.Release{Version: version}
		for _, e := range events {
			r.Events = append(r.Events, schema.Event{Name: e, Family: e[3:], FamilyVersion: int(e[1] - '0')})
			r.Materializers = append(r.Materializers, schema.Materializer{Event: e})
		}
		return r
	}
	releases := []*schema.Release{release("1.1.0", "v1.TodoCreated", "v1.TodoShared"), release("1.0.0", "v1.TodoCreated")}
	name, text, err := rollout.DraftDefinition("TodoShared", "", "", releases)
	if err != nil || name != "todo-shared-v1" || !strings.Contains(text, "TodoShared: {from: off, to: v1}\nfloor: 1.1.0 ") {
		t.Fatalf("%s, %v\n%s", name, err, text)
	}
	if _, _, err := rollout.DraftDefinition("TodoCreated", "", "", releases); err == nil || !strings.Contains(err.Error(), "is the oldest version") {
		t.Errorf("what every release has needs no rollout: %v", err)
	}
	d, err := rollout.ParseDefinition([]byte(text), name+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	if d.Identity() != "event.TodoShared off<v1" || d.FloorOf(releases) != "1.1.0" || !d.Readers(releases)("1.1.0") || d.Readers(releases)("1.0.0") {
		t.Errorf("%s, %s", d.Identity(), d.FloorOf(releases))
	}
	if found := d.Check(releases, nil, rollout.State{}, nil, ""); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	for _, bad := range []string{"{from: v1, to: off}", "{from: none, to: v1}", "{to: v1}"} {
		if _, err := rollout.ParseDefinition([]byte("events: {A: "+bad+"}\nsteps: [{weight: 1, pause: 1h}]\n"), "a.yaml"); err == nil {
			t.Errorf("%s is parsed", bad)
		}
	}
	flags := d.Flags("1.1.0", 3, []livestore.StoreID{"s1"}, false)
	for caller, want := range map[rollout.Caller]string{
		{Store: "s1", AppVersion: "1.1.0"}: "v1.TodoShared", {Store: "s1", AppVersion: "1.0.0"}: "off", {Store: "s2", AppVersion: "1.1.0"}: "off", {AppVersion: "1.1.0"}: "off",
	} {
		if e := flags[0].Evaluate(caller); e.Value != want {
			t.Errorf("%+v gets %v", caller, e.Value)
		}
	}
	if e := d.Flags("1.1.0", 4, nil, true)[0].Evaluate(rollout.Caller{Store: "s2", AppVersion: "1.2.0"}); e.Value != "v1.TodoShared" {
		t.Errorf("when it is full: %+v", e)
	}
	raw, err := (&rollout.File{Flags: flags}).Flagd()
	var exported struct {
		Flags map[string]struct {
			Variants       map[string]string
			DefaultVariant string
		}
	}
	if err == nil {
		err = json.Unmarshal(raw, &exported)
	}
	if f := exported.Flags["event.TodoShared"]; err != nil || f.DefaultVariant != "off" || f.Variants["off"] != "off" || f.Variants["v1"] != "v1.TodoShared" {
		t.Errorf("%v\n%s", err, raw)
	}
	sim := simulation(300)
	if r, err := sim.Run(definition(t, strings.Replace(todoV2, "{from: v1, to: v2}", "{from: off, to: v1}", 1))); err != nil || r.Shrank != 0 || r.Proofs < 5 {
		t.Errorf("%+v, %v", r, err)
	}
}
