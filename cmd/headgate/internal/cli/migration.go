package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/migrations"
)

func (a *app) migrationCommand() *cli.Command {
	return &cli.Command{
		Name:     "migration",
		Category: daily,
		Usage:    "commit events on behalf of old rows, exactly once in each store",
		UsageText: "headgate migration new backfill_priority --event v1.TodoPrioritySet\n" +
			"headgate migration check\n" +
			"headgate migration preview --env prod\n" +
			"headgate migration up --env prod\n" +
			"headgate migration verify --env prod",
		Description: `A migration is a file of SQL below headgate/migrations, in goose's file convention. Its queries read the state that a
release's materializers make of a store's log, and each row becomes one event that is committed to the log:

  -- headgate: requires >= 1.2.0
  -- +goose Up
  -- headgate: emit v1.TodoPrioritySet key id
  SELECT id, 'normal' AS priority FROM todos WHERE priority IS NULL ORDER BY id;
  -- headgate: assert 'no todo without priority' SELECT count(*) = 0 FROM todos WHERE priority IS NULL;

A row's columns are the event's arguments as they are on the wire: 0 and 1 for a boolean, JSON text for an object. The
key's columns tell the events apart. They are found again in the log, so that a row gets its event once, whoever runs
the migration, however often, and even when a run is killed in the middle. uuid5(name) gives an id that is the same in
every run.

Before +goose Up stand

  requires >= 1.2.0     the releases that define and materialize what is emitted; the newest one makes the state
  schema main           the store kind, where the app has several
  needed-by >= 1.3.0    the releases that headgate gate holds back until it is done in every store
  after 00001           migrations that must be done before
  marker v1.Migrated    an event of the app's own that says that the migration ran, with some of the fields id,
                        migration, checksum and events; without one the events themselves are the record
  repeat                a key may get another event when the query returns its row again
  input owners.csv      a CSV file with a header row beside the migration, which the queries read as the table owners:
                        all its columns are text, and what it says is a part of the migration

What SQL can't say a TypeScript file can, 00002_split.ts beside the others. Its exports are what stands before +goose Up,
and its generator yields the events, with arguments as they are on the wire:

  export const requires = '>= 1.2.0'                  // schema, after, neededBy, marker, repeat
  export const emits = { 'v1.TagCreated': { key: ['id'] } }
  export const asserts = { 'there are tags': 'SELECT count(*) > 0 FROM tags' }
  export default function* (query, uuid5) {
    const todos = query('SELECT text FROM todos WHERE list = ?', 'inbox')
    const tags = new Set(todos.flatMap(({ text }) => text.match(/#\w+/g) ?? []))
    for (const name of tags) yield { event: 'v1.TagCreated', args: { id: uuid5(name), name } }
  }

A query returns its rows at once, each column by its name: null, a number, text, a Uint8Array, or a BigInt for what a
number can't keep. The generator runs in a sandbox without clock, chance and I/O, and imports nothing but files beside it
or below; it is called again until nothing is due, so that it must yield the same from the same state.

A committed event can't be un-committed: there is no Down, and a file that ran anywhere must not be edited.`,
		Subcommands: []*cli.Command{
			a.migrationNewCommand(),
			a.migrationListCommand(),
			a.migrationCheckCommand(),
			a.migrationPreviewCommand(),
			a.migrationUpCommand(),
			a.migrationSweepCommand(),
			a.migrationPauseCommand(),
			a.migrationResumeCommand(),
			a.migrationCancelCommand(),
			a.migrationStatusCommand(),
			a.migrationVerifyCommand(),
			a.migrationCompensateCommand(),
		},
	}
}

