//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"headgate/internal/testenv"
)

// TestInterrupt sends the real program the signal of ^C while it follows a log: it must end in order, with status 130,
// and say how to go on.
func TestInterrupt(t *testing.T) {
	log := filepath.Join(testenv.Root(t), "examples", "todo", "data", "demo", "eventlog@6.db")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "headgate", "log", "tail", "--log", "file:"+log, "--follow")
			cmd.Dir = t.TempDir()
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(stdout)
			if _, err := out.ReadString('\n'); err != nil { // it is at work
				t.Fatalf("%v\n%s", err, &stderr)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if _, err := out.WriteTo(&bytes.Buffer{}); err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 130 {
				t.Errorf("%v, want exit status 130", err)
			}
			for _, want := range []string{"headgate: error: interrupted", "headgate: next: headgate log tail "} {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr has no %q:\n%s", want, &stderr)
				}
			}
		})
	}
}
