package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
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
	cfg, err := a.config()
	if err != nil {
		return err
	}
	names, err := rolloutNames(cfg)
	if err != nil {
		return err
	}
	type line struct {
		Name   string        `json:"name"`
		Events []string      `json:"events"`
		Phase  rollout.Phase `json:"phase"`
		Weight string        `json:"weight"`
		Paused bool          `json:"paused"`
		Since  time.Time     `json:"since,omitzero"`
	}
	out := []line{}
	for _, name := range names {
		err := a.withRollout(c, name, false, func(v *operate.Rollout) error {
			s := v.Row.State
			out = append(out, line{name, v.Definition.New(), s.Phase, s.Weight(v.Definition).String(), s.Paused != nil, s.Since})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return a.render(map[string]any{"rollouts": out}, func(w io.Writer) error {
		if len(out) == 0 {
			_, err := fmt.Fprint(w, "there is no rollout yet\n\nnext: headgate rollout create EVENT\n")
			return err
		}
		rows := [][]string{{"ROLLOUT", "PHASE", "WEIGHT", "SINCE", "OPENS"}}
		for _, l := range out {
			phase, since := string(l.Phase), ""
			if l.Paused {
				phase += " (paused)"
			}
			if !l.Since.IsZero() {
				since = l.Since.UTC().Format(time.RFC3339)
			}
			rows = append(rows, []string{l.Name, phase, l.Weight, since, fmt.Sprint(l.Events)})
		}
		return table(w, rows)
	})
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

Ends with 3 if one of them is an error.`,
		Flags: []cli.Flag{envFlag()}, Action: a.rolloutCheck,
	}
}

func (a *app) rolloutCheck(c *cli.Context) error {
	return a.withRollout(c, c.Args().First(), false, func(v *operate.Rollout) error {
		findings, err := a.checkRollout(c.Context, v)
		if err != nil {
			return err
		}
		problems := 0
		for _, f := range findings {
			if !f.Warning {
				problems++
			}
		}
		shown := a.rel(v.Definition.Path)
		next := v.Command("start")
		if v.Row.State.Phase != rollout.Draft {
			next = v.Command("status")
		}
		result := map[string]any{
			"rollout": v.Definition.Name, "floor": v.Definition.FloorOf(v.Releases), "horizon": v.Definition.Horizon.String(), "findings": append([]rollout.Finding{}, findings...),
			"next_actions": []string{next},
		}
		err = a.render(result, func(w io.Writer) error {
			for _, f := range findings {
				tone := bad
				if f.Warning {
					tone = warn
				}
				fmt.Fprintf(w, "%s:%d: %s %s\n  fix: %s\n", shown, f.Line, a.stdout.paint(tone, f.Code), f.Msg, f.Hint)
			}
			fmt.Fprintf(w, "%s: builds from %s on emit it, clients away for %s don't count; %s\n", v.Definition.Name, v.Definition.FloorOf(v.Releases), days(v.Definition.Horizon), count(problems, "problem"))
			if problems == 0 {
				fmt.Fprintf(w, "\nnext: %s\n", next)
			}
			return nil
		})
		if err != nil || problems == 0 {
			return err
		}
		return errs.New(errs.Findings, "%s with the rollout", count(problems, "problem")).At("%s", shown).Hintf("each one says how to fix it")
	})
}

// days is a duration as files have it.
func days(d time.Duration) string {
	n, rest := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case rest == 0:
		return fmt.Sprintf("%dd", n)
	case n == 0 || rest%time.Hour != 0:
		return d.String()
	}
	return fmt.Sprintf("%dd%dh", n, rest/time.Hour)
}

func (a *app) rolloutHistoryCommand() *cli.Command {
	return &cli.Command{
		Name: "history", Usage: "who did what to a rollout, and why", ArgsUsage: "NAME",
		UsageText: "headgate rollout history todo-created-v2 --env prod", Flags: []cli.Flag{envFlag()}, Action: a.rolloutHistory,
	}
}

func (a *app) rolloutHistory(c *cli.Context) error {
	return a.withRollout(c, c.Args().First(), true, func(v *operate.Rollout) error {
		out := []control.AuditEntry{}
		for e, err := range v.DB.Audit(c.Context, v.Name, time.Time{}) {
			if err != nil {
				return err
			}
			if e.Subject == v.Definition.Name && len(e.Action) > len("rollout.") && e.Action[:len("rollout.")] == "rollout." {
				out = append(out, e)
			}
		}
		return a.render(map[string]any{"entries": out}, func(w io.Writer) error {
			rows := [][]string{{"AT", "WHO", "WHAT", "DETAIL"}}
			for _, e := range out {
				rows = append(rows, []string{e.At.Format(time.RFC3339), e.Actor, e.Action[len("rollout."):], string(e.Detail)})
			}
			return table(w, rows)
		})
	})
}
