package filelog_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
)

// TestOpenClient opens a log with the states beside it: one that is whole, one whose transaction was killed, and one that
// is empty, as a rebuild in one transaction leaves it.
func TestOpenClient(t *testing.T) {
	dir := realCopy(t)
	for _, old := range names(t, dir) {
		if old != "eventlog@6.db" {
			if err := os.Remove(filepath.Join(dir, old)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stateFile(t, filepath.Join(dir, "state12@6.db"), `CREATE TABLE a (x)`)
	killed := filepath.Join(dir, "state-7@6.db")
	stateFile(t, killed, `CREATE TABLE a (x)`, `INSERT INTO a VALUES (1)`)
	killTransaction(t, killed)
	if err := os.WriteFile(filepath.Join(dir, "state13@6.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := fingerprint(t, dir)
	c, err := filelog.OpenClient(t.Context(), dir, filelog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(realLog(), eventlogtest.Collect(t, c, livestore.ClientSeq{})); d != "" {
		t.Errorf("the log (-want +got):\n%s", d)
	}
	var hashes []string
	for _, s := range c.States {
		hashes = append(hashes, s.Hash)
		if (s.Copy == "") != (s.Hash == "13") {
			t.Errorf("state %s has the copy %q", s.Hash, s.Copy)
		}
		if s.Hash != "-7" {
			continue
		}
		db, err := sql.Open("sqlite", s.Copy)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := db.QueryRow(`SELECT count(*) FROM a`).Scan(&n); err != nil || n != 1 {
			t.Errorf("the copy has %d rows, want the one from before the transaction: %v", n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{"-7", "12", "13"}, hashes); d != "" {
		t.Errorf("states (-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, fingerprint(t, dir)); d != "" {
		t.Errorf("the folder changed (-before +after):\n%s", d)
	}
	kept := filepath.Dir(c.States[0].Copy)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); !os.IsNotExist(err) {
		t.Errorf("the copies are still there: %v", err)
	}
}

// TestOpenClientThatWrites has a client whose state changes all the time, while its log lies still.
func TestOpenClientThatWrites(t *testing.T) {
	dir := realCopy(t)
	state := filepath.Join(dir, "state5@6.db")
	stateFile(t, state, `CREATE TABLE a (x)`)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				then := time.Unix(1e9+n, 0)
				if err := os.Chtimes(state, then, then); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	_, err := filelog.OpenClient(t.Context(), dir, filelog.Options{Wait: 200 * time.Millisecond})
	close(stop)
	<-done
	if errs.CodeOf(err) != errs.Locked {
		t.Errorf("error %v, want errs.Locked", err)
	}
}

func TestFolders(t *testing.T) {
	base := t.TempDir()
	one := filepath.Join(base, "one")
	if err := os.CopyFS(one, os.DirFS(realCopy(t))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(base, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{base, one} {
		got, err := filelog.Folders(dir)
		if d := cmp.Diff([]string{one}, got); d != "" || err != nil {
			t.Errorf("Folders(%s): %v (-want +got):\n%s", dir, err, d)
		}
	}
	for _, dir := range []string{filepath.Join(base, "other"), filepath.Join(base, "none")} {
		if _, err := filelog.Folders(dir); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("Folders(%s): %v", dir, err)
		}
	}
}

func stateFile(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// killTransaction leaves the file as a process does that was killed in the midst of a commit: the new pages in it, and the
// journal with the old ones beside it.
func killTransaction(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=cache_size(1)&_pragma=journal_mode(DELETE)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for range 200 { // more than the cache holds, so that pages are written before the commit
		if _, err := tx.Exec(`INSERT INTO a VALUES (randomblob(4000))`); err != nil {
			t.Fatal(err)
		}
	}
	left := map[string][]byte{}
	for _, name := range []string{path, path + "-journal"} {
		if left[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for name, data := range left {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
