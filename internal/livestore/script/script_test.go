package script_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/internal/livestore/script"
)

func evalJob(_ context.Context, s *script.Session) (any, error) {
	var p struct {
		Code string
		Seed uint32
		Now  int64
	}
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	opts := script.VMOptions{Seed: p.Seed}
	if p.Now != 0 {
		opts.Now = time.UnixMilli(p.Now)
	}
	vm, err := s.NewVM(opts)
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	if err := vm.Load("app.js", p.Code); err != nil {
		return nil, err
	}
	return vm.Call("main", "")
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			"eval":   evalJob,
			"silent": func(ctx context.Context, _ *script.Session) (any, error) { select {} },
			"env":    func(context.Context, *script.Session) (any, error) { return os.Environ(), nil },
		}, os.Exit))
	}
	os.Exit(m.Run())
}

func launcher(t *testing.T) script.Launcher {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.Limits{Memory: 64 << 20, Call: 5 * time.Minute, Silence: 5 * time.Minute}}
}

func eval(t *testing.T, code string) (string, error) {
	t.Helper()
	return script.Run[string](t.Context(), launcher(t), "eval", map[string]any{"Code": code, "Seed": 1})
}

// evalBriefly gives the code two seconds, which must be enough to get to it.
func evalBriefly(t *testing.T, code string) (string, error) {
	t.Helper()
	l := launcher(t)
	l.Limits.Call = 2 * time.Second
	return script.Run[string](t.Context(), l, "eval", map[string]any{"Code": code, "Seed": 1})
}

func failure(t *testing.T, err error) *script.Failure {
	t.Helper()
	var f *script.Failure
	if !errors.As(err, &f) {
		t.Fatalf("got %v (%T), want a *script.Failure", err, err)
	}
	return f
}

