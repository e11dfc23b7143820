package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/planner"
)

func (a *app) logImportCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "put the events of a dump into a store that has none",
		ArgsUsage: "FILE",
		UsageText: "headgate log import acme.json --env prod --store acme-2 --dry-run\n" +
			"headgate log import acme.json --env prod --store acme-2",
		Description: `Pushes a dump's events into a store of the inventory with their numbers, writers and arguments as they are, reads them
back and compares. The store may be a new one: put it into the inventory, and this copies a log. What was interrupted is
gone on with by the same command, as long as all that the store has is the beginning of the dump; a store that has anything
else is left alone (7), and so is one on which somebody works (6) or for which a run of migrations is open (7).

Before the first push the whole dump is checked: that it is what it says of itself (8), that no number is missing and no
event is too big to be pulled (7), and that the newest recorded release decodes every event (7): one that it does not would
keep every client from syncing. Events that the release does not define are only named. --release asks another one.

Nobody else may write into the store meanwhile; the pushes of clients are not held back. headgate store reset --import does
that. On a backend the events get the time of the import as theirs. In a client's log they are pending until it is online.

Where headgate.yaml demands approvals for the environment, an import needs a plan that has it and that others approved (4):
headgate rollback plan --remedy copy-log writes one. What it imports must be what the plan's corrections make of the log that it
copies (7). --dry-run needs none.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "store", Usage: "the store `STORE`", Required: true},
			&cli.BoolFlag{Name: "dry-run", Usage: "check everything, push nothing"},
			&cli.StringFlag{Name: "digest", Usage: "the dump's digest must be `DIGEST`"},
			&cli.StringFlag{Name: "release", Usage: "the events must be such that `RELEASE` decodes them"},
			&cli.StringFlag{Name: "plan", Usage: "the approved plan.json in `FILE` that the import is a step of"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
			&cli.BoolFlag{Name: "force-closed", Usage: "append to a client's log where it can't be seen whether the client is stopped: you know it is"},
		},
		Action: a.logImport,
	}
}

func (a *app) logImport(c *cli.Context) error {
	a.forceClosed = c.Bool("force-closed")
	return a.withControl(c, func(env config.Environment, db *control.DB) (err error) {
		s, err := a.store(c.Context, a.loaded, env, livestore.StoreID(c.String("store")))
		if err != nil {
			return err
		}
		var agreed *planner.Step
		if !c.Bool("dry-run") {
			if agreed, err = a.approvedImport(c, env, s); err != nil {
				return err
			}
		}
		d, err := a.openDump(c, c.String("digest"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		if agreed != nil {
			if err := a.agreedCopy(c.Context, env, s, agreed, d); err != nil {
				return err
			}
		}
		var log eventlog.Appender
		i := operate.LogImport{
			Environment: a.operate(env, db), Store: s.ID, Dump: d, By: a.by(reasonOf(c)), Progress: a.progresses,
			Open: func(ctx context.Context) (_ eventlog.Appender, err error) {
				log, err = a.openAppender(ctx, a.loaded, env, s)
				return log, err
			},
		}
		r, err := i.Look(c.Context)
		if err != nil {
			return readable(err)
		}
		skipped := []string{}
		if r.Before < r.Events {
			if skipped, err = a.decodes(c, s, d); err != nil {
				return err
			}
		}
		if !c.Bool("dry-run") {
			r, err = i.Run(c.Context)
			a.clientLogs.note(s.ID, log)
			if err != nil {
				writeClientLogs(a.stderr, a.clientLogs.all())
				return readable(err)
			}
		}
		return a.render(struct {
			operate.ImportReport
			Undefined []string    `json:"undefined"` // events that the release does not define
			Clients   []clientLog `json:"clientLogs"`
		}{r, skipped, append([]clientLog{}, a.clientLogs.all()...)}, func(w io.Writer) error {
			writeImport(w, r, skipped)
			writeClientLogs(w, a.clientLogs.all())
			for _, n := range r.NextActions {
				fmt.Fprintf(w, "\nnext: %s\n", n)
			}
			return nil
		})
	})
}

// approvedImport refuses an import that nobody else approved, where the environment asks for that. It returns the step of the
// plan that copies the log; nil where nobody need approve.
func (a *app) approvedImport(c *cli.Context, env config.Environment, s config.Store) (*planner.Step, error) {
	var copies *planner.Step
	err := a.approvedLog(c, env, "an import", corrective.CopyLog, func(p *planner.Plan) error {
		if of, copied := copiedStore(s.ID); copied && slices.Contains(p.Intent.Stores, of) {
			copies = stepOf(p, planner.CopyLog)
		}
		if copies != nil {
			return nil
		}
		if stepOf(p, planner.ResetBackend) != nil && slices.Contains(p.Intent.Stores, s.ID) {
			return errs.Invalidf("the plan resets store %s: the reset itself imports what the plan's corrections make of its log", s.ID).
				Hintf("headgate store reset %s --plan %s … --import FILE, which goes on where it was interrupted; or headgate rollback run", s.ID, c.String("plan"))
		}
		return errs.Invalidf("the plan is not of an import into store %s in environment %q", s.ID, env.Name)
	})
	return copies, err
}

// copiedStore is the store that a plan copies into another one.
func copiedStore(id livestore.StoreID) (of livestore.StoreID, copied bool) {
	name, copied := strings.CutSuffix(string(id), corrective.CopySuffix)
	return livestore.StoreID(name), copied
}

// agreedCopy refuses a dump that is not what the step makes of the log that it copies. That goes on: events that came behind the
// dump's last one are not in the copy.
func (a *app) agreedCopy(ctx context.Context, env config.Environment, s config.Store, step *planner.Step, d operate.Dump) (err error) {
	of, _ := copiedStore(s.ID)
	from, err := a.store(ctx, a.loaded, env, of)
	if err != nil {
		return err
	}
	log, err := a.openStore(ctx, a.loaded, env, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return a.agreedDump(ctx, env, from, step, log, d.Found.Events, d)
}

func writeImport(w io.Writer, r operate.ImportReport, undefined []string) {
	switch {
	case r.DryRun:
		fmt.Fprintf(w, "would import %s into store %s", counted(r.Events-r.Before, "event"), r.Store)
	case r.Pushed == 0:
		fmt.Fprintf(w, "store %s has all %s of %s already", r.Store, counted(r.Events, "event"), r.File)
	default:
		fmt.Fprintf(w, "imported %s into store %s, and read all back", counted(r.Pushed, "event"), r.Store)
	}
	if r.Before > 0 && r.Before < r.Events {
		fmt.Fprintf(w, ", after the %d that it has", r.Before)
	}
	fmt.Fprintf(w, "\ndigest %s", r.Digest)
	if !r.Declared {
		fmt.Fprint(w, ", which the dump does not name: whether it was changed nobody can tell")
	}
	if r.BackendID != "" {
		fmt.Fprintf(w, "\nbackend %s", r.BackendID)
	}
	if len(undefined) > 0 {
		fmt.Fprintf(w, "\nclients skip %s, which the release does not define", strings.Join(undefined, ", "))
	}
	fmt.Fprintln(w)
}

// decodes makes sure that a release, the newest recorded one where none is named, decodes the events of a dump that are to go
// into a store, and returns the names of those that it does not define.
func (a *app) decodes(c *cli.Context, s config.Store, d operate.Dump) (undefined []string, err error) {
	schema, err := a.loaded.Schema(s.Schema)
	if err != nil {
		return nil, err
	}
	version := c.String("release")
	if version == "" {
		releases, err := releaseDir(a.loaded).Versions(schema.Name)
		if err != nil {
			return nil, err
		}
		if version = latest(releases, "", false); version == "" {
			return nil, errs.NotFoundf("no release of %s is recorded", schema.Name).
				Hintf("whether clients can decode the events is asked of a release").Then("headgate release add 1.0.0")
		}
	}
	target, err := targetOf(a.loaded, schema, version)
	if err != nil {
		return nil, err
	}
	l, err := a.launcher()
	if err != nil {
		return nil, err
	}
	read, err := corrective.Receive(c.Context, l, d.Reader, corrective.Selection{}, nil, target)
	if err != nil {
		return nil, readable(err)
	}
	undefined = []string{}
	for _, t := range read.Events {
		switch t.Verdict {
		case corrective.Skips:
			undefined = append(undefined, t.Event)
		case corrective.Breaks:
			where := ""
			if len(t.Failing) > 0 {
				where = fmt.Sprintf(", as in %s: %s is not %s", t.Failing[0].Seq, t.Failing[0].Path, t.Failing[0].Wanted)
			}
			return nil, errs.Refusedf("release %s does not decode %s%s", version, t.Event, where).At("%s", d.Path).
				Hintf("every client would stop syncing at such an event: headgate log transform leaves it out or corrects it; nothing was pushed")
		}
	}
	return undefined, nil
}
