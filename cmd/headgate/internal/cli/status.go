package cli

import (
	"errors"
	"fmt"
	"io"

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
has them. The logs themselves are asked by headgate migration status.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "only the environment `ENV`"}},
		Action: a.status,
	}
}

// An envStatus is what goes on in an environment.
type envStatus struct {
	Environment string          `json:"environment"`
	Runs        []runStatus     `json:"runs"`
	Locks       []control.Lease `json:"locks"`
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
			if len(s.Runs) == 0 {
				_, err := fmt.Fprintf(w, "nothing ran on %s yet\n", s.Environment)
				return err
			}
			return writeRuns(w, s.Environment, s.Runs)
		})
	})
}

// statusOfEnv lists the runs that are under way, and the last one.
func (a *app) statusOfEnv(c *cli.Context, e config.Environment) (s envStatus, err error) {
	s = envStatus{Environment: e.Name, Runs: []runStatus{}, Locks: []control.Lease{}}
	db, err := a.openControl(c.Context, e)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for run, err := range db.Runs(c.Context, e.Name) {
		if err != nil {
			return s, err
		}
		if run.State.Ended() && run.State != control.Paused && len(s.Runs) > 0 {
			continue
		}
		one, err := statusOf(c.Context, db, run.ID)
		if err != nil {
			return s, err
		}
		s.Runs = append(s.Runs, one)
	}
	locks, err := db.Leases(c.Context, e.Name)
	s.Locks = append(s.Locks, locks...)
	return s, err
}
