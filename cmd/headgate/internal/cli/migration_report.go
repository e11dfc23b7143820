package cli

import (
	"context"
	"fmt"
	"io"
	"iter"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// An upReport is what `migration up` did. A store's row is read when it is printed.
type upReport struct {
	Environment string                `json:"-"`
	Runs        []runReport           `json:"-"` // one per migration
	Committed   int64                 `json:"committed"`
	Failed      []operate.FailedStore `json:"failed"`
	ClientLogs  []clientLog           `json:"client_logs,omitempty"` // of stopped clients, that were appended to
	Allowed     string                `json:"allowed,omitempty"`     // the reason that was given
	NextActions []string              `json:"next_actions"`

	leftOut bool // a store's preview failed: it is in no run
}

// A runReport is how a run ended.
type runReport struct {
	control.Run
	States []control.WaveCount `json:"states"` // by wave and state

	stores func(states ...control.State) iter.Seq2[control.StoreRun, error]
}

func (u upReport) writeJSON(j *jsonWriter) {
	j.member("environment", u.Environment)
	writeList(j, "runs", control.Values(u.Runs), func(run runReport) {
		j.object(func() {
			j.members(run)
			writeValues(j, "stores", run.stores())
		})
	})
	j.members(u)
}

func reportRun(ctx context.Context, db *control.DB, id string) (out runReport, err error) {
	if out.Run, err = db.Run(ctx, id); err != nil {
		return out, err
	}
	out.stores = func(states ...control.State) iter.Seq2[control.StoreRun, error] {
		return db.StoreRuns(ctx, id, control.AllWaves, states...)
	}
	out.States, err = db.Counts(ctx, id)
	return out, err
}

// failed are the run's stores with an error.
func (r runReport) failed() iter.Seq2[control.StoreRun, error] { return r.stores(takenUp...) }

func (r runReport) committed() (n int64) {
	for _, c := range r.States {
		n += c.Committed
	}
	return n
}

// count is in how many stores the state is one that is wanted.
func (r runReport) count(wanted func(control.State) bool) (n int64) {
	for _, c := range r.States {
		if wanted(c.State) {
			n += c.Stores
		}
	}
	return n
}

// ended prints what was done, and says what went wrong.
func (r *runner) ended(report upReport, failed []error, again, verify string) error {
	left := errs.Code("")
	what := ""
	for _, run := range report.Runs {
		if run.State == control.Succeeded || run.State == control.Pending { // pending: left to the workers
			continue
		}
		n := run.count(func(s control.State) bool { return s == control.Cancelled || !s.Ended() })
		if n > 0 {
			left, what = errs.Partial, fmt.Sprintf("run %s of %s is %s; %s not done", run.ID, run.Migration, run.State, count(int(n), "store"))
		}
	}
	report.Failed = r.failures(failed)
	if len(report.Failed) == 1 && len(r.stores) == 1 && len(report.Runs) == 0 {
		return failed[0]
	}
	rest := onlyFailed(again)
	if report.leftOut { // a run knows only the stores that it began with
		rest = again
	}
	status := "headgate status --env " + r.env.Name
	switch n := len(report.Runs); {
	case n > 0 && report.Runs[n-1].State == control.Pending: // left to the workers
		report.NextActions = append(report.NextActions, "headgate worker --env "+r.env.Name, status)
	case len(report.Failed) > 0:
		report.NextActions = append(report.NextActions, rest)
	default:
		report.NextActions = append(report.NextActions, verify)
	}
	if err := r.app.render(report, func(w io.Writer) error { return r.writeUp(w, report) }); err != nil {
		return err
	}
	if err := r.outcome(failed, rest); err != nil {
		if e := errs.As(err); e != nil && what != "" {
			e.Msg += "; " + what
		}
		return err
	}
	if left != "" {
		next := status
		if last := report.Runs[len(report.Runs)-1]; last.State == control.Paused {
			next = "headgate migration resume " + last.Migration + " --env " + r.env.Name
		}
		return errs.New(left, "%s", what).Then(next)
	}
	return nil
}

// longTable is how many stores are listed one by one.
const longTable = 50

func (r *runner) writeUp(w io.Writer, u upReport) error {
	for _, run := range u.Runs {
		fmt.Fprintf(w, "%s on %s, run %s: %s\n", r.app.stdout.paint(strong, run.Migration), u.Environment, run.ID, run.State)
		rows := run.stateRows()
		if run.count(func(control.State) bool { return true }) <= longTable {
			rows = [][]string{{"STORE", "COMMITTED", "BEFORE", "PUSHES", "CONFLICTS", "HEAD", "STATE"}}
			for s, err := range run.stores() {
				if err != nil {
					return err
				}
				rows = append(rows, []string{
					s.Store, fmt.Sprint(s.Committed), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes), fmt.Sprint(s.Conflicts),
					fmt.Sprintf("e%d", s.Head), string(s.State),
				})
			}
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprint(w, r.writeFailures(u.Failed))
	if len(u.Runs) == 1 && u.Runs[0].State == control.Pending {
		fmt.Fprint(w, "\nthe run is begun; workers take it from here\n")
	} else {
		fmt.Fprintf(w, "\n%s committed\n", counted(u.Committed, "event"))
	}
	writeClientLogs(w, u.ClientLogs)
	for _, n := range u.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// stateRows counts the stores by their state.
func (r runReport) stateRows() [][]string {
	rows := [][]string{{"STATE", "STORES", "COMMITTED", "BEFORE"}}
	for _, state := range control.States() {
		var sum control.WaveCount
		for _, c := range r.States {
			if c.State == state {
				sum.Stores += c.Stores
				sum.Committed += c.Committed
				sum.Before += c.Before
			}
		}
		if sum.Stores > 0 {
			rows = append(rows, []string{string(state), fmt.Sprint(sum.Stores), fmt.Sprint(sum.Committed), fmt.Sprint(sum.Before)})
		}
	}
	return rows
}
