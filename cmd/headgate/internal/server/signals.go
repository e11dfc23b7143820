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
	signalsWait   = 20_000 // different ones, and arrivals, that wait to be written; more are dropped, and counted
	signalsAtOnce = 2_000  // that are written in one transaction
	signalsTime   = 10 * time.Second
)

// How long what came may come again and is not counted: a page that slept sends its batch when it wakes, and an exporter of spans
// gives up within minutes. Of more than arrivalsKept those are forgotten first whose time ends first.
const (
	batchLife    = 24 * time.Hour
	spansLife    = 15 * time.Minute
	arrivalsKept = 500_000
)

// An arrival is one, and what is to be called when it was counted.
type arrival struct {
	control.Arrival
	counted func()
}

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
	named   map[string]arrival         // that wait, by their keys
	size    int                        // of both

	broken bool // the last writing failed; run's alone
}

func (s *Server) newCounter() *counter {
	c := &counter{
		db: s.Operate.DB, env: s.Operate.Name, names: s.Operate.Known, meters: s.meters,
		waiting: map[control.Sighting]int64{}, named: map[string]arrival{},
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

// slot is a sighting with all but how often it was seen, and that.
func slot(s control.Sighting) (control.Sighting, int64) {
	n := s.N
	s.At, s.N = s.At.UTC().Truncate(control.SignalSlot), 0
	return s, n
}

// add has what was seen wait to be written.
func (c *counter) add(seen ...control.Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range seen {
		s, n := slot(s)
		if _, there := c.waiting[s]; !there {
			if c.size >= signalsWait {
				c.meters.dropped.Add(float64(n))
				continue
			}
			c.size++
		}
		c.waiting[s] += n
	}
}

// arrive has what came wait to be written. counted is called once, when it is known that it did not come before; at once where
// it has no key.
func (c *counter) arrive(a control.Arrival, counted func()) {
	if a.Key == "" {
		c.add(a.Seen...)
		counted()
		return
	}
	sums := map[control.Sighting]int64{}
	for _, s := range a.Seen {
		s, n := slot(s)
		sums[s] += n
	}
	a.Seen = sightings(sums)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, there := c.named[a.Key]; there {
		return
	}
	if c.size >= signalsWait {
		for _, s := range a.Seen {
			c.meters.dropped.Add(float64(s.N))
		}
		counted()
		return
	}
	c.named[a.Key] = arrival{a, counted}
	c.size += 1 + len(a.Seen)
}

func sightings(sums map[control.Sighting]int64) []control.Sighting {
	out := make([]control.Sighting, 0, len(sums))
	for s, n := range sums {
		s.N = n
		out = append(out, s)
	}
	return out
}

// take takes what waits, in parts for one transaction each.
func (c *counter) take() (parts [][]arrival) {
	c.mu.Lock()
	waiting, named := c.waiting, c.named
	c.waiting, c.named, c.size = map[control.Sighting]int64{}, map[string]arrival{}, 0
	c.mu.Unlock()
	for seen := range slices.Chunk(sightings(waiting), signalsAtOnce) {
		parts = append(parts, []arrival{{control.Arrival{Seen: seen}, func() {}}})
	}
	room := 0
	for _, a := range named {
		size := 1 + len(a.Seen)
		if room < size {
			parts, room = append(parts, nil), signalsAtOnce
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], a)
		room -= size
	}
	return parts
}

// write writes what waits. What can't be written waits for the next time.
func (c *counter) write(ctx context.Context) error {
	parts := c.take()
	for i, part := range parts {
		arrivals, counted := make([]control.Arrival, 0, len(part)), map[string]func(){}
		for _, a := range part {
			arrivals = append(arrivals, a.Arrival)
			counted[a.Key] = a.counted
		}
		first, open, err := c.db.CountSignals(ctx, c.env, arrivals)
		if err != nil {
			for _, a := range slices.Concat(parts[i:]...) {
				c.arrive(a.Arrival, a.counted)
			}
			return err
		}
		for _, a := range first {
			counted[a.Key]()
			c.show(a.Seen, open)
		}
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

// tidy keeps the tables small, and once in an hour how many clients there are.
func (c *counter) tidy(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := c.db.MergeSignals(limited, c.env); err != nil && ctx.Err() == nil {
		c.fail("old signals can't be merged", err)
	}
	if err := c.db.ForgetArrivals(limited, c.env, arrivalsKept); err != nil && ctx.Err() == nil {
		c.fail("what was counted can't be forgotten", err)
	}
	if _, err := c.db.KeepClients(limited, c.env, c.knownNames().Release); err != nil && ctx.Err() == nil {
		c.fail("the clients can't be counted", err)
	}
}
