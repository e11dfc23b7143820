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
	"headgate/cmd/headgate/internal/operate"
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
			"headgate migration up --env prod --yes --format json\n" +
			"headgate migration up --env prod --store archive --pace 0ms --yes",
		Description: `Previews first, asks, and then commits: batch by batch, at the environment's pace, slower while others write. It may
be killed at any moment, run twice, or race with live clients: the log itself says what is there already, and each key
gets one event. Run it again to go on.

A store stops by itself when more is due than the preview said, by over a fifth and 50 events, or as --max-drift says. A release that is alive and
could not read the events stops the run before it begins: where its clients would only skip them, --allow RO102 with
--reason goes on; where they would stop syncing for good, nothing does. ^C ends after the batch under way.

The stores are taken in the waves of headgate.yaml (headgate help config), one wave after the other. A wave in which over
2 % of the stores fail begins no more of them, unless it says on_error: continue.

What is committed to a stopped client's log (file:) is pending until the client is online and syncs. A copy of the log as it
was, and the client's state files, go to a backup, which is printed: the next start of the client rebuilds its state. A client that has its log open is refused; where that can't be seen (no
lsof on macOS, Windows, a client in another container) stop all clients yourself, and say so with --force-closed.

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
		&cli.StringFlag{Name: "pace", Usage: "the pause between two pushes to a store in this run: `DURATION`; 0ms for none, where no client writes"},
		&cli.BoolFlag{Name: "force-closed", Usage: "append to a client's log where it can't be seen whether the client is stopped: you know it is"},
		&cli.StringFlag{Name: "wave", Usage: "only the stores of the wave `WAVE` of headgate.yaml"},
		&cli.BoolFlag{Name: "detach", Usage: "begin the run and leave it to the workers"},
		maxDriftFlag(),
		&cli.BoolFlag{Name: "only-failed", Usage: "go on with the stores that failed in the last run"},
		&cli.StringSliceFlag{Name: "allow", Usage: "let `RO102` pass: clients of a release that is alive skip the events; needs --reason"},
		&cli.StringFlag{Name: "reason", Usage: "why it is allowed: `TEXT`"},
	)
}

func (a *app) migrationUp(c *cli.Context) (err error) {
	by, err := a.allowing(c)
	if err != nil {
		return err
	}
	allow, reason := by.Allowed, by.Reason
	drift, err := maxDrift(c)
	if err != nil {
		return err
	}
	r, err := a.upRunner(c)
	if err != nil {
		return err
	}
	a.forceClosed = c.Bool("force-closed")
	if v := c.String("pace"); v != "" {
		if err := r.setPace(v, c.Bool("only-failed")); err != nil {
			return err
		}
	}
	r.drift = drift
	if name := c.String("wave"); name != "" {
		if err := r.only(name); err != nil {
			return err
		}
	}
	if drift != nil && c.Bool("only-failed") {
		return errs.Invalidf("--max-drift does not go with --only-failed").Hintf("a run keeps the bound that it was begun with")
	}
	if c.Bool("detach") && len(r.plans) > 1 {
		return errs.Invalidf("--detach begins one run: name the migration").Hintf("they are run in order, each when the one before has ended")
	}
	if !c.Bool("only-failed") { // a run keeps what was allowed when it began
		if err := r.harmless(allow); err != nil {
			return err
		}
	}
	if c.Bool("dry-run") {
		if c.Bool("only-failed") {
			return errs.Invalidf("--dry-run does not go with --only-failed").Hintf("headgate status shows what failed")
		}
		return r.dryRun(c.Context)
	}
	db, err := a.openControl(c.Context, r.env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	again := a.without("--only-failed", "--detach")
	report := upReport{Environment: r.env.Name, Failed: []operate.FailedStore{}, Allowed: reason, NextActions: []string{}}
	begin := r.begun
	switch {
	case c.Bool("only-failed") && c.Bool("detach"):
		return errs.Invalidf("--detach does not go with --only-failed").Hintf("headgate migration resume leaves a run to the workers")
	case c.Bool("only-failed"):
		begin = r.retried
	}
	failed, err := r.inOrder(c, db, begin, &report)
	report.ClientLogs = a.clientLogs.all()
	if c.Context.Err() != nil {
		writeClientLogs(a.stderr, report.ClientLogs)
		return errs.New(errs.Interrupted, "stopped; %s committed, and each of them once", counted(report.Committed, "event")).
			Hintf("the same command goes on from there").Then(again)
	}
	if err != nil {
		return err
	}
	if c.Bool("only-failed") && len(report.Runs) == 0 && !slices.ContainsFunc(failed, func(e error) bool { return e != nil }) {
		return errs.NotFoundf("no run has failed").Then(again)
	}
	return r.ended(report, failed, again, "headgate migration verify"+r.named(c))
}

// setPace takes --pace.
func (r *runner) setPace(v string, onlyFailed bool) error {
	pace, err := config.ParseDuration(v)
	if err != nil {
		return errs.Invalidf("--pace: %q is not a duration", v).Hintf("write a number and a unit: 500ms, 2s; 0ms for no pause")
	}
	if onlyFailed {
		return errs.Invalidf("--pace does not go with --only-failed").Hintf("the run keeps the pace that it began with")
	}
	r.pace = &pace
	return nil
}

// allowing reads what a command lets pass, and why.
func (a *app) allowing(c *cli.Context) (control.By, error) {
	by := a.by(reasonOf(c))
	by.Allowed = c.StringSlice("allow")
	if i := slices.IndexFunc(by.Allowed, func(s string) bool { return s != "RO102" }); i >= 0 {
		return by, errs.Invalidf("--allow %s: only RO102 can be allowed here", by.Allowed[i]).Then(a.typed + " --help")
	}
	if len(by.Allowed) > 0 && by.Reason == "" {
		return by, errs.Invalidf("--allow needs --reason")
	}
	return by, nil
}

// dryRun previews everything, and does no more.
func (r *runner) dryRun(ctx context.Context) error {
	if err := r.withEarlier(ctx); err != nil {
		return err
	}
	p, failed := r.preview(ctx, state.Options{}, previewing{inOrder: true})
	defer p.close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.Stores, p.Estimate = p.Sampled, p.Events
	p.NextActions = append(r.firstUp(p), p.NextActions...)
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	if err := r.app.render(p, func(w io.Writer) error { return r.writePreview(w, p) }); err != nil {
		return err
	}
	return r.outcome(failed, "")
}

// without is the command line as it was typed, without some of its flags that take no value.
func (a *app) without(flags ...string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(a.line, " "), func(word string) bool { return slices.Contains(flags, word) }), " ")
}

// onlyFailed is the command that goes on with the stores that failed: without the flags whose values a run keeps.
func onlyFailed(line string) string {
	var words []string
	kept := []string{"--pace", "--max-drift"} // neither value has a space
	for _, word := range strings.Split(line, " ") {
		name, _, joined := strings.Cut(word, "=")
		switch {
		case slices.Contains(kept, name) && joined:
		case len(words) > 0 && slices.Contains(kept, words[len(words)-1]):
			words = words[:len(words)-1]
		default:
			words = append(words, word)
		}
	}
	return strings.Join(append(words, "--only-failed"), " ")
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

// harmless refuses a run that the releases alive can't read. What allow holds may pass.
func (r *runner) harmless(allow []string) error {
	for _, p := range r.plans {
		if err := p.harmless(allow, r.app.line, r.app.line); err != nil {
			return err
		}
	}
	return nil
}

// harmless refuses a migration that the releases alive can't read: again is for when they are gone, another for a run that
// lets holes pass.
func (p migrationPlan) harmless(allow []string, again, another string) error {
	for _, rd := range p.readers {
		who := "is alive"
		if p.assumed {
			who = "may be alive (headgate.yaml does not say which releases are)"
		}
		switch {
		case rd.Verdict == migrations.Breaks:
			return errs.Refusedf("release %s %s, and can't take the events of %s: %s", rd.Release, who, p.Name, rd.Why).
				At("%s", p.Path).Hintf("wait until no client runs it, and say so under fleet: alive: in headgate.yaml").Then(again)
		case rd.Verdict == migrations.Skips && !slices.Contains(allow, "RO102"):
			return errs.Refusedf("RO102: release %s %s, and skips the events of %s: %s", rd.Release, who, p.Name, rd.Why).
				At("%s", p.Path).Hintf("wait until no client runs it, and say so under fleet: alive: in headgate.yaml; or allow the holes").
				Then("headgate help finding RO102").Then(another + ` --allow RO102 --reason "…"`)
		}
	}
	return nil
}

// ask shows the preview and waits for a yes. What is due in stores that could not be reached is not known.
func (r *runner) ask(p preview, unreached int) error {
	in := "in " + count(p.receiving, "store")
	if unreached > 0 {
		in += ", and what is due in " + count(unreached, "store") + " that could not be reached"
	}
	if !r.app.interactive {
		return errs.New(errs.Stale, "%s would be committed %s, and nobody said yes", p.what(), in).
			Hintf("a committed event can't be un-committed: look at the preview, then say --yes").Then(r.app.line + " --yes")
	}
	if err := r.writePreview(r.app.stderr, p); err != nil {
		return err
	}
	return r.sure("A committed event can't be un-committed. Commit " + p.what() + " " + in + "?")
}

// sure asks, and is an error unless the answer is yes.
func (r *runner) sure(question string) error {
	fmt.Fprintf(r.app.stderr, "\n%s (yes/no) ", question)
	answer, err := bufio.NewReader(r.app.stdin).ReadString('\n')
	if err != nil || strings.ToLower(strings.TrimSpace(answer)) != "yes" {
		return errs.New(errs.Stale, "nothing was committed: the answer was not yes")
	}
	return nil
}

// inOrder runs the migrations one after the other, each on the stores of its schema, and stops after one that is not done
// everywhere: what comes later may need it. begin makes its run, or finds it. The errors are by store.
func (r *runner) inOrder(c *cli.Context, db *control.DB, begin beginner, report *upReport) (failed []error, err error) {
	failed = make([]error, len(r.stores))
	at := r.places()
	for _, plan := range slices.Clone(r.plans) {
		one := r.part(plan)
		for _, s := range r.stores {
			if s.Schema == plan.Schema {
				one.stores = append(one.stores, s)
			}
		}
		run, bad, err := begin(c, db, one, control.By{Actor: r.app.by("").Actor, Reason: report.Allowed, Allowed: c.StringSlice("allow")})
		if err != nil {
			return failed, err
		}
		for i, e := range bad {
			if e == nil {
				continue
			}
			failed[at[one.stores[i].ID]] = e
			if !report.leftOut {
				_, err := db.StoreRun(c.Context, run.ID, string(one.stores[i].ID)) // there is no run of the empty id
				if report.leftOut = errs.CodeOf(err) == errs.NotFound; err != nil && !report.leftOut {
					return failed, err
				}
			}
		}
		if run.ID == "" { // there is nothing to do
			continue
		}
		if !c.Bool("detach") {
			err = one.finish(c.Context, db, run)
		}
		done, e := reportRun(context.WithoutCancel(c.Context), db, run.ID)
		report.Runs = append(report.Runs, done)
		report.Committed += done.committed()
		if err := errors.Join(err, e); err != nil {
			return failed, err
		}
		for s, err := range done.failed() {
			if err != nil {
				return failed, err
			}
			if k, ok := at[livestore.StoreID(s.Store)]; ok {
				failed[k] = operate.StoreError(r.env.Name, s)
			}
		}
		if done.State != control.Succeeded || slices.ContainsFunc(bad, func(e error) bool { return e != nil }) {
			break
		}
	}
	return failed, nil
}
