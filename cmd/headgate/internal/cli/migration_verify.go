package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

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
	v, failed := r.verify(c.Context)
	defer v.reports.close()
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	v.Environment, v.Failed = r.env.Name, r.failures(failed)
	wrong := r.wrong(v, r.named(c))
	v.Done = wrong == nil && len(v.Failed) == 0
	if err := a.render(v, func(w io.Writer) error { return r.writeVerify(w, v) }); err != nil {
		return err
	}
	if wrong != nil {
		return wrong
	}
	return r.outcome(failed, "headgate migration verify"+r.named(c))
}

// A fleetProof is what the stores' logs prove. Reports are counted as they come, and listed from a pile.
type fleetProof struct {
	Environment string                `json:"environment"`
	Done        bool                  `json:"done"`
	Open        int                   `json:"open"` // migrations of stores that are not done
	Failed      []operate.FailedStore `json:"failed"`

	reports *pile[migrations.Report]
	mu      sync.Mutex
	total   int
	first   []openReport // in the stores' order, at most longTable of them
}

// An openReport is of a migration that is not done, with its place among all.
type openReport struct {
	place int
	migrations.Report
}

func (v *fleetProof) writeJSON(j *jsonWriter) {
	j.members(v)
	writeValues(j, "stores", v.reports.all())
}

func (v *fleetProof) add(place int, report migrations.Report) {
	v.reports.add(place, report)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.total++
	if report.Outcome != migrations.Due {
		return
	}
	v.Open++
	v.first = append(v.first, openReport{place, report})
	slices.SortFunc(v.first, func(a, b openReport) int { return a.place - b.place })
	v.first = v.first[:min(len(v.first), longTable)]
}

// verify asks every store whether the migrations are done. The caller closes the reports.
func (r *runner) verify(ctx context.Context) (*fleetProof, []error) {
	at := r.places()
	v := &fleetProof{reports: newPile[migrations.Report](len(r.stores) * len(r.plans))}
	failed := r.each(ctx, "verified stores", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			for i, p := range t.plans {
				err := r.with(ctx, t, p, log, func(ctx context.Context, j migrations.Job) error {
					report, _, err := j.Verify(ctx)
					if err == nil {
						v.add(at[t.store.ID]*len(r.plans)+i, report)
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
	return v, failed
}

func (r *runner) writeVerify(w io.Writer, v *fleetProof) error {
	rows := [][]string{{"STORE", "MIGRATION", "DUE", "COMMITTED", "TWICE", "ASSERTS", "DIGEST", "OUTCOME"}}
	add := func(s migrations.Report) {
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
	few := v.reports.few()
	for _, s := range few {
		add(s)
	}
	if few == nil { // those that are done are counted below
		for _, s := range v.first {
			add(s.Report)
		}
	}
	if len(rows) > 1 {
		if err := table(w, rows); err != nil {
			return err
		}
	}
	if few == nil {
		if n := v.Open - len(v.first); n > 0 {
			fmt.Fprintf(w, "and %d more that are not done (--format json lists all)\n", n)
		}
		fmt.Fprintf(w, "done: %d of %d\n", v.total-v.Open, v.total)
	}
	_, err := fmt.Fprint(w, r.writeFailures(v.Failed))
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

// wrong is the error for migrations that are not done, with what to do about each thing that is wrong in the first of them;
// nil where all are done. named is what the command was given.
func (r *runner) wrong(all *fleetProof, named string) error {
	if all.Open == 0 {
		return nil
	}
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
	for _, v := range all.first {
		on := fmt.Sprintf(" --env %s --store %s", r.env.Name, v.Store)
		switch {
		case v.Waits != "" && !slices.ContainsFunc(r.plans, func(p migrationPlan) bool { return p.Name == v.Waits }):
			say("commit what is due, what comes before first", "headgate migration up "+v.Waits+" --env "+r.env.Name, "headgate migration up"+named)
		case v.Events > 0 || v.Waits != "":
			say("commit what is due", "headgate migration up"+named)
		case r.unmarked(v.Report) && falseAssert(v.Report) == "":
			say("all events are there, only the marker is missing: a run commits it", "headgate migration up"+named)
		}
		if label := falseAssert(v.Report); label != "" && v.Events == 0 && v.Waits == "" {
			say(fmt.Sprintf("nothing is due in %s, and still %q does not hold: look at which rows that are, and put them right with another migration; events that are committed stay",
				v.Store, label), fmt.Sprintf("headgate state replay%s --release %s --out state.db", on, v.Release), "headgate migration compensate "+v.Migration)
		}
		if v.Duplicates > 0 {
			say(twiceText(v.Report), "headgate log tail"+on)
		}
	}
	e.Msg = count(all.Open, "migration") + " not done"
	if all.Open == 1 {
		v := all.first[0]
		e.Msg = fmt.Sprintf("%s is not done on %s: %s", v.Migration, v.Store, r.lacks(v.Report))
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
