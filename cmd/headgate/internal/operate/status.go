package operate

import (
	"context"
	"slices"
	"strings"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
)

// A RunStatus is how far a run is.
type RunStatus struct {
	control.Run
	Waves       []WaveStatus  `json:"waves"`  // by wave and state
	Failed      []FailedStore `json:"failed"` // the first ten
	NextActions []string      `json:"next_actions"`
}

// A WaveStatus is how many stores of a wave are in one state.
type WaveStatus struct {
	control.WaveCount
	Name string `json:"name,omitempty"` // as headgate.yaml had it when the run began
}

// A FailedStore is a store whose migration failed.
type FailedStore struct {
	Store livestore.StoreID `json:"store"`
	State control.State     `json:"state,omitempty"` // in its run
	Code  errs.Code         `json:"code"`
	Error string            `json:"error"`
	Hint  string            `json:"hint,omitempty"`
	Next  []string          `json:"next_actions,omitempty"`
}

// failedShown is how many of a run's failed stores are listed.
const failedShown = 10

// Run returns how far a run of the environment is, or errs.NotFound.
func (e Environment) Run(ctx context.Context, id string) (RunStatus, error) {
	s := RunStatus{Waves: []WaveStatus{}, Failed: []FailedStore{}, NextActions: []string{}}
	var err error
	if s.Run, err = e.DB.Run(ctx, id); err != nil {
		return s, err
	}
	if s.Env != e.Name {
		return RunStatus{}, errs.NotFoundf("there is no run %q", id)
	}
	o, err := jobs.ReadOptions(s.Run)
	if err != nil {
		return s, err
	}
	counts, err := e.DB.Counts(ctx, id)
	if err != nil {
		return s, err
	}
	for _, c := range counts {
		w := WaveStatus{WaveCount: c}
		if c.Wave < len(o.Waves) {
			w.Name = o.Waves[c.Wave].Name
		}
		s.Waves = append(s.Waves, w)
	}
	if next := nextOf(s.Env, s.Run); next != "" {
		s.NextActions = append(s.NextActions, next)
	}
	for row, err := range e.DB.StoreRuns(ctx, id, control.AllWaves, control.Failed, control.Stalled, control.Vanished, control.Quarantined) {
		if err != nil {
			return s, err
		}
		if len(s.Failed) == failedShown {
			break
		}
		s.Failed = append(s.Failed, failedOf(s.Env, row))
	}
	return s, nil
}

// LastRuns are the last run of each migration, or of the one that is named, the latest first.
func (e Environment) LastRuns(ctx context.Context, migration string) ([]RunStatus, error) {
	migration, err := e.named(ctx, migration)
	if err != nil {
		return nil, err
	}
	met := map[string]bool{}
	return e.runs(ctx, func(run control.Run) bool {
		last := !met[run.Migration]
		met[run.Migration] = true
		return last && (migration == "" || run.Migration == migration)
	})
}

// UndoneRuns are the runs that are not over, and the last ones that left stores undone, the latest first.
func (e Environment) UndoneRuns(ctx context.Context) ([]RunStatus, error) {
	left := map[string]bool{} // runs that are the last of their migration in some store
	for u, err := range e.DB.Unfinished(ctx, e.Name) {
		if err != nil {
			return nil, err
		}
		left[u.Run] = true
	}
	return e.runs(ctx, func(run control.Run) bool { return !run.State.Ended() || left[run.ID] })
}

