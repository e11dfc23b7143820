package planner_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func args(names ...string) *schema.Type {
	s := &schema.Type{Kind: schema.Struct}
	for _, n := range names {
		s.Fields = append(s.Fields, schema.Field{Name: n, Type: &schema.Type{Kind: schema.String}, Optional: strings.HasPrefix(n, "o")})
	}
	return s
}

func event(name, family string, version int, a *schema.Type) schema.Event {
	return schema.Event{Name: name, Family: family, FamilyVersion: version, Args: a, Source: schema.Source{Files: []string{"src/events.ts"}}}
}

func writes(event, table string) schema.Materializer {
	return schema.Materializer{Event: event, Complete: true, Operations: []schema.Operation{{SQL: "INSERT", Tables: []string{table}, Kind: "insert", Conflict: true}}}
}

// todo is the shape of the example's releases: 1.1.0 moves the hash, 1.2.0 falls into the trap of ST103.
func todo(version string) *schema.Release {
	r := releaseWith(version, nil)
	todos := schema.Table{Name: "todos", Columns: []schema.Column{{Name: "id", Type: "text", PrimaryKey: true}}}
	r.Events = []schema.Event{event("v1.TodoCreated", "TodoCreated", 1, args("id"))}
	r.Materializers = []schema.Materializer{writes("v1.TodoCreated", "todos")}
	if version != "1.0.0" {
		r.Events = append(r.Events, event("v2.TodoCreated", "TodoCreated", 2, args("id", "priority")))
		r.Materializers = append(r.Materializers, writes("v2.TodoCreated", "todos"))
		todos.Columns = append(todos.Columns, schema.Column{Name: "priority", Type: "integer"})
		r.StateHash = "2"
	}
	if version == "1.2.0" || version == "1.2.1" {
		r.Events = append(r.Events, event("v1.TodoArchived", "TodoArchived", 1, args("id")))
		r.Materializers = append(r.Materializers, writes("v1.TodoArchived", "todos"))
	}
	r.Tables = []schema.Table{todos}
	if version == "1.2.1" {
		r.Tables = append(r.Tables, schema.Table{Name: "headgate_epoch_1", Columns: []schema.Column{{Name: "epoch", Type: "integer"}}})
		r.StateHash = "3"
	}
	return r
}

func logs() []planner.LogFacts {
	var out []planner.LogFacts
	for i, n := range []int64{100, 1000, 10000, 48211} {
		out = append(out, planner.LogFacts{
			Store: livestore.StoreID("store-" + string(rune('a'+i))), Head: livestore.SeqNum(n), Bytes: n * 300, StateBytes: n * 200, Pending: int64(i),
			Events: map[string]int64{"v1.TodoCreated": n - 18, "v1.TodoArchived": 18},
		})
	}
	return out
}

func planInput(from, to string, mutate ...func(*planner.PlanInput)) planner.PlanInput {
	in := planner.PlanInput{
		Input: planner.Input{
			From: []*schema.Release{todo(from)}, To: todo(to), History: []*schema.Release{todo("1.0.0"), todo("1.1.0"), todo(from), todo(to)},
			Profile: planner.ProfileFleet, Now: today, Facts: planner.Facts{Adapters: []string{"node", "web"}, Logs: logs()},
		},
		Environment: "local", Stores: []livestore.StoreID{"store-b", "store-a", "store-c", "store-d"}, Rollback: schema.CompareVersions(to, from) < 0,
	}
	in.To.Adapters = []schema.AdapterCall{{Call: "makePersistedAdapter", File: "src/main.ts", Line: 4, Options: map[string]string{"experimental.disableFastPath": "true"}}}
	for _, m := range mutate {
		m(&in)
	}
	return in
}

// TestPlanGoldens holds the text, the markdown and the JSON of whole plans.
func TestPlanGoldens(t *testing.T) {
	cases := map[string]planner.PlanInput{
		"upgrade-1.0.0-1.1.0": planInput("1.0.0", "1.1.0"),
		"blocked-1.1.0-1.2.0": planInput("1.1.0", "1.2.0"),
		"epoch-1.1.0-1.2.1":   planInput("1.1.0", "1.2.1"),
		"rollback-1.2.1-1.1.0": planInput("1.2.1", "1.1.0", func(in *planner.PlanInput) {
			in.Profile = planner.ProfileRollback
		}),
		"first-1.0.0": planInput("1.0.0", "1.0.0", func(in *planner.PlanInput) {
			in.From, in.Facts.Logs, in.Stores = nil, nil, nil
		}),
	}
	for name, in := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := planner.BuildPlan(in)
			if err != nil {
				t.Fatal(err)
			}
			var text, md bytes.Buffer
			if err := errors.Join(p.WriteText(&text, nil), p.WriteMarkdown(&md)); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("plan", name+".txt"), text.Bytes())
			golden(t, filepath.Join("plan", name+".md"), md.Bytes())
			golden(t, filepath.Join("plan", name+".json"), p.JSON())
			back, err := planner.DecodePlan(p.JSON())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p.JSON(), back.JSON()); diff != "" {
				t.Errorf("round trip:\n%s", diff)
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got (go test ./planner -update rewrites it):\n%s", path, diff)
	}
}

