package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
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

// A knownStore is what the control database knows of a store.
type knownStore struct {
	ID        string             `json:"id"`
	Schema    string             `json:"schema"`
	State     control.StoreState `json:"state"`
	Note      string             `json:"note,omitempty"`
	Region    string             `json:"region,omitempty"`
	Log       string             `json:"log"`
	Head      int64              `json:"head"` // the highest that it ever answered
	BackendID string             `json:"backendId,omitempty"`
	LastSeen  time.Time          `json:"lastSeen"` // in the inventory
	Lock      *control.Lease     `json:"lock,omitempty"`
}

func known(s control.Store) knownStore {
	return knownStore{
		ID: s.ID, Schema: s.Schema, State: s.State, Note: s.Note, Region: s.Region, Log: s.Log,
		Head: s.Head, BackendID: s.BackendID, LastSeen: s.SeenAt,
	}
}

func (a *app) storeList(c *cli.Context) error {
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		stores := []knownStore{}
		for s, err := range db.Stores(c.Context, env.Name, control.StoreFilter{Schema: c.String("schema")}) {
			if err != nil {
				return err
			}
			stores = append(stores, known(s))
		}
		return a.render(map[string]any{"environment": env.Name, "stores": stores}, func(w io.Writer) error {
			if len(stores) == 0 {
				_, err := fmt.Fprintf(w, "no store of %s is known yet: a run of migrations takes the inventory over\n", env.Name)
				return err
			}
			rows := [][]string{{"STORE", "SCHEMA", "STATE", "HEAD", "BACKEND", "LAST SEEN", ""}}
			for _, s := range stores {
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
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		row, err := db.Store(c.Context, env.Name, c.Args().First())
		if err != nil {
			return storesOf(env, err)
		}
		s := known(row)
		locks, err := db.Leases(c.Context, env.Name)
		if err != nil {
			return err
		}
		for _, l := range locks {
			if l.Name == control.StoreLease(s.ID) && l.ExpiresAt.After(a.now()) {
				s.Lock = &l
			}
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

// storesOf names the command that lists the stores, where one is not known.
func storesOf(env config.Environment, err error) error {
	if e := errs.As(err); e != nil && e.Code == errs.NotFound {
		e.Then("headgate store list --env " + env.Name)
	}
	return err
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
	return a.withControl(c, func(env config.Environment, db *control.DB) error {
		was, err := db.Forget(c.Context, env.Name, c.Args().First(), a.by(reason))
		if err != nil {
			return storesOf(env, err)
		}
		for _, s := range a.loaded.Schemas {
			if err := checkpointsOf(a.loaded).Forget(s.Name, was.ID); err != nil {
				return err
			}
		}
		next := "headgate status --env " + env.Name
		result := map[string]any{"environment": env.Name, "forgotten": known(was), "next_actions": []string{next}}
		return a.render(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "forgot store %s, which ended at %s on backend %s\n\nnext: %s\n", was.ID, headText(was.Head), orDash(was.BackendID), next)
			return err
		})
	})
}
