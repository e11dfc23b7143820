package state_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay/state"
)

// database makes a state file by SQL.
func database(t *testing.T, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := engine.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if err := db.Exec(s, engine.Binds{}); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return path
}

func digest(t *testing.T, path string) state.Digest {
	t.Helper()
	d, err := state.DigestFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compare(t *testing.T, a, b string, o state.Options) state.Diff {
	t.Helper()
	fa, err := state.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer fa.Close()
	fb, err := state.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer fb.Close()
	d, err := state.Compare(t.Context(), fa, fb, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	table = `create table t (id text primary key, v any) strict`
	loose = `create table t (id text primary key, v)` // its key may be NULL
)

// Digest and comparison must agree about every pair.
func TestSame(t *testing.T) {
	for name, c := range map[string]struct {
		a, b []string
		same bool
	}{
		"order of writing":    {[]string{table, `insert into t values ('a', 1), ('b', 2)`}, []string{table, `insert into t values ('b', 2)`, `insert into t values ('a', 1)`}, true},
		"what was deleted":    {[]string{table, `insert into t values ('a', 1)`}, []string{table, `insert into t values ('x', zeroblob(9999)), ('a', 1)`, `delete from t where id = 'x'`}, true},
		"page size":           {[]string{`pragma page_size=8192`, table, `insert into t values ('a', 1)`}, []string{`pragma page_size=1024`, table, `insert into t values ('a', 1)`}, true},
		"LiveStore's tables":  {[]string{table}, []string{table, `create table __livestore_schema (a)`, `create index __livestore_i on __livestore_schema (a)`, `insert into __livestore_schema values (1)`}, true},
		"value":               {[]string{table, `insert into t values ('a', 1)`}, []string{table, `insert into t values ('a', 2)`}, false},
		"type of a number":    {[]string{table, `insert into t values ('a', 1)`}, []string{table, `insert into t values ('a', 1.0)`}, false},
		"text and number":     {[]string{table, `insert into t values ('a', 1)`}, []string{table, `insert into t values ('a', '1')`}, false},
		"text and blob":       {[]string{table, `insert into t values ('a', 'x')`}, []string{table, `insert into t values ('a', x'78')`}, false},
		"null and empty":      {[]string{table, `insert into t values ('a', null)`}, []string{table, `insert into t values ('a', '')`}, false},
		"behind a NUL":        {[]string{table, `insert into t values ('a', 'x' || char(0) || 'y')`}, []string{table, `insert into t values ('a', 'x' || char(0) || 'z')`}, false},
		"large numbers":       {[]string{table, `insert into t values ('a', 9007199254740993)`}, []string{table, `insert into t values ('a', 9007199254740992)`}, false},
		"one row more":        {[]string{table, `insert into t values ('a', 1)`}, []string{table, `insert into t values ('a', 1), ('b', 1)`}, false},
		"an index":            {[]string{table}, []string{table, `create index i on t (v)`}, false},
		"the column's type":   {[]string{`create table t (id text primary key, v text)`}, []string{`create table t (id text primary key, v any)`}, false},
		"an empty table more": {[]string{table}, []string{table, `create table u (a)`}, false},
		"keyless, order":      {[]string{`create table k (a, b)`, `insert into k values (1, 'x'), (1, 'x'), (2, null)`}, []string{`create table k (a, b)`, `insert into k values (2, null), (1, 'x'), (1, 'x')`}, true},
		"keyless, how often":  {[]string{`create table k (a, b)`, `insert into k values (1, 'x'), (1, 'x')`}, []string{`create table k (a, b)`, `insert into k values (1, 'x')`}, false},
		"keyless, types":      {[]string{`create table k (a)`, `insert into k values (1), (1.0)`}, []string{`create table k (a)`, `insert into k values (1), (1)`}, false},
		"null keys":           {[]string{loose, `insert into t values (null, 1), (null, 2)`}, []string{loose, `insert into t values (null, 2), (null, 1)`}, true},
		"null keys, value":    {[]string{loose, `insert into t values (null, 1), (null, 2)`}, []string{loose, `insert into t values (null, 1), (null, 3)`}, false},
		"key in two columns":  {[]string{`create table p (a, b, n, primary key (b, a))`, `insert into p values ('x', 'y', 1), ('y', 'x', 2)`}, []string{`create table p (a, b, n, primary key (b, a))`, `insert into p values ('y', 'x', 2), ('x', 'y', 1)`}, true},
		"keys of all types":   {[]string{`create table m (k any primary key, v any) strict, without rowid`, `insert into m values (1, 1), (-1.5, 1), ('1', 1), (x'31', 1), (9e300, 1)`}, []string{`create table m (k any primary key, v any) strict, without rowid`, `insert into m values (x'31', 1), ('1', 1), (9e300, 1), (1, 1), (-1.5, 1)`}, true},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := database(t, c.a...), database(t, c.b...)
			if got := digest(t, a).Digest == digest(t, b).Digest; got != c.same {
				t.Errorf("digests equal: %v, want %v", got, c.same)
			}
			for _, d := range []state.Diff{compare(t, a, b, state.Options{}), compare(t, b, a, state.Options{})} {
				if d.Equal != c.same {
					t.Errorf("comparison says equal: %v, want %v: %+v", d.Equal, c.same, d)
				}
			}
		})
	}
}

