// Command headgate makes changing the events of a LiveStore app safe: it knows every release, plans an
// upgrade, and says what would break for whom. See `headgate help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"headgate/cmd/headgate/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first signal ends the run in order, the second at once
	os.Exit(cli.Main(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
