package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
)

// testApp returns an app on buffers, with these environment variables.
func testApp(t *testing.T, env map[string]string) (a *app, stdout, stderr *bytes.Buffer) {
	t.Helper()
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	a = newApp(strings.NewReader(""), stdout, stderr, lookup(env), time.Now)
	a.dir = t.TempDir()
	return a, stdout, stderr
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// TestCommandsExplainThemselves walks every command: it must have a category or a parent, a description, and
// examples that parse.
func TestCommandsExplainThemselves(t *testing.T) {
	a, _, _ := testApp(t, nil)
	for _, c := range a.commands() {
		if c.Category != daily && c.Category != plumbing {
			t.Errorf("headgate %s: category %q, want daily or plumbing", c.Name, c.Category)
		}
	}
	seen := 0
	walk(a.tree().Commands, "headgate", func(path string, c *cli.Command) {
		seen++
		for _, problem := range explains(a.tree(), path, c) {
			t.Errorf("%s: %s", path, problem)
		}
	})
	if seen < 3 {
		t.Errorf("walked %d commands, that is not the whole tree", seen)
	}
}

// explains returns what is wrong with a command's help.
func explains(tree *cli.App, path string, c *cli.Command) (problems []string) {
	if c.Usage == "" || strings.HasSuffix(c.Usage, ".") || c.Usage[:1] != strings.ToLower(c.Usage[:1]) {
		problems = append(problems, fmt.Sprintf("Usage %q is not a lower-case line without a period", c.Usage))
	}
	examples := 0
	for line := range strings.Lines(c.UsageText) {
		line = strings.TrimSpace(line)
		i := strings.Index(line, "headgate ")
		if line == "" || strings.HasPrefix(line, "#") || i < 0 {
			continue
		}
		words := strings.Fields(line[i:])
		for j, w := range words {
			if strings.ContainsAny(w, "<>|)") {
				words = words[:j+1]
				words[j], _, _ = strings.Cut(strings.TrimSuffix(w, ")"), ">")
				if strings.ContainsAny(words[j], "<|") || words[j] == "" {
					words = words[:j]
				}
				break
			}
		}
		in, err := parse(tree, words[1:], lookup(nil))
		if err != nil {
			problems = append(problems, fmt.Sprintf("example %q: %v", line, err))
		} else if strings.HasPrefix(in.typed+" ", path+" ") {
			examples++
		}
	}
	if examples == 0 {
		problems = append(problems, "UsageText has no example of the command")
	}
	return problems
}

func TestExplainsCanFail(t *testing.T) {
	tree := &cli.App{Commands: []*cli.Command{{Name: "x", Action: nothing}, {Name: "y", Action: nothing}}}
	for name, c := range map[string]*cli.Command{
		"no usage":            {Usage: "", UsageText: "headgate x"},
		"a period":            {Usage: "do x.", UsageText: "headgate x"},
		"no example":          {Usage: "do x", UsageText: "# nothing"},
		"another's example":   {Usage: "do x", UsageText: "headgate y"},
		"an example of wrong": {Usage: "do x", UsageText: "headgate x --nope"},
	} {
		if len(explains(tree, "headgate x", c)) == 0 {
			t.Errorf("%s: no problem found", name)
		}
	}
	if p := explains(tree, "headgate x", &cli.Command{Usage: "do x", UsageText: "headgate x > file"}); len(p) > 0 {
		t.Errorf("a good command: %v", p)
	}
}

// TestFlagShapes holds what split relies on: a name takes a value in all commands or in none, and only --format
// is both global and a command's.
func TestFlagShapes(t *testing.T) {
	a, _, _ := testApp(t, nil)
	tree := a.tree()
	takes := map[string]bool{}
	global := flagsByName(tree.Flags)
	for name, f := range global {
		takes[name] = takesValue(f)
	}
	walk(tree.Commands, "headgate", func(path string, c *cli.Command) {
		for name, f := range flagsByName(c.Flags) {
			if v, ok := takes[name]; ok && v != takesValue(f) {
				t.Errorf("%s --%s: takes a value here and none elsewhere, or the other way round", path, name)
			}
			takes[name] = takesValue(f)
			if name != "format" && global[name] != nil {
				t.Errorf("%s --%s: there is a global flag of this name", path, name)
			}
		}
	})
}

func TestEveryCodeHasAnExitStatus(t *testing.T) {
	want := map[errs.Code]int{
		"": 0, errs.Internal: 1, errs.Invalid: 2, errs.NotFound: 2, errs.Unverifiable: 2, errs.Findings: 3, errs.Stale: 4,
		errs.Partial: 5, errs.Locked: 6, errs.Refused: 7, errs.Mismatch: 8, errs.Interrupted: 130,
	}
	for code, status := range want {
		if got := exitStatus(code); got != status {
			t.Errorf("exitStatus(%q) = %d, want %d", code, got, status)
		}
		if !strings.Contains(exitCodesText, fmt.Sprintf("\n%5d  ", status)) {
			t.Errorf("the help page does not list %d", status)
		}
	}
}

func TestEnd(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tc := range []struct {
		name   string
		ctx    context.Context
		err    error
		status int
		want   string
	}{
		{
			"everything set", t.Context(),
			errs.Refusedf("it would lose data").At("a.json:3").Hintf("look\ntwice").Then("headgate a").Then("headgate b").Because(errors.New("why")), 7,
			"headgate: error: a.json:3: it would lose data: why\nheadgate: hint: look\nheadgate: hint: twice\nheadgate: next: headgate a\nheadgate: next: headgate b\n",
		},
		{
			"wrapped", t.Context(), fmt.Errorf("read it: %w", errs.NotFoundf("no a")), 2,
			"headgate: error: read it: no a\nheadgate: next: headgate --help\n",
		},
		{
			"a foreign error", t.Context(), errors.New("boom"), 1,
			"headgate: error: boom\nheadgate: next: headgate a 'b c' --log-level debug\n",
		},
		{
			"interrupted", cancelled, fmt.Errorf("replay: %w", context.Canceled), 130,
			"headgate: error: interrupted: replay: context canceled\nheadgate: next: headgate a 'b c'\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, stdout, stderr := testApp(t, nil)
			a.line = "headgate a 'b c'"
			if got := a.end(tc.ctx, tc.err); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if stderr.String() != tc.want || stdout.Len() > 0 {
				t.Errorf("stderr:\n%s\nwant:\n%s\nstdout: %q", stderr, tc.want, stdout)
			}
		})
	}
}