func (a *app) migrationNewCommand() *cli.Command {
	return &cli.Command{
		Name:      "new",
		Usage:     "write a migration file to fill in",
		ArgsUsage: "NAME",
		UsageText: "headgate migration new backfill_priority\nheadgate migration new archive_again --event v1.TodoArchived --key id",
		Description: `Takes the next number, and the latest recorded release for requires. With --event the query has the event's fields
as its columns already; where one of them fills a column that a row may lack, those rows are what the query selects and
what the assert forbids. What the draft can't know it asks in comments (-- decide); check does not let them pass.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringFlag{Name: "event", Usage: "the event to emit: `EVENT`"},
			&cli.StringSliceFlag{Name: "key", Usage: "the `FIELD` that tells the events apart; may be given several times"},
		},
		Action: a.migrationNew,
	}
}

func (a *app) migrationNew(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return err
	}
	if c.Args().Len() != 1 {
		return errs.Invalidf("name the migration").Hintf("as in: headgate migration new backfill_priority")
	}
	number, err := migrations.NextNumber(cfg.Migrations)
	if err != nil {
		return err
	}
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return err
	}
	if len(releases) == 0 {
		return errs.NotFoundf("schema %s has no recorded release yet", s.Name).At("%s", cfg.Releases).
			Hintf("a migration says which releases it is for: record the one that defines its event").Then("headgate release add VERSION" + onlySchema(cfg, s))
	}
	draft := migrations.Draft{
		Number: number, Name: c.Args().First(), Release: releases[len(releases)-1],
		Event: c.String("event"), Key: c.StringSlice("key"),
	}
	if len(cfg.Schemas) > 1 {
		draft.Schema = s.Name
	}
	file, text, err := draft.File()
	if err != nil {
		return err
	}
	path := filepath.Join(cfg.Migrations, file)
	if err := writeNew(path, text); err != nil {
		return err
	}
	shown := a.shown(cfg, path)
	next := "headgate migration check " + strings.TrimSuffix(file, ".sql")
	return a.render(map[string]any{"path": shown, "number": number, "next_actions": []string{next}}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s\n\ndecide what the draft asks, then\nnext: %s\n", shown, next)
		return err
	})
}

// shown is a path as people read it, from the app's directory.
func (a *app) shown(cfg *config.Config, path string) string {
	if rel, err := filepath.Rel(cfg.Dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return path
}

func (a *app) migrationListCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the migrations of the app",
		UsageText: "headgate migration list\nheadgate migration list --format json",
		Action:    a.migrationList,
	}
}

func (a *app) migrationList(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	defs, err := a.definitions(c.Context, cfg, c.Args().First())
	if err != nil {
		return err
	}
	if defs == nil {
		defs = []migrations.Definition{}
	}
	return a.render(defs, func(w io.Writer) error {
		if len(defs) == 0 {
			_, err := fmt.Fprintf(w, "there are no migrations in %s\n\nnext: headgate migration new NAME\n", a.shown(cfg, cfg.Migrations))
			return err
		}
		rows := [][]string{{"MIGRATION", "SCHEMA", "REQUIRES", "EMITS", "ASSERTS"}}
		for _, d := range defs {
			var emits []string
			for _, e := range d.Emits {
				emits = append(emits, e.Event)
			}
			rows = append(rows, []string{d.Name, d.Schema, d.Requires, strings.Join(emits, " "), fmt.Sprint(len(d.Asserts))})
		}
		return table(w, rows)
	})
}

// definitions reads the migrations of the app, or the one that is named, each with its schema.
func (a *app) definitions(ctx context.Context, cfg *config.Config, name string) ([]migrations.Definition, error) {
	l, err := a.launcher()
	if err != nil {
		return nil, err
	}
	all, err := migrations.Load(ctx, l, cfg.Migrations)
	if err != nil {
		return nil, err
	}
	for i := range all {
		s, err := cfg.Schema(all[i].Schema)
		if err != nil {
			e := errs.As(err)
			if all[i].Schema == "" {
				e.Msg = "the app has several schemas, and the migration does not say which it is for"
				e.Hintf("write `-- headgate: schema %s`, or another one, at the beginning; in TypeScript export const schema = '%[1]s'", cfg.Schemas[0].Name)
			}
			return nil, e.At("%s", all[i].Path)
		}
		all[i].Schema = s.Name
	}
	if name == "" {
		return all, nil
	}
	d, err := migrations.Find(all, name)
	if e := errs.As(err); e != nil {
		return nil, e.At("%s", cfg.Migrations)
	}
	return []migrations.Definition{d}, nil
}

func (a *app) migrationCheckCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "look for what is wrong with migrations, before they run anywhere",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration check\nheadgate migration check backfill_priority --format json\nheadgate migration check --env prod",
		Description: `Each release that requires admits must define and materialize what is emitted, with a materializer that survives the
event a second time (MT102). An assert must read a table and admit a row, and nothing that a draft asks may be left open.
The queries are run on the state of an empty store, so that SQLite and the events' schemas have seen them.

A file that was edited after it ran is found by the checksums of the runs in the control databases, and in the logs that
are files here; with --env in the environment's control database and in the logs of all its stores. Ends with 3 if anything
is wrong.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "env", Usage: "look for runs in the environment `ENV`"}},
		Action: a.migrationCheck,
	}
}

