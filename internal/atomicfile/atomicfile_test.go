package atomicfile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"headgate/internal/atomicfile"
	"headgate/internal/errs"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.json")
	for _, want := range []string{"first, the longer text", "second"} {
		if err := atomicfile.Write(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != want {
			t.Errorf("content = %q, want %q", got, want)
		}
	}
	onlyFile(t, path)
}

func TestPermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no permission bits")
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := atomicfile.Write(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode = %v, want 0600", got)
	}
}

func TestAbortKeepsTheOldFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := atomicfile.Write(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	f.Abort()
	if got := read(t, path); got != "old" {
		t.Errorf("content = %q, want old", got)
	}
	onlyFile(t, path)
	if _, err := f.Write([]byte("x")); err == nil {
		t.Error("a write after Abort succeeded")
	}
	if err := f.Commit(); err == nil {
		t.Error("a Commit after Abort succeeded")
	}
}

func TestNothingIsVisibleBeforeCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("stat before Commit: %v, want not exist", err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); got != "new" {
		t.Errorf("content = %q, want new", got)
	}
}

func TestSymlinkStays(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real"), filepath.Join(dir, "link")
	if err := os.WriteFile(real, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
	if err := atomicfile.Write(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := read(t, real); got != "new" {
		t.Errorf("the link's target holds %q, want new", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced by a file (%v)", err)
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct {
		name, path string
		code       errs.Code
		msg        string
	}{
		{"directory missing", filepath.Join(dir, "no", "a"), errs.NotFound, "directory does not exist"},
		{"is a directory", dir, errs.Invalid, "a directory has this name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := atomicfile.Write(tc.path, []byte("x"), 0o644)
			if errs.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.msg) {
				t.Errorf("error = %v (%s), want %s with %q", err, errs.CodeOf(err), tc.code, tc.msg)
			}
		})
	}
}

// TestDiskFull runs itself in a mount namespace with a file system of 64 KB, the way a user meets it.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv("ATOMICFILE_FULL_DISK"); dir != "" {
		writeToFullDisk(t, dir)
		return
	}
	dir := t.TempDir()
	script := `mount -t tmpfs -o size=64k tmpfs "$1" && ATOMICFILE_FULL_DISK="$1" exec "$2" -test.run '^TestDiskFull$' -test.v`
	cmd := exec.Command("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", dir, os.Args[0])
	out, err := cmd.CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("=== RUN")) {
		t.Skipf("can't make a small file system here: %v: %s", err, out)
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func writeToFullDisk(t *testing.T, dir string) {
	path := filepath.Join(dir, "a")
	if err := atomicfile.Write(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := atomicfile.Write(path, make([]byte, 100<<10), 0o644)
	e := errs.As(err)
	if e == nil || e.Code != errs.Internal || !strings.Contains(e.Msg, "disk is full") || e.Hint == "" {
		t.Errorf("error = %#v, want disk is full with a hint", e)
	}
	if got := read(t, path); got != "old" {
		t.Errorf("content = %q, want old", got)
	}
	onlyFile(t, path)

	// A caller that overlooks the failed write must still not publish the half.
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write(make([]byte, 100<<10))
	if err := f.Commit(); err == nil {
		t.Error("Commit after a failed write succeeded")
	}
	onlyFile(t, path)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// onlyFile fails when anything stands beside path: a temporary file was left behind.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(path) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}
