package planner

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// An ItemVerdict is what the production checklist says of one item.
type ItemVerdict string

const (
	Passed        ItemVerdict = "passed"         // with evidence
	Failed        ItemVerdict = "failed"         // with evidence
	Attested      ItemVerdict = "attested"       // a person vouches for it
	NotApplicable ItemVerdict = "not applicable" // with a reason
	Open          ItemVerdict = "open"           // nobody and nothing has decided it
)

// An Attestation is a person's word on an item, from headgate/checklist.yaml.
type Attestation struct {
	Item string    `json:"item"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Link string    `json:"link,omitempty"`
	// Expires is the first moment at which it no longer holds.
	Expires time.Time `json:"expires"`
	// NotApplicable says that the item does not concern this app; Reason says why.
	NotApplicable bool   `json:"notApplicable,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Where         string `json:"where,omitempty"`
}

// Validate reports the first thing that a lacks, as an errs.Invalid error.
func (a Attestation) Validate() error {
	var err *errs.Error
	known := slices.ContainsFunc(checklistItems(), func(i item) bool { return i.id == a.Item })
	switch {
	case !known:
		err = errs.Invalidf("the checklist has no item %q", a.Item).Hintf("`headgate checklist` lists them")
	case a.NotApplicable && a.Reason == "":
		err = errs.Invalidf("item %s is said not to apply, without a reason", a.Item)
	case !a.NotApplicable && (a.By == "" || a.At.IsZero() || a.Expires.IsZero()):
		err = errs.Invalidf("the attestation of %s lacks who, when or until when", a.Item).Hintf("by, at and expires are needed")
	}
	if err == nil {
		return nil
	}
	if a.Where != "" {
		err = err.At("%s", a.Where)
	}
	return err
}

// A ChecklistInput is everything the checklist looks at.
type ChecklistInput struct {
	To      *schema.Release
	From    []*schema.Release // the releases compared with; empty for a first release
	History []*schema.Release
	Report  Report // of Check over the same releases and facts
	Facts   Facts
	// Forecast is used for the log's growth; its Reason may be empty.
	Attestations []Attestation
	Now          time.Time

	// HelperPresent is true when headgate's generated helper is part of the app.
	HelperPresent bool
	// MigrationsMapped is true when the app's backfills are tracked by the generated helper or a mapping.
	MigrationsMapped bool
	// RolloutFiles is how many event versions have a rollout with a reader gate.
	RolloutFiles int
	// RollbackDrill says when and where a rollback was rehearsed; empty when never.
	RollbackDrill string
	// Telemetry is what the environment's server was told in the last 24 hours; nil where that can't be seen.
	Telemetry *Telemetry
	// RebuildLimit is the time from which a rebuild is too long; 0: 60 seconds.
	RebuildLimit time.Duration
}

// Telemetry says what was heard of an environment in the last 24 hours.
type Telemetry struct {
	Environment string
	Traced      time.Time // when a span of LiveStore's last arrived; zero for not in that time
	Connections bool      // the sync backend reported readers
	Latency     bool      // spans of pushes or pulls arrived
	Apps        bool      // the apps' helper reported: it tells of unknown events and materializers that threw
}

// An ItemResult is one line of the checklist.
type ItemResult struct {
	ID      string      `json:"id"`
	Section string      `json:"section"`
	Text    string      `json:"text"`
	Verdict ItemVerdict `json:"verdict"`
	// Evidence says what the verdict rests on, or for an open item what would decide it.
	Evidence []string `json:"evidence"`
	By       string   `json:"by,omitempty"`
	Link     string   `json:"link,omitempty"`
	Expires  string   `json:"expires,omitempty"` // a date
}

// A Checklist is the production checklist of one release.
type Checklist struct {
	Schema  string       `json:"schema"`
	Release string       `json:"release"`
	Items   []ItemResult `json:"items"`
}

