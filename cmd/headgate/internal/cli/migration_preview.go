package cli

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/migrations"
)

func (a *app) migrationPreviewCommand() *cli.Command {
	return &cli.Command{
		Name:      "preview",
		Usage:     "show which events a migration would commit, and what they do to each store",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration preview --env prod\n" +
			"headgate migration preview backfill_priority --env prod --store acme --samples 3\n" +
			"headgate migration preview --env prod --all --format markdown",
		Description: `Reads each store's log, makes its state, runs the migration on it, and commits nothing: the events, batches and bytes,
the rows that change, the asserts afterwards, what the releases alive do with the events, and how long it takes at the
set pace. The states are compared row by row; values show with --reveal only.

Of many stores a sample is previewed, spread over their sizes, and the sum is an estimate; --all takes every store.
Ends with 8 where an assert would not hold, 5 where some of several stores failed.`,
		Flags: migrationFlags(
			&cli.BoolFlag{Name: "all", Usage: "preview every store, however many there are"},
			&cli.IntFlag{Name: "samples", Usage: "show the first `N` changed rows of each table"},
			&cli.BoolFlag{Name: "reveal", Usage: "show values, which may be personal data"},
			formatFlag("markdown"),
		),
		Action: a.migrationPreview,
	}
}

// A preview is what `migration preview` reports.
type preview struct {
	Environment string                `json:"environment"`
	Migrations  []previewOf           `json:"migrations"`
	Failed      []operate.FailedStore `json:"failed"`
	Sampled     int                   `json:"sampled"`  // stores that were previewed
	Stores      int                   `json:"stores"`   // that the migrations are for
	Markers     int64                 `json:"markers"`  // one more event each
	Events      int64                 `json:"events"`   // that would be committed, in the previewed stores
	Estimate    int64                 `json:"estimate"` // and in all
	NextActions []string              `json:"next_actions"`
}

// A previewOf is one migration's part.
type previewOf struct {
	Migration string              `json:"migration"`
	Checksum  string              `json:"checksum"`
	Release   string              `json:"release"`
	Readers   []migrations.Reader `json:"readers"`
	Assumed   bool                `json:"readersAssumed,omitempty"` // nobody said which releases are alive
	Stores    []migrations.Report `json:"stores"`
}

func (a *app) migrationPreview(c *cli.Context) error {
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	all := len(r.stores)
	if !c.Bool("all") && len(c.StringSlice("store")) == 0 {
		if err := r.sample(c.Context); err != nil {
			return err
		}
	}
	p, failed := r.preview(c.Context, state.Options{Rows: c.Int("samples"), Reveal: c.Bool("reveal")})
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	p.Stores = all
	p.Estimate = p.Events
	if p.Sampled > 0 {
		p.Estimate = p.Events * int64(all) / int64(p.Sampled)
	}
	if len(r.stores) == 1 && failed[0] != nil && errs.CodeOf(failed[0]) != errs.Mismatch {
		return failed[0]
	}
	again := "headgate migration preview" + r.named(c)
	if len(p.Failed) == 0 {
		p.NextActions = append(p.NextActions, "headgate migration up"+r.named(c))
	}
	err = a.render(p, func(w io.Writer) error { return r.writePreview(w, p) },
		rendering{"markdown", func(w io.Writer) error { return r.writePreviewMarkdown(w, p) }})
	if err != nil {
		return err
	}
	return r.outcome(failed, again)
}

// named repeats what a command was given, for the next one.
func (r *runner) named(c *cli.Context) string {
	s := ""
	if c.Args().Present() && c.Command.Name != "apply" {
		s += " " + c.Args().First()
	} else if len(r.plans) == 1 && (c.Command.Name == "apply" || c.String("plan") != "") {
		s += " " + r.plans[0].Name
	}
	s += " --env " + r.env.Name
	for _, id := range c.StringSlice("store") {
		s += " --store " + id
	}
	return s
}

const (
	sampleAbove = 50 // stores; fewer are all previewed
	sampleSize  = 25
)

// sample leaves every n-th store by size, the largest among them.
func (r *runner) sample(ctx context.Context) error {
	if len(r.stores) <= sampleAbove {
		return nil
	}
	heads := make([]livestore.SeqNum, len(r.stores))
	at := map[livestore.StoreID]int{}
	for i, s := range r.stores {
		at[s.ID] = i
	}
	r.each(ctx, "asked stores for their size", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			h, err := log.Head(ctx)
			heads[at[t.store.ID]] = h.Last.Global
			return err
		})
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	total := livestore.SeqNum(0)
	for _, h := range heads {
		total += h
	}
	stores := slices.Clone(r.stores)
	slices.SortStableFunc(stores, func(a, b config.Store) int { return int(heads[at[b.ID]] - heads[at[a.ID]]) })
	r.stores = nil
	for i := range sampleSize {
		s := stores[i*len(stores)/sampleSize]
		r.stores = append(r.stores, s) // one that could not be asked fails again, and is reported
	}
	chosen := livestore.SeqNum(0)
	for _, s := range r.stores {
		chosen += heads[at[s.ID]]
	}
	fmt.Fprintf(r.app.stderr, "previewing %d of %d stores, spread over their sizes: %s to read and replay, of %s in all.\n"+
		"  A first preview replays some thousand events a second and processor, and needs the space of %s at a time; --all previews every store.\n",
		len(r.stores), len(stores), counted(int64(chosen), "event"), counted(int64(total), "event"), count(min(r.jobs, len(r.stores)), "state"))
	return nil
}

