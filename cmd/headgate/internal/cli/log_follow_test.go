package cli

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/livestore/eventlog/openlog"
)

// TestFollow has an app that adds to its log, syncs, and is rebased, and looks at what each look prints.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eventlog@6.db")
	spec := loggen.Spec{N: 6, Seed: 1, Pending: 2} // e5 and e6 are pending
	if _, err := spec.WriteFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	var out, stderr bytes.Buffer
	a := newApp(nil, &out, &stderr, func(string) (string, bool) { return "", false }, time.Now)
	f := newFollower(a, storeLog{url: openlog.URL{Kind: openlog.File, Path: path}}, false)
	printed := func() string {
		var seqs []string
		for line := range strings.Lines(out.String()) {
			seqs = append(seqs, strings.Fields(line)[0])
		}
		out.Reset()
		return strings.Join(seqs, " ")
	}
	if err := f.begin(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if got := printed(); got != "e4 e5 e6" {
		t.Errorf("at first: %q, want the last three", got)
	}

	const add = `INSERT INTO eventlog SELECT $1, $2, $3, $1 - 1, 0, 0, name, argsJson, clientId, sessionId, schemaHash, syncMetadataJson FROM eventlog WHERE seqNumGlobal = 1`
	type args = []any
	steps := []struct {
		name string
		do   []args // statement and its arguments
		want string
	}{
		{"nothing happens", nil, ""},
		{"an offline commit", []args{{add, 7, 0, 0}, {add, 7, 1, 0}}, "e7 e7.1"},
		{"the pending ones are confirmed", []args{{`UPDATE __livestore_sync_status SET head = 7`}}, ""},
		{"a clientOnly event at the head", []args{{add, 7, 2, 0}}, "e7.2"},
		{"two more commits", []args{{add, 8, 0, 0}, {add, 9, 0, 0}}, "e8 e9"},
		{"a rebase: another's e8 comes first", []args{
			{`DELETE FROM eventlog WHERE seqNumGlobal > 7`},
			{add, 8, 0, 0},
			{add, 9, 0, 1},
			{add, 10, 0, 1},
			{`UPDATE eventlog SET clientId = 'somebody else' WHERE seqNumGlobal = 8`},
			{`UPDATE __livestore_sync_status SET head = 8`},
		}, "e8 e9r1 e10r1"},
		{"the backend was reset, and with it the log", []args{
			{`DELETE FROM eventlog WHERE seqNumGlobal > 2`},
			{`UPDATE __livestore_sync_status SET head = 2`},
		}, "e1 e2"},
	}
	for _, step := range steps {
		for _, do := range step.do {
			if _, err := db.Exec(do[0].(string), do[1:]...); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		}
		f.seen = fileTimes{} // the file system's clock may be too coarse to tell the steps apart
		if err := f.poll(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := printed(); got != step.want {
			t.Errorf("%s: printed %q, want %q", step.name, got, step.want)
		}
	}
	f.path, f.seen = path, mustTimes(t, path)
	f.log.url.Path = filepath.Join(t.TempDir(), "not there") // a look at an unchanged file does not open it
	if err := f.poll(t.Context()); err != nil || printed() != "" {
		t.Errorf("an unchanged log was read again: %v", err)
	}
}

func mustTimes(t *testing.T, path string) fileTimes {
	t.Helper()
	times, err := timesOf(path)
	if err != nil {
		t.Fatal(err)
	}
	return times
}

func TestShapeOf(t *testing.T) {
	for args, want := range map[string]string{
		`{}`: "{}", `null`: "null", `"secret"`: "string(6)", `[1,"a"]`: "array(2)", `-1.5e3`: "number", `false`: "boolean",
		`{"a":"é✓","b":{"c":1,"d":2},"e":[],"odd key":true}`: `{a: string(2), b: object(2), e: array(0), "odd key": boolean}`,
	} {
		if got := shapeOf([]byte(args)); got != want {
			t.Errorf("shapeOf(%s) = %s, want %s", args, got, want)
		}
	}
}
