package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/migrations"
)

func (a *app) migrationUpCommand() *cli.Command {
	return &cli.Command{
		Name:      "up",
		Usage:     "commit what is due, exactly once in each store",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration up --env staging\n" +
			"headgate migration up backfill_priority --env prod --store acme --yes\n" +
			"headgate migration up --env prod --yes --format json",
		Description: `Previews first, asks, and then commits: batch by batch, at the environment's pace, slower while others write. It may
be killed at any moment, run twice, or race with live clients: the log itself says what is there already, and each key
gets one event. Run it again to go on.

A store stops by itself when more is due than the preview said, by over a fifth and 50 events. A release that is alive and
could not read the events stops the run before it begins: where its clients would only skip them, --allow RO102 with
--reason goes on; where they would stop syncing for good, nothing does. ^C ends after the batch under way.

Without a terminal it needs --yes. Ends with 4 without it, 5 where some of several stores failed, 7 where it would harm
clients, 8 where an assert does not hold.`,
		Flags: migrationFlags(
			&cli.BoolFlag{Name: "yes", Usage: "commit without asking"},
			&cli.BoolFlag{Name: "dry-run", Usage: "preview only"},
			&cli.StringSliceFlag{Name: "allow", Usage: "let `RO102` pass: clients of a release that is alive skip the events; needs --reason"},
			&cli.StringFlag{Name: "reason", Usage: "why it is allowed: `TEXT`"},
		),
		Action: a.migrationUp,
	}
}

// An upReport is what `migration up` did.
type upReport struct {
	Environment string              `json:"environment"`
	Run         string              `json:"run"`
	Committed   int64               `json:"committed"`
	Stores      []migrations.Report `json:"stores"` // one per migration and store
	Failed      []failedStore       `json:"failed"`
	Allowed     string              `json:"allowed,omitempty"` // the reason that was given
	NextActions []string            `json:"next_actions"`
}

