package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
	"headgate/internal/livestore"
)

func (a *app) migrationPauseCommand() *cli.Command {
	return a.runRequest("pause", "let the runs that are under way stop after the batches they are at",
		"headgate migration pause --env prod",
		`Stores that nobody works on are held at once, the others after the batch under way. resume goes on.`,
		request{
			run:    [][2]control.State{{control.Pending, control.Paused}, {control.Running, control.Pausing}},
			stores: [][2]control.State{{control.Pending, control.Paused}, {control.Running, control.Pausing}},
			active: []control.State{control.Pending, control.Running},
		})
}

func (a *app) migrationCancelCommand() *cli.Command {
	return a.runRequest("cancel", "end the runs that are under way or paused, for good",
		"headgate migration cancel backfill_priority --env prod",
		`What is committed stays committed: events can't be un-committed. A new run finds in the logs what is done.`,
		request{
			run:    [][2]control.State{{control.Pending, control.Cancelled}, {control.Running, control.Cancelling}, {control.Pausing, control.Cancelling}, {control.Paused, control.Cancelled}},
			stores: [][2]control.State{{control.Pending, control.Cancelled}, {control.Running, control.Cancelling}, {control.Pausing, control.Cancelling}, {control.Paused, control.Cancelled}},
			active: []control.State{control.Pending, control.Running, control.Pausing, control.Paused},
		})
}

// A request asks runs to go somewhere: the moves of a run and of its stores, and the runs that it is for.
type request struct {
	run, stores [][2]control.State
	active      []control.State
}

func (a *app) runRequest(name, usage, example, description string, q request) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, ArgsUsage: "[NAME]", UsageText: example, Description: description,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: func(c *cli.Context) error { return a.request(c, q) },
	}
}

// request moves the runs that are active, or those of the migration that is named, and what nobody works on.
func (a *app) request(c *cli.Context, q request) error {
	return a.withRuns(c, q.active, func(r *runner, db *control.DB, run control.Run) error {
		by := a.by(c.String("reason"))
		for _, m := range q.run {
			if _, err := db.MoveRun(c.Context, run.ID, []control.State{m[0]}, m[1], by); err != nil {
				return err
			}
		}
		for _, m := range q.stores {
			if _, err := db.MoveAll(c.Context, run.ID, control.AllWaves, []control.State{m[0]}, m[1]); err != nil {
				return err
			}
		}
		return r.fleet(db).Settle(c.Context, run.ID)
	})
}

