package doctor

import (
	"fmt"

	"headgate/internal/livestore/eventlog"
	"headgate/planner"
)

// maxEvidence is how many lines of evidence one finding has.
const maxEvidence = 5

// order reports what is wrong with a log's numbering, a finding per kind.
func (x *Examiner) order(p *Patient, seen sight, head eventlog.Head) []Finding {
	var out []Finding
	for _, k := range []struct {
		kind     eventlog.ProblemKind
		severity planner.Severity
		text     string
	}{
		{eventlog.Unreadable, planner.Error, "events can't be read"},
		{eventlog.Duplicate, planner.Error, "events have the number of another one"},
		{eventlog.OutOfOrder, planner.Error, "events stand before others with lower numbers"},
		{eventlog.Gap, planner.Warning, "numbers are missing"},
		{eventlog.BrokenParent, planner.Warning, "events name a parent that is not the event before them"},
	} {
		n := seen.ProblemCounts[k.kind]
		if n == 0 {
			continue
		}
		f := Finding{
			Check: Order, Severity: k.severity, Text: fmt.Sprintf("%s: %s, %d in all", k.kind, k.text, n), Next: "headgate log stats " + p.Ref,
			Repair: "LiveStore's clients go past it. Nothing puts a log right in place: where events are missing, compare it with a backup, or with a client's (--client-dir)",
		}
		if k.severity == planner.Error {
			f.Repair = "Nothing puts a log right in place. Export what can be read, and ask what wrote it: only a writer that is no LiveStore client numbers so"
		}
		for _, problem := range seen.Problems {
			if problem.Kind == k.kind && len(f.Evidence) < maxEvidence {
				f.Evidence = append(f.Evidence, problem.String())
			}
		}
		out = append(out, f)
	}
	if p.Client != nil && head.Confirmed > head.Last.Global {
		out = append(out, Finding{
			Check: HeadBeyondLog, Severity: planner.Error, Where: p.Client.Path(),
			Text: fmt.Sprintf("the client took e%d for confirmed, and its log ends at %s: it does not boot", head.Confirmed, head.Last),
			Evidence: []string{
				"LiveStore writes the confirmed head before the events (livestore#409, #1532): a kill in between leaves this",
			},
			Repair: fmt.Sprintf("While the app is stopped, set the head back to e%d: the client pulls what is missing", head.Last.Global),
			Next:   fmt.Sprintf("sqlite3 %s 'UPDATE __livestore_sync_status SET head = %d'", Argument(p.Client.Path()), head.Last.Global),
		})
	}
	return out
}
