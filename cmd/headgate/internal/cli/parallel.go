package cli

import (
	"context"
	"runtime"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"headgate/internal/errs"
)

// aboveZero refuses a number that was given and is not above 0.
func aboveZero(c *cli.Context, names ...string) error {
	for _, name := range names {
		if c.IsSet(name) && c.Int(name) < 1 {
			return errs.Invalidf("--%s %d is not above 0", name, c.Int(name))
		}
	}
	return nil
}

// workers is a number of jobs; 0 is as many as there are processors.
func workers(n int) int {
	if n == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// inParallel does n pieces of work, jobs at a time, and keeps the error of each: one that fails does not end the others. When
// ctx ends, no more are begun: the caller asks it.
func inParallel(ctx context.Context, jobs, n int, work func(i int) error) []error {
	failed := make([]error, n)
	var g errgroup.Group
	g.SetLimit(jobs)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() == nil {
				failed[i] = work(i)
			}
			return nil
		})
	}
	_ = g.Wait() // they are kept
	return failed
}
