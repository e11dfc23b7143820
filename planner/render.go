package planner

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// WriteText writes a report for people, findings first, then the sum.
func (r Report) WriteText(w io.Writer, paint Paint) error {
	b := &strings.Builder{}
	for _, f := range r.Findings {
		writeFinding(b, f, paint, "")
	}
	for _, u := range r.Unverified {
		fmt.Fprintf(b, "%s %s\n", paint.of(Warning, "not verified:"), u)
	}
	if len(r.Findings)+len(r.Unverified) > 0 {
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "%s\n", r.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) summary() string {
	errors, warnings, infos, suppressed := r.Counts()
	against := "the first release"
	if len(r.From) > 0 {
		against = "against " + strings.Join(r.From, ", ")
	}
	s := fmt.Sprintf("%s: %s, %s, %s", strings.TrimSpace(r.Schema+" "+r.To), count(int64(errors), "error"), count(int64(warnings), "warning"), count(int64(infos), "note"))
	if suppressed > 0 {
		s += fmt.Sprintf(", %s suppressed", thousands(int64(suppressed)))
	}
	return s + " (" + against + ", profile " + string(r.Profile) + ")"
}

// sides says in words whom a finding is about.
func (f Finding) sides() string {
	from := ""
	if len(f.From) > 0 {
		from = " " + strings.Join(f.From, ", ")
	}
	switch f.Direction {
	case Replay:
		if from == "" {
			return ""
		}
		return "reading what" + from + " wrote"
	case Fleet:
		return "for clients on" + cmp.Or(from, " old releases")
	}
	if from == "" {
		return ""
	}
	return "both ways, with" + from
}

// where is the finding's place for people; what is about no event or table is about a file, or the whole release.
func (f Finding) where() string {
	if p := f.Place(); p != "" {
		return p
	}
	if f.Location != nil {
		return f.Location.String()
	}
	return "the release"
}

func writeFinding(b *strings.Builder, f Finding, paint Paint, indent string) {
	word := string(f.Severity)
	severity := f.Severity
	if f.Suppressed != nil {
		word, severity = "suppressed", OK
	}
	fmt.Fprintf(b, "%s%s %s  %s\n", indent, paint.of(severity, fmt.Sprintf("%-7s", word)), f.Code, f.where())
	line := f.Message
	if s := f.sides(); s != "" {
		line += " (" + s + ")"
	}
	fmt.Fprintf(b, "%s        %s\n", indent, line)
	if f.Detail != "" {
		fmt.Fprintf(b, "%s        %s\n", indent, f.Detail)
	}
	if f.Lowered != "" {
		fmt.Fprintf(b, "%s        lowered from %s by evidence\n", indent, f.Lowered)
	}
	if f.Suppressed != nil {
		fmt.Fprintf(b, "%s        accepted by %s until %s: %s\n", indent, f.Suppressed.Owner, f.Suppressed.Expires.Format("2006-01-02"), oneLine(f.Suppressed.Reason))
		return
	}
	if f.Fix != "" && f.Severity.AtLeast(Warning) {
		fmt.Fprintf(b, "%s        fix: %s\n", indent, f.Fix)
	}
}

// oneLine joins lines that a person wrote.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// String writes a location as editors understand it.
func (l Location) String() string {
	if l.Line == 0 {
		return l.File
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// WriteMarkdown writes a report for a pull request.
func (r Report) WriteMarkdown(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "## headgate check\n\n%s\n", markdown(r.summary()))
	if len(r.Findings) > 0 {
		b.WriteString("\n")
		writeFindingTable(b, r.Findings)
	}
	for _, u := range r.Unverified {
		fmt.Fprintf(b, "\n- not verified: %s\n", markdown(u))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeFindingTable(b *strings.Builder, findings []Finding) {
	b.WriteString("| severity | code | where | what | fix |\n|---|---|---|---|---|\n")
	for _, f := range findings {
		severity, fix := string(f.Severity), f.Fix
		if f.Suppressed != nil {
			severity, fix = "suppressed", "accepted by "+f.Suppressed.Owner+": "+f.Suppressed.Reason
		}
		what := strings.TrimSpace(f.Message + ". " + f.Detail)
		if s := f.sides(); s != "" {
			what = strings.TrimSpace(f.Message + " (" + s + "). " + f.Detail)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", severity, f.Code, markdown(f.where()), markdown(what), markdown(fix))
	}
}

// markdown keeps text from being read as markup or as table syntax.
func markdown(s string) string {
	return strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "<", "&lt;", "[", "\\[", "\n", " ").Replace(s)
}

// WriteGitHub writes workflow commands, which GitHub shows beside the code.
func (r Report) WriteGitHub(w io.Writer) error {
	b := &strings.Builder{}
	for _, f := range r.Findings {
		if f.Suppressed != nil {
			continue
		}
		level := map[Severity]string{Error: "error", Warning: "warning"}[f.Severity]
		params := []string{"title=" + property(strings.TrimSpace(string(f.Code)+" "+f.Place()))}
		if f.Location != nil {
			params = append([]string{"file=" + property(f.Location.File)}, params...)
			if f.Location.Line > 0 {
				params = append(params, fmt.Sprintf("line=%d", f.Location.Line))
			}
		}
		fmt.Fprintf(b, "::%s %s::%s\n", cmp.Or(level, "notice"), strings.Join(params, ","), data(annotation(f)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// annotation says in one line what a finding is.
func annotation(f Finding) string {
	out := f.Message + "."
	for _, more := range []string{f.Detail, f.Fix} {
		if more != "" {
			out += " " + more
		}
	}
	return out
}

// data and property escape what GitHub reads in a workflow command.
func data(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(s)
}

type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name      string      `xml:"name,attr"`
	ClassName string      `xml:"classname,attr"`
	File      string      `xml:"file,attr,omitempty"`
	Failure   *junitFault `xml:"failure,omitempty"`
	Skipped   *junitFault `xml:"skipped,omitempty"`
	Output    string      `xml:"system-out,omitempty"`
}

type junitFault struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes a test report with a suite per schema: a finding at or above failOn is a failure, a suppressed one
// is skipped, any other passes with its text as output. Without findings one case says so.
func WriteJUnit(w io.Writer, failOn Severity, reports ...Report) error {
	var suites junitSuites
	for _, r := range reports {
		suites.Suites = append(suites.Suites, r.junit(failOn))
	}
	out, err := xml.MarshalIndent(suites, "", "  ")
	if err != nil {
		return fmt.Errorf("write junit: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, out)
	return err
}

func (r Report) junit(failOn Severity) junitSuite {
	s := junitSuite{Name: strings.TrimSpace("headgate check " + r.Schema + " " + r.To)}
	for _, f := range r.Findings {
		c := junitCase{ClassName: "headgate." + string(f.Code), Name: strings.TrimSpace(string(f.Code) + " " + string(f.Direction) + " " + f.Place() + ": " + f.Message)}
		if f.Location != nil {
			c.File = f.Location.File
		}
		text := strings.TrimSpace(f.Detail + "\n" + f.Fix)
		switch {
		case f.Suppressed != nil:
			s.Skipped++
			c.Skipped = &junitFault{Message: "accepted by " + f.Suppressed.Owner + ": " + f.Suppressed.Reason}
		case f.Severity.AtLeast(failOn):
			s.Failures++
			c.Failure = &junitFault{Message: f.Message, Type: string(f.Severity), Text: text}
		default:
			c.Output = string(f.Severity) + ": " + text
		}
		s.Cases = append(s.Cases, c)
	}
	if len(s.Cases) == 0 {
		s.Cases = []junitCase{{ClassName: "headgate", Name: "no findings"}}
	}
	s.Tests = len(s.Cases)
	return s
}

// WriteSARIF writes a SARIF 2.1.0 log with a run per schema. version is headgate's own.
func WriteSARIF(w io.Writer, version string, reports ...Report) error {
	log := sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{}}
	for _, r := range reports {
		log.Runs = append(log.Runs, r.sarif(version))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(log)
}
