package planner

import (
	"fmt"
	"io"
	"strings"
)

// Paint colours a piece of text by how bad it is. Nil paints nothing.
type Paint func(s Severity, text string) string

func (p Paint) of(s Severity, text string) string {
	if p == nil {
		return text
	}
	return p(s, text)
}

// WriteText writes a plan for a release manager to read in a minute: the verdict, what blocks, what it costs, the steps.
func (p *Plan) WriteText(w io.Writer, paint Paint) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n", p.title())
	if p.Blocked() {
		fmt.Fprintf(b, "%s by %s\n", paint.of(Error, "BLOCKED"), count(int64(len(p.Evidence.Blocking)), "finding"))
	} else {
		fmt.Fprintf(b, "%s\n", paint.of(OK, "nothing blocks it"))
	}
	for _, line := range p.Intent.Answer.lines() {
		fmt.Fprintf(b, "%s\n", line)
	}
	if list := p.worth(); len(list) > 0 {
		fmt.Fprintf(b, "\nFindings\n")
		for _, f := range list {
			writeFinding(b, f, paint, "  ")
		}
	}
	if n := p.rest(); n > 0 {
		fmt.Fprintf(b, "  and %s: headgate check shows them\n", count(int64(n), "note"))
	}
	for _, u := range p.Evidence.Unverified {
		fmt.Fprintf(b, "  not verified: %s\n", u)
	}
	fmt.Fprintf(b, "\nForecast\n")
	for _, line := range p.Evidence.Forecast.lines() {
		fmt.Fprintf(b, "  %s\n", line)
	}
	fmt.Fprintf(b, "\nSteps\n")
	for i, s := range p.Intent.Steps {
		fmt.Fprintf(b, "  %d. %s\n", i+1, s.Title)
		for _, part := range s.parts() {
			fmt.Fprintf(b, "     %-7s %s\n", part[0], part[1])
		}
	}
	fmt.Fprintf(b, "\nNext\n")
	for _, n := range p.Evidence.Next {
		fmt.Fprintf(b, "  %s\n", n)
	}
	fmt.Fprintf(b, "\nplan %s\n", p.Digest)
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes a plan for a pull request.
func (p *Plan) WriteMarkdown(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "## headgate: %s\n\n", p.title())
	if p.Blocked() {
		fmt.Fprintf(b, "**Blocked** by %s.\n", count(int64(len(p.Evidence.Blocking)), "finding"))
	} else {
		fmt.Fprintf(b, "Nothing blocks it.\n")
	}
	for _, line := range p.Intent.Answer.lines() {
		fmt.Fprintf(b, "\n- %s\n", markdown(line))
	}
	if len(p.Evidence.Findings) > 0 {
		fmt.Fprintf(b, "\n### Findings\n\n")
		writeFindingTable(b, p.Evidence.Findings)
	}
	for _, u := range p.Evidence.Unverified {
		fmt.Fprintf(b, "\n- not verified: %s", markdown(u))
	}
	fmt.Fprintf(b, "\n### Forecast\n\n")
	for _, line := range p.Evidence.Forecast.lines() {
		fmt.Fprintf(b, "- %s\n", markdown(line))
	}
	fmt.Fprintf(b, "\n### Steps\n\n")
	for i, s := range p.Intent.Steps {
		fmt.Fprintf(b, "%d. **%s**\n", i+1, markdown(s.Title))
		for _, part := range s.parts() {
			fmt.Fprintf(b, "   - %s: %s\n", part[0], markdown(part[1]))
		}
	}
	fmt.Fprintf(b, "\nNext:\n\n")
	for _, n := range p.Evidence.Next {
		fmt.Fprintf(b, "    %s\n", n)
	}
	fmt.Fprintf(b, "\n`%s`\n", p.Digest)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Plan) title() string {
	from := "first release"
	if p.Intent.From != nil {
		from = p.Intent.From.Version
	}
	what := "upgrade"
	if p.Intent.Rollback {
		what = "rollback"
	}
	if p.Intent.Answer != nil && from == p.Intent.To.Version {
		return fmt.Sprintf("%s of %s/%s %s, environment %s, by %s", what, p.Intent.App, p.Intent.Schema, from, p.Intent.Environment, p.Intent.Answer.Remedy)
	}
	s := fmt.Sprintf("%s of %s/%s, %s -> %s", what, p.Intent.App, p.Intent.Schema, from, p.Intent.To.Version)
	if p.Intent.Environment != "" {
		s += ", environment " + p.Intent.Environment
	}
	if p.Intent.Answer != nil {
		s += ", by " + p.Intent.Answer.Remedy
	}
	return s
}

