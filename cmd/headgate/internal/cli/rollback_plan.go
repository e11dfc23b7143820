package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

func (a *app) rollbackPlanCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "rank the ways to answer a bad release, with the reasons",
		UsageText: "headgate rollback plan --release 1.3.0 --env prod\n" +
			"headgate rollback plan --event v2.TodoCreated --since 6h --env prod --to 1.2.0 --format markdown",
		Description: `Assesses the damage as headgate rollback assess does, asks what would happen under the release that one would go back to,
and ranks the remedies: those that are possible, those that are not, and at the end what loses data, possible or not.
Each says what must hold before, what it does and does not, what it loses and costs; one that looks better than it is says
why. It changes nothing.

--sample reads some stores as headgate rollback assess does, for the first hour: only what does no harm in the others can be
planned by it, and where that deploys something, it waits for the plan of all.

--to is the release before the bad one, unless it is given. Ends with 5 where some of several stores could not be read.

While an incident is open (headgate rollback), the environment and the events are the incident's, and the plan of one remedy,
the first possible one unless --remedy names another, is written beside it: plan.json as headgate plan writes it, plan.md,
runbook.md for who carries it out, and where the remedy corrects events and nobody began it, headgate/corrections/SCHEMA.yaml.
A remedy that loses data is never taken by itself: it needs --accept-loss and a reason (7 without).`,
		Flags: append(selectionFlags(),
			&cli.IntFlag{Name: "sample", Usage: "read only `N` of the stores: what one plans by that can be written, not carried out"},
			&cli.StringFlag{Name: "to", Usage: "the `RELEASE` that one would go back to"},
			&cli.StringFlag{Name: "remedy", Usage: "plan the remedy `KIND`: " + strings.Join(remedyKinds(), ", ")},
			&cli.StringFlag{Name: "migration", Usage: "with compensating-events: the migration `NAME` that commits them"},
			&cli.BoolFlag{Name: "accept-loss", Usage: "lose what the remedy loses"},
			&cli.StringFlag{Name: "reason", Usage: "why the loss is accepted: `TEXT`"},
		),
		Action: a.rollbackPlan,
	}
}

// A rollbackReport is what `rollback plan` reports.
type rollbackReport struct {
	assessment
	Target string `json:"target,omitempty"`
	corrective.Decision
	// Chosen and what follows are of the plan, where an incident is open: it is written there.
	Chosen corrective.RemedyKind `json:"chosen,omitempty"`
	Plan   *planner.Plan         `json:"plan,omitempty"`
	Wrote  []string              `json:"wrote,omitempty"`
}

func (a *app) rollbackPlan(c *cli.Context) error {
	if err := checkRemedyFlags(c); err != nil {
		return err
	}
	in, err := a.incidentOf(c, true)
	if err != nil {
		return err
	}
	if in == nil && c.IsSet("remedy") {
		return errs.Invalidf("--remedy writes a plan into an incident, and none is open for these events").
			Hintf("open one first; without it the ways are only ranked").Then(strings.Replace(a.without("--accept-loss"), " plan", "", 1))
	}
	s, err := a.assessor(c, in)
	if err != nil {
		return err
	}
	defer s.kept.Close()
	if s.back, err = s.before(c.String("to")); err != nil {
		return err
	}
	report, err := s.all(c.Context, lookOf(c))
	if err != nil {
		return err
	}
	facts, err := s.facts(c.Context, report)
	if err != nil {
		return err
	}
	out := rollbackReport{assessment: report, Decision: corrective.Decide(facts)}
	if s.back != nil {
		out.Target = s.back.Release.Version
	}
	out.NextActions = out.Remedies[0].Next
	if in != nil {
		if err := in.planned(c, s, facts, &out); err != nil {
			return err
		}
	}
	err = a.render(out, func(w io.Writer) error { return a.writeRollback(w, out) },
		rendering{"markdown", func(w io.Writer) error { return writeRollbackMarkdown(w, out) }})
	if err != nil {
		return err
	}
	return s.incomplete(report)
}

// before loads the release to go back to: the one that is named, or else the newest before the one that runs. It is nil
// where there is none.
func (s *assessor) before(version string) (*replay.Target, error) {
	if version == "" {
		versions, err := releaseDir(s.cfg).Versions(s.schema.Name)
		if err != nil {
			return nil, err
		}
		if version = latest(versions, s.is.Release.Version, true); version == "" {
			return nil, nil
		}
	}
	if schema.CompareVersions(version, s.is.Release.Version) >= 0 {
		return nil, errs.Invalidf("--to %s is not before %s", version, s.is.Release.Version)
	}
	t, err := targetOf(s.cfg, s.schema, version)
	return &t, err
}

