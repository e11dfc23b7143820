package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective/doctor"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// A round is the logs that one run of doctor looks at.
type round struct {
	app           *app
	cfg           *config.Config
	env           *config.Environment // nil for none
	all           bool                // the environment itself was asked for, not only clients
	visits        []visit
	noState, diff bool
	jobs          int

	runner *runner // what the control database knows; nil without an environment

	mu       sync.Mutex // guards what follows
	heads    int        // backends that said their own head
	found    []doctor.Finding
	holdings []*doctor.Holding
	clients  int // that were read
	held     int // of them, those whose state is what a replay makes
	beside   int // of them, those that were held against a backend
}

// A visit is one log: of a store of the environment, or what a client keeps of one.
type visit struct {
	store  config.Store
	client string // the folder; empty for the store's log itself
}

// keeps reports whether the log is a client's.
func (v visit) keeps() bool { return v.client != "" || v.store.Log.Kind == string(openlog.File) }

// doctorRound finds out what is looked at, before any log is opened.
func (a *app) doctorRound(c *cli.Context) (*round, error) {
	if err := aboveZero(c, "jobs"); err != nil {
		return nil, err
	}
	if c.Bool("no-state") && c.Bool("diff") {
		return nil, errs.Invalidf("--no-state and --diff exclude each other").Hintf("a state that differs shows only against a replay")
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	r := &round{
		app: a, cfg: cfg, all: c.String("env") != "" || c.IsSet("store"), noState: c.Bool("no-state"), diff: c.Bool("diff"), jobs: workers(c.Int("jobs")),
	}
	dirs := c.StringSlice("client-dir")
	if r.all || len(dirs) > 0 && len(cfg.Environments) == 1 {
		env, err := a.environment(c.Context, cfg, c.String("env"))
		if err != nil {
			return nil, err
		}
		r.env = &env
	}
	if r.all {
		if err := r.stores(c.Context, c.StringSlice("store")); err != nil {
			return nil, err
		}
	}
	for _, dir := range dirs {
		if err := r.keptIn(a.abs(dir), c.StringSlice("store")); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// stores adds the environment's stores, or those of them that are named.
func (r *round) stores(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		for _, s := range r.env.Stores {
			r.visits = append(r.visits, visit{store: s})
		}
		return nil
	}
	for _, id := range ids {
		s, err := r.app.store(ctx, r.cfg, *r.env, livestore.StoreID(id))
		if err != nil {
			return err
		}
		r.visits = append(r.visits, visit{store: s})
	}
	return nil
}

// keptIn adds what a client keeps in dir: one store, or one in each folder below. The folder is called as the store, unless
// --store names the one.
func (r *round) keptIn(dir string, ids []string) error {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	folders, err := filelog.Folders(dir)
	if err != nil {
		return err
	}
	for _, folder := range folders {
		id := filepath.Base(folder)
		if folder == dir && len(ids) == 1 {
			id = ids[0]
		}
		if len(ids) > 0 && !slices.Contains(ids, id) {
			continue
		}
		s, err := r.storeOf(livestore.StoreID(id))
		if err != nil {
			return errs.As(err).At("%s", folder)
		}
		own := func(v visit) bool {
			return v.client == folder || v.client == "" && v.store.Log.Kind == string(openlog.File) && within(v.store.Log.Path, folder)
		}
		if !slices.ContainsFunc(r.visits, own) {
			r.visits = append(r.visits, visit{store: s, client: folder})
		}
	}
	return nil
}

// within reports whether a path is a folder, or a file in it.
func within(path, folder string) bool { return path == folder || filepath.Dir(path) == folder }

// storeOf is the store of the environment that a client keeps. One that is not listed is of the app's only schema, and has
// no backend to be held against.
func (r *round) storeOf(id livestore.StoreID) (config.Store, error) {
	if r.env != nil {
		if s, ok := r.env.Store(id); ok {
			return s, nil
		}
	}
	if len(r.cfg.Schemas) != 1 {
		return config.Store{}, errs.Invalidf("no environment lists a store %q, which says of which schema it is", id).Hintf("name the store that this client keeps with --store, and its environment with --env")
	}
	return config.Store{ID: id, Schema: r.cfg.Schemas[0].Name}, nil
}

// examine looks at every log, jobs at a time, and puts what it finds into the report. One that fails does not end the others.
func (r *round) examine(ctx context.Context, deployed map[string]*schema.Release, report *doctorReport) error {
	if len(r.visits) == 0 {
		return nil
	}
	if err := r.recall(ctx); err != nil {
		return err
	}
	examiners, err := r.examiners(ctx, deployed)
	if err != nil {
		return err
	}
	label := "examined logs"
	total := int64(len(r.visits))
	single := total == 1
	if single {
		label, total = "examining "+string(r.visits[0].store.ID)+", events", 0
	}
	p := r.app.progress(label, total)
	defer p.Done()
	failed := inParallel(ctx, r.jobs, len(r.visits), func(i int) error {
		tell := p.Add
		if !single {
			defer p.Add(1)
			tell = func(int64) {}
		}
		v := r.visits[i]
		return r.visit(ctx, v, examiners[v.store.Schema], tell)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, err := range failed {
		if err != nil {
			report.Failed = append(report.Failed, failureOf(r.visits[i].store.ID, err))
		}
	}
	report.Logs = len(r.visits) - len(report.Failed)
	r.found = append(r.found, doctor.Compare(r.holdings)...)
	slices.SortStableFunc(r.found, func(a, b doctor.Finding) int {
		if c := compareFindings(a, b); c != 0 {
			return c
		}
		return strings.Compare(string(a.Store), string(b.Store))
	})
	report.Checks = append(append(report.Checks, r.found...), r.fine(report.Logs)...)
	return nil
}

// recall reads what the control database knows of the stores.
func (r *round) recall(ctx context.Context) (err error) {
	if !r.all {
		return nil
	}
	if r.runner, err = r.app.newRunner(ctx, r.cfg, *r.env, nil, r.jobs); err != nil {
		return err
	}
	for _, v := range r.visits {
		if v.client == "" {
			r.runner.stores = append(r.runner.stores, v.store)
		}
	}
	return r.runner.recall(ctx)
}

// examiners makes one for each schema whose stores are looked at.
func (r *round) examiners(ctx context.Context, deployed map[string]*schema.Release) (map[string]*doctor.Examiner, error) {
	out := map[string]*doctor.Examiner{}
	l, err := r.app.launcher()
	if err != nil {
		return nil, err
	}
	for _, v := range r.visits {
		if out[v.store.Schema] != nil {
			continue
		}
		s, err := r.cfg.Schema(v.store.Schema)
		if err != nil {
			return nil, err
		}
		x := &doctor.Examiner{
			Launcher: l, Deployed: deployed[s.Name], Target: r.targets(s), Checkpoints: checkpointsOf(r.cfg), Now: r.app.now, NoState: r.noState, Diff: r.diff,
		}
		if r.env != nil {
			x.Env = r.env.Name
		}
		if x.Releases, err = releaseDir(r.cfg).LoadAll(s.Name); err != nil {
			return nil, err
		}
		if err := r.alive(ctx, s, x); err != nil {
			return nil, err
		}
		out[s.Name] = x
	}
	return out, nil
}

// alive says which of the recorded releases clients may run: as headgate.yaml says, else the census, else all.
func (r *round) alive(ctx context.Context, s config.Schema, x *doctor.Examiner) (err error) {
	if len(x.Releases) == 0 {
		r.found = append(r.found, doctor.Finding{
			Check: "releases", Severity: planner.Warning, Where: r.cfg.Releases, Text: "no release of " + s.Name + " is recorded: what its logs mean to clients is not known",
			Repair: "Record the releases that are out there", Next: "headgate release add 1.0.0" + onlySchema(r.cfg, s),
		})
		return nil
	}
	var alive []config.Alive
	if r.env != nil {
		if alive = r.env.Fleet.Alive; len(alive) == 0 {
			if alive, err = r.app.censusOf(ctx, *r.env); err != nil {
				return err
			}
		}
	}
	for _, rel := range x.Releases {
		if len(alive) == 0 || slices.ContainsFunc(alive, func(v config.Alive) bool { return v.Release == rel.Version }) {
			x.Alive = append(x.Alive, rel.Version)
		}
	}
	for _, v := range alive {
		known := slices.ContainsFunc(x.Releases, func(rel *schema.Release) bool { return rel.Version == v.Release })
		if known || len(r.cfg.Schemas) > 1 || v.Release == unknownRelease {
			continue
		}
		r.found = append(r.found, doctor.Finding{
			Check: "releases", Severity: planner.Warning, Where: r.cfg.Where(v.Line), Text: "release " + v.Release + " is alive, but not recorded: what it reads is not known",
			Next: "headgate release add " + v.Release + " --git-ref v" + v.Release,
		})
	}
	return nil
}

// targets loads each release with its code once.
func (r *round) targets(s config.Schema) func(version string) (replay.Target, error) {
	var mu sync.Mutex
	loaded := map[string]replay.Target{}
	return func(version string) (replay.Target, error) {
		mu.Lock()
		defer mu.Unlock()
		if t, ok := loaded[version]; ok {
			return t, nil
		}
		b, err := recorded(r.cfg, s, version)
		if err != nil {
			return replay.Target{}, err
		}
		loaded[version] = replay.Target{Release: b.Release, Program: programOf(b), Locate: b.Script.LocateTrace}
		return loaded[version], nil
	}
}

// visit looks at one log.
func (r *round) visit(ctx context.Context, v visit, x *doctor.Examiner, tell func(int64)) (err error) {
	p := &doctor.Patient{Store: v.store.ID, Ref: "--store " + string(v.store.ID), Progress: tell}
	if r.env != nil {
		p.Ref += " --env " + r.env.Name
	}
	if p.Dir, err = r.app.workDir(); err != nil {
		return err
	}
	defer os.RemoveAll(p.Dir) //nolint:errcheck // best effort; it is in the system's temporary directory
	if err := r.open(ctx, v, p); err != nil {
		return r.at(v, err)
	}
	defer func() { err = errors.Join(err, p.Log.Close()) }()
	if v.client == "" {
		if err := errors.Join(r.compareKnown(ctx, v.store, p.Log), r.compareHead(ctx, v.store, p.Log)); err != nil {
			return r.at(v, err)
		}
	}
	seen, err := x.Examine(ctx, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, seen.Findings...)
	if seen.Holding != nil {
		r.holdings = append(r.holdings, seen.Holding)
	}
	if seen.Held {
		r.held++
	}
	if p.Client != nil && seen.Whole {
		r.clients++
	}
	if p.Backend != nil && err == nil {
		r.beside++
	}
	return r.at(v, err)
}

// open opens what the visit is about. A client's own log is opened with its states, and with the way to its backend.
func (r *round) open(ctx context.Context, v visit, p *doctor.Patient) (err error) {
	if !v.keeps() {
		p.Log, err = r.app.openStore(ctx, r.cfg, *r.env, v.store)
		return err
	}
	path := v.client
	if path == "" {
		path = v.store.Log.Path
	}
	if p.Client, err = filelog.OpenClient(ctx, path, filelog.Options{}); err != nil {
		return err
	}
	p.Log = p.Client
	if v.client == "" {
		return nil
	}
	p.Ref = "--log file:" + doctor.Argument(v.client)
	if r.env != nil && v.store.Log.Kind != "" && v.store.Log.Kind != string(openlog.File) {
		p.Backend = func(ctx context.Context) (eventlog.Reader, error) {
			return r.app.openStore(ctx, r.cfg, *r.env, v.store)
		}
	}
	return nil
}

// at gives an error the place of the log.
func (r *round) at(v visit, err error) error {
	if e := errs.As(err); e != nil && e.Where == "" {
		if v.client != "" {
			e.At("%s", v.client)
		} else {
			e.At("%s", r.cfg.Where(v.store.Line))
		}
	}
	return err
}

// fine says of each thing that was looked for and not found that it is not there.
func (r *round) fine(read int) (out []doctor.Finding) {
	known := 0
	if r.runner != nil {
		known = len(r.runner.known)
	}
	compared := len(r.holdings)
	if compared == 1 {
		compared = 0
	}
	for _, k := range []struct {
		check  doctor.Check
		looked int
		noun   string
		text   string
	}{
		{doctor.Order, read, "log", "every event is numbered after its parent, and can be read"},
		{doctor.Poison, read, "log", "no release that is alive stops at an event"},
		{"backend-changed", known, "store", "as the control database knows them"},
		{"backend-head", r.heads, "store", "the backend's head is its log's last event"},
		{doctor.HeadBeyondLog, r.clients, "client", "no confirmed head is beyond its log"},
		{doctor.Interrupted, r.clients, "client", "no state in use ends before its log"},
		{doctor.StaleState, r.clients, "client", "no state that was left behind waits to be opened again"},
		{doctor.StateDiffers, r.held, "client", "the state in use holds what its log makes"},
		{doctor.OtherBackend, r.beside, "client", "none knows another backend than there is"},
		{doctor.Ahead, r.beside, "client", "the backend has all that it had confirmed"},
		{doctor.Diverged, r.beside, "client", "their logs are the backend's"},
		{doctor.DigestsDiffer, compared, "client", "those at one head hold the same"},
	} {
		there := k.check != doctor.StateDiffers && slices.ContainsFunc(r.found, func(f doctor.Finding) bool { return f.Check == k.check })
		if k.looked > 0 && !there {
			out = append(out, doctor.Finding{Check: k.check, OK: true, Text: fmt.Sprintf("%s: %s", count(k.looked, k.noun), k.text)})
		}
	}
	return out
}
