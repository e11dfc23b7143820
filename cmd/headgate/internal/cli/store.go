package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
)

func (a *app) storeCommand() *cli.Command {
	return &cli.Command{
		Name:     "store",
		Category: plumbing,
		Usage:    "what headgate knows of the stores",
		UsageText: "headgate store list --env prod\nheadgate store show acme --env prod\n" +
			"headgate store forget acme --env prod --reason backend-reset",
		Description: `The environment's control database keeps the stores that the last inventory had, with the highest head and the backend
that each ever answered with. A store that answers with less than that is left alone: its backend may have lost it.`,
		Subcommands: []*cli.Command{a.storeListCommand(), a.storeShowCommand(), a.storeForgetCommand(), a.storeResetCommand()},
	}
}

func (a *app) storeListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the stores that are known, those that left the inventory among them",
		UsageText: "headgate store list --env prod\nheadgate store list --env prod --schema main --format json",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "schema", Usage: "only the stores of the kind `SCHEMA`"},
		},
		Action: a.storeList,
	}
}

func (a *app) storeList(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		known, err := ops.StoreList(c.Context, c.String("schema"))
		if err != nil {
			return err
		}
		return a.render(known, func(w io.Writer) error {
			if len(known.Stores) == 0 {
				_, err := fmt.Fprintf(w, "no store of %s is known yet: a run of migrations takes the inventory over\n", known.Environment)
				return err
			}
			rows := [][]string{{"STORE", "SCHEMA", "STATE", "HEAD", "BACKEND", "LAST SEEN", ""}}
			for _, s := range known.Stores {
				rows = append(rows, []string{s.ID, s.Schema, string(s.State), headText(s.Head), orDash(s.BackendID), s.LastSeen.Format(time.RFC3339), s.Note})
			}
			return table(w, rows)
		})
	})
}

func headText(head int64) string {
	if head == 0 {
		return "-"
	}
	return fmt.Sprintf("e%d", head)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) storeShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show what is known of a store",
		ArgsUsage: "STORE",
		UsageText: "headgate store show acme --env prod",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"}},
		Action:    a.storeShow,
	}
}

func (a *app) storeShow(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		s, err := ops.StoreShow(c.Context, c.Args().First())
		if err != nil {
			return err
		}
		return a.render(s, func(w io.Writer) error {
			rows := [][]string{
				{"store", s.ID},
				{"schema", s.Schema},
				{"state", strings.TrimSpace(string(s.State) + "  " + s.Note)},
				{"log", s.Log},
				{"region", orDash(s.Region)},
				{"head", headText(s.Head)},
				{"backend", orDash(s.BackendID)},
				{"last seen", s.LastSeen.Format(time.RFC3339)},
			}
			if s.Lock != nil {
				rows = append(rows, []string{"locked by", s.Lock.Owner})
			}
			return table(w, rows)
		})
	})
}

func (a *app) storeForgetCommand() *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "forget what is known of a store",
		ArgsUsage: "STORE",
		UsageText: "headgate store forget acme --env prod --reason backend-reset",
		Description: `For a store whose backend was reset on purpose: its head and its backend's id are forgotten, with the checkpoints of its
state below .headgate, and the next run takes the store as it finds it. First make sure that it is the right backend:
headgate compares what a store answers with what is known, to leave one alone that was lost or is another one.

A store that the inventory does not have any more, or has as deleted, goes away altogether, with its clients of the
census. What runs did stays. A store that somebody works on is left alone. Who forgot it, and why, is in ` + "`headgate audit`" + `.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: a.storeForget,
	}
}

func (a *app) storeForget(c *cli.Context) error {
	reason, err := a.neededReason(c, "say what became of the store, for the audit")
	if err != nil {
		return err
	}
	return a.withOperations(c, func(ops operations) error {
		r, err := ops.StoreForget(c.Context, c.Args().First(), a.by(reason))
		if err != nil {
			return err
		}
		if cfg, err := a.config(); err == nil { // through a server: what lies here, too
			if err := forgetStates(cfg, r.Forgotten.ID); err != nil {
				return err
			}
		}
		return a.render(r, func(w io.Writer) error {
			was := r.Forgotten
			_, err := fmt.Fprintf(w, "forgot store %s, which ended at %s on backend %s\n\nnext: %s\n", was.ID, headText(was.Head), orDash(was.BackendID), r.NextActions[0])
			return err
		})
	})
}

// forgetStates removes the states of a store that were kept to go on from.
func forgetStates(cfg *config.Config, store string) error {
	for _, s := range cfg.Schemas {
		if err := checkpointsOf(cfg).Forget(s.Name, store); err != nil {
			return err
		}
	}
	return nil
}
