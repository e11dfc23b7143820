package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

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

	progress *progress
	kept     *kept // what was assessed before; nil where it is about no incident

	back *replay.Target     // the release that one would go back to; nil where nobody asks
	mu   sync.Mutex         // of met
	met  corrective.Reading // what back does with every event of the logs, not the bad ones alone: its clients meet them all
}

// assessor reads what the command needs before any log is opened. in is the incident that it is about, or nil. The caller
// closes it.
func (a *app) assessor(c *cli.Context, in *incident) (*assessor, error) {
	if err := aboveZero(c, "jobs", "sample"); err != nil {
		return nil, err
	}
	cfg, kind, env, err := a.chosen(c)
	if err != nil {
		return nil, err
	}
	s := &assessor{app: a, cfg: cfg, env: env, schema: kind, jobs: workers(c.Int("jobs"))}
	if s.selection, err = a.selection(c, cfg, s.schema); err != nil {
		return nil, err
	}
	return s, s.prepare(c.Context, in, c.StringSlice("store"), c.String("good"), c.Int("sample"))
}

// prepare finds out which stores are read, a sample of them where sample is above 0, and under which releases.
func (s *assessor) prepare(ctx context.Context, in *incident, stores []string, good string, sample int) (err error) {
	if s.launcher, err = s.app.launcher(); err != nil {
		return err
	}
	if s.stores, err = s.app.storesOf(ctx, s.cfg, s.env, s.schema, stores); err != nil {
		return err
	}
	if in != nil {
		s.bad = in.Bad
	}
	if err := s.targets(ctx, good); err != nil {
		return err
	}
	if sample > 0 && sample < len(s.stores) {
		if err := s.sample(ctx, sample); err != nil {
			return err
		}
	}
	if err := s.census(ctx); err != nil {
		return err
	}
	s.progress = s.app.progress("assessed stores", int64(len(s.stores)))
	if in != nil {
		s.kept, err = in.kept()
	}
	return err
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

// asksAtOnce is how many stores' clients are asked for at a time: each is a request, where a server knows them.
const asksAtOnce = 16

// census reads on which release each client was last seen, where somebody knows the environment's fleet.
func (s *assessor) census(ctx context.Context) error {
	return s.app.known(ctx, s.env, "the clients of stores", func(ops operations) error {
		ran := make([]map[string]string, len(s.stores))
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(asksAtOnce)
		for i, st := range s.stores {
			g.Go(func() error {
				known, err := ops.StoreClients(ctx, string(st.ID))
				ran[i] = map[string]string{}
				for _, c := range known.Clients {
					if _, err := schema.ParseVersion(c.Release); err == nil {
						ran[i][c.ID] = c.Release
					}
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		s.ran = map[livestore.StoreID]map[string]string{}
		for i, st := range s.stores {
			s.ran[st.ID] = ran[i]
		}
		return nil
	})
}

// A look says how closely an assessor looks.
type look struct {
	countOnly bool // events, and no rows
	diff      state.Options
}

func lookOf(c *cli.Context) look {
	return look{countOnly: c.Bool("no-state"), diff: state.Options{Rows: c.Int("rows"), Reveal: c.Bool("reveal")}}
}

// all assesses every store, jobs at a time. A store that fails does not end the others, and is in the report; it is the
// error where it is the only one, or where the selection can't be answered at all.
func (s *assessor) all(ctx context.Context, l look) (assessment, error) {
	damages := make([]damageReport, len(s.stores))
	defer s.progress.Done()
	l.diff.HashKey, _ = hex.DecodeString(randomHex(32)) // always hex
	failed := inParallel(ctx, s.jobs, len(s.stores), func(i int) (err error) {
		defer s.progress.Add(1)
		damages[i], err = s.one(ctx, s.stores[i], l)
		return err
	})
	if ctx.Err() != nil {
		return assessment{}, context.Cause(ctx)
	}
	for _, err := range failed {
		if err != nil && (len(s.stores) == 1 || errs.CodeOf(err) == errs.Invalid) {
			return assessment{}, err
		}
	}
	return s.report(damages, failed), nil
}

func (s *assessor) one(ctx context.Context, st config.Store, l look) (d damageReport, err error) {
	log, err := s.app.openStore(ctx, s.cfg, s.env, st)
	if err != nil {
		return d, atStore(err, s.cfg, st)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	k, err := s.keep(ctx, st, log, l)
	if err != nil {
		return d, atStore(err, s.cfg, st)
	}
	if s.back == nil {
		k.Damage.Otherwise = nil // of an earlier question
		return k.Damage, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met.Merge(*k.Met)
	return k.Damage, nil
}

// keep assesses a store, as far as it is not known already, and keeps that.
func (s *assessor) keep(ctx context.Context, st config.Store, log eventlog.Reader, l look) (keptStore, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return keptStore{}, err
	}
	k := s.kept.find(st.ID, s.key(st), head)
	known := k.answers(l)
	if !known {
		k = keptStore{Key: s.key(st), Head: head}
		if k.Damage, err = s.assess(ctx, st, log, l); err != nil {
			return k, err
		}
	}
	if s.back != nil && k.Back != codeOf(*s.back) {
		known = false
		if err := s.goBack(ctx, st, log, l, &k); err != nil {
			return k, err
		}
	}
	if known {
		return k, nil
	}
	return k, s.kept.add(k)
}

// goBack finds out what the release that one would go back to does with a store's log.
func (s *assessor) goBack(ctx context.Context, st config.Store, log eventlog.Reader, l look, k *keptStore) error {
	met, err := corrective.Receive(ctx, s.launcher, log, corrective.Selection{}, nil, *s.back)
	if err != nil {
		return err
	}
	k.Back, k.Met, k.Damage.Otherwise = codeOf(*s.back), &met, nil
	if met.Verdict == corrective.Reads && k.Damage.Effect != nil {
		k.Damage.Otherwise, err = s.measure(ctx, st, log, s.back, l.diff)
	}
	return err
}

func (s *assessor) assess(ctx context.Context, st config.Store, log eventlog.Reader, l look) (d damageReport, err error) {
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
	if l.countOnly {
		return d, nil
	}
	d.Effect, err = s.measure(ctx, st, log, s.good, l.diff)
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
