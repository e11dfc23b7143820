//go:build unix

package cli

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// What a killed process left is removed once it is old; what may be somebody's, or no directory of ours, stays.
func TestAgeOut(t *testing.T) {
	tmp, elsewhere := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	now := time.Now()
	gone := math.MaxInt32 // no system has processes up to there
	old := now.Add(-25 * time.Hour)
	dir := func(name, file string, at time.Time) string {
		t.Helper()
		path := filepath.Join(tmp, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{filepath.Join(path, file), path} {
			if err := os.Chtimes(p, at, at); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	left := dir(fmt.Sprintf("headgate-migration-%d-1", gone), "state.db", old)
	if err := os.Symlink(elsewhere, filepath.Join(left, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, old, old); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(elsewhere, "precious")
	file := filepath.Join(tmp, fmt.Sprintf("headgate-migration-%d-5", gone))
	link := filepath.Join(tmp, fmt.Sprintf("headgate-migration-%d-6", gone))
	for _, path := range []string{precious, file} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{elsewhere, file} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	kept := []string{
		dir(fmt.Sprintf("headgate-migration-%d-2", gone), "state.db", now.Add(-23*time.Hour)),
		dir(fmt.Sprintf("headgate-migration-%d-3", os.Getpid()), "state.db", old),
		dir("headgate-migration-4", "state.db", old), // nobody's that is known
		dir(fmt.Sprintf("headgate-plan-%d-5", gone), "state.db", old),
		file, link, precious,
	}
	a := newApp(nil, io.Discard, io.Discard, func(string) (string, bool) { return "", false }, func() time.Time { return now })
	made, err := a.workDir()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	for _, path := range append(kept, made) {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}