// lines says what a rollback answers, and what it costs.
func (a *Answer) lines() []string {
	if a == nil {
		return nil
	}
	out := []string{"bad events: " + a.Selection}
	for _, l := range a.Loses {
		out = append(out, "loses: "+l)
	}
	if a.LossReason != "" {
		out = append(out, "accepted: "+a.LossReason)
	}
	return out
}

// worth are the findings that the one-minute reading shows.
func (p *Plan) worth() []Finding {
	var out []Finding
	for _, f := range p.Evidence.Findings {
		if f.Suppressed == nil && f.Severity.AtLeast(Warning) {
			out = append(out, f)
		}
	}
	return out
}

func (p *Plan) rest() int { return len(p.Evidence.Findings) - len(p.worth()) }

func (s Step) parts() [][2]string {
	return [][2]string{{"gate", s.Gate}, {"do", s.Action}, {"verify", s.Verification}, {"undo", s.Undo}}
}

// lines says a forecast in a few lines.
func (f Forecast) lines() []string {
	if !f.Rebuild {
		return []string{"no client rebuilds: " + f.Reason}
	}
	out := []string{"every client rebuilds: " + f.Reason}
	if len(f.Reopens) > 0 {
		out = append(out, "except on "+strings.Join(f.Reopens, ", ")+": such a client reopens the state file that it left, as it was then (ST107)")
	}
	if !f.Atomic {
		out = append(out, "an interrupted rebuild counts as complete (ST113)")
	}
	if f.Fleet.Stores > 0 {
		out = append(out,
			fmt.Sprintf("events per store: %s (p50), %s (p95), %s (max), over %s", thousands(f.Fleet.Events.P50), thousands(f.Fleet.Events.P95), thousands(f.Fleet.Events.Max), count(int64(f.Fleet.Stores), "store")),
			fmt.Sprintf("time per client, at worst: %s (p50), %s (p95), %s (max)", seconds(f.Fleet.Seconds.P50), seconds(f.Fleet.Seconds.P95), seconds(f.Fleet.Seconds.Max)))
		if f.Fleet.PeakBytes.Max > 0 {
			out = append(out, fmt.Sprintf("space while log, old and new state coexist, LiveStore's bookkeeping not counted: %s (p50), %s (p95), %s (max)", size(f.Fleet.PeakBytes.P50), size(f.Fleet.PeakBytes.P95), size(f.Fleet.PeakBytes.Max)))
		}
	} else {
		out = append(out, "over which logs is unknown: name an environment with --env")
	}
	const most = 5
	for i, s := range f.Stores {
		if i == most {
			out = append(out, fmt.Sprintf("and %s more", count(int64(len(f.Stores)-most), "store")))
			break
		}
		line := fmt.Sprintf("store %s: %s, %s to %s", s.Store, count(s.Events, "event"), seconds(s.Seconds.Low), seconds(s.Seconds.High))
		if s.PeakBytes > 0 {
			line += ", " + size(s.PeakBytes)
		}
		if s.Pending > 0 {
			line += fmt.Sprintf(", %s pending (a rebuild keeps them)", thousands(s.Pending))
		}
		out = append(out, line)
	}
	for _, b := range f.Bases {
		out = append(out, fmt.Sprintf("basis, %s: %s", b.Adapter, b.Basis))
	}
	return out
}

func seconds(n int64) string {
	switch {
	case n < 1:
		return "under 1 s"
	case n < 120:
		return fmt.Sprintf("%d s", n)
	case n < 7200:
		return fmt.Sprintf("%d min", (n+59)/60)
	}
	return fmt.Sprintf("%.1f h", float64(n)/3600)
}

func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
