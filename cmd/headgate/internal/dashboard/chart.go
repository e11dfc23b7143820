package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
)

// A chart is values over time, by release: columns that are stacked, or lines. What it shows is in its table, too.
type chart struct {
	ID, Title, Note string
	Width, Height   int
	Top, Mid        string // the values of the upper grid lines
	Columns         []rect
	Lines           []line
	Legend          []named
	From, To        time.Time
	Head            []string
	Rows            []row // the latest first
}

type rect struct {
	X, Y, W, H int
	Class      string
}

type line struct {
	Points string
	X, Y   int // of its last point, which may be its only one
	Class  string
}

type named struct{ Class, Name string }

type row struct {
	At    time.Time
	Cells []string
}

// A track is the values of one release; nil where there are none.
type track struct {
	name   string
	values []any
}

// The size of a chart, and how many releases have a colour of their own. The newest ones do.
const (
	chartWidth  = 720
	chartHeight = 120
	colours     = 5
)

func newChart(id, title, note string, at []time.Time, part time.Duration, tracks []track) *chart {
	c := &chart{ID: id, Title: title, Note: note, Width: chartWidth, Height: chartHeight, From: at[0], To: at[len(at)-1].Add(part), Head: []string{}}
	for i, t := range tracks {
		c.Legend = append(c.Legend, named{class(i), t.name})
		c.Head = append(c.Head, t.name)
	}
	for i := len(at) - 1; i >= 0; i-- {
		r := row{At: at[i]}
		some := false
		for _, t := range tracks {
			cell := "–"
			if v, ok := t.values[i].(float64); ok {
				cell, some = strconv.FormatFloat(v, 'g', 3, 64), true
				if v >= 1000 {
					cell = strconv.FormatFloat(v, 'f', 0, 64)
				}
			}
			r.Cells = append(r.Cells, cell)
		}
		if some {
			c.Rows = append(c.Rows, r)
		}
	}
	return c
}

func class(i int) string { return fmt.Sprint("c", min(i, colours)) }

func (c *chart) scale(top float64) {
	c.Top, c.Mid = strconv.FormatFloat(top, 'g', 3, 64), strconv.FormatFloat(top/2, 'g', 3, 64)
}

// stacked draws the tracks on top of each other.
func (c *chart) stacked(parts int, tracks []track) *chart {
	top := 0.0
	for i := range parts {
		sum := 0.0
		for _, t := range tracks {
			v, _ := t.values[i].(float64)
			sum += v
		}
		top = max(top, sum)
	}
	c.scale(top)
	for i := range parts {
		below := 0.0
		for n, t := range tracks {
			v, _ := t.values[i].(float64)
			if v == 0 {
				continue
			}
			x, next := i*chartWidth/parts, (i+1)*chartWidth/parts
			low, high := int(below/top*chartHeight), int((below+v)/top*chartHeight)
			c.Columns = append(c.Columns, rect{x, chartHeight - high, max(next-x-1, 1), max(high-low, 1), class(n)})
			below += v
		}
	}
	return c
}

// lined draws a line for each track, with a gap where it has no value.
func (c *chart) lined(parts int, tracks []track) *chart {
	top := 0.0
	for _, t := range tracks {
		for _, v := range t.values {
			f, _ := v.(float64)
			top = max(top, f)
		}
	}
	if top == 0 {
		top = 1
	}
	c.scale(top)
	for n, t := range tracks {
		var points []string
		last := line{Class: class(n)}
		end := func() {
			if len(points) > 0 {
				last.Points = strings.Join(points, " ")
				c.Lines = append(c.Lines, last)
			}
			points = nil
		}
		for i, v := range t.values {
			f, ok := v.(float64)
			if !ok {
				end()
				continue
			}
			last.X, last.Y = i*chartWidth/parts+chartWidth/parts/2, chartHeight-int(f/top*chartHeight)
			points = append(points, fmt.Sprintf("%d,%d", last.X, last.Y))
		}
		end()
	}
	return c
}

