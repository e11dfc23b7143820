package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
	"headgate/migrations"
)

// migrationFlags are the flags of the commands that run migrations on stores.
func migrationFlags(more ...cli.Flag) []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
		&cli.StringSliceFlag{Name: "store", Usage: "only the store `STORE`; may be given several times"},
		&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
	}, more...)
}

// A runner runs migrations on the stores of an environment.
type runner struct {
	app      *app
	cfg      *config.Config
	env      config.Environment
	launcher script.Launcher
	pace     *time.Duration // of this run, nil for that of each store
	run      string         // 8 hex digits that tell this run apart
	jobs     int
	drift    *drift // that runs are begun with; nil for the default
	planned  string // the digest of the plan that it carries out; empty for none
	worker   bool   // it works on what others began: where the app's directory has something else, with what their runs keep
	seen     sight
	mu       sync.Mutex // of plans, where several goroutines work
	plans    []migrationPlan
	stores   []config.Store // those that a plan is for

	known map[livestore.StoreID]control.Store    // the heads and backends that are known of them
	of    []config.Store                         // all of them, where stores are a sample; nil elsewhere
	heads map[livestore.StoreID]livestore.SeqNum // their sizes, where they were asked
}

// A migrationPlan is a migration with the release that makes its state, and what the releases alive do with its events.
type migrationPlan struct {
	migrations.Definition
	before  []earlier // those that After names
	target  replay.Target
	readers []migrations.Reader
	assumed bool // nobody said which releases are alive
	first   bool // it was not asked for: it comes before one that was
}

// An earlier is a migration that comes before another one, with the release that makes its state.
type earlier struct {
	migrations.Definition
	target replay.Target
}

// runner reads everything that a run needs, and refuses what can't work before any store is contacted.
func (a *app) runner(c *cli.Context) (*runner, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	if c.Args().Len() > 1 {
		return nil, errs.Invalidf("name one migration, or none for all of them")
	}
	if err := aboveZero(c, "jobs"); err != nil {
		return nil, err
	}
	env, err := cfg.Environment(c.String("env"))
	if err != nil {
		return nil, err
	}
	defs, err := a.definitions(c.Context, cfg, c.Args().First())
	if err != nil {
		return nil, err
	}
	if len(defs) == 0 {
		return nil, errs.NotFoundf("there are no migrations").At("%s", cfg.Migrations).Then("headgate migration new NAME")
	}
	r, err := a.newRunner(c.Context, cfg, env, defs, c.Int("jobs"))
	if err != nil {
		return nil, err
	}
	return r, r.choose(c.Context, c.StringSlice("store"))
}

