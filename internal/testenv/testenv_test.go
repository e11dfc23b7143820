package testenv_test

import (
	"os"
	"path/filepath"
	"testing"

	"headgate/internal/testenv"
)

func TestRoot(t *testing.T) {
	if _, err := os.Stat(filepath.Join(testenv.Root(t), "go.mod")); err != nil {
		t.Error(err)
	}
}

func TestCopyApp(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "app")
	for _, name := range []string{"src/schema.ts", "node_modules/a/index.js", ".headgate/cache", "package.json"} {
		path := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := testenv.CopyApp(src, dst); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"src/schema.ts": true, "package.json": true, "node_modules/a/index.js": true, ".headgate/cache": false,
	} {
		if _, err := os.Stat(filepath.Join(dst, name)); (err == nil) != want {
			t.Errorf("%s copied: %v, want %v", name, err == nil, want)
		}
	}
	if info, err := os.Lstat(filepath.Join(dst, "node_modules")); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("node_modules is no link (%v)", err)
	}
}

func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.golden")
	if err := os.WriteFile(path, []byte("right"), 0o666); err != nil {
		t.Fatal(err)
	}
	testenv.Golden(t, path, []byte("right"))
	for name, path := range map[string]string{"other content": path, "no file": path + ".none"} {
		fake := &fakeTB{TB: t}
		func() {
			defer func() { _ = recover() }() // what fakeTB.Fatalf ends with
			testenv.Golden(fake, path, []byte("wrong"))
		}()
		if !fake.failed {
			t.Errorf("%s: Golden did not fail", name)
		}
	}
}

// A fakeTB records a failure instead of failing.
type fakeTB struct {
	testing.TB
	failed bool
}

func (f *fakeTB) Helper()               {}
func (f *fakeTB) Errorf(string, ...any) { f.failed = true }
func (f *fakeTB) Fatalf(string, ...any) { f.failed = true; panic("fatal") }
