package probe_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/probe"
)

func TestImpureMaterializersAreFound(t *testing.T) {
	t.Parallel()
	got, err := probe.CheckDeterminism(t.Context(), launcher(t), fixture(t, "impure").app())
	if err != nil {
		t.Fatal(err)
	}
	causes := map[string][]probe.Cause{}
	for _, d := range got.Dependencies {
		causes[d.Event] = d.Causes
		if d.Differs == "" || len(d.Payload) == 0 {
			t.Errorf("%s: %+v", d.Event, d)
		}
	}
	// v1.Pure, v1.Word and v1.FixedDefault only look like it
	want := map[string][]probe.Cause{
		"v1.Clock":          {probe.Clock},
		"v1.ClockDefault":   {probe.Clock},
		"v1.ClockWhenThere": {probe.Clock}, // only where a row is there
		"v1.Random":         {probe.Random},
		"v1.Ids":            {probe.Random},
		"v1.Zone":           {probe.TimeZone},
		"v1.Counter":        {probe.Calls},
		"v1.Network":        {probe.IO},
		"v1.SqlRandom":      {probe.SQLite},
		"v1.SqlNow":         {probe.SQLite},
	}
	if diff := cmp.Diff(want, causes); diff != "" {
		t.Error(diff)
	}
	if got.SameZone || got.Events != 13 || len(got.Untried) > 0 {
		t.Errorf("%d events, same zone %v, untried %v", got.Events, got.SameZone, got.Untried)
	}
	i := slices.IndexFunc(got.Dependencies, func(d probe.Dependence) bool { return d.Event == "v1.Ids" })
	if d := got.Dependencies[i]; !strings.HasPrefix(d.Differs, "statement 1, parameter 1: another text(21)") {
		t.Errorf("nanoid: %q", d.Differs)
	}
}

func TestTheExampleIsDeterministic(t *testing.T) {
	t.Parallel()
	got, err := probe.CheckDeterminism(t.Context(), launcher(t), example(t, "1.2.0").app())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Dependencies) > 0 || got.Events != 14 || got.Payloads < 100 {
		t.Errorf("got %+v", got)
	}
}
