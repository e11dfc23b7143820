package planner_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func checklistInput(to string, mutate ...func(*planner.ChecklistInput)) planner.ChecklistInput {
	in := planInput("1.1.0", to)
	in.Facts.Logs = in.Facts.Logs[:2]
	c := planner.ChecklistInput{To: in.To, From: in.From, History: in.History, Facts: in.Facts, Now: today}
	for _, m := range mutate {
		m(&c)
	}
	in.Facts = c.Facts
	c.Report = planner.Check(in.Input)
	return c
}

func verdicts(c planner.Checklist) map[string]planner.ItemVerdict {
	out := map[string]planner.ItemVerdict{}
	for _, i := range c.Items {
		out[i.ID] = i.Verdict
	}
	return out
}

func TestChecklistVerdicts(t *testing.T) {
	ran := func(in *planner.ChecklistInput) {
		in.Facts.Checked = []planner.Code{"MT101", "MT103", "MT104", "ST110", "ST102"}
	}
	for name, c := range map[string]struct {
		in   planner.ChecklistInput
		want map[string]planner.ItemVerdict
	}{
		"nothing was run": {checklistInput("1.2.1"), map[string]planner.ItemVerdict{
			"E1": planner.Passed, "E2": planner.Passed, "E4": planner.Passed, "E5": planner.Passed, "M1": planner.Open, "M2": planner.Open, "M3": planner.Open,
			"S1": planner.Open, "S2": planner.Passed, "S4": planner.Open, "A3": planner.Passed, "L1": planner.Passed, "L2": planner.Open, "T1": planner.Open,
			"M4": planner.Open, "V1": planner.Open, "V2": planner.Open, "V3": planner.Open, "B7": planner.Open, "B10": planner.Passed,
		}},
		"all was run": {checklistInput("1.2.1", ran, func(in *planner.ChecklistInput) {
			in.HelperPresent, in.MigrationsMapped, in.RolloutFiles, in.RollbackDrill = true, true, 2, "drilled on 2026-02-01"
		}), map[string]planner.ItemVerdict{
			"M1": planner.Passed, "M2": planner.Passed, "M3": planner.Passed, "M4": planner.Passed, "S1": planner.Passed, "T1": planner.Passed, "T2": planner.Passed,
			"V1": planner.Passed, "V2": planner.Passed, "V3": planner.Passed,
		}},
		"nobody asked a server": {checklistInput("1.2.1"), map[string]planner.ItemVerdict{"O3": planner.Open, "O4": planner.Open}},
		"nothing was heard": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.Telemetry = &planner.Telemetry{Environment: "prod", Connections: true, Latency: true}
		}), map[string]planner.ItemVerdict{"O3": planner.Open, "O4": planner.Open}},
		"all was heard": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.Telemetry = &planner.Telemetry{Environment: "prod", Traced: time.Now(), Connections: true, Latency: true, Apps: true}
		}), map[string]planner.ItemVerdict{"O3": planner.Passed, "O4": planner.Passed}},
		"run with findings": {checklistInput("1.2.1", ran, func(in *planner.ChecklistInput) {
			in.Facts.Runs = []planner.MaterializerRun{{Release: "1.2.1", Event: "v1.TodoCreated", Differs: "todos.id"}}
			in.Facts.MixedReplays = []planner.MixedReplay{{Release: "1.2.1", Family: "TodoCreated", Difference: "todos.priority"}}
			in.Facts.Logs[0].HighFrequency = []string{"v1.CursorMoved"}
		}), map[string]planner.ItemVerdict{"M1": planner.Failed, "M3": planner.Failed, "T2": planner.Failed, "L1": planner.Failed}},
		"undeclared queries": {checklistInput("1.2.1", ran, func(in *planner.ChecklistInput) {
			in.Facts.UndeclaredQueries = []planner.Location{{File: "src/list.ts", Line: 4}}
		}), map[string]planner.ItemVerdict{"S1": planner.Open}},
		"an event without its materializer": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.To.Materializers = in.To.Materializers[1:]
		}), map[string]planner.ItemVerdict{"E4": planner.Failed}},
		"no hooks, unknown events left alone": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.To.Migrations.AtomicRebuild, in.To.UnknownEventHandlingExplicit = false, false
			in.To.Tables[0].Columns = append(in.To.Tables[0].Columns, schema.Column{Name: "meta", JSON: true})
			in.To.Events[0].Args = args("id", "email")
		}), map[string]planner.ItemVerdict{"A3": planner.Failed, "E5": planner.Failed, "S3": planner.Failed, "E2": planner.Failed, "E3": planner.Failed, "X1": planner.Open}},
		"a rebuild passes the minute": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.Facts.Logs = logs()
		}), map[string]planner.ItemVerdict{"L2": planner.Failed}},
		"growth is known": {checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			for i := range in.Facts.Logs {
				in.Facts.Logs[i].PerDay = 20
			}
		}), map[string]planner.ItemVerdict{"L2": planner.Passed}},
	} {
		got := verdicts(planner.NewChecklist(c.in))
		for id, want := range c.want {
			if got[id] != want {
				t.Errorf("%s: %s is %q, want %q", name, id, got[id], want)
			}
		}
	}
}

