package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestServePageIsRun: the commands that examples/serve.md shows are those that a script runs.
func TestServePageIsRun(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "examples", "serve.md"))
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(filepath.Join("testdata", "script", "remote.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	joined := func(text []byte) string { return regexp.MustCompile(`\\\n\s*`).ReplaceAllString(string(text), "") }
	inBlock, shown := false, 0
	for line := range strings.Lines(joined(page)) {
		if strings.HasPrefix(line, "```") {
			inBlock = strings.TrimSpace(line) == "```sh"
			continue
		}
		command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
		command = strings.TrimSpace(command)
		curl := strings.HasPrefix(command, "curl ")
		if !inBlock || !curl && !strings.HasPrefix(command, "headgate ") {
			continue
		}
		shown++
		run := "\nexec " + command + "\n"
		if curl { // in the script that it runs
			run = "\n" + command + "\n"
		} else if args, ok := strings.CutPrefix(command, "headgate serve "); ok {
			run = "\nserve SERVER " + args
		}
		if !strings.Contains(joined(script), run) {
			t.Errorf("no script runs %q", command)
		}
	}
	if shown < 20 {
		t.Errorf("%d commands", shown)
	}
}
