package probe_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/probe"
)

func TestMixedVersionsThatGoWrong(t *testing.T) {
	t.Parallel()
	got, err := probe.CheckMixed(t.Context(), launcher(t), fixture(t, "mixed").app(), probe.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Item" + "Created", "ItemRenamed", "NoteAdded", "NoteMoved", "Paid", "ThemeSet"}, got.Families); diff != "" {
		t.Error(diff)
	}
	var failures, orders []string
	for _, f := range got.Found {
		var names []string
		for _, e := range f.Events {
			names = append(names, e.Event)
		}
		switch {
		case f.Message != "":
			failures = append(failures, strings.Join(names, " ")+": "+f.Message)
		default:
			orders = append(orders, strings.Join(names, " ")+": "+f.Difference)
		}
	}
	slices.Sort(failures)
	wantFailures := []string{
		"v1.ItemCreated v2.ItemRenamed: Error: no such item",
		"v2.ItemCreated v1.ItemRenamed: Error: no such item",
	}
	if diff := cmp.Diff(wantFailures, failures); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"v1.Paid v2.Paid: totals.cents: another integer"}, orders); diff != "" {
		t.Error(diff)
	}
	if got.Interleavings < 20 || got.Pairs < 4 || got.Stopped {
		t.Errorf("%d interleavings and %d pairs told something, stopped %v", got.Interleavings, got.Pairs, got.Stopped)
	}
}

func TestTheExampleMixesWell(t *testing.T) {
	t.Parallel()
	got, err := probe.CheckMixed(t.Context(), launcher(t), example(t, "1.2.0").app(), probe.Budget{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Found) > 0 || !slices.Equal(got.Families, []string{"TodoCreated"}) || got.Interleavings < 4 || got.Pairs == 0 {
		t.Errorf("got %+v", got)
	}
	if got, err := probe.CheckMixed(t.Context(), launcher(t), example(t, "1.0.0").app(), probe.Budget{}); err != nil || len(got.Families) > 0 {
		t.Errorf("a release with one version of each: %+v, %v", got, err)
	}
}
