package probe_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/schema"
)

func operations(r *release, event string) schema.Materializer {
	for _, m := range r.Materializers {
		if m.Event == event {
			return m
		}
	}
	return schema.Materializer{}
}

func TestOperationsOfTheExample(t *testing.T) {
	t.Parallel()
	r := example(t, "1.2.0")
	for event, want := range map[string]struct {
		tables string
		kinds  string
		query  bool
	}{
		"v1.TodoCreated":   {"activity todos", "insert", false},
		"v2.TodoCreated":   {"activity todos", "insert", false},
		"v1.TodoRenamed":   {"todos", "update", false},
		"v1.TodoCompleted": {"activity todos", "insert update", true},
		"v1.ListCleared":   {"todos", "update", false}, // raw SQL
		"v1.TodoUntagged":  {"todo_tags", "delete", false},
		"v1.DraftSaved":    {"drafts", "insert", false},
		"uiSet":            {"ui", "insert", false}, // LiveStore's own
	} {
		m := operations(r, event)
		var tables, kinds []string
		for _, o := range m.Operations {
			tables, kinds = append(tables, o.Tables...), append(kinds, o.Kind)
			if (o.Kind == "insert") != o.Conflict {
				t.Errorf("%s: %s: conflict clause: %v", event, o.SQL, o.Conflict)
			}
		}
		if got := set(tables); got != want.tables {
			t.Errorf("%s writes %q, want %q", event, got, want.tables)
		}
		if got := set(kinds); got != want.kinds {
			t.Errorf("%s does %q, want %q", event, got, want.kinds)
		}
		if !m.Complete || m.Error != "" || m.UsesQuery != want.query {
			t.Errorf("%s: complete %v, error %q, query %v", event, m.Complete, m.Error, m.UsesQuery)
		}
	}
}

func set(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

func TestOperationsSayWhatCouldNotBeRun(t *testing.T) {
	t.Parallel()
	r := fixture(t, "edges")
	if m := operations(r, "v1.Created"); len(m.Operations) != 1 || m.Operations[0].Conflict {
		t.Errorf("an insert without conflict clause: %+v", m.Operations)
	}
	m := operations(r, "v1.AbsentNote")
	if m.Complete || !strings.HasPrefix(m.Error, "TypeError") || len(m.Operations) == 0 {
		t.Errorf("a materializer that throws on an absent field: %+v", m)
	}
	if m := operations(r, "v1.MissingRow"); !m.Complete || m.Error != "" {
		t.Errorf("one that throws only where the row is missing: %+v", m)
	}
	if m := operations(r, "v1.Guarded"); !m.Complete || len(m.Operations) != 1 {
		t.Errorf("one whose payload passes a filter of the app's: %+v", m)
	}
}

// The same script gives the same operations, byte by byte: they are recorded.
func TestOperationsAreDeterministic(t *testing.T) {
	t.Parallel()
	a := example(t, "1.1.0")
	described.mu.Lock()
	delete(described.got, a.key)
	described.mu.Unlock()
	if diff := cmp.Diff(a.Materializers, example(t, "1.1.0").Materializers); diff != "" {
		t.Error(diff)
	}
}
