package main

import (
	"os"
	"path/filepath"
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
	inBlock, shown := false, 0
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "```") {
			inBlock = strings.TrimSpace(line) == "```sh"
			continue
		}
		command, _, _ := strings.Cut(strings.TrimSpace(line), " #")
		command = strings.TrimSpace(command)
		if !inBlock || !strings.HasPrefix(command, "headgate ") {
			continue
		}
		shown++
		run := "\nexec " + command + "\n"
		if args, ok := strings.CutPrefix(command, "headgate serve "); ok {
			run = "\nserve SERVER " + args
		}
		if !strings.Contains(string(script), run) {
			t.Errorf("no script runs %q", command)
		}
	}
	if shown < 20 {
		t.Errorf("%d commands", shown)
	}
}