// newRunner makes a runner of the definitions that has no stores yet. jobs is 0 for as many as there are processors.
func (a *app) newRunner(ctx context.Context, cfg *config.Config, env config.Environment, defs []migrations.Definition, jobs int) (*runner, error) {
	l, err := a.launcher()
	if err != nil {
		return nil, err
	}
	r := &runner{app: a, cfg: cfg, env: env, launcher: l, jobs: workers(jobs), run: randomHex(4)}
	for _, d := range defs {
		p, err := r.plan(ctx, d)
		if err != nil {
			return nil, err
		}
		r.plans = append(r.plans, p)
	}
	return r, nil
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// choose takes the stores of the migrations' schemas.
func (r *runner) choose(ctx context.Context, ids []string) error {
	for _, id := range ids {
		s, err := r.app.store(ctx, r.cfg, r.env, livestore.StoreID(id))
		if err != nil {
			return err
		}
		if len(r.plansOf(s)) == 0 {
			return errs.Invalidf("no migration is for store %s: it is of schema %s", id, s.Schema).At("%s", r.cfg.Where(s.Line))
		}
	}
	all, err := r.app.stores(ctx, r.cfg, r.env)
	if err != nil {
		return err
	}
	chosen := map[string]bool{}
	for _, id := range ids {
		chosen[id] = true
	}
	for _, s := range all {
		if len(r.plansOf(s)) > 0 && (len(ids) == 0 || chosen[string(s.ID)]) {
			r.stores = append(r.stores, s)
		}
	}
	if len(r.stores) == 0 {
		return errs.NotFoundf("environment %q has no store of the migrations' schemas", r.env.Name).At("%s", r.cfg.Where(r.env.Line)).
			Then("headgate help config")
	}
	return r.recall(ctx)
}

// recall asks what is known of the stores. Where there is no control database nothing is, and none is made.
func (r *runner) recall(ctx context.Context) error {
	return r.app.known(ctx, r.env, "the heads of stores", func(ops operations) error {
		at := r.places()
		r.known = map[livestore.StoreID]control.Store{}
		all, err := ops.StoreList(ctx, "")
		for _, s := range all.Stores {
			if _, ok := at[livestore.StoreID(s.ID)]; ok {
				r.known[livestore.StoreID(s.ID)] = control.Store{ID: s.ID, Head: s.Head, BackendID: s.BackendID}
			}
		}
		return err
	})
}

// familiar refuses a log that is not what the control database knows of its store.
func (r *runner) familiar(ctx context.Context, s config.Store, log eventlog.Reader) error {
	known, ok := r.known[s.ID]
	if !ok {
		return nil
	}
	h, err := log.Head(ctx)
	if err != nil {
		return err
	}
	return known.Compare(r.env.Name, int64(max(h.Confirmed, h.Last.Global)), h.BackendID)
}

func (r *runner) plansOf(s config.Store) (out []migrationPlan) {
	for _, p := range r.plans {
		if p.Schema == s.Schema {
			out = append(out, p)
		}
	}
	return out
}

// plan checks a migration and finds out with which release it runs, and who reads its events.
func (r *runner) plan(ctx context.Context, d migrations.Definition) (migrationPlan, error) {
	return r.planFrom(ctx, r.cfg, d)
}

// planFrom is plan with the migrations and the releases of another configuration.
func (r *runner) planFrom(ctx context.Context, cfg *config.Config, d migrations.Definition) (migrationPlan, error) {
	p := migrationPlan{Definition: d}
	releases, err := releaseDir(cfg).LoadAll(d.Schema)
	if err != nil {
		return p, err
	}
	for _, name := range d.After {
		before, err := r.app.definitions(ctx, cfg, name)
		if err != nil {
			return p, err
		}
		target, err := r.app.migrationTarget(cfg, before[0], releases)
		if err != nil {
			return p, err
		}
		p.before = append(p.before, earlier{before[0], target})
	}
	if found := migrations.Lint(d, releases); len(found) > 0 {
		return p, errs.New(errs.Findings, "%s", found[0].Msg).At("%s:%d", d.Path, found[0].Line).Hintf("%s", found[0].Hint).
			Then("headgate migration check " + d.Name)
	}
	if p.target, err = r.app.migrationTarget(cfg, d, releases); err != nil {
		return p, err
	}
	live, assumed, err := r.live(ctx, d, releases)
	if err != nil {
		return p, err
	}
	s, err := r.cfg.Schema(d.Schema)
	p.assumed = assumed
	p.readers = migrations.Readers(d, p.target.Release, live, slices.Contains(s.Adapters, config.Web))
	return p, err
}

// migrationTarget is the newest recorded release that the migration admits.
func (a *app) migrationTarget(cfg *config.Config, d migrations.Definition, releases []*schema.Release) (replay.Target, error) {
	version, ok := migrations.Newest(d, versionsOf(releases))
	if !ok {
		return replay.Target{}, errs.NotFoundf("no recorded release is %s", d.Requires).At("%s:%d", d.Path, d.RequiresLine)
	}
	s, err := cfg.Schema(d.Schema)
	if err != nil {
		return replay.Target{}, err
	}
	b, err := recorded(cfg, s, version)
	if err != nil {
		return replay.Target{}, err
	}
	return replay.Target{Release: b.Release, Program: programOf(b), Locate: b.Script.LocateTrace}, nil
}

// live are the releases that clients of the environment run: as headgate.yaml says, or else the last census. Where
// neither does, all that are recorded may be out there.
func (r *runner) live(ctx context.Context, d migrations.Definition, releases []*schema.Release) (live []*schema.Release, assumed bool, err error) {
	alive := r.env.Fleet.Alive
	if len(alive) == 0 {
		if alive, err = r.app.censusOf(ctx, r.env); err != nil {
			return nil, false, err
		}
	}
	if len(alive) == 0 {
		return releases, true, nil
	}
	for _, v := range alive {
		i := slices.IndexFunc(releases, func(k *schema.Release) bool { return k.Version == v.Release })
		if i < 0 && r.worker { // it was recorded after the run began
			late, err := releaseDir(r.cfg).Load(d.Schema, v.Release)
			if err == nil {
				live = append(live, late)
				continue
			}
		}
		switch {
		case i >= 0:
			live = append(live, releases[i])
		case v.Release == unknownRelease:
			return nil, false, errs.Refusedf("the census saw clients that did not say their release: whether they can read what %s commits is not known", d.Name).
				At("%s", r.cfg.Where(v.Line)).Hintf("find out what they run, or say which releases are alive under fleet: alive:").
				Then("headgate census --env " + r.env.Name)
		case len(r.cfg.Schemas) == 1:
			return nil, false, errs.NotFoundf("release %s is alive, but not recorded: whether it can read what %s commits is not known", v.Release, d.Name).
				At("%s", r.cfg.Where(v.Line)).Then("headgate release add " + v.Release + " --git-ref v" + v.Release)
		}
	}
	return live, false, nil
}

// A storeTask is one store with the migrations for it.
type storeTask struct {
	store config.Store
	plans []migrationPlan
}

// each works on every store, jobs at a time. A store that fails does not end the others; errors are returned by store.
func (r *runner) each(ctx context.Context, label string, work func(context.Context, storeTask) error) []error {
	p := r.app.progress(label, int64(len(r.stores)))
	defer p.Done()
	return inParallel(ctx, r.jobs, len(r.stores), func(i int) error {
		defer p.Add(1)
		return work(ctx, storeTask{r.stores[i], r.plansOf(r.stores[i])})
	})
}

// paceOf is the pause between two pushes to a store.
func (r *runner) paceOf(s config.Store) time.Duration {
	if r.pace != nil {
		return *r.pace
	}
	return r.env.PaceOf(s)
}

// job makes a migration's job on a store, on a log that is open. The caller removes its directory.
func (r *runner) job(t storeTask, p migrationPlan, log eventlog.Reader) (migrations.Job, error) {
	j := migrations.Job{
		Definition: p.Definition, Target: p.target, Store: t.store.ID, Log: log,
		Launcher: r.launcher, Checkpoints: checkpointsOf(r.cfg), Run: r.run, Fence: 1, // a run's are the fleet's
		Pace: r.paceOf(t.store), Patience: patience, Now: r.app.now, Sleep: sleep, Jitter: jitter,
		Progress: func(int64, int64) {},
	}
	var err error
	if j.Dir, err = r.app.workDir(); err != nil {
		return j, err
	}
	for _, d := range p.before {
		before := j
		before.Definition, before.Target, before.After = d.Definition, d.target, nil
		before.Dir = filepath.Join(j.Dir, d.Name)
		if err := os.Mkdir(before.Dir, 0o700); err != nil {
			return j, err
		}
		j.After = append(j.After, before)
	}
	return j, nil
}

// patience is how long a store may go without progress before it is given up.
const patience = 2 * time.Minute

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func jitter(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return mathrand.N(most)
}

// withLog opens the store's log, makes sure that it is the one that is known, hands it to work and closes it. Errors say
// the store.
func (r *runner) withLog(ctx context.Context, s config.Store, work func(eventlog.Reader) error) (err error) {
	log, err := r.app.openStore(ctx, r.cfg, r.env, s)
	if err != nil {
		return r.at(s, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := r.familiar(ctx, s, log); err != nil {
		return r.at(s, err)
	}
	return r.at(s, work(log))
}

// at gives an error the line of the store where it has no place.
func (r *runner) at(s config.Store, err error) error {
	e := errs.As(err)
	if e == nil {
		return err
	}
	if e.Where == "" {
		e.At("%s", r.cfg.Where(s.Line))
	}
	for i, next := range e.Next {
		e.Next[i] = operate.InEnv(next, r.env.Name)
	}
	return err
}

// with runs one migration on one store.
func (r *runner) with(ctx context.Context, t storeTask, p migrationPlan, log eventlog.Reader, work func(context.Context, migrations.Job) error) error {
	j, err := r.job(t, p, log)
	if j.Dir != "" {
		defer os.RemoveAll(j.Dir) //nolint:errcheck // best effort; it is in the system's temporary directory
	}
	if err != nil {
		return err
	}
	return work(ctx, j)
}

// failures lists the stores that failed.
func (r *runner) failures(failed []error) []operate.FailedStore {
	out := []operate.FailedStore{}
	for i, err := range failed {
		if err == nil {
			continue
		}
		out = append(out, failureOf(r.stores[i].ID, err))
	}
	return out
}

func failureOf(store livestore.StoreID, err error) operate.FailedStore {
	f := operate.FailedStore{Store: store, Code: errs.CodeOf(err), Error: err.Error()}
	if e := errs.As(err); e != nil {
		f.Hint, f.Next = e.Hint, e.Next
	}
	return f
}

// namedStores is how many stores an error names.
const namedStores = 10

// outcome is the error that a run over several stores ends with: that of its store where it is one, else partial.
func (r *runner) outcome(failed []error, again string) error {
	list := r.failures(failed)
	switch {
	case len(list) == 0:
		return nil
	case len(r.stores) == 1:
		if e := errs.As(failed[0]); e != nil && len(e.Next) == 0 && again != "" {
			e.Then(again)
		}
		return failed[0]
	}
	code := errs.Partial
	if len(list) == len(r.stores) {
		code = list[0].Code
		for _, f := range list {
			if f.Code != code {
				code = errs.Partial
			}
		}
	}
	var ids []string
	for _, f := range list[:min(len(list), namedStores)] {
		ids = append(ids, string(f.Store))
	}
	more := ""
	if n := len(list) - len(ids); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	e := errs.New(code, "%d of %s failed: %s%s", len(list), count(len(r.stores), "store"), strings.Join(ids, ", "), more).
		Hintf("each one is listed with its reason")
	for _, f := range list { // where all are told the same, that comes first
		if len(f.Next) > 0 && strings.HasPrefix(f.Next[0], "headgate migration up ") && !slices.Contains(e.Next, f.Next[0]) {
			e.Then(f.Next[0])
		}
	}
	if again != "" {
		e.Then(again)
	}
	return e
}

// writeFailures lists what failed.
func (r *runner) writeFailures(list []operate.FailedStore) string { return r.app.failedText(list) }