// NewChecklist gives every item its verdict. What a finding or fact decides, nobody can attest away; a person decides
// only what is open.
func NewChecklist(in ChecklistInput) Checklist {
	out := Checklist{Schema: in.To.Schema, Release: in.To.Version}
	for _, i := range checklistItems() {
		v, evidence := i.decide(&in)
		r := ItemResult{ID: i.id, Section: i.section, Text: i.text, Verdict: v, Evidence: evidence}
		switch v {
		case Open:
			r.attest(in.Attestations, in.Now)
		case Failed:
			if slices.ContainsFunc(in.Attestations, func(a Attestation) bool { return a.Item == i.id }) {
				r.Evidence = append(r.Evidence, "the attestation does not count against this: fix it, or accept the finding under suppressions in headgate.yaml")
			}
		}
		if r.Evidence == nil {
			r.Evidence = []string{}
		}
		out.Items = append(out.Items, r)
	}
	return out
}

// attest lets a person decide an open item.
func (r *ItemResult) attest(list []Attestation, now time.Time) {
	for _, a := range list {
		switch {
		case a.Item != r.ID:
		case a.NotApplicable:
			r.Verdict, r.Evidence, r.By = NotApplicable, []string{a.Reason}, a.By
			return
		case !now.Before(a.Expires):
			r.Evidence = append(r.Evidence, fmt.Sprintf("attested by %s, expired on %s", a.By, a.Expires.UTC().Format(time.DateOnly)))
		default:
			r.Verdict, r.By, r.Link, r.Expires = Attested, a.By, a.Link, a.Expires.UTC().Format(time.DateOnly)
			r.Evidence = []string{strings.TrimSpace("attested on " + a.At.UTC().Format(time.DateOnly) + " " + a.Reason)}
			return
		}
	}
}

// Counts returns how many items have each verdict.
func (c Checklist) Counts() map[ItemVerdict]int {
	out := map[ItemVerdict]int{}
	for _, i := range c.Items {
		out[i.Verdict]++
	}
	return out
}

// Failing returns the items that fail the checklist: the failed ones, and with failOn Open the open ones too.
func (c Checklist) Failing(failOn ItemVerdict) []ItemResult {
	var out []ItemResult
	for _, i := range c.Items {
		if i.Verdict == Failed || failOn == Open && i.Verdict == Open {
			out = append(out, i)
		}
	}
	return out
}

