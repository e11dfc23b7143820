package codegen_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/codegen"
	"headgate/internal/errs"
)

func withMigration(sql string) (*codegen.Manifest, codegen.Migration) {
	c := codegen.Migration{
		Name: "00001_fill", Checksum: "sha256-" + strings.Repeat("ab", 32), File: "headgate/migrations/00001_fill.sql",
		Emits: []codegen.Emit{{Event: "v1.TagCreated", Key: []string{"id"}, Line: 5, SQL: sql}},
	}
	m := manifest(0)
	s := m.Schemas["main"]
	s.Migrations.Client = []codegen.Migration{c}
	m.Schemas["main"] = s
	return m, c
}

// Where a query has uuid5(name) as a column, the client selects the name.
func TestClientQueries(t *testing.T) {
	for _, c := range []struct{ sql, want, uuids string }{
		{"SELECT id FROM todos", "SELECT id FROM todos", "[]"},
		{"SELECT 'uuid5(x)' AS id -- uuid5(x)", "SELECT 'uuid5(x)' AS id -- uuid5(x)", "[]"},
		{"SELECT uuid5 (list) AS id, list FROM todos", "SELECT CAST((list) AS TEXT) AS id, list FROM todos", "['id']"},
		{"select distinct list, UUID5('a' || (1, 2)) \"my id\" from t", "select distinct list, CAST(('a' || (1, 2)) AS TEXT) \"my id\" from t", "['my id']"},
		{"WITH t AS (SELECT id FROM x) SELECT uuid5(a) a1, uuid5(b) AS b1 FROM t WHERE t.a1 = 1", "WITH t AS (SELECT id FROM x) SELECT CAST((a) AS TEXT) a1, CAST((b) AS TEXT) AS b1 FROM t WHERE t.a1 = 1", "['a1', 'b1']"},
		{"SELECT uuid5(list) AS id FROM todos WHERE list NOT IN (SELECT tags.id FROM tags) ORDER BY list LIMIT 10, 5", "SELECT CAST((list) AS TEXT) AS id FROM todos WHERE list NOT IN (SELECT tags.id FROM tags) ORDER BY list LIMIT 10, 5", "['id']"},
	} {
		m, _ := withMigration(c.sql)
		data, err := codegen.Render(m, "main")
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		if want := "        uuids: " + c.uuids + ",\n        line: 5,\n        sql: `" + c.want + "`,\n"; !bytes.Contains(data, []byte(want)) {
			_, got, _ := strings.Cut(string(data), "        uuids: ")
			t.Errorf("%s:\n%s", c.sql, got[:200])
		}
	}
}

func TestClientQueriesRefuse(t *testing.T) {
	for _, c := range []struct{ sql, want string }{
		{"SELECT uuid5(list) FROM todos", ":5: a client can't run 00001_fill: uuid5() without a name"},
		{"SELECT lower(uuid5(list)) AS id FROM todos", "inside of an expression"},
		{"SELECT uuid5(list) || 'x' AS id FROM todos", "without a name"},
		{"SELECT uuid5(uuid5(list)) AS id FROM todos", "inside of an expression"},
		{"SELECT uuid5(a, b) AS id FROM todos", "inside of an expression"},
		{"SELECT id\nFROM todos\nWHERE \"uuid5\"(id) = 1", ":7: a client can't run 00001_fill: uuid5() outside of the result columns"},
		{"WITH t AS (SELECT uuid5(a) AS id FROM x) SELECT id FROM t", "outside of the result columns"},
		{"SELECT uuid5(a) AS id FROM x UNION SELECT uuid5(b) AS id FROM y", "in a query of several parts"},
		{"VALUES (uuid5(1))", "in a query of several parts"},
		{"SELECT uuid5(list) AS id FROM todos WHERE id NOT IN (SELECT x FROM y)", "uses its own column id"},
		{"SELECT uuid5(list) AS id FROM todos\nORDER BY id", ":6: a client can't run 00001_fill: the query uses its own column"},
		{"SELECT list, uuid5(list) AS id FROM todos GROUP BY list, 2", "uses its own column"},
	} {
		m, migration := withMigration(c.sql)
		err := migration.Check()
		if errs.CodeOf(err) != errs.Invalid || !strings.Contains(errs.As(err).Where+": "+errs.As(err).Msg, c.want) {
			t.Errorf("%s: %v", c.sql, err)
		}
		if _, err := codegen.Render(m, "main"); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s is rendered: %v", c.sql, err)
		}
	}
}

func TestMigrationsInTheManifest(t *testing.T) {
	m, c := withMigration("SELECT uuid5(list) AS id, '`${__EPOCH__}`\\' AS name\n\tFROM todos")
	c.Name, c.Marker, c.Repeat = "00002_more", true, true
	c.Asserts = []codegen.Assert{{Label: `it's "all" there`, Line: 9, SQL: "SELECT 1"}}
	s := m.Schemas["main"]
	s.Marker = &codegen.Marker{Event: "v1.Ran", Table: "ran", Column: "name", Own: true}
	s.Migrations.Client = append(s.Migrations.Client, c)
	m.Schemas["main"] = s
	path := filepath.Join(t.TempDir(), "headgate", "generated.yaml")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := codegen.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	data, err := codegen.Render(m, "main")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"marker: { event: 'v1.Ran', table: 'ran', column: 'name' },", "repeat: true,",
		"'\\`\\${__EPOCH__}\\`\\\\' AS name\n\tFROM todos`", `{ label: "it's \"all\" there", line: 9, sql: `,
		"import { Schema, type Store } from '@livestore/livestore'\nimport type { SchemaAST } from 'effect'\n\n",
	} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("the generated file lacks %q", want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ from, to, want string }{
		{"00002_more", "00001_fill", "there twice"},
		{"name: 00001_fill", "name: 1", "not that of a migration's file"},
		{"checksum: sha256-", "checksum: sha512-", "is none"},
		{"event: v1.TagCreated", `event: ""`, "an emit lacks"},
		{"line: 9", "line: 0", "an assert lacks"},
		{"table: ran", "table: a b", "no table's name"},
		{"own: true", "own: false", "the column of the table that headgate generates"},
		{"marker: true", "marcer: true", "unknown key"},
		{"SELECT uuid5(list) AS id", "SELECT uuid5(list)", "uuid5() without a name"},
	} {
		changed := bytes.Replace(text, []byte(bad.from), []byte(bad.to), 1)
		if bytes.Equal(changed, text) {
			t.Fatalf("%q is not in the manifest", bad.from)
		}
		if _, err := codegen.Parse(changed); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: got %v, want %q", bad.to, err, bad.want)
		}
	}
}

func FuzzClientQuery(f *testing.F) {
	for _, sql := range []string{"SELECT uuid5(a) AS id FROM t", "SELECT \"uuid5\"(\"", "uuid5([", "SELECT uuid5(", ")uuid5(x)("} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		m, c := withMigration(sql)
		if m.Validate() != nil {
			return
		}
		if err := c.Check(); err != nil {
			t.Errorf("a manifest is accepted with a query that is not: %v", err)
		}
		if _, err := codegen.Render(m, "main"); err != nil {
			t.Error(err)
		}
	})
}