// facts finds out what the decision rests on beside the damage.
func (s *assessor) facts(ctx context.Context, r assessment) (corrective.Facts, error) {
	f := corrective.Facts{
		Env: s.env.Name, Schema: s.schema.Name, Bad: s.is.Release, Sampled: r.Estimate != nil, Events: r.Events.Total(), Pending: r.Pending,
		Rows: -1, Otherwise: -1, Keepers: planner.KeepOldState(adapterNames(s)), Wrapped: corrective.Unclear,
	}
	largest := int64(0)
	for _, d := range r.Damages {
		largest = max(largest, d.Read)
		if d.Effect == nil {
			continue
		}
		if d.Otherwise != nil && d.Otherwise.Poison == nil {
			f.Otherwise = max(f.Otherwise, 0) + differing(d.Otherwise.Tables)
		}
		f.Rows = max(f.Rows, 0) + differing(d.Effect.Tables)
		if p := d.Effect.Poison; p != nil && d.Effect.PoisonRelease == s.is.Release.Version {
			f.Poison = append(f.Poison, fmt.Sprintf("%s at %s in store %s", p.Event, p.Seq, d.Store))
		}
	}
	f.Rebuild = "up to " + counted(largest, "event") + " in the stores that were hit"
	if s.back != nil {
		f.Target, f.Names = s.back.Release, s.met.Events
	}
	for _, d := range r.Damages {
		for _, n := range d.Names {
			f.Bads = append(f.Bads, n.Event)
		}
	}
	slices.Sort(f.Bads)
	f.Bads = slices.Compact(f.Bads)
	var err error
	if f.Emitters, err = s.emitters(ctx, f.Bads); err != nil {
		return f, err
	}
	f.Backfills, err = s.backfills(ctx)
	return f, err
}

// differing counts the rows that differ in tables.
func differing(tables []state.TableDiff) (n int64) {
	for _, t := range tables {
		n += t.OnlyA + t.OnlyB + t.Changed
	}
	return n
}

func adapterNames(s *assessor) (out []string) {
	for _, ad := range s.schema.Adapters {
		out = append(out, string(ad))
	}
	return out
}

func (a *app) writeRollback(w io.Writer, r rollbackReport) error {
	if !a.walking { // it asked with the ranking on the screen
		a.writeRanking(w, r)
	}
	if len(r.Wrote) > 0 {
		fmt.Fprintf(w, "\nplanned %s, in %s:\n", r.Chosen, count(len(r.Plan.Intent.Steps), "step"))
		for _, s := range r.Plan.Intent.Steps {
			fmt.Fprintf(w, "   %s: %s\n", s.ID, s.Title)
		}
		fmt.Fprintf(w, "wrote %s\n", strings.Join(r.Wrote, ", "))
	}
	if len(r.NextActions) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range r.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// writeRanking says what the decision rests on, and the ways in their order.
func (a *app) writeRanking(w io.Writer, r rollbackReport) {
	fmt.Fprintf(w, "%s on %s: %s in %d of %s\n\n", a.stdout.paint(strong, r.Selection), r.Environment, counted(r.Events.Total(), "event"), r.Hit, count(r.Stores, "store"))
	if r.Estimate != nil {
		fmt.Fprintf(w, "%s\n", sampleLine(r.assessment))
	}
	for _, q := range r.Questions {
		mark := a.stdout.paint(good, "ok   ")
		if q.Bad {
			mark = a.stdout.paint(bad, "mind ")
		}
		fmt.Fprintf(w, "%s %s\n      %s\n", mark, q.Text, q.Answer)
	}
	for title, m := range r.titles() {
		fmt.Fprintf(w, "\n%s\n", a.stdout.paint(strong, title))
		for _, line := range remedyLines(m) {
			fmt.Fprintf(w, "   %s\n", line)
		}
	}
	fmt.Fprint(w, a.failedText(r.Failed))
}

// titles yields the remedies, with a number for those that are possible.
func (r rollbackReport) titles() iter.Seq2[string, corrective.Remedy] {
	return func(yield func(string, corrective.Remedy) bool) {
		n := 0
		for _, m := range r.Remedies {
			title := "Not: " + m.Title
			if m.Possible {
				n++
				title = fmt.Sprintf("%d. %s", n, m.Title)
			}
			if m.Kind.Destructive() {
				title += " (loses data)"
			}
			if !yield(title, m) {
				return
			}
		}
	}
}

func remedyLines(m corrective.Remedy) []string {
	lines := []string{m.Effect}
	if m.Refused != "" {
		lines = append(lines, "refused: "+m.Refused)
	}
	words := map[corrective.Met]string{corrective.Yes: "holds", corrective.No: "does not hold", corrective.Unclear: "find out"}
	for _, p := range m.Preconditions {
		line := fmt.Sprintf("%s: %s", words[p.Met], p.Text)
		if p.Why != "" {
			line += " (" + p.Why + ")"
		}
		lines = append(lines, line)
	}
	for _, l := range m.Loses {
		lines = append(lines, "loses: "+l)
	}
	for _, l := range m.Costs {
		lines = append(lines, "costs: "+l)
	}
	if m.Possible {
		for _, n := range m.Next {
			lines = append(lines, "with: "+n)
		}
	}
	return lines
}

func writeRollbackMarkdown(w io.Writer, r rollbackReport) error {
	if err := writeAssessmentMarkdown(w, r.assessment); err != nil {
		return err
	}
	fmt.Fprint(w, "\n### What that means\n\n")
	for _, q := range r.Questions {
		fmt.Fprintf(w, "- %s **%s**\n", q.Text, strings.ToUpper(q.Answer[:1])+q.Answer[1:])
	}
	fmt.Fprint(w, "\n### Remedies, the least destructive first\n")
	for title, m := range r.titles() {
		fmt.Fprintf(w, "\n#### %s\n\n", title)
		for _, line := range remedyLines(m) {
			fmt.Fprintf(w, "- %s\n", line)
		}
	}
	return nil
}
