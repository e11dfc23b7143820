package eventlog

import (
	"cmp"
	"slices"
	"time"

	"headgate/internal/livestore"
)

// Limits of what a [Collector] keeps, so that its memory does not grow with the log: names, releases and
// problems come from the data. What is beyond is counted, not forgotten.
const (
	MaxNames    = 1000
	MaxReleases = 200
	MaxProblems = 20 // of each kind
)

// Stats is what one pass over a log tells about it.
type Stats struct {
	Total  Count
	Synced int64 // events that are not clientOnly, pending ones included

	First, Last         livestore.ClientSeq
	FirstTime, LastTime time.Time // of the events that have a time; zero when none has
	Timed               int64     // events with a time of their own

	Names      []NameStats // the most frequent first
	OtherNames Count       // events whose names came after MaxNames others

	Releases      []ReleaseStats // by the release in the sessionId, the most frequent first; "" has no stamp
	OtherReleases Count

	HighFrequency []HighFrequency

	// Problems holds the first MaxProblems of each kind; ProblemCounts counts them all.
	Problems      []Problem
	ProblemCounts map[ProblemKind]int64
}

// A Count adds up events.
type Count struct {
	Events     int64
	Bytes      int64 // encoded arguments, name, clientId and sessionId; not the numbers, nor what storage adds
	ClientOnly int64
	Pending    int64
	Malformed  int64 // events that can't be read; their arguments are not in Bytes
}

// NameStats are the figures of one event name.
type NameStats struct {
	Name string
	Count
	Share               float64 // of all events, 0 to 1
	First, Last         livestore.ClientSeq
	FirstTime, LastTime time.Time
	Timed               int64
	PerDay              float64 // over the time that the log spans; 0 where it spans less than a day
	BusyMinutes         int64   // minutes in which at least BusyMinute of them were accepted
	PeakMinute          int64   // the most that were accepted within one minute
}

// ReleaseStats are the figures of the events that one release wrote.
type ReleaseStats struct {
	Release string
	Count
	First, Last livestore.ClientSeq
}

// A Collector computes the figures of a log in one pass, with memory that does not depend on its length.
// It is not safe for concurrent use.
type Collector struct {
	now      time.Time
	stats    Stats
	names    map[string]*nameCounter
	releases map[string]*ReleaseStats
	growth   growthCounter
}

type nameCounter struct {
	NameStats
	minute     int64 // the minute that is being counted
	thisMinute int64
}

// NewCollector returns a Collector; now is when the figures are taken and ends the window that growth is
// measured in.
func NewCollector(now time.Time) *Collector {
	return &Collector{
		now:      now,
		names:    map[string]*nameCounter{},
		releases: map[string]*ReleaseStats{},
		growth:   growthCounter{from: now.Add(-growthWindow)},
		stats:    Stats{ProblemCounts: map[ProblemKind]int64{}},
	}
}

// Add counts an event.
func (c *Collector) Add(e livestore.Event) { c.add(e, false) }

// AddMalformed counts an event that can't be read, by what could be read of it.
func (c *Collector) AddMalformed(e livestore.Event) { c.add(e, true) }

// Report keeps a problem.
func (c *Collector) Report(p Problem) {
	if n := c.stats.ProblemCounts[p.Kind]; n < MaxProblems {
		c.stats.Problems = append(c.stats.Problems, p)
	}
	c.stats.ProblemCounts[p.Kind]++
}

func (c *Collector) add(e livestore.Event, malformed bool) {
	one := Count{Events: 1, Bytes: int64(len(e.Args) + len(e.Name) + len(e.ClientID) + len(e.SessionID))}
	if e.ClientOnly() {
		one.ClientOnly = 1
	}
	if e.Pending {
		one.Pending = 1
	}
	if malformed {
		one.Malformed = 1
	}
	s := &c.stats
	if s.Total.Events == 0 {
		s.First = e.Seq
	}
	s.Last = e.Seq
	s.Total.add(one)
	s.Synced += 1 - one.ClientOnly
	if !e.CreatedAt.IsZero() {
		s.Timed++
		span(&s.FirstTime, &s.LastTime, e.CreatedAt)
	}
	c.growth.see(e.CreatedAt)
	c.addName(e, one)
	c.addRelease(e, one)
}

func (c *Collector) addName(e livestore.Event, one Count) {
	n := c.names[e.Name]
	if n == nil {
		if len(c.names) == MaxNames {
			c.stats.OtherNames.add(one)
			return
		}
		n = &nameCounter{NameStats: NameStats{Name: e.Name, First: e.Seq}}
		c.names[e.Name] = n
	}
	n.add(one)
	n.Last = e.Seq
	if e.CreatedAt.IsZero() {
		return
	}
	n.Timed++
	span(&n.FirstTime, &n.LastTime, e.CreatedAt)
	if minute := e.CreatedAt.Unix() / 60; minute != n.minute {
		n.minute, n.thisMinute = minute, 0
	}
	n.thisMinute++
	n.PeakMinute = max(n.PeakMinute, n.thisMinute)
	if n.thisMinute == BusyMinute {
		n.BusyMinutes++
	}
}

func (c *Collector) addRelease(e livestore.Event, one Count) {
	release, _ := ReleaseOf(e.SessionID)
	r := c.releases[release]
	if r == nil {
		if len(c.releases) == MaxReleases {
			c.stats.OtherReleases.add(one)
			return
		}
		r = &ReleaseStats{Release: release, First: e.Seq}
		c.releases[release] = r
	}
	r.add(one)
	r.Last = e.Seq
}

func (n *Count) add(m Count) {
	n.Events += m.Events
	n.Bytes += m.Bytes
	n.ClientOnly += m.ClientOnly
	n.Pending += m.Pending
	n.Malformed += m.Malformed
}

func span(first, last *time.Time, t time.Time) {
	if first.IsZero() || t.Before(*first) {
		*first = t
	}
	if t.After(*last) {
		*last = t
	}
}

// Stats returns the figures of what was added so far.
func (c *Collector) Stats() Stats {
	s := c.stats
	s.Problems = slices.Clone(s.Problems)
	days := s.LastTime.Sub(s.FirstTime).Hours() / 24
	for _, n := range c.names {
		row := n.NameStats
		row.Share = float64(row.Events) / float64(s.Total.Events)
		if days >= 1 {
			row.PerDay = float64(row.Timed) / days
		}
		s.Names = append(s.Names, row)
	}
	slices.SortFunc(s.Names, func(a, b NameStats) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Name, b.Name))
	})
	for _, r := range c.releases {
		s.Releases = append(s.Releases, *r)
	}
	slices.SortFunc(s.Releases, func(a, b ReleaseStats) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Release, b.Release))
	})
	s.HighFrequency = highFrequency(s)
	return s
}
