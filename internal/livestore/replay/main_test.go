package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			bundle.DescribeJob: bundle.JobDescribe,
			replay.Job:         recordPeak,
			replay.LiveJob:     replay.JobLive,
			probe.IdentifyJob:  probe.JobIdentify,
		}, os.Exit))
	}
	code := m.Run()
	if err := os.Remove(peakFile(os.Getpid())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(os.Stderr, err)
	}
	if awkwardPath != "" {
		if err := os.RemoveAll(awkwardPath); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// recordPeak is the replay job; it leaves the child's largest memory so far for the parent, where Linux tells.
func recordPeak(ctx context.Context, s *script.Session) (any, error) {
	res, err := replay.JobReplay(ctx, s)
	if status, e := os.ReadFile("/proc/self/status"); e == nil {
		for line := range strings.Lines(string(status)) {
			if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				_ = os.WriteFile(peakFile(os.Getppid()), []byte(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB"))), 0o600)
			}
		}
	}
	return res, err
}

func peakFile(parent int) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("headgate-replay-test-peak-%d", parent))
}

func launcher(t testing.TB) script.Launcher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits(), Compiled: compiledOnce()}
}

// A built is a schema module, bundled and described once per test run.
type built struct {
	once   sync.Once
	target replay.Target
	err    error
}

var builds sync.Map // of *built, by directory and entry

// target builds the schema module entry of the app in dir.
func target(t testing.TB, dir, entry string) replay.Target {
	t.Helper()
	v, _ := builds.LoadOrStore(dir+"\x00"+entry, &built{})
	b := v.(*built)
	b.once.Do(func() {
		src := bundle.Source{Dir: dir, Entry: entry}
		s, err := bundle.Build(src)
		if err != nil {
			b.err = err
			return
		}
		l := launcher(t)
		if entry == "slow.ts" { // describing it runs its endless materializer
			l.Limits.Call = 5 * time.Second
		}
		r, err := bundle.Describe(context.Background(), l, s, src)
		if err != nil {
			b.err = err
			return
		}
		r.App, r.Schema, r.Version = "test", "main", "1.0.0"
		b.target = replay.Target{Release: r, Program: engine.Program{Code: s.Code, Export: s.Export}, Locate: s.LocateTrace}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return b.target
}

// todo is a release of the example app.
func todo(t testing.TB, version string) replay.Target {
	t.Helper()
	return target(t, testenv.Example(t, "todo"), "history/"+version+"/livestore/schema.ts")
}

// openLog opens a log by URL or path until the test ends.
func openLog(t testing.TB, url string) eventlog.Reader {
	t.Helper()
	u, err := openlog.Parse(url, "/")
	if err != nil {
		t.Fatal(err)
	}
	r, err := openlog.Open(t.Context(), u, openlog.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func options(out string) replay.Options { return replay.Options{Out: out, Now: time.Now} }

// run replays and demands success.
func run(t testing.TB, tg replay.Target, r eventlog.Reader, o replay.Options) replay.Result {
	t.Helper()
	res, err := replay.Replay(t.Context(), launcher(t), tg, r, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
}

func outFile(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") }

// compiledOnce is shared by all tests of the package: they evaluate the same few scripts over and over.
var compiledOnce = sync.OnceValue(func() *script.Compiled { return script.NewCompiled(nil) })