// tracksOf are the releases, the newest first; those beyond the colours have the last one.
func tracksOf(parts int, releases map[string]bool) []track {
	var names []string
	for r := range releases {
		names = append(names, r)
	}
	operate.NewestFirst(names)
	var out []track
	for _, n := range names {
		out = append(out, track{n, make([]any, parts)})
	}
	return out
}

func trackOf(tracks []track, release string) track {
	return tracks[slices.IndexFunc(tracks, func(t track) bool { return t.name == release })]
}

// A span of a chart.
const (
	rateParts    = 48
	ratePart     = 30 * time.Minute
	adoptedParts = 60
	adoptedPart  = 12 * time.Hour
)

// partsUntil are the beginnings of parts, the last of which has now in it.
func partsUntil(now time.Time, n int, part time.Duration) []time.Time {
	out := make([]time.Time, n)
	for i := range out {
		out[i] = now.UTC().Truncate(part).Add(time.Duration(i-n+1) * part)
	}
	return out
}

// unknownEvents is the rate of unknown events by reader release; nil where nothing was seen.
func (d *Dashboard) unknownEvents(ctx context.Context) (*chart, error) {
	at := partsUntil(d.Operate.Now(), rateParts, ratePart)
	points, err := d.Operate.DB.SignalSeries(ctx, d.Operate.Name, control.SignalQuery{
		Since: at[0], Until: at[rateParts-1].Add(ratePart), Signs: []rollout.Sign{rollout.SawUnknown, rollout.SawRead},
	}, ratePart)
	if err != nil || len(points) == 0 {
		return nil, err
	}
	type sums struct{ unknown, read float64 }
	seen := map[string][]sums{}
	releases := map[string]bool{}
	for _, p := range points {
		i := int(p.At.Sub(at[0]) / ratePart)
		if seen[p.Release] == nil {
			seen[p.Release], releases[p.Release] = make([]sums, rateParts), true
		}
		s := &seen[p.Release][i]
		if p.Sign == rollout.SawUnknown {
			s.unknown += float64(p.N)
		} else {
			s.read += float64(p.N)
		}
	}
	tracks := tracksOf(rateParts, releases)
	for _, t := range tracks {
		for i, s := range seen[t.name] {
			if s.read > 0 || s.unknown > 0 {
				t.values[i] = s.unknown / max(s.read, 1)
			}
		}
	}
	c := newChart("unknown", "Unknown events", "by the minute that a client of the release was reading, over 24 hours", at, ratePart, tracks)
	return c.lined(rateParts, tracks), nil
}

// adoption is how many clients ran each release; nil where that was not kept yet.
func (d *Dashboard) adoption(ctx context.Context) (*chart, error) {
	at := partsUntil(d.Operate.Now(), adoptedParts, adoptedPart)
	points, err := d.Operate.DB.SignalSeries(ctx, d.Operate.Name, control.SignalQuery{
		Since: at[0], Until: at[adoptedParts-1].Add(adoptedPart), Signs: []rollout.Sign{rollout.SawClients},
	}, time.Hour)
	if err != nil || len(points) == 0 {
		return nil, err
	}
	releases := map[string]bool{}
	latest := make([]time.Time, adoptedParts) // the hour that stands for a part
	for _, p := range points {
		releases[p.Release] = true
		latest[int(p.At.Sub(at[0])/adoptedPart)] = p.At // they are in order
	}
	tracks := tracksOf(adoptedParts, releases)
	for _, p := range points {
		if i := int(p.At.Sub(at[0]) / adoptedPart); latest[i].Equal(p.At) {
			trackOf(tracks, p.Release).values[i] = float64(p.N)
		}
	}
	c := newChart("adoption", "Adoption", "clients seen within a day, by release, over 30 days", at, adoptedPart, tracks)
	return c.stacked(adoptedParts, tracks), nil
}

// value is what was measured.
func value(v any) string {
	if v == nil {
		return "no data"
	}
	return fmt.Sprint(v)
}
