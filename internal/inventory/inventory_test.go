package inventory_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"headgate/internal/errs"
	"headgate/internal/inventory"
	"headgate/internal/livestore"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, s inventory.Source) ([]inventory.Store, error) {
	t.Helper()
	s.Where = "headgate.yaml:7"
	var all []inventory.Store
	err := s.Read(t.Context(), func(r inventory.Store) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

func file(t *testing.T, name, text string) inventory.Source {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return inventory.Source{File: path}
}

// shell is a command that runs a script.
func shell(t *testing.T, script string) inventory.Source {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		testenv.Need(t, "sh", "run the tests on a Unix system")
	}
	return inventory.Source{Command: []string{"sh", "-c", script}, Dir: t.TempDir()}
}

// three are the stores that each kind of source has in TestRead; rows are where they stand.
func three(rows ...int) []inventory.Store {
	return []inventory.Store{
		{ID: "a", Schema: "main", Log: "sync-cf:https://sync.example.org/?a=b,c", Region: "eu west", State: inventory.Active, Row: rows[0]},
		{ID: "b-2", State: inventory.Hold, Row: rows[1]},
		{ID: "c_3", State: inventory.Deleted, Row: rows[2]},
	}
}

func TestRead(t *testing.T) {
	const object = `{"id":"a","schema":"main","log":"sync-cf:https://sync.example.org/?a=b,c","region":"eu west"}`
	tests := map[string]struct {
		source inventory.Source
		want   []inventory.Store
	}{
		"csv":                 {file(t, "s.csv", "\ufeffid,state,log,region,schema\r\na,,\"sync-cf:https://sync.example.org/?a=b,c\",eu west,main\r\n\r\nb-2,hold,,,\r\nc_3,deleted,,,"), three(2, 4, 5)},
		"json":                {file(t, "s.json", " [ "+object+`, {"id":"b-2","state":"hold","log":null},`+"\n"+`{"state":"deleted","id":"c_3"}] `), three(1, 2, 3)},
		"lines":               {file(t, "s.jsonl", object+"\n"+`{"id":"b-2","state":"hold"}`+"\n\n"+`{"id":"c_3","state":"deleted"}`), three(1, 2, 3)},
		"yaml":                {file(t, "s.yaml", "# ours\n- {id: a, schema: main, log: \"sync-cf:https://sync.example.org/?a=b,c\", region: eu west}\n- id: b-2\n  state: hold\n  log:\n- {id: c_3, state: deleted}\n"), three(2, 3, 6)},
		"command":             {shell(t, `cat <<'E'`+"\n["+object+`,{"id":"b-2","state":"hold"},{"id":"c_3","state":"deleted"}]`+"\nE\n"), three(1, 2, 3)},
		"command, lines":      {shell(t, `cat <<'E'`+"\n"+object+"\n"+`{"id":"b-2","state":"hold"}`+"\n"+`{"id":"c_3","state":"deleted"}`+"\nE\n"), three(1, 2, 3)},
		"an id like a number": {file(t, "s.yaml", "- {id: 007}\n"), []inventory.Store{{ID: "007", State: inventory.Active, Row: 1}}},
		"no stores, csv":      {file(t, "s.csv", "id\n"), nil},
		"no stores, json":     {file(t, "s.json", "[]"), nil},
		"no stores, yaml":     {file(t, "s.yml", "[]"), nil},
		"no stores, command":  {shell(t, "exit 0"), nil},
	}
	for name, test := range tests {
		got, err := read(t, test.source)
		if d := cmp.Diff(test.want, got); err != nil || d != "" {
			t.Errorf("%s: error %v (-want +got):\n%s", name, err, d)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		source inventory.Source
		where  string // its end
		want   string
	}{
		{"an unknown column", file(t, "s.csv", "id,regoin\na,b\n"), "s.csv:1", `unknown column "regoin"`},
		{"upper case", file(t, "s.csv", "ID\na\n"), "s.csv:1", `unknown column "ID"`},
		{"a column twice", file(t, "s.csv", "id,id\na,b\n"), "s.csv:1", `column "id" is there twice`},
		{"no id column", file(t, "s.csv", "region\nb\n"), "s.csv:1", "there is no column id"},
		{"an empty file", file(t, "s.csv", ""), "s.csv:1", "the inventory is empty"},
		{"too few values", file(t, "s.csv", "id,region\na,b\nc\n"), "s.csv:3", "wrong number of fields"},
		{"a quote", file(t, "s.csv", "id\na\nb\"c\n"), "s.csv:3", "not valid CSV"},
		{"an id twice", file(t, "s.csv", "id\na\nb\na\n"), "s.csv:4", "store a is there twice"},
		{"no id", file(t, "s.csv", "id,region\n,eu\n"), "s.csv:2", "the store has no id"},
		{"a bad id", file(t, "s.csv", "id\na/b\n"), "s.csv:2", `id "a/b" has other characters`},
		{"a letter of another alphabet", file(t, "s.csv", "id\nä\n"), "s.csv:2", "has other characters"},
		{"spaces", file(t, "s.csv", "id,region\na ,eu\n"), "s.csv:2", "column id has spaces around its value"},
		{"an idle that is none", file(t, "s.csv", "id,idle\na,yes\n"), "s.csv:2", "idle is neither true nor false"},
		{"a boolean", file(t, "s.json", `[{"id":"a","region":true}]`), "s.json: row 1", `column "region" is not a string`},
		{"a state", file(t, "s.csv", "id,state\na,Active\n"), "s.csv:2", `unknown state "Active"`},
		{"no text", file(t, "s.csv", "id,region\na,\x1b[31m\n"), "s.csv:2", "column region holds bytes that are no text"},
		{"no UTF-8", file(t, "s.csv", "id,region\na,\xff\n"), "s.csv:2", "column region holds bytes that are no text"},
		{"an unknown key", file(t, "s.json", `[{"id":"a"},{"id":"b","storeId":"c"}]`), "s.json: row 2", `unknown column "storeId"`},
		{"a key twice", file(t, "s.json", `[{"id":"a","id":"b"}]`), "s.json: row 1", `column "id" is there twice`},
		{"a number", file(t, "s.json", `[{"id":7}]`), "s.json: row 1", `column "id" is not a string`},
		{"no object", file(t, "s.json", `["a"]`), "s.json: row 1", "a store is not a JSON object"},
		{"cut off", file(t, "s.json", `[{"id":"a"},`), "s.json: row 2", "not valid JSON"},
		{"cut off without a comma", file(t, "s.json", `[{"id":"a"}`), "s.json: row 2", "not valid JSON"},
		{"a cut off line", file(t, "s.jsonl", `{"id":"a"}`+"\n"+`{"id":`), "s.jsonl: row 2", "not valid JSON"},
		{"no JSON", file(t, "s.json", `stores: a`), "s.json: row 1", "not valid JSON"},
		{"two arrays", file(t, "s.json", `[{"id":"a"}] []`), "s.json: row 2", "something follows"},
		{"YAML, a key", file(t, "s.yaml", "- id: a\n- id: b\n  regoin: c\n"), "s.yaml:2", `unknown column "regoin"`},
		{"YAML, a key twice", file(t, "s.yaml", "- {id: a, id: b}\n"), "s.yaml:1", `column "id" is there twice`},
		{"YAML, a mapping", file(t, "s.yaml", "stores:\n- id: a\n"), "s.yaml:1", "is not a list of stores"},
		{"YAML, words", file(t, "s.yaml", "- a\n"), "s.yaml:1", "a store is not a mapping"},
		{"YAML, a list", file(t, "s.yaml", "- id: [a]\n"), "s.yaml:1", `column "id" is not a single value`},
		{"no YAML", file(t, "s.yaml", "- {id: a\n"), "s.yaml", "not valid YAML"},
		{"no command", inventory.Source{Command: []string{filepath.Join(t.TempDir(), "nowhere")}}, ":7", "can't be run"},
		{"a failing command", shell(t, `echo '[{"id":"a"}]'; echo first >&2; echo no token >&2; exit 3`), ":7", "failed (exit status 3): no token"},
		{"a command that fails in the middle", shell(t, `echo '[{"id":"a"},'; exit 4`), ":7", "failed (exit status 4) and said nothing"},
		{"a command without JSON", shell(t, `echo a; sleep 60`), ":7: row 1 of the command", "not valid JSON"},
		{"a command with a bad row", shell(t, `while echo '{"id":"a"}'; do :; done`), ":7: row 2 of the command", "store a is there twice"},
	}
	for _, test := range tests {
		_, err := read(t, test.source)
		e := errs.As(err)
		if e == nil || e.Code != errs.Invalid || !strings.Contains(err.Error(), test.want) || !strings.HasSuffix(e.Where, test.where) {
			t.Errorf("%s: error %v, want one at %s that says %q", test.name, err, test.where, test.want)
		}
	}
	if _, err := read(t, inventory.Source{File: filepath.Join(t.TempDir(), "none.csv")}); errs.CodeOf(err) != errs.NotFound || !strings.Contains(errs.As(err).Hint, "headgate.yaml:7") {
		t.Errorf("no file: %v", err)
	}
}

func TestReadEnds(t *testing.T) {
	why := errors.New("enough")
	for name, s := range map[string]inventory.Source{
		"file": file(t, "s.csv", "id\na\nb\n"), "command": shell(t, `i=0; while echo "{\"id\":\"$i\"}"; do i=$((i+1)); done`),
	} {
		n := 0
		if err := s.Read(t.Context(), func(inventory.Store) error { n++; return why }); !errors.Is(err, why) || n != 1 {
			t.Errorf("%s: error %v after %d rows, want the caller's own after one", name, err, n)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		err := s.Read(ctx, func(inventory.Store) error { cancel(why); return nil })
		if !errors.Is(err, why) {
			t.Errorf("%s: error %v, want the context's cause", name, err)
		}
	}
}

// TestMostRows reads as many rows as there may be, and one more, and looks at what that takes.
func TestMostRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "many.csv")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "id,schema,region")
	for i := range inventory.MaxRows + 1 {
		fmt.Fprintf(w, "store-%d,main,eu\n", i)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	n, most := 0, uint64(0)
	err = inventory.Source{File: path}.Read(t.Context(), func(inventory.Store) error {
		if n++; n%200_000 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		return nil
	})
	if n != inventory.MaxRows || errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "more than 1000000 stores") {
		t.Errorf("%d rows, error %v", n, err)
	}
	t.Logf("%d MB of live heap", most>>20)
	if most > 150<<20 {
		t.Errorf("reading held %d MB", most>>20)
	}
}

