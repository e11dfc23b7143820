package eventlog_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

func day(n float64) time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n * 24 * float64(time.Hour)))
}

// filled returns a collector at the given day with one event per element of times; zero has no time.
func filled(now time.Time, name string, times ...time.Time) *eventlog.Collector {
	c := eventlog.NewCollector(now)
	for i, at := range times {
		c.Add(livestore.Event{Name: name, Args: json.RawMessage("{}"), Seq: livestore.ClientSeq{Global: livestore.SeqNum(i + 1)}, CreatedAt: at})
	}
	return c
}

func every(step time.Duration, from time.Time, n int) []time.Time {
	times := make([]time.Time, n)
	for i := range times {
		times[i] = from.Add(time.Duration(i) * step)
	}
	return times
}

func TestStats(t *testing.T) {
	seq := func(global, client int64) livestore.ClientSeq {
		return livestore.ClientSeq{Global: livestore.SeqNum(global), Client: client}
	}
	c := eventlog.NewCollector(day(10))
	c.Add(livestore.Event{Name: "a", Args: json.RawMessage(`{"x":1}`), Seq: seq(1, 0), ClientID: "me", SessionID: "s.1-0-0", CreatedAt: day(0)})
	c.Add(livestore.Event{Name: "a", Args: json.RawMessage(`null`), Seq: seq(2, 0), ClientID: "me", SessionID: "s.1-1-0", CreatedAt: day(4)})
	c.Add(livestore.Event{Name: "ui", Args: json.RawMessage(`null`), Seq: seq(2, 1), ClientID: "me", SessionID: "s.1-1-0"})
	c.AddMalformed(livestore.Event{Name: "b", Seq: seq(3, 0), ClientID: "me", SessionID: "s", Pending: true})
	got := c.Stats()
	want := eventlog.Stats{
		Total:  eventlog.Count{Events: 4, Bytes: 17 + 14 + 15 + 4, ClientOnly: 1, Pending: 1, Malformed: 1},
		Synced: 3, First: seq(1, 0), Last: seq(3, 0), FirstTime: day(0), LastTime: day(4), Timed: 2,
		Names: []eventlog.NameStats{
			{Name: "a", Count: eventlog.Count{Events: 2, Bytes: 31}, Share: 0.5, First: seq(1, 0), Last: seq(2, 0), FirstTime: day(0), LastTime: day(4), Timed: 2, PerDay: 0.5, PeakMinute: 1},
			{Name: "b", Count: eventlog.Count{Events: 1, Bytes: 4, Pending: 1, Malformed: 1}, Share: 0.25, First: seq(3, 0), Last: seq(3, 0)},
			{Name: "ui", Count: eventlog.Count{Events: 1, Bytes: 15, ClientOnly: 1}, Share: 0.25, First: seq(2, 1), Last: seq(2, 1)},
		},
		Releases: []eventlog.ReleaseStats{
			{Release: "1.1.0", Count: eventlog.Count{Events: 2, Bytes: 29, ClientOnly: 1}, First: seq(2, 0), Last: seq(2, 1)},
			{Release: "", Count: eventlog.Count{Events: 1, Bytes: 4, Pending: 1, Malformed: 1}, First: seq(3, 0), Last: seq(3, 0)},
			{Release: "1.0.0", Count: eventlog.Count{Events: 1, Bytes: 17}, First: seq(1, 0), Last: seq(1, 0)},
		},
		ProblemCounts: map[eventlog.ProblemKind]int64{},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
}

func TestNamesReleasesAndProblemsAreBounded(t *testing.T) {
	const n = 5000
	c := eventlog.NewCollector(day(0))
	for i := range n {
		c.Add(livestore.Event{Name: fmt.Sprint("n", i), SessionID: fmt.Sprintf("s.1-%d-0", i), Seq: livestore.ClientSeq{Global: livestore.SeqNum(i + 1)}})
		c.Report(eventlog.Problem{Kind: eventlog.Gap})
	}
	s := c.Stats()
	if len(s.Names) != eventlog.MaxNames || s.OtherNames.Events != n-eventlog.MaxNames {
		t.Errorf("%d names and %d other events", len(s.Names), s.OtherNames.Events)
	}
	if len(s.Releases) != eventlog.MaxReleases || s.OtherReleases.Events != n-eventlog.MaxReleases {
		t.Errorf("%d releases and %d other events", len(s.Releases), s.OtherReleases.Events)
	}
	if len(s.Problems) != eventlog.MaxProblems || s.ProblemCounts[eventlog.Gap] != n {
		t.Errorf("%d problems of %d", len(s.Problems), s.ProblemCounts[eventlog.Gap])
	}
}

func TestHighFrequency(t *testing.T) {
	minutes := func(perMinute ...int) []time.Time {
		var times []time.Time
		for m, n := range perMinute {
			times = append(times, every(time.Second, day(0).Add(time.Duration(m)*time.Minute), n)...)
		}
		return times
	}
	tests := []struct {
		name  string
		times []time.Time
		other int    // events of another name
		want  string // in the basis, "" for not found
	}{
		{"three busy minutes", minutes(60, 1, 60, 60), 5000, "3 minutes with 60 or more accepted, at most 60"},
		{"two busy minutes", minutes(60, 60, 59, 59), 0, ""},
		{"an import in one minute", every(time.Millisecond, day(0), 3000), 0, ""},
		{"no times, most of the log", make([]time.Time, 1000), 999, "1000 of 1999 events"},
		{"no times, too few", make([]time.Time, 999), 0, ""},
		{"no times, half of the log", make([]time.Time, 1000), 1000, ""},
		{"times that show calm, most of the log", every(time.Minute, day(0), 2000), 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := filled(day(100), "cursor", test.times...)
			for range test.other {
				c.Add(livestore.Event{Name: "other", CreatedAt: day(50)})
			}
			basis := ""
			for _, h := range c.Stats().HighFrequency {
				if h.Name == "cursor" {
					basis = h.Basis
				}
			}
			if (basis == "") != (test.want == "") || !strings.Contains(basis, test.want) {
				t.Errorf("basis %q, want %q", basis, test.want)
			}
		})
	}
}

