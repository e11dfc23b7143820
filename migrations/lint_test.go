package migrations_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
)

func todos(t testing.TB) []*schema.Release {
	t.Helper()
	var out []*schema.Release
	for _, v := range []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0"} {
		out = append(out, todo(t, v).Release)
	}
	return out
}

func emitting(requires, event, sql string) string {
	return fmt.Sprintf("-- headgate: requires %s\n-- +goose Up\n-- headgate: emit %s key id\n%s;\n", requires, event, sql)
}

func TestLint(t *testing.T) {
	releases := todos(t)
	for _, c := range []struct {
		name, text string
		want       []string // line: beginning of each message
	}{
		{"good", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos"), nil},
		{"no such release", emitting(">= 2", "v1.TodoArchived", "SELECT id FROM todos"), []string{"1: no recorded release is >= 2"}},
		{"too old a release", emitting(">= 1.0.0", "v1.TodoArchived", "SELECT id FROM todos"), []string{"3: v1.TodoArchived is not defined in 1.0.0, 1.1.0"}},
		{"nowhere defined", emitting(">= 1.2.0", "v7.Nothing", "SELECT id FROM todos"), []string{"3: v7.Nothing is not defined in 1.2.0, 1.3.0"}},
		{"client-only", emitting(">= 1.2.0", "v1.DraftSaved", "SELECT id FROM todos"), []string{"3: v1.DraftSaved is clientOnly"}},
		{"client document", emitting(">= 1.2.0", "uiSet", "SELECT id FROM todos"), []string{"3: uiSet belongs to a client document", "3: the arguments of uiSet", "3: the key"}},
		{"key is no field", strings.Replace(emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos"), "key id", "key nr", 1), []string{"3: the key \"nr\" is no field"}},
		{"client's own tables", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos\nWHERE id IN (SELECT text FROM drafts) OR id IN (SELECT id FROM \"ui\")"), []string{"5: the table drafts", "5: the table ui"}},
		{"draft", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos\nWHERE false -- decide: which?\n"), []string{"5: what the draft asks is not decided: which?"}},
		{"no row", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos\nWHERE 1 = 0 ORDER BY id"), []string{"5: the query returns no row"}},
		{"a row after all", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos WHERE 0 OR completed"), nil},
		{
			"no assert", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos") + "-- headgate: assert 'a' SELECT 1;\n-- headgate: assert 'b' SELECT count(*) = 0 FROM todos WHERE false;\n-- headgate: assert 'c'\nSELECT count(*) > 0 FROM \"todos\";",
			[]string{`5: the assert "a" proves nothing: it reads no table`, `6: the assert "b" proves nothing: its WHERE is false`},
		},
		{"marker", "-- headgate: marker v1.Migrated\n" + emitting(">= 1.3.0", "v1.TodoArchived", "SELECT id FROM todos"), []string{"1: v1.Migrated is not defined in 1.3.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			problems := migrations.Lint(definition(t, "1_a", c.text), releases)
			var got []string
			for _, p := range problems {
				got = append(got, fmt.Sprintf("%d: %s", p.Line, p.Msg))
			}
			for i, w := range c.want {
				if i >= len(got) || !strings.HasPrefix(got[i], w) {
					if c.name == "client document" && i > 0 {
						continue // what else is said of it does not matter
					}
					t.Errorf("got %q, want %q", got, c.want)
					break
				}
			}
			if len(c.want) == 0 && len(got) > 0 {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("MT102", func(t *testing.T) {
		r := *todo(t, "1.3.0").Release
		r.Materializers = []schema.Materializer{{Event: "v1.TodoArchived", Complete: true, Operations: []schema.Operation{{SQL: "INSERT", Tables: []string{"todos"}, Kind: "insert"}}}}
		got := migrations.Lint(definition(t, "1_a", emitting(">= 1.3.0", "v1.TodoArchived", "SELECT id FROM todos")), []*schema.Release{&r})
		if len(got) != 1 || got[0].Code != "MT102" || got[0].Line != 3 {
			t.Errorf("%+v", got)
		}
		r.Materializers = nil
		got = migrations.Lint(definition(t, "1_a", emitting(">= 1.3.0", "v1.TodoArchived", "SELECT id FROM todos")), []*schema.Release{&r})
		if len(got) != 1 || !strings.Contains(got[0].Msg, "no materializer in 1.3.0") {
			t.Errorf("%+v", got)
		}
	})
}

func TestReaders(t *testing.T) {
	releases := todos(t)
	target := todo(t, "1.3.0").Release
	d := definition(t, "1_a", emitting(">= 1.2.0", "v1.TodoArchived", "SELECT id FROM todos"))
	verdicts := func(d migrations.Definition, live []*schema.Release, web bool) string {
		var out []string
		for _, r := range migrations.Readers(d, target, live, web) {
			out = append(out, r.Release+" "+string(r.Verdict))
		}
		return strings.Join(out, ", ")
	}
	if got := verdicts(d, releases, false); got != "1.0.0 skips, 1.1.0 skips, 1.2.0 reads, 1.3.0 reads" {
		t.Error(got)
	}
	failing := *releases[1]
	failing.UnknownEventHandling = "fail"
	if got := verdicts(d, []*schema.Release{&failing, releases[2]}, false); got != "1.1.0 breaks, 1.2.0 reads" {
		t.Error(got)
	}
	if r := migrations.Readers(d, target, releases[1:2], true); !strings.Contains(r[0].Why, "in a browser") {
		t.Errorf("%+v", r)
	}
	// A release that knows the event by another shape can't decode what the target's query makes.
	other := *releases[3]
	other.Version = "1.2.5"
	other.Events = nil
	for _, e := range releases[3].Events {
		if e.Name == "v1.TodoArchived" {
			scheduled, _ := releases[3].Event("v1.TodoScheduled")
			e.Args, e.SchemaHash = scheduled.Args, scheduled.SchemaHash
		}
		other.Events = append(other.Events, e)
	}
	if got := verdicts(d, []*schema.Release{&other}, false); got != "1.2.5 breaks" {
		t.Error(got)
	}
	silent := *releases[3]
	silent.Materializers = nil
	if got := verdicts(d, []*schema.Release{&silent}, false); got != "1.3.0 skips" {
		t.Error(got)
	}
}

func TestDraft(t *testing.T) {
	r := todo(t, "1.3.0").Release
	name, text, err := migrations.Draft{Number: 7, Name: "schedule", Release: r, Event: "v1.TodoScheduled"}.File()
	if err != nil || name != "00007_schedule.sql" {
		t.Fatal(name, err)
	}
	// It asks what it can't know, and check does not let that pass. The assert comes from what the event brings.
	d, err := migrations.Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if p := migrations.Lint(d, []*schema.Release{r}); len(p) != 1 || !strings.Contains(p[0].Msg, "not decided: which value?") || p[0].Line != 7 {
		t.Errorf("%+v\n%s", p, text)
	}
	if want := "assert 'none lacks dueAt' SELECT count(*) = 0 FROM todos WHERE dueAt IS NULL;"; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	text = regexp.MustCompile(`-- decide.*`).ReplaceAllString(strings.Replace(text, "  dueAt -", "  '2030-01-01T00:00:00.000Z' AS dueAt -", 1), "")
	if d, err = migrations.Parse(name, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if p := migrations.Lint(d, []*schema.Release{r}); len(p) > 0 {
		t.Errorf("%+v\n%s", p, text)
	}
	if err := job(t, d, nil).Check(t.Context()); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	// Where nothing says which rows, rows and assert are both to be filled in.
	if name, text, err = (migrations.Draft{Number: 7, Name: "archive", Release: r, Event: "v1.TodoArchived"}).File(); err != nil {
		t.Fatal(err)
	}
	if d, err = migrations.Parse(name, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if p := migrations.Lint(d, []*schema.Release{r}); len(p) != 2 || !strings.Contains(p[1].Msg, "proves nothing") {
		t.Errorf("%+v\n%s", p, text)
	}
	for _, bad := range []migrations.Draft{
		{Name: "Bad Name", Release: r},
		{Name: "a", Release: r, Event: "v1.Nothing"},
		{Name: "a", Release: r, Event: "v1.TodoArchived", Key: []string{"nr"}},
	} {
		if _, _, err := bad.File(); errs.As(err) == nil || errs.As(err).Hint == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
