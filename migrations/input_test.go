package migrations_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
)

const owned = `-- headgate: requires >= 1.3.0
-- headgate: input lists.csv      -- which todo goes where
-- headgate: input "positions".csv
-- +goose Up
-- headgate: emit v1.TodoMoved key id
SELECT id, l.list, CAST(positions.position AS INTEGER) AS position FROM todos JOIN lists AS l USING (id) JOIN positions USING (id) ORDER BY id;
-- headgate: assert 'each todo is where it should be' SELECT count(*) = 0 FROM todos JOIN lists AS l USING (id) WHERE todos.list <> l.list;
`

// write makes a directory of migrations.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads a directory that holds one migration.
func load(t testing.TB, files map[string]string) migrations.Definition {
	t.Helper()
	all, err := migrations.Load(t.Context(), launcher(t), write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 {
		t.Fatalf("%d migrations", len(all))
	}
	return all[0]
}

func TestInput(t *testing.T) {
	files := map[string]string{
		"00001_own.sql": strings.Replace(owned, `"positions"`, "positions", 1),
		"lists.csv":     "id,list\na,x\r\nb,\"y, z\"\nnobody,\n", "positions.csv": "id,position,note\na,1,\nb,2,\n",
	}
	d := load(t, files)
	if len(d.Inputs) != 2 || d.Inputs[0].Table != "lists" || d.Inputs[0].Rows != 3 || d.Inputs[0].Line != 2 || d.Inputs[1].Rows != 2 {
		t.Errorf("%+v", d.Inputs)
	}
	// What the file says is a part of the checksum, the line ends that git makes of it are not.
	files["lists.csv"] = "id,list\r\na,x\r\nb,\"y, z\"\r\nnobody,\r\n"
	if same := load(t, files); same.Checksum != d.Checksum {
		t.Error("line ends change the checksum")
	}
	files["lists.csv"] = "id,list\na,X\nb,\"y, z\"\nnobody,\n"
	edited := load(t, files)
	if edited.Checksum == d.Checksum {
		t.Error("the input is not in the checksum")
	}
	if err := job(t, d, nil).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if p := migrations.Lint(d, todos(t)); len(p) > 0 {
		t.Errorf("%+v", p)
	}
	log := &memLog{}
	for _, id := range []string{"a", "b", "c"} {
		log.create(id)
	}
	p, err := job(t, d, log).Preview(t.Context(), state.Options{HashKey: []byte("k")})
	if err != nil || p.Events != 2 || len(p.Tables) != 1 || p.Tables[0].Name != "todos" || p.Tables[0].Changed != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	r, err := job(t, d, log).Commit(t.Context())
	if err != nil || r.Events != 2 || !r.Asserts[0].True {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := string(log.events[4].Args); got != `{"id":"b","list":"y, z","position":2}` {
		t.Error(got)
	}
	if _, err := job(t, edited, log).Commit(t.Context()); errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "another content") {
		t.Errorf("an edited input: %v", err)
	}
	if d.ClientRun() == nil {
		t.Error("a client has no input")
	}
}

func TestInputRefusals(t *testing.T) {
	with := func(directive string) string {
		return "-- headgate: requires >= 1.3.0\n" + directive + "\n-- +goose Up\n-- headgate: emit v1.TodoArchived key id\nSELECT id FROM todos;\n"
	}
	for _, c := range []struct {
		name, sql, csv, where, msg string
	}{
		{"no file named", with("-- headgate: input"), "a\n", "1_a.sql:2", "says nothing"},
		{"elsewhere", with("-- headgate: input ../own.csv"), "a\n", "1_a.sql:2", "not beside the migration"},
		{"no CSV", with("-- headgate: input own.json"), "a\n", "1_a.sql:2", "does not end in .csv"},
		{"no name", with("-- headgate: input my-own.csv"), "a\n", "1_a.sql:2", `"my-own" can't be a table's name`},
		{"reserved", with("-- headgate: input sqlite_schema.csv"), "a\n", "1_a.sql:2", "belong to others"},
		{"twice", with("-- headgate: input own.csv\n-- headgate: input OWN.csv"), "a\n", "1_a.sql:3", "an input already, on line 2"},
		{"late", with("") + "-- headgate: input own.csv\n", "a\n", "1_a.sql:6", "belongs before"},
		{"missing", with("-- headgate: input other.csv"), "a\n", "1_a.sql:2", "no file other.csv"},
		{"bad row", with("-- headgate: input own.csv"), "a,b\n1,2\n3\n", "own.csv:3", "another number of fields"},
		{"large", with("-- headgate: input own.csv"), "a\n" + strings.Repeat("x", migrations.MaxInputBytes), "own.csv", "at most 16 MB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := migrations.LoadDir(write(t, map[string]string{"1_a.sql": c.sql, "own.csv": c.csv}))
			e := errs.As(err)
			if e == nil || filepath.Base(e.Where) != c.where || !strings.Contains(e.Msg, c.msg) {
				t.Errorf("%v, want %s: %s", err, c.where, c.msg)
			}
		})
	}
	d := load(t, map[string]string{"1_a.sql": with("-- headgate: input Tags.csv"), "Tags.csv": "a\n"})
	p := migrations.Lint(d, []*schema.Release{todo(t, "1.3.0").Release})
	if len(p) != 1 || p[0].Line != 2 || !strings.Contains(p[0].Msg, "would hide the table tags of release 1.3.0") {
		t.Errorf("%+v", p)
	}
	if err := job(t, d, nil).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "1_a.sql:2: the input Tags.csv would hide") {
		t.Error(err)
	}
}