func TestRunsCode(t *testing.T) {
	got, err := eval(t, `globalThis.main = () => JSON.stringify([1 + 1, "é", new TextDecoder().decode(new TextEncoder().encode("é😀")), atob(btoa("abc")), new URL("https://a.b:8/c?d=1#e").searchParams.get("d")])`)
	if err != nil || got != `[2,"é","é😀","abc","1"]` {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestClockAndRandomnessAreFixed(t *testing.T) {
	code := `globalThis.main = () => JSON.stringify([Date.now(), new Date().getTime(), +new Date(5), new Date() instanceof Date, typeof Date(), Math.random(), crypto.randomUUID(), new Date(2024, 0, 1, 12).getTimezoneOffset()])`
	a, err := eval(t, code)
	if err != nil {
		t.Fatal(err)
	}
	b, err := eval(t, code)
	if err != nil {
		t.Fatal(err)
	}
	if a != b || !strings.HasPrefix(a, "[1704067200000,1704067200000,5,true,\"string\",0.") || !strings.HasSuffix(a, ",0]") {
		t.Fatalf("runs differ or the clock is off:\n%s\n%s", a, b)
	}
	c, err := script.Run[string](t.Context(), launcher(t), "eval", map[string]any{"Code": code, "Seed": 2, "Now": 1})
	if err != nil {
		t.Fatal(err)
	}
	if c == a {
		t.Fatal("another seed and clock give the same values")
	}
}

func TestIOThrowsOnlyWhenCalled(t *testing.T) {
	if _, err := eval(t, `const w = WebSocket, f = fetch; globalThis.main = () => "ok"`); err != nil {
		t.Fatalf("mentioning I/O fails: %v", err)
	}
	_, err := eval(t, `globalThis.main = () => fetch("https://example.org")`)
	if f := failure(t, err); f.Kind != script.Threw || !strings.Contains(f.Message, "fetch is not available") {
		t.Fatalf("got %+v", f)
	}
}

func TestThrowHasAStack(t *testing.T) {
	_, err := eval(t, "function inner() { throw new TypeError('no') }\nglobalThis.main = () => inner()")
	f := failure(t, err)
	if f.Kind != script.Threw || f.Name != "TypeError" || f.Message != "no" || len(f.Stack) < 2 || f.Stack[0].Function != "inner" || f.Stack[0].Line != 1 {
		t.Fatalf("got %+v", f)
	}
}

func TestSyntaxErrorHasAPlace(t *testing.T) {
	_, err := eval(t, "let a = 1\nlet = = 2")
	f := failure(t, err)
	if f.Name != "SyntaxError" || len(f.Stack) == 0 || f.Stack[0].Line != 2 {
		t.Fatalf("got %+v", f)
	}
}

func TestLoopNamesItsFunction(t *testing.T) {
	_, err := evalBriefly(t, "function spin() { for (;;) {} }\nglobalThis.main = () => spin()")
	f := failure(t, err)
	if f.Kind != script.TooLong || len(f.Stack) == 0 || f.Stack[0].Function != "spin" {
		t.Fatalf("got %+v", f)
	}
}

// The engine's timer can't stop a native: only the watchdog ends this one.
func TestNativeThatRunsLongIsKilled(t *testing.T) {
	start := time.Now()
	_, err := evalBriefly(t, `globalThis.main = () => String(Array.prototype.indexOf.call({ length: Number.MAX_SAFE_INTEGER }, 1))`)
	f := failure(t, err)
	if f.Kind != script.TooLong || !strings.Contains(f.Message, "built-in") {
		t.Fatalf("got %+v", f)
	}
	if d := time.Since(start); d > 15*time.Second {
		t.Fatalf("it took %s", d)
	}
}

func TestMemoryIsLimited(t *testing.T) {
	_, err := eval(t, `globalThis.main = () => { const a = []; for (;;) a.push("x".repeat(1000) + a.length) }`)
	if f := failure(t, err); f.Kind != script.TooLarge {
		t.Fatalf("got %+v", f)
	}
}

func TestDeepRecursionIsAThrow(t *testing.T) {
	_, err := eval(t, `function deep(n) { return deep(n + 1) + 1 } globalThis.main = () => String(deep(0))`)
	f := failure(t, err)
	if f.Kind != script.Threw {
		t.Fatalf("got %+v", f)
	}
}

func TestSilentChildIsKilled(t *testing.T) {
	l := launcher(t)
	l.Limits.Silence = 300 * time.Millisecond
	_, err := script.Run[string](t.Context(), l, "silent", nil)
	if f := failure(t, err); f.Kind != script.TooLong || !strings.Contains(f.Message, "sign of life") {
		t.Fatalf("got %+v", f)
	}
}

func TestChildSeesNoEnvironment(t *testing.T) {
	t.Setenv("HEADGATE_TEST_SECRET", "hunter2")
	env, err := script.Run[[]string](t.Context(), launcher(t), "env", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(env) != 1 || env[0] != "TZ=UTC" {
		t.Fatalf("child's environment is %q", env)
	}
}

func TestCancelEndsTheChild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := launcher(t).Start(ctx, "silent", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cancel()
	if _, _, err := p.Recv(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// keep writes a result as a cache does.
func keep(t *testing.T, file string, result any) {
	t.Helper()
	data, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	if err := os.WriteFile(file, append(sum[:], data...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// damage changes a byte in the middle of a file.
func damage(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCacheKeepsResultsByParametersAndProgram(t *testing.T) {
	l := launcher(t)
	now := time.Now()
	l.Cache = &script.Cache{Dir: t.TempDir(), Program: "a", Now: func() time.Time { return now }}
	run := func(code string) string {
		t.Helper()
		got, err := script.Run[string](t.Context(), l, "eval", map[string]any{"Code": code})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	files := func() []os.DirEntry {
		e, err := os.ReadDir(l.Cache.Dir)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	one := "globalThis.main = () => 'one'"
	if run(one) != "one" || run("globalThis.main = () => 'two'") != "two" || len(files()) != 2 {
		t.Fatalf("after two jobs there are %d files", len(files()))
	}
	// A kept result is what is asked for: a changed file shows.
	for _, f := range files() {
		keep(t, filepath.Join(l.Cache.Dir, f.Name()), "kept")
	}
	if got := run(one); got != "kept" {
		t.Errorf("the second time gives %q, not what is kept", got)
	}
	l.Cache.Program = "b"
	if got := run(one); got != "one" {
		t.Errorf("another program gives %q", got)
	}
	for _, f := range files() {
		damage(t, filepath.Join(l.Cache.Dir, f.Name()))
	}
	if got := run(one); got != "one" {
		t.Errorf("a damaged file gives %q", got)
	}
	if _, err := script.Run[string](t.Context(), l, "eval", map[string]any{"Code": "throw new Error('x')"}); err == nil {
		t.Error("a failure is gone")
	}
	now = now.Add(script.MaxAge + time.Hour)
	run("globalThis.main = () => 'later'")
	if n := len(files()); n != 1 {
		t.Errorf("%d files are left after their time, want 1", n)
	}
}