func TestQuery(t *testing.T) {
	dsn := postgres(t, `CREATE TABLE tenants (key uuid, name text, n int);
		INSERT INTO tenants VALUES ('6e2b4c6e-0000-4000-8000-000000000001', 'main', 7), ('6e2b4c6e-0000-4000-8000-000000000002', NULL, 8)`)
	source := func(query string) inventory.Source { return inventory.Source{DSN: dsn, Query: query} }
	got, err := read(t, source(`SELECT key AS id, name AS schema, CASE WHEN n = 8 THEN 'hold' END AS state FROM tenants ORDER BY n`))
	want := []inventory.Store{
		{ID: "6e2b4c6e-0000-4000-8000-000000000001", Schema: "main", State: inventory.Active, Row: 1},
		{ID: "6e2b4c6e-0000-4000-8000-000000000002", State: inventory.Hold, Row: 2},
	}
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("error %v, stores (-want +got):\n%s", err, d)
	}
	if got, err := read(t, source("SELECT n AS id FROM tenants; ")); err != nil || len(got) != 2 || got[0].ID != livestore.StoreID("7") {
		t.Errorf("numbers: %v, %v", got, err)
	}
	many, err := read(t, source(`SELECT 's-' || i AS id FROM generate_series(1, 20000) AS i`))
	if err != nil || len(many) != 20000 {
		t.Errorf("%d rows, %v", len(many), err)
	}
	for query, want := range map[string]string{
		`SELECT key, name AS schema FROM tenants`:                     `unknown column "key"`,
		`SELECT name AS schema FROM tenants`:                          "there is no column id",
		`SELECT nope FROM tenants`:                                    `column "nope" does not exist`,
		`SELECT 'a' AS id UNION ALL SELECT 'a'`:                       "store a is there twice",
		`INSERT INTO tenants (name) VALUES ('hunter') RETURNING name`: "the inventory query wants to write",
		`COMMIT; DROP TABLE tenants`:                                  "multiple commands",
		`SELECT (1/(n-8))::text AS id FROM tenants ORDER BY n`:        "division by zero",
	} {
		if _, err := read(t, source(query)); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "headgate.yaml:7") {
			t.Errorf("%s: error %v, want %q", query, err, want)
		}
	}
}

