package control_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"headgate/internal/control"
	"headgate/internal/control/controltest"
	"headgate/internal/errs"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSQLite(t *testing.T) {
	controltest.Run(t, func(t *testing.T) string {
		return "sqlite:" + filepath.Join(t.TempDir(), ".headgate", "control.db")
	})
}

func TestPostgres(t *testing.T) {
	server := postgres(t)
	controltest.Run(t, func(t *testing.T) string { return schema(t, server) })
}

// postgres is the address of a Postgres where databases may be made.
func postgres(t testing.TB) string {
	t.Helper()
	address := os.Getenv("HEADGATE_TEST_POSTGRES")
	if address == "" {
		address = "postgres://postgres@127.0.0.1:5432/test"
	}
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		testenv.Need(t, "Postgres", "start one at "+address+", or name one in HEADGATE_TEST_POSTGRES")
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return address
}

// schema makes a schema of the test's own, and returns an address that leads into it. The address has a password, which
// the server does not ask for.
func schema(t testing.TB, server string) string {
	t.Helper()
	name := fresh(t, server, `SCHEMA`, `CASCADE`)
	u := withPassword(t, server)
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return u.String()
}

// database makes a database of the test's own, which costs more than a schema.
func database(t *testing.T, server string) string {
	t.Helper()
	name := fresh(t, server, `DATABASE`, `WITH (FORCE)`)
	u := withPassword(t, server)
	u.Path = "/" + name
	return u.String()
}

// fresh creates something that is dropped when the test ends.
func fresh(t testing.TB, server, kind, how string) (name string) {
	t.Helper()
	name = "control_" + strings.ToLower(rand.Text()[:10])
	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE `+kind+` `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		if _, err := conn.Exec(ctx, `DROP `+kind+` `+name+` `+how); err != nil {
			t.Error(err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return name
}

func withPassword(t testing.TB, server string) *url.URL {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	if _, has := u.User.Password(); !has {
		u.User = url.UserPassword(u.User.Username(), "hunter2")
	}
	return u
}

// A database that is not there is not made by whoever only wants to read it.
func TestExisting(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".headgate", "control.db")
	for _, address := range []string{"sqlite:" + path, schema(t, postgres(t))} {
		opt := control.Options{URL: address, Existing: true, Now: time.Now}
		for range 2 {
			if _, err := control.Open(t.Context(), opt); errs.CodeOf(err) != errs.NotFound {
				t.Fatalf("%v", err)
			}
		}
		db, err := control.Open(t.Context(), control.Options{URL: address, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		again, err := control.Open(t.Context(), opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []*control.DB{db, again} {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSQLiteFileIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such modes")
	}
	path := filepath.Join(t.TempDir(), "new", "control #1?.db") // what a URL would cut off
	db, err := control.Open(t.Context(), control.Options{URL: "sqlite:" + path, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is written
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(f, path) {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

// TestOpenTogether: of many that find no tables, one makes them, each definition once, and the others wait.
func TestOpenTogether(t *testing.T) {
	for range 10 {
		url := "sqlite:" + filepath.Join(t.TempDir(), "control.db")
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				db, err := control.Open(t.Context(), control.Options{URL: url, Now: time.Now})
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// TestOpenRefuses: each failure says what to do, and none says a password.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(notes, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		url  string
		code errs.Code
		want string
	}{
		{"sqlite:" + notes, errs.Invalid, notes + ": the file is not a SQLite database"},
		{"sqlite:" + dir, errs.Internal, dir + ": can't open the control database"},
		{"sqlite:" + filepath.Join(notes, "x.db"), errs.Internal, "can't make the directory"},
		{"sqlite:", errs.Invalid, "neither sqlite:PATH nor a postgres:// URL"},
		{"mysql://me:hunter2@db/x", errs.Invalid, "neither sqlite:PATH nor a postgres:// URL"},
		{"postgres://me:hunter2@127.0.0.1:1/db", errs.Internal, "postgres://me@127.0.0.1:1/db: can't connect to Postgres"},
		{"postgres://me:hunter2/x#@host/db", errs.Invalid, "is not a postgres:// URL"},
		{"postgres://me:hunter2@host/db?sslmode=hunter2", errs.Invalid, "can't be used"},
	} {
		t.Run(tc.want, func(t *testing.T) { refused(t, tc.url, tc.code, tc.want) })
	}
	t.Run("postgres", func(t *testing.T) {
		address := database(t, postgres(t))
		refused(t, strings.Replace(address, "/control_", "/nowhere_", 1), errs.NotFound, "does not exist")
		refused(t, address+"?search_path=nowhere", errs.NotFound, "no schema has been selected")
	})
}

func refused(t *testing.T, url string, code errs.Code, want string) {
	t.Helper()
	db, err := control.Open(t.Context(), control.Options{URL: url, Now: time.Now})
	if err == nil {
		t.Fatal("no error", db.Close())
	}
	e := errs.As(err)
	if e == nil || e.Code != code || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v (%s), want one that says %q (%s)", err, errs.CodeOf(err), want, code)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", err, e), "hunter2") {
		t.Errorf("it says the password: %v", err)
	}
}

// TestPostgresSchema: the tables lie beside the app's own of the same names, in headgate's schema or a named one.
func TestPostgresSchema(t *testing.T) {
	address := database(t, postgres(t))
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	if _, err := conn.Exec(t.Context(), `CREATE TABLE clients (id INT); CREATE SCHEMA mine`); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{"", "?search_path=mine"} {
		db, err := control.Open(t.Context(), control.Options{URL: address + query, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Record(t.Context(), control.Entry{Env: "prod", Actor: "ana", Action: "x.y"}); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM headgate.audit) + (SELECT count(*) FROM mine.audit)`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d entries, %v", n, err)
	}
}

// TestPostgresRestart: when the server ends all connections, the calls that meet one of them fail, and then it goes on.
func TestPostgresRestart(t *testing.T) {
	address := database(t, postgres(t))
	db, err := control.Open(t.Context(), control.Options{URL: address, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // nothing is written
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // more than there are idle connections
		err = db.Record(t.Context(), control.Entry{Env: "prod", Actor: "ana", Action: "x.y"})
		if err == nil {
			return
		}
		if errs.As(err) == nil || errs.CodeOf(err) != errs.Internal || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %v", err)
		}
	}
	t.Errorf("it never goes on: %v", err)
}
