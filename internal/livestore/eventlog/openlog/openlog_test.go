package openlog_test

import (
	"path/filepath"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/openlog"
)

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
		{"sync-cf:https://example.org", ""},
		{"postgres:host#t", ""},
		{"ftp:x", ""},
	}
	for _, test := range tests {
		got, err := openlog.Parse(test.in, base)
		if test.want == "" {
			if e := errs.As(err); e == nil || e.Code != errs.Invalid || e.Hint == "" {
				t.Errorf("Parse(%q): error %v", test.in, err)
			}
			continue
		}
		if err != nil || got.String() != test.want {
			t.Errorf("Parse(%q) = %s, %v, want %s", test.in, got, err, test.want)
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
