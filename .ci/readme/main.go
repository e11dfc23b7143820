// Command readme runs what a Markdown file shows. Each ```console block whose info string says "run" is a session: a
// line that begins with "$ " is a command, what follows it is its output, stdout and stderr together. All blocks run
// in one copy of the example app, in order, with bin/headgate in PATH. In expected output a line that is only "…"
// stands for any lines, "…" inside a line for any text. A command that is meant to fail ends in "# exit N".
//
//	go run ./.ci/readme [-update] FILE
//
// With -update the output in the file is replaced where it no longer matches.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"headgate/internal/atomicfile"
	"headgate/internal/testenv"
)

func main() {
	update := flag.Bool("update", false, "write the real output into the file")
	flag.Parse()
	if err := run(flag.Arg(0), *update); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(file string, update bool) error {
	if file == "" {
		return errors.New("usage: readme [-update] FILE")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "headgate-readme-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "todo")
	if err := testenv.CopyApp(filepath.Join(root, "examples", "todo"), dir); err != nil {
		return err
	}
	sh := &shell{dir: dir, home: dir, path: filepath.Join(root, "bin") + string(os.PathListSeparator) + os.Getenv("PATH")}
	out, ran, differences, err := process(string(text), sh)
	switch {
	case err != nil:
		return err
	case len(differences) > 0 && update:
		fmt.Printf("%d commands, %d outputs replaced\n", ran, len(differences))
		return atomicfile.Write(file, []byte(out), 0o644)
	case len(differences) > 0:
		return fmt.Errorf("%s differs from what the commands print:\n\n%s", file, strings.Join(differences, "\n"))
	}
	fmt.Printf("%d commands of %s print what it says\n", ran, file)
	return nil
}

// A runner runs one command and returns what it printed and its exit status.
type runner interface {
	run(command string) (output string, status int, err error)
}

// process runs every marked block of a Markdown text. It returns the text with the real outputs, the number of
// commands, and a description of each output that does not match.
func process(text string, r runner) (out string, ran int, differences []string, err error) {
	lines := strings.Split(text, "\n")
	var b []string
	for i := 0; i < len(lines); i++ {
		b = append(b, lines[i])
		if !isSession(lines[i]) {
			continue
		}
		for i++; i < len(lines) && lines[i] != "```"; {
			command, ok := strings.CutPrefix(lines[i], "$ ")
			if !ok {
				return "", 0, nil, fmt.Errorf("line %d: output before the first command: %s", i+1, lines[i])
			}
			at := i + 1
			b = append(b, lines[i])
			for i++; strings.HasSuffix(command, "\\") && i < len(lines); i++ {
				command = strings.TrimSuffix(command, "\\") + lines[i]
				b = append(b, lines[i])
			}
			var want []string
			for ; i < len(lines) && lines[i] != "```" && !strings.HasPrefix(lines[i], "$ "); i++ {
				want = append(want, lines[i])
			}
			command, status := wantedStatus(command)
			got, gotStatus, err := r.run(command)
			if err != nil {
				return "", 0, nil, fmt.Errorf("line %d: %s: %w", at, command, err)
			}
			ran++
			if gotStatus != status {
				return "", 0, nil, fmt.Errorf("line %d: %s: exit status %d, want %d:\n%s", at, command, gotStatus, status, got)
			}
			gotLines := splitOutput(progressLine.ReplaceAllString(got, ""))
			if matchLines(want, gotLines) {
				b = append(b, want...)
				continue
			}
			differences = append(differences, fmt.Sprintf("line %d: $ %s\n  the file says:\n    %s\n  it prints:\n    %s\n",
				at, command, strings.Join(want, "\n    "), strings.Join(gotLines, "\n    ")))
			b = append(b, gotLines...)
		}
		if i < len(lines) {
			b = append(b, lines[i])
		}
	}
	if ran == 0 {
		return "", 0, nil, errors.New("no block is marked ```console run: nothing was checked")
	}
	return strings.Join(b, "\n"), ran, differences, nil
}

func isSession(line string) bool {
	info, ok := strings.CutPrefix(line, "```console")
	return ok && strings.Contains(" "+info+" ", " run ")
}

// progressLine matches what a command that takes long says on stderr. Whether it does depends on the machine.
var progressLine = regexp.MustCompile(`(?m)^[a-z][^\n]*: \d+( of \d+ \(\d+ %\))?, \d+/(?:s|min)(, [^\n]* left)?\n`)

func wantedStatus(command string) (string, int) {
	if m := regexp.MustCompile(`^(.*\S)\s+# exit (\d+)$`).FindStringSubmatch(command); m != nil {
		n, _ := strconv.Atoi(m[2]) // digits
		return m[1], n
	}
	return command, 0
}

func splitOutput(s string) []string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return nil
	}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		out = append(out, strings.TrimRight(line, " \t\r"))
	}
	return out
}

// matchLines compares output with what the file says; a line "…" in want stands for any number of lines.
func matchLines(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if strings.TrimSpace(want[0]) == "…" {
		for i := 0; i <= len(got); i++ {
			if matchLines(want[1:], got[i:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 0 && matchLine(want[0], got[0]) && matchLines(want[1:], got[1:])
}

func matchLine(want, got string) bool {
	parts := strings.Split(want, "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`^` + strings.Join(parts, `.*`) + `$`).MatchString(got)
}

// A shell runs commands with bash. A cd lasts.
type shell struct {
	dir, home, path string
}

func (s *shell) run(command string) (string, int, error) {
	if dir, ok := strings.CutPrefix(command, "cd "); ok {
		next := filepath.Join(s.dir, dir)
		if _, err := os.Stat(next); err != nil {
			return "", 0, err
		}
		s.dir = next
		return "", 0, nil
	}
	cmd := exec.CommandContext(context.Background(), "bash", "-eu", "-o", "pipefail", "-c", command)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+s.path, "HOME="+s.home, "NO_COLOR=1", "LC_ALL=C.UTF-8")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out.String(), exit.ExitCode(), nil
	}
	return out.String(), 0, err
}
