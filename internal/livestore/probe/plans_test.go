package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/schema"
)

func TestScansForACondition(t *testing.T) {
	t.Parallel()
	r := &schema.Release{Tables: []schema.Table{
		{
			Name: "todos", Columns: []schema.Column{{Name: "id"}, {Name: "list"}, {Name: "text"}, {Name: "done"}},
			DDL: []string{`create table todos (id text primary key, list text, text text, done integer) strict`, `create index by_list on todos (list)`},
		},
		{
			Name: "tags", Columns: []schema.Column{{Name: "id"}, {Name: "todo"}},
			DDL: []string{`create table tags (id text primary key, todo text) strict`},
		},
	}}
	want := map[string][]probe.Scan{}
	add := func(name, sql string, scans ...probe.Scan) {
		r.Queries = append(r.Queries, schema.Query{Name: name, SQL: sql})
		want[name] = scans
	}
	add("no index", `SELECT * FROM 'todos' WHERE "done" = ?`, probe.Scan{Table: "todos", Column: "done"})
	add("alias", `SELECT t.id FROM todos AS t WHERE t.done = ?`, probe.Scan{Table: "todos", Column: "done"})
	add("pattern", `SELECT * FROM todos WHERE text LIKE ?`, probe.Scan{Table: "todos"})
	add("inner", `SELECT * FROM todos JOIN tags ON tags.todo = todos.id WHERE todos.list = ?`, probe.Scan{Table: "tags", Column: "todo"})
	add("in a subquery", `SELECT * FROM todos WHERE id IN (SELECT todo FROM tags WHERE todo = ?)`, probe.Scan{Table: "tags", Column: "todo"})
	// near misses
	add("key", `SELECT * FROM todos WHERE id = ?`)
	add("index", `SELECT * FROM todos WHERE list = ? AND done = ? ORDER BY text`)
	add("either", `SELECT * FROM todos WHERE list = ? OR id = ?`)
	add("everything", `SELECT * FROM todos ORDER BY text`)
	add("constant", `SELECT * FROM todos WHERE 1 = 1`)
	add("a word", `SELECT 'where' FROM todos`)
	add("driver of a join", `SELECT * FROM tags JOIN todos ON todos.id = tags.todo WHERE todos.list IS NOT NULL OR 1`)
	add("count", `SELECT count(*) FROM todos`)
	add("by index", `SELECT id FROM todos INDEXED BY by_list WHERE list > ?`)
	got, err := probe.QueryPlans(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got {
		if p.Error != "" {
			t.Errorf("%s: %s", p.Query, p.Error)
		}
		if diff := cmp.Diff(want[p.Query], p.Scans); diff != "" {
			t.Errorf("%s: %s", p.Query, diff)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d plans", len(got))
	}
	r.Queries = []schema.Query{{Name: "gone", SQL: "SELECT * FROM nowhere WHERE a = 1"}, {Name: "computed", Error: "unknown"}}
	if got, err := probe.QueryPlans(r); err != nil || len(got) != 1 || got[0].Error == "" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTheExamplesQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	r := example(t, "1.2.0")
	got, err := probe.QueryPlans(r.Release)
	if err != nil || len(got) < 5 {
		t.Fatalf("%d plans, %v", len(got), err)
	}
	for _, p := range got {
		if len(p.Scans) > 0 || p.Error != "" {
			t.Errorf("%+v", p)
		}
	}
}
