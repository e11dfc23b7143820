package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// How signals are counted.
const (
	countEvery    = 2 * time.Second
	mergeEvery    = 5 * time.Minute
	namesEvery    = time.Minute
	signalsWait   = 20_000 // different ones that wait to be written; more are dropped, and counted
	signalsAtOnce = 2_000  // that are written in one transaction
	signalsTime   = 10 * time.Second
)

// A counter adds up what is seen, and writes it to the control database every few seconds: nobody waits for that.
type counter struct {
	db     *control.DB
	env    string
	names  func() (operate.Names, error)
	meters *meters
	fail   func(msg string, err error)

	mu      sync.Mutex
	known   operate.Names
	waiting map[control.Sighting]int64 // by all but how often

	broken bool // the last writing failed; run's alone
}

func (s *Server) newCounter() *counter {
	c := &counter{
		db: s.Operate.DB, env: s.Operate.Name, names: s.Operate.Known, meters: s.meters, waiting: map[control.Sighting]int64{},
		fail: func(msg string, err error) { s.Log.Error(msg, "error", err) },
	}
	c.learn()
	return c
}

// learn reads the names that are counted by. Where they can't be read, the last ones stay.
func (c *counter) learn() {
	known := operate.NamesOf(nil)
	if c.names != nil {
		var err error
		if known, err = c.names(); err != nil {
			c.fail("the recorded releases can't be read; signals are counted by those known before", err)
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = known
}

func (c *counter) knownNames() operate.Names {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known
}

// add has what was seen wait to be written.
func (c *counter) add(seen ...control.Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range seen {
		n := s.N
		s.At, s.N = s.At.UTC().Truncate(control.SignalSlot), 0
		if _, there := c.waiting[s]; !there && len(c.waiting) >= signalsWait {
			c.meters.dropped.Add(float64(n))
			continue
		}
		c.waiting[s] += n
	}
}

// write writes what waits. What can't be written waits for the next time.
func (c *counter) write(ctx context.Context) error {
	c.mu.Lock()
	waiting := c.waiting
	c.waiting = map[control.Sighting]int64{}
	c.mu.Unlock()
	all := make([]control.Sighting, 0, len(waiting))
	for s, n := range waiting {
		s.N = n
		all = append(all, s)
	}
	for chunk := range slices.Chunk(all, signalsAtOnce) {
		open, err := c.db.CountSignals(ctx, c.env, chunk)
		if err != nil {
			c.add(all...)
			return err
		}
		c.show(chunk, open)
		all = all[len(chunk):]
	}
	return nil
}

// show has /metrics say what was written.
func (c *counter) show(seen []control.Sighting, open map[string][]string) {
	for _, s := range seen {
		if !s.Sign.Timed() {
			c.meters.signals.WithLabelValues(string(s.Sign), s.Release, s.Event, strings.Join(open[s.Store], ",")).Add(float64(s.N))
		}
	}
}

// run writes until the context ends. What comes until the last request has ended is for whoever runs it to write.
func (c *counter) run(ctx context.Context) error {
	writing, merging, learning := time.NewTicker(countEvery), time.NewTicker(mergeEvery), time.NewTicker(namesEvery)
	defer writing.Stop()
	defer merging.Stop()
	defer learning.Stop()
	c.tidy(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-writing.C:
			c.try(ctx)
		case <-merging.C:
			c.tidy(ctx)
		case <-learning.C:
			c.learn()
		}
	}
}

// try writes, and says once that it can't be done.
func (c *counter) try(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, signalsTime)
	defer cancel()
	err := c.write(limited)
	if err != nil && ctx.Err() == nil && !c.broken {
		c.fail("signals can't be written; they wait", err)
	}
	c.broken = err != nil
}

// tidy keeps the table small, and once in an hour how many clients there are.
func (c *counter) tidy(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.db.MergeSignals(limited, c.env); err != nil && ctx.Err() == nil {
		c.fail("old signals can't be merged", err)
	}
	if _, err := c.db.KeepClients(limited, c.env, c.knownNames().Release); err != nil && ctx.Err() == nil {
		c.fail("the clients can't be counted", err)
	}
}
