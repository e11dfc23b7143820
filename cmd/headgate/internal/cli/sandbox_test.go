package cli

import (
	"io"
	"strings"
	"testing"
	"time"
)

// The sandboxes of one run spare each other the compiling of the bundle, which takes most of a child's start.
func TestSandboxesOfARunShareCompiledScripts(t *testing.T) {
	a := newApp(strings.NewReader(""), io.Discard, io.Discard, func(string) (string, bool) { return "", false }, time.Now)
	first, err := a.launcher()
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.launcher()
	if err != nil {
		t.Fatal(err)
	}
	if first.Compiled == nil || first.Compiled != second.Compiled {
		t.Errorf("two launchers of a run have %p and %p", first.Compiled, second.Compiled)
	}
}