func TestForecast(t *testing.T) {
	const limit = time.Minute
	speed := eventlog.RebuildSpeed{EventsPerSecond: 10, Basis: "a test"} // 600 events in a minute
	tests := []struct {
		name    string
		now     time.Time
		times   []time.Time
		verdict eventlog.Verdict
		at      time.Time
		perDay  float64
		basis   string
	}{
		// 10 a day for 20 days: 200 events, 400 more in 40 days.
		{"grows", day(20), every(144*time.Minute, day(0), 200), eventlog.Due, day(60), 10, "200 events in the 20 days before 2026-01-21"},
		// The same with nothing before the last four weeks.
		{"only the last four weeks count", day(128), append(every(time.Hour, day(0), 300), every(2*24*time.Hour+1, day(100), 14)...), eventlog.Due, day(128 + 572), 0.5, "14 events in the 28 days"},
		{"has stopped growing", day(100), every(time.Hour, day(0), 100), eventlog.NotSoon, time.Time{}, 0, "0 events in the 28 days"},
		{"no times", day(100), make([]time.Time, 100), eventlog.Unknown, time.Time{}, 0, "the source has no times"},
		{"too young", day(0.5), every(time.Minute, day(0), 100), eventlog.Unknown, time.Time{}, 0, "less than a day"},
		{"passed, whatever the growth", day(0.5), every(time.Second, day(0), 601), eventlog.Passed, time.Time{}, 0, ""},
		{"at the limit", day(100), every(time.Second, day(0), 600), eventlog.NotSoon, time.Time{}, 0, ""},
		// Own events have no time: they count with the last time before them.
		{"events without a time between", day(20), append(append([]time.Time{day(0)}, make([]time.Time, 198)...), day(20)), eventlog.Due, day(60), 10, "200 events"},
		{"empty", day(0), nil, eventlog.Unknown, time.Time{}, 0, "no times"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := filled(test.now, "e", test.times...).Forecast(speed, limit)
			if f.Verdict != test.verdict || math.Abs(f.PerDay-test.perDay) > 0.01 || !strings.Contains(f.GrowthBasis, test.basis) {
				t.Errorf("forecast %+v, want %s with %v events a day on %q", f, test.verdict, test.perDay, test.basis)
			}
			if d := f.At.Sub(test.at).Abs(); d > time.Hour {
				t.Errorf("at %s, want %s", f.At, test.at)
			}
			if want := time.Duration(len(test.times)) * 100 * time.Millisecond; f.Now != want || f.LimitEvents != 600 {
				t.Errorf("a rebuild takes %s and reaches %d events in a minute, want %s and 600", f.Now, f.LimitEvents, want)
			}
		})
	}
}
