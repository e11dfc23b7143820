package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/engine"
)

func TestWritesAsksSQLite(t *testing.T) {
	db := open(t, "")
	for _, s := range []string{
		"create table a (id text primary key, n integer) strict", "create table b (id text primary key, a text references a(id)) without rowid",
		"create table c (x)", "create index b_a on b (a)",
		"create trigger t after insert on c begin update a set n = n + 1; end",
	} {
		if err := db.Exec(s, engine.Binds{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		sql  string
		want []string
	}{
		{"insert into a values (?, 1) on conflict (id) do update set n = n + 1", []string{"a"}},
		{"insert into b select id, id from a", []string{"b"}},
		{"update b set a = ? where id in (select id from a)", []string{"b"}},
		{"delete from a", []string{"a"}},
		{"delete from a where id = $id", []string{"a"}},
		{"insert into c values (?)", []string{"a", "c"}}, // the trigger
		{"insert into a values (?, 1); delete from b where id = ?", []string{"a", "b"}},
		{"select * from a", nil},
		{"create table d (x)", []string{"sqlite_schema"}},
	} {
		sql, want := c.sql, c.want
		got, err := db.Writes(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", sql, diff)
		}
	}
	if _, err := db.Writes("insert into nowhere values (1)"); err == nil {
		t.Error("a table that does not exist was accepted")
	}
	if got, _ := db.Split("insert into a values (';', 1); -- and\n delete from b "); !cmp.Equal(got, []string{"insert into a values (';', 1);", "-- and\n delete from b"}) {
		t.Errorf("got %q", got)
	}
}

func TestBindsDiffNamesTypesOnly(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{`["x",1]`, `["x",1]`, ""},
		{`["secret",1]`, `["hidden",1]`, "parameter 1: another text(6)"},
		{`["x",1]`, `["x",2.5]`, "parameter 2: integer -> real"},
		{`{"$a":null}`, `{"$a":"x"}`, "parameter $a: null -> text(1)"},
		{`["x"]`, `["x",null]`, "the number of parameters"},
	} {
		a, b := binds(t, c.a), binds(t, c.b)
		if got := a.Diff(b); got != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.a, c.b, got, c.want)
		}
		text, err := a.MarshalJSON()
		if err != nil || !binds(t, string(text)).Equal(a) {
			t.Errorf("%s became %s (%v)", c.a, text, err)
		}
	}
}
