package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/atomicfile"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (a *app) flagsCommand() *cli.Command {
	return &cli.Command{
		Name:     "flags",
		Category: plumbing,
		Usage:    "which version of an event the app emits, and in which stores; switches of the app's own",
		UsageText: "headgate flags init\n" +
			"headgate flags check\n" +
			"headgate flags eval TodoCreated --store demo --app-version 1.5.0\n" +
			"headgate flags export --out dist/flags.json",
		Description: `An event in a log can't be taken back, so a new version of one is emitted in few stores first. headgate/flags.yaml has
a flag per event family, and the app asks it through OpenFeature which version to emit:

  flags:
    event.TodoCreated:
      rollout: todo-created-v2     # a name for telemetry
      revision: 7                  # for telemetry: raise it with each change
      variants:                    # oldest first
        v1: v1.TodoCreated         # the default: it gets the stores that the others leave
        v2:
          event: v2.TodoCreated
          floor: 1.5.0             # the first release that may emit it; 1.5.0-beta.1 counts as 1.5.0
          percent: 25              # of the stores, by a hash of the store's id; 0.5 is possible
          stores: [demo, team-7]   # these in any case

Also possible: schema, the store kind, where the app has several; default, another variant than the first; stores for v1
too, to keep some out; state: disabled, which leaves the choice to the app's own code. Raising percent only adds stores.
A caller without a storeId, or with a version that can't be read, gets the default.

A flag whose key does not begin with event. is a plain one, a switch for instance. Its variants have values of the app's own,
all true or false, all whole numbers or all texts, and a floor only where you want one:

  sharing:
    default: on                    # off: nobody shares any more
    variants:
      off: false
      on: true
  page-size:
    variants:
      small: 20
      large: {value: 100, percent: 10, stores: [demo]}

The plain flag store.reset is not in the file: headgate reset says which stores' clients load their data again.

A floor says what a build can emit. That the other clients of a store can read it is for ` + "`headgate check`" + ` to say, before
percent rises. And percent: 0 stops new events only: what was emitted stays in the logs, and its readers in the app.`,
		Subcommands: []*cli.Command{
			a.flagsInitCommand(),
			a.flagsCheckCommand(),
			a.flagsEvalCommand(),
			a.flagsExportCommand(),
		},
	}
}

func (a *app) flagsInitCommand() *cli.Command {
	return &cli.Command{
		Name:      "init",
		Usage:     "draft headgate/flags.yaml from the recorded releases",
		UsageText: "headgate flags init\nheadgate flags init --schema main --dry-run",
		Description: `Writes a flag for each event family that has several versions in the newest release, with the floors that the
recorded releases show. All flags are closed: every store keeps the oldest version.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the file, write nothing"},
		},
		Action: a.flagsInit,
	}
}

func (a *app) flagsInit(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	s, err := cfg.Schema(c.String("schema"))
	if err != nil {
		return err
	}
	releases, err := releaseDir(cfg).LoadAll(s.Name)
	if err != nil {
		return err
	}
	name := ""
	if len(cfg.Schemas) > 1 {
		name = s.Name
	}
	text, err := rollout.DraftFlags(name, releases)
	if err != nil {
		return err
	}
	return a.writeDraft(c, draft{
		path: flagsPath(cfg), text: text, said: "no store gets a new version yet", next: "headgate flags check",
	})
}

func (a *app) flagsCheckCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "hold the flags against the recorded releases",
		UsageText: "headgate flags check\nheadgate flags check --format json",
		Description: `Reads headgate/flags.yaml strictly. Then each recorded release at or above a variant's floor, prereleases of the floor
too, must define the variant's event, sync it and materialize it. Otherwise

  RO103  a build that may emit the event does not have it

Ends with 3 if anything is wrong.`,
		Action: a.flagsCheck,
	}
}

// A flagProblem is what `flags check` found.
type flagProblem struct {
	Where string `json:"where"`
	rollout.Problem
}

func (a *app) flagsCheck(*cli.Context) error {
	cfg, file, err := a.flags()
	if err != nil {
		return err
	}
	problems, err := a.lintFlags(cfg, file)
	if err != nil {
		return err
	}
	type variant struct {
		Flag    string `json:"flag"`
		Variant string `json:"variant"`
		Event   string `json:"event"`
		Value   any    `json:"value,omitempty"` // of a plain flag
		Floor   string `json:"floor,omitempty"`
		Percent string `json:"percent"`
		Stores  int    `json:"storesListed"`
		Default bool   `json:"default"`
		Enabled bool   `json:"enabled"`
	}
	variants := []variant{}
	for _, f := range file.Flags {
		for i, v := range f.Variants {
			variants = append(variants, variant{f.Key, v.Name, v.Event, v.Value, v.Floor, v.Percent.String(), len(v.Stores), i == f.Default, !f.Disabled})
		}
	}
	err = a.render(map[string]any{"variants": variants, "problems": problems}, func(w io.Writer) error {
		rows := [][]string{{"FLAG", "VARIANT", "VALUE", "FLOOR", "STORES", ""}}
		for _, v := range variants {
			stores := v.Percent
			if v.Stores > 0 {
				stores += fmt.Sprintf(" and %d listed", v.Stores)
			}
			note := ""
			if v.Default {
				note = "default"
			}
			if !v.Enabled {
				note = strings.TrimSpace(note + " (disabled)")
			}
			value := v.Event
			if v.Value != nil {
				value = fmt.Sprint(v.Value)
			}
			rows = append(rows, []string{v.Flag, v.Variant, value, v.Floor, stores, note})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		fmt.Fprintln(w)
		for _, p := range problems {
			fmt.Fprintf(w, "%s: %s %s: %s\n  fix: %s\n", p.Where, a.stdout.paint(bad, p.Code), p.Variant, p.Msg, p.Hint)
		}
		_, err := fmt.Fprintf(w, "%s checked, %s\n", count(len(file.Flags), "flag"), count(len(problems), "problem"))
		return err
	})
	if err != nil || len(problems) == 0 {
		return err
	}
	return errs.New(errs.Findings, "%s in the flags", count(len(problems), "problem")).At("%s", a.rel(file.Path)).Hintf("each one says how to fix it")
}

func (a *app) flagsExportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write the flags as a flagd file",
		UsageText: "headgate flags export > flags.json\nheadgate flags export --env prod --out dist/flags.json",
		Description: `The file is for any flagd evaluator: put it where the app can fetch it. The same flags give the same bytes. The
evaluation context has storeId and appVersion.

Nothing is written while ` + "`headgate flags check`" + ` has something against a variant that stores get. One that is closed does
not hold the export up, so an abort (percent: 0, no stores) always goes out. With --env, a reset that was fired first opens
the stores that are due: export every few minutes while one is under way. Through a server (--server) it is the file of the
flags that the server has in force; a reset's stores it opens itself.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "out", Usage: "write to `FILE` instead of standard output"},
			&cli.StringFlag{Name: "env", Usage: "with the flags that the rollouts of the environment `ENV` published"},
		},
		Action: a.flagsExport,
	}
}

