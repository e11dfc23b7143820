package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
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

The stores are taken in the waves of headgate.yaml (headgate help config), one wave after the other. A wave in which over
2 % of the stores fail begins no more of them, unless it says on_error: continue.

The run is kept in the environment's control database: an up that was killed is joined by the next one, workers
(headgate worker) take part, and pause, resume and cancel reach it from anywhere. --only-failed goes on with the stores
that failed.

Without a terminal it needs --yes. Ends with 4 without it, 5 where some of several stores failed, 7 where it would harm
clients, 8 where an assert does not hold.`,
		Flags:  append([]cli.Flag{&cli.StringFlag{Name: "plan", Usage: "run the migrations of the plan in `FILE` on its stores"}}, upFlags()...),
		Action: a.migrationUp,
	}
}

// upFlags are those of the commands that begin runs.
func upFlags() []cli.Flag {
	return migrationFlags(
		&cli.BoolFlag{Name: "yes", Usage: "commit without asking"},
		&cli.BoolFlag{Name: "dry-run", Usage: "preview only"},
		&cli.StringFlag{Name: "wave", Usage: "only the stores of the wave `WAVE` of headgate.yaml"},
		&cli.BoolFlag{Name: "detach", Usage: "begin the run and leave it to the workers"},
		&cli.BoolFlag{Name: "only-failed", Usage: "go on with the stores that failed in the last run"},
		&cli.StringSliceFlag{Name: "allow", Usage: "let `RO102` pass: clients of a release that is alive skip the events; needs --reason"},
		&cli.StringFlag{Name: "reason", Usage: "why it is allowed: `TEXT`"},
	)
}

// An upReport is what `migration up` did.
type upReport struct {
	Environment string        `json:"environment"`
	Runs        []runReport   `json:"runs"` // one per migration
	Committed   int64         `json:"committed"`
	Failed      []failedStore `json:"failed"`
	Allowed     string        `json:"allowed,omitempty"` // the reason that was given
	NextActions []string      `json:"next_actions"`
}

// A runReport is how a run ended.
type runReport struct {
	control.Run
	Stores []control.StoreRun `json:"stores"`
}

func (a *app) migrationUp(c *cli.Context) (err error) {
	allow := c.StringSlice("allow")
	reason := strings.Join(strings.Fields(c.String("reason")), " ")
	if i := slices.IndexFunc(allow, func(s string) bool { return s != "RO102" }); i >= 0 {
		return errs.Invalidf("--allow %s: only RO102 can be allowed here", allow[i]).Then("headgate migration up --help")
	}
	if len(allow) > 0 && reason == "" {
		return errs.Invalidf("--allow needs --reason")
	}
	r, err := a.upRunner(c)
	if err != nil {
		return err
	}
	if name := c.String("wave"); name != "" {
		if err := r.only(name); err != nil {
			return err
		}
	}
	if c.Bool("detach") && len(r.plans) > 1 {
		return errs.Invalidf("--detach begins one run: name the migration").Hintf("they are run in order, each when the one before has ended")
	}
	if err := r.harmless(len(allow) > 0); err != nil {
		return err
	}
	if c.Bool("only-failed") {
		return r.again(c, reason)
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
	db, err := a.openControl(c.Context, r.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if c.Bool("detach") {
		return r.detach(c.Context, db, p, failed, reason)
	}
	report, failed, err := r.up(c.Context, db, p, failed, reason)
	again := "headgate migration up" + r.named(c)
	if c.Context.Err() != nil {
		return errs.New(errs.Interrupted, "stopped; %s committed, and each of them once", counted(report.Committed, "event")).
			Hintf("the same command goes on from there").Then(again)
	}
	if err != nil {
		return err
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	report.NextActions = append(report.NextActions, "headgate migration verify"+r.named(c))
	if err := a.render(report, func(w io.Writer) error { return r.writeUp(w, report) }); err != nil {
		return err
	}
	return r.outcome(failed, again+" --only-failed")
}

// only leaves the stores of one wave.
func (r *runner) only(name string) error {
	i := slices.IndexFunc(r.env.Waves, func(w config.Wave) bool { return w.Name == name })
	if i < 0 {
		var names []string
		for _, w := range r.env.Waves {
			names = append(names, w.Name)
		}
		return errs.NotFoundf("environment %q has no wave %q", r.env.Name, name).At("%s", r.cfg.Where(r.env.Line)).
			Hintf("there are: %s", orNone(names)).Then("headgate help config")
	}
	r.stores = slices.DeleteFunc(r.stores, func(s config.Store) bool { return r.env.WaveOf(s) != i })
	if len(r.stores) == 0 {
		return errs.NotFoundf("wave %q has none of the stores", name).At("%s", r.cfg.Where(r.env.Waves[i].Line))
	}
	return nil
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
					Then("headgate help finding RO102").Then(r.app.line + ` --allow RO102 --reason "…"`)
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

// up runs the migrations one after the other, on every store whose preview went through, and stops after one that
// failed somewhere. failed has an error for each store that did not make it, the earlier ones of previewed included.
func (r *runner) up(ctx context.Context, db *control.DB, p preview, previewed []error, reason string) (report upReport, failed []error, err error) {
	report = upReport{Environment: r.env.Name, Runs: []runReport{}, Allowed: reason, NextActions: []string{}}
	failed = slices.Clone(previewed)
	at := r.places()
	for i, m := range p.Migrations {
		due := map[livestore.StoreID]int64{}
		events := int64(0)
		for _, s := range m.Stores {
			if failed[at[s.Store]] == nil {
				due[s.Store] = s.Events
				events += s.Events
			}
		}
		if len(due) == 0 {
			continue
		}
		run, err := r.begin(ctx, db, r.plans[i], due, reason)
		if err != nil {
			return report, failed, err
		}
		err = r.finish(ctx, db, run, events)
		one, e := r.report(context.WithoutCancel(ctx), db, run.ID)
		if err := errors.Join(err, e); err != nil {
			report.Committed += one.committed()
			return report, failed, err
		}
		report.Runs = append(report.Runs, one)
		report.Committed += one.committed()
		for _, s := range one.Stores {
			if k, ok := at[livestore.StoreID(s.Store)]; ok && s.ErrorCode != "" {
				failed[k] = storeError(s)
			}
		}
		if one.State != control.Succeeded {
			break
		}
	}
	report.Failed = r.failures(failed)
	return report, failed, nil
}

// again goes on with the stores that failed in the last run of each migration.
func (r *runner) again(c *cli.Context, reason string) (err error) {
	db, err := r.app.openControl(c.Context, r.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	out := upReport{Environment: r.env.Name, Runs: []runReport{}, Failed: []failedStore{}, Allowed: reason, NextActions: []string{}}
	bad := errs.Code("")
	for _, p := range r.plans {
		run, ok, err := lastRun(c.Context, db, r.env.Name, p.Name)
		if err != nil {
			return err
		}
		if !ok || run.State != control.Failed {
			continue
		}
		if _, err := db.Retry(c.Context, run.ID, "", []control.State{control.Failed, control.Stalled}, r.app.by(reason)); err != nil {
			return err
		}
		if err := r.finish(c.Context, db, run, 0); err != nil {
			return err
		}
		one, err := r.report(c.Context, db, run.ID)
		if err != nil {
			return err
		}
		out.Runs = append(out.Runs, one)
		out.Committed += one.committed()
		for _, s := range one.Stores {
			if s.ErrorCode != "" {
				out.Failed = append(out.Failed, failedOf(s))
				bad = errs.Partial
			}
		}
	}
	if len(out.Runs) == 0 {
		return errs.NotFoundf("no run has failed").Then("headgate migration up" + r.named(c))
	}
	out.NextActions = append(out.NextActions, "headgate migration verify"+r.named(c))
	if err := r.app.render(out, func(w io.Writer) error { return r.writeUp(w, out) }); err != nil || bad == "" {
		return err
	}
	return errs.New(bad, "%s failed again", count(len(out.Failed), "store")).Hintf("each one is listed with its reason").
		Then("headgate migration up" + r.named(c) + " --only-failed")
}

// lastRun is the latest run of a migration, in one of the states (none: any).
func lastRun(ctx context.Context, db *control.DB, env, migration string, states ...control.State) (control.Run, bool, error) {
	for run, err := range db.Runs(ctx, env, states...) {
		if err != nil || migration == "" || run.Migration == migration {
			return run, err == nil, err
		}
	}
	return control.Run{}, false, nil
}

// detach begins the run of the one migration and leaves it to the workers.
func (r *runner) detach(ctx context.Context, db *control.DB, p preview, failed []error, reason string) error {
	due := map[livestore.StoreID]int64{}
	at := r.places()
	for _, s := range p.Migrations[0].Stores {
		if failed[at[s.Store]] == nil {
			due[s.Store] = s.Events
		}
	}
	run, err := r.begin(ctx, db, r.plans[0], due, reason)
	if err != nil {
		return err
	}
	next := "headgate status --env " + r.env.Name
	return r.app.render(map[string]any{"run": run, "next_actions": []string{next}}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "began run %s of %s on %s of %s; workers take it from here\nnext: %s\n",
			run.ID, run.Migration, count(len(due), "store"), r.env.Name, next)
		return err
	})
}

func (r *runner) report(ctx context.Context, db *control.DB, id string) (out runReport, err error) {
	if out.Run, err = db.Run(ctx, id); err != nil {
		return out, err
	}
	out.Stores = []control.StoreRun{}
	for s, err := range db.StoreRuns(ctx, id, control.AllWaves) {
		if err != nil {
			return out, err
		}
		out.Stores = append(out.Stores, s)
	}
	return out, nil
}

func (r runReport) committed() (n int64) {
	for _, s := range r.Stores {
		n += s.Committed
	}
	return n
}

// longTable is how many stores are listed one by one.
const longTable = 50

func (r *runner) writeUp(w io.Writer, u upReport) error {
	for _, run := range u.Runs {
		fmt.Fprintf(w, "%s on %s, run %s: %s\n", r.app.stdout.paint(strong, run.Migration), u.Environment, run.ID, run.State)
		if len(run.Stores) > longTable {
			if err := writeStates(w, run.Stores); err != nil {
				return err
			}
			continue
		}
		rows := [][]string{{"STORE", "COMMITTED", "BEFORE", "PUSHES", "CONFLICTS", "HEAD", "STATE"}}
		for _, s := range run.Stores {
			rows = append(rows, []string{
				s.Store, fmt.Sprint(s.Committed), fmt.Sprint(s.Before), fmt.Sprint(s.Pushes), fmt.Sprint(s.Conflicts),
				fmt.Sprintf("e%d", s.Head), string(s.State),
			})
		}
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprint(w, r.writeFailures(u.Failed))
	fmt.Fprintf(w, "\n%s committed\n", counted(u.Committed, "event"))
	for _, n := range u.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// writeStates counts many stores by their state.
func writeStates(w io.Writer, stores []control.StoreRun) error {
	rows := [][]string{{"STATE", "STORES", "COMMITTED", "BEFORE"}}
	for _, state := range control.States() {
		n, committed, before := 0, int64(0), int64(0)
		for _, s := range stores {
			if s.State == state {
				n++
				committed += s.Committed
				before += s.Before
			}
		}
		if n > 0 {
			rows = append(rows, []string{string(state), fmt.Sprint(n), fmt.Sprint(committed), fmt.Sprint(before)})
		}
	}
	return table(w, rows)
}
