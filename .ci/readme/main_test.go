package main

import (
	"strings"
	"testing"
)

// A fake prints what it is told to.
type fake map[string]string

func (f fake) run(command string) (string, int, error) {
	if command == "false" {
		return "", 1, nil
	}
	return f[command], 0, nil
}

const page = "# Title\n\n```console\n$ not run\n```\n\n```console run\n$ a\none\n…\nlast 12… s\n$ b \\\n  c\n$ false   # exit 1\n```\nend\n"

func TestProcess(t *testing.T) {
	out, ran, differences, err := process(page, fake{"a": "one\nx\ny\nlast 12.5 s\n", "b   c": ""})
	if err != nil || ran != 3 || len(differences) > 0 || out != page {
		t.Errorf("ran %d, differences %q, error %v, text:\n%s", ran, differences, err, out)
	}
}

func TestProcessFindsDifferences(t *testing.T) {
	out, _, differences, err := process(page, fake{"a": "one\nlast 13 s\n", "b   c": "surprise  \n"})
	if err != nil {
		t.Fatal(err)
	}
	if len(differences) != 2 || !strings.HasPrefix(differences[0], "line 8: $ a\n") {
		t.Errorf("differences = %q", differences)
	}
	want := strings.NewReplacer("one\n…\nlast 12… s\n", "one\nlast 13 s\n", "  c\n", "  c\nsurprise\n").Replace(page)
	if out != want {
		t.Errorf("updated text:\n%s\nwant:\n%s", out, want)
	}
}

func TestProcessErrors(t *testing.T) {
	for name, text := range map[string]string{
		"exit status 1, want 0":    "```console run\n$ false\n```\n",
		"exit status 0, want 3":    "```console run\n$ true # exit 3\n```\n",
		"before the first command": "```console run\nhm\n```\n",
		"nothing was checked":      "```console\n$ a\n```\n",
	} {
		if _, _, _, err := process(text, fake{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error = %v, want %q", err, name)
		}
	}
}
