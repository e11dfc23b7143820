// Package operate is what the command line and the server both do with an environment's control database: how its runs
// stand, pausing and ending them, its rollouts, who was seen, the census and the audit. What either prints or serves is a value of this package.
//
// It reads no arguments and prints nothing. It begins no run of migrations: that takes the app's code. It commits nothing
// but what a dump holds ([LogImport], [BackendReset]).
package operate

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
)

// An Environment does it with a control database.
type Environment struct {
	DB      *control.DB
	Name    string
	Horizon time.Duration // how long a client may be away and still count; 0 for ever
	Now     func() time.Time
	Log     *slog.Logger

	// Migrations names the migrations that the app has, in order, and Migration the one that someone typed: 00001_dates for
	// dates or 1.
	Migrations func(context.Context) ([]string, error)
	Migration  func(ctx context.Context, typed string) (string, error)
	// Held says why the environment's throttle holds the runs; nil where it has none.
	Held func(context.Context) string
	// Others is true where somebody else than who armed a reset must fire it.
	Others bool
	// HasWebhook is true where somebody is told what happens.
	HasWebhook bool
	// ForgetStates removes the states of a store that lie here; nil where none do.
	ForgetStates func(store string) error

	// Told is an error as whoever asks may read it; nil for as it is. A server's callers need not know where its files are.
	Told func(error) string

	Owner string                  // this process, unlike any other
	Alive func(owner string) bool // see jobs.Options
}

func (e Environment) told(err error) string {
	if e.Told == nil {
		return err.Error()
	}
	return e.Told(err)
}

// An Action is what can be asked of runs that are there. The words are stable.
type Action string

const (
	Pause  Action = "pause"
	Resume Action = "resume"
	Cancel Action = "cancel"
)

// moves are the moves of a run and of its stores that an action asks for, in order.
func (a Action) moves() [][2]control.State {
	if a == Pause {
		return [][2]control.State{{control.Pending, control.Paused}, {control.Running, control.Pausing}}
	}
	return [][2]control.State{
		{control.Pending, control.Cancelled}, {control.Running, control.Cancelling}, {control.Pausing, control.Cancelling}, {control.Paused, control.Cancelled},
	}
}

// from are the states of runs that an action is for.
func (a Action) from() []control.State {
	if a == Resume {
		return []control.State{control.Paused, control.Pausing}
	}
	var out []control.State
	for _, m := range a.moves() {
		out = append(out, m[0])
	}
	return out
}

// named is the name of the migration that someone typed; one that ran needs no file any more.
func (e Environment) named(ctx context.Context, typed string) (string, error) {
	if typed == "" {
		return "", nil
	}
	for run, err := range e.DB.Runs(ctx, e.Name) {
		if err != nil {
			return "", err
		}
		if run.Migration == typed {
			return typed, nil
		}
	}
	return e.Migration(ctx, typed)
}

