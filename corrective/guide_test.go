package corrective_test

import (
	"encoding/json"
	"strings"
	"testing"

	"headgate/corrective"
	"headgate/internal/errs"
)

// TestGuides holds the table against what each guide owes its reader.
func TestGuides(t *testing.T) {
	for _, g := range corrective.Guides() {
		t.Run(g.Adapter, func(t *testing.T) {
			if g.LiveStore != corrective.GuideVersion || len(g.Places) < 3 || len(g.Notes) == 0 {
				t.Errorf("%+v", g)
			}
			if len(g.Ways) != 2 || g.Ways[0].Kind != corrective.StateOnly || g.Ways[1].Kind != corrective.FullReset {
				t.Fatalf("the ways are not the least destructive first: %+v", g.Ways)
			}
			if g.Ways[0].Loses != nil || len(g.Ways[1].Loses) == 0 {
				t.Error("what is lost is not said")
			}
			for _, w := range g.Ways {
				if len(w.Steps) == 0 || len(w.Keeps) == 0 || len(w.Check) == 0 || w.Proof != corrective.ByTest && w.Proof != corrective.ByReading {
					t.Errorf("%+v", w)
				}
				for _, s := range w.Steps {
					if w.Kind == corrective.StateOnly && strings.Contains(s.Run, "eventlog") {
						t.Errorf("%q touches the log", s.Run)
					}
				}
			}
			text, err := json.Marshal(g.For("team-7", "/data/"))
			if err != nil || strings.Contains(string(text), "STORE") || strings.Contains(string(text), "BASE") || strings.Contains(string(text), "data//team") {
				t.Errorf("%v: something is not filled in: %s", err, text)
			}
		})
	}
	if g, err := corrective.GuideFor("@livestore/adapter-node"); err != nil || g.Adapter != "node" {
		t.Errorf("%+v, %v", g, err)
	}
	if _, err := corrective.GuideFor("deno"); errs.CodeOf(err) != errs.Invalid || !strings.Contains(errs.As(err).Hint, "tauri") {
		t.Error(err)
	}
}
