package filelog_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog/filelog"
)

// FuzzFileRow decodes any row. Either the arguments are JSON, or there is an error that names the event and does
// not quote the arguments.
func FuzzFileRow(f *testing.F) {
	f.Add(int64(1), int64(0), int64(1), "v1.TodoCreated", `{"id":"a"}`, "alice", "static", `{"_tag":"None"}`)
	f.Add(int64(2), int64(1), int64(1), "v1.UiSet", `{`, "alice", "static", `{"_tag":"Some","value":{"createdAt":"2026-11-23T01:19:18.749Z"}}`)
	f.Fuzz(func(t *testing.T, global, client, head int64, name, args, clientID, sessionID, metadata string) {
		e, err := filelog.DecodeRow(global, client, head, name, args, clientID, sessionID, metadata)
		if int64(e.Seq.Global) != global || e.Seq.Client != client || e.Pending != (global > head) {
			t.Errorf("row %d.%d with head %d became %+v", global, client, head, e)
		}
		if err == nil {
			if !json.Valid(e.Args) || string(e.Args) != args {
				t.Errorf("arguments %q became %q", args, e.Args)
			}
			return
		}
		if e.Args != nil || err.Code != errs.Invalid || !strings.Contains(err.Msg, e.Seq.String()) {
			t.Errorf("error %v beside %+v", err, e)
		}
		const marker = "secretsecret"
		if strings.Contains(args, marker) && !strings.Contains(name, marker) && strings.Contains(err.Error(), marker) {
			t.Errorf("the error quotes the arguments: %v", err)
		}
	})
}

func TestFuzzCorpusIsThere(t *testing.T) {
	if files, _ := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzFileRow", "*")); len(files) < 5 {
		t.Errorf("the seed corpus of FuzzFileRow has %d files", len(files))
	}
}
