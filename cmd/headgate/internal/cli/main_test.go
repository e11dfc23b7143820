package cli

import (
	"context"
	"os"
	"testing"

	"headgate/internal/livestore/script"
)

// TestMain lets a test's sandboxes be this program again, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(Main(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
	}
	os.Exit(m.Run())
}
