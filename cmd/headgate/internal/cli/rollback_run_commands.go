package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/planner"
)

// commands are what carries out a step; note says that it is so already.
func (r *planRun) commands(ctx context.Context, s planner.Step) (out []corrective.Command, note string, err error) {
	out = corrective.Commands(r.plan, s, r.here())
	switch {
	case s.Kind == planner.StopEmission && s.Rollout != "":
		return r.stopCommands(ctx, s, out)
	case s.Kind == planner.ResetClients && r.Doing(s.ID).State == corrective.Begun:
		return r.resetCommands(ctx, out)
	}
	return out, "", nil
}

// stopCommands take a rollout back that is still open.
func (r *planRun) stopCommands(ctx context.Context, s planner.Step, out []corrective.Command) ([]corrective.Command, string, error) {
	lines, err := r.app.rolloutLines(ctx, r.env)
	if err != nil {
		return nil, "", err
	}
	for _, line := range lines {
		switch {
		case line.Name != s.Rollout:
		case line.Phase.Open():
			out[0][1] = "undo"
		case !line.Phase.Ramping():
			return nil, fmt.Sprintf("rollout %s is %s already", line.Name, line.Phase), nil
		}
	}
	return out, "", nil
}

// resetCommands are those of a reset of clients that was begun: what this incident armed is only fired, and what it fired is not
// armed again, or clients would lose what they have not sent a second time.
func (r *planRun) resetCommands(ctx context.Context, out []corrective.Command) ([]corrective.Command, string, error) {
	var last operate.ResetReport
	err := r.app.withOperationsOf(ctx, r.env, func(ops operations) (err error) {
		last, err = ops.Reset(ctx)
		return err
	})
	switch {
	case errs.CodeOf(err) == errs.NotFound:
		return out, "", nil
	case err != nil:
		return nil, "", err
	case last.State == control.ResetCancelled || last.Reason != r.why() && !strings.HasPrefix(last.Reason, r.why()+": "):
		return out, "", nil
	case last.State == control.ResetArmed || last.State == control.ResetPaused:
		return out[len(out)-1:], "", nil
	}
	return nil, fmt.Sprintf("reset %d is %s already", last.ID, last.State), nil
}

// here are the circumstances of the plan's steps.
func (r *planRun) here() corrective.Circumstances {
	why := r.why()
	if r.reason != "" {
		why += ": " + r.reason
	}
	return r.circumstances(why)
}

// why begins the reason of all that is done for the incident.
func (r *planRun) why() string { return "incident " + r.ID }

// execute runs the commands of a step.
func (r *planRun) execute(ctx context.Context, s planner.Step, commands []corrective.Command) (reports []json.RawMessage, err error) {
	run := func(c corrective.Command) error {
		if r.app.format != formatJSON {
			fmt.Fprintf(r.app.stdout, "\n%s\n", r.app.stdout.paint(faint, "$ "+commandLine(c)))
			return r.app.nested(ctx, r.app.dir, r.app.stdout, c...)
		}
		var b bytes.Buffer
		err := r.app.nested(ctx, r.app.dir, &b, c...)
		if json.Valid(b.Bytes()) {
			reports = append(reports, bytes.TrimSpace(b.Bytes()))
		}
		return err
	}
	if s.Kind != planner.ResetBackend && s.Kind != planner.CopyLog {
		for _, c := range commands {
			if err := run(c); err != nil {
				return reports, err
			}
		}
		return reports, nil
	}
	if err := os.MkdirAll(r.work(), 0o700); err != nil {
		return nil, errs.New(errs.Internal, "can't make the directory for the logs").At("%s", r.app.rel(r.work())).Because(err)
	}
	for _, id := range r.plan.Intent.Stores {
		if err := r.store(ctx, s, string(id), corrective.StoreCommands(r.plan, s, id, r.here()), run); err != nil {
			return reports, err
		}
	}
	return reports, nil
}

// store runs a step's commands for one store. A reset that was begun has its files: they are not made again of a log that is
// another one by now. Before that they are: the export of one that came to nothing is in nobody's way.
func (r *planRun) store(ctx context.Context, s planner.Step, id string, commands []corrective.Command, run func(corrective.Command) error) error {
	last := filepath.Join(r.work(), id+"-last.json")
	_, err := os.Stat(last + ".reset.json")
	begun := s.Kind == planner.ResetBackend && err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case begun:
		commands = commands[len(commands)-1:]
	default:
		if err := r.sameCorrections(ctx, s); err != nil {
			return err
		}
		if err := os.Remove(last); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, c := range commands {
		if err := run(c); err != nil {
			return err
		}
	}
	return nil
}

// sameCorrections refuses a step that makes logs by other corrections than it was planned with.
func (r *planRun) sameCorrections(ctx context.Context, s planner.Step) error {
	_, err := r.app.plannedCorrections(ctx, r.cfg, r.plan.Intent.Schema, s)
	if e := errs.As(err); e != nil && e.Code == errs.Stale {
		e.Then(r.command("rollback plan --remedy "+string(r.Remedy.Kind)) + ` --accept-loss --reason "…"`)
	}
	return err
}
