package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/eventlog"
)

func writeFigures(w io.Writer, f logFigures) error {
	fmt.Fprintf(w, "%s\n", figuresTitle(f))
	for _, line := range figuresSummary(f) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	for _, rows := range [][][]string{nameRows(f.stats), releaseRows(f.stats)} {
		if len(rows) == 1 {
			continue
		}
		fmt.Fprintln(w)
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\nHigh-frequency events: %s\n", frequencyText(f.stats))
	fmt.Fprintf(w, "Rebuild: %s\n", forecastText(f.forecast))
	fmt.Fprintf(w, "Problems: %s\n", problemTotals(f.stats))
	for _, p := range f.stats.Problems {
		fmt.Fprintf(w, "  %s\n", p)
	}
	return nil
}

func writeFiguresMarkdown(w io.Writer, f logFigures) error {
	fmt.Fprintf(w, "## %s\n\n", figuresTitle(f))
	for _, line := range figuresSummary(f) {
		fmt.Fprintf(w, "- %s\n", line)
	}
	fmt.Fprintf(w, "- High-frequency events: %s\n", frequencyText(f.stats))
	fmt.Fprintf(w, "- Rebuild: %s\n", forecastText(f.forecast))
	fmt.Fprintf(w, "- Problems: %s\n", problemTotals(f.stats))
	for _, p := range f.stats.Problems {
		fmt.Fprintf(w, "  - %s\n", p)
	}
	for _, rows := range [][][]string{nameRows(f.stats), releaseRows(f.stats)} {
		if len(rows) == 1 {
			continue
		}
		fmt.Fprintln(w)
		for i, row := range rows {
			for j, cell := range row {
				row[j] = strings.ReplaceAll(cell, "|", `\|`)
			}
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
			}
		}
	}
	return nil
}

func figuresTitle(f logFigures) string {
	if f.log.store == "" {
		return f.log.url.String()
	}
	return fmt.Sprintf("%s  %s", f.log.store, f.log.url)
}

func figuresSummary(f logFigures) []string {
	s := f.stats
	if s.Total.Events == 0 {
		return []string{"no events"}
	}
	events := fmt.Sprintf("%s, %s: %d synced, %d clientOnly", counted(s.Total.Events, "event"), bytesText(s.Total.Bytes), s.Synced, s.Total.ClientOnly)
	if s.Total.Malformed > 0 {
		events += fmt.Sprintf("; %d can't be read", s.Total.Malformed)
	}
	reach := fmt.Sprintf("%s to %s, confirmed up to e%d", s.First, s.Last, f.head.Confirmed)
	if s.Total.Pending > 0 {
		reach += fmt.Sprintf(", %d pending", s.Total.Pending)
	}
	times := "no event has a time"
	if s.Timed > 0 {
		times = fmt.Sprintf("%s to %s, by the %d events that have a time", minuteText(s.FirstTime), minuteText(s.LastTime), s.Timed)
	}
	return []string{events, reach, times}
}

func nameRows(s eventlog.Stats) [][]string {
	rows := [][]string{{"NAME", "EVENTS", "SHARE", "BYTES", "FIRST", "LAST", "PER DAY", "KIND"}}
	for _, n := range s.Names {
		perDay := ""
		if n.PerDay > 0 {
			perDay = fmt.Sprintf("%.1f", n.PerDay)
		}
		rows = append(rows, []string{
			quoteOdd(n.Name), fmt.Sprint(n.Events), fmt.Sprintf("%.1f %%", n.Share*100), bytesText(n.Bytes),
			n.First.String(), n.Last.String(), perDay, kindText(n.Count),
		})
	}
	if o := s.OtherNames; o.Events > 0 {
		rows = append(rows, []string{"(further names)", fmt.Sprint(o.Events), "", bytesText(o.Bytes), "", "", "", kindText(o)})
	}
	return rows
}

func kindText(c eventlog.Count) string {
	var parts []string
	switch c.ClientOnly {
	case 0:
	case c.Events:
		parts = append(parts, "clientOnly")
	default:
		parts = append(parts, fmt.Sprintf("%d clientOnly", c.ClientOnly))
	}
	if c.Pending > 0 {
		parts = append(parts, fmt.Sprintf("%d pending", c.Pending))
	}
	if c.Malformed > 0 {
		parts = append(parts, fmt.Sprintf("%d malformed", c.Malformed))
	}
	return strings.Join(parts, ", ")
}

// releaseRows has no row but the header where no event is stamped.
func releaseRows(s eventlog.Stats) [][]string {
	rows := [][]string{{"RELEASE", "EVENTS", "FIRST", "LAST"}}
	if len(s.Releases) == 1 && s.Releases[0].Release == "" {
		return rows
	}
	for _, r := range s.Releases {
		name := r.Release
		if name == "" {
			name = "(no stamp)"
		}
		rows = append(rows, []string{name, fmt.Sprint(r.Events), r.First.String(), r.Last.String()})
	}
	if s.OtherReleases.Events > 0 {
		rows = append(rows, []string{"(further releases)", fmt.Sprint(s.OtherReleases.Events), "", ""})
	}
	return rows
}

func frequencyText(s eventlog.Stats) string {
	if len(s.HighFrequency) == 0 {
		return "none"
	}
	var found []string
	for _, h := range s.HighFrequency {
		found = append(found, fmt.Sprintf("%s (%s)", quoteOdd(h.Name), h.Basis))
	}
	return strings.Join(found, "; ") + ": they belong in a store of their own"
}

func forecastText(f eventlog.Forecast) string {
	now := fmt.Sprintf("%s now, at %g events/s (%s). ", durationText(f.Now), f.Speed.EventsPerSecond, f.Speed.Basis)
	limit := durationText(f.Limit)
	growth := fmt.Sprintf("growing by %.1f events a day (%s)", f.PerDay, f.GrowthBasis)
	switch f.Verdict {
	case eventlog.Passed:
		return now + fmt.Sprintf("It has passed %s, which is %d events", limit, f.LimitEvents)
	case eventlog.Due:
		return now + fmt.Sprintf("It passes %s in %s (%s), %s", limit, f.At.Format("January 2006"), f.At.Format(time.DateOnly), growth)
	case eventlog.NotSoon:
		return now + fmt.Sprintf("It does not pass %s within ten years, %s", limit, growth)
	default:
		return now + fmt.Sprintf("When it passes %s is unknown: %s", limit, f.GrowthBasis)
	}
}

func problemTotals(s eventlog.Stats) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(s.ProblemCounts)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.ProblemCounts[kind], kind))
	}
	if len(parts) == 0 {
		return "none"
	}
	text := strings.Join(parts, ", ")
	if hidden := slices.Max(slices.Collect(maps.Values(s.ProblemCounts))); hidden > eventlog.MaxProblems {
		text += fmt.Sprintf("; the first %d of each are", eventlog.MaxProblems)
	}
	return text
}

// quoteOdd quotes a name from a log that would disturb a line of text.
func quoteOdd(name string) string {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == 0xfffd || r >= 0x80 && r < 0xa0 }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}

func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func bytesText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}

func durationText(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.3g min", d.Minutes())
	default:
		return fmt.Sprintf("%.3g h", d.Hours())
	}
}

func minuteText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
