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

	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/planner"
)

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
// another one by now.
func (r *planRun) store(ctx context.Context, s planner.Step, id string, commands []corrective.Command, run func(corrective.Command) error) error {
	if s.Kind == planner.ResetBackend {
		if _, err := os.Stat(filepath.Join(r.work(), id+"-last.json.reset.json")); err == nil {
			commands = commands[len(commands)-1:]
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, c := range commands {
		if err := run(c); err != nil {
			return err
		}
	}
	if s.Kind == planner.ResetBackend {
		return r.sameExports(ctx, id)
	}
	return nil
}

// sameExports makes sure that nothing arrived between the export that was corrected and the reset.
func (r *planRun) sameExports(ctx context.Context, id string) error {
	var digests [2]string
	for n, name := range []string{id + ".json", id + "-last.json"} {
		d, err := r.app.dumpDigest(ctx, filepath.Join(r.work(), name))
		if err != nil {
			return err
		}
		digests[n] = d
	}
	if digests[0] == digests[1] {
		return nil
	}
	last := r.app.rel(filepath.Join(r.work(), id+"-last.json"))
	return errs.New(errs.Mismatch, "events arrived in store %s after its log was corrected: they are not in what was imported", id).At("%s", last).
		Hintf("this export, made right before the reset, has them: the clients that wrote them commit them again, or somebody does").
		Then("headgate log verify " + last)
}

// dumpDigest is the digest of the events of a dump.
func (a *app) dumpDigest(ctx context.Context, path string) (digest string, err error) {
	d, err := operate.OpenDump(ctx, path, a.rel(path), "", a.progresses)
	if err != nil {
		return "", err
	}
	return d.Found.Digest, d.Close()
}
