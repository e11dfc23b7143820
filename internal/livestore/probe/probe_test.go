package probe_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			bundle.DescribeJob:   bundle.JobDescribe,
			probe.DeterminismJob: probe.JobDeterminism,
			probe.EdgeJob:        probe.JobEdge,
			probe.MixedJob:       probe.JobMixed,
			probe.CompareJob:     probe.JobCompare,
			probe.DecodeJob:      probe.JobDecode,
		}, os.Exit))
	}
	os.Exit(m.Run())
}

func launcher(t testing.TB) script.Launcher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits(), Compiled: compiledOnce()}
}

// A release is an evaluated fixture, with what a probe needs of it.
type release struct {
	*schema.Release
	script  *bundle.Script
	program engine.Program
	key     string // in described
}

func (r *release) app() probe.App {
	return probe.AppOf(r.Release, r.program, r.script.Hints(r.Release))
}

// releases keeps what was described: several tests use the same fixtures, and evaluating one takes a second.
type releases struct {
	mu  sync.Mutex
	got map[string]*release
}

var described = releases{got: map[string]*release{}}

func describe(t testing.TB, dir, entry, queries, version string) *release {
	t.Helper()
	described.mu.Lock()
	defer described.mu.Unlock()
	key := dir + entry
	if r := described.got[key]; r != nil {
		return r
	}
	src := bundle.Source{Dir: dir, Entry: entry, Queries: queries}
	s, err := bundle.Build(src)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bundle.Describe(t.Context(), launcher(t), s, src)
	if err != nil {
		t.Fatal(err)
	}
	r.Version = version
	out := &release{r, s, engine.Program{Code: s.Code, Export: s.Export}, key}
	described.got[key] = out
	return out
}

// example is a release of the example app.
func example(t testing.TB, version string) *release {
	t.Helper()
	dir := "history/" + version + "/livestore/"
	return describe(t, testenv.Example(t, "todo"), dir+"schema.ts", dir+"queries.ts", version)
}

// fixture is an app of testdata: <name>.ts, with the example's packages.
func fixture(t testing.TB, name string) *release {
	t.Helper()
	packages := filepath.Join(testenv.Example(t, "todo"), "node_modules")
	dir := t.TempDir()
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", name+".ts"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "schema.ts"), text, 0o666); err != nil {
		t.Fatal(err)
	}
	return describe(t, dir, "schema.ts", "", "1.0.0")
}

// compiledOnce is shared by all tests of the package: they evaluate the same few scripts over and over.
var compiledOnce = sync.OnceValue(func() *script.Compiled { return script.NewCompiled(nil) })
