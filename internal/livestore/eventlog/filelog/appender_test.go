package filelog_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
)

func appendOptions() filelog.Options {
	return filelog.Options{Now: func() time.Time { return time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC) }}
}

func openAppender(t *testing.T, path string, opt filelog.Options) *filelog.Appender {
	t.Helper()
	a, err := filelog.OpenAppender(t.Context(), path, opt)
	if err != nil {
		t.Fatalf("OpenAppender: %v", err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return a
}

// A backendView is a client's log as the suite for backends looks at it: everything that is there is confirmed, there are
// no clientOnly events, and nobody knows schema hashes. What is different is in the tests below.
type backendView struct{ *filelog.Appender }

func (v backendView) ClientOnly() bool { return false }

func (v backendView) Head(ctx context.Context) (eventlog.Head, error) {
	h, err := v.Appender.Head(ctx)
	h.Confirmed = h.Last.Global
	return h, err
}

func (v backendView) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range v.Appender.Events(ctx, after) {
			e.Pending, e.SchemaHash, e.HasSchemaHash = false, 0, false
			if !yield(e, err) {
				return
			}
		}
	}
}

func TestAppenderSuite(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	eventlogtest.RunAppender(t, func(t *testing.T, store livestore.StoreID) eventlog.Appender {
		t.Helper()
		path := filepath.Join(dir, string(store), "eventlog@6.db")
		mu.Lock()
		defer mu.Unlock()
		if _, err := os.Stat(path); err != nil { // a client that was started once
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if _, err := (loggen.Spec{}).WriteFile(t.Context(), path); err != nil {
				t.Fatal(err)
			}
		}
		a, err := filelog.OpenAppender(t.Context(), path, appendOptions())
		if err != nil {
			t.Fatalf("OpenAppender: %v", err)
		}
		return backendView{a}
	})
}

