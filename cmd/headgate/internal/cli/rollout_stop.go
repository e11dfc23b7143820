package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (a *app) stopCommand() *cli.Command {
	return &cli.Command{
		Name: "stop", Category: daily, Usage: "the emergency command: abort every ramp, pause every migration, freeze every advance",
		UsageText: "headgate stop --env prod --reason=todos-disappear\nheadgate stop --env prod --lift --reason=fixed-in-1.3.1",
		Description: `Needs the control database only: no store is contacted, and no file of a rollout is read. Rollouts that ramp up are
aborted, migrations pause after the batch under way, and nothing opens or advances until --lift. It prints what it can't
stop. After --lift, rollouts are started and migrations resumed one by one.`,
		Flags: []cli.Flag{
			envFlag(), &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
			&cli.BoolFlag{Name: "lift", Usage: "let things advance again"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be stopped, stop nothing"},
		},
		Action: a.stop,
	}
}

// A stopReport says what was stopped, and what can't be.
type stopReport struct {
	Environment string   `json:"environment"`
	Stopped     bool     `json:"stopped"` // nothing advances
	DryRun      bool     `json:"dryRun,omitempty"`
	Aborted     []string `json:"aborted"` // rollouts
	Paused      []string `json:"paused"`  // runs of migrations
	Remains     []string `json:"remains"` // what can't be stopped
	NextActions []string `json:"next_actions"`
}

func (a *app) stop(c *cli.Context) error {
	if strings.TrimSpace(c.String("reason")) == "" {
		return errs.Invalidf("--reason is missing").Hintf("the audit keeps it: --reason TEXT")
	}
	by := a.by(c.String("reason"))
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		r := stopReport{Environment: env.Name, DryRun: c.Bool("dry-run"), Aborted: []string{}, Paused: []string{}, Remains: []string{}}
		if c.Bool("lift") {
			return a.lift(c, env, db, by)
		}
		if !r.DryRun {
			if err := db.Stop(c.Context, env.Name, by); err != nil {
				return err
			}
			r.Stopped = true
		}
		if err := a.stopRollouts(c, env, db, by, &r); err != nil {
			return err
		}
		if err := a.stopRuns(c, env, db, by, &r); err != nil {
			return err
		}
		r.Remains = append(r.Remains,
			"what is committed stays in the logs: no abort takes an event back",
			"clients that fetched the flags before go on until they fetch them again; offline ones until they come back",
			"flags that were exported to a file stay as they are until they are exported again")
		r.NextActions = []string{"headgate flags export --env " + env.Name, "headgate stop --env " + env.Name + " --lift --reason TEXT"}
		return a.render(r, func(w io.Writer) error { return writeStop(w, r) })
	})
}

// stopRollouts aborts what ramps up. A row that changes in between is read again.
func (a *app) stopRollouts(c *cli.Context, env config.Environment, db *control.DB, by control.By, r *stopReport) error {
	rows, err := db.Rollouts(c.Context, env.Name)
	if err != nil {
		return err
	}
	published, err := db.PublishedFlags(c.Context, env.Name)
	if err != nil {
		return err
	}
	for _, row := range rows {
		for row.State.Phase.Ramping() {
			d, err := rollout.Act(a.now(), nil, row.State, rollout.Facts{}, rollout.Request{Command: rollout.Abort, By: by.Actor, Reason: by.Reason})
			if err != nil {
				return err
			}
			moved := r.DryRun
			if !moved {
				t := control.Transition{Decision: d, Flags: operate.ClosedFlags(published, row.Name, d.State.Revision)}
				if moved, err = db.Advance(c.Context, row, t, by); err != nil {
					return err
				}
			}
			if moved {
				r.Aborted = append(r.Aborted, row.Name)
				break
			}
			if row, err = db.Rollout(c.Context, env.Name, row.Name); err != nil {
				return err
			}
		}
		kept, err := db.Committed(c.Context, env.Name, row.Name)
		if err != nil {
			return err
		}
		var events int64
		for _, k := range kept {
			events += k.Events
		}
		if events > 0 || row.State.Phase.Open() {
			r.Remains = append(r.Remains, fmt.Sprintf("%s: %s of the new version in %s, as of the last count", row.Name, counted(events, "event"), count(len(kept), "store")))
		}
		if row.State.Phase.Open() {
			r.Remains = append(r.Remains, fmt.Sprintf("%s is %s: every store emits the new version until `headgate rollout undo %s --env %s --reason TEXT`", row.Name, row.State.Phase, row.Name, env.Name))
		}
	}
	return nil
}

// stopRuns pauses the migrations that are under way.
func (a *app) stopRuns(c *cli.Context, env config.Environment, db *control.DB, by control.By, r *stopReport) error {
	for run, err := range db.Runs(c.Context, env.Name, control.Pending, control.Running) {
		if err != nil {
			return err
		}
		r.Paused = append(r.Paused, run.Migration)
		if run.State == control.Running {
			r.Remains = append(r.Remains, run.Migration+": the batches under way are committed, the stores stop after them")
		}
	}
	if r.DryRun || len(r.Paused) == 0 {
		return nil
	}
	_, err := a.operate(env, db).Ask(c.Context, operate.Pause, "", by)
	if errs.CodeOf(err) == errs.NotFound {
		return nil // they have ended by themselves
	}
	return err
}

func (a *app) lift(c *cli.Context, env config.Environment, db *control.DB, by control.By) error {
	lifted, err := db.Lift(c.Context, env.Name, by)
	if err != nil {
		return err
	}
	if !lifted {
		return errs.Invalidf("%s is not stopped", env.Name)
	}
	next := "headgate rollout list --env " + env.Name
	return a.render(map[string]any{"environment": env.Name, "stopped": false, "next_actions": []string{next}}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s may advance again; rollouts are started and migrations resumed one by one\n\nnext: %s\n", env.Name, next)
		return err
	})
}

func writeStop(w io.Writer, r stopReport) error {
	if r.DryRun {
		fmt.Fprintf(w, "would stop %s:\n", r.Environment)
	} else {
		fmt.Fprintf(w, "%s is stopped: nothing opens or advances until it is lifted\n", r.Environment)
	}
	for _, name := range r.Aborted {
		fmt.Fprintf(w, "  rollout %s: aborted, weight 0\n", name)
	}
	for _, name := range r.Paused {
		fmt.Fprintf(w, "  migration %s: pausing\n", name)
	}
	fmt.Fprintln(w, "what can't be stopped:")
	for _, line := range r.Remains {
		fmt.Fprintf(w, "  %s\n", line)
	}
	_, err := fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
	return err
}
