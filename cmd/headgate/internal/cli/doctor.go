package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective/doctor"
	"headgate/internal/errs"
	"headgate/planner"
)

func (a *app) doctorCommand() *cli.Command {
	return &cli.Command{
		Name:     "doctor",
		Category: plumbing,
		Usage:    "what is wrong with the app's setup, the stores and their clients, and what repairs it",
		UsageText: "headgate doctor\nheadgate doctor --env prod --format json\nheadgate doctor --env prod --store acme --diff\n" +
			"headgate doctor --client-dir data/demo",
		Description: `Says of each thing that is wrong what shows it, what repairs it, and the command to begin with. It changes nothing.

The app, always: the generated files; the rebuild hooks, the start-up check and, on the web, the fast path; what the adapter
does when its backend was reset or a sync ends; is the sync backend wrapped, does the app say which release it is, is that
sent to the backend and stamped into each event. A rollout can't know its readers without these.

The stores, with --env or --store:
  log                  gaps, duplicates, wrong parents, events that can't be read
  poison               events that a release which is alive does not decode, or whose materializer throws
  backend-changed      the backend vanished, was exchanged or got shorter since the control database last saw it
  backend-head         the head that the backend keeps is not its log's; asked through the worker's admin route, where
                       HEADGATE_ADMIN_TOKEN is set here
  backend              is the wrapper deployed there, and does it report?

The clients, with --client-dir and for the stores of the environment that are a client's own log (file:):
  interrupted-rebuild  the state in use ends before the log, and LiveStore takes it for a whole one
  skipped-events       events that the client skipped, and that its release knows now
  state-differs        the state holds other rows than the log makes: row counts first, then digests; --diff counts rows
  stale-state          a state that was left behind, and the release whose deploy would open it again (A->B->A)
  head-beyond-log      a confirmed head that the log does not reach: the client does not boot
  other-backend        the client knows another backend than there is, and would forget its log
  client-ahead         events that the backend had confirmed and lost
  client-diverged      another event under the same number
  digests-differ       two clients at one head that hold different states
  pending              events that only the client has (a note)

A running client is not disturbed: its files are copied to a private folder and read there. Each log is replayed under each
release that is alive, and a client's under those that share its state's hash; --no-state leaves replays out. Ends with 3 if
there is a finding at or above --fail-on, and with 5 if a store could not be read.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "also the stores of the environment `ENV`, and its sync backend"},
			&cli.StringSliceFlag{Name: "store", Usage: "only the store `STORE`; may be given several times"},
			&cli.StringSliceFlag{Name: "client-dir", Usage: "also the client that keeps its stores, or one of them, in `DIR`; may be given several times"},
			&cli.BoolFlag{Name: "no-state", Usage: "run no materializers: quick, and blind for what only a replay shows"},
			&cli.BoolFlag{Name: "diff", Usage: "count the rows that differ in a state that differs"},
			&cli.IntFlag{Name: "jobs", Usage: "look at `N` logs at a time; as many as there are processors by default"},
			choice("fail-on", "exit with 3 from this `SEVERITY` on", "warning", "error", "info"),
		},
		Action: a.doctor,
	}
}

// A doctorReport is what `doctor` reports.
type doctorReport struct {
	Environment string                `json:"environment,omitempty"`
	Checks      []doctor.Finding      `json:"checks"`
	Logs        int                   `json:"logs"` // that were read
	Failed      []operate.FailedStore `json:"failed"`
	NextActions []string              `json:"next_actions"`
}

func (a *app) doctor(c *cli.Context) error {
	failOn, err := planner.ParseFailOn(c.String("fail-on"))
	if err != nil {
		return err
	}
	round, err := a.doctorRound(c)
	if err != nil {
		return err
	}
	report := doctorReport{Failed: []operate.FailedStore{}, NextActions: []string{}}
	deployed, app, err := a.diagnoseApp(c.Context, round.cfg)
	if err != nil {
		return err
	}
	report.Checks = app
	if round.env != nil && round.all {
		report.Environment = round.env.Name
		report.Checks = append(report.Checks, diagnoseBackend(c.Context, *round.env)...)
	}
	if err := round.examine(c.Context, deployed, &report); err != nil {
		return err
	}
	bad := report.sum(failOn)
	if err := a.render(report, func(w io.Writer) error { return a.writeDoctor(w, report) }); err != nil {
		return err
	}
	return report.outcome(bad, failOn, a.line)
}

// sum collects what to do next, the worst first, and counts the findings at or above failOn.
func (r *doctorReport) sum(failOn planner.Severity) (bad int) {
	worst := slices.Clone(r.Checks)
	slices.SortStableFunc(worst, compareFindings)
	add := func(next string) {
		if next != "" && !slices.Contains(r.NextActions, next) {
			r.NextActions = append(r.NextActions, next)
		}
	}
	for _, f := range worst {
		if f.Bad(failOn) {
			bad++
			add(f.Next)
		}
	}
	for _, f := range r.Failed {
		for _, next := range f.Next {
			add(next)
		}
	}
	return bad
}

// compareFindings puts the worst first.
func compareFindings(a, b doctor.Finding) int {
	rank := func(f doctor.Finding) int {
		for i, s := range []planner.Severity{planner.Error, planner.Warning, planner.Info} {
			if f.Bad(s) {
				return i
			}
		}
		return 3
	}
	return cmp.Compare(rank(a), rank(b))
}

// outcome is the error that the command ends with. A store that was not read counts for more than what was found.
func (r doctorReport) outcome(bad int, failOn planner.Severity, again string) error {
	found := fmt.Sprintf("%s at or above %s", count(bad, "finding"), failOn)
	switch {
	case len(r.Failed) > 0:
		return errs.New(errs.Partial, "%d of %s could not be read; %s", len(r.Failed), count(r.Logs+len(r.Failed), "log"), found).
			Hintf("what is wrong with them is not in these findings").Then(again)
	case bad > 0:
		e := errs.New(errs.Findings, "%s", found).Hintf("each one says what repairs it")
		if len(r.NextActions) > 0 {
			e.Then(r.NextActions[0])
		}
		return e
	}
	return nil
}

// alike is how many findings of one kind are shown to people.
const alike = 20

func (a *app) writeDoctor(w io.Writer, r doctorReport) error {
	shown := map[doctor.Check]int{}
	for _, f := range r.Checks {
		if shown[f.Check]++; shown[f.Check] <= alike || f.OK {
			a.writeDiagnosis(w, f)
		}
	}
	for _, f := range r.Checks {
		if n := shown[f.Check]; n > alike && !f.OK {
			fmt.Fprintf(w, "and %d more of %s: --format json lists them all\n", n-alike, f.Check)
			shown[f.Check] = 0
		}
	}
	_, err := io.WriteString(w, a.failedText(r.Failed))
	return err
}

func (a *app) writeDiagnosis(w io.Writer, f doctor.Finding) {
	const indent = "        "
	mark := "ok      "
	switch {
	case f.OK:
	case f.Severity == planner.Error:
		mark = a.stdout.paint(bad, "error   ")
	case f.Severity == planner.Warning:
		mark = a.stdout.paint(warn, "warning ")
	default:
		mark = a.stdout.paint(faint, "note    ")
	}
	where := ""
	if f.Store != "" {
		where = string(f.Store) + ": "
	}
	if f.Where != "" {
		where += a.rel(f.Where) + ": "
	}
	fmt.Fprintf(w, "%s%s%s\n", mark, where, f.Text)
	for _, e := range f.Evidence {
		fmt.Fprintf(w, "%s- %s\n", indent, e)
	}
	if f.Repair != "" {
		fmt.Fprintf(w, "%srepair: %s\n", indent, f.Repair)
	}
	if f.Next != "" {
		fmt.Fprintf(w, "%snext: %s\n", indent, f.Next)
	}
}