// preview runs the migrations on copies of the stores' states. A migration whose assert does not hold afterwards has a
// report and an error.
func (r *runner) preview(ctx context.Context, o state.Options) (preview, []error) {
	var err error
	if o.HashKey, err = hex.DecodeString(randomHex(32)); err != nil {
		return preview{}, []error{err}
	}
	reports := make([][]migrations.Report, len(r.stores))
	at := r.places()
	failed := r.each(ctx, "previewed stores", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			for _, p := range t.plans {
				err := r.with(ctx, t, p, log, func(ctx context.Context, j migrations.Job) error {
					report, err := j.Preview(ctx, o)
					if err == nil || errs.CodeOf(err) == errs.Mismatch {
						reports[at[t.store.ID]] = append(reports[at[t.store.ID]], report)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	out := preview{Environment: r.env.Name, Failed: r.failures(failed), Sampled: len(r.stores), NextActions: []string{}}
	for _, p := range r.plans {
		of := previewOf{
			Migration: p.Name, Checksum: p.Checksum, Release: p.target.Release.Version,
			Readers: p.readers, Assumed: p.assumed, Stores: []migrations.Report{},
		}
		for _, list := range reports {
			for _, report := range list {
				if report.Migration == p.Name {
					of.Stores = append(of.Stores, report)
					out.Events += report.Events
					if report.MarkerDue {
						out.Markers++
					}
				}
			}
		}
		out.Migrations = append(out.Migrations, of)
	}
	return out, failed
}

func (r *runner) places() map[livestore.StoreID]int {
	at := map[livestore.StoreID]int{}
	for i, s := range r.stores {
		at[s.ID] = i
	}
	return at
}

func (r *runner) writePreview(w io.Writer, p preview) error {
	for i, m := range p.Migrations {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s, under release %s\n", r.app.stdout.paint(strong, m.Migration), p.Environment, m.Release)
		if err := table(w, r.previewRows(m)); err != nil {
			return err
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

func (r *runner) previewRows(m previewOf) [][]string {
	rows := [][]string{{"STORE", "DUE", "DONE", "BATCHES", "BYTES", "TIME", "LOG", "OUTCOME"}}
	for _, s := range m.Stores {
		outcome := string(s.Outcome)
		if s.Outcome == migrations.Done && s.Events > 0 {
			outcome = "events due"
		}
		for _, assert := range s.Asserts {
			if !assert.True {
				outcome = "an assert fails"
			}
		}
		rows = append(rows, []string{
			string(s.Store), fmt.Sprint(s.Events), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes), bytesText(s.Bytes),
			r.paced(s.Store, s.Pushes).String(), fmt.Sprintf("%d events, to e%d", s.Read, s.Head), outcome,
		})
	}
	return rows
}

// paced is how long the pushes of one store take at its pace, while nobody else writes.
func (r *runner) paced(id livestore.StoreID, pushes int64) time.Duration {
	pace := r.env.Pace
	if i := slices.IndexFunc(r.stores, func(s config.Store) bool { return s.ID == id }); i >= 0 {
		pace = r.paceOf(r.stores[i])
	}
	return time.Duration(max(0, pushes-1)) * pace
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
	asserts := map[string]int{}
	for _, s := range m.Stores {
		for _, a := range s.Asserts {
			if !a.True {
				asserts[a.Label]++
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
	done := len(p.Failed) == 0 && p.Events+p.Markers == 0
	var b strings.Builder
	switch {
	case done:
		fmt.Fprintf(&b, "nothing is due in %s", count(p.Sampled, "store"))
	default:
		fmt.Fprintf(&b, "%s would be committed in %d of %s", p.what(), p.receiving(), count(p.Sampled, "store"))
		if len(p.Failed) == 0 {
			b.WriteString("; run again, it would commit nothing")
		}
	}
	if p.Sampled < p.Stores {
		fmt.Fprintf(&b, "\na sample of %d of %d stores, spread over their sizes: about %s in all (--all previews every store)", p.Sampled, p.Stores, counted(p.Estimate, "event"))
	}
	if !done {
		b.WriteString("\nno client rebuilds for it: a migration adds events and leaves the state hash as it is")
	}
	return b.String()
}

func (r *runner) writePreviewMarkdown(w io.Writer, p preview) error {
	for _, m := range p.Migrations {
		fmt.Fprintf(w, "### Migration `%s` on %s, under release %s\n\n", m.Migration, p.Environment, m.Release)
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