func (a *app) flagsExport(c *cli.Context) error {
	data, err := a.exportedFlags(c)
	if err != nil {
		return err
	}
	out := c.String("out")
	if out == "" { // it is JSON in any format
		a.rendered = true
		_, err := a.stdout.Write(data)
		return err
	}
	var file struct {
		Flags map[string]any `json:"flags"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return err
	}
	if err := atomicfile.Write(a.abs(out), data, 0o666); err != nil {
		return err
	}
	return a.render(map[string]any{"out": out, "flags": slices.Sorted(maps.Keys(file.Flags)), "bytes": len(data)}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "wrote %s to %s\n", count(len(file.Flags), "flag"), out)
		return err
	})
}

// exportedFlags are the flags as a flagd file: the app's, and with an environment those that are published there, or in
// force on its server.
func (a *app) exportedFlags(c *cli.Context) ([]byte, error) {
	if c.String("env") != "" || a.server != "" && a.server != noServer {
		client, err := a.remote(c)
		if err != nil {
			return nil, err
		}
		if client != nil {
			return client.FlagsExport(c.Context)
		}
	}
	cfg, file, err := a.flagsOf(c)
	if err != nil {
		return nil, err
	}
	if err := a.exportable(cfg, file); err != nil {
		return nil, err
	}
	if file, err = a.openReset(c, file); err != nil {
		return nil, err
	}
	return file.Flagd()
}

// exportable refuses flags that open an event to builds which do not have it.
func (a *app) exportable(cfg *config.Config, file *rollout.File) error {
	problems, err := a.lintFlags(cfg, file)
	if err != nil {
		return err
	}
	for _, p := range problems {
		if p.Open {
			return errs.New(errs.Findings, "%s: %s %s: %s", p.Code, p.Flag, p.Variant, p.Msg).At("%s", p.Where).Hintf("%s", p.Hint).
				Then("headgate flags check")
		}
	}
	return nil
}

func flagsPath(cfg *config.Config) string {
	return filepath.Join(cfg.Dir, filepath.FromSlash(rollout.FileName))
}

// flags reads the app's flags, and gives each its schema.
func (a *app) flags() (*config.Config, *rollout.File, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	file, err := rollout.Read(flagsPath(cfg))
	if err != nil {
		return nil, nil, a.nearby(err)
	}
	for i := range file.Flags {
		f := &file.Flags[i]
		if f.Plain() && f.Schema == "" {
			continue
		}
		s, err := cfg.Schema(f.Schema)
		if e := errs.As(err); e != nil {
			if f.Schema == "" {
				e.Msg = "the app has several schemas, and the flag does not say which it is for"
				e.Hintf("write `schema: %s` below the flag, or another one", cfg.Schemas[0].Name)
			}
			return nil, nil, e.At("%s:%d", a.rel(file.Path), f.Line)
		}
		f.Schema = s.Name
	}
	return cfg, file, nil
}

// nearby shortens the place of an error to what the user would type here.
func (a *app) nearby(err error) error {
	if e := errs.As(err); e != nil && e.Where != "" {
		e.Where = a.rel(e.Where)
	}
	return err
}

// lintFlags holds the flags against the releases of their schemas.
func (a *app) lintFlags(cfg *config.Config, file *rollout.File) ([]flagProblem, error) {
	problems := []flagProblem{}
	for i := range file.Flags {
		f := &file.Flags[i]
		if f.Plain() {
			continue
		}
		releases, err := releaseDir(cfg).LoadAll(f.Schema)
		if err != nil {
			return nil, err
		}
		for _, p := range rollout.Lint(f, releases) {
			problems = append(problems, flagProblem{Where: fmt.Sprintf("%s:%d", a.rel(file.Path), p.Line), Problem: p})
		}
	}
	return problems, nil
}
