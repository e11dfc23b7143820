package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/internal/control"
)

func (a *app) lockCommand() *cli.Command {
	return &cli.Command{
		Name:      "lock",
		Category:  plumbing,
		Usage:     "who works on which store at the moment",
		UsageText: "headgate lock list --env prod\nheadgate lock break store/acme --reason machine-gone --env prod",
		Description: `Whoever commits to a store holds its lock, and renews it while it works. A lock that is not renewed ends by itself, and
another process goes on; the log says what was committed, so nothing is lost and nothing done twice.`,
		Subcommands: []*cli.Command{a.lockListCommand(), a.lockBreakCommand()},
	}
}

func (a *app) lockListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the locks of an environment",
		UsageText: "headgate lock list --env prod\nheadgate lock list --env prod --format json",
		Flags:     []cli.Flag{&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"}},
		Action:    a.lockList,
	}
}

// A lockRow is a lock as `lock list` shows it.
type lockRow struct {
	control.Lease
	Expired bool `json:"expired"` // and nobody took it since
}

func (a *app) lockList(c *cli.Context) error {
	return a.withOperations(c, func(ops operations) error {
		held, err := ops.Locks(c.Context)
		if err != nil {
			return err
		}
		locks := []lockRow{}
		for _, l := range held.Leases {
			locks = append(locks, lockRow{l, !l.ExpiresAt.After(a.now())})
		}
		return a.render(map[string]any{"environment": held.Environment, "locks": locks}, func(w io.Writer) error {
			if len(locks) == 0 {
				_, err := fmt.Fprintf(w, "nobody holds a lock in %s\n", held.Environment)
				return err
			}
			rows := [][]string{{"LOCK", "OWNER", "RUN", "SINCE", "HEARTBEAT", "EXPIRES", ""}}
			for _, l := range locks {
				note := ""
				if l.Expired {
					note = a.stdout.paint(warn, "expired")
				}
				rows = append(rows, []string{
					l.Name, l.Owner, l.Run, l.AcquiredAt.Format(time.RFC3339), l.Heartbeat.Format(time.RFC3339), l.ExpiresAt.Format(time.RFC3339), note,
				})
			}
			return table(w, rows)
		})
	})
}

func (a *app) lockBreakCommand() *cli.Command {
	return &cli.Command{
		Name:      "break",
		Usage:     "take a lock away from its owner",
		ArgsUsage: "NAME",
		UsageText: "headgate lock break store/acme --reason machine-gone --env prod",
		Description: `For an owner that is gone for good and whose lock would end too late. One that still works stops at its next heartbeat,
and what it reports until then about its store counts until another process takes over. Who broke the lock, and why, is in
` + "`headgate audit`" + `: HEADGATE_ACTOR says who, or else USER.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "reason", Usage: "why, for the audit: `TEXT`"},
		},
		Action: a.lockBreak,
	}
}

func (a *app) lockBreak(c *cli.Context) error {
	reason, err := a.neededReason(c, "say why the owner can't give the lock back, for the audit")
	if err != nil {
		return err
	}
	return a.withOperations(c, func(ops operations) error {
		was, err := ops.BreakLock(c.Context, c.Args().First(), a.by(reason))
		if err != nil {
			return err
		}
		next := a.here("headgate lock list --env " + was.Env)
		result := map[string]any{"environment": was.Env, "broken": was, "next_actions": []string{next}}
		return a.render(result, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "broke the lock %s, which %s held since %s\n\nnext: %s\n", was.Name, was.Owner, was.AcquiredAt.Format(time.RFC3339), next)
			return err
		})
	})
}
