package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	testenv.UpdateFlag()
	testscript.Main(tests{m}, map[string]func(){"headgate": main})
}

// tests removes what the tests share when they have run.
type tests struct{ *testing.M }

func (m tests) Run() int {
	if err := os.Setenv("HEADGATE_CACHE", sharedCache()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.M.Run()
	if err := os.RemoveAll(sharedCache()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// sharedCache is where all copies of the example keep what their sandboxes found out, by content: most scripts record the
// same few releases.
var sharedCache = sync.OnceValue(func() string { return filepath.Join(os.TempDir(), fmt.Sprintf("headgate-test-cache-%d", os.Getpid())) })

func shareCache(app string) error {
	if err := os.MkdirAll(filepath.Join(app, ".headgate"), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(sharedCache(), 0o700); err != nil {
		return err
	}
	return os.Symlink(sharedCache(), filepath.Join(app, ".headgate", "cache"))
}

// TestScript runs testdata/script/*.txtar against the real main. Beside testscript's own commands there are
//
//	status N PROGRAM ARGS…   run it and demand the exit status N
//	copytodo DIR             copy the example app, with its npm packages linked
//	[!] vitest DIR [ARGS…]   run vitest on the tests of the app in DIR
//	record VERSION…          check out releases of the example and record them, which another test may have done already
//	makelog FILE N [SQL…]    write a client's log of N generated events, then run the statements on it
//	sqlite FILE SQL…         run the statements on a SQLite database
//	truncate FILE BYTES      cut bytes off the file's end
//	envfrom NAME FILE        set a variable to the first line of a file
//	serve NAME ARGS…         run headgate serve on a free port until the script ends, and set a variable to its address
//
// and the conditions [linux], [unix], …, [root], and [mounts]: small file systems can be mounted.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       testenv.Update(),
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine that runs the tests may change what they see.
			for _, name := range []string{"HEADGATE_CONFIG", "HEADGATE_FORMAT", "HEADGATE_ENV", "HEADGATE_LOG_LEVEL", "HEADGATE_SERVER", "HEADGATE_TOKEN", "NO_COLOR"} {
				env.Setenv(name, "")
			}
			env.Setenv("HEADGATE_CACHE", sharedCache())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   status,
			"makelog":  makeLog,
			"sqlite":   runSQL,
			"truncate": truncate,
			"envfrom":  envFrom,
			"serve":    serve,
			"vitest":   func(ts *testscript.TestScript, neg bool, args []string) { vitest(t, ts, neg, args) },
			"record":   record,
			"copytodo": func(ts *testscript.TestScript, neg bool, args []string) { copyTodo(t, ts, neg, args) },
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "mounts":
				return canMount(), nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition " + cond)
		},
	})
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// vitest has the packages of codegen's proofs; it finds the app's own from the app.
func vitest(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 {
		ts.Fatalf("usage: vitest dir args...")
	}
	packages := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "app", "node_modules")
	if _, err := os.Stat(filepath.Join(packages, ".bin", "vitest")); err != nil {
		testenv.Need(t, "internal/codegen/testdata/app/node_modules", "run `npm ci --prefix internal/codegen/testdata/app`")
	}
	args = append([]string{"run", "--no-color", "--reporter=verbose", "--root", ts.MkAbs(args[0])}, args[1:]...)
	if err := ts.Exec(filepath.Join(packages, ".bin", "vitest"), args...); (err != nil) != neg {
		ts.Fatalf("vitest: %v", err)
	}
}

func copyTodo(t *testing.T, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: copytodo dir")
	}
	ts.Check(testenv.CopyApp(testenv.Example(t, "todo"), ts.MkAbs(args[0])))
	ts.Check(shareCache(ts.MkAbs(args[0])))
}

func envFrom(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: envfrom name file")
	}
	line, _, _ := strings.Cut(ts.ReadFile(args[1]), "\n")
	ts.Setenv(args[0], line)
}

// serve runs a server beside the script, in its directory. What it logs goes to the test's log where it fails.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve name args...")
	}
	var program string
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if found, err := exec.LookPath(filepath.Join(dir, "headgate")); err == nil {
			program = found
			break
		}
	}
	cmd := exec.Command(program, append([]string{"serve", "--listen", "127.0.0.1:0"}, args[1:]...)...)
	cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "HEADGATE_CACHE"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	address, said := make(chan string, 1), make(chan string, 1)
	go func() {
		var log strings.Builder
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if _, at, ok := strings.Cut(lines.Text(), " on http"); ok {
				address <- "http" + at
			}
		}
		close(address)
		said <- log.String()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		log := <-said
		if err := cmd.Wait(); err != nil {
			ts.Logf("headgate serve: %v\n%s", err, log)
		}
	})
	at, ok := <-address
	if !ok {
		ts.Fatalf("headgate serve does not listen")
	}
	ts.Setenv(args[0], at)
}

// canMount reports whether this user may mount a small file system in a namespace of its own.
func canMount() bool {
	dir, err := os.MkdirTemp("", "headgate-mount-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	return exec.Command("unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", dir).Run() == nil
}
