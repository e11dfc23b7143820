package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/internal/errs"
	"headgate/migrations"
)

func (a *app) migrationCompensateCommand() *cli.Command {
	return &cli.Command{
		Name:      "compensate",
		Usage:     "draft the migration that takes back what another one did",
		ArgsUsage: "NAME",
		UsageText: "headgate migration compensate backfill_priority\n" +
			"headgate migration compensate backfill_priority --out - | less",
		Description: `A committed event can't be un-committed: what was done wrong is put right by other events, which say the opposite. For
each event that the migration emits, the draft has a query for its opposite: the likeliest event of the latest recorded
release that writes the same table, with all others in a comment, the rows that the migration selects, and "decide" at
each place where somebody has to. Until then its queries return no row. No store is read, and nothing is committed.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "write it to `FILE` instead of beside the others; - is stdout"},
		},
		Action: a.migrationCompensate,
	}
}

func (a *app) migrationCompensate(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if c.Args().Len() != 1 {
		return errs.Invalidf("name the migration").Then("headgate migration list")
	}
	defs, err := a.definitions(c.Context, cfg, c.Args().First())
	if err != nil {
		return err
	}
	d := defs[0]
	s, err := cfg.Schema(d.Schema)
	if err != nil {
		return err
	}
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return err
	}
	if len(releases) == 0 {
		return errs.NotFoundf("schema %s has no recorded release yet", s.Name).At("%s", cfg.Releases).
			Then("headgate release add VERSION" + onlySchema(cfg, s))
	}
	draft := migrations.Compensation{Of: d, Release: releases[len(releases)-1]}
	if draft.Number, err = migrations.NextNumber(cfg.Migrations); err != nil {
		return err
	}
	if len(cfg.Schemas) > 1 {
		draft.Schema = s.Name
	}
	file, text, err := draft.File()
	if err != nil {
		return err
	}
	path, out := filepath.Join(cfg.Migrations, file), c.String("out")
	if out == "-" {
		return a.render(map[string]any{"file": file, "text": text}, func(w io.Writer) error {
			_, err := io.WriteString(w, text)
			return err
		})
	}
	next, then := []string{"headgate migration check " + strings.TrimSuffix(file, ".sql")}, ""
	if out != "" {
		if path = out; !filepath.IsAbs(path) {
			path = filepath.Join(a.dir, path)
		}
		next, then = []string{}, ", and move the file into "+a.shown(cfg, cfg.Migrations)
	}
	if err := writeNew(path, text); err != nil {
		return err
	}
	shown := a.shown(cfg, path)
	decide := strings.Count(text, "-- decide")
	return a.render(map[string]any{"path": shown, "number": draft.Number, "decide": decide, "next_actions": next}, func(w io.Writer) error {
		fmt.Fprintf(w, "wrote %s\n\nit commits nothing until you decide, at %s, and take the queries' false out%s\n", shown, count(decide, "place"), then)
		for _, n := range next {
			fmt.Fprintf(w, "next: %s\n", n)
		}
		return nil
	})
}
