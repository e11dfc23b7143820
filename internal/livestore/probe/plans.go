package probe

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/schema"
)

// A QueryPlan is what SQLite makes of one of a release's declared queries.
type QueryPlan struct {
	Query string `json:"query"`
	// Scans are the tables that are read from end to end although the query has a condition on them, by the name that
	// the query gives them.
	Scans []Scan `json:"scans,omitempty"`
	// Error says why there is no plan.
	Error string `json:"error,omitempty"`
}

// A Scan is a table read from end to end for a condition.
type Scan struct {
	Table string `json:"table"`
	// Column is a column that an index on would help; empty when no plain index would (a pattern match, an expression).
	Column string `json:"column,omitempty"`
}

// QueryPlans asks SQLite for the plans of a release's declared queries on its empty tables. Nothing is executed, and no
// code of the app runs.
//
// A scan counts only when it is the condition's fault: when the plan changes as soon as every column has an index of
// its own, or when a query of one table has a condition that no index could serve. A query without a condition has
// to read everything, and in a join some table has to come first.
func QueryPlans(r *schema.Release) ([]QueryPlan, error) {
	plain, err := emptyState(r)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	indexed, err := emptyState(r)
	if err != nil {
		return nil, err
	}
	defer indexed.Close()
	byIndex := map[string][2]string{} // probe index -> table, column
	for _, t := range r.Tables {
		for _, c := range t.Columns {
			name := fmt.Sprintf("headgate_probe_%d", len(byIndex))
			byIndex[name] = [2]string{t.Name, c.Name}
			if err := indexed.Exec("CREATE INDEX "+name+" ON "+quote(t.Name)+" ("+quote(c.Name)+")", engine.Binds{}); err != nil {
				return nil, fmt.Errorf("index %s.%s: %w", t.Name, c.Name, err)
			}
		}
	}
	out := []QueryPlan{}
	for _, q := range r.Queries {
		if q.SQL == "" {
			continue
		}
		p := QueryPlan{Query: q.Name}
		if p.Scans, err = scans(plain, indexed, byIndex, q.SQL); err != nil {
			p.Error = err.Error()
		}
		out = append(out, p)
	}
	return out, nil
}

func emptyState(r *schema.Release) (*engine.DB, error) {
	db, err := engine.OpenDB("")
	if err != nil {
		return nil, err
	}
	for _, t := range r.Tables {
		for _, ddl := range t.DDL {
			if err := db.Exec(ddl, engine.Binds{}); err != nil {
				db.Close()
				return nil, fmt.Errorf("create table %s: %w", t.Name, err)
			}
		}
	}
	return db, nil
}

// access is one line of a plan that reads a table.
type access struct {
	name  string // as the query calls the table
	scan  bool
	index string
}

var (
	accessRE = regexp.MustCompile(`^(SCAN|SEARCH) (\S+)`)
	indexRE  = regexp.MustCompile(`USING (?:COVERING |AUTOMATIC (?:PARTIAL )?(?:COVERING )?)?INDEX (\S+)`)
	keyRE    = regexp.MustCompile(`USING (INTEGER )?PRIMARY KEY`)
)

func plan(db *engine.DB, sql string) ([]access, error) {
	var out []access
	err := db.Query("EXPLAIN QUERY PLAN "+sql, engine.Binds{}, func(_ []string, v []any) error {
		detail, _ := v[3].(string)
		m := accessRE.FindStringSubmatch(detail)
		if m == nil {
			return nil
		}
		a := access{name: m[2], scan: m[1] == "SCAN"}
		if i := indexRE.FindStringSubmatch(detail); i != nil {
			a.index = i[1]
		} else if keyRE.MatchString(detail) {
			a.index = "primary key"
		}
		out = append(out, a)
		return nil
	})
	return out, err
}

func scans(plain, indexed *engine.DB, byIndex map[string][2]string, sql string) ([]Scan, error) {
	if !slices.Contains(words(sql), "where") {
		return nil, nil
	}
	now, err := plan(plain, sql)
	if err != nil {
		return nil, err
	}
	better, err := plan(indexed, sql)
	if err != nil {
		return nil, err
	}
	tables, err := userTables(plain)
	if err != nil {
		return nil, err
	}
	var out []Scan
	for _, a := range now {
		if !a.scan || a.index != "" {
			continue
		}
		i := slices.IndexFunc(better, func(b access) bool { return b.name == a.name && !b.scan && byIndex[b.index][1] != "" })
		switch {
		case i >= 0:
			out = append(out, Scan{Table: byIndex[better[i].index][0], Column: byIndex[better[i].index][1]})
		case len(now) == 1 && slices.Contains(tables, a.name) && conditionReads(sql):
			out = append(out, Scan{Table: a.name})
		}
	}
	slices.SortFunc(out, func(a, b Scan) int { return strings.Compare(a.Table+a.Column, b.Table+b.Column) })
	return slices.Compact(out), nil
}

// conditionReads reports whether a query's condition names anything at all: WHERE 1 does not.
func conditionReads(sql string) bool {
	w := words(sql)
	return slices.ContainsFunc(w[slices.Index(w, "where")+1:], func(x string) bool {
		return x[0] >= 'a' && x[0] <= 'z' && !slices.Contains([]string{"true", "false", "and", "or", "not", "null", "is", "limit", "order", "by", "group"}, x)
	})
}
