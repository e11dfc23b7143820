package openlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/openlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParse(t *testing.T) {
	base, err := filepath.Abs(filepath.Join("..", "dumplog", "testdata"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		in   string
		want string // "" for an error
	}{
		{"file:a/b.db", "file:" + filepath.Join(base, "a", "b.db")},
		{"dump:a.json", "dump:" + filepath.Join(base, "a.json")},
		{"demo.json", "dump:" + filepath.Join(base, "demo.json")},
		{"../../filelog/testdata/eventlog@6.db", "file:" + filepath.Join(base, "..", "..", "filelog", "testdata", "eventlog@6.db")},
		{".", "file:" + base},
		{"not-there.json", "file:" + filepath.Join(base, "not-there.json")},
		{"./odd:name", "file:" + filepath.Join(base, "odd:name")},
		{"", ""},
		{"file:", ""},
		{"sync-cf:https://sync.example.org/path", "sync-cf:https://sync.example.org/path"},
		{"sync-cf:ws://127.0.0.1:8787", "sync-cf:ws://127.0.0.1:8787"},
		{"sync-cf:https://hunter2:hunter2@sync.example.org/?token=hunter2", "sync-cf:https://sync.example.org/"},
		{"sync-cf+http:wss://hunter2@sync.example.org/", "sync-cf+http:wss://sync.example.org/"},
		{"sync-cf+http:hunter2.example.org", ""},
		{"sync-cf+ws:https://sync.example.org", ""},
		{"sync-cf:hunter2.example.org", ""},
		{"sync-cf:ftp://hunter2", ""},
		{"sync-cf:https://hunter2:x/", ""},
		{"sync-cf:", ""},
		{"postgres:postgres://me:hunter2@db.internal:6432/app?sslmode=require&password=hunter2#odd.events", "postgres:postgres://me@db.internal:6432/app#odd.events"},
		{"postgres://me:hunter2@db/app", "postgres:postgres://me@db/app"},
		{"postgres:postgresql:///app?host=/run/postgresql", "postgres:postgresql:///app"},
		{"postgres:host=db password=hunter2", ""},
		{"postgres:postgres://me:hunter2#1@db/app", ""},
		{"postgres:postgres://me:12#hunter2@db/app", ""},
		{"postgres:postgres://db/app#a b", ""},
		{"postgres:", ""},
		{"ftp:x", ""},
	}
	for _, test := range tests {
		got, err := openlog.Parse(test.in, base)
		if test.want == "" {
			if e := errs.As(err); e == nil || e.Code != errs.Invalid || e.Hint == "" || strings.Contains(fmt.Sprintf("%+v", e), "hunter2") {
				t.Errorf("Parse(%q): error %v", test.in, err)
			}
			continue
		}
		if err != nil || got.String() != test.want {
			t.Errorf("Parse(%q) = %s, %v, want %s", test.in, got, err, test.want)
		}
		if text, err := json.Marshal(got); err != nil || strings.Contains(string(text)+fmt.Sprintf("%v %+v", got, got), "hunter2") {
			t.Errorf("Parse(%q) shows its password: %+v, %s, %v", test.in, got, text, err)
		}
	}
	if abs := filepath.Join(base, "demo.json"); filepath.Separator == '/' {
		if got, err := openlog.Parse("dump://"+abs, "/elsewhere"); err != nil || got.Path != abs {
			t.Errorf("Parse(dump://%s) = %s, %v", abs, got, err)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, url := range []string{"file:../filelog/testdata", "dump:../dumplog/testdata/demo.json"} {
		u, err := openlog.Parse(url, ".")
		if err != nil {
			t.Fatal(err)
		}
		r, err := openlog.Open(t.Context(), u, openlog.Options{StoreID: "demo", TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n < 6 {
			t.Errorf("%s: %d events", url, n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	u := openlog.URL{Kind: openlog.Dump, Path: "../dumplog/testdata/demo.json"}
	if r, err := openlog.Open(t.Context(), u, openlog.Options{StoreID: "other"}); err == nil || r != nil {
		t.Error("a dump of another store was opened")
	}
}

func TestOpenAppenderRefuses(t *testing.T) {
	tests := []struct {
		url   string
		store livestore.StoreID
		code  errs.Code
		want  string
	}{
		{"file:../dumplog/testdata/demo.json", "demo", errs.Refused, "no client would read a log of that name"},
		{"dump:../dumplog/testdata/demo.json", "demo", errs.Refused, "a dump can't be appended to"},
		{"sync-cf:https://127.0.0.1:1", "", errs.Invalid, "which store?"},
		{"postgres://me:hunter2@127.0.0.1:1/app", "", errs.Invalid, "which store? postgres:postgres://me@127.0.0.1:1/app has many"},
		{"postgres://me:hunter2@127.0.0.1:1/app", "demo", errs.Internal, "can't connect"},
	}
	for _, test := range tests {
		u, err := openlog.Parse(test.url, ".")
		if err != nil {
			t.Fatal(err)
		}
		a, err := openlog.OpenAppender(t.Context(), u, openlog.Options{StoreID: test.store, Now: time.Now})
		if a != nil || errs.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.want) || errs.As(err).Hint == "" {
			t.Errorf("%s: %v, error %v (%s), want one that says %q (%s)", u, a, err, errs.CodeOf(err), test.want, test.code)
		}
		if u.Remote() {
			if r, err := openlog.Open(t.Context(), u, openlog.Options{StoreID: test.store}); r != nil || errs.CodeOf(err) != test.code {
				t.Errorf("Open(%s): %v, error %v", u, r, err)
			}
		}
	}
}

// TestOpenSyncCF shows that options reach the sync backend's reader: the backend is none, but hears the payload's getter.
func TestOpenSyncCF(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	u, err := openlog.Parse("sync-cf:"+server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("no token today")
	r, err := openlog.Open(t.Context(), u, openlog.Options{StoreID: "demo", HTTPClient: server.Client(), Payload: func(context.Context) (json.RawMessage, error) { return nil, why }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Head(t.Context()); !errors.Is(err, why) {
		t.Errorf("Head: %v, want the payload's error", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
