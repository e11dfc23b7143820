// Package testenv is what tests of several packages need: the example apps and their npm packages, a real sync
// backend, golden files with -update, and a logger that writes to the test's log. It is imported by tests only.
package testenv

import (
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Root returns the repository's directory.
func Root(t testing.TB) string {
	t.Helper()
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		t.Fatal("can't find the repository: the tests were built with -trimpath")
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// CI reports whether the tests run in continuous integration, where nothing may be skipped.
func CI() bool { return os.Getenv("CI") != "" }

// Need skips the test because something is missing on this machine, and fails it in CI. how says what to install.
func Need(t testing.TB, what, how string) {
	t.Helper()
	if CI() {
		t.Fatalf("%s is missing and CI never skips: %s", what, how)
	}
	t.Skipf("%s is missing: %s", what, how)
}

// Example returns the directory of an example app whose npm packages are installed; it skips the test where they
// are not. The directory is shared: tests must not write to it.
func Example(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(Root(t), "examples", name)
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@livestore")); errors.Is(err, fs.ErrNotExist) {
		Need(t, "examples/"+name+"/node_modules", "run `npm ci --prefix examples/"+name+"`")
	} else if err != nil {
		t.Fatal(err)
	}
	return dir
}

// CopyExample copies an example app into a new directory that the test may change. node_modules is a link to the
// shared one.
func CopyExample(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := CopyApp(Example(t, name), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// CopyApp copies the app in src to dst, without what its tools generate (dist and hidden directories), and links
// every node_modules.
func CopyApp(src, dst string) error {
	return filepath.WalkDir(src, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir() && e.Name() == "node_modules":
			if err := os.Symlink(path, filepath.Join(dst, rel)); err != nil {
				return err
			}
			return fs.SkipDir
		case e.IsDir() && rel != "." && (e.Name() == "dist" || strings.HasPrefix(e.Name(), ".")):
			return fs.SkipDir
		case e.IsDir():
			return os.MkdirAll(filepath.Join(dst, rel), 0o777)
		case !e.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dst, rel), data, 0o666)
	})
}

// Update reports whether the tests run with -update. A test package that has goldens calls UpdateFlag once.
func Update() bool {
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

// UpdateFlag defines -update, for a TestMain or a variable of a test package.
func UpdateFlag() *bool {
	return flag.Bool("update", false, "write golden files instead of comparing with them")
}

// Golden compares got with the file at path, or writes the file with -update.
func Golden(t testing.TB, path string, got []byte) {
	t.Helper()
	if Update() {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s does not exist: run the test with -update, and read what it writes", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

// Logger returns a logger that writes to the test's log.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(logWriter{t}, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type logWriter struct{ t testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
