package filelog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
)

func TestWhatIsNotALog(t *testing.T) {
	write := func(t *testing.T, name, content string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	database := func(t *testing.T, statements string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "some.db")
		exec(t, path, statements)
		return path
	}
	log := func(t *testing.T, change func([]byte) []byte) string {
		t.Helper()
		data, err := os.ReadFile(generate(t, loggen.Spec{N: 200, Seed: 5}))
		if err != nil {
			t.Fatal(err)
		}
		return write(t, "eventlog@6.db", string(change(data)))
	}
	tests := []struct {
		name string
		path func(t *testing.T) string
		code errs.Code
		want string // in the error or its hint
	}{
		{"no such file", func(t *testing.T) string { return filepath.Join(t.TempDir(), "no", "eventlog@6.db") }, errs.NotFound, "no such file"},
		{"storage format 5 by name", func(t *testing.T) string { return write(t, "eventlog@5.db", "") }, errs.Invalid, "storage format 5 is not supported, headgate reads format 6"},
		{"storage format 7 in a folder", func(t *testing.T) string { return filepath.Dir(write(t, "livestore-eventlog@7.db", "")) }, errs.Invalid, "storage format 7"},
		{"folder without a log", func(t *testing.T) string { return t.TempDir() }, errs.NotFound, "holds no eventlog@6.db"},
		{"folder of stores", func(t *testing.T) string {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "demo"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "demo", "eventlog@6.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return dir
		}, errs.NotFound, "demo"},
		{"empty", func(t *testing.T) string { return write(t, "eventlog@6.db", "") }, errs.Invalid, "empty"},
		{"text", func(t *testing.T) string { return write(t, "eventlog@6.db", `{"version": 1}`) }, errs.Invalid, "dump:FILE"},
		{"only a header", func(t *testing.T) string { return log(t, func(b []byte) []byte { return b[:50] }) }, errs.Invalid, "truncated"},
		{"truncated", func(t *testing.T) string { return log(t, func(b []byte) []byte { return b[:len(b)-10000] }) }, errs.Invalid, "truncated"},
		{"OPFS pool file", func(t *testing.T) string {
			return log(t, func(b []byte) []byte { return append(make([]byte, 4096), b...) })
		}, errs.Invalid, "tail -c +4097"},
		{"damaged schema", func(t *testing.T) string {
			return log(t, func(b []byte) []byte { copy(b[100:], make([]byte, 200)); return b })
		}, errs.Invalid, "damaged"},
		{"no tables", func(t *testing.T) string { return database(t, `CREATE TABLE x (y); DROP TABLE x`) }, errs.Invalid, "without tables"},
		{"other tables", func(t *testing.T) string { return database(t, `CREATE TABLE users (id)`) }, errs.Invalid, "the tables users"},
		{"state database", func(t *testing.T) string {
			return database(t, `CREATE TABLE __livestore_schema (id); CREATE TABLE todos (id)`)
		}, errs.Invalid, "state database"},
		{"backend's database", func(t *testing.T) string {
			return database(t, `CREATE TABLE eventlog_7_s (id); CREATE TABLE context_7 (id)`)
		}, errs.Invalid, "sync backend's own"},
		{"a column less, one more", func(t *testing.T) string {
			path := generate(t, loggen.Spec{N: 3, Seed: 5})
			exec(t, path, `ALTER TABLE eventlog RENAME COLUMN syncMetadataJson TO syncMetadata`)
			return path
		}, errs.Invalid, "it lacks syncMetadataJson text; it has syncMetadata text"},
		{"not strict", func(t *testing.T) string {
			path := generate(t, loggen.Spec{N: 3, Seed: 5})
			exec(t, path, `DROP TABLE __livestore_sync_status; CREATE TABLE __livestore_sync_status (head integer primary key, backendId text)`)
			return path
		}, errs.Invalid, "it lacks backendId text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			temp := t.TempDir()
			_, err := filelog.Open(t.Context(), test.path(t), filelog.Options{TempDir: temp})
			e := errs.As(err)
			if e == nil || e.Code != test.code || e.Where == "" || e.Hint == "" {
				t.Fatalf("error %#v, want one of code %s with a place and a hint", err, test.code)
			}
			if text := e.Error() + "\n" + e.Hint; !strings.Contains(text, test.want) {
				t.Errorf("error %q does not contain %q", text, test.want)
			}
			if left, _ := os.ReadDir(temp); len(left) > 0 {
				t.Errorf("copies are left: %v", left)
			}
		})
	}
}

// TestDamageInTheMiddle reads up to a destroyed page, and says after which event it lies.
func TestDamageInTheMiddle(t *testing.T) {
	path := generate(t, loggen.Spec{N: 3000, Seed: 5})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 8192
	for i := len(data) / page / 2; i < len(data)/page-2; i++ {
		clear(data[i*page : (i+1)*page])
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := filelog.Open(t.Context(), path, filelog.Options{TempDir: t.TempDir()})
	if err != nil { // the destroyed page may be needed for the head
		if !strings.Contains(err.Error(), "damaged") {
			t.Errorf("error %v", err)
		}
		return
	}
	defer r.Close()
	var last error
	for _, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
		last = err
	}
	if errs.CodeOf(last) != errs.Invalid || !strings.Contains(last.Error(), "damaged after event e") {
		t.Errorf("error %v", last)
	}
}

func TestUnreadable(t *testing.T) {
	if os.Geteuid() == 0 {
		// Nothing is unreadable for root; a path below a file is the nearest thing.
		_, err := filelog.Open(t.Context(), filepath.Join("testdata", "eventlog@6.db", "deeper"), filelog.Options{})
		if e := errs.As(err); e == nil || e.Code != errs.Internal || e.Hint == "" {
			t.Errorf("error %#v", err)
		}
		return
	}
	dir := filepath.Dir(generate(t, loggen.Spec{N: 3, Seed: 5}))
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) }) //nolint:gosec // so that the test's folder can be removed
	_, err := filelog.Open(t.Context(), dir, filelog.Options{})
	if e := errs.As(err); e == nil || e.Code != errs.Internal || e.Hint == "" {
		t.Errorf("error %#v", err)
	}
}
