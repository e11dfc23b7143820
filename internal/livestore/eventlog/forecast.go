package eventlog

import (
	"fmt"
	"math"
	"time"
)

const (
	// growthWindow is how far back growth is measured: four weeks even out the days of the week.
	growthWindow = 28 * 24 * time.Hour
	// minGrowthSpan is the least time that growth is measured over.
	minGrowthSpan = 24 * time.Hour
	// forecastHorizon is where a forecast ends: growth of four weeks says nothing about ten years.
	forecastHorizon = 10 * 365 * 24 * time.Hour
)

// growthCounter counts the events of the growth window. An event without a time (pending, clientOnly, or the
// client's own) counts with the last time before it: the log is in the order of acceptance.
type growthCounter struct {
	from   time.Time
	first  time.Time
	last   time.Time
	recent int64
}

func (g *growthCounter) see(t time.Time) {
	if !t.IsZero() {
		span(&g.first, &g.last, t)
	}
	if !g.last.IsZero() && !g.last.Before(g.from) {
		g.recent++
	}
}

// A RebuildSpeed is how fast a client runs a log through its materializers.
type RebuildSpeed struct {
	EventsPerSecond float64
	Basis           string // where the figure comes from, for the reader of the forecast
}

// A Verdict says what a [Forecast] comes to. The words are stable: they appear in JSON.
type Verdict string

const (
	Passed  Verdict = "passed"  // a rebuild takes longer than the limit already
	Due     Verdict = "due"     // it will, at Forecast.At
	NotSoon Verdict = "notSoon" // not within ten years, or the log does not grow
	Unknown Verdict = "unknown" // the log can't say how fast it grows
)

// A Forecast says when rebuilding the state from the log begins to take longer than a limit.
type Forecast struct {
	Speed       RebuildSpeed
	Limit       time.Duration
	LimitEvents int64         // how many events are rebuilt within Limit
	Now         time.Duration // how long a rebuild takes now
	Verdict     Verdict
	At          time.Time // for Due
	PerDay      float64   // growth in events
	GrowthBasis string    // what PerDay was measured on, or why it is not known
}

// Forecast computes when a rebuild of the log passes the limit. It panics if the speed or the limit is not
// positive.
func (c *Collector) Forecast(speed RebuildSpeed, limit time.Duration) Forecast {
	if !(speed.EventsPerSecond > 0) || limit <= 0 {
		panic("eventlog: Forecast needs a positive speed and limit")
	}
	events := float64(c.stats.Total.Events)
	f := Forecast{
		Speed:       speed,
		Limit:       limit,
		LimitEvents: int64(speed.EventsPerSecond * limit.Seconds()),
		Now:         seconds(events / speed.EventsPerSecond),
	}
	var known bool
	f.PerDay, f.GrowthBasis, known = c.growth.perDay(c.now)
	switch room := float64(f.LimitEvents) - events; {
	case room < 0:
		f.Verdict = Passed
	case !known:
		f.Verdict = Unknown
	case f.PerDay == 0 || room/f.PerDay > forecastHorizon.Hours()/24:
		f.Verdict = NotSoon
	default:
		f.Verdict = Due
		f.At = c.now.Add(time.Duration(room / f.PerDay * 24 * float64(time.Hour))).UTC()
	}
	return f
}

// perDay returns the growth in events per day and what it rests on.
func (g *growthCounter) perDay(now time.Time) (float64, string, bool) {
	if g.first.IsZero() {
		return 0, "the source has no times", false
	}
	from := g.from
	if g.first.After(from) {
		from = g.first
	}
	days := now.Sub(from).Hours() / 24
	if now.Sub(from) < minGrowthSpan {
		return 0, fmt.Sprintf("the log's times begin less than a day ago, on %s", g.first.UTC().Format(time.RFC3339)), false
	}
	return float64(g.recent) / days, fmt.Sprintf("%d events in the %.0f days before %s", g.recent, days, now.UTC().Format(time.DateOnly)), true
}

// seconds converts without overflowing: a rate may be absurdly low.
func seconds(s float64) time.Duration {
	if s > math.MaxInt64/float64(time.Second) {
		return math.MaxInt64
	}
	return time.Duration(s * float64(time.Second))
}

// NodeRebuildSpeed is what was measured of LiveStore 0.4.0's node adapter without rebuild hooks: 10,000 events in
// about 36 s. Other adapters, machines and materializers differ several times over.
func NodeRebuildSpeed() RebuildSpeed {
	return RebuildSpeed{EventsPerSecond: 280, Basis: "measured with LiveStore 0.4.0, node adapter, no rebuild hooks"}
}
