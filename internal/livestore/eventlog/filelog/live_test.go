package filelog_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
)

const insertRow = `INSERT INTO eventlog SELECT seqNumGlobal + $1, 0, 0, parentSeqNumGlobal + $1, 0, 0, name,
	argsJson, clientId, sessionId, schemaHash, syncMetadataJson FROM eventlog WHERE seqNumGlobal = 1`

// TestBesideARunningApp reads while a writer commits as LiveStore's node adapter does: over a file layer without
// locks. Each of its transactions adds three events, so a whole read has a multiple of three.
func TestBesideARunningApp(t *testing.T) {
	const begin = 300
	path := generate(t, loggen.Spec{N: begin, Seed: 1})
	stop := make(chan struct{})
	done := make(chan error)
	go func() {
		db := openSQL(t, "file:"+path+"?nolock=1")
		db.SetMaxOpenConns(1)
		defer db.Close()
		for n := begin; ; n += 3 {
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(2 * time.Millisecond): // the app's own pace
			}
			tx, err := db.Begin()
			for i := range 3 {
				if err == nil {
					_, err = tx.Exec(insertRow, n+i)
				}
			}
			if err == nil {
				err = tx.Commit()
			}
			if err != nil {
				done <- fmt.Errorf("the app was disturbed at event %d: %w", n, err)
				return
			}
		}
	}()
	last := 0
	for deadline := time.Now().Add(10 * time.Second); last < begin+300 && time.Now().Before(deadline); {
		r, err := filelog.Open(t.Context(), path, filelog.Options{TempDir: t.TempDir(), Wait: 10 * time.Second})
		if err != nil {
			t.Error(err)
			break
		}
		events := eventlogtest.Collect(t, r, livestore.ClientSeq{})
		if len(events)%3 != 0 || len(events) < last {
			t.Errorf("read %d events after %d", len(events), last)
		}
		last = len(events)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if last <= begin {
		t.Errorf("saw only %d events: the app was not running", last)
	}
}

// TestCopyThatTheAppWroteInto has the app write while the first copy is made: that copy must not count.
func TestCopyThatTheAppWroteInto(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, path string){
		"a whole transaction": func(t *testing.T, path string) { exec(t, path, `DELETE FROM eventlog WHERE seqNumGlobal = 3`) },
		"the begin of a transaction": func(t *testing.T, path string) {
			if err := os.WriteFile(path+"-journal", []byte("begins"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a transaction within one tick of the clock": func(t *testing.T, path string) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			exec(t, path, `UPDATE eventlog SET name = 'other' WHERE seqNumGlobal = 3`)
			if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := generate(t, loggen.Spec{N: 3, Seed: 1})
			copies, err := filelog.Snapshot(t.Context(), path, t.TempDir(), func(n int) {
				if n == 1 {
					write(t, path)
				}
			})
			if err != nil || copies != 2 {
				t.Errorf("%d copies, error %v; want a second copy", copies, err)
			}
		})
	}
}

// killed copies a log as an app leaves it that is killed in a transaction after some of its pages reached the file.
func killed(t *testing.T) string {
	t.Helper()
	path := generate(t, loggen.Spec{N: 30, Seed: 2})
	db := openSQL(t, path)
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`PRAGMA cache_size = 2`); err != nil {
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2000 {
		if _, err := tx.Exec(insertRow, 30+n); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"eventlog@6.db", "eventlog@6.db-journal"} {
		data, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			t.Fatalf("%s is empty: nothing was spilled", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHotJournalIsRolledBackInTheCopyOnly(t *testing.T) {
	dir := killed(t)
	before := fingerprint(t, dir)
	r := open(t, dir)
	if got := len(eventlogtest.Collect(t, r, livestore.ClientSeq{})); got != 30 {
		t.Errorf("read %d events, want the 30 that were committed", got)
	}
	if d := cmp.Diff(before, fingerprint(t, dir)); d != "" {
		t.Errorf("the app's folder changed (-before +after):\n%s", d)
	}
}

func TestFolderIsUntouched(t *testing.T) {
	dir := filepath.Dir(generate(t, loggen.Spec{N: 30, Seed: 2}))
	before := fingerprint(t, dir)
	eventlogtest.Collect(t, open(t, dir), livestore.ClientSeq{})
	if d := cmp.Diff(before, fingerprint(t, dir)); d != "" {
		t.Errorf("the app's folder changed (-before +after):\n%s", d)
	}
}

// TestNeverAtRest has a journal that grows all the time: a transaction that does not end.
func TestNeverAtRest(t *testing.T) {
	path := generate(t, loggen.Spec{N: 3, Seed: 1})
	stop, done := make(chan struct{}), make(chan struct{})
	journal, err := os.Create(path + "-journal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := journal.WriteString("begins"); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		defer journal.Close()
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				if _, err := journal.WriteString("more"); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	temp := t.TempDir()
	_, err = filelog.Open(t.Context(), path, filelog.Options{TempDir: temp, Wait: 50 * time.Millisecond})
	close(stop)
	<-done
	if errs.CodeOf(err) != errs.Locked {
		t.Errorf("error %v, want one of code %s", err, errs.Locked)
	}
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("copies are left: %v", left)
	}
}

func TestOldCopiesAreSwept(t *testing.T) {
	temp := t.TempDir()
	mk := func(name string, age time.Duration) string {
		dir := filepath.Join(temp, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(dir, then, then); err != nil {
			t.Fatal(err)
		}
		return name
	}
	mk("headgate-log-old", 48*time.Hour)
	want := []string{mk("headgate-log-new", time.Hour), mk("other", 48*time.Hour)}
	r, err := filelog.Open(t.Context(), "testdata", filelog.Options{TempDir: temp})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	entries, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

// fingerprint returns name, size, time and digest of each file below dir.
func fingerprint(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s %d %s %x", e.Name(), info.Size(), info.ModTime(), sha256.Sum256(data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
