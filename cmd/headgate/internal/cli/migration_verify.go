package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

func (a *app) migrationVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "prove from the logs that migrations are done",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration verify --env prod\nheadgate migration verify backfill_priority --env prod --format json",
		Description: `Reads each store's log again, makes its state and asks the migration what is due: nothing must be, no key may have two
events, the asserts must hold, and the marker must be there if the migration has one. Commits nothing. Ends with 8 where
that is not so, and says for each thing that is wrong what to do. Ends with 7 where a store is not what the control database
knows of it: it vanished, is on another backend, or has got shorter.`,
		Flags:  migrationFlags(),
		Action: a.migrationVerify,
	}
}

func (a *app) migrationVerify(c *cli.Context) error {
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	all, failed := r.verify(c.Context)
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	list := r.failures(failed)
	wrong := r.wrong(all, r.named(c))
	done := wrong == nil && len(list) == 0
	err = a.render(map[string]any{"environment": r.env.Name, "done": done, "stores": all, "failed": list}, func(w io.Writer) error {
		return r.writeVerify(w, all, list)
	})
	if err != nil {
		return err
	}
	if wrong != nil {
		return wrong
	}
	return r.outcome(failed, "headgate migration verify"+r.named(c))
}

// verify asks every store whether the migrations are done.
func (r *runner) verify(ctx context.Context) ([]migrations.Report, []error) {
	at := r.places()
	reports := make([][]migrations.Report, len(r.stores))
	failed := r.each(ctx, "verified stores", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			for _, p := range t.plans {
				err := r.with(ctx, t, p, log, func(ctx context.Context, j migrations.Job) error {
					report, _, err := j.Verify(ctx)
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
	all := []migrations.Report{}
	for _, list := range reports {
		all = append(all, list...)
	}
	return all, failed
}

func (r *runner) writeVerify(w io.Writer, all []migrations.Report, list []operate.FailedStore) error {
	rows := [][]string{{"STORE", "MIGRATION", "DUE", "COMMITTED", "TWICE", "ASSERTS", "DIGEST", "OUTCOME"}}
	for _, s := range all {
		asserts := "hold"
		if len(s.Asserts) == 0 {
			asserts = "none"
		}
		if label := falseAssert(s); label != "" {
			asserts = "fail: " + label
		}
		digest := "-"
		if s.Before > 0 {
			digest = s.Digest[:12]
		}
		rows = append(rows, []string{
			string(s.Store), s.Migration, fmt.Sprint(s.Events), fmt.Sprint(s.Before), fmt.Sprint(s.Duplicates), asserts, digest, string(s.Outcome),
		})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, r.writeFailures(list))
	return err
}

// falseAssert is the first assert that does not hold, empty where all do.
func falseAssert(v migrations.Report) string {
	for _, as := range v.Asserts {
		if !as.True {
			return as.Label
		}
	}
	return ""
}

// committable reports whether another run changes something: then it is to be run, whatever else is wrong.
func (r *runner) committable(v migrations.Report) bool {
	return v.Events > 0 || v.Waits != "" || r.unmarked(v)
}

// unmarked reports whether the migration has a marker that the store lacks.
func (r *runner) unmarked(v migrations.Report) bool {
	return !v.Marker && slices.ContainsFunc(r.plans, func(p migrationPlan) bool { return p.Name == v.Migration && p.Marker != "" })
}

// lacks says in words what a migration that is not done lacks on a store.
func (r *runner) lacks(v migrations.Report) string {
	var out []string
	if v.Waits != "" {
		out = append(out, v.Waits+" comes before")
	}
	if v.Events > 0 {
		out = append(out, counted(v.Events, "event")+" due")
	}
	if label := falseAssert(v); label != "" {
		out = append(out, fmt.Sprintf("the assert %q does not hold", label))
	}
	if v.Duplicates > 0 {
		out = append(out, counted(v.Duplicates, "key")+" with two events")
	}
	if r.unmarked(v) {
		out = append(out, "its marker is missing")
	}
	return strings.Join(out, ", ")
}

// wrong is the error for migrations that are not done, with what to do about each thing that is wrong; nil where all are
// done. named is what the command was given.
func (r *runner) wrong(all []migrations.Report, named string) error {
	e := errs.New(errs.Mismatch, "")
	var hints, next []string
	say := func(hint string, commands ...string) {
		if !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
		for _, command := range commands {
			if !slices.Contains(next, command) {
				next = append(next, command)
			}
		}
	}
	open := 0
	for _, v := range all {
		if v.Outcome != migrations.Due {
			continue
		}
		open++
		on := fmt.Sprintf(" --env %s --store %s", r.env.Name, v.Store)
		switch {
		case v.Waits != "" && !slices.ContainsFunc(r.plans, func(p migrationPlan) bool { return p.Name == v.Waits }):
			say("commit what is due, what comes before first", "headgate migration up "+v.Waits+" --env "+r.env.Name, "headgate migration up"+named)
		case v.Events > 0 || v.Waits != "":
			say("commit what is due", "headgate migration up"+named)
		case r.unmarked(v) && falseAssert(v) == "":
			say("all events are there, only the marker is missing: a run commits it", "headgate migration up"+named)
		}
		if label := falseAssert(v); label != "" && v.Events == 0 && v.Waits == "" {
			say(fmt.Sprintf("nothing is due in %s, and still %q does not hold: look at which rows that are, and put them right with another migration; events that are committed stay",
				v.Store, label), fmt.Sprintf("headgate state replay%s --release %s --out state.db", on, v.Release), "headgate migration compensate "+v.Migration)
		}
		if v.Duplicates > 0 {
			say(twiceText(v), "headgate log tail"+on)
		}
	}
	if open == 0 {
		return nil
	}
	e.Msg = count(open, "migration") + " not done"
	if open == 1 {
		i := slices.IndexFunc(all, func(v migrations.Report) bool { return v.Outcome == migrations.Due })
		e.Msg = fmt.Sprintf("%s is not done on %s: %s", all[i].Migration, all[i].Store, r.lacks(all[i]))
	}
	e.Hintf("%s", strings.Join(hints, "\n"))
	for _, command := range next {
		e.Then(command)
	}
	return e
}

// twiceText says who committed a key's second event, and what that means.
func twiceText(v migrations.Report) string {
	var who []string
	for _, t := range v.Twice {
		by := "a client (session " + t.Session + ")"
		if run, ok := strings.CutPrefix(t.Session, "hg:"); ok {
			by = "run " + strings.TrimSuffix(run, run[max(0, strings.LastIndexByte(run, ':')):])
		}
		who = append(who, fmt.Sprintf("e%d by %s", t.Seq, by))
	}
	if int64(len(who)) < v.Duplicates {
		who = append(who, "…")
	}
	return fmt.Sprintf("%s has a second event for %s: %s. That takes clients that ran the migration offline, or somebody who copied events; "+
		"it does no harm where the materializer survives the event twice (MT102 in migration check), and no run takes it back", v.Store, counted(v.Duplicates, "key"), strings.Join(who, ", "))
}