func TestDigestCoversIntentNotEvidence(t *testing.T) {
	base := build(t, planInput("1.0.0", "1.1.0"))
	later := build(t, planInput("1.0.0", "1.1.0", func(in *planner.PlanInput) {
		in.Now = today.Add(48 * time.Hour)
		in.Facts.Logs = append(in.Facts.Logs, planner.LogFacts{Store: "store-d", Head: 999, Events: map[string]int64{"v1.TodoCreated": 999}})
		in.Facts.Live = []planner.LiveRelease{{Version: "1.0.0", Share: 0.4}}
	}))
	if base.Digest != later.Digest {
		t.Errorf("heads and counts changed the digest")
	}
	if bytes.Equal(base.JSON(), later.JSON()) {
		t.Errorf("the evidence did not change")
	}
	for name, mutate := range map[string]func(*planner.PlanInput){
		"stores":  func(in *planner.PlanInput) { in.Stores = in.Stores[1:] },
		"release": func(in *planner.PlanInput) { in.To.Events[1].SchemaHash = "7" },
		"policy":  func(in *planner.PlanInput) { in.FailOn = planner.Warning },
		"horizon": func(in *planner.PlanInput) { in.Horizon = 30 * 24 * time.Hour },
		"allow": func(in *planner.PlanInput) {
			in.Allow = []planner.Allowance{{Code: "ST103", Reason: "the canary's events are compensated"}}
		},
	} {
		if build(t, planInput("1.0.0", "1.1.0", mutate)).Digest == base.Digest {
			t.Errorf("%s does not change the digest", name)
		}
	}
}