// Ask asks the runs that an action is for, of all migrations or the one that is named, to go there, and returns how they
// stand then. When there is none the error is errs.NotFound.
func (e Environment) Ask(ctx context.Context, a Action, migration string, by control.By) ([]RunStatus, error) {
	migration, err := e.named(ctx, migration)
	if err != nil {
		return nil, err
	}
	out := []RunStatus{}
	for run, err := range e.DB.Runs(ctx, e.Name, a.from()...) {
		if err != nil {
			return nil, err
		}
		if migration != "" && run.Migration != migration {
			continue
		}
		if err := e.ask(ctx, a, run, by); err != nil {
			return nil, err
		}
		s, err := e.Run(ctx, run.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, errs.NotFoundf("no run is %s", orList(a.from())).Hintf("headgate status shows the runs").Then("headgate status --env " + e.Name)
	}
	return out, nil
}

// ask moves a run, and its stores that nobody works on.
func (e Environment) ask(ctx context.Context, a Action, run control.Run, by control.By) error {
	if a == Resume {
		if run.State == control.Pausing {
			return errs.New(errs.Locked, "run %s is still pausing: stores finish the batch under way", run.ID).
				Then("headgate migration resume " + run.Migration + " --env " + e.Name)
		}
		_, err := e.DB.Retry(ctx, run.ID, []control.State{control.Paused}, nil, by)
		return err
	}
	for _, m := range a.moves() {
		if _, err := e.DB.MoveRun(ctx, run.ID, []control.State{m[0]}, m[1], by); err != nil {
			return err
		}
	}
	for _, m := range a.moves() {
		if _, err := e.DB.MoveAll(ctx, run.ID, control.AllWaves, []control.State{m[0]}, m[1]); err != nil {
			return err
		}
	}
	f := jobs.Fleet{Options: jobs.Options{DB: e.DB, Env: e.Name, Owner: e.Owner, Alive: e.Alive, Log: e.Log}}
	return f.Settle(ctx, run.ID)
}

func orList(states []control.State) string {
	s := ""
	for i, st := range states {
		switch {
		case i == 0:
		case i == len(states)-1:
			s += " or "
		default:
			s += ", "
		}
		s += string(st)
	}
	return s
}

// A Census says which releases the clients run.
type Census struct {
	Environment string                 `json:"environment"`
	Since       time.Time              `json:"since,omitzero"` // what was seen before does not count
	Releases    []control.ReleaseCount `json:"releases"`
	Clients     int64                  `json:"clients"` // of all releases
	Left        int64                  `json:"left"`    // clients that were not seen since
	NextActions []string               `json:"next_actions"`
}

// Census counts the clients that were seen within a time, 0 for the environment's horizon.
func (e Environment) Census(ctx context.Context, within time.Duration) (Census, error) {
	r := Census{Environment: e.Name, Releases: []control.ReleaseCount{}, NextActions: []string{}}
	if within == 0 {
		within = e.Horizon
	}
	if within > 0 {
		r.Since = e.Now().UTC().Add(-within).Truncate(time.Second)
	}
	known, err := e.DB.Census(ctx, e.Name, time.Time{})
	if err != nil {
		return r, err
	}
	seen, err := e.DB.Census(ctx, e.Name, r.Since)
	if err != nil {
		return r, err
	}
	r.Releases = append(r.Releases, seen...)
	for _, k := range known {
		r.Left += k.Clients
	}
	for _, s := range seen {
		r.Clients += s.Clients
	}
	r.Left -= r.Clients
	if len(known) == 0 {
		r.NextActions = append(r.NextActions, "headgate census import FILE --env "+e.Name)
	}
	return r, nil
}

// An Import says what a census import took over.
type Import struct {
	Environment string   `json:"environment"`
	Clients     int64    `json:"clients"` // that were read
	NextActions []string `json:"next_actions"`
}

// Import takes over a census. source says where it is from, for the audit.
func (e Environment) Import(ctx context.Context, source string, clients iter.Seq2[control.Client, error], by control.By) (Import, error) {
	n, err := e.DB.ImportCensus(ctx, e.Name, source, clients, by)
	return Import{Environment: e.Name, Clients: n, NextActions: []string{"headgate census --env " + e.Name}}, err
}

// A Trail is a part of the audit.
type Trail struct {
	Environment string               `json:"environment"`
	Entries     []control.AuditEntry `json:"entries"` // oldest first
}

// Audit returns the entries after one, 0 for the first, and from a time on: at most limit, 0 for all.
func (e Environment) Audit(ctx context.Context, after int64, since time.Time, limit int) (Trail, error) {
	t := Trail{Environment: e.Name, Entries: []control.AuditEntry{}}
	for entry, err := range e.DB.AuditAfter(ctx, e.Name, after, since) {
		if err != nil {
			return t, err
		}
		t.Entries = append(t.Entries, entry)
		if len(t.Entries) == limit {
			break
		}
	}
	return t, nil
}

// VerifyAudit reads the whole audit of the control database. A chain that is broken is also an errs.Mismatch error.
func (e Environment) VerifyAudit(ctx context.Context) (control.AuditCheck, error) {
	return e.DB.VerifyAudit(ctx)
}
