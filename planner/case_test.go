package planner_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"headgate/internal/livestore/schema"
	"headgate/planner"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

// today is the time of every case.
var today = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestCases runs each case both ways: old to new, then the same shapes exchanged. A case is a txtar with old.json and
// new.json (releases; what they leave out is a healthy default), optionally facts.json, history.json (releases before
// old) and suppressions.json, and want.txt.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runCase(t, archive)
			if *update {
				setPart(archive, "want.txt", got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(part(archive, "want.txt")), got); diff != "" {
				t.Errorf("-want +got (go test ./planner -update rewrites it):\n%s", diff)
			}
		})
	}
}

// TestEveryCodeHasCases fails for a code that no case hits, or that no case of its own comes near without hitting.
func TestEveryCodeHasCases(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	hit, miss := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		forward, _, _ := strings.Cut(string(part(archive, "want.txt")), "\nexchanged ")
		upgrade, _, _ := strings.Cut(forward, "\nrollback ")
		code, kind, _ := strings.Cut(strings.TrimSuffix(name, ".txtar"), "-")
		found := strings.Contains(forward, " "+code+" ")
		if strings.HasPrefix(kind, "miss") && strings.Contains(upgrade, " "+code+" ") {
			t.Errorf("%s: a near miss hits %s", name, code)
		}
		if strings.HasPrefix(kind, "hit") && !found && code != "TY108" { // TY108 is silent: its change is listed, no finding made
			t.Errorf("%s: does not hit %s", name, code)
		}
		hit[code] = hit[code] || strings.HasPrefix(kind, "hit")
		miss[code] = miss[code] || strings.HasPrefix(kind, "miss")
	}
	for _, r := range planner.Rules() {
		if r.By != "" { // found by comparing something else than releases
			continue
		}
		if !hit[string(r.Code)] {
			t.Errorf("no case %s-hit*.txtar", r.Code)
		}
		if !miss[string(r.Code)] {
			t.Errorf("no case %s-miss*.txtar", r.Code)
		}
	}
}

func runCase(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	old, now := loadRelease(t, part(archive, "old.json"), "1.0.0"), loadRelease(t, part(archive, "new.json"), "1.1.0")
	var history []*schema.Release
	var raw []json.RawMessage
	decode(t, part(archive, "history.json"), &raw)
	for i, r := range raw {
		history = append(history, loadRelease(t, r, fmt.Sprintf("0.%d.0", i+1)))
	}
	var facts planner.Facts
	facts.Adapters = []string{"node"}
	decode(t, part(archive, "facts.json"), &facts)
	var suppressions []planner.Suppression
	decode(t, part(archive, "suppressions.json"), &suppressions)

	var b strings.Builder
	fmt.Fprintf(&b, "changes\n")
	for _, c := range planner.Diff(old, now, history) {
		fmt.Fprintf(&b, "  %s\n", strings.Join(strings.Fields(fmt.Sprintf("%s: %s %s %s (%s)", c.Kind, c.Event, c.Table, c.Path, c.Note)), " "))
	}
	check := func(title string, from, to *schema.Release, p planner.Profile) string {
		r := planner.Check(planner.Input{
			From: []*schema.Release{from}, To: to, History: append(history[:len(history):len(history)], from, to),
			Profile: p, Facts: facts, Suppressions: suppressions, Now: today,
		})
		return title + "\n" + printFindings(r.Findings)
	}
	forward := check("findings", old, now, planner.ProfileFleet)
	b.WriteString(forward)
	if rollback := check("findings", old, now, planner.ProfileRollback); rollback != forward {
		b.WriteString("rollback " + rollback)
	}
	exOld, exNow := *now, *old
	exOld.Version, exNow.Version = old.Version, now.Version
	b.WriteString(check("exchanged findings", &exOld, &exNow, planner.ProfileFleet))
	return b.String()
}

func printFindings(findings []planner.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "  %s %s %s %s: %s\n", f.Severity, f.Direction, f.Code, f.Place(), f.Message)
		if f.Detail != "" {
			fmt.Fprintf(&b, "    %s\n", f.Detail)
		}
		if f.Suppressed != nil {
			fmt.Fprintf(&b, "    suppressed by %s: %s\n", f.Suppressed.Owner, f.Suppressed.Reason)
		}
		if f.Lowered != "" {
			fmt.Fprintf(&b, "    lowered from %s\n", f.Lowered)
		}
	}
	return b.String()
}

var versioned = regexp.MustCompile(`^v(\d+)\.(.+)$`)

// loadRelease reads a release whose left-out parts are those of a healthy one.
func loadRelease(t *testing.T, data []byte, version string) *schema.Release {
	t.Helper()
	r := &schema.Release{
		FormatVersion: schema.FormatVersion, App: "todo", Schema: "main", Version: version,
		LiveStore: schema.LiveStore{Version: "0.4.0", Effect: "3.21.2", StorageFormat: 6, Verified: true},
		StateHash: "1000", UnknownEventHandling: "callback", UnknownEventHandlingExplicit: true,
		Migrations: schema.Migrations{Strategy: "auto", AtomicRebuild: true, CacheSpillOff: true},
	}
	decode(t, data, r)
	for i := range r.Events {
		e := &r.Events[i]
		e.Family = e.Name
		if m := versioned.FindStringSubmatch(e.Name); m != nil {
			e.Family = m[2]
			e.FamilyVersion, _ = strconv.Atoi(m[1])
		}
		if e.Args == nil {
			e.Args = &schema.Type{Kind: schema.Struct}
		}
	}
	return r
}

func decode(t *testing.T, data []byte, v any) {
	t.Helper()
	if len(data) == 0 {
		return
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
}

func part(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setPart(a *txtar.Archive, name, text string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(text)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(text)})
}
