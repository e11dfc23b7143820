package migrations_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headgate/internal/errs"
	"headgate/migrations"
)

const whole = `-- What it is for; this comment; has semicolons;
-- headgate: schema main
-- headgate: requires >= 1.1.0, < 3            -- releases that define it
-- headgate: after 00000, 2
-- headgate: needed-by >= 1.3.0
-- headgate: marker v1.Migrated
-- +goose Up
-- headgate: emit v1.TodoPrioritySet key id list
-- +goose StatementBegin
SELECT id, "list", 'a;b -- no comment ''quoted''' AS x, [odd;name] /* ; */
FROM todos -- the rest;
WHERE priority IS NULL;
-- +goose StatementEnd
-- headgate: emit v1.Other key id
WITH t AS (SELECT 1 AS id) SELECT id, strftime('%Y', at, 'unixepoch') AS y, date(at) FROM t;
-- headgate: assert 'it''s done' SELECT count(*) = 0 FROM todos WHERE a = '-- x'; -- yes
-- headgate: assert 'two'
VALUES (1);
`

func TestParse(t *testing.T) {
	d, err := migrations.Parse("m/00012_set_priority.sql", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	want := migrations.Definition{
		Number: 12, Name: "00012_set_priority", Path: "m/00012_set_priority.sql",
		Schema: "main", Requires: ">= 1.1.0, < 3", RequiresLine: 3, After: []string{"00000", "2"}, AfterLine: 4, Needed: ">= 1.3.0", Marker: "v1.Migrated", MarkerLine: 6,
		Emits: []migrations.Emit{
			{Event: "v1.TodoPrioritySet", Key: []string{"id", "list"}, Line: 8, SQLLine: 10, SQL: "SELECT id, \"list\", 'a;b -- no comment ''quoted''' AS x, [odd;name] /* ; */\nFROM todos -- the rest;\nWHERE priority IS NULL"},
			{Event: "v1.Other", Key: []string{"id"}, Line: 14, SQLLine: 15, SQL: "WITH t AS (SELECT 1 AS id) SELECT id, strftime('%Y', at, 'unixepoch') AS y, date(at) FROM t"},
		},
		Asserts: []migrations.Assert{
			{Label: "it's done", Line: 16, SQLLine: 16, SQL: "SELECT count(*) = 0 FROM todos WHERE a = '-- x'"},
			{Label: "two", Line: 17, SQLLine: 18, SQL: "VALUES (1)"},
		},
	}
	opts := cmp.Options{cmpopts.IgnoreUnexported(migrations.Definition{}), cmpopts.IgnoreFields(migrations.Definition{}, "Checksum")}
	if diff := cmp.Diff(want, d, opts); diff != "" {
		t.Error(diff)
	}
	for v, ok := range map[string]bool{"1.0.9": false, "1.1.0": true, "2.9.9": true, "3.0.0": false, "no version": false} {
		if d.Admits(v) != ok {
			t.Errorf("Admits(%s) = %v", v, !ok)
		}
	}
	if d.NeededBy("1.2.9") || !d.NeededBy("1.3.0") {
		t.Error("needed-by is not >= 1.3.0")
	}
	if v, ok := migrations.Newest(d, []string{"1.0.0", "1.10.0", "1.9.0", "3.1.0"}); v != "1.10.0" || !ok {
		t.Errorf("Newest = %s, %v", v, ok)
	}
	crlf, err := migrations.Parse(d.Path, []byte(strings.ReplaceAll(whole, "\n", "\r\n")))
	if err != nil || crlf.Checksum != d.Checksum {
		t.Errorf("CRLF: error %v, checksum %s, want %s", err, crlf.Checksum, d.Checksum)
	}
	edited, err := migrations.Parse(d.Path, []byte(whole+"\n"))
	if err != nil || edited.Checksum == d.Checksum || edited.ClientID() == d.ClientID() {
		t.Errorf("an edited file has the same checksum (%v)", err)
	}
}

// file is a migration with one emit, whose query is given, from line 4 on.
func file(query string) string {
	return "-- headgate: requires >= 1.0.0\n-- +goose Up\n-- headgate: emit v1.E key id\n" + query
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		msg        string
	}{
		{"empty", "", 1, "no `-- +goose Up`"},
		{"emits nothing", "-- headgate: requires >= 1\n-- +goose Up\n", 1, "emits nothing"},
		{"no requires", "-- +goose Up\n-- headgate: emit v1.E key id\nSELECT 1 AS id;", 1, "which releases"},
		{"bad requires", "-- headgate: requires newer\n", 1, "no condition on versions"},
		{"twice", "-- headgate: schema a\n-- headgate: schema b\n", 2, `second "schema"`},
		{"late", file("SELECT 1 AS id;\n-- headgate: schema a\n"), 5, "belongs before"},
		{"early", "-- headgate: emit v1.E key id\n", 1, "belongs after"},
		{"unknown directive", "-- headgate: emits v1.E\n", 1, `unknown directive "emits"`},
		{"no key", "-- +goose Up\n-- headgate: emit v1.E\n", 2, "names the event and the columns"},
		{"emit twice", file("SELECT 1 AS id;\n-- headgate: emit v1.E key id\nSELECT 1 AS id;"), 5, "emitted already, on line 3"},
		{"down", file("SELECT 1 AS id;\n-- +goose Down\nDROP TABLE x;"), 5, "can't be un-committed"},
		{"other goose", "-- +goose NO TRANSACTION\n", 1, "means nothing"},
		{"no end", file("SELECT 1 AS id\n"), 4, "semicolon is missing"},
		{"open quote", file("SELECT 'a;\n\n"), 4, "has no end"},
		{"open comment", file("SELECT 1 AS id; /* x\n"), 4, "has no end"},
		{"directive inside", file("SELECT 1\n-- headgate: assert 'x' SELECT 1;\n;"), 5, "lacks its semicolon|directive inside"},
		{"insert", file("INSERT INTO t VALUES (1);"), 4, "only a query can stand here"},
		{"pragma", file("PRAGMA user_version=1;"), 4, "only a query can stand here"},
		{"attach", file("ATTACH 'x' AS y;"), 4, "only a query can stand here"},
		{"with delete", file("WITH a AS (SELECT 1)\nDELETE FROM t;"), 5, "changes no table"},
		{"stray", file("SELECT 1 AS id; SELECT 2;"), 4, "not said what this query is for"},
		{"emit without query", file("\n-- headgate: assert 'x' SELECT 1;"), 3, "has no query"},
		{"assert without label", file("SELECT 1 AS id;\n-- headgate: assert SELECT 1;"), 5, "begins with what should hold"},
		{"assert twice", file("SELECT 1 AS id;\n-- headgate: assert 'x' SELECT 1;\n-- headgate: assert 'x' SELECT 1;"), 6, "already, on line 5"},
		{"assert, something follows", file("SELECT 1 AS id;\n-- headgate: assert 'x' SELECT 1; SELECT 2;"), 5, "something follows"},
		{"parameter", file("SELECT id\nFROM t WHERE a = ?;"), 5, "no parameters"},
		{"named parameter", file("SELECT :id;"), 4, "no parameters"},
		{"random", file("SELECT id,\n random() FROM t;"), 5, "random()"},
		{"quoted random", file("SELECT \"random\"();"), 4, "random()"},
		{"current_timestamp", file("SELECT CURRENT_TIMESTAMP;"), 4, "current_timestamp"},
		{"changes", file("SELECT changes ();"), 4, "changes()"},
		{"now", file("SELECT datetime('NOW');"), 4, "datetime('now')"},
		{"now in an expression", file("SELECT julianday(coalesce(at, 'now')) FROM t;"), 4, "julianday('now')"},
		{"no argument", file("SELECT date();"), 4, "without a time"},
		{"strftime without a time", file("SELECT strftime('%s');"), 4, "without a time"},
		{"subsec as the time", file("SELECT datetime('subsec');"), 4, "datetime('subsec')"},
		{"the marker is emitted", "-- headgate: marker v1.E\n" + file("SELECT 1 AS id;"), 1, "the marker v1.E is emitted, too"},
		{"local time", file("SELECT date(at, 'localtime') FROM t;"), 4, "time zone"},
		{"not UTF-8", file("SELECT '\xff';"), 0, "not UTF-8"},
		{"zero byte", file("SELECT '\x00';"), 0, "zero byte"},
		{"large", file("SELECT 1;" + strings.Repeat(" ", migrations.MaxFileBytes)), 0, "at most 1 MB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := migrations.Parse("m/1_a.sql", []byte(c.text))
			e := errs.As(err)
			if e == nil {
				t.Fatalf("error %v", err)
			}
			where := "m/1_a.sql"
			if c.line > 0 {
				where = fmt.Sprintf("m/1_a.sql:%d", c.line)
			}
			one := false
			for m := range strings.SplitSeq(c.msg, "|") {
				one = one || strings.Contains(e.Msg, m)
			}
			if e.Where != where || !one || e.Code != errs.Invalid {
				t.Errorf("%s: %s, want %s: …%s…", e.Where, e.Msg, where, c.msg)
			}
		})
	}
	for _, good := range []string{
		"SELECT 'now' AS id;", "SELECT random AS id FROM t;", "SELECT t.changes AS id FROM t;", "SELECT date('2020-01-01') AS id;", "SELECT datetime(at, 'subsec') AS id FROM t;",
		"SELECT replace(id, 'a', 'b') AS id FROM t;", "SELECT \"update\" AS id FROM t;", "SELECT 1e-5 AS id, .5, 0x1F;",
	} {
		if _, err := migrations.Parse("m/1_a.sql", []byte(file(good))); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, name := range []string{"a.sql", "1.sql", "1_A.sql", "1_.sql", "99999999999999999999_a.sql", "1_a.txt"} {
		if _, err := migrations.Parse(name, []byte(whole)); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestLoadDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := migrations.LoadDir(filepath.Join(dir, "none")); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
	one := file("SELECT 1 AS id;")
	write("00002_b.sql", "-- headgate: after 1\n"+one)
	write("00001_a.sql", one)
	write("README.md", "no migration")
	all, err := migrations.LoadDir(dir)
	if err != nil || len(all) != 2 || all[0].Name != "00001_a" || all[1].After[0] != "00001_a" {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, name := range []string{"2", "00002", "b", "00002_b", "headgate/migrations/00002_b.sql"} {
		if d, err := migrations.Find(all, name); err != nil || d.Number != 2 {
			t.Errorf("Find(%s) = %s, %v", name, d.Name, err)
		}
	}
	if _, err := migrations.Find(all, "c"); errs.CodeOf(err) != errs.NotFound || !strings.Contains(errs.As(err).Hint, "00001_a") {
		t.Errorf("Find(c): %v", err)
	}
	for name, text := range map[string]string{
		"00003_c.sql":  "-- headgate: after 9\n" + one,
		"00004_d.sql":  "-- headgate: after 5\n" + one,
		"2_twice.sql":  one,
		"misnamed.sql": one,
	} {
		write(name, text)
		write("00005_e.sql", one)
		_, err := migrations.LoadDir(dir)
		if e := errs.As(err); e == nil || !strings.Contains(e.Where, name) && !strings.Contains(e.Msg, strings.TrimSuffix(name, ".sql")) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever the file, Parse gives a definition or an error with a place, and what it takes for a query is in the file.
func FuzzParse(f *testing.F) {
	for _, s := range []string{whole, file("SELECT 1 AS id;"), "-- +goose Down", "-- headgate:", "'", "/*", "[", "-- headgate: emit a key b\nSELECT :x;", "-- headgate: input a.csv\n" + file("SELECT id FROM a;"), "-- headgate: input sqlite_.csv", "-- headgate: input ../a.csv -- b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := migrations.Parse("m/1_a.sql", data)
		if err != nil {
			if e := errs.As(err); e == nil || !strings.HasPrefix(e.Where, "m/1_a.sql") || !utf8.ValidString(e.Msg) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, e := range d.Emits {
			if !strings.Contains(string(data), e.SQL) || e.SQLLine > lines || e.SQLLine < e.Line || e.Event == "" || len(e.Key) == 0 {
				t.Fatalf("%+v", e)
			}
		}
		if len(d.Emits) == 0 {
			t.Fatal("a migration without an emit was accepted")
		}
	})
}
