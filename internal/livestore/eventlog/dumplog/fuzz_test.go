package dumplog_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog/dumplog"
)

// FuzzDump reads anything as a dump. It must end with events or an error that a user can act on, and what it
// read must survive being written and read again.
func FuzzDump(f *testing.F) {
	whole, err := os.ReadFile(filepath.Join("testdata", "demo.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:700])
	f.Fuzz(func(t *testing.T, text []byte) {
		events, bad, err := dumplog.ReadAll(bytes.NewReader(text), int64(len(text)))
		if e := errs.As(err); err != nil && (e == nil || e.Code != errs.Invalid || e.Where == "") {
			t.Fatalf("error %#v is not one for the user", err)
		}
		for _, err := range bad {
			if e := errs.As(err); e == nil || e.Where == "" {
				t.Fatalf("error %#v is not one for the user", err)
			}
		}
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatal("malformed JSON was accepted")
		}
		var out bytes.Buffer
		w := dumplog.NewWriter(&out, dumplog.Header{StoreID: "s", ExportedAt: "t", EventCount: int64(len(events))})
		for _, e := range events {
			if err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		again, bad, err := dumplog.ReadAll(&out, int64(out.Len()))
		if err != nil || len(bad) > 0 {
			t.Fatalf("what was written can't be read: %v, %v", err, bad)
		}
		if len(again) != len(events) {
			t.Fatalf("%d events were written, %d read", len(events), len(again))
		}
		for i, e := range events {
			a := again[i]
			if a.Name != e.Name || !bytes.Equal(a.Args, e.Args) || a.Seq != e.Seq || a.Parent != e.Parent || a.ClientID != e.ClientID || a.SessionID != e.SessionID {
				t.Fatalf("event %d was written as %+v and read as %+v", i, e, a)
			}
		}
	})
}

func TestFuzzCorpusIsThere(t *testing.T) {
	if files, _ := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzDump", "*")); len(files) < 5 {
		t.Errorf("the seed corpus of FuzzDump has %d files", len(files))
	}
}
