package script_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/livestore/script"
)

type evalParams struct {
	Code string
	Seed uint32
}

func (p evalParams) Sources() []string { return []string{p.Code} }

// A compiled script does what its source does: results, stacks and the function's own text.
func TestCompiledScriptIsTheSame(t *testing.T) {
	with := launcher(t)
	with.Compiled = script.NewCompiled(nil)
	for name, code := range map[string]string{
		"value":  "globalThis.main = () => JSON.stringify([1, 'é', main.toString()])",
		"throw":  "function inner() {\n  throw new TypeError('no') }\nglobalThis.main = () => inner()",
		"syntax": "let a = 1\nlet = = 2",
		"load":   "null.x",
	} {
		plain, err1 := script.Run[string](t.Context(), launcher(t), "eval", evalParams{Code: code})
		for range 2 {
			compiled, err2 := script.Run[string](t.Context(), with, "eval", evalParams{Code: code})
			if plain != compiled {
				t.Errorf("%s: %q, compiled %q", name, plain, compiled)
			}
			var f, g *script.Failure
			if errors.As(err1, &f) != errors.As(err2, &g) {
				t.Fatalf("%s: %v, compiled %v", name, err1, err2)
			}
			if f != nil && (f.Error() != g.Error() || len(f.Stack) == 0 || len(g.Stack) == 0 || f.Stack[0] != g.Stack[0]) {
				t.Errorf("%s: %+v, compiled %+v", name, f, g)
			}
		}
	}
}

// What was compiled outlasts a run in a directory; a file that was damaged there is not run.
func TestCompiledIsKeptForLaterRuns(t *testing.T) {
	dir := t.TempDir()
	run := func(code string) string {
		t.Helper()
		l := launcher(t)
		l.Compiled = script.NewCompiled(&script.Cache{Dir: dir, Program: "this", Now: time.Now})
		got, err := script.Run[string](t.Context(), l, "eval", evalParams{Code: code})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	kept := func() string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		return files[0]
	}
	run("globalThis.main = () => 'other'")
	other, err := os.ReadFile(kept())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(kept()); err != nil {
		t.Fatal(err)
	}
	code := "globalThis.main = () => 'this'"
	run(code)
	this := kept()
	if err := os.WriteFile(this, other, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(code); got != "other" {
		t.Errorf("what is kept is not used: %q", got)
	}
	damage(t, this)
	if got := run(code); got != "this" {
		t.Errorf("of a damaged file: %q", got)
	}
}

func TestCompiledIsSharedByGoroutines(t *testing.T) {
	l := launcher(t)
	l.Compiled = script.NewCompiled(nil)
	code := "globalThis.main = () => 'same'; /* " + strings.Repeat("x", 1<<20) + " */"
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, err := script.Run[string](context.Background(), l, "eval", evalParams{Code: code}); got != "same" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
}