func (a *app) migrationUp(c *cli.Context) error {
	allow := c.StringSlice("allow")
	reason := strings.Join(strings.Fields(c.String("reason")), " ")
	if i := slices.IndexFunc(allow, func(s string) bool { return s != "RO102" }); i >= 0 {
		return errs.Invalidf("--allow %s: only RO102 can be allowed here", allow[i]).Then("headgate migration up --help")
	}
	if len(allow) > 0 && reason == "" {
		return errs.Invalidf("--allow needs --reason")
	}
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	if err := r.harmless(len(allow) > 0); err != nil {
		return err
	}
	p, failed := r.preview(c.Context, state.Options{})
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	p.Stores, p.Estimate = p.Sampled, p.Events
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	if c.Bool("dry-run") {
		if err := a.render(p, func(w io.Writer) error { return r.writePreview(w, p) }); err != nil {
			return err
		}
		return r.outcome(failed, "")
	}
	if p.Events > 0 && !c.Bool("yes") {
		if err := r.ask(p); err != nil {
			return err
		}
	}
	report, failed := r.up(c.Context, p, failed)
	report.Allowed = reason
	if c.Context.Err() != nil {
		e := errs.New(errs.Interrupted, "stopped; %s committed, and each of them once", counted(report.Committed, "event")).
			Hintf("the same command goes on from there")
		return e.Then("headgate migration up" + r.named(c))
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	report.NextActions = append(report.NextActions, "headgate migration verify"+r.named(c))
	if err := a.render(report, func(w io.Writer) error { return r.writeUp(w, report) }); err != nil {
		return err
	}
	return r.outcome(failed, "headgate migration up"+r.named(c))
}

// harmless refuses a run that the releases alive can't read.
func (r *runner) harmless(skipping bool) error {
	for _, p := range r.plans {
		for _, rd := range p.readers {
			who := "is alive"
			if p.assumed {
				who = "may be alive (headgate.yaml does not say which releases are)"
			}
			switch {
			case rd.Verdict == migrations.Breaks:
				return errs.Refusedf("release %s %s, and can't take the events of %s: %s", rd.Release, who, p.Name, rd.Why).
					At("%s", p.Path).Hintf("wait until no client runs it, and say so under fleet: alive: in headgate.yaml")
			case rd.Verdict == migrations.Skips && !skipping:
				return errs.Refusedf("RO102: release %s %s, and skips the events of %s: %s", rd.Release, who, p.Name, rd.Why).
					At("%s", p.Path).Hintf("wait until no client runs it, and say so under fleet: alive: in headgate.yaml; or allow the holes").
					Then(r.app.line + ` --allow RO102 --reason "…"`)
			}
		}
	}
	return nil
}

// ask shows the preview and waits for a yes.
func (r *runner) ask(p preview) error {
	if !r.app.interactive {
		return errs.New(errs.Stale, "%s would be committed in %s, and nobody said yes", counted(p.Events, "event"), count(p.Sampled, "store")).
			Hintf("a committed event can't be un-committed: look at the preview, then say --yes").Then(r.app.line + " --yes")
	}
	if err := r.writePreview(r.app.stderr, p); err != nil {
		return err
	}
	fmt.Fprintf(r.app.stderr, "\nA committed event can't be un-committed. Commit %s? (yes/no) ", counted(p.Events, "event"))
	answer, err := bufio.NewReader(r.app.stdin).ReadString('\n')
	if err != nil || strings.ToLower(strings.TrimSpace(answer)) != "yes" {
		return errs.New(errs.Stale, "nothing was committed: the answer was not yes")
	}
	return nil
}

// drift bounds what a store may commit beyond what its preview said.
func drift(previewed int64) int64 { return previewed + max(previewed/5, 50) }

// up commits in every store whose preview went through.
func (r *runner) up(ctx context.Context, p preview, previewed []error) (upReport, []error) {
	expected := map[string]int64{}
	for _, m := range p.Migrations {
		for _, s := range m.Stores {
			expected[m.Migration+" "+string(s.Store)] = s.Events
		}
	}
	r.append = true
	at := r.places()
	reports := make([][]migrations.Report, len(r.stores))
	progress := r.app.progress("committed events", p.Events)
	defer progress.Done()
	var committed atomic.Int64
	failed := r.each(ctx, "migrated stores", func(ctx context.Context, t storeTask) error {
		if err := previewed[at[t.store.ID]]; err != nil {
			return err
		}
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			for _, plan := range t.plans {
				err := r.with(ctx, t, plan, log, func(ctx context.Context, j migrations.Job) error {
					j.MaxEvents = drift(expected[plan.Name+" "+string(t.store.ID)])
					last := int64(0)
					j.Progress = func(n, _ int64) {
						progress.Add(n - last)
						committed.Add(n - last)
						last = n
					}
					report, err := j.Commit(ctx)
					if err == nil {
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
	out := upReport{
		Environment: r.env.Name, Run: r.run, Committed: committed.Load(), Stores: slices.Concat(reports...),
		Failed: r.failures(failed), NextActions: []string{},
	}
	if out.Stores == nil {
		out.Stores = []migrations.Report{}
	}
	return out, failed
}

func (r *runner) writeUp(w io.Writer, u upReport) error {
	rows := [][]string{{"STORE", "MIGRATION", "COMMITTED", "BEFORE", "PUSHES", "CONFLICTS", "HEAD", "OUTCOME"}}
	for _, s := range u.Stores {
		rows = append(rows, []string{
			string(s.Store), s.Migration, fmt.Sprint(s.Events), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes),
			fmt.Sprint(s.Conflicts), fmt.Sprintf("e%d", s.Head), string(s.Outcome),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprint(w, r.writeFailures(u.Failed))
	fmt.Fprintf(w, "\n%s committed by run %s\n", counted(u.Committed, "event"), u.Run)
	for _, n := range u.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}