func (a *app) migrationResumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "go on with runs that were paused",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration resume --env prod",
		Description: `Workers (headgate worker) take the stores up again by themselves; without workers the next command is
headgate migration up, which joins the run.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: func(c *cli.Context) error {
			return a.withRuns(c, []control.State{control.Paused, control.Pausing}, func(r *runner, db *control.DB, run control.Run) error {
				if run.State == control.Pausing {
					return errs.New(errs.Locked, "run %s is still pausing: stores finish the batch under way", run.ID).Then(a.line)
				}
				_, err := db.Retry(c.Context, run.ID, []control.State{control.Paused}, nil, a.by(c.String("reason")))
				return err
			})
		},
	}
}

// withRuns does something to the runs in one of the states, of all migrations or the one that is named, and prints how
// they stand afterwards.
func (a *app) withRuns(c *cli.Context, states []control.State, work func(*runner, *control.DB, control.Run) error) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		name := ""
		if c.Args().Present() {
			defs, err := a.definitions(c.Context, a.loaded, c.Args().First())
			if err != nil {
				return err
			}
			name = defs[0].Name
		}
		r, err := a.newRunner(c.Context, a.loaded, env, nil, 0)
		if err != nil {
			return err
		}
		out := []runStatus{}
		for run, err := range db.Runs(c.Context, env.Name, states...) {
			if err != nil {
				return err
			}
			if name != "" && run.Migration != name {
				continue
			}
			if err := work(r, db, run); err != nil {
				return err
			}
			s, err := statusOf(c.Context, db, run.ID)
			if err != nil {
				return err
			}
			out = append(out, s)
		}
		if len(out) == 0 {
			return errs.NotFoundf("no run is %s", orList(states)).Hintf("headgate status shows the runs").Then("headgate status --env " + env.Name)
		}
		return a.render(out, func(w io.Writer) error { return writeRuns(w, env.Name, out) })
	})
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

// A runStatus is how far a run is.
type runStatus struct {
	control.Run
	Waves       []waveStatus  `json:"waves"` // by wave and state
	Failed      []failedStore `json:"failed"`
	NextActions []string      `json:"next_actions"`
}

// A waveStatus is how many stores of a wave are in one state.
type waveStatus struct {
	control.WaveCount
	Name string `json:"name,omitempty"` // as headgate.yaml had it when the run began
}

// failedShown is how many of a run's failed stores are listed.
const failedShown = 10

func statusOf(ctx context.Context, db *control.DB, id string) (s runStatus, err error) {
	s.Failed, s.Waves, s.NextActions = []failedStore{}, []waveStatus{}, []string{}
	if s.Run, err = db.Run(ctx, id); err != nil {
		return s, err
	}
	o, err := jobs.ReadOptions(s.Run)
	if err != nil {
		return s, err
	}
	counts, err := db.Counts(ctx, id)
	if err != nil {
		return s, err
	}
	for _, c := range counts {
		w := waveStatus{WaveCount: c}
		if c.Wave < len(o.Waves) {
			w.Name = o.Waves[c.Wave].Name
		}
		s.Waves = append(s.Waves, w)
	}
	if next := nextOf(s.Env, s.Run); next != "" {
		s.NextActions = append(s.NextActions, next)
	}
	for row, err := range db.StoreRuns(ctx, id, control.AllWaves, control.Failed, control.Stalled, control.Vanished, control.Quarantined) {
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

// storeError is the error that a store of a run ended with. The database keeps its hint in a second line, and then the
// commands to run next.
func storeError(env string, s control.StoreRun) *errs.Error {
	lines := append(strings.Split(s.Error, "\n"), "")
	e := errs.New(s.ErrorCode, "%s", lines[0]).Hintf("%s", lines[1])
	for _, next := range lines[2:] {
		if next != "" {
			e.Then(inEnv(next, env))
		}
	}
	return e
}

func failedOf(env string, s control.StoreRun) failedStore {
	e := storeError(env, s)
	return failedStore{Store: livestore.StoreID(s.Store), State: s.State, Code: e.Code, Error: e.Msg, Hint: e.Hint, Next: e.Next}
}

func writeRuns(w io.Writer, env string, runs []runStatus) error {
	for i, r := range runs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s on %s: %s\n  run %s, begun by %s at %s\n", r.Migration, env, r.State, r.ID, r.Actor, r.CreatedAt.UTC().Format("2006-01-02 15:04:05Z"))
		for _, c := range r.Waves {
			wave := ""
			switch {
			case c.Name != "":
				wave = "wave " + c.Name + ": "
			case r.Waves[len(r.Waves)-1].Wave > 0: // the last one is for what is in none of headgate.yaml
				wave = "the rest: "
			}
			fmt.Fprintf(w, "  %s%s %s, %s committed\n", wave, count(int(c.Stores), "store"), c.State, counted(c.Committed, "event"))
		}
		writeFailed(w, r.Failed)
		for _, next := range r.NextActions {
			fmt.Fprintf(w, "  next: %s\n", next)
		}
	}
	return nil
}

// writeFailed lists stores that failed, and what to do about each.
func writeFailed(w io.Writer, failed []failedStore) {
	for _, f := range failed {
		fmt.Fprintf(w, "  %s: %s\n", f.Store, f.Error)
		if f.Hint != "" {
			fmt.Fprintf(w, "    fix: %s\n", f.Hint)
		}
		for _, next := range f.Next {
			fmt.Fprintf(w, "    next: %s\n", next)
		}
	}
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
		return "headgate migration up" + tail + " --only-failed"
	case control.Succeeded:
		return "headgate migration verify" + tail
	}
	return ""
}
