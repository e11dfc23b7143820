package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
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

// An assessor is one run of the command.
type assessor struct {
	app       *app
	cfg       *config.Config
	env       config.Environment
	schema    config.Schema
	stores    []config.Store
	strata    []corrective.Stratum // of all stores, where stores are a sample of them
	selection corrective.Selection
	bad       string // the release whose materializers made the state; empty for the selection's, or the newest
	launcher  script.Launcher
	jobs      int

	is      replay.Target  // makes the state as it is
	good    *replay.Target // makes the one that it should be
	readers []replay.Target
	assumed bool
	ran     map[livestore.StoreID]map[string]string // store to client to release, from the census

	earlier map[livestore.StoreID]damageReport // what an assessment of the same events found, by the stores that were hit

	back *replay.Target     // the release that one would go back to; nil where nobody asks
	mu   sync.Mutex         // of met
	met  corrective.Reading // what back does with every event of the logs, not the bad ones alone: its clients meet them all
}

func (a *app) rollbackAssess(c *cli.Context) error {
	if c.Int("rows") < 0 {
		return errs.Invalidf("--rows %d is negative", c.Int("rows"))
	}
	if err := aboveZero(c, "sample"); err != nil {
		return err
	}
	in, err := a.incidentOf(c, true)
	if err != nil {
		return err
	}
	s, err := a.assessor(c, in)
	if err != nil {
		return err
	}
	report, err := s.all(c)
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

// assessor reads what the command needs before any log is opened. in is the incident that it is about, or nil.
func (a *app) assessor(c *cli.Context, in *incident) (*assessor, error) {
	if err := aboveZero(c, "jobs"); err != nil {
		return nil, err
	}
	cfg, kind, env, err := a.chosen(c)
	if err != nil {
		return nil, err
	}
	s := &assessor{app: a, cfg: cfg, env: env, schema: kind, jobs: workers(c.Int("jobs")), ran: map[livestore.StoreID]map[string]string{}}
	if in != nil {
		s.bad = in.Bad
	}
	if s.selection, err = a.selection(c, cfg, s.schema); err != nil {
		return nil, err
	}
	if s.launcher, err = a.launcher(); err != nil {
		return nil, err
	}
	if s.stores, err = a.storesOf(c.Context, cfg, s.env, s.schema, c.StringSlice("store")); err != nil {
		return nil, err
	}
	if err := s.targets(c.Context, c.String("good")); err != nil {
		return nil, err
	}
	if n := c.Int("sample"); n > 0 && n < len(s.stores) {
		if err := s.sample(c.Context, n); err != nil {
			return nil, err
		}
	}
	return s, s.census(c.Context)
}

// storesOf are the environment's stores of a schema, all of them or those named.
func (a *app) storesOf(ctx context.Context, cfg *config.Config, env config.Environment, s config.Schema, ids []string) ([]config.Store, error) {
	for _, id := range ids {
		if _, err := a.store(ctx, cfg, env, livestore.StoreID(id)); err != nil {
			return nil, err
		}
	}
	var out []config.Store
	for _, st := range env.Stores {
		if st.Schema == s.Name && (len(ids) == 0 || slices.Contains(ids, string(st.ID))) {
			out = append(out, st)
		}
	}
	if len(out) == 0 {
		return nil, errs.NotFoundf("environment %q has no such store of schema %s", env.Name, s.Name).At("%s", cfg.Where(env.Line)).
			Then("headgate help config")
	}
	return out, nil
}

// targets loads the releases: the bad one, or else the newest that is recorded; the good one; and those that are alive.
func (s *assessor) targets(ctx context.Context, good string) error {
	releases, err := releaseDir(s.cfg).LoadAll(s.schema.Name)
	if err != nil {
		return err
	}
	if len(releases) == 0 {
		return errs.NotFoundf("no release of %s is recorded", s.schema.Name).Hintf("the events mean nothing without their materializers").
			Then("headgate release add 1.0.0")
	}
	bad := cmp.Or(s.bad, s.selection.Release, releases[len(releases)-1].Version)
	if s.is, err = targetOf(s.cfg, s.schema, bad); err != nil {
		return err
	}
	if good != "" {
		t, err := targetOf(s.cfg, s.schema, good)
		if err != nil {
			return err
		}
		s.good = &t
	}
	alive := s.env.Fleet.Alive
	if len(alive) == 0 {
		if alive, err = s.app.censusOf(ctx, s.env); err != nil {
			return err
		}
	}
	s.assumed = len(alive) == 0
	for _, r := range releases {
		if !s.assumed && !slices.ContainsFunc(alive, func(v config.Alive) bool { return v.Release == r.Version }) {
			continue
		}
		t, err := targetOf(s.cfg, s.schema, r.Version)
		if err != nil {
			return err
		}
		s.readers = append(s.readers, t)
	}
	return nil
}

// census reads on which release each client was last seen, where the environment has a control database.
func (s *assessor) census(ctx context.Context) (err error) {
	db, err := s.app.existingControl(ctx, s.env)
	if db == nil || err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, st := range s.stores {
		clients, err := db.ClientsOf(ctx, s.env.Name, string(st.ID))
		if err != nil {
			return err
		}
		of := map[string]string{}
		for _, c := range clients {
			if _, err := schema.ParseVersion(c.Release); err == nil {
				of[c.ID] = c.Release
			}
		}
		s.ran[st.ID] = of
	}
	return nil
}

// all assesses every store, jobs at a time. A store that fails does not end the others, and is in the report; it is the
// error where it is the only one, or where the selection can't be answered at all.
func (s *assessor) all(c *cli.Context) (assessment, error) {
	damages := make([]damageReport, len(s.stores))
	p := s.app.progress("assessed stores", int64(len(s.stores)))
	defer p.Done()
	var key []byte
	key, _ = hex.DecodeString(randomHex(32)) // always hex
	diff := state.Options{Rows: c.Int("rows"), Reveal: c.Bool("reveal"), HashKey: key}
	failed := inParallel(c.Context, s.jobs, len(s.stores), func(i int) (err error) {
		defer p.Add(1)
		damages[i], err = s.one(c.Context, s.stores[i], diff, c.Bool("no-state"))
		return err
	})
	if c.Context.Err() != nil {
		return assessment{}, context.Cause(c.Context)
	}
	for _, err := range failed {
		if err != nil && (len(s.stores) == 1 || errs.CodeOf(err) == errs.Invalid) {
			return assessment{}, err
		}
	}
	return s.report(damages, failed), nil
}

func (s *assessor) one(ctx context.Context, st config.Store, diff state.Options, countOnly bool) (d damageReport, err error) {
	log, err := s.app.openStore(ctx, s.cfg, s.env, st)
	if err != nil {
		return d, atStore(err, s.cfg, st)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if d, err = s.assess(ctx, st, log, diff, countOnly); err == nil && s.back != nil {
		var r corrective.Reading
		r, err = corrective.Receive(ctx, s.launcher, log, corrective.Selection{}, nil, *s.back)
		s.mu.Lock()
		s.met.Merge(r)
		s.mu.Unlock()
		if err == nil && r.Verdict == corrective.Reads && d.Effect != nil {
			d.Otherwise, err = s.measure(ctx, st, log, s.back, diff)
		}
	}
	if err != nil {
		return d, atStore(err, s.cfg, st)
	}
	return d, nil
}

func (s *assessor) assess(ctx context.Context, st config.Store, log eventlog.Reader, diff state.Options, countOnly bool) (d damageReport, err error) {
	if d, known, err := s.unchanged(ctx, st, log, countOnly, diff); known || err != nil {
		return d, err
	}
	ran := func(client string) string { return s.ran[st.ID][client] }
	d.Readings = []corrective.Reading{}
	if d.Damage, err = corrective.Assess(ctx, st.ID, log, s.selection, ran, func(int64) {}); err != nil || d.Events.Total() == 0 {
		return d, err
	}
	for _, t := range s.readers {
		r, err := corrective.Receive(ctx, s.launcher, log, s.selection, ran, t)
		if err != nil {
			return d, err
		}
		d.Readings = append(d.Readings, r)
	}
	if countOnly {
		return d, nil
	}
	d.Effect, err = s.measure(ctx, st, log, s.good, diff)
	return d, err
}

// measure makes the state as it is, and as good makes it, or, where that is nil, without the bad events.
func (s *assessor) measure(ctx context.Context, st config.Store, log eventlog.Reader, good *replay.Target, diff state.Options) (*corrective.Effect, error) {
	dir, err := os.MkdirTemp("", "headgate-assess-") // 0700
	if err != nil {
		return nil, errs.New(errs.Internal, "can't make a temporary directory").Because(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // best effort; it is in the system's temporary directory
	e, err := corrective.Measure(ctx, log, s.selection, func(client string) string { return s.ran[st.ID][client] }, corrective.Comparison{
		Launcher: s.launcher, Release: s.is, Good: good, Dir: dir, Diff: diff,
		Options: replay.Options{Checkpoints: checkpointsOf(s.cfg), Store: string(st.ID), Now: s.app.now},
	})
	return &e, err
}

// planLine is the command that ranks the remedies for what was assessed.
func (s *assessor) planLine() string {
	line := strings.Replace(s.app.line, " assess ", " plan ", 1)
	if s.good != nil { // plan compares with the release to go back to
		line = regexp.MustCompile(`( --good[ =])`).ReplaceAllString(line, " --to ")
	}
	return regexp.MustCompile(` --(rows[ =]\S+|reveal)`).ReplaceAllString(line, "")
}

// unchanged is what an earlier assessment found in a store, whose log has not moved since.
func (s *assessor) unchanged(ctx context.Context, st config.Store, log eventlog.Reader, countOnly bool, diff state.Options) (d damageReport, known bool, err error) {
	d, known = s.earlier[st.ID]
	if !known || d.Pending > 0 || diff.Rows > 0 || d.Effect == nil && !countOnly || len(d.Readings) != len(s.readers) || s.good != nil {
		return damageReport{}, false, nil
	}
	for i, r := range d.Readings {
		if r.Release != s.readers[i].Release.Version {
			return damageReport{}, false, nil
		}
	}
	head, err := log.Head(ctx)
	if err != nil || max(head.Confirmed, head.Last.Global) != d.Head || d.Effect != nil && d.Effect.Release != s.is.Release.Version {
		return damageReport{}, false, err
	}
	return d, true, nil
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