// A migrationProblem is what `migration check` found.
type migrationProblem struct {
	Migration string `json:"migration"`
	Where     string `json:"where"`
	migrations.Problem
}

func (a *app) migrationCheck(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	defs, err := a.definitions(c.Context, cfg, c.Args().First())
	if err != nil {
		return err
	}
	problems := []migrationProblem{}
	p := a.progress("checked migrations", int64(len(defs)))
	defer p.Done()
	for _, d := range defs {
		found, err := a.checkMigration(c, cfg, d)
		if err != nil {
			return err
		}
		problems = append(problems, found...)
		p.Add(1)
	}
	edited, err := a.editedAfterRun(c, cfg, defs)
	if err != nil {
		return err
	}
	problems = append(problems, edited...)
	err = a.render(map[string]any{"migrations": len(defs), "problems": problems}, func(w io.Writer) error {
		for _, p := range problems {
			fmt.Fprintf(w, "%s: %s\n", p.Where, p.Msg)
			if p.Hint != "" {
				fmt.Fprintf(w, "  fix: %s\n", p.Hint)
			}
		}
		_, err := fmt.Fprintf(w, "%s checked, %s\n", count(len(defs), "migration"), count(len(problems), "problem"))
		return err
	})
	if err != nil || len(problems) == 0 {
		return err
	}
	return errs.New(errs.Findings, "%s in the migrations", count(len(problems), "problem")).Hintf("each one says how to fix it")
}

// checkMigration lints a migration and, where that finds nothing, runs its queries on an empty store.
func (a *app) checkMigration(c *cli.Context, cfg *config.Config, d migrations.Definition) ([]migrationProblem, error) {
	releases, err := releaseDir(cfg).LoadAll(d.Schema)
	if err != nil {
		return nil, err
	}
	var out []migrationProblem
	for _, p := range migrations.Lint(d, releases) {
		out = append(out, migrationProblem{Migration: d.Name, Where: fmt.Sprintf("%s:%d", a.shown(cfg, d.Path), p.Line), Problem: p})
	}
	if len(out) > 0 {
		return out, nil
	}
	t, err := a.migrationTarget(cfg, d, releases)
	if err != nil {
		return nil, err
	}
	l, err := a.launcher()
	if err != nil {
		return nil, err
	}
	dir, err := a.workDir()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // best effort; it is in the system's temporary directory
	err = migrations.Job{Definition: d, Target: t, Launcher: l, Dir: dir, Now: a.now}.Check(c.Context)
	if e := errs.As(err); e != nil && e.Code == errs.Invalid {
		where := strings.Replace(e.Where, cfg.Migrations, a.shown(cfg, cfg.Migrations), 1)
		return []migrationProblem{{Migration: d.Name, Where: where, Problem: migrations.Problem{Line: lineOf(where), Msg: e.Msg, Hint: e.Hint}}}, nil
	}
	return nil, err
}

// lineOf is the line of "path:line", 0 where there is none.
func lineOf(where string) int {
	_, after, _ := strings.Cut(filepath.Base(where), ":")
	line, _, _ := strings.Cut(after, ":")
	n, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return n
}

func versionsOf(releases []*schema.Release) []string {
	var out []string
	for _, r := range releases {
		out = append(out, r.Version)
	}
	return out
}
