package filelog_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/filelog"
)

// TestLsof is what machines without /proc go by. What lsof itself does is in its manual: 1 and not a word for a file that
// nobody has open.
func TestLsof(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		want   string
		known  bool
	}{
		"nobody":            {"exit 1", "", true},
		"a client":          {"printf 'p1\\ncnode\\nf21\\n'", "node", true},
		"it can't":          {"echo 'lsof: no permission' >&2; exit 1", "", false},
		"it crashes":        {"exit 3", "", false},
		"there is no lsof":  {"", "", false},
		"it may not be run": {"#", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv("PATH", dir)
			if test.script != "" {
				mode := os.FileMode(0o700)
				if test.script == "#" {
					mode = 0o600
				}
				if err := os.WriteFile(filepath.Join(dir, "lsof"), []byte("#!/bin/sh\n"+test.script+"\n"), mode); err != nil {
					t.Fatal(err)
				}
			}
			names, err := filelog.LsofOpeners(t.Context(), "x")
			if errors.Is(err, filelog.ErrCantTell) == test.known || strings.Join(names, " ") != test.want {
				t.Errorf("%q, error %v", names, err)
			}
		})
	}
}

// TestCantTell refuses where it can't be seen whether a client runs, until the user says so.
func TestCantTell(t *testing.T) {
	dir := realCopy(t)
	opt := filelog.WithBlindness(appendOptions())
	before := fingerprint(t, dir)
	_, err := filelog.OpenAppender(t.Context(), dir, opt)
	if e := errs.As(err); e == nil || e.Code != errs.Refused || !strings.Contains(e.Hint, "--force-closed") {
		t.Errorf("error %v, want an errs.Refused one whose hint names the flag", err)
	}
	if !slices.Equal(before, fingerprint(t, dir)) {
		t.Error("the folder changed")
	}
	opt.ForceClosed = true
	a := openAppender(t, dir, opt)
	if err := a.Append(t.Context(), []livestore.Event{newEvent(9, "a", `{}`)}); err != nil {
		t.Error(err)
	}
}

// TestNobodyReadsTheEndMeanwhile has a client that starts in the midst of an append: it must not read where the log ends,
// or it would give the same numbers again.
func TestNobodyReadsTheEndMeanwhile(t *testing.T) {
	dir := realCopy(t)
	read := errors.New("not tried")
	opt := filelog.WithStages(appendOptions(), func(stage string) {
		if stage != "inserted" {
			return
		}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "eventlog@6.db")+"?mode=ro")
		if err != nil {
			t.Fatal(err)
		}
		var n int
		read = db.QueryRow(`SELECT max(seqNumGlobal) FROM eventlog`).Scan(&n)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	a := openAppender(t, dir, opt)
	if err := a.Append(t.Context(), []livestore.Event{newEvent(9, "a", `{}`)}); err != nil {
		t.Fatal(err)
	}
	if read == nil || !strings.Contains(read.Error(), "locked") {
		t.Errorf("a client that starts meanwhile read the log's end (%v)", read)
	}
}
