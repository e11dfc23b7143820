package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/livestore/replay/state"
)

// namesShown is how many event names, writers and poison events a report lists.
const namesShown = 10

func (a *app) writeAssessment(w io.Writer, r assessment) error {
	fmt.Fprintf(w, "%s on %s\n", a.stdout.paint(strong, r.Selection), r.Environment)
	if r.Hit == 0 {
		fmt.Fprintf(w, "  none in %s\n%s%s", count(r.Stores, "store"), sampleLine(r), a.failedText(r.Failed))
		for _, n := range r.NextActions {
			fmt.Fprintf(w, "next: %s\n", n)
		}
		return nil
	}
	fmt.Fprintf(w, "  %s in %d of %s; %s\n%s\n", counted(r.Events.Total(), "event"), r.Hit, count(r.Stores, "store"), splitText(r.Events), sampleLine(r))
	if err := table(w, damageRows(r)); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", assessmentNotes(r))
	if rows := effectRows(r); len(rows) > 1 {
		fmt.Fprintf(w, "\n%s\n", effectTitle(r))
		if err := table(w, rows); err != nil {
			return err
		}
	}
	for _, d := range r.Damages {
		if d.Effect == nil {
			continue
		}
		for _, t := range d.Effect.Tables {
			if len(t.Rows) > 0 {
				fmt.Fprintf(w, "\nstore %s (a: as it is, b: as it should be)", d.Store)
				a.writeRows(w, t)
			}
		}
	}
	fmt.Fprint(w, a.failedText(r.Failed))
	for _, n := range r.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// sampleLine says what a sample says of all stores; nothing where it is none.
func sampleLine(r assessment) string {
	if r.Estimate == nil {
		return ""
	}
	return "  a sample: " + estimateText(*r.Estimate) + "\n"
}

func (a *app) failedText(list []operate.FailedStore) string {
	var b strings.Builder
	for i, f := range list {
		if i == longTable {
			fmt.Fprintf(&b, "%s %s more: --format json lists them all\n", a.stdout.paint(bad, "failed"), count(len(list)-i, "store"))
			break
		}
		fmt.Fprintf(&b, "%s %s: %s\n", a.stdout.paint(bad, "failed"), f.Store, f.Error)
		if f.Hint != "" {
			fmt.Fprintf(&b, "  fix: %s\n", f.Hint)
		}
		for _, next := range f.Next {
			fmt.Fprintf(&b, "  next: %s\n", next)
		}
	}
	return b.String()
}

func splitText(s corrective.Split) string {
	return fmt.Sprintf("the writer's release is proven for %d, inferred for %d, unknown for %d", s.Proven, s.Inferred, s.Unknown)
}

func damageRows(r assessment) [][]string {
	rows := [][]string{{"STORE", "EVENTS", "PROVEN", "INFERRED", "UNKNOWN", "PENDING", "FIRST", "LAST", "LOG ENDS", "WRITERS", "THINGS", "LATER EVENTS"}}
	for _, d := range r.Damages[:min(len(r.Damages), longTable)] {
		things := fmt.Sprint(d.Entities)
		if d.Capped {
			things = "over " + things
		}
		later := int64(0)
		for _, c := range d.Dependents {
			later += c.Events
		}
		rows = append(rows, []string{
			string(d.Store), fmt.Sprint(d.Events.Total()), fmt.Sprint(d.Events.Proven), fmt.Sprint(d.Events.Inferred), fmt.Sprint(d.Events.Unknown),
			fmt.Sprint(d.Pending), d.First.String(), d.Last.String(), fmt.Sprintf("e%d", d.Head), fmt.Sprint(len(d.Writers)), things, fmt.Sprint(later),
		})
	}
	return rows
}

// assessmentNotes says what the figures mean, a line each.
func assessmentNotes(r assessment) string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, "  "+fmt.Sprintf(format, args...)) }
	if n := len(r.Damages) - longTable; n > 0 {
		say("and %s with fewer", count(n, "store"))
	}
	say("bad events: %s", countsText(r.Damages, func(d damageReport) []corrective.Count { return d.Names }))
	if later := countsText(r.Damages, func(d damageReport) []corrective.Count { return d.Dependents }); later != "" {
		say("later events about the same things, which an undo must leave right: %s", later)
	}
	if r.Pending > 0 {
		say("%s not sent to a backend yet: a reset of those clients loses what only they have", counted(r.Pending, "bad event"))
	}
	who := ""
	if r.Assumed {
		who = ", which may be alive,"
	}
	for _, rd := range r.Readers {
		switch rd.Verdict {
		case corrective.Breaks:
			say("release %s%s stops syncing at the first of them in %s, and does not start where it rebuilds: do not deploy it again as it is", rd.Release, who, count(rd.Stores, "store"))
		case corrective.Skips:
			say("release %s%s skips them in %s; its clients keep the hole when they upgrade, until the state hash moves", rd.Release, who, count(rd.Stores, "store"))
		}
	}
	if len(r.Readers) > 0 && !slices.ContainsFunc(r.Readers, func(rd readerReport) bool { return rd.Verdict != corrective.Reads }) {
		say("every release that is alive reads them")
	}
	say("clients that took them keep what they made: another release changes nothing there, unless its state hash moves")
	if r.Assumed {
		say("headgate.yaml has no fleet.alive and there is no census: any release that is recorded may be alive")
	}
	for _, d := range r.Damages {
		if d.Effect != nil && d.Effect.Poison != nil {
			say("store %s can't be compared: release %s fails on %s", d.Store, d.Effect.PoisonRelease, d.Effect.Poison)
		}
	}
	return strings.Join(lines, "\n")
}

