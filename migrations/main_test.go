package migrations_test

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			bundle.DescribeJob: bundle.JobDescribe,
			replay.Job:         replay.JobReplay,
			replay.LiveJob:     replay.JobLive,
		}, os.Exit))
	}
	goleak.VerifyTestMain(m)
}

var compiled = sync.OnceValue(func() *script.Compiled { return script.NewCompiled(nil) })

func launcher(t testing.TB) script.Launcher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits(), Compiled: compiled()}
}

type release struct {
	once   sync.Once
	target replay.Target
	err    error
}

var releases sync.Map // of *release, by version

// todo is a release of the example app, built once per test run.
func todo(t testing.TB, version string) replay.Target {
	t.Helper()
	v, _ := releases.LoadOrStore(version, &release{})
	r := v.(*release)
	r.once.Do(func() {
		src := bundle.Source{Dir: testenv.Example(t, "todo"), Entry: "history/" + version + "/livestore/schema.ts"}
		s, err := bundle.Build(src)
		if err != nil {
			r.err = err
			return
		}
		d, err := bundle.Describe(context.Background(), launcher(t), s, src)
		if err != nil {
			r.err = err
			return
		}
		d.App, d.Schema, d.Version = "todo", "main", version
		r.target = replay.Target{Release: d, Program: engine.Program{Code: s.Code, Export: s.Export}, Locate: s.LocateTrace}
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.target
}

func noSleep(ctx context.Context, _ time.Duration) error { return ctx.Err() }
