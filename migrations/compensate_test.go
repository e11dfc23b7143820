package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
)

func TestCompensation(t *testing.T) {
	r := todo(t, "1.3.0").Release
	tag := file("SELECT uuid5(list) AS id, list AS name FROM todos GROUP BY list;")
	tag = strings.Replace(tag, "v1.E", "v1.TagCreated", 1)
	for _, c := range []struct {
		name string
		of   migrations.Definition
		want []string
		not  string
	}{
		{"archive", definition(t, "00001_archive_again", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos WHERE list = 'archive' -- all\nORDER BY id")), []string{
			"v1.TodoMoved (id, list, position): sets list, position",
			"WITH chosen AS (\nSELECT id FROM todos WHERE list = 'archive' -- all\nORDER BY id\n)",
			"-- headgate: emit v1.TodoMoved key id\n",
			"WHERE false",
			"AND (t.id) IN (SELECT id FROM chosen)",
			"in the events of the client hg:00001_archive_again:",
		}, "v1.DraftSaved"},
		{"two events", definition(t, "00003_schedule", schedule), []string{"emit v1.TodoScheduled key id", "emit v1.TagCreated key id", "-- decide"}, ""},
		{"tagged", definition(t, "1_tag", strings.Replace(emitting(">= 1.2.0", "v1.TodoTagged", "SELECT id AS todoId, 'x' AS tagId FROM todos"), "key id", "key todoId tagId", 1)), []string{
			"emit v1.TodoUntagged key todoId tagId", "AND (t.todoId, t.tagId) IN (SELECT todoId, tagId FROM chosen)", "deletes from todo_tags",
		}, ""},
		{"ids that the migration made", definition(t, "1_tag", tag), []string{"1_tag made their keys", "emit v1.TagCreated key id"}, "chosen"},
		{"TypeScript", load(t, splitFiles()), []string{"00002_split is in TypeScript", "emit v1.TagCreated key id"}, "chosen"},
		{"inputs", load(t, map[string]string{"1_own.sql": strings.Replace(owned, `"positions"`, "positions", 1), "lists.csv": "id,list\n", "positions.csv": "id,position\n"}), []string{"-- headgate: input lists.csv\n"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, text, err := migrations.Compensation{Number: 12, Of: c.of, Release: r}.File()
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in\n%s", w, text)
				}
			}
			if c.not != "" && strings.Contains(text, c.not) {
				t.Errorf("there is %q in\n%s", c.not, text)
			}
			// It parses, its queries run, nothing is wrong with it but that nobody decided, and so it commits nothing.
			files := map[string]string{name: text, "lists.csv": "id,list\n", "positions.csv": "id,position\n"}
			d := load(t, files)
			if d.Number != 12 {
				t.Error(d.Name)
			}
			if p := migrations.Lint(d, []*schema.Release{r}); len(p) != len(d.Emits)+len(d.Asserts) {
				t.Errorf("%+v\n%s", p, text)
			} else if i := slices.IndexFunc(p, func(p migrations.Problem) bool {
				return !strings.Contains(p.Msg, "not decided") && !strings.Contains(p.Msg, "proves nothing")
			}); i >= 0 {
				t.Errorf("%+v\n%s", p[i], text)
			}
			log := &memLog{}
			log.create("a")
			if got, err := job(t, d, log).Commit(t.Context()); err != nil || got.Events != 0 {
				t.Errorf("%+v, %v\n%s", got, err, text)
			}
			if err := job(t, d, nil).Check(t.Context()); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
	_, _, err := migrations.Compensation{Of: definition(t, "1_a", file("SELECT 1 AS id;")), Release: r}.File()
	if errs.CodeOf(err) != errs.NotFound {
		t.Error(err)
	}
}
