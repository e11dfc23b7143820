package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/codegen"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

func (a *app) resetCommand() *cli.Command {
	reason := func() cli.Flag { return &cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"} }
	perHour := func(usage string) cli.Flag { return &cli.IntFlag{Name: "per-hour", Usage: usage} }
	return &cli.Command{
		Name: "reset", Category: plumbing, Usage: "have the clients of stores throw their local data away and load it again",
		UsageText: "headgate reset arm --env prod --store demo --per-hour 1 --reason=damaged-files --accept-loss\nheadgate reset fire --env prod\n" +
			"headgate reset status --env prod",
		Description: `The last resort for clients whose local data can't be repaired: first look whether headgate rollback plan has a better one.
An app that has the section of headgate generate --store-reset asks for the plain flag store.reset, the store's generation,
before it opens the store. When that is one above the last that the client acted on, it sends what it has not sent yet,
hands what it can't send to the app, removes its log and its state, and loads the store from the backend.

A reset is armed, with a reason, and then fired, within a day. It opens some stores per hour, in the order of a hash, and
never takes one back. headgate serve opens them, or each headgate flags export --env ENV. headgate stop holds it, until it is
fired again. What a client can't be asked over a flag is in headgate rollback instructions; examples/store-reset.md has all
of it.`,
		Subcommands: []*cli.Command{
			{
				Name: "arm", Usage: "choose the stores and the pace; nothing happens yet",
				UsageText: "headgate reset arm --env prod --store demo --store team-7 --per-hour 10 --reason=damaged-files --accept-loss\n" +
					"headgate reset arm --env prod --all --per-hour 200 --reason=damaged-files --accept-loss",
				Description: "What a client has not sent and can't send is handed to the app, and lost where the app does not keep it: --accept-loss says that you know. What is armed can be fired for a day.",
				Flags: []cli.Flag{
					envFlag(), &cli.StringSliceFlag{Name: "store", Usage: "the store `STORE`; may be given several times"},
					&cli.BoolFlag{Name: "all", Usage: "every active store of the environment"},
					&cli.StringFlag{Name: "schema", Usage: "with --all: those of the store kind `SCHEMA` only"},
					perHour("open `N` stores within any hour at most"), reason(),
					&cli.BoolFlag{Name: "accept-loss", Usage: "yes, something may be lost"},
					&cli.BoolFlag{Name: "dry-run", Usage: "say what would be armed, arm nothing"},
				},
				Action: a.resetArm,
			},
			{
				Name: "fire", Usage: "let the armed reset open stores, or a paused one go on",
				UsageText:   "headgate reset fire --env prod\nheadgate reset fire --env prod --per-hour 50",
				Description: "Opens the first stores at once. While it is under way, --per-hour gives it another pace. Where headgate.yaml has approvals for the environment, somebody else than who armed it must fire it.",
				Flags:       []cli.Flag{envFlag(), perHour("from now on `N` stores per hour"), reason(), &cli.BoolFlag{Name: "dry-run", Usage: "say what would be fired, fire nothing"}},
				Action:      a.resetFire,
			},
			{
				Name: "status", Usage: "say how far the last reset is", UsageText: "headgate reset status --env prod", Flags: []cli.Flag{envFlag()},
				Action: func(c *cli.Context) error {
					return a.withOperations(c, func(ops operations) error { return a.renderReset(ops.Reset(c.Context)) })
				},
			},
			{
				Name: "cancel", Usage: "end the reset; no more stores get it", UsageText: "headgate reset cancel --env prod --reason=it-does-not-help",
				Description: "The stores that are open stay so: their clients reset when they next start.",
				Flags:       []cli.Flag{envFlag(), reason()},
				Action: func(c *cli.Context) error {
					if strings.TrimSpace(c.String("reason")) == "" {
						return errs.Invalidf("--reason is missing").Hintf("the audit keeps it: --reason TEXT")
					}
					return a.withOperations(c, func(ops operations) error {
						return a.renderReset(ops.CancelReset(c.Context, a.by(c.String("reason"))))
					})
				},
			},
		},
	}
}

func (a *app) resetArm(c *cli.Context) error {
	switch {
	case c.Bool("all") == (len(c.StringSlice("store")) > 0):
		return errs.Invalidf("either --store or --all says which stores").Hintf("begin with one: --store STORE --per-hour 1")
	case c.String("schema") != "" && !c.Bool("all"):
		return errs.Invalidf("--schema is for --all")
	case c.Int("per-hour") < 1:
		return errs.Invalidf("--per-hour is missing, or below 1").Hintf("each client loads its whole log from the backend: how many may do so within an hour?")
	case strings.TrimSpace(c.String("reason")) == "":
		return errs.Invalidf("--reason is missing").Hintf("the audit keeps it: --reason TEXT")
	case !c.Bool("accept-loss") && !c.Bool("dry-run"):
		return errs.Refusedf("a reset may lose data, and --accept-loss is missing").Hintf("%s", corrective.FullResetLoss())
	}
	ask := operate.ResetAsk{All: c.Bool("all"), Schema: c.String("schema"), PerHour: c.Int("per-hour"), DryRun: c.Bool("dry-run")}
	for _, id := range c.StringSlice("store") {
		ask.Stores = append(ask.Stores, livestore.StoreID(id))
	}
	return a.withOperations(c, func(ops operations) error {
		return a.renderReset(ops.ArmReset(c.Context, ask, a.by(c.String("reason"))))
	})
}

// storesToReset are the stores that are asked for. All of their schemas must have the helper's section: no other build
// acts on the flag.
func (a *app) storesToReset(ctx context.Context, env config.Environment, ask operate.ResetAsk) ([]livestore.StoreID, error) {
	wanted, err := a.stores(ctx, a.loaded, env)
	if err != nil {
		return nil, err
	}
	if ask.Schema != "" {
		if _, err := a.loaded.Schema(ask.Schema); err != nil {
			return nil, err
		}
	}
	if !ask.All {
		wanted = nil
		for _, id := range ask.Stores {
			s, err := a.store(ctx, a.loaded, env, id)
			if err != nil {
				return nil, err
			}
			wanted = append(wanted, s)
		}
	}
	m, err := codegen.Load(codegen.Workspace{Dir: a.loaded.Dir}.ManifestFile())
	if err != nil {
		return nil, err
	}
	var out []livestore.StoreID
	for _, s := range wanted {
		if ask.Schema != "" && s.Schema != ask.Schema || slices.Contains(out, s.ID) {
			continue
		}
		if !m.Schemas[s.Schema].StoreReset {
			return nil, errs.Refusedf("no build of schema %s acts on a reset: its generated file lacks the section", s.Schema).
				Hintf("ship a release that has it first; examples/store-reset.md says how. Until then: headgate rollback instructions").
				Then("headgate generate --schema " + s.Schema + " --store-reset")
		}
		out = append(out, s.ID)
	}
	if len(out) == 0 {
		return nil, errs.NotFoundf("environment %s has no active store of that kind", env.Name).At("%s", a.loaded.Where(env.Line))
	}
	return out, nil
}

func (a *app) resetFire(c *cli.Context) error {
	if c.IsSet("per-hour") && c.Int("per-hour") < 1 {
		return errs.Invalidf("--per-hour %d is below 1", c.Int("per-hour")).Hintf("to hold it: headgate reset cancel, or headgate stop")
	}
	return a.withOperations(c, func(ops operations) error {
		return a.renderReset(ops.FireReset(c.Context, c.Int("per-hour"), a.by(c.String("reason")), c.Bool("dry-run")))
	})
}

func (a *app) renderReset(r operate.ResetReport, err error) error {
	if err != nil {
		return err
	}
	return a.render(r, func(w io.Writer) error {
		state := "is " + string(r.State)
		if r.DryRun {
			state = "would be fired"
			if r.ID == 0 {
				state = "would be armed"
			}
		}
		name := "the reset"
		if r.ID > 0 {
			name = fmt.Sprintf("reset %d", r.ID)
		}
		fmt.Fprintf(w, "%s of %s %s: %d of %s open, %d per hour at most\n", name, r.Env, a.stdout.paint(strong, state), r.Opened, count(r.Stores, "store"), r.PerHour)
		if !r.ArmedAt.IsZero() {
			fmt.Fprintf(w, "  armed by %s at %s: %s\n", r.ArmedBy, r.ArmedAt.Format(time.RFC3339), r.Reason)
		}
		if !r.FiredAt.IsZero() {
			fmt.Fprintf(w, "  fired by %s at %s\n", r.FiredBy, r.FiredAt.Format(time.RFC3339))
		}
		if len(r.Opening) > 0 {
			fmt.Fprintf(w, "  %s opened now; their clients reset when they next start, once they have the flag\n", count(len(r.Opening), "store"))
		}
		if !r.State.Ended() {
			fmt.Fprintf(w, "  %s %s\n", a.stdout.paint(bad, "may lose:"), corrective.FullResetLoss())
		}
		if r.Stopped != "" {
			fmt.Fprintf(w, "  %s is stopped: %s\n", r.Env, r.Stopped)
		}
		if !r.Until.IsZero() {
			fmt.Fprintf(w, "  the last store opens at %s at the earliest\n", r.Until.Format(time.RFC3339))
		}
		if len(r.NextActions) > 0 {
			fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
		}
		return nil
	})
}

// openReset opens the stores that a fired reset in --env is due to open, and returns the flags as they are then.
func (a *app) openReset(c *cli.Context, file *rollout.File) (*rollout.File, error) {
	if c.String("env") == "" {
		return file, nil
	}
	var opened []livestore.StoreID
	err := a.withControl(c, func(env config.Environment, db *control.DB) (err error) {
		opened, err = a.operate(env, db).OpenReset(c.Context)
		return err
	})
	if err != nil || len(opened) == 0 {
		return file, err
	}
	fmt.Fprintf(a.stderr, "a reset opens %s more\n", count(len(opened), "store"))
	_, file, err = a.flagsOf(c)
	return file, err
}
