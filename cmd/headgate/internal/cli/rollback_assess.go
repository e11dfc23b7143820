package cli

import (
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
)

func (a *app) rollbackAssessCommand() *cli.Command {
	return &cli.Command{
		Name:  "assess",
		Usage: "measure what the bad events did to every store",
		UsageText: "headgate rollback assess --release 1.3.0 --env prod\n" +
			"headgate rollback assess --event v2.TodoCreated --since 6h --env prod\n" +
			"headgate rollback assess --client anna --since e120 --store acme --env prod --rows 5",
		Description: `Reads each store's log and says how many of the bad events there are, who wrote them, which later events are about the
same things, what the releases that are alive do with them, and which rows of the state would be others without them.
With --good it is the rows that this release would have made of the same events. It changes nothing.

All conditions must hold. --where sees one event at a time: name, args, seq, client, session, release, pending and at, and
its arguments as args ->> 'list'. Which release wrote an event is proven by the stamp that headgate's helper puts into the session
id, inferred where the census knows the client on one release, and unknown otherwise; an unknown one is never taken for a
good one. Where stamps are missing, --release needs --since or --where beside it.

--no-state leaves the rows out, which is much faster: counts come at the speed of reading. --sample reads some stores of
those where the bad release was seen, of those where others were, and of those where nobody was, and says between how many and
how many of all stores were hit, at 95 % confidence. The same stores are drawn each time.

While an incident is open (headgate rollback), the environment and the events are the incident's unless they are given, and
what is found lies beside it, without values. Ends with 0 whatever it
found, and with 5 where some of several stores could not be read.`,
		Flags: append(selectionFlags(),
			&cli.StringFlag{Name: "good", Usage: "compare with what `RELEASE` makes of the same events"},
			&cli.IntFlag{Name: "rows", Usage: "show the first `N` rows that differ, per store and table"},
			&cli.BoolFlag{Name: "reveal", Usage: "show values: they are the users' data"},
			&cli.IntFlag{Name: "sample", Usage: "read only `N` of the stores, of each kind some, and say how sure the figures are"},
		),
		Action: a.rollbackAssess,
	}
}

// An assessment is what `rollback assess` reports.
type assessment struct {
	Environment string                `json:"environment"`
	Schema      string                `json:"schema"`
	Selection   string                `json:"selection"`
	Stores      int                   `json:"stores"` // that were read
	Hit         int                   `json:"hit"`    // of them, those with bad events
	Events      corrective.Split      `json:"events"`
	Pending     int64                 `json:"pending"`
	Release     string                `json:"release"`        // whose materializers made the state
	Good        string                `json:"good,omitempty"` // that it is compared with; empty: without the bad events
	Readers     []readerReport        `json:"readers"`
	Assumed     bool                  `json:"readersAssumed,omitempty"` // nobody said which releases are alive
	Damages     []damageReport        `json:"damages"`                  // of the stores with bad events
	Failed      []operate.FailedStore `json:"failed"`
	Estimate    *corrective.Estimate  `json:"estimate,omitempty"` // where the stores are a sample
	NextActions []string              `json:"next_actions"`
}

// A damageReport is one store's part.
type damageReport struct {
	corrective.Damage
	Readings []corrective.Reading `json:"readings"`
	Effect   *corrective.Effect   `json:"effect,omitempty"`
	// Otherwise compares with what the release that one would go back to makes of the same events, where it reads all of them.
	Otherwise *corrective.Effect `json:"otherwise,omitempty"`
}

// A readerReport is what a release that is alive does with the bad events, over all stores.
type readerReport struct {
	Release string             `json:"release"`
	Verdict corrective.Verdict `json:"verdict"` // the worst
	Stores  int                `json:"stores"`  // where it is so
}

func (a *app) rollbackAssess(c *cli.Context) error {
	if c.Int("rows") < 0 {
		return errs.Invalidf("--rows %d is negative", c.Int("rows"))
	}
	in, err := a.incidentOf(c, true)
	if err != nil {
		return err
	}
	s, err := a.assessor(c, in)
	if err != nil {
		return err
	}
	defer s.kept.Close()
	report, err := s.all(c.Context, lookOf(c))
	if e := errs.As(err); e != nil && e.Code == errs.Invalid && in != nil && in.Selection.Release != "" {
		// The incident's selection is too wide, and an incident keeps its selection.
		e.Next = []string{in.command(`rollback close --reason "another selection"`), in.command("rollback --release " + in.Selection.Release + " --since 6h")}
	}
	if err != nil {
		return err
	}
	if in != nil {
		if err := in.assessed(&report); err != nil {
			return err
		}
	}
	err = a.render(report, func(w io.Writer) error { return a.writeAssessment(w, report) },
		rendering{"markdown", func(w io.Writer) error { return writeAssessmentMarkdown(w, report) }})
	if err != nil {
		return err
	}
	return s.incomplete(report)
}

// incomplete is the error where stores could not be read.
func (s *assessor) incomplete(report assessment) error {
	if len(report.Failed) == 0 {
		return nil
	}
	return errs.New(errs.Partial, "%d of %s could not be read", len(report.Failed), count(len(s.stores), "store")).
		Hintf("what they hold is not in these figures").Then(s.app.line)
}

// planLine is the command that ranks the remedies for what was assessed.
func (s *assessor) planLine() string {
	line := strings.Replace(s.app.line, " assess ", " plan ", 1)
	if s.good != nil { // plan compares with the release to go back to
		line = regexp.MustCompile(`( --good[ =])`).ReplaceAllString(line, " --to ")
	}
	return regexp.MustCompile(` --(rows[ =]\S+|reveal)`).ReplaceAllString(line, "")
}

func (s *assessor) report(damages []damageReport, failed []error) assessment {
	out := assessment{
		Environment: s.env.Name, Schema: s.schema.Name, Selection: s.selection.String(), Release: s.is.Release.Version,
		Readers: []readerReport{}, Assumed: s.assumed, Damages: []damageReport{}, Failed: []operate.FailedStore{}, NextActions: []string{},
	}
	if s.good != nil {
		out.Good = s.good.Release.Version
	}
	for i, err := range failed {
		if err != nil {
			out.Failed = append(out.Failed, failureOf(s.stores[i].ID, err))
			continue
		}
		out.Stores++
		if d := damages[i]; d.Events.Total() > 0 {
			out.Hit++
			out.Events.Add(d.Events)
			out.Pending += d.Pending
			out.Damages = append(out.Damages, d)
		}
	}
	slices.SortStableFunc(out.Damages, func(a, b damageReport) int { return int(b.Events.Total() - a.Events.Total()) })
	for i, t := range s.readers {
		if out.Hit == 0 {
			break // there is nothing to read
		}
		r := readerReport{Release: t.Release.Version, Verdict: corrective.Reads}
		for _, d := range out.Damages {
			switch v := d.Readings[i].Verdict; {
			case v == r.Verdict:
				r.Stores++
			case v == corrective.Breaks || r.Verdict == corrective.Reads:
				r.Verdict, r.Stores = v, 1
			}
		}
		out.Readers = append(out.Readers, r)
	}
	if s.strata != nil {
		e := s.estimate(out)
		out.Estimate = &e
	}
	if len(out.Damages) > 0 {
		out.NextActions = append(out.NextActions, s.planLine(), "headgate log tail --store "+string(out.Damages[0].Store)+" --env "+s.env.Name)
	}
	return out
}