func TestDiffCountsAndShows(t *testing.T) {
	make := func(rows string) string {
		return database(t, `create table t (id text primary key, text text, n integer) strict`, `insert into t values `+rows)
	}
	a := make(`('a', 'same', 1), ('b', 'before', 2), ('c', 'gone', 3)`)
	b := make(`('a', 'same', 1), ('b', 'after', 2), ('d', 'new', 4)`)
	d := compare(t, a, b, state.Options{Rows: 10, Reveal: true})
	want := []state.TableDiff{{
		Name: "t", In: "both", RowsA: 3, RowsB: 3, OnlyA: 1, OnlyB: 1, Changed: 1, Columns: map[string]int64{"text": 1},
		Rows: []state.RowDiff{
			{In: "both", Key: []state.Value{{Column: "id", Type: "text", Length: 1, Text: `"b"`}}, Columns: []state.ValueDiff{{
				Column: "text", A: state.Value{Type: "text", Length: 6, Text: `"before"`}, B: state.Value{Type: "text", Length: 5, Text: `"after"`},
			}}},
			{In: "a", Key: []state.Value{{Column: "id", Type: "text", Length: 1, Text: `"c"`}}},
			{In: "b", Key: []state.Value{{Column: "id", Type: "text", Length: 1, Text: `"d"`}}},
		},
	}}
	noHash := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Hash" }, cmp.Ignore())
	if diff := cmp.Diff(want, d.Tables, noHash); diff != "" {
		t.Error(diff)
	}
	// Without being asked, no value is shown; equal values have equal hashes, under one key only.
	one := compare(t, a, b, state.Options{Rows: 10, HashKey: []byte("one")}).Tables[0].Rows[0]
	again := compare(t, a, b, state.Options{Rows: 10, HashKey: []byte("one")}).Tables[0].Rows[0]
	other := compare(t, a, b, state.Options{Rows: 10, HashKey: []byte("two")}).Tables[0].Rows[0]
	if one.Columns[0].A.Text != "" || one.Columns[0].A.Hash == one.Columns[0].B.Hash || one.Columns[0].A.Hash != again.Columns[0].A.Hash || one.Columns[0].A.Hash == other.Columns[0].A.Hash {
		t.Errorf("hashes: %+v %+v %+v", one, again, other)
	}
	if d := compare(t, a, b, state.Options{Rows: 1}); len(d.Tables[0].Rows) != 1 || d.Tables[0].OnlyB != 1 {
		t.Errorf("limited to one row: %+v", d.Tables[0])
	}
}

func TestDiffAcrossSchemas(t *testing.T) {
	a := database(t, `create table t (id text primary key, v integer) strict`, `insert into t values ('a', 1)`, `create table gone (x)`, `insert into gone values (1)`)
	b := database(t, `create table t (id text primary key, v integer, more text) strict`, `insert into t values ('a', 1, 'x')`, `create index i on t (more)`)
	d := compare(t, a, b, state.Options{})
	var schema []string
	for _, o := range d.Schema {
		schema = append(schema, o.Type+" "+o.Name)
	}
	if diff := cmp.Diff([]string{"index i", "table gone", "table t"}, schema); diff != "" {
		t.Error(diff)
	}
	if d.Equal || len(d.Tables) != 2 || d.Tables[0].In != "a" || d.Tables[0].OnlyA != 1 || !d.Tables[1].Equal() || cmp.Diff([]string{"more"}, d.Tables[1].ColumnsOnlyB) != "" {
		t.Errorf("got %+v", d)
	}
}

func TestNumbersAreShownWithTheirType(t *testing.T) {
	a := database(t, table, `insert into t values ('a', 1e999), ('b', 1)`)
	b := database(t, table, `insert into t values ('a', -1e999), ('b', 1.0)`)
	rows := compare(t, a, b, state.Options{Rows: 5, Reveal: true}).Tables[0].Rows
	if len(rows) != 2 || rows[0].Columns[0].A.String() != "+Inf" || rows[1].Columns[0].A.Type != "integer" || rows[1].Columns[0].B.Type != "real" {
		t.Errorf("got %+v (%v)", rows, math.Inf(1))
	}
}

func TestBadFiles(t *testing.T) {
	good := database(t, table, `insert into t values ('a', zeroblob(50000))`)
	content, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hot := write("hot.db", content)
	write("hot.db-journal", []byte("a journal"))
	garbled := append([]byte(nil), content...)
	for i := 100; i < len(garbled); i++ {
		garbled[i] = 0xff
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.db"):     "no such file",
		dir:                               "directory",
		write("empty.db", nil):            "empty",
		write("text.db", []byte("hello")): "no SQLite database",
		write("torn.db", content[:len(content)-100]): "cut short",
		write("garbled.db", garbled):                 "damaged",
		hot:                                          "its writer was killed",
	} {
		_, err := state.DigestFile(t.Context(), path)
		if e := errs.As(err); e == nil || !strings.Contains(e.Msg, want) || e.Where != path {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestCancelEndsADigest(t *testing.T) {
	path := database(t, `create table t (n integer primary key)`, `insert into t with recursive c(n) as (select 1 union all select n + 1 from c limit 20000) select n from c`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := state.DigestFile(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
