package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
)

func (a *app) auditCommand() *cli.Command {
	return &cli.Command{
		Name:      "audit",
		Category:  plumbing,
		Usage:     "who did what in an environment",
		UsageText: "headgate audit --env prod\nheadgate audit --env prod --since 7d --format json\nheadgate audit verify --env prod",
		Description: `Oldest first. HEADGATE_ACTOR says who acts, or else USER. Payloads are never in the audit. Each entry's hash covers the one
before it: ` + "`headgate audit verify`" + ` tells when an entry was changed or removed.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "since", Usage: "no further back than `DURATION`, as in 12h or 90d"},
		},
		Subcommands: []*cli.Command{a.auditVerifyCommand()},
		Action:      a.audit,
	}
}

func (a *app) audit(c *cli.Context) error {
	within, err := duration(c, "since")
	if err != nil {
		return err
	}
	return a.withOperations(c, func(ops operations) error {
		var since time.Time
		if within > 0 {
			since = a.now().Add(-within)
		}
		trail, err := ops.Audit(c.Context, 0, since, 0)
		if err != nil {
			return err
		}
		return a.render(trail, func(w io.Writer) error {
			if len(trail.Entries) == 0 {
				_, err := fmt.Fprintf(w, "nothing is recorded for %s\n", trail.Environment)
				return err
			}
			rows := [][]string{{"AT", "ACTOR", "ACTION", "SUBJECT", "DETAIL"}}
			for _, e := range trail.Entries {
				rows = append(rows, []string{e.At.Format(time.RFC3339), e.Actor, e.Action, e.Subject, string(e.Detail)})
			}
			return table(w, rows)
		})
	})
}

func (a *app) auditVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "check that no entry of the audit was changed or removed",
		UsageText: "headgate audit verify --env prod",
		Description: `Follows the hashes through the whole audit of the environment's control database, which may serve other environments too.
Ends with 8 at the first entry that does not belong where it stands. Entries that were cut off at the end leave no trace in
the rest: keep the last hash that this command prints where the database's administrator can't reach it.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"}},
		Action: a.auditVerify,
	}
}

func (a *app) auditVerify(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		check, broken := ops.VerifyAudit(c.Context)
		if broken != nil && errs.CodeOf(broken) != errs.Mismatch {
			return broken
		}
		err := a.render(check, func(w io.Writer) error {
			if check.Entries > 0 {
				fmt.Fprintf(w, "whole up to entry %d: %s\n", check.Entries, check.Last)
			}
			switch {
			case broken != nil:
				fmt.Fprintf(w, "%s %s\n", a.stdout.paint(bad, "broken"), check.Broken)
			case check.Entries == 0:
				fmt.Fprintln(w, "the audit has no entries")
			}
			return nil
		})
		if err != nil {
			return err
		}
		return broken
	})
}
