package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

const (
	// leaseTime is how long a worker that died on another machine holds its stores up.
	leaseTime = 15 * time.Second
	// lookEvery is how often a process looks at the runs.
	lookEvery = 250 * time.Millisecond
)

// fleet is this process's part in the runs of the environment.
func (r *runner) fleet(db *control.DB) *jobs.Fleet {
	return &jobs.Fleet{Options: jobs.Options{
		DB: db, Env: r.env.Name, Owner: ownerName(r.run), Jobs: r.jobs, TTL: leaseTime, Poll: lookEvery,
		Patience: patience, Jitter: jitter,
		Open: func(ctx context.Context, run control.Run, store string) (migrations.Job, func() error, error) {
			return r.openJob(ctx, db, run, store)
		},
		Alive: ownerAlive, Throttle: r.app.probe(r.cfg, r.env), Log: r.app.log,
	}}
}

// ownerName names this process among all that share a control database: MACHINE/PID/NONCE.
func ownerName(nonce string) string {
	return fmt.Sprintf("%s/%d/%s", machine(), os.Getpid(), nonce)
}

// machine is where a process id says something: the host, and on Linux a digest of its start and the namespace of process
// ids, since containers may share a host's name and reuse each other's ids.
func machine() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-" + randomHex(8) // like no other
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, e := os.Readlink("/proc/self/ns/pid")
	if errors.Join(err, e) != nil {
		return host
	}
	sum := sha256.Sum256(append(boot, space...))
	return host + "." + hex.EncodeToString(sum[:4])
}

// ownerAlive reports whether the process behind an owner may live: false only for one of this machine that is gone.
func ownerAlive(owner string) bool {
	parts := strings.Split(owner, "/")
	if len(parts) != 3 || parts[0] != machine() {
		return true
	}
	pid, err := strconv.Atoi(parts[1])
	return err != nil || pid <= 0 || processExists(pid)
}

const (
	// readAnew is how old what is known of the world may be when a store is taken: headgate.yaml, the inventory, the census
	// and the releases.
	readAnew = time.Minute
	// readMissing is the same for a store that is not in the inventory.
	readMissing = time.Second
)

// A sight is what a process that works on runs for a long time last read of the world.
type sight struct {
	mu     sync.Mutex
	runner *runner
	at     time.Time
}

// fresh is a runner of the world as it was within the time. A headgate.yaml that is just being edited is waited for.
func (r *runner) fresh(within time.Duration) (*runner, error) {
	s := &r.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runner != nil && r.app.now().Sub(s.at) < within {
		return s.runner, nil
	}
	cfg, err := r.app.readConfig()
	if err != nil {
		if e := errs.As(err); e != nil {
			e.Passing = true // it may be in the middle of an edit
		}
		return nil, err
	}
	env, err := cfg.Environment(r.env.Name)
	if err != nil {
		return nil, err
	}
	r.app.inventories.forget(env.Name)
	s.runner = &runner{app: r.app, cfg: cfg, env: env, launcher: r.launcher, pace: r.pace, run: r.run, jobs: r.jobs, worker: r.worker}
	s.at = r.app.now()
	return s.runner, nil
}

// openJob makes the job of a run on a store, if the world still admits it.
func (r *runner) openJob(ctx context.Context, db *control.DB, run control.Run, store string) (_ migrations.Job, done func() error, err error) {
	now, err := r.fresh(readAnew)
	if err != nil {
		return migrations.Job{}, nil, err
	}
	s, err := now.app.store(ctx, now.cfg, now.env, livestore.StoreID(store))
	if errs.CodeOf(err) == errs.NotFound {
		if now, err = r.fresh(readMissing); err == nil {
			s, err = now.app.store(ctx, now.cfg, now.env, livestore.StoreID(store))
		}
	}
	if err != nil {
		return migrations.Job{}, nil, err
	}
	return now.openStore(ctx, db, run, s)
}

func (r *runner) openStore(ctx context.Context, db *control.DB, run control.Run, s config.Store) (_ migrations.Job, done func() error, err error) {
	p, err := r.planOf(ctx, db, run)
	if err != nil {
		return migrations.Job{}, nil, err
	}
	o, err := jobs.ReadOptions(run)
	if err != nil {
		return migrations.Job{}, nil, err
	}
	again := "headgate migration up " + p.Name + " --env " + r.env.Name
	if err := p.harmless(o.Allow, again+" --only-failed", again); err != nil {
		return migrations.Job{}, nil, err
	}
	var log eventlog.Appender
	if log, err = r.app.openAppender(ctx, r.cfg, r.env, s); err != nil {
		return migrations.Job{}, nil, r.at(s, err)
	}
	j, err := r.job(storeTask{store: s}, p, log)
	done = func() error {
		r.app.clientLogs.note(s.ID, log)
		return errors.Join(log.Close(), os.RemoveAll(j.Dir))
	}
	if err != nil {
		return j, nil, errors.Join(err, done())
	}
	return j, done, nil
}

// allowed are the findings that a run lets pass.
func allowed(run control.Run) []string {
	o, err := jobs.ReadOptions(run)
	if err != nil {
		return nil // whoever works on it says so
	}
	return o.Allow
}

