package engine_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/engine"
)

func open(t *testing.T, path string) *engine.DB {
	t.Helper()
	db, err := engine.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func binds(t *testing.T, json string) engine.Binds {
	t.Helper()
	var b engine.Binds
	if err := b.UnmarshalJSON([]byte(json)); err != nil {
		t.Fatal(err)
	}
	return b
}

func query(t *testing.T, db *engine.DB, sql string, b engine.Binds) [][]any {
	t.Helper()
	var out [][]any
	err := db.Query(sql, b, func(_ []string, v []any) error {
		out = append(out, append([]any(nil), v...))
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// Each value comes back with the type that LiveStore's binding gives it.
func TestBindsAsLiveStore(t *testing.T) {
	db := open(t, "")
	for _, c := range []struct{ binds, want string }{
		{`[1]`, "integer"},
		{`[-2147483648]`, "integer"},
		{`[2147483648]`, "real"}, // beyond 32 bits a number is a double, whole or not
		{`[9007199254740991]`, "real"},
		{`[1.5]`, "real"},
		{`["a"]`, "text"},
		{`[null]`, "null"},
		{`[{"$":"blob","v":"AA=="}]`, "blob"},
		{`[{"$":"blob","v":""}]`, "null"}, // no bytes, no address
		{`[{"$":"int","v":"9007199254740993"}]`, "integer"},
		{`[]`, "null"}, // a missing parameter stays NULL
	} {
		if got := query(t, db, "SELECT typeof(?)", binds(t, c.binds))[0][0]; got != c.want {
			t.Errorf("%s is bound as %v, want %s", c.binds, got, c.want)
		}
	}
	got := query(t, db, "SELECT $a, $b, $c, ?, length($d)", binds(t, `{"$a":"x","$b":{"$":"inf","v":"-"},"$d":"ab\u0000c"}`))
	if diff := cmp.Diff([][]any{{"x", math.Inf(-1), nil, nil, int64(2)}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestStrictColumnTakesWholeDouble(t *testing.T) {
	db := open(t, "")
	if err := db.Exec("create table t (i integer) strict", engine.Binds{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("insert into t values (?)", binds(t, `[9007199254740991]`)); err != nil {
		t.Fatal(err)
	}
	if got := query(t, db, "select i, typeof(i) from t", engine.Binds{}); !cmp.Equal(got, [][]any{{int64(9007199254740991), "integer"}}) {
		t.Errorf("got %v", got)
	}
	if err := db.Exec("insert into t values (?)", binds(t, `[2.5]`)); err == nil || !strings.Contains(err.Error(), "cannot store REAL") {
		t.Errorf("a fraction in an INTEGER column: %v", err)
	}
}

func TestSeveralStatementsShareTheirBinds(t *testing.T) {
	db := open(t, "")
	if err := db.Exec("create table t (a); create table u (a)", engine.Binds{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("insert into t values (?); insert into u values (?)", engine.Positional("x")); err != nil {
		t.Fatal(err)
	}
	if got := query(t, db, "select t.a, u.a from t, u", engine.Binds{}); !cmp.Equal(got, [][]any{{"x", "x"}}) {
		t.Errorf("got %v", got)
	}
	// As in LiveStore, all statements are prepared first: the second can't use a table that the first makes.
	if err := db.Exec("create table v (a); insert into v values (1)", engine.Binds{}); err == nil {
		t.Error("a statement saw a table that did not exist when the text was prepared")
	}
}

// A number turns into a text of 15 digits, and "x" is a name: as in LiveStore's SQLite, and unlike in newer ones as they come.
func TestTextsAsLiveStore(t *testing.T) {
	db := open(t, "")
	if got := query(t, db, "SELECT (0.1 + 0.2) || '', CAST(1.0 / 3 AS TEXT)", engine.Binds{}); got[0][0] != "0.3" || got[0][1] != "0.333333333333333" {
		t.Errorf("numbers as texts: %q", got)
	}
	db.Digits(17)
	if got := query(t, db, "SELECT (0.1 + 0.2) || '', 0.1 || ''", engine.Binds{}); got[0][0] != "0.30000000000000004" || got[0][1] != "0.1" {
		t.Errorf("numbers as texts of 17 digits: %q", got)
	}
	for _, sql := range []string{`SELECT "x"`, `CREATE TABLE t (a CHECK (a <> "x"))`} {
		if err := db.Exec(sql, engine.Binds{}); err == nil {
			t.Errorf("%s: no error", sql)
		}
	}
}

func TestNoOtherFileIsReachable(t *testing.T) {
	dir := t.TempDir()
	db := open(t, filepath.Join(dir, "state.db"))
	for _, sql := range []string{
		"ATTACH '" + filepath.Join(dir, "other.db") + "' AS other",
		"VACUUM INTO '" + filepath.Join(dir, "copy.db") + "'",
		"SELECT load_extension('x')",
		"SELECT readfile('/etc/passwd')",
	} {
		if err := db.Exec(sql, engine.Binds{}); err == nil {
			t.Errorf("%s works", sql)
		}
	}
	if m, _ := filepath.Glob(filepath.Join(dir, "*")); len(m) > 1 {
		t.Errorf("files appeared: %v", m)
	}
}

func TestErrorsKeepTheConnectionUsable(t *testing.T) {
	db := open(t, "")
	if err := db.Exec("create table t (a integer primary key) strict; ", engine.Binds{}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_ = db.Exec("insert into t values (1)", engine.Binds{})
	}
	err := db.Exec("insert into t values (1)", engine.Binds{})
	if err == nil || !strings.Contains(err.Error(), "UNIQUE constraint failed: t.a") {
		t.Fatalf("got %v", err)
	}
	if got := query(t, db, "select count(*) from t", engine.Binds{}); !cmp.Equal(got, [][]any{{int64(1)}}) {
		t.Errorf("got %v", got)
	}
}
