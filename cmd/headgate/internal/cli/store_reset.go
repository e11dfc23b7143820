package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

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

func (a *app) storeResetCommand() *cli.Command {
	return &cli.Command{
		Name:      "reset",
		Usage:     "empty a store's sync backend, after exporting it, and import what it shall hold",
		ArgsUsage: "STORE",
		UsageText: "headgate store reset acme --env prod --export acme.json --import better.json\n" +
			`headgate store reset acme --env prod --export acme.json --import better.json --reason "…" --accept-loss`,
		Description: `The last resort: the backend forgets all events of the store and gets a new id, and every client that hears of it drops its
own log and state, with what it has not sent (headgate reset asks the clients themselves, and loses less). Without --accept-loss it says what would be lost, and changes nothing (7).

With it, while nobody else works on the store (6, 7): clients' pushes and new pulls wait from the beginning to the end, so that
nobody writes between the events that are imported or loads a half of them; the log is exported to the file and verified; the
store is reset if it still is the one that was exported; and the dump that --import names is imported, read back and compared, after the checks
of headgate log import. An export is never written over. Whatever interrupts it, the same command goes on from there:
FILE.reset.json beside the export says what was begun.

Where headgate.yaml demands approvals for the environment, a reset needs a plan that has it and that others approved (4):
--plan names it, and --import the corrected log, which must be just what the plan's corrections make of the log as it is
exported (7). headgate rollback plan --remedy backend-reset makes one, and headgate rollback run carries it out.

It takes headgate's worker with its admin route (headgate generate --worker; HEADGATE_ADMIN_TOKEN there). Its secret is in the
variable that admin: in headgate.yaml names, HEADGATE_ADMIN_TOKEN by default, and in no argument. What was done, and why, is
in headgate audit. Events in D1 are not the worker's to delete.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "export", Usage: "export the log to `FILE` before", Required: true},
			&cli.StringFlag{Name: "import", Usage: "import the dump `FILE` afterwards"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
			&cli.BoolFlag{Name: "accept-loss", Usage: "do it, and lose what is named without this flag"},
			&cli.StringFlag{Name: "head", Usage: "only if the store ends at `N`, where its loss was looked at: e120"},
			&cli.StringFlag{Name: "plan", Usage: "the approved plan.json in `FILE` that the reset is a step of"},
			&cli.StringFlag{Name: "release", Usage: "what is imported must be such that `RELEASE` decodes it"},
		},
		Action: a.storeReset,
	}
}

func (a *app) storeReset(c *cli.Context) error {
	id := livestore.StoreID(c.Args().First())
	accept := c.Bool("accept-loss")
	if accept {
		if _, err := a.neededReason(c, "say why there is no milder way, for the audit"); err != nil {
			return err
		}
	}
	var seen livestore.SeqNum
	if c.IsSet("head") {
		n, at, err := parseSince(c.String("head"), a.now())
		if err != nil || !at.IsZero() {
			return errs.Invalidf("--head: %q is no event's number", c.String("head")).Hintf("write it as e120")
		}
		seen = n
	}
	return a.withControl(c, func(env config.Environment, db *control.DB) (err error) {
		s, err := a.store(c.Context, a.loaded, env, id)
		if err != nil {
			return err
		}
		var agreed *planner.Step
		if accept {
			if agreed, err = a.approvedReset(c, env, s); err != nil {
				return err
			}
		}
		route, err := a.adminRoute(env, s)
		if err != nil {
			return err
		}
		reset := operate.BackendReset{
			Environment: a.operate(env, db), Store: s.ID, Route: route, By: a.by(reasonOf(c)), Progress: a.progresses, Seen: seen,
			Export: a.abs(c.String("export")), ExportAs: c.String("export"),
			Open: func(ctx context.Context) (eventlog.Appender, error) { return a.openAppender(ctx, a.loaded, env, s) },
			Forget: func() error {
				return checkpointsOf(a.loaded).Forget(s.Schema, string(s.ID))
			},
		}
		var undefined []string
		if name := c.String("import"); name != "" {
			d, err := operate.OpenDump(c.Context, a.abs(name), name, "", a.progresses)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if undefined, err = a.decodes(c, s, d); err != nil {
				return err
			}
			reset.Import = &d
		}
		if agreed != nil {
			reset.Agreed = func(ctx context.Context, exported operate.Dump) error {
				return a.agreedDump(ctx, env, s, agreed, exported, 0, *reset.Import)
			}
		}
		if !accept {
			return a.wouldReset(c.Context, reset)
		}
		r, err := reset.Run(c.Context)
		if err != nil {
			if !r.HeldUntil.IsZero() {
				fmt.Fprintf(a.stderr, "the store is reset, or may be, and not done with; clients' pushes wait until %s. The same command goes on from here\n", r.HeldUntil.Format(time.RFC3339))
			}
			return readable(err)
		}
		r.NextActions = []string{"headgate store show " + string(s.ID) + " --env " + env.Name, "headgate audit --env " + env.Name}
		if r.Imported == nil {
			r.NextActions = append([]string{"headgate log import " + r.Export + " --env " + env.Name + " --store " + string(s.ID)}, r.NextActions...)
		}
		return a.render(r, func(w io.Writer) error {
			fmt.Fprintf(w, "store %s is reset: it ended at e%d on backend %s, which is %s now\n", r.Store, r.Was.Head, r.Was.BackendID, r.BackendID)
			fmt.Fprintf(w, "%s has what it held, digest %s\n", r.Export, r.Was.Digest)
			if r.Imported != nil {
				writeImport(w, *r.Imported, undefined)
			}
			a.writeLoss(w, "lost", r.Loss)
			fmt.Fprintln(w)
			for _, n := range r.NextActions {
				fmt.Fprintf(w, "next: %s\n", n)
			}
			return nil
		})
	})
}

// approvedReset refuses a reset that nobody else approved, where the environment asks for that. It returns the plan's step; nil
// for no plan.
func (a *app) approvedReset(c *cli.Context, env config.Environment, s config.Store) (*planner.Step, error) {
	var step *planner.Step
	err := a.approvedLog(c, env, "a reset", corrective.BackendReset, func(p *planner.Plan) error {
		step = stepOf(p, planner.ResetBackend)
		switch {
		case step == nil || !slices.Contains(p.Intent.Stores, s.ID):
			return errs.Invalidf("the plan is not of a reset of store %s in environment %q", s.ID, env.Name)
		case c.String("import") == "": // nobody agreed to a store that is left empty
			return errs.New(errs.Stale, "the plan imports the corrected log of store %s, and --import is missing", s.ID).
				Hintf("headgate rollback run types the whole of it")
		}
		return nil
	})
	return step, err
}

// stepOf is the first step of a kind; nil for none.
func stepOf(p *planner.Plan, kind planner.StepKind) *planner.Step {
	i := slices.IndexFunc(p.Intent.Steps, func(s planner.Step) bool { return s.Kind == kind })
	if i < 0 {
		return nil
	}
	return &p.Intent.Steps[i]
}

// approvedLog refuses what writes a whole log and is no step of a plan that others approved, where the environment asks for
// that. fits refuses a plan of something else.
func (a *app) approvedLog(c *cli.Context, env config.Environment, what string, remedy corrective.RemedyKind, fits func(p *planner.Plan) error) error {
	file := c.String("plan")
	if file == "" {
		if env.Approvals == 0 {
			return nil
		}
		return errs.New(errs.Stale, "environment %q asks for %s of what writes data, and %s without a plan has none", env.Name, count(env.Approvals, "approval"), what).
			At("%s", a.loaded.Where(env.Line)).Hintf("have it planned in an incident, and the plan approved; --plan names its plan.json").
			Then("headgate rollback plan --remedy " + string(remedy) + " --env " + env.Name)
	}
	p, err := a.readPlan(file)
	if err != nil {
		return err
	}
	if p.Intent.Environment != env.Name {
		err = errs.Invalidf("the plan is of environment %q, not of %q", p.Intent.Environment, env.Name)
	} else {
		err = fits(p)
	}
	if e := errs.As(err); e != nil {
		return e.At("%s", file).Then("headgate plan show " + file)
	}
	return a.approved(c.Context, env, p, file)
}

// wouldReset says what a reset loses, and that nobody agreed to that.
func (a *app) wouldReset(ctx context.Context, reset operate.BackendReset) error {
	r, err := reset.Look(ctx)
	if err != nil {
		return readable(err)
	}
	again := a.line + " --accept-loss"
	if reset.Seen == 0 && r.Was.Head > 0 {
		again += fmt.Sprintf(" --head e%d", r.Was.Head)
	}
	if reset.By.Reason == "" {
		again += ` --reason "…"`
	}
	r.NextActions = []string{again}
	err = a.render(r, func(w io.Writer) error {
		fmt.Fprintf(w, "store %s ends at e%d on backend %s\n", r.Store, r.Was.Head, r.Was.BackendID)
		a.writeLoss(w, "would be lost", r.Loss)
		fmt.Fprintf(w, "\nnext: %s\n", again)
		return nil
	})
	if err != nil {
		return err
	}
	return errs.Refusedf("a reset of store %s loses what is named above, and nobody agreed to that", r.Store).
		Hintf("look for a milder way first: headgate rollback plan. Nothing was changed").Then(again)
}

func (a *app) writeLoss(w io.Writer, title string, l operate.BackendLoss) {
	fmt.Fprintf(w, "\n%s:\n", a.stdout.paint(bad, title))
	for _, what := range l.Loses {
		fmt.Fprintf(w, "  - %s\n", what)
	}
	fmt.Fprintln(w, "\nwhat clients do, by their setting:")
	for _, what := range l.Follow {
		fmt.Fprintf(w, "  - %s\n", what)
	}
}

// adminRoute is the guarded route of a store's sync backend. The secret is looked up here, and is nowhere else.
func (a *app) adminRoute(env config.Environment, s config.Store) (operate.AdminRoute, error) {
	if s.Log.Kind != "sync-cf" && s.Log.Kind != "sync-cf+http" {
		return operate.AdminRoute{}, errs.Refusedf("store %s is on no sync-cf backend, which alone has an admin route", s.ID).At("%s", a.loaded.Where(s.Line)).
			Hintf("a database or a client's log has no backend id that clients could notice: empty it by its own means, with all clients stopped")
	}
	variable := cmp.Or(env.AdminVariable, config.DefaultAdminVariable)
	secret, _ := a.lookupEnv(variable)
	if secret == "" {
		return operate.AdminRoute{}, errs.Invalidf("the environment variable %s is not set", variable).At("%s", a.loaded.Where(env.Line)).
			Hintf("it holds what the Worker has as HEADGATE_ADMIN_TOKEN; admin: in %s names another variable", config.FileName)
	}
	return operate.AdminRoute{URL: s.Log.Address, Token: secret, From: variable}, nil
}