// runs are those of the environment that are wanted, which is asked of each, the latest first.
func (e Environment) runs(ctx context.Context, wanted func(control.Run) bool) ([]RunStatus, error) {
	out := []RunStatus{}
	for run, err := range e.DB.Runs(ctx, e.Name) {
		if err != nil {
			return nil, err
		}
		if !wanted(run) {
			continue
		}
		s, err := e.Run(ctx, run.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// StoreError is the error that a store of a run ended with. The database keeps its hint in a second line, and then the
// commands to run next.
func StoreError(env string, s control.StoreRun) *errs.Error {
	lines := append(strings.Split(s.Error, "\n"), "")
	e := errs.New(s.ErrorCode, "%s", lines[0]).Hintf("%s", lines[1])
	for _, next := range lines[2:] {
		if next != "" {
			e.Then(InEnv(next, env))
		}
	}
	return e
}

// InEnv adds the environment to a command about a store that comes from the engine, which knows none.
func InEnv(next, env string) string {
	if strings.Contains(next, " --store ") && !strings.Contains(next, " --env ") {
		next += " --env " + env
	}
	return next
}

func failedOf(env string, s control.StoreRun) FailedStore {
	e := StoreError(env, s)
	return FailedStore{Store: livestore.StoreID(s.Store), State: s.State, Code: e.Code, Error: e.Msg, Hint: e.Hint, Next: e.Next}
}

// nextOf is what to do about a run.
func nextOf(env string, r control.Run) string {
	tail := " " + r.Migration + " --env " + env
	switch r.State {
	case control.Pending, control.Running:
		return "headgate migration up" + tail
	case control.Pausing, control.Paused:
		return "headgate migration resume" + tail
	case control.Failed:
		if jobs.KindOf(r) == jobs.Sweep {
			return "headgate migration sweep" + tail
		}
		return "headgate migration up" + tail + " --only-failed"
	case control.Succeeded:
		return "headgate migration verify" + tail
	}
	return ""
}

// A Status is what goes on in an environment.
type Status struct {
	Environment string                `json:"environment"`
	Runs        []RunStatus           `json:"runs"`                 // under way, paused, and the last one that ended
	Unfinished  []Unfinished          `json:"unfinished"`           // what older runs left
	LeftOut     []Unfinished          `json:"leftOut"`              // stores that no run took, since looking at them failed
	Pending     []string              `json:"pending"`              // migrations that no run was for
	Unreadable  string                `json:"unreadable,omitempty"` // why the migrations can't be read
	Stopped     string                `json:"stopped,omitempty"`    // why nothing advances
	Held        string                `json:"held,omitempty"`       // why the environment's throttle holds the runs
	Webhook     *control.WebhookState `json:"webhook,omitempty"`    // how far it was told what happens; nil where it never was
	Locks       []control.Lease       `json:"locks"`
	NextActions []string              `json:"next_actions"`
}

// An Unfinished is what there is left to do of a migration beside the runs that are shown.
type Unfinished struct {
	Migration string        `json:"migration"`
	Stores    int           `json:"stores"` // that failed, or that no run reached
	Failed    []FailedStore `json:"failed"` // the first of them
}

// Status lists the runs that are under way or paused and the last one, what is left to do beside them, and the locks.
func (e Environment) Status(ctx context.Context) (Status, error) {
	s := Status{
		Environment: e.Name, Runs: []RunStatus{}, Unfinished: []Unfinished{}, LeftOut: []Unfinished{}, Pending: []string{}, Locks: []control.Lease{},
		NextActions: []string{},
	}
	ran := map[string]bool{}
	for run, err := range e.DB.Runs(ctx, e.Name) {
		if err != nil {
			return s, err
		}
		ran[run.Migration] = ran[run.Migration] || run.State != control.Cancelled
		if run.State.Ended() && len(s.Runs) > 0 {
			continue
		}
		one, err := e.Run(ctx, run.ID)
		if err != nil {
			return s, err
		}
		s.Runs = append(s.Runs, one)
		s.NextActions = append(s.NextActions, one.NextActions...)
	}
	if e.Held != nil && slices.ContainsFunc(s.Runs, func(r RunStatus) bool { return !r.State.Ended() }) {
		s.Held = e.Held(ctx)
	}
	if err := s.left(ctx, e.DB); err != nil {
		return s, err
	}
	names, err := e.Migrations(ctx)
	if err != nil {
		s.Unreadable = e.told(err)
		s.NextActions = append(s.NextActions, "headgate migration check")
	}
	for _, name := range names {
		if !ran[name] {
			s.Pending = append(s.Pending, name)
		}
	}
	if len(s.Pending) > 0 {
		s.NextActions = append(s.NextActions, "headgate migration preview "+s.Pending[0]+" --env "+e.Name)
	}
	stop, err := e.DB.Stopped(ctx, e.Name)
	if err != nil {
		return s, err
	}
	s.Stopped = stop.Reason
	told, any, err := e.DB.Webhook(ctx, e.Name)
	if err != nil {
		return s, err
	}
	if any {
		s.Webhook = &told
	}
	if told.GivenUp > 0 {
		s.NextActions = append(s.NextActions, "headgate webhook retry --env "+e.Name)
	}
	locks, err := e.DB.Leases(ctx, e.Name)
	s.Locks = append(s.Locks, locks...)
	return s, err
}

// left adds what runs that are not shown left undone, and what no run took.
func (s *Status) left(ctx context.Context, db *control.DB) error {
	for u, err := range db.Unfinished(ctx, s.Environment) {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.Runs, func(r RunStatus) bool { return r.ID == u.Run }) {
			continue
		}
		k := s.undone(&s.Unfinished, u.Migration)
		k.Stores++
		if u.State != control.Pending && len(k.Failed) < failedShown {
			k.Failed = append(k.Failed, failedOf(s.Environment, u.StoreRun))
		}
	}
	for l, err := range db.LeftOut(ctx, s.Environment) {
		if err != nil {
			return err
		}
		k := s.undone(&s.LeftOut, l.Migration)
		k.Stores++
		if len(k.Failed) < failedShown {
			k.Failed = append(k.Failed, LeftOutStore(s.Environment, l))
		}
	}
	return nil
}

// undone is a migration's part of a list; a new one says how to go on.
func (s *Status) undone(list *[]Unfinished, migration string) *Unfinished {
	i := slices.IndexFunc(*list, func(k Unfinished) bool { return k.Migration == migration })
	if i < 0 {
		i = len(*list)
		*list = append(*list, Unfinished{Migration: migration, Failed: []FailedStore{}})
		if next := "headgate migration up " + migration + " --env " + s.Environment; !slices.Contains(s.NextActions, next) {
			s.NextActions = append(s.NextActions, next)
		}
	}
	return &(*list)[i]
}

// LeftOutStore is why no run took a store.
func LeftOutStore(env string, l control.LeftOut) FailedStore {
	return failedOf(env, control.StoreRun{Store: l.Store, ErrorCode: l.ErrorCode, Error: l.Error})
}
