package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
)

func (a *app) statusCommand() *cli.Command {
	return &cli.Command{
		Name:      "status",
		Category:  daily,
		Usage:     "what runs, what blocks, and the next command",
		UsageText: "headgate status\nheadgate status --env prod --format json",
		Description: `Shows the runs of migrations that are under way and the last one that ended, as the environment's control database
has them; stores that older runs left undone, migrations that no run was for yet, and who holds locks. The logs themselves
are asked by headgate migration status.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "only the environment `ENV`"}},
		Action: a.status,
	}
}

// An envStatus is what goes on in an environment.
type envStatus struct {
	Environment string          `json:"environment"`
	Runs        []runStatus     `json:"runs"`
	Unfinished  []unfinished    `json:"unfinished"`           // what older runs left
	Pending     []string        `json:"pending"`              // migrations that no run was for
	Unreadable  string          `json:"unreadable,omitempty"` // why the migrations can't be read
	Locks       []control.Lease `json:"locks"`
	NextActions []string        `json:"next_actions"`
}

// An unfinished is what the runs before the ones that are shown left of a migration.
type unfinished struct {
	Migration string        `json:"migration"`
	Stores    int           `json:"stores"` // that failed, or that it never reached
	Failed    []failedStore `json:"failed"` // the first of them
}

func (a *app) status(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	envs := cfg.Environments
	if c.String("env") != "" {
		e, err := cfg.Environment(c.String("env"))
		if err != nil {
			return err
		}
		envs = []config.Environment{e}
	}
	out := []envStatus{}
	for _, e := range envs {
		s, err := a.statusOfEnv(c, e)
		if err != nil {
			return err
		}
		out = append(out, s)
	}
	return a.render(out, func(w io.Writer) error {
		return each(w, out, func(w io.Writer, s envStatus) error {
			return a.writeStatus(w, s)
		})
	})
}

func (a *app) writeStatus(w io.Writer, s envStatus) error {
	if len(s.Runs) == 0 {
		fmt.Fprintf(w, "nothing ran on %s yet\n", s.Environment)
	} else if err := writeRuns(w, s.Environment, s.Runs); err != nil {
		return err
	}
	for _, u := range s.Unfinished {
		fmt.Fprintf(w, "%s of older runs: %s not done\n", u.Migration, count(u.Stores, "store"))
		writeFailed(w, u.Failed)
	}
	if len(s.Pending) > 0 {
		fmt.Fprintf(w, "not run on %s yet: %s\n", s.Environment, strings.Join(s.Pending, ", "))
	}
	if s.Unreadable != "" {
		fmt.Fprintf(w, "the migrations can't be read: %s\n", s.Unreadable)
	}
	if n := len(s.Locks); n > 0 {
		fmt.Fprintf(w, "%s held:\n", count(n, "lock"))
	}
	for i, l := range s.Locks {
		if i == failedShown {
			fmt.Fprintf(w, "  and %d more: headgate lock list --env %s\n", len(s.Locks)-i, s.Environment)
			break
		}
		note := ""
		if !l.ExpiresAt.After(a.now()) {
			note = ", expired"
		}
		fmt.Fprintf(w, "  %s by %s since %s%s\n", l.Name, l.Owner, l.AcquiredAt.Format(time.RFC3339), note)
	}
	for _, next := range s.NextActions {
		if len(s.Runs) > 0 && slices.Contains(s.Runs[0].NextActions, next) {
			continue // shown with the run
		}
		fmt.Fprintf(w, "next: %s\n", next)
	}
	return nil
}

// statusOfEnv lists the runs that are under way, and the last one, and what is left to do beside them.
func (a *app) statusOfEnv(c *cli.Context, e config.Environment) (s envStatus, err error) {
	s = envStatus{
		Environment: e.Name, Runs: []runStatus{}, Unfinished: []unfinished{}, Pending: []string{}, Locks: []control.Lease{},
		NextActions: []string{},
	}
	db, err := a.openControl(c.Context, e)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ran := map[string]bool{}
	for run, err := range db.Runs(c.Context, e.Name) {
		if err != nil {
			return s, err
		}
		ran[run.Migration] = ran[run.Migration] || run.State != control.Cancelled
		if run.State.Ended() && run.State != control.Paused && len(s.Runs) > 0 {
			continue
		}
		one, err := statusOf(c.Context, db, run.ID)
		if err != nil {
			return s, err
		}
		s.Runs = append(s.Runs, one)
		s.NextActions = append(s.NextActions, one.NextActions...)
	}
	if err := s.left(c.Context, db); err != nil {
		return s, err
	}
	defs, err := a.definitions(c.Context, a.loaded, "")
	if err != nil {
		s.Unreadable = err.Error()
		s.NextActions = append(s.NextActions, "headgate migration check")
	}
	for _, d := range defs {
		if !ran[d.Name] {
			s.Pending = append(s.Pending, d.Name)
		}
	}
	if len(s.Pending) > 0 {
		s.NextActions = append(s.NextActions, "headgate migration preview "+s.Pending[0]+" --env "+e.Name)
	}
	locks, err := db.Leases(c.Context, e.Name)
	s.Locks = append(s.Locks, locks...)
	return s, err
}

// left adds what runs that are not shown left undone.
func (s *envStatus) left(ctx context.Context, db *control.DB) error {
	for u, err := range db.Unfinished(ctx, s.Environment) {
		if err != nil {
			return err
		}
		if slices.ContainsFunc(s.Runs, func(r runStatus) bool { return r.ID == u.Run }) {
			continue
		}
		i := slices.IndexFunc(s.Unfinished, func(k unfinished) bool { return k.Migration == u.Migration })
		if i < 0 {
			i = len(s.Unfinished)
			s.Unfinished = append(s.Unfinished, unfinished{Migration: u.Migration, Failed: []failedStore{}})
			s.NextActions = append(s.NextActions, "headgate migration up "+u.Migration+" --env "+s.Environment)
		}
		k := &s.Unfinished[i]
		k.Stores++
		if u.State != control.Pending && len(k.Failed) < failedShown {
			k.Failed = append(k.Failed, failedOf(s.Environment, u.StoreRun))
		}
	}
	return nil
}