// TestOneJSONDocument: a result that is already printed is not followed by the error as a second document.
func TestOneJSONDocument(t *testing.T) {
	a, stdout, stderr := testApp(t, nil)
	a.format = formatJSON
	if err := a.render(map[string]int{"errors": 2}, nil); err != nil {
		t.Fatal(err)
	}
	if got := a.end(t.Context(), errs.New(errs.Findings, "2 errors")); got != 3 {
		t.Errorf("status %d, want 3", got)
	}
	if want := "{\n  \"errors\": 2\n}\n"; stdout.String() != want {
		t.Errorf("stdout = %q, want %q", stdout, want)
	}
	if !strings.Contains(stderr.String(), "error: 2 errors") {
		t.Errorf("stderr = %q", stderr)
	}
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"up", "--where", "a = 'b'", "", "--store=x"})
	if want := `headgate up --where 'a = '\''b'\''' '' --store=x`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	got = commandLine([]string{"log", "--log=postgres:postgres://me:a@b/c@db:1/x?password=s&a=1#t", "https://host:1/a", "me:x@y"})
	if want := `headgate log '--log=postgres:postgres://me:PASSWORD@db:1/x?password=PASSWORD&a=1#t' https://host:1/a me:x@y`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRunSurvivesAPanic(t *testing.T) {
	a, _, stderr := testApp(t, nil)
	a.lookupEnv = func(string) (string, bool) { panic("out of order") }
	err := a.run(t.Context(), []string{"headgate", "help"})
	if errs.CodeOf(err) != errs.Internal || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("error = %v, want an internal one that names the panic", err)
	}
	if !strings.Contains(stderr.String(), "TestRunSurvivesAPanic") {
		t.Error("no stack on stderr")
	}
}

func nothing(*cli.Context) error { return nil }
