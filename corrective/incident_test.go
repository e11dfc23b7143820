package corrective_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/planner"
)

var night = time.Date(2027, 1, 31, 3, 12, 0, 0, time.UTC)

func opened() *corrective.Incident {
	s := corrective.Selection{Release: "1.3.0", Since: 120, Clients: []string{"anna"}, After: night.Add(-time.Hour)}
	return corrective.NewIncident("2027-01-31-1.3.0", "prod", "main", "1.3.0", s, "ana", night, "")
}

// TestIncidentFile: what is written is read again, and nothing else is.
func TestIncidentFile(t *testing.T) {
	i := opened()
	i.Mark(corrective.WalkStop, corrective.Done, "ana", night, "aborted 1 rollout")
	i.Choose(corrective.Choice{
		Kind: corrective.BackendReset, Plan: "sha256-1", Base: "1.3.0", Bad: "1.3.0", Loses: []string{"all"},
		AcceptedLoss: &corrective.Deed{By: "ana", At: night, Reason: "nobody uses it"}, Steps: []corrective.Doing{{ID: "1-reset-backend", State: corrective.Todo}},
	}, "1.2.0", "ana", night)
	data, err := i.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := corrective.ParseIncident(i.ID, "incident.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(i, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
	for name, edit := range map[string][2]string{
		"another version":  {"version: 1", "version: 2"},
		"an unknown key":   {"schema: main", "schema: main\nmore: 1"},
		"a lost step":      {"  - step: verify\n", "  - step: prove\n"},
		"an unknown state": {"state: done", "state: dome"},
		"no remedy":        {"kind: backend-reset", "kind: prayer"},
		"no environment":   {"environment: prod", "environment: ''"},
	} {
		text := strings.Replace(string(data), edit[0], edit[1], 1)
		if text == string(data) {
			t.Fatalf("%s: %q is not in the file", name, edit[0])
		}
		if _, err := corrective.ParseIncident(i.ID, "incident.yaml", []byte(text)); errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" || len(errs.As(err).Next) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIncidentSteps: what comes next, whatever was left out, and what another plan begins anew.
func TestIncidentSteps(t *testing.T) {
	i := opened()
	next := func(want string) {
		t.Helper()
		if got := i.Next(); got != want {
			t.Errorf("next is %q, want %q", got, want)
		}
	}
	next(corrective.WalkStop)
	i.Mark(corrective.WalkAssess, corrective.Done, "ana", night, "") // the stop was passed over
	next(corrective.WalkPlan)
	plan := func(kind corrective.RemedyKind, digest string) {
		i.Choose(corrective.Choice{Kind: kind, Plan: digest, Steps: []corrective.Doing{{ID: "1-a", State: corrective.Todo}, {ID: "2-b", State: corrective.Todo}}}, "1.2.0", "ana", night)
	}
	plan(corrective.Floor, "sha256-1")
	next(corrective.WalkRun)
	i.MarkStep("1-a", corrective.Done, "ana", night, "")
	next(corrective.WalkRun)
	plan(corrective.Floor, "sha256-1") // the same again: nothing is lost
	if i.Doing("1-a").State != corrective.Done {
		t.Error("the same plan began anew")
	}
	i.MarkStep("2-b", corrective.Skipped, "ana", night, "")
	next("")
	i.Verified = "1.3.1"
	plan(corrective.CorrectiveRelease, "sha256-2")
	next(corrective.WalkGenerate)
	if i.Verified != "" || i.Doing("1-a").State != corrective.Todo {
		t.Errorf("another plan kept what was done: %+v", i)
	}

	// The plan of a sample, made whole: other stores, and the same steps. One that also is something else begins anew.
	whole := func(base, digest string, sampled bool) {
		i.Choose(corrective.Choice{Kind: corrective.CorrectiveRelease, Base: base, Sampled: sampled, Plan: digest, Steps: []corrective.Doing{{ID: "1-a", State: corrective.Todo}}}, "1.2.0", "ana", night)
	}
	whole("1.2.0", "sha256-3", true)
	if note := i.Step(corrective.WalkPlan).Note; note != "corrective-release, by a sample of the stores" {
		t.Error(note)
	}
	i.Mark(corrective.WalkGenerate, corrective.Done, "ana", night, "")
	i.MarkStep("1-a", corrective.Done, "ana", night, "")
	whole("1.2.0", "sha256-4", false)
	if i.Step(corrective.WalkGenerate).State != corrective.Done || i.Doing("1-a").State != corrective.Done || i.Remedy.Sampled || i.Remedy.Plan != "sha256-4" {
		t.Errorf("the whole plan began anew: %+v", i.Remedy)
	}
	whole("1.2.0", "sha256-5", true)
	i.Mark(corrective.WalkGenerate, corrective.Done, "ana", night, "")
	whole("1.3.0", "sha256-6", false)
	if i.Step(corrective.WalkGenerate).State != corrective.Todo {
		t.Error("a plan on another release kept what was done")
	}
}

// TestEveryRemedyIsAPlan: each kind has steps that a plan takes, and commands for those that headgate does.
func TestEveryRemedyIsAPlan(t *testing.T) {
	f := disaster()
	f.Emitters = append(f.Emitters, corrective.Emitter{Event: "v3.A", Flag: "event.A", Rollout: "a-v3"})
	for _, kind := range corrective.RemedyKinds() {
		l := corrective.Layout{Facts: f, Kind: kind, Version: "1.3.1", Migration: "undo", Stores: []livestore.StoreID{"b", "a"}}
		in := planner.RollbackInput{
			App: "app", Schema: "main", Environment: "prod", From: f.Bad, To: f.Base(kind), Steps: l.Steps(), Stores: l.Stores, Now: night,
			Answer: planner.Answer{Incident: "i", Selection: "s", Remedy: string(kind)},
		}
		if kind.Destructive() {
			in.Answer.Loses = []string{"all"}
			if _, err := planner.BuildRollback(in); err == nil {
				t.Errorf("%s: a loss without a reason is planned", kind)
			}
			in.Answer.LossReason = "nobody uses it"
		}
		p, err := planner.BuildRollback(in)
		if err != nil {
			t.Fatal(err)
		}
		again, err := planner.DecodePlan(p.JSON())
		if err != nil || again.Digest != p.Digest || len(p.Intent.Steps) == 0 {
			t.Errorf("%s: %v", kind, err)
		}
		rolledOut := false
		for _, s := range p.Intent.Steps {
			commands := corrective.Commands(p, s, corrective.Circumstances{PlanFile: "plan.json", Dir: "work", Reason: "r"})
			rolledOut = rolledOut || s.Rollout != ""
			if s.Kind.Executable() && len(commands) == 0 && s.Kind != planner.StopEmission {
				t.Errorf("%s: step %s has no command", kind, s.ID)
			}
			if !s.Kind.Executable() && len(commands) > 0 {
				t.Errorf("%s: step %s is for people, and has %q", kind, s.ID, commands)
			}
			if s.Gate == "" || s.Action == "" || s.Verification == "" || s.Undo == "" {
				t.Errorf("%s: step %s leaves something unsaid", kind, s.ID)
			}
		}
		if !rolledOut && kind != corrective.Redeploy {
			t.Errorf("%s: the rollout goes on", kind)
		}
		book := corrective.Runbook{Plan: p, Remedy: find(t, corrective.Decide(f), kind), Shown: func(c corrective.Command) string { return strings.Join(c, " ") }, Now: night}
		for _, part := range []string{"## Who is affected", "## Steps", "**Expect:**", "**Stop when:**", "## A message to users"} {
			if !strings.Contains(book.Markdown(), part) {
				t.Errorf("%s: the runbook has no %q", kind, part)
			}
		}
	}
}

// TestDraft: a draft is added once, behind what is there, and is a file that can be read.
func TestDraft(t *testing.T) {
	d := corrective.Draft{Schema: "main", Selection: corrective.Selection{Release: "1.3.0", Where: `args ->> '$."list"' = 'x'`, After: night}, Reason: "lists: lost", Events: []string{"v1.A", "v2.B"}}
	text, added, err := d.AddTo(t.Context(), "main.yaml", nil)
	if err != nil || !added {
		t.Fatal(added, err)
	}
	c, err := corrective.ParseCorrections(t.Context(), "main.yaml", []byte(text))
	if err != nil || len(c.List) != 2 || !c.List[0].Skip || !c.List[0].Match.IsPinned() {
		t.Fatalf("%v\n%s", err, text)
	}
	if again, added, err := d.AddTo(t.Context(), "main.yaml", []byte(text)); err != nil || added || again != text {
		t.Errorf("added %v again, %v", added, err)
	}
	d.Selection.Where, d.Stamped, d.Events = "", true, []string{"v1.A"}
	more, added, err := d.AddTo(t.Context(), "main.yaml", []byte(text))
	if err != nil || !added || !strings.HasPrefix(more, text) {
		t.Fatal(added, err)
	}
	c, err = corrective.ParseCorrections(t.Context(), "main.yaml", []byte(more))
	if err != nil || len(c.List) != 3 || c.List[2].Name != "skip-1-3-0-v1-a-2" || c.List[2].Match.Release != "1.3.0" {
		t.Errorf("%v %+v", err, c.List)
	}
	if _, _, err := d.AddTo(t.Context(), "main.yaml", []byte("version: 1\ncorrections: []\nschema: main\n")); errs.CodeOf(err) != errs.Refused {
		t.Errorf("a list that can't be added to: %v", err)
	}
}
