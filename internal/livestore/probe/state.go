package probe

import (
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore/engine"
)

// A snapshot is the rows of all the app's tables.
type snapshot map[string]*tableRows

type tableRows struct {
	columns []string
	keys    []int            // positions of the primary key
	rows    map[string][]any // by primary key, or by the whole row
}

// userTables lists the tables that are the app's, by name.
func userTables(db *engine.DB) ([]string, error) {
	var out []string
	err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
		AND name NOT LIKE '!_!_livestore!_%' ESCAPE '!' ORDER BY name`, engine.Binds{}, func(_ []string, v []any) error {
		name, _ := v[0].(string)
		out = append(out, name)
		return nil
	})
	return out, err
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// snap reads the state. It is meant for the few rows of a probe.
func snap(db *engine.DB) (snapshot, error) {
	names, err := userTables(db)
	if err != nil {
		return nil, err
	}
	out := snapshot{}
	for _, name := range names {
		t := &tableRows{rows: map[string][]any{}}
		err := db.Query("SELECT name, pk FROM pragma_table_info(?)", engine.Positional(name), func(_ []string, v []any) error {
			column, _ := v[0].(string)
			if pk, _ := v[1].(int64); pk > 0 {
				t.keys = append(t.keys, len(t.columns))
			}
			t.columns = append(t.columns, column)
			return nil
		})
		if err != nil {
			return nil, err
		}
		err = db.Query("SELECT * FROM "+quote(name), engine.Binds{}, func(_ []string, v []any) error {
			row := slices.Clone(v)
			key := t.key(row)
			for n := 1; len(t.keys) == 0 && t.rows[key] != nil; n++ {
				key = fmt.Sprintf("%s #%d", t.key(row), n)
			}
			t.rows[key] = row
			return nil
		})
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

func (t *tableRows) key(row []any) string {
	var b strings.Builder
	for i, v := range row {
		if len(t.keys) == 0 || slices.Contains(t.keys, i) {
			fmt.Fprintf(&b, "%T:%v|", v, v)
		}
	}
	return b.String()
}

// maxDifferences bounds what a difference names.
const maxDifferences = 5

// diff says where two states of the same tables differ, by table, column and type; empty when they don't.
func (s snapshot) diff(t snapshot) string {
	var out []string
	names := map[string]bool{}
	for n := range s {
		names[n] = true
	}
	for n := range t {
		names[n] = true
	}
	for n := range names {
		a, b := s[n], t[n]
		if a == nil || b == nil {
			out = append(out, "table "+n)
			continue
		}
		out = append(out, a.diff(n, b)...)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > maxDifferences {
		out = append(out[:maxDifferences], fmt.Sprintf("and %d more", len(out)-maxDifferences))
	}
	return strings.Join(out, "; ")
}

func (t *tableRows) diff(name string, u *tableRows) []string {
	var out []string
	missing, surplus := 0, 0
	for k, row := range t.rows {
		other := u.rows[k]
		if other == nil {
			missing++
			continue
		}
		for i, v := range row {
			if i < len(other) && !same(v, other[i]) {
				out = append(out, fmt.Sprintf("%s.%s: %s", name, t.columns[i], change(v, other[i])))
			}
		}
	}
	for k := range u.rows {
		if t.rows[k] == nil {
			surplus++
		}
	}
	if missing > 0 {
		out = append(out, fmt.Sprintf("%s: %d rows less", name, missing))
	}
	if surplus > 0 {
		out = append(out, fmt.Sprintf("%s: %d rows more", name, surplus))
	}
	return out
}

func same(v, w any) bool {
	a, ok := v.([]byte)
	b, ok2 := w.([]byte)
	if ok && ok2 {
		return slices.Equal(a, b)
	}
	return ok == ok2 && v == w
}

func change(v, w any) string {
	if from, to := engine.TypeOf(v), engine.TypeOf(w); from != to {
		return from + " -> " + to
	}
	return "another " + engine.TypeOf(v)
}
