package planner_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// report has findings of every severity, a suppressed one, one with a line and one that evidence lowered.
func report(t *testing.T) planner.Report {
	t.Helper()
	old, now := todo("1.1.0"), todo("1.2.0")
	now.Events[0].Args = args("id", "title|text", "o%note")
	now.Events[1].Args = args("id", "priority", "zero")
	now.Secrets = []schema.Secret{{File: "src/a b/sync.ts", Line: 3, Kind: "a bearer token"}}
	return planner.Check(planner.Input{
		From: []*schema.Release{old}, To: now, History: []*schema.Release{old}, Profile: planner.ProfileRollback, Now: today,
		Facts: planner.Facts{
			Adapters: []string{"node"}, Unverified: []string{"materializers were not run"}, Logs: logs(),
			Probes: []planner.ProbeResult{
				{To: "1.2.0", Event: "v2.TodoCreated", Store: "store-a", Head: 9, Count: 7},
			},
		},
		Suppressions: []planner.Suppression{{Code: "ST103", Path: "v1.TodoArchived*", Reason: "compensated: 100%\nsee #7", Owner: "mara", Expires: today.Add(time.Hour)}},
	})
}

func TestReportGoldens(t *testing.T) {
	r := report(t)
	var text, md, github, junit, sarif bytes.Buffer
	if err := errors.Join(r.WriteText(&text, nil), r.WriteMarkdown(&md), r.WriteGitHub(&github), planner.WriteJUnit(&junit, planner.Error, r), planner.WriteSARIF(&sarif, "1.0.0", r)); err != nil {
		t.Fatal(err)
	}
	golden(t, "report/report.txt", text.Bytes())
	golden(t, "report/report.md", md.Bytes())
	golden(t, "report/report.github", github.Bytes())
	golden(t, "report/report.junit.xml", junit.Bytes())
	golden(t, "report/report.sarif", sarif.Bytes())
	if err := xml.Unmarshal(junit.Bytes(), new(any)); err != nil {
		t.Errorf("junit: %v", err)
	}
	for line := range strings.Lines(github.String()) {
		if !strings.HasPrefix(line, "::") {
			t.Errorf("a message broke into two lines: %q", line)
		}
	}
	var none bytes.Buffer
	if err := planner.WriteJUnit(&none, planner.Error, planner.Report{}); err != nil || !strings.Contains(none.String(), `tests="1"`) {
		t.Errorf("an empty report is an empty suite: %v", err)
	}
}

// TestSARIFIsValid validates against the schema that OASIS published with SARIF 2.1.0 (errata 01).
func TestSARIFIsValid(t *testing.T) {
	f, err := os.Open("testdata/sarif/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	sch, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, reports := range map[string][]planner.Report{"full": {report(t)}, "two": {report(t), {Schema: "mail"}}, "none": {}} {
		var b bytes.Buffer
		if err := planner.WriteSARIF(&b, "0.1.0", reports...); err != nil {
			t.Fatal(err)
		}
		log, err := jsonschema.UnmarshalJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := sch.Validate(log); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken, err := jsonschema.UnmarshalJSON(strings.NewReader(`{"version":"2.1.0","runs":[{}]}`))
	if err != nil || sch.Validate(broken) == nil {
		t.Error("the schema accepts a run without a tool")
	}
}

func TestFailOn(t *testing.T) {
	r := report(t)
	e, w, i := len(r.Failing(planner.Error)), len(r.Failing(planner.Warning)), len(r.Failing(planner.Info))
	if e == 0 || w <= e || i <= w {
		t.Errorf("%d errors, %d with warnings, %d with notes", e, w, i)
	}
	for _, f := range r.Failing(planner.Info) {
		if f.Code == "ST103" {
			t.Error("a suppressed finding counts")
		}
	}
	if _, err := planner.ParseFailOn("fatal"); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
	if _, err := planner.ParseProfile("both"); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
}

func TestProfileReplayLeavesTheFleetOut(t *testing.T) {
	old, now := todo("1.1.0"), todo("1.2.0")
	now.Events[0].Args = args() // required field removed: only the fleet breaks
	r := planner.Check(planner.Input{From: []*schema.Release{old}, To: now, Profile: planner.ProfileReplay, Now: today})
	for _, f := range r.Findings {
		if f.Direction == planner.Fleet {
			t.Errorf("%s %s", f.Code, f.Place())
		}
	}
}

func TestRules(t *testing.T) {
	seen := map[planner.Code]bool{}
	for _, r := range planner.Rules() {
		if seen[r.Code] {
			t.Errorf("%s is registered twice", r.Code)
		}
		seen[r.Code] = true
		for what, text := range map[string]string{"title": r.Title, "breaks": r.Breaks, "who": r.Who, "fix": r.Fix, "example": r.Example} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s has no %s", r.Code, what)
			}
		}
	}
	// The codes that were promised; a code is never taken back.
	for _, list := range []struct {
		prefix string
		last   int
	}{{"EV", 10}, {"FD", 15}, {"TY", 9}, {"UN", 4}, {"AR", 6}, {"RC", 1}, {"RF", 3}, {"ST", 14}, {"MT", 4}, {"AD", 3}, {"SE", 2}, {"UE", 1}, {"SU", 2}} {
		for i := 1; i <= list.last; i++ {
			code := planner.Code(list.prefix + string(rune('1')) + string(rune('0'+i/10)) + string(rune('0'+i%10)))
			if !seen[code] {
				t.Errorf("%s is not registered", code)
			}
		}
	}
	if r, err := planner.RuleFor(" st103 "); err != nil || r.Code != "ST103" {
		t.Error(err)
	}
	if _, err := planner.RuleFor("ST199"); errs.CodeOf(err) != errs.NotFound || !strings.Contains(errs.As(err).Hint, "ST103") {
		t.Error(err)
	}
}

func TestSuppressionValidate(t *testing.T) {
	good := planner.Suppression{Code: "ST103", Reason: "r", Owner: "o", Expires: today}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, s := range []planner.Suppression{
		{Code: "ST999", Reason: "r", Owner: "o", Expires: today},
		{Code: "SU101", Reason: "r", Owner: "o", Expires: today},
		{Code: "ST103", Owner: "o", Expires: today},
		{Code: "ST103", Reason: "r", Expires: today},
		{Code: "ST103", Reason: "r", Owner: "o"},
	} {
		s.Where = "headgate.yaml:9"
		if e := errs.As(s.Validate()); e == nil || e.Where != "headgate.yaml:9" {
			t.Errorf("%+v: %v", s, e)
		}
	}
}

// TestJSONNamesAreStable: scripts read these.
func TestJSONNamesAreStable(t *testing.T) {
	data, err := json.Marshal(report(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"findings":[`, `"code":"ST103"`, `"severity":"error"`, `"direction":"replay"`, `"from":["1.1.0"]`, `"to":"1.2.0"`, `"suppressed":{"reason"`, `"location":{"file"`, `"lowered":"error"`, `"evidence":[{`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("no %s", want)
		}
	}
}
