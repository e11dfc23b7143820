package cli

import (
	"time"

	"headgate/internal/livestore/eventlog"
)

// The JSON of `log stats`. Times and numbers that are not known are left out.
type (
	jsonStats struct {
		Logs []jsonLog `json:"logs"`
	}
	jsonLog struct {
		Store         string           `json:"store,omitempty"`
		Log           string           `json:"log"`
		ConfirmedHead int64            `json:"confirmedHead"`
		BackendID     string           `json:"backendId,omitempty"`
		Events        int64            `json:"events"`
		Synced        int64            `json:"synced"`
		ClientOnly    int64            `json:"clientOnly"`
		Pending       int64            `json:"pending"`
		Malformed     int64            `json:"malformed"`
		Bytes         int64            `json:"bytes"`
		First         string           `json:"first,omitempty"`
		Last          string           `json:"last,omitempty"`
		Timed         int64            `json:"timed"`
		FirstTime     string           `json:"firstTime,omitempty"`
		LastTime      string           `json:"lastTime,omitempty"`
		Names         []jsonName       `json:"names"`
		OtherNames    *jsonCount       `json:"otherNames,omitempty"`
		Releases      []jsonRelease    `json:"releases"`
		OtherReleases *jsonCount       `json:"otherReleases,omitempty"`
		HighFrequency []jsonFrequency  `json:"highFrequency"`
		Rebuild       jsonForecast     `json:"rebuild"`
		Problems      []jsonProblem    `json:"problems"`
		ProblemCounts map[string]int64 `json:"problemCounts"`
	}
	jsonCount struct {
		Events     int64 `json:"events"`
		Bytes      int64 `json:"bytes"`
		ClientOnly int64 `json:"clientOnly"`
		Pending    int64 `json:"pending"`
		Malformed  int64 `json:"malformed"`
	}
	jsonName struct {
		Name string `json:"name"`
		jsonCount
		Share      float64 `json:"share"`
		First      string  `json:"first"`
		Last       string  `json:"last"`
		FirstTime  string  `json:"firstTime,omitempty"`
		LastTime   string  `json:"lastTime,omitempty"`
		PerDay     float64 `json:"perDay,omitempty"`
		PeakMinute int64   `json:"peakMinute,omitempty"`
	}
	jsonRelease struct {
		Release string `json:"release"`
		jsonCount
		First string `json:"first"`
		Last  string `json:"last"`
	}
	jsonFrequency struct {
		Name  string `json:"name"`
		Basis string `json:"basis"`
	}
	jsonForecast struct {
		Verdict      eventlog.Verdict `json:"verdict"`
		At           string           `json:"at,omitempty"`
		NowSeconds   float64          `json:"nowSeconds"`
		LimitSeconds float64          `json:"limitSeconds"`
		LimitEvents  int64            `json:"limitEvents"`
		Rate         float64          `json:"eventsPerSecond"`
		RateBasis    string           `json:"eventsPerSecondBasis"`
		PerDay       float64          `json:"growthPerDay"`
		GrowthBasis  string           `json:"growthBasis"`
	}
	jsonProblem struct {
		Kind    eventlog.ProblemKind `json:"kind"`
		Seq     string               `json:"seq"`
		Name    string               `json:"name,omitempty"`
		Missing int64                `json:"missing,omitempty"`
		Text    string               `json:"text"`
	}
)

func statsJSON(all []logFigures) jsonStats {
	out := jsonStats{Logs: []jsonLog{}}
	for _, f := range all {
		out.Logs = append(out.Logs, logJSON(f))
	}
	return out
}

func logJSON(f logFigures) jsonLog {
	s, fc := f.stats, f.forecast
	out := jsonLog{
		Store: string(f.log.store), Log: f.log.url.String(),
		ConfirmedHead: int64(f.head.Confirmed), BackendID: f.head.BackendID,
		Events: s.Total.Events, Synced: s.Synced, ClientOnly: s.Total.ClientOnly, Pending: s.Total.Pending,
		Malformed: s.Total.Malformed, Bytes: s.Total.Bytes,
		Timed: s.Timed, FirstTime: jsonTime(s.FirstTime), LastTime: jsonTime(s.LastTime),
		Names: []jsonName{}, Releases: []jsonRelease{}, HighFrequency: []jsonFrequency{}, Problems: []jsonProblem{},
		OtherNames: otherJSON(s.OtherNames), OtherReleases: otherJSON(s.OtherReleases),
		ProblemCounts: map[string]int64{},
		Rebuild: jsonForecast{
			Verdict: fc.Verdict, At: jsonTime(fc.At), NowSeconds: fc.Now.Seconds(), LimitSeconds: fc.Limit.Seconds(),
			LimitEvents: fc.LimitEvents, Rate: fc.Speed.EventsPerSecond, RateBasis: fc.Speed.Basis,
			PerDay: fc.PerDay, GrowthBasis: fc.GrowthBasis,
		},
	}
	if s.Total.Events > 0 {
		out.First, out.Last = s.First.String(), s.Last.String()
	}
	for _, n := range s.Names {
		out.Names = append(out.Names, jsonName{
			Name: n.Name, jsonCount: jsonCount(n.Count), Share: n.Share, First: n.First.String(), Last: n.Last.String(),
			FirstTime: jsonTime(n.FirstTime), LastTime: jsonTime(n.LastTime), PerDay: n.PerDay, PeakMinute: n.PeakMinute,
		})
	}
	for _, r := range s.Releases {
		out.Releases = append(out.Releases, jsonRelease{Release: r.Release, jsonCount: jsonCount(r.Count), First: r.First.String(), Last: r.Last.String()})
	}
	for _, h := range s.HighFrequency {
		out.HighFrequency = append(out.HighFrequency, jsonFrequency(h))
	}
	for _, p := range s.Problems {
		out.Problems = append(out.Problems, jsonProblem{Kind: p.Kind, Seq: p.Seq.String(), Name: p.Name, Missing: p.Missing, Text: p.String()})
	}
	for kind, n := range s.ProblemCounts {
		out.ProblemCounts[string(kind)] = n
	}
	return out
}

func otherJSON(c eventlog.Count) *jsonCount {
	if c.Events == 0 {
		return nil
	}
	j := jsonCount(c)
	return &j
}

func jsonTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