// realCopy is the log of testdata, which LiveStore wrote, with state files beside it.
func realCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join("testdata", "eventlog@6.db"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"eventlog@6.db": string(data), "state12@6.db": "now", "state-7@6.db": "old", "state12@6.db-journal": "hot", "state.txt": "theirs",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func newEvent(seq int64, name, args string) livestore.Event {
	return livestore.Event{
		Name: name, Args: json.RawMessage(args), ClientID: "hg:backfill:12345678", SessionID: "hg:run:1",
		Seq: livestore.ClientSeq{Global: livestore.SeqNum(seq)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(seq - 1)},
	}
}

func TestAppendAsLiveStoreWrites(t *testing.T) {
	dir := realCopy(t)
	opt := appendOptions()
	opt.SchemaHash = func(event string) (int64, bool) { return -862189082, event == "v1.TodoCreated" }
	a := openAppender(t, dir, opt)
	before, err := a.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	original := slices.Concat([]string{}, names(t, dir))
	var ahead *eventlog.AheadError
	if err := a.Append(t.Context(), []livestore.Event{newEvent(8, "v1.TodoCreated", `{}`)}); !errors.As(err, &ahead) || ahead.Head != 8 {
		t.Errorf("error %v, want an AheadError of e8", err)
	}
	if d := cmp.Diff(original, names(t, dir)); d != "" || a.Backup() != "" {
		t.Errorf("a refused batch changed the folder (-before +after):\n%s", d)
	}
	batch := []livestore.Event{newEvent(9, "v1.TodoCreated", `{ "id": "n1",  "text": "a  b" }`), newEvent(10, "v9.Unknown", `null`)}
	for i := range batch {
		if err := a.Append(t.Context(), batch[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	want := eventlog.Head{Confirmed: 6, Last: livestore.ClientSeq{Global: 10, Rebase: 1}, BackendID: before.BackendID, Events: 13}
	if got, err := a.Head(t.Context()); err != nil || got != want {
		t.Errorf("head %+v, error %v, want %+v", got, err, want)
	}
	added := []livestore.Event{
		{
			Name: "v1.TodoCreated", Args: json.RawMessage(`{"id":"n1","text":"a  b"}`), ClientID: "hg:backfill:12345678", SessionID: "hg:run:1",
			Seq: livestore.ClientSeq{Global: 9, Rebase: 1}, Parent: livestore.ClientSeq{Global: 8, Rebase: 1},
			SchemaHash: -862189082, HasSchemaHash: true, Pending: true,
		},
		{
			Name: "v9.Unknown", Args: json.RawMessage(`null`), ClientID: "hg:backfill:12345678", SessionID: "hg:run:1",
			Seq: livestore.ClientSeq{Global: 10, Rebase: 1}, Parent: livestore.ClientSeq{Global: 9, Rebase: 1},
			SchemaHash: livestore.UnknownSchemaHash, HasSchemaHash: true, Pending: true,
		},
	}
	all := append(realLog(), added...)
	for name, r := range map[string]eventlog.Reader{"the appender": a, "a reader": open(t, dir)} {
		if d := cmp.Diff(all, eventlogtest.Collect(t, r, livestore.ClientSeq{})); d != "" {
			t.Errorf("%s reads (-want +got):\n%s", name, d)
		}
	}
	if !a.ClientOnly() {
		t.Error("ClientOnly() = false")
	}
	const backup = "eventlog@6.db.headgate-20270102T030405Z"
	if d := cmp.Diff([]string{"eventlog@6.db", backup, "state.txt"}, names(t, dir)); d != "" {
		t.Errorf("the folder (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"eventlog@6.db", "state-7@6.db", "state12@6.db", "state12@6.db-journal"}, names(t, filepath.Join(dir, backup))); d != "" {
		t.Errorf("the backup (-want +got):\n%s", d)
	}
	if filepath.Base(a.Backup()) != backup {
		t.Errorf("Backup() = %s", a.Backup())
	}
	if d := cmp.Diff(realLog(), eventlogtest.Collect(t, open(t, filepath.Join(dir, backup)), livestore.ClientSeq{})); d != "" {
		t.Errorf("the log in the backup (-want +got):\n%s", d)
	}
	// The client was started in between: it has a state again, and the next backup holds its log.
	if err := os.WriteFile(filepath.Join(dir, "state12@6.db"), []byte("again"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Append(t.Context(), []livestore.Event{newEvent(11, "v1.TodoCreated", `{}`)}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"eventlog@6.db", "state12@6.db"}, names(t, filepath.Join(dir, backup+"-2"))); d != "" {
		t.Errorf("the second backup (-want +got):\n%s", d)
	}
}

// TestAppendIsSafeAtEveryStep copies the folder at each step, as a kill would leave it: a state beside the log with the
// new events there never is, and a state file never lacks its journal.
func TestAppendIsSafeAtEveryStep(t *testing.T) {
	dir := realCopy(t)
	var steps []string
	opt := filelog.WithStages(appendOptions(), func(stage string) {
		steps = append(steps, stage)
		left := t.TempDir()
		if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		events := eventlogtest.Collect(t, open(t, left), livestore.ClientSeq{})
		files := names(t, left)
		hasState := slices.ContainsFunc(files, func(n string) bool { return strings.HasPrefix(n, "state") && strings.HasSuffix(n, "@6.db") })
		switch {
		case len(events) != 11 && len(events) != 13:
			t.Errorf("%s: the log has %d events, want 11 or 13", stage, len(events))
		case len(events) == 13 && hasState:
			t.Errorf("%s: the new log lies beside an old state: %v", stage, files)
		case slices.Contains(files, "state12@6.db") && !slices.Contains(files, "state12@6.db-journal"):
			t.Errorf("%s: a state without its journal: %v", stage, files)
		case stage == "committed" && len(events) != 13:
			t.Errorf("%d events after the commit", len(events))
		}
	})
	a := openAppender(t, dir, opt)
	if err := a.Append(t.Context(), []livestore.Event{newEvent(9, "a", `{}`), newEvent(10, "b", `{}`)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"copied", "moved state-7@6.db", "moved state12@6.db", "moved state12@6.db-journal", "moved", "inserted", "committed"}
	if d := cmp.Diff(want, steps); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
}

func TestAppendAfterClientOnly(t *testing.T) {
	path := generate(t, loggen.Spec{N: 3, Seed: 1})
	exec(t, path, `INSERT INTO eventlog SELECT seqNumGlobal, 1, 4, seqNumGlobal, 0, 0, 'v1.UiSet', '{}', clientId, sessionId, 1, syncMetadataJson
		FROM eventlog WHERE seqNumGlobal = 3`)
	a := openAppender(t, path, appendOptions())
	if err := a.Append(t.Context(), []livestore.Event{newEvent(4, "a", `{}`), newEvent(5, "b", `{}`)}); err != nil {
		t.Fatal(err)
	}
	got := eventlogtest.Collect(t, a, livestore.ClientSeq{Global: 3, Client: 1})
	if len(got) != 2 || got[0].Parent.String() != "e3" || got[0].Seq.String() != "e4r4" || got[1].Parent.String() != "e4r4" {
		t.Errorf("appended %+v", got)
	}
}

func TestOpenAppenderRefuses(t *testing.T) {
	write := func(dir, name, text string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	sqlite := func(dir, statement string) error {
		db, err := sql.Open("sqlite", filepath.Join(dir, "eventlog@6.db"))
		if err == nil {
			_, err = db.Exec(statement)
		}
		return errors.Join(err, db.Close())
	}
	tests := map[string]struct {
		prepare func(dir string) error
		code    errs.Code
		want    string
	}{
		"a hot journal": {func(dir string) error { return write(dir, "eventlog@6.db-journal", "hot") }, errs.Refused, "left its journal"},
		"no log":        {func(dir string) error { return os.Remove(filepath.Join(dir, "eventlog@6.db")) }, errs.NotFound, "holds no eventlog@6.db"},
		"another format": {func(dir string) error {
			return os.Rename(filepath.Join(dir, "eventlog@6.db"), filepath.Join(dir, "eventlog@7.db"))
		}, errs.Refused, "storage format 7"},
		"another format 2":   {func(dir string) error { return sqlite(dir, `ALTER TABLE eventlog ADD COLUMN more TEXT`) }, errs.Refused, "of another storage format"},
		"a write-ahead log":  {func(dir string) error { return sqlite(dir, `PRAGMA journal_mode = WAL`) }, errs.Refused, "write-ahead log"},
		"a state by hand":    {func(dir string) error { return write(dir, "statefixed@6.db", "x") }, errs.Refused, "migrates its state by hand"},
		"a head too far":     {func(dir string) error { return sqlite(dir, `UPDATE __livestore_sync_status SET head = 9`) }, errs.Refused, "confirmed e9"},
		"killed as it began": {func(dir string) error { return write(dir, "eventlog@6.db", "") }, errs.Invalid, "empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := realCopy(t)
			if err := test.prepare(dir); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, dir)
			_, err := filelog.OpenAppender(t.Context(), dir, appendOptions())
			e := errs.As(err)
			if e == nil || e.Code != test.code || !strings.Contains(e.Msg, test.want) || e.Hint == "" {
				t.Errorf("error %v (%s), want one of code %s that says %q", err, errs.CodeOf(err), test.code, test.want)
			}
			if d := cmp.Diff(before, fingerprint(t, dir)); d != "" {
				t.Errorf("the folder changed (-before +after):\n%s", d)
			}
		})
	}
	odd := filepath.Join(t.TempDir(), "mine.db")
	data, err := os.ReadFile(filepath.Join("testdata", "eventlog@6.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(odd, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := filelog.OpenAppender(t.Context(), odd, appendOptions()); errs.CodeOf(err) != errs.Refused {
		t.Errorf("a log of another name: %v", err)
	}
}

// TestLogThatChanges has a writer that no list of open files shows: each of its commits opens the file and closes it.
func TestLogThatChanges(t *testing.T) {
	dir := realCopy(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := int64(0); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				then := time.Unix(1e9+n, 0)
				if err := os.Chtimes(filepath.Join(dir, "eventlog@6.db"), then, then); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	_, err := filelog.OpenAppender(t.Context(), dir, appendOptions())
	close(stop)
	<-done
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "is being written to") {
		t.Errorf("error %v, want one that says that the log is being written to", err)
	}
}
