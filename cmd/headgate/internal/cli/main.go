// Package cli is headgate's command line: one file per command, and the frame around them (root.go the command
// list, argv.go what may be typed where, output.go and progress.go what is printed, exit.go how a run ends).
//
// It wires and prints. It does not decide anything about an app: that is planner, and the packages under
// internal/livestore know LiveStore.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/script"
)

// Main runs headgate and returns its exit status. args includes the program's name; ctx ends with the first
// signal.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, lookupEnv func(string) (string, bool)) int {
	// A process that headgate started as its own sandbox is dispatched here, before anything reads the arguments.
	if len(args) > 1 && args[1] == script.ChildArg {
		return script.Child(ctx, stdin, stdout, sandboxJobs(), os.Exit)
	}
	a := newApp(stdin, stdout, stderr, lookupEnv, time.Now)
	err := a.start()
	if err == nil {
		err = a.run(ctx, args)
	}
	return a.end(ctx, err)
}

// start finds out where the program runs.
func (a *app) start() error {
	dir, err := os.Getwd()
	if err != nil {
		return errs.New(errs.Internal, "can't read the working directory").Because(err).Hintf("it may have been deleted; change to another one")
	}
	a.dir = dir
	return nil
}

// run takes one command line from its words to the command's error. A panic is a defect: it ends in an error
// like any other, with the stack for the report.
func (a *app) run(ctx context.Context, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(a.stderr, "%s\n", debug.Stack())
			err = errs.New(errs.Internal, "headgate crashed: %v", p).Hintf("this is a defect in headgate; please report the lines above")
		}
	}()
	if len(args) == 0 {
		args = []string{"headgate"}
	}
	a.line, a.interrupted = commandLine(args[1:]), ctx.Done()
	tree := a.tree()
	if len(args) > 1 && args[1] == completeWord {
		return a.complete(tree, args[2:])
	}
	in, err := parse(tree, args[1:], a.lookupEnv)
	a.format, a.typed = in.format, in.typed
	if err != nil {
		return err
	}
	if err := a.configure(in); err != nil {
		return err
	}
	switch {
	case in.version:
		return a.printVersion()
	case in.help || len(in.path) == 0:
		return a.helpFor(tree, in.path)
	}
	if err := a.checkServer(); err != nil {
		return err
	}
	err = tree.RunContext(ctx, append([]string{"headgate"}, in.argv()...))
	if e := errs.As(err); err != nil && e == nil && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errs.New(errs.Interrupted, "interrupted").Because(err)
	}
	return err
}
