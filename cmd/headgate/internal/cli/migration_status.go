package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/migrations"
)

func (a *app) migrationStatusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "say what the stores' logs hold of migrations",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration status --env prod\nheadgate migration status backfill_priority --env prod --store acme",
		Description: `Reads the logs only, no state is made: how many events of each migration are there, in how many runs, and the last one.
What is still due says verify. A store that is not what the control database knows of it is refused.`,
		Flags:  migrationFlags(),
		Action: a.migrationStatus,
	}
}

// A storeStanding is how migrations stand in one store's log.
type storeStanding struct {
	Store      livestore.StoreID     `json:"store"`
	Head       livestore.SeqNum      `json:"head"`
	Migrations []migrations.Standing `json:"migrations"`
}

func (a *app) migrationStatus(c *cli.Context) error {
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	at := r.places()
	stands := make([]storeStanding, len(r.stores))
	failed := r.each(c.Context, "read logs", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			h, err := log.Head(ctx)
			if err != nil {
				return err
			}
			var defs []migrations.Definition
			for _, p := range t.plans {
				defs = append(defs, p.Definition)
			}
			s, err := migrations.Scan(ctx, log, defs)
			stands[at[t.store.ID]] = storeStanding{t.store.ID, h.Last.Global, s}
			return err
		})
	})
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	if len(r.stores) == 1 && failed[0] != nil {
		return failed[0]
	}
	read := []storeStanding{}
	for i, s := range stands {
		if failed[i] == nil {
			read = append(read, s)
		}
	}
	list := r.failures(failed)
	next := "headgate migration verify" + r.named(c)
	err = a.render(map[string]any{"environment": r.env.Name, "stores": read, "failed": list, "next_actions": []string{next}}, func(w io.Writer) error {
		rows := [][]string{{"STORE", "MIGRATION", "COMMITTED", "RUNS", "LAST", "NOTE"}}
		for _, s := range read {
			for _, m := range s.Migrations {
				last := "-"
				if m.Last > 0 {
					last = fmt.Sprintf("e%d of e%d", m.Last, s.Head)
				}
				rows = append(rows, []string{string(s.Store), m.Migration, fmt.Sprint(m.Events), fmt.Sprint(m.Runs), last, note(s, m)})
			}
		}
		if err := table(w, rows); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "%s\nnext: %s\n", r.writeFailures(list), next)
		return err
	})
	if err != nil {
		return err
	}
	return r.outcome(failed, "")
}

func note(s storeStanding, m migrations.Standing) string {
	switch {
	case s.Head == 0:
		return "the store is empty"
	case !m.Known:
		return "there is no such file here"
	case m.Edited != "":
		return "ran from a file with another content: " + m.Edited + "…"
	case m.Marked:
		return "marked as done"
	case m.Events == 0:
		return "no event of it"
	}
	return ""
}