// countsText sums events by name over all stores.
func countsText(all []damageReport, of func(damageReport) []corrective.Count) string {
	sums := map[string]int64{}
	for _, d := range all {
		for _, c := range of(d) {
			sums[c.Event] += c.Events
		}
	}
	names := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
		if sums[a] != sums[b] {
			return int(sums[b] - sums[a])
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for i, n := range names {
		if i == namesShown {
			parts = append(parts, fmt.Sprintf("and %s more", count(len(names)-i, "name")))
			break
		}
		parts = append(parts, fmt.Sprintf("%d %s", sums[n], n))
	}
	return strings.Join(parts, ", ")
}

func effectTitle(r assessment) string {
	if r.Good != "" {
		return fmt.Sprintf("rows under %s (a) that differ from what %s makes of the same events (b)", r.Release, r.Good)
	}
	return fmt.Sprintf("rows under %s (a) that differ from those without the bad events (b)", r.Release)
}

// effectRows sums what differs by table, over all stores.
func effectRows(r assessment) [][]string {
	var all [][]state.TableDiff
	stores := map[string]int{}
	for _, d := range r.Damages {
		if d.Effect == nil {
			continue
		}
		all = append(all, d.Effect.Tables)
		for _, t := range d.Effect.Tables {
			stores[t.Name]++
		}
	}
	rows := [][]string{{"TABLE", "STORES", "ONLY A", "ONLY B", "CHANGED", "COLUMNS"}}
	for _, s := range sumTables(all) {
		rows = append(rows, []string{s.Name, fmt.Sprint(stores[s.Name]), fmt.Sprint(s.OnlyA), fmt.Sprint(s.OnlyB), fmt.Sprint(s.Changed), columnsText(s.Columns)})
	}
	return rows
}

// sumTables adds up what differs in the tables of several stores, by name.
func sumTables(stores [][]state.TableDiff) []state.TableDiff {
	sums := map[string]*state.TableDiff{}
	for _, tables := range stores {
		for _, t := range tables {
			s := sums[t.Name]
			if s == nil {
				s = &state.TableDiff{Name: t.Name, Columns: map[string]int64{}}
				sums[t.Name] = s
			}
			s.OnlyA, s.OnlyB, s.Changed = s.OnlyA+t.OnlyA, s.OnlyB+t.OnlyB, s.Changed+t.Changed
			for c, n := range t.Columns {
				s.Columns[c] += n
			}
		}
	}
	var out []state.TableDiff
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		out = append(out, *sums[name])
	}
	return out
}

// columnsText lists how often columns differ.
func columnsText(columns map[string]int64) string {
	var parts []string
	for _, c := range slices.Sorted(maps.Keys(columns)) {
		parts = append(parts, fmt.Sprintf("%s (%d)", c, columns[c]))
	}
	return strings.Join(parts, ", ")
}

func writeAssessmentMarkdown(w io.Writer, r assessment) error {
	fmt.Fprintf(w, "### Bad events on %s: %s\n\n", r.Environment, r.Selection)
	if r.Hit == 0 {
		_, err := fmt.Fprintf(w, "None in %s.\n%s", count(r.Stores, "store"), sampleLine(r))
		return err
	}
	if r.Estimate != nil {
		fmt.Fprintf(w, "A sample: %s.\n\n", estimateText(*r.Estimate))
	}
	fmt.Fprintf(w, "%s in %d of %s; %s.\n\n", counted(r.Events.Total(), "event"), r.Hit, count(r.Stores, "store"), splitText(r.Events))
	markdownTable(w, damageRows(r))
	for line := range strings.Lines(assessmentNotes(r)) {
		fmt.Fprintf(w, "- %s\n", strings.TrimSpace(line))
	}
	if rows := effectRows(r); len(rows) > 1 {
		fmt.Fprintf(w, "\n%s:\n\n", effectTitle(r))
		markdownTable(w, rows)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(w, "- **failed** %s: %s\n", f.Store, f.Error)
	}
	return nil
}

func markdownTable(w io.Writer, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
	fmt.Fprintln(w)
}