func build(t *testing.T, in planner.PlanInput) *planner.Plan {
	t.Helper()
	p, err := planner.BuildPlan(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAllowNeedsAReasonAndUnblocks(t *testing.T) {
	allow := func(a planner.Allowance) func(*planner.PlanInput) {
		return func(in *planner.PlanInput) { in.Allow = []planner.Allowance{a} }
	}
	if p := build(t, planInput("1.1.0", "1.2.0")); !p.Blocked() {
		t.Error("ST103 does not block")
	}
	if p := build(t, planInput("1.1.0", "1.2.0", allow(planner.Allowance{Code: "ST103", Reason: "compensated"}))); p.Blocked() {
		t.Errorf("still blocked by %v", p.Evidence.Blocking)
	}
	for _, a := range []planner.Allowance{{Code: "ST103"}, {Code: "XX1", Reason: "r"}} {
		if _, err := planner.BuildPlan(planInput("1.1.0", "1.2.0", allow(a))); errs.As(err) == nil {
			t.Errorf("%v: %v", a, err)
		}
	}
}

func TestHealthyGatedReleasePasses(t *testing.T) {
	in := planInput("1.1.0", "1.2.0", func(in *planner.PlanInput) {
		in.Facts.Gates = []planner.Gate{{Event: "v1.TodoArchived", By: "plan"}}
		in.Facts.Logs = nil
	})
	if bad := planner.Check(in.Input).Failing(planner.Error); len(bad) > 0 {
		t.Errorf("errors in a healthy release: %v", bad)
	}
}

// TestWorkingTreeIsNoRollback: the working tree's version stands before every release, and is not one.
func TestWorkingTreeIsNoRollback(t *testing.T) {
	tree := todo("1.1.0")
	tree.Version = "0.0.0-working-tree"
	r := planner.Check(planner.Input{From: []*schema.Release{todo("1.0.0")}, To: tree, History: []*schema.Release{todo("1.0.0")}, Profile: planner.ProfileFleet, Now: today})
	for _, f := range r.Findings {
		if f.Code == "ST107" {
			t.Errorf("%s", f.Message)
		}
	}
}

func TestSeveralReleasesAlive(t *testing.T) {
	in := planInput("1.1.0", "1.2.1")
	in.From = []*schema.Release{todo("1.1.0"), todo("1.0.0")}
	r := planner.Check(in.Input)
	var merged bool
	for _, f := range r.Findings {
		if f.Code == "EV101" && f.Event == "v1.TodoArchived" {
			merged = cmp.Equal(f.From, []string{"1.0.0", "1.1.0"})
		}
	}
	if !merged {
		t.Errorf("one finding against both releases is not told once: %+v", r.Findings)
	}
	if _, err := planner.BuildPlan(planner.PlanInput{Input: in.Input}); err == nil {
		t.Error("a plan from two releases")
	}
}

func TestForecast(t *testing.T) {
	f := planner.NewForecast(todo("1.0.0"), todo("1.1.0"), planner.Facts{Adapters: []string{"node"}, Logs: logs()})
	if !f.Rebuild || f.Fleet.Events != (planner.Quantiles{P50: 1000, P95: 48211, Max: 48211}) {
		t.Errorf("%+v", f.Fleet)
	}
	s := f.Stores[0]
	if s.Events != 100 || s.Seconds.Low > s.Seconds.High || s.PeakBytes != 100*(300+200+200) {
		t.Errorf("%+v", s)
	}
	web := planner.NewForecast(todo("1.0.0"), todo("1.1.0"), planner.Facts{Adapters: []string{"web"}, Logs: logs()})
	if web.Stores[0].PeakBytes != 100*(300+200) {
		t.Errorf("the web adapter removes the old state first: %+v", web.Stores[0])
	}
	plain := todo("1.1.0")
	plain.Migrations.AtomicRebuild = false
	if slow := planner.NewForecast(todo("1.0.0"), plain, planner.Facts{Adapters: []string{"node"}, Logs: logs()}); slow.Fleet.Seconds.Max <= f.Fleet.Seconds.Max {
		t.Errorf("a rebuild without the hooks is not slower: %d, %d", slow.Fleet.Seconds.Max, f.Fleet.Seconds.Max)
	}
	if none := planner.NewForecast(todo("1.1.0"), todo("1.2.0"), planner.Facts{Logs: logs()}); none.Rebuild || none.Fleet.Seconds.Max != 0 {
		t.Errorf("%+v", none)
	}
}

func TestDecodePlanRefuses(t *testing.T) {
	good := string(build(t, planInput("1.0.0", "1.1.0")).JSON())
	for name, c := range map[string]struct {
		data string
		code errs.Code
	}{
		"empty":           {"", errs.Invalid},
		"cut off":         {good[:len(good)/2], errs.Invalid},
		"unknown field":   {strings.Replace(good, `"formatVersion"`, `"extra": 1, "formatVersion"`, 1), errs.Invalid},
		"other format":    {strings.Replace(good, `"formatVersion": 1`, `"formatVersion": 2`, 1), errs.Invalid},
		"edited intent":   {strings.Replace(good, `"store-b"`, `"store-x"`, 1), errs.Stale},
		"trailing":        {good + "{}", errs.Invalid},
		"other case":      {strings.Replace(good, `"digest"`, `"Digest"`, 1), errs.Invalid},
		"repeated field":  {strings.Replace(good, `"formatVersion": 1`, `"formatVersion": 1, "formatVersion": 1`, 1), errs.Invalid},
		"not an object":   {"[]", errs.Invalid},
		"edited evidence": {strings.Replace(good, `"madeAt": "2026-03-01T12:00:00Z"`, `"madeAt": "2026-03-01T12:00:00+00:00"`, 1), errs.Invalid},
	} {
		if c.data == good {
			t.Fatalf("%s: the case changes nothing", name)
		}
		_, err := planner.DecodePlan([]byte(c.data))
		if errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(good), "", "\t"); err != nil {
		t.Fatal(err)
	}
	if _, err := planner.DecodePlan(spaced.Bytes()); err != nil {
		t.Errorf("other white space: %v", err)
	}
}

func FuzzPlanJSON(f *testing.F) {
	files, err := filepath.Glob("testdata/plan/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("the corpus is empty: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(bytes.Replace(data, []byte(`"steps"`), []byte(`"stepz"`), 1))
		f.Add(bytes.Replace(data, []byte(`"1.1.0"`), []byte(`"1.1"`), 1))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := planner.DecodePlan(data)
		if err != nil {
			if errs.As(err) == nil {
				t.Fatalf("not an error that someone can act on: %v", err)
			}
			return
		}
		again, err := planner.DecodePlan(p.JSON())
		if err != nil || !bytes.Equal(p.JSON(), again.JSON()) {
			t.Fatalf("no round trip: %v", err)
		}
		var given bytes.Buffer
		if err := json.Compact(&given, data); err != nil || again.Digest != p.Digest {
			t.Fatalf("accepted what is no JSON: %v", err)
		}
	})
}
