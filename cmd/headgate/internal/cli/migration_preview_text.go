package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"headgate/migrations"
)

func (r *runner) writePreview(w io.Writer, p preview) error {
	for i, m := range p.Migrations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s, under release %s%s\n", r.app.stdout.paint(strong, m.Migration), p.Environment, m.Release, comesFirst(m))
		if m.sum.stores > 0 { // else they all failed, which is said below
			if err := table(w, r.previewRows(m)); err != nil {
				return err
			}
		}
		r.writeEffects(w, m)
		writeReaders(w, m)
	}
	fmt.Fprint(w, r.writeFailures(p.Failed))
	_, err := fmt.Fprintf(w, "\n%s\n", r.summary(p))
	for _, n := range p.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return err
}

func comesFirst(m *previewOf) string {
	if m.First {
		return ": it comes first, is not done, and is previewed with what comes after it"
	}
	return ""
}

// previewRows are the stores one by one, or how many come out alike where they are many.
func (r *runner) previewRows(m *previewOf) [][]string {
	if len(r.stores) > longTable {
		rows := [][]string{{"OUTCOME", "STORES", "DUE", "BYTES"}}
		for _, name := range slices.Sorted(maps.Keys(m.sum.outcomes)) {
			o := m.sum.outcomes[name]
			rows = append(rows, []string{name, fmt.Sprint(o.stores), fmt.Sprint(o.events), bytesText(o.bytes)})
		}
		return rows
	}
	rows := [][]string{{"STORE", "DUE", "DONE", "BATCHES", "BYTES", "TIME", "LOG", "OUTCOME"}}
	for _, s := range m.stores.few() {
		rows = append(rows, []string{
			string(s.Store), fmt.Sprint(s.Events), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes), bytesText(s.Bytes),
			s.Paced.String(), fmt.Sprintf("%d events, to e%d", s.Read, s.Head), outcomeOf(s),
		})
	}
	return rows
}

// writeEffects says what the events do to the rows, over all stores, and in each with samples.
func (r *runner) writeEffects(w io.Writer, m *previewOf) {
	for _, n := range slices.Sorted(maps.Keys(m.sum.effects)) {
		e := m.sum.effects[n]
		fmt.Fprintf(w, "  %s: %d inserted, %d updated, %d deleted\n", n, e.inserted, e.updated, e.deleted)
	}
	due := m.sum.compared
	if due && len(m.sum.effects) == 0 {
		fmt.Fprintf(w, "  no row changes in a state that %s makes anew: the events are for clients that skipped earlier ones\n", m.Release)
	}
	for _, label := range m.asserts {
		h := m.sum.asserts[label]
		switch {
		case h == nil: // no store got that far
		case h.failed > 0:
			fmt.Fprintf(w, "  %s afterwards in %s: %s\n", r.app.stdout.paint(bad, "false"), count(h.failed, "store"), label)
		case due && !h.news:
			fmt.Fprintf(w, "  holds afterwards, as it does before: %s\n", label)
		default:
			fmt.Fprintf(w, "  holds afterwards: %s\n", label)
		}
	}
	for _, s := range m.stores.few() {
		for _, t := range s.Tables {
			if len(t.Rows) > 0 {
				fmt.Fprintf(w, "\nstore %s (a: as it is, b: afterwards)", s.Store)
				r.app.writeRows(w, t)
			}
		}
	}
}

// writeReaders says what the releases alive do with the events.
func writeReaders(w io.Writer, m *previewOf) {
	who := "alive"
	if m.Assumed {
		who = "recorded, which may all be alive (headgate.yaml has no fleet.alive)"
	}
	var reading []string
	for _, rd := range m.Readers {
		if rd.Verdict == migrations.Reads {
			reading = append(reading, rd.Release)
			continue
		}
		fmt.Fprintf(w, "  release %s %s them: %s\n", rd.Release, rd.Verdict, rd.Why)
	}
	if len(reading) > 0 {
		fmt.Fprintf(w, "  read by %s, of the releases %s\n", strings.Join(reading, ", "), who)
	}
}

// what says how many events and markers are due.
func (p preview) what() string {
	s := counted(p.Events, "event")
	if p.Markers > 0 {
		s += " and " + counted(p.Markers, "marker")
	}
	return s
}

func (r *runner) summary(p preview) string {
	if n := len(p.Failed); n > 0 && n == p.Sampled {
		return "no store could be previewed: what would be committed is not known"
	}
	done := len(p.Failed) == 0 && p.Events+p.Markers == 0
	var b strings.Builder
	switch {
	case done:
		fmt.Fprintf(&b, "nothing is due in %s%s", count(p.Sampled, "store"), p.Again.held())
	default:
		fmt.Fprintf(&b, "%s would be committed in %d of %s", p.what(), p.receiving, count(p.Sampled, "store"))
		if n := len(p.Failed); n > 0 {
			fmt.Fprintf(&b, "; what is due in %s that failed is not known", count(n, "store"))
		}
		b.WriteString(p.Again.text())
	}
	if p.Sampled < p.Stores {
		fmt.Fprintf(&b, "\na sample of %d of %d stores, spread over their sizes: about %s in all (--all previews every store)", p.Sampled, p.Stores, counted(p.Estimate, "event"))
	}
	if p.PassOfAll != nil {
		fmt.Fprintf(&b, "\nthis preview %s; --all would %s", p.Pass.text("read and replayed"), p.PassOfAll.text("read and replay"))
	}
	if !done {
		fmt.Fprintf(&b, "\n%s\n%s", p.Time.text(), p.Rebuild.text())
	}
	return b.String()
}

func (r *runner) writePreviewMarkdown(w io.Writer, p preview) error {
	for _, m := range p.Migrations {
		fmt.Fprintf(w, "### Migration `%s` on %s, under release %s%s\n\n", m.Migration, p.Environment, m.Release, comesFirst(m))
		for i, row := range r.previewRows(m) {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
			}
		}
		var b strings.Builder
		r.writeEffects(&b, m)
		writeReaders(&b, m)
		fmt.Fprintln(w)
		for line := range strings.Lines(b.String()) {
			fmt.Fprintf(w, "- %s\n", strings.TrimSpace(line))
		}
		fmt.Fprintln(w)
	}
	for _, f := range p.Failed {
		fmt.Fprintf(w, "- **failed** %s: %s\n", f.Store, f.Error)
	}
	_, err := fmt.Fprintf(w, "%s\n", r.summary(p))
	return err
}