func TestQueryWithoutPostgres(t *testing.T) {
	_, err := read(t, inventory.Source{DSN: "postgres://me:hunter2@127.0.0.1:1/x?sslmode=disable", Query: "SELECT 1"})
	if errs.CodeOf(err) != errs.Internal || !strings.Contains(err.Error(), "headgate.yaml:7: can't connect to Postgres") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

// postgres makes a schema of the test's own in a real Postgres, and returns the DSN whose search_path it is.
func postgres(t *testing.T, setup string) string {
	t.Helper()
	address := os.Getenv("HEADGATE_TEST_POSTGRES")
	if address == "" {
		address = "postgres://postgres@127.0.0.1:5432/test"
	}
	name := "inventory_" + strings.ToLower(rand.Text()[:10])
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	q.Set("connect_timeout", "5")
	u.RawQuery = q.Encode()
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		testenv.Need(t, "Postgres", "start one at "+address+", or name one in HEADGATE_TEST_POSTGRES")
	}
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+name+"; "+setup); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		if _, err := conn.Exec(ctx, "DROP SCHEMA "+name+" CASCADE"); err != nil {
			t.Error(err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return u.String()
}

func TestIdle(t *testing.T) {
	for name, src := range map[string]inventory.Source{
		"csv":      file(t, "s.csv", "id,idle\na,true\nb,false\nc,\n"),
		"json":     file(t, "s.json", `[{"id":"a","idle":true},{"id":"b","idle":false},{"id":"c"}]`),
		"yaml":     file(t, "s.yaml", "- {id: a, idle: true}\n- {id: b, idle: false}\n- {id: c}\n"),
		"postgres": file(t, "p.csv", "id,idle\na,t\nb,f\nc,\n"), // as it writes a boolean
	} {
		got, err := read(t, src)
		if err != nil || len(got) != 3 || !got[0].Idle || got[1].Idle || got[2].Idle {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
