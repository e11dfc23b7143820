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

func (a *app) tokenCommand() *cli.Command {
	return &cli.Command{
		Name:     "token",
		Category: plumbing,
		Usage:    "who may use the server of an environment",
		UsageText: "headgate token create --role operator --for ana --env prod\nheadgate token list --env prod\n" +
			"headgate token revoke 3f2a9c0d1e4b --env prod --reason left-the-team",
		Description: `A token is a secret that a request to ` + "`headgate serve`" + ` brings along. It belongs to one environment and has one role:

  viewer    reads
  operator  reads, starts, pauses and ends things
  approver  an operator who may also approve, and go on in spite of what is not ready
  ci        reads, and brings what a pipeline knows: the census
  worker    the sync backend's Worker: reports who syncs, asks for the floor, and nothing else
  client    the app: asks for flags and sends telemetry, and nothing else; only for --app and --store

A token is a person's: who acts with it in the audit, and who is counted where approvals are. Two tokens of one person are one
approver. So --for says whose an operator's or an approver's token is; it is never taken from who happens to make it.

Through a server an operator makes tokens that can do no more than their own. One that acts is for the same person then, and
valid for no longer: one for somebody else is made where the control database is.

The control database keeps a hash of it. Who makes and revokes tokens stands in the audit.`,
		Subcommands: []*cli.Command{a.tokenCreateCommand(), a.tokenListCommand(), a.tokenRevokeCommand()},
	}
}

func (a *app) tokenCreateCommand() *cli.Command {
	var roles []string
	for _, r := range control.Roles() {
		roles = append(roles, string(r))
	}
	return &cli.Command{
		Name:  "create",
		Usage: "make a token, and print it once",
		UsageText: "headgate token create --role operator --for ana --env prod\nheadgate token create --role approver --for ben --env prod\n" +
			"headgate token create --role ci --expires 30d --env prod\n" +
			"headgate token create --role client --app todo --store demo --store acme --env prod",
		Description: `The token is printed this once; nobody can look it up later. The CLI takes it from HEADGATE_TOKEN.

A client's token is in the app, where anyone can read it: it opens the app's flags and its telemetry, no more. Without --store
it is for all stores of the app.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			choice("role", "what it may do: `ROLE`", roles...),
			&cli.StringFlag{Name: "for", Usage: "whose it is: `PERSON`; required for an operator and an approver, otherwise who makes it"},
			&cli.StringFlag{Name: "expires", Usage: "valid for `DURATION`, two years at most", Value: "90d"},
			&cli.StringFlag{Name: "app", Usage: "only for the app `NAME` of headgate.yaml; this one's by default"},
			&cli.StringSliceFlag{Name: "store", Usage: "only for the store `STORE`; may be given several times"},
			&cli.StringFlag{Name: "reason", Usage: "what it is for, for the audit: `TEXT`"},
		},
		Action: a.tokenCreate,
	}
}

func (a *app) tokenCreate(c *cli.Context) error {
	life, err := config.ParseDuration(c.String("expires"))
	if err != nil || life == 0 {
		return errs.Invalidf("--expires: %q is not a duration", c.String("expires")).Hintf("write a number and a unit: 90d, 12h, 30m, 2w")
	}
	role := control.Role(c.String("role"))
	if role.Acts() && strings.TrimSpace(c.String("for")) == "" {
		return errs.Invalidf("--for is missing: an %s is a person", role).
			Hintf("approvals count persons: --for NAME, the same name in all of a person's tokens, and in HEADGATE_ACTOR")
	}
	return a.withOperations(c, func(ops operations) error {
		want := control.Token{Role: role, Person: c.String("for"), App: c.String("app"), Stores: c.StringSlice("store"), ExpiresAt: a.now().Add(life)}
		if want.App == "" && a.loaded != nil {
			want.App = a.loaded.App
		}
		made, err := ops.CreateToken(c.Context, want, a.by(c.String("reason")))
		if err != nil {
			return err
		}
		return a.render(made, func(w io.Writer) error {
			fmt.Fprintln(a.stderr, "the token is printed this once; keep it where secrets are kept")
			_, err := fmt.Fprintf(w, "%s\n\n  %s of %s on %s, for %s, %s, expires %s\n", made.Secret, made.Role, made.App, made.Env, made.Person, made.ID, made.ExpiresAt.Format(time.RFC3339))
			return err
		})
	})
}

func (a *app) tokenListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the tokens of an environment",
		UsageText: "headgate token list --env prod\nheadgate token list --env prod --format json",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"}},
		Action:    a.tokenList,
	}
}

func (a *app) tokenList(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		list, err := ops.Tokens(c.Context)
		if err != nil {
			return err
		}
		tokens := list.Tokens
		return a.render(list, func(w io.Writer) error {
			if len(tokens) == 0 {
				_, err := fmt.Fprintf(w, "%s has no tokens\n\nnext: %s\n", list.Environment, a.here("headgate token create --role operator --for NAME --env "+list.Environment))
				return err
			}
			rows := [][]string{{"ID", "ROLE", "FOR", "APP", "STORES", "STATE", "EXPIRES", "MADE BY"}}
			for _, t := range tokens {
				stores := "all"
				if len(t.Stores) > 0 {
					stores = strings.Join(t.Stores, ", ")
				}
				rows = append(rows, []string{t.ID, string(t.Role), t.Person, t.App, stores, t.State, t.ExpiresAt.Format(time.RFC3339), t.Actor})
			}
			return table(w, rows)
		})
	})
}

func (a *app) tokenRevokeCommand() *cli.Command {
	return &cli.Command{
		Name:        "revoke",
		Usage:       "end a token's life",
		ArgsUsage:   "ID",
		UsageText:   "headgate token revoke 3f2a9c0d1e4b --env prod --reason left-the-team",
		Description: "A server that is running refuses it within five seconds; streams that it opened end with their next heartbeat.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: a.tokenRevoke,
	}
}

func (a *app) tokenRevoke(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		t, err := ops.RevokeToken(c.Context, c.Args().First(), a.by(c.String("reason")))
		if err != nil {
			return err
		}
		return a.render(t, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "the %s token %s is revoked\n", t.Role, t.ID)
			return err
		})
	})
}