// join checks that the run that is under way is the one that was asked for.
func (r *runner) join(ctx context.Context, db *control.DB, run control.Run) error {
	p := r.plans[0]
	tail := " " + p.Name + " --env " + r.env.Name
	switch {
	case run.Checksum != p.Checksum:
		return errs.Refusedf("run %s of another content of this file is %s", run.ID, run.State).At("%s", p.Path).Then("headgate migration cancel" + tail)
	case run.State == control.Paused || run.State == control.Pausing:
		return errs.New(errs.Stale, "run %s of %s is %s", run.ID, p.Name, run.State).Then("headgate migration resume" + tail)
	case r.harmless(allowed(run)) != nil:
		return errs.New(errs.Stale, "run %s of %s is under way, and was begun without --allow RO102", run.ID, p.Name).
			Hintf("cancel it, and begin another one").Then("headgate migration cancel" + tail)
	case run.State == control.Cancelling:
		return errs.New(errs.Stale, "run %s of %s is being cancelled", run.ID, p.Name).Then("headgate status --env " + r.env.Name)
	}
	if r.pace != nil {
		o, err := jobs.ReadOptions(run)
		if err != nil {
			return err
		}
		if o.Pace == nil || *o.Pace != *r.pace {
			return errs.New(errs.Stale, "run %s of %s is under way with another pace", run.ID, p.Name).
				Hintf("it keeps the one that it began with: join it without --pace, or cancel it").Then("headgate migration cancel" + tail)
		}
	}
	at := r.places()
	n := 0
	for s, err := range db.StoreRuns(ctx, run.ID, control.AllWaves) {
		if err != nil {
			return err
		}
		if _, ok := at[livestore.StoreID(s.Store)]; !ok && !s.State.Ended() {
			return errs.New(errs.Stale, "run %s of %s is under way, and is for store %s, too", run.ID, p.Name, s.Store).
				Hintf("join it for all of its stores, or cancel it").Then("headgate migration up" + tail).Then("headgate migration cancel" + tail)
		}
		n++
	}
	if n < len(r.stores) {
		return errs.New(errs.Stale, "run %s of %s is under way, and is not for all of these stores", run.ID, p.Name).
			Hintf("let it end first").Then("headgate status --env " + r.env.Name)
	}
	fmt.Fprintf(r.app.stderr, "joining run %s of %s, which %s began\n", run.ID, p.Name, run.Actor)
	return nil
}

// begin makes the run of the stores that were previewed.
func (r *runner) begin(ctx context.Context, db *control.DB, due map[livestore.StoreID]int64, by control.By) (control.Run, error) {
	p := r.plans[0]
	all, err := r.app.allStores(ctx, r.cfg, r.env)
	if err != nil {
		return control.Run{}, err
	}
	if _, err := db.Sync(ctx, r.env.Name, inventory(all), by); err != nil {
		return control.Run{}, err
	}
	o := jobs.RunOptions{
		Whole: r.whole(all), Drift: 0.2, Slack: 50, Pace: r.pace, Allow: by.Allowed, Reason: by.Reason, Waves: r.runWaves(), Plan: r.planned,
	}
	if r.drift != nil {
		o.Drift, o.Slack = r.drift.share, r.drift.slack
	}
	if o.Kept, err = r.keepFiles(ctx, db, p); err != nil {
		return control.Run{}, err
	}
	return db.CreateRun(ctx, control.Run{
		ID: r.run + "-" + strconv.FormatInt(p.Number, 10), Env: r.env.Name, Migration: p.Name, Checksum: p.Checksum, Options: o.JSON(),
	}, r.runStores(due), by)
}

// whole reports whether the run is for every store of its schema that is active.
func (r *runner) whole(all []config.Store) bool {
	n := 0
	for _, s := range all {
		if s.Schema == r.plans[0].Schema && s.State == config.Active {
			n++
		}
	}
	return n == len(r.stores)
}

// runWaves are the environment's waves as a run keeps them.
func (r *runner) runWaves() (out []jobs.Wave) {
	for _, w := range r.env.Waves {
		wave := jobs.Wave{Name: w.Name, Parallel: w.Parallel, Continue: w.Continue}
		for _, name := range w.After {
			wave.After = append(wave.After, slices.IndexFunc(r.env.Waves, func(o config.Wave) bool { return o.Name == name }))
		}
		out = append(out, wave)
	}
	return out
}

// runStores are the stores of a run in which so many events are due.
func (r *runner) runStores(due map[livestore.StoreID]int64) iter.Seq2[control.RunStore, error] {
	return func(yield func(control.RunStore, error) bool) {
		for _, s := range r.stores {
			n, ok := due[s.ID]
			if ok && !yield(control.RunStore{Store: string(s.ID), Wave: r.env.WaveOf(s), Due: n}, nil) {
				return
			}
		}
	}
}

// inventory is what the control database keeps of the stores.
func inventory(stores []config.Store) iter.Seq2[control.Store, error] {
	return func(yield func(control.Store, error) bool) {
		for _, s := range stores {
			log := s.Log.Path
			if s.Log.Address != "" {
				log = s.Log.Address
			}
			if !yield(control.Store{ID: string(s.ID), Schema: s.Schema, Log: s.Log.Kind + ":" + log, Region: s.Region, State: control.StoreState(s.State)}, nil) {
				return
			}
		}
	}
}

// finish works on a run until it has ended, and shows how far it is with what was left of it.
func (r *runner) finish(ctx context.Context, db *control.DB, run control.Run) error {
	counts, err := db.Counts(ctx, run.ID)
	if err != nil {
		return err
	}
	due, last := int64(0), int64(0)
	for _, c := range counts {
		last += c.Committed
		if !c.State.Ended() {
			due += c.Due
		}
	}
	p := r.app.progress("committed events of "+run.Migration, due)
	defer p.Done()
	return r.fleet(db).Finish(ctx, run.ID, func(counts []control.WaveCount) {
		n := int64(0)
		for _, c := range counts {
			n += c.Committed
		}
		p.Add(max(0, n-last))
		last = max(n, last)
	})
}
