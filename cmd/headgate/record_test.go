package main

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"headgate/internal/livestore/bundle"
	"headgate/internal/testenv"
)

// Most tests begin with the same few releases of the example on record. The first test that wants one records it, with the
// real program; the others get a copy of what that wrote.

// A recording is a release that a test recorded, by all that it is made of.
type recording struct {
	once sync.Once
	dir  bundle.Dir // it alone
	err  error
}

var recordings sync.Map // of *recording by recordKey's digest

// recordRelease checks a release of the example out into a copy of it, as checkout.mjs does, and records it; add is
// `headgate release add VERSION` in that copy.
func recordRelease(app, version string, add func() error) error {
	src := filepath.Join(app, "src", "livestore")
	if err := os.RemoveAll(src); err != nil {
		return err
	}
	if err := os.CopyFS(src, os.DirFS(filepath.Join(app, "history", version, "livestore"))); err != nil {
		return err
	}
	key, err := recordKey(app, version)
	if err != nil {
		return err
	}
	made, _ := recordings.LoadOrStore(key, &recording{})
	r, first := made.(*recording), false
	to := bundle.Dir{Path: filepath.Join(app, "headgate", "releases")}
	r.once.Do(func() {
		first, r.err = true, errors.New("it could not be recorded in another test")
		if r.dir.Path, r.err = os.MkdirTemp(sharedCache(), "release-"); r.err == nil {
			if r.err = add(); r.err == nil {
				r.err = copyRelease(to, r.dir, version)
			}
		}
	})
	if first || r.err != nil {
		return r.err
	}
	return copyRelease(r.dir, to, version)
}

// recordKey is the digest of what a release is made of, beside the packages and the program, which are one for all tests:
// the version, what headgate.yaml says of the app and its schemas, and the app's source.
func recordKey(app, version string) ([sha256.Size]byte, error) {
	h := sha256.New()
	add := func(text string) { sum := sha256.Sum256([]byte(text)); h.Write(sum[:]) }
	add(version)
	yaml, err := os.ReadFile(filepath.Join(app, "headgate.yaml"))
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	inside := false
	for line := range strings.Lines(string(yaml)) {
		if !strings.ContainsRune(" \t\r\n#", rune(line[0])) { // one of the file's own keys
			inside = strings.HasPrefix(line, "app:") || strings.HasPrefix(line, "schemas:")
		}
		if inside {
			add(line)
		}
	}
	err = filepath.WalkDir(filepath.Join(app, "src"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		add(strings.TrimPrefix(path, app))
		add(string(text))
		return err
	})
	return [sha256.Size]byte(h.Sum(nil)), err
}

// copyRelease records in one directory what is recorded in another.
func copyRelease(from, to bundle.Dir, version string) error {
	files, err := filepath.Glob(filepath.Join(from.Path, "*", version+".json"))
	if err == nil && len(files) == 0 {
		err = errors.New("release " + version + " is not in " + from.Path)
	}
	for i := 0; i < len(files) && err == nil; i++ {
		err = copySchema(from, to, filepath.Base(filepath.Dir(files[i])), version)
	}
	return err
}

func copySchema(from, to bundle.Dir, schema, version string) error {
	r, err := from.Load(schema, version)
	if err != nil {
		return err
	}
	s, err := from.Script(r)
	if err != nil {
		return err
	}
	_, err = to.Add(r, s, false)
	return err
}

// record is the script command.
func record(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: record version...")
	}
	for _, version := range args {
		ts.Check(recordRelease(ts.MkAbs("."), version, func() error { return ts.Exec("headgate", "release", "add", version) }))
	}
}

// copyExample copies the example app, with what all copies find out about it.
func copyExample(t *testing.T) string {
	t.Helper()
	dir := testenv.CopyExample(t, "todo")
	if err := shareCache(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