// WriteText writes the checklist for people.
func (c Checklist) WriteText(w io.Writer, paint Paint) error {
	b := &strings.Builder{}
	section := ""
	for _, i := range c.Items {
		if i.Section != section {
			section = i.Section
			fmt.Fprintf(b, "%s\n", section)
		}
		tone := map[ItemVerdict]Severity{Failed: Error, Open: Warning, Passed: OK, Attested: OK}[i.Verdict]
		fmt.Fprintf(b, "  %-3s %s  %s\n", i.ID, paint.of(tone, fmt.Sprintf("%-14s", i.Verdict)), i.Text)
		for _, e := range i.Evidence {
			fmt.Fprintf(b, "                      %s\n", e)
		}
	}
	fmt.Fprintf(b, "\n%s\n", c.summary())
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMarkdown writes the checklist for a pull request or a wiki.
func (c Checklist) WriteMarkdown(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "## Production checklist\n\n%s\n", markdown(c.summary()))
	section := ""
	for _, i := range c.Items {
		if i.Section != section {
			section = i.Section
			fmt.Fprintf(b, "\n### %s\n\n| id | verdict | item | evidence |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", i.ID, i.Verdict, markdown(i.Text), markdown(strings.Join(append(slices.Clone(i.Evidence), i.Link), " ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (c Checklist) summary() string {
	n := c.Counts()
	var parts []string
	for _, v := range []ItemVerdict{Passed, Failed, Attested, NotApplicable, Open} {
		parts = append(parts, fmt.Sprintf("%d %s", n[v], v))
	}
	return strings.TrimSpace(c.Schema+" "+c.Release) + ": " + strings.Join(parts, ", ")
}

// An item is one line of the checklist and how it is decided.
type item struct {
	id, section, text string
	decide            func(in *ChecklistInput) (ItemVerdict, []string)
}

// byFindings decides by findings at or above a severity. needs are the codes that must have been checked by running
// code; without that the item is open.
func byFindings(worst Severity, codes []string, needs ...Code) func(in *ChecklistInput) (ItemVerdict, []string) {
	return func(in *ChecklistInput) (ItemVerdict, []string) {
		var bad, accepted []string
		for _, f := range in.Report.Findings {
			if !slices.ContainsFunc(codes, func(c string) bool { return strings.HasPrefix(string(f.Code), c) }) || !f.Severity.AtLeast(worst) {
				continue
			}
			line := strings.TrimSpace(string(f.Code) + " " + f.Place() + ": " + f.Message)
			if f.Suppressed != nil {
				accepted = append(accepted, line+" (accepted by "+f.Suppressed.Owner+" until "+f.Suppressed.Expires.Format(time.DateOnly)+")")
				continue
			}
			bad = append(bad, line)
		}
		if len(bad) > 0 {
			return Failed, slices.Compact(bad)
		}
		for _, n := range needs {
			if !slices.Contains(in.Facts.Checked, n) {
				return Open, append(accepted, string(n)+" was not checked")
			}
		}
		if len(accepted) > 0 {
			return Attested, accepted
		}
		return Passed, []string{"no " + strings.Join(codes, ", ")}
	}
}

// byPerson is decided by attestation until a probe exists.
func byPerson(would string) func(*ChecklistInput) (ItemVerdict, []string) {
	return func(*ChecklistInput) (ItemVerdict, []string) { return Open, []string{would} }
}

// traced decides O3.
func traced(in *ChecklistInput) (ItemVerdict, []string) {
	switch t := in.Telemetry; {
	case t == nil:
		return Open, []string{"decided by the spans that headgate serve was sent, with --env; until then by attestation"}
	case t.Traced.IsZero():
		return Open, []string{"no span of LiveStore's arrived in " + t.Environment + " in the last 24 h: have an OpenTelemetry exporter send them to headgate serve, /v1/traces; or attest it"}
	default:
		return Passed, []string{"a span of LiveStore's arrived in " + t.Environment + " within the last 24 h, " + t.Traced.UTC().Format(time.RFC3339)}
	}
}

// watched decides O4.
func watched(in *ChecklistInput) (ItemVerdict, []string) {
	t := in.Telemetry
	if t == nil {
		return Open, []string{"decided by what headgate serve was told, with --env; until then by attestation"}
	}
	var missing []string
	for _, of := range []struct {
		heard     bool
		what, how string
	}{
		{t.Latency, "latency", "LiveStore's spans, /v1/traces"},
		{t.Connections, "active connections", "headgate.worker.ts reports them"},
		{t.Apps, "unknown events and materializer errors", "headgate.generated.ts reports them"},
	} {
		if !of.heard {
			missing = append(missing, "nothing was heard in "+t.Environment+" in the last 24 h of "+of.what+": "+of.how)
		}
	}
	if len(missing) > 0 {
		return Open, missing
	}
	return Passed, []string{"all of it was heard in " + t.Environment + " in the last 24 h"}
}

func byFact(have func(*ChecklistInput) bool, yes, no string) func(*ChecklistInput) (ItemVerdict, []string) {
	return func(in *ChecklistInput) (ItemVerdict, []string) {
		if have(in) {
			return Passed, []string{yes}
		}
		return Open, []string{no}
	}
}

// shapes decides E2: the pair findings about events, which a first release can't have.
func shapes(in *ChecklistInput) (ItemVerdict, []string) {
	if len(in.From) == 0 {
		return NotApplicable, []string{"a first release"}
	}
	return byFindings(Error, []string{"EV108", "FD", "TY", "UN", "AR", "RC", "RF"})(in)
}

// retired decides E4 over every known release, not only those compared with.
func retired(in *ChecklistInput) (ItemVerdict, []string) {
	var bad []string
	for _, r := range slices.Concat(in.History, in.From, []*schema.Release{in.To}) {
		for i := range r.Events {
			e := &r.Events[i]
			if e.Derived {
				continue
			}
			what := ""
			switch {
			case eventNamed(in.To, e.Name) == nil:
				what = "has no definition"
			case materializerOf(in.To, e.Name) == nil:
				what = "has no materializer"
			default:
				continue
			}
			bad = append(bad, e.Name+", shipped in "+r.Version+", "+what+" in "+in.To.Version)
		}
	}
	slices.Sort(bad)
	if len(bad) > 0 {
		return Failed, slices.Compact(bad)
	}
	return Passed, []string{fmt.Sprintf("%s known, every event has a definition and a materializer", count(int64(len(in.History)), "release"))}
}

func queriesIndexed(in *ChecklistInput) (ItemVerdict, []string) {
	v, evidence := byFindings(Warning, []string{"ST110"}, "ST110")(in)
	if v != Failed && len(in.Facts.UndeclaredQueries) > 0 {
		evidence = []string{fmt.Sprintf("%s not declared in headgate.yaml's queries module", count(int64(len(in.Facts.UndeclaredQueries)), "queryDb call"))}
		for _, l := range in.Facts.UndeclaredQueries {
			evidence = append(evidence, l.String())
		}
		return Open, evidence
	}
	return v, evidence
}

func failuresSeen(in *ChecklistInput) (ItemVerdict, []string) {
	v, evidence := byFindings(Warning, []string{"AD103"})(in)
	if v == Passed && !in.HelperPresent {
		return Open, []string{"the generated helper is absent: headgate generate"}
	}
	return v, evidence
}

func atomicRebuild(in *ChecklistInput) (ItemVerdict, []string) {
	v, evidence := byFindings(Warning, []string{"ST113"})(in)
	switch {
	case v != Passed:
		return v, evidence
	case in.To.Migrations.Strategy == "manual":
		return NotApplicable, []string{"migrations are manual: no state is rebuilt"}
	case !in.To.Migrations.AtomicRebuild:
		return Failed, []string{"the rebuild hooks are absent: headgate generate"}
	}
	return Passed, []string{"the rebuild hooks are there"}
}

func highFrequency(in *ChecklistInput) (ItemVerdict, []string) {
	if len(in.Facts.Logs) == 0 {
		return Open, []string{"no log was read: headgate log stats"}
	}
	var bad []string
	for _, l := range in.Facts.Logs {
		for _, name := range l.HighFrequency {
			bad = append(bad, fmt.Sprintf("%s in store %s", name, l.Store))
		}
	}
	if len(bad) > 0 {
		return Failed, bad
	}
	return Passed, []string{fmt.Sprintf("%s read", count(int64(len(in.Facts.Logs)), "log"))}
}

func growth(in *ChecklistInput) (ItemVerdict, []string) {
	if len(in.Facts.Logs) == 0 {
		return Open, []string{"no log was read: headgate log stats"}
	}
	limit := cmp.Or(in.RebuildLimit, time.Minute)
	slowest := 0.0
	for _, a := range adapters(in.Facts.Adapters) {
		if r := a.rate(in.To.Migrations.AtomicRebuild).Slow; slowest == 0 || r < slowest {
			slowest = r
		}
	}
	verdict := Passed
	var evidence []string
	for _, l := range in.Facts.Logs {
		var events int64
		for _, n := range l.Events {
			events += n
		}
		room := slowest*limit.Seconds() - float64(events)
		switch {
		case room <= 0:
			verdict = Failed
			evidence = append(evidence, fmt.Sprintf("store %s: a rebuild of %s may pass %s now", l.Store, count(events, "event"), limit))
		case l.PerDay <= 0:
			if verdict == Passed {
				verdict = Open
			}
			evidence = append(evidence, fmt.Sprintf("store %s: %s, growth unknown", l.Store, count(events, "event")))
		default:
			day := in.Now.UTC().Add(time.Duration(min(room/l.PerDay, 36500) * 24 * float64(time.Hour)))
			evidence = append(evidence, fmt.Sprintf("store %s: a rebuild passes %s about %s", l.Store, limit, day.Format("January 2006")))
		}
	}
	return verdict, evidence
}

func personalData(in *ChecklistInput) (ItemVerdict, []string) {
	if v, evidence := byFindings(Error, []string{"SE101"})(in); v == Failed {
		return v, evidence
	}
	v, evidence := byFindings(Info, []string{"SE102"})(in)
	if v == Failed { // a name alone proves nothing: a person decides
		return Open, evidence
	}
	return v, evidence
}

func unitTested(in *ChecklistInput) (ItemVerdict, []string) {
	return byFindings(Warning, []string{"MT103", "MT104"}, "MT103", "MT104")(in)
}
