package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"headgate/internal/livestore"
	"headgate/migrations"
)

func (r *runner) writePreview(w io.Writer, p preview) error {
	for i, m := range p.Migrations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s, under release %s%s\n", r.app.stdout.paint(strong, m.Migration), p.Environment, m.Release, comesFirst(m))
		if len(m.Stores) > 0 { // else they all failed, which is said below
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

func comesFirst(m previewOf) string {
	if m.First {
		return ": it comes first, is not done, and is previewed with what comes after it"
	}
	return ""
}

func (r *runner) previewRows(m previewOf) [][]string {
	rows := [][]string{{"STORE", "DUE", "DONE", "BATCHES", "BYTES", "TIME", "LOG", "OUTCOME"}}
	for _, s := range m.Stores {
		outcome := string(s.Outcome)
		if s.Outcome == migrations.Done && s.Events > 0 {
			outcome = "events due"
		} else if s.MarkerDue {
			outcome = "marker due"
		}
		for _, assert := range s.Asserts {
			if !assert.True {
				outcome = "an assert fails"
			}
		}
		rows = append(rows, []string{
			string(s.Store), fmt.Sprint(s.Events), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes), bytesText(s.Bytes),
			s.Paced.String(), fmt.Sprintf("%d events, to e%d", s.Read, s.Head), outcome,
		})
	}
	return rows
}

// writeEffects says what the events do to the rows, over all stores, and in each with samples.
func (r *runner) writeEffects(w io.Writer, m previewOf) {
	type effect struct{ inserted, updated, deleted int64 }
	var names []string
	sums := map[string]*effect{}
	for _, s := range m.Stores {
		for _, t := range s.Tables {
			if sums[t.Name] == nil {
				sums[t.Name] = &effect{}
				names = append(names, t.Name)
			}
			sums[t.Name].inserted += t.OnlyB
			sums[t.Name].updated += t.Changed
			sums[t.Name].deleted += t.OnlyA
		}
	}
	for _, n := range names {
		e := sums[n]
		fmt.Fprintf(w, "  %s: %d inserted, %d updated, %d deleted\n", n, e.inserted, e.updated, e.deleted)
	}
	due := slices.ContainsFunc(m.Stores, func(s migrations.Report) bool { return s.Events > 0 && s.Pushes > 0 }) // the states were compared
	if due && len(names) == 0 {
		fmt.Fprintf(w, "  no row changes in a state that %s makes anew: the events are for clients that skipped earlier ones\n", m.Release)
	}
	asserts, news := map[string]int{}, map[string]bool{}
	for _, s := range m.Stores {
		for _, a := range s.Asserts {
			if !a.True {
				asserts[a.Label]++
			}
			if s.Events > 0 && !a.Before {
				news[a.Label] = true
			}
		}
	}
	for _, s := range m.Stores {
		if len(s.Asserts) == 0 {
			continue
		}
		for _, a := range s.Asserts {
			if n := asserts[a.Label]; n > 0 {
				fmt.Fprintf(w, "  %s afterwards in %s: %s\n", r.app.stdout.paint(bad, "false"), count(n, "store"), a.Label)
			} else if due && !news[a.Label] {
				fmt.Fprintf(w, "  holds afterwards, as it does before: %s\n", a.Label)
			} else {
				fmt.Fprintf(w, "  holds afterwards: %s\n", a.Label)
			}
		}
		break
	}
	for _, s := range m.Stores {
		for _, t := range s.Tables {
			if len(t.Rows) > 0 {
				fmt.Fprintf(w, "\nstore %s (a: as it is, b: afterwards)", s.Store)
				r.app.writeRows(w, t)
			}
		}
	}
}

// writeReaders says what the releases alive do with the events.
func writeReaders(w io.Writer, m previewOf) {
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

// receiving is in how many stores that is.
func (p preview) receiving() int {
	in := map[livestore.StoreID]bool{}
	for _, m := range p.Migrations {
		for _, s := range m.Stores {
			if s.Events > 0 || s.MarkerDue {
				in[s.Store] = true
			}
		}
	}
	return len(in)
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
		fmt.Fprintf(&b, "%s would be committed in %d of %s", p.what(), p.receiving(), count(p.Sampled, "store"))
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
