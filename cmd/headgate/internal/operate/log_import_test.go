package operate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
)

// memory is a store's log.
type memory struct{ events []livestore.Event }

func (m *memory) Head(context.Context) (eventlog.Head, error) {
	return eventlog.Head{Confirmed: livestore.SeqNum(len(m.events)), BackendID: "b"}, nil
}
func (m *memory) ClientOnly() bool { return false }
func (m *memory) Close() error     { return nil }

func (m *memory) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range slices.Clone(m.events) {
			if e.Seq.Compare(after) > 0 && !yield(e, ctx.Err()) {
				return
			}
		}
	}
}

func (m *memory) Append(_ context.Context, batch []livestore.Event) error {
	m.events = append(m.events, batch...)
	return nil
}

func (m *memory) open(context.Context) (eventlog.Appender, error) { return m, nil }

// events are v1.A of client c, by their arguments.
func events(args ...string) (out []livestore.Event) {
	for i, a := range args {
		out = append(out, livestore.Event{
			Name: "v1.A", Args: json.RawMessage(a), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: livestore.SeqNum(i + 1)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(i)},
		})
	}
	return out
}

func dump(t *testing.T, list []livestore.Event) operate.Dump {
	t.Helper()
	var b bytes.Buffer
	if _, err := dumplog.Export(t.Context(), &memory{list}, &b, dumplog.ExportOptions{StoreID: "s"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := operate.OpenDump(t.Context(), path, "dump.json", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func environment(t *testing.T) operate.Environment {
	t.Helper()
	db, err := control.Open(t.Context(), control.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return operate.Environment{DB: db, Name: "prod", Now: time.Now, Log: slog.New(slog.DiscardHandler), Owner: "one", Alive: func(string) bool { return true }}
}

// TestImportResumed: an import that was killed after its last push, before it could say so, is recorded as done by the one that
// goes on, once. One that finds all there and that nobody began records nothing.
func TestImportResumed(t *testing.T) {
	e := environment(t)
	full := events(`{"n":1}`, `{"n":2}`)
	i := operate.LogImport{Environment: e, Store: "s", Dump: dump(t, full), By: control.By{Actor: "ana"}, Open: (&memory{full}).open}
	actions := func() (out []string) {
		t.Helper()
		list, err := e.DB.AuditOf(t.Context(), "prod", control.AuditQuery{Subject: "s", Action: "log.import", Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range list {
			out = append(out, entry.Action)
		}
		return out
	}
	run := func(want ...string) {
		t.Helper()
		r, err := i.Run(t.Context())
		if err != nil || r.Pushed != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if got := actions(); !slices.Equal(got, want) {
			t.Errorf("the audit has %q, want %q", got, want)
		}
	}
	run()
	began := func(digest string) {
		t.Helper()
		err := e.DB.Record(t.Context(), control.Entry{Env: "prod", Actor: "ana", Action: "log.import", Subject: "s", Detail: map[string]any{"digest": digest}})
		if err != nil {
			t.Fatal(err)
		}
	}
	began(i.Dump.Found.Digest)
	run("log.import", "log.import.done")
	run("log.import", "log.import.done")
	began("sha256-another")
	run("log.import", "log.import.done", "log.import")
}

// TestResetLoss: what a reset loses is told by what events are. One that was corrected is lost, and another one is there
// instead, though both have the same name; one that only has another number is neither.
func TestResetLoss(t *testing.T) {
	worker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"storeId":"s","exists":true,"head":5,"backendId":"b","sockets":0,"heldUntil":0}`))
	}))
	defer worker.Close()
	better := dump(t, events(`{"b":2,"a":1}`, `{"text":"good"}`, `{"n":4}`, `{"n":4}`))
	reset := operate.BackendReset{
		Environment: environment(t), Store: "s", Route: operate.AdminRoute{URL: worker.URL, Token: "x", From: "X"},
		Open:   (&memory{events(`{"gone":true}`, `{"a":1,"b":2}`, `{"text":"bad"}`, `{"n":4}`, `{"n":4}`)}).open,
		Export: filepath.Join(t.TempDir(), "before.json"), ExportAs: "before.json", Import: &better,
	}
	r, err := reset.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Loss; l.Events != 5 || !slices.Equal(l.Missing, []operate.NameCount{{Name: "v1.A", Events: 2}}) || !slices.Equal(l.Others, []operate.NameCount{{Name: "v1.A", Events: 1}}) {
		t.Errorf("%+v", l)
	}
	said := strings.Join(r.Loss.Loses, "\n")
	for _, want := range []string{"2 events of 5 of the log that what is imported does not have: 2 v1.A", "1 event of what is imported the log does not have: 1 v1.A"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not in:\n%s", want, said)
		}
	}
}
