package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (a *app) rolloutCreateCommand() *cli.Command {
	return &cli.Command{
		Name: "create", Usage: "draft headgate/rollouts/NAME.yaml from the recorded releases", ArgsUsage: "EVENT",
		UsageText: "headgate rollout create TodoCreated --to v2\nheadgate rollout create TodoCreated --dry-run",
		Description: `Writes a rollout of the event family to its newest version, or the one of --to, from the version before it. Nothing
opens until it is started.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "the `VERSION` to open, as in v2; the newest one by default"},
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the file, write nothing"},
		},
		Action: a.rolloutCreate,
	}
}

func (a *app) rolloutCreate(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return err
	}
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return err
	}
	schemaName := ""
	if len(cfg.Schemas) > 1 {
		schemaName = s.Name
	}
	name, text, err := rollout.DraftDefinition(c.Args().First(), c.String("to"), schemaName, releases)
	if err != nil {
		return err
	}
	return a.writeDraft(c, draft{
		path: rolloutPath(cfg, name), text: text, about: map[string]any{"name": name},
		said: "nothing opens until it is started", next: "headgate rollout check " + name,
	})
}

func (a *app) rolloutListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Usage: "the rollouts, and how far they are", UsageText: "headgate rollout list --env prod",
		Flags: []cli.Flag{envFlag()}, Action: a.rolloutList,
	}
}

func (a *app) rolloutList(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		list, err := ops.RolloutList(c.Context)
		if err != nil {
			return err
		}
		return a.render(map[string]any{"rollouts": list}, func(w io.Writer) error { return a.writeRollouts(w, list) })
	})
}

func (a *app) writeRollouts(w io.Writer, list []operate.RolloutLine) error {
	if len(list) == 0 {
		_, err := fmt.Fprint(w, "there is no rollout yet\n\nnext: headgate rollout create EVENT\n")
		return err
	}
	rows := [][]string{{"ROLLOUT", "PHASE", "WEIGHT", "SINCE", "OPENS"}}
	for _, l := range list {
		phase, since := string(l.Phase), ""
		if l.Paused {
			phase += " (paused)"
		}
		if !l.Since.IsZero() {
			since = l.Since.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{l.Name, phase, orDash(l.Weight), since, fmt.Sprint(l.Events)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, l := range list {
		if l.Problem != "" {
			fmt.Fprintf(w, "%s: %s: %s\n", a.stdout.paint(bad, "not readable"), l.Name, l.Problem)
		}
	}
	return nil
}

func (a *app) rolloutCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "hold a rollout against the recorded releases and the fleet", ArgsUsage: "NAME",
		UsageText: "headgate rollout check todo-created-v2 --env prod",
		Description: `Reads the file strictly, then looks for

  RO101  the event can be emitted without a look at its readers: headgate/flags.yaml has the flag too
  RO102  (warning) a release that is alive does not read the new version: the gate holds its stores
  RO103  a build that may emit the event does not have it
  RO104  the keys or versions of a running rollout were changed, or another rollout has the flag
  RO105  (warning) a prerelease of the floor is alive, which the floor shuts out
  RO106  (warning) an analysis looks at a signal that nobody has ever reported in the environment

Ends with 3 if one of them is an error.`,
		Flags: []cli.Flag{envFlag()}, Action: a.rolloutCheck,
	}
}

func (a *app) rolloutCheck(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		r, err := ops.RolloutCheck(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		problems := r.Problems()
		err = a.render(r, func(w io.Writer) error {
			for _, f := range r.Findings {
				tone := bad
				if f.Warning {
					tone = warn
				}
				fmt.Fprintf(w, "%s:%d: %s %s\n  fix: %s\n", r.File, f.Line, a.stdout.paint(tone, f.Code), f.Msg, f.Hint)
			}
			fmt.Fprintf(w, "%s: builds from %s on emit it, clients away for %s don't count; %s\n", r.Rollout, r.Floor, r.Horizon, count(problems, "problem"))
			if problems == 0 {
				fmt.Fprintf(w, "\nnext: %s\n", r.NextActions[0])
			}
			return nil
		})
		if err != nil || problems == 0 {
			return err
		}
		return errs.New(errs.Findings, "%s with the rollout", count(problems, "problem")).At("%s", r.File).Hintf("each one says how to fix it")
	})
}

func (a *app) rolloutHistoryCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "who did what to a rollout, and why", ArgsUsage: "NAME",
		UsageText: "headgate rollout history todo-created-v2 --env prod", Flags: []cli.Flag{envFlag()}, Action: a.rolloutHistory,
	}
}

func (a *app) rolloutHistory(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		trail, err := ops.RolloutHistory(c.Context, c.Args().First(), 0, 0)
		if err != nil {
			return err
		}
		return a.render(trail, func(w io.Writer) error {
			rows := [][]string{{"AT", "WHO", "WHAT", "DETAIL"}}
			for _, e := range trail.Entries {
				rows = append(rows, []string{e.At.Format(time.RFC3339), e.Actor, e.Action[len("rollout."):], string(e.Detail)})
			}
			return table(w, rows)
		})
	})
}