func TestAttestations(t *testing.T) {
	attest := func(list ...planner.Attestation) planner.Checklist {
		return planner.NewChecklist(checklistInput("1.2.1", func(in *planner.ChecklistInput) {
			in.To.UnknownEventHandlingExplicit = false // E5 fails
			in.Attestations = list
		}))
	}
	valid := planner.Attestation{By: "mara", At: today.AddDate(0, -1, 0), Expires: today.AddDate(0, 1, 0), Link: "https://wiki/b1"}
	word := func(item string) planner.Attestation { a := valid; a.Item = item; return a }
	expired := word("B2")
	expired.Expires = today
	c := attest(word("B1"), expired, word("E5"), word("E1"), planner.Attestation{Item: "X2", NotApplicable: true, Reason: "the backend reads everything by design"})
	got := verdicts(c)
	for id, want := range map[string]planner.ItemVerdict{
		"B1": planner.Attested, "B2": planner.Open, "X2": planner.NotApplicable,
		"E5": planner.Failed, // a finding can't be attested away
		"E1": planner.Passed, // nor does a word replace what was found to hold
	} {
		if got[id] != want {
			t.Errorf("%s is %q, want %q", id, got[id], want)
		}
	}
	if n := len(c.Failing(planner.Failed)); n != c.Counts()[planner.Failed] || n == 0 {
		t.Errorf("%d failed", n)
	}
	if n := len(c.Failing(planner.Open)); n != c.Counts()[planner.Failed]+c.Counts()[planner.Open] {
		t.Errorf("%d failed or open", n)
	}
	for _, bad := range []planner.Attestation{
		{Item: "Z9", By: "m", At: today, Expires: today},
		{Item: "B1", At: today, Expires: today},
		{Item: "B1", By: "m", Expires: today},
		{Item: "B1", By: "m", At: today},
		{Item: "B1", NotApplicable: true},
	} {
		bad.Where = "headgate/checklist.yaml:3"
		if e := errs.As(bad.Validate()); e == nil || e.Where == "" {
			t.Errorf("%+v: %v", bad, e)
		}
	}
	if err := word("B1").Validate(); err != nil {
		t.Error(err)
	}
}

func TestChecklistIsWhole(t *testing.T) {
	c := planner.NewChecklist(checklistInput("1.2.1"))
	want := map[string]int{"E": 5, "S": 4, "M": 5, "A": 3, "L": 2, "B": 10, "O": 4, "X": 2, "T": 3, "V": 3}
	got := map[string]int{}
	for _, i := range c.Items {
		got[i.ID[:1]]++
		if len(i.Evidence) == 0 {
			t.Errorf("%s has no evidence", i.ID)
		}
	}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s: %d items, want %d", k, got[k], n)
		}
	}
	var text, md bytes.Buffer
	if err := errors.Join(c.WriteText(&text, nil), c.WriteMarkdown(&md)); err != nil {
		t.Fatal(err)
	}
	golden(t, "checklist/checklist.txt", text.Bytes())
	golden(t, "checklist/checklist.md", md.Bytes())
}

// TestFirstRelease: with nothing to compare with there is nothing to have broken.
func TestFirstRelease(t *testing.T) {
	in := checklistInput("1.0.0", func(in *planner.ChecklistInput) { in.From = nil })
	if v := verdicts(planner.NewChecklist(in)); v["E2"] != planner.NotApplicable {
		t.Errorf("E2 is %q", v["E2"])
	}
}
