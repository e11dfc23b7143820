package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/script"
)

// A finding looks for the events that corrections match, in the logs of many stores.
type finding struct {
	app     *app
	cfg     *config.Config
	env     config.Environment
	list    corrective.Corrections
	program engine.Program // of the code that the corrections go into: it tells the events apart
	jobs    int
}

// found is what the logs hold of them.
type found struct {
	mu                 sync.Mutex
	by                 map[string]*met // by the correction's name
	tolerated, adopted []string
}

// met is what one correction matched.
type met struct {
	events int64
	stores int
	// pending are those of events that their client has not sent: their numbers may become others.
	pending int64
	pins    map[string]struct{} // of a pinned one
	shape   string              // the arguments of one, masked
}

// all reads the logs of stores, several at a time. The first that can't be read ends it: corrections of some stores only
// would leave the others as they are.
func (f finding) all(ctx context.Context, stores []config.Store) (*found, error) {
	launcher, err := f.app.launcher()
	if err != nil {
		return nil, err
	}
	out := &found{by: map[string]*met{}}
	for _, one := range f.list.List {
		out.by[one.Name] = &met{pins: map[string]struct{}{}}
	}
	p := f.app.progress("read logs", int64(len(stores)))
	defer p.Done()
	todo := make(chan config.Store)
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(todo)
		for _, st := range stores {
			select {
			case todo <- st:
			case <-gctx.Done():
				return nil
			}
		}
		return nil
	})
	for range min(f.jobs, len(stores)) {
		g.Go(func() error { return f.work(gctx, launcher, todo, out, p.Add) })
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	slices.Sort(out.tolerated)
	slices.Sort(out.adopted)
	out.tolerated, out.adopted = slices.Compact(out.tolerated), slices.Compact(out.adopted)
	return out, nil
}

// work is one sandbox: it takes stores until there are no more.
func (f finding) work(ctx context.Context, l script.Launcher, todo <-chan config.Store, out *found, done func(int64)) error {
	corrector, err := f.list.Compile(ctx)
	if err != nil {
		return err
	}
	defer corrector.Close()
	identifier, err := probe.NewIdentifier(ctx, l, f.program)
	if err != nil {
		return err
	}
	defer identifier.Close()
	for st := range todo {
		if err := f.store(ctx, st, corrective.Finder{Corrector: corrector, Identifier: identifier}, out); err != nil {
			return atStore(err, f.cfg, st)
		}
		done(1)
	}
	return nil
}

func (f finding) store(ctx context.Context, st config.Store, finder corrective.Finder, out *found) (err error) {
	log, err := f.app.openStore(ctx, f.cfg, f.env, st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	seen := map[string]bool{}
	return finder.Find(ctx, log, func(one corrective.Found) { out.take(one, seen) })
}

// take counts an event; seen are the corrections that its store has met.
func (f *found) take(one corrective.Found, seen map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, id, m := one.Event, one.Identity, f.by[one.Correction]
	m.events++
	if e.Pending {
		m.pending++
	}
	if !seen[one.Correction] {
		seen[one.Correction] = true
		m.stores++
		if shape := masked(e.Args); m.shape == "" || shape < m.shape { // the same one however the stores come
			m.shape = shape
		}
	}
	m.pins[fmt.Sprintf("%d.%d:%s", e.Seq.Global, e.Seq.Client, id.Digest)] = struct{}{}
	switch {
	case id.Undefined && !slices.Contains(f.adopted, e.Name):
		f.adopted = append(f.adopted, e.Name)
	case id.Unreadable && !slices.Contains(f.tolerated, e.Name):
		f.tolerated = append(f.tolerated, e.Name)
	}
}
