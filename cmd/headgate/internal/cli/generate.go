package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/codegen"
	"headgate/internal/errs"
)

const generateHelp = `Writes headgate.generated.ts beside the schema's entry, whole from headgate/generated.yaml. The app
uses it in two places:

    // the schema: the epoch table and the hooks that make a rebuild of the state atomic
    state: State.SQLite.makeState(withHeadgate({ tables, materializers }))

    // the adapter: finds a state that is already partial and has it rebuilt before the app gets the store
    adapter: withStartupCheck(makePersistedAdapter({ ...headgateWebAdapterOptions, storage, … }), storage)

A backfill migration can be run by the app itself at its start, beside or instead of headgate migration up; for an app
whose events are encrypted end to end it is the only way. --client-migration renders the migration's file into the app,

    await runPendingMigrations(store)

and each generate brings it up to date with the file. With a marker (--marker) it is recorded in a table of the app's
state that a migration ran. examples/client-migrations.md has the whole story.

With --store-reset the app acts on headgate reset: it asks for the flag store.reset before it opens the store, and loads the
store anew where that is due, after it has sent what it had. examples/store-reset.md has that.

--worker FILE, with the module of the app's sync backend, writes headgate.worker.ts beside it. The backend imports
LiveStore's functions from it, and so tells headgate which releases are out there. With --release the app says which
release it is, in the sync payload and in each event's session. examples/worker.md has both.

Commit what is written. --check is for CI: exit 3 when a file is not what the manifest renders. A file that was
changed by hand is not written over (exit 7) without --force. examples/epoch.md tells the whole story.`

func (a *app) generateCommand() *cli.Command {
	return &cli.Command{
		Name:        "generate",
		Category:    plumbing,
		Usage:       "write headgate.generated.ts, the part of headgate that runs in the app",
		Description: generateHelp,
		UsageText: "headgate generate\nheadgate generate --schema main --dry-run\nheadgate generate --check\n" +
			"headgate generate --worker backend/src/worker.ts --release newest\n" +
			"headgate generate --client-migration backfill_priority --marker v1.MigrationRan",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "schema", Usage: "only the store kind `SCHEMA`"},
			&cli.StringFlag{Name: "worker", Usage: "wrap the sync backend: write headgate.worker.ts beside its module `FILE`"},
			&cli.StringFlag{Name: "release", Usage: "let the app say that it is `VERSION`; newest takes the newest recorded release"},
			&cli.BoolFlag{Name: "store-reset", Usage: "let the app act on headgate reset"},
			&cli.BoolFlag{Name: "no-store-reset", Usage: "take that out again"},
			&cli.BoolFlag{Name: "check", Usage: "write nothing; exit 3 if a file is not what the manifest renders"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be written, write nothing"},
			&cli.BoolFlag{Name: "force", Usage: "write over a file that was changed by hand"},
		}, generateMigrationFlags()...),
		Action: a.generate,
	}
}

// A generated is one file as `headgate generate` reports it.
type generated struct {
	Schema  string            `json:"schema,omitempty"` // none for the Worker's
	File    string            `json:"file"`             // relative to headgate.yaml
	Epoch   int               `json:"epoch"`
	Release string            `json:"release,omitempty"` // what the app says it is
	Status  codegen.Status    `json:"status"`            // before the run
	Written bool              `json:"written"`
	Import  string            `json:"import"` // what the schema's module writes
	Notes   []codegen.Adapter `json:"adapters"`
	Warning string            `json:"warning,omitempty"`

	ClientMigrations []string        `json:"client_migrations,omitempty"`
	Changed          []string        `json:"changed_migrations,omitempty"` // whose files are not what was generated before
	Marker           *codegen.Marker `json:"marker,omitempty"`
	StoreReset       bool            `json:"store_reset,omitempty"`
	Test             bool            `json:"test,omitempty"`    // of the corrections
	Rebuild          string          `json:"rebuild,omitempty"` // what a marker's table that is new costs
}

func (a *app) generate(c *cli.Context) error {
	check, dryRun := c.Bool("check"), c.Bool("dry-run")
	if check && c.Bool("force") {
		return errs.Invalidf("--check and --force exclude each other").Hintf("--check writes nothing")
	}
	if check && (c.String("worker") != "" || c.String("release") != "" || c.Bool("store-reset") || c.Bool("no-store-reset")) {
		return errs.Invalidf("--check writes nothing, so that it excludes flags that change the manifest")
	}
	if c.Bool("store-reset") && c.Bool("no-store-reset") {
		return errs.Invalidf("--store-reset and --no-store-reset exclude each other")
	}
	if check && dryRun {
		return errs.Invalidf("--check and --dry-run exclude each other").Hintf("both write nothing; --check sets the exit status")
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := selectSchemas(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	changes, err := a.migrationChanges(c, schemas)
	if err != nil {
		return err
	}
	if err := changes.known(c.Context, a, cfg, schemas); err != nil {
		return err
	}
	w := codegen.Workspace{Dir: cfg.Dir, Releases: cfg.Releases}
	m, err := codegen.Load(w.ManifestFile())
	if err != nil {
		return err
	}
	var files []codegen.File
	var report []generated
	bad := 0
	for _, s := range schemas {
		g, f, err := a.renderSchema(c, w, m, s, changes)
		if err != nil {
			return err
		}
		files, report = append(files, f), append(report, g)
		test, ok, err := w.TestFile(m, s.Name)
		if err != nil {
			return err
		}
		if ok {
			file := m.Schemas[s.Name].TestFile()
			files, report = append(files, test), append(report, generated{Schema: s.Name, File: file, Epoch: g.Epoch, Status: test.Status, Test: true})
		}
	}
	g, f, err := a.renderWorker(c, w, m)
	if err != nil {
		return err
	}
	if f.Path != "" {
		files, report = append(files, f), append(report, g)
	}
	for _, f := range files {
		if f.Status == codegen.Current {
			continue
		}
		bad++
		if err := f.CheckOverwrite(); err != nil && !check && !c.Bool("force") {
			only := ""
			if f.Schema != "" {
				only = " --schema " + f.Schema
			}
			errs.As(err).Then("headgate generate" + only + " --force")
			return err
		}
	}
	if !check && !dryRun {
		if err := w.Save(m, files); err != nil {
			return err
		}
		for i := range report {
			report[i].Written = report[i].Status != codegen.Current
		}
	}
	if err := a.render(struct {
		Files []generated `json:"files"`
	}{report}, func(out io.Writer) error { return a.writeGenerated(out, report, check, dryRun) }); err != nil {
		return err
	}
	if check && bad > 0 {
		return errs.New(errs.Findings, "%d of %d generated files are not what %s renders", bad, len(report), codegen.ManifestPath).
			Then("headgate generate")
	}
	return nil
}

// renderSchema brings one schema's section into m, refuses what can't be, and renders its file.
func (a *app) renderSchema(c *cli.Context, w codegen.Workspace, m *codegen.Manifest, s config.Schema, changes *migrationChanges) (generated, codegen.File, error) {
	var none generated
	if err := w.CheckStrategy(s.Name); err != nil {
		return none, codegen.File{}, err
	}
	if _, err := w.Add(m, s.Name, s.Entry); err != nil {
		return none, codegen.File{}, err
	}
	known, err := w.KnownEpochs(c.Context, m, s.Name, false)
	if err != nil {
		return none, codegen.File{}, err
	}
	if err := known.CheckNotLower(m, s.Name); err != nil {
		return none, codegen.File{}, err
	}
	section := m.Schemas[s.Name]
	g := generated{
		Schema: s.Name, File: section.File, Epoch: section.Epoch,
		Import: fmt.Sprintf("import { withHeadgate } from '%s'", section.Module()),
	}
	cfg, err := a.config()
	if err != nil {
		return none, codegen.File{}, err
	}
	if err := a.applyMigrations(c.Context, cfg, changes, s.Name, &section, &g); err != nil {
		return none, codegen.File{}, err
	}
	if err := w.RaiseRelease(s.Name, &section, c.String("release")); err != nil {
		return none, codegen.File{}, err
	}
	g.Release = section.Release
	section.StoreReset = (section.StoreReset || c.Bool("store-reset")) && !c.Bool("no-store-reset")
	g.StoreReset = section.StoreReset
	m.Schemas[s.Name] = section
	f, err := w.File(m, s.Name)
	if err != nil {
		return none, f, err
	}
	g.Status = f.Status
	for _, name := range s.Adapters {
		adapter, err := codegen.AdapterNamed(string(name))
		if err != nil {
			return none, f, err
		}
		g.Notes = append(g.Notes, adapter)
	}
	if v := codegen.InstalledLiveStore(filepath.Dir(s.Entry)); v != "" && v != codegen.LiveStoreVersion {
		g.Warning = fmt.Sprintf("LiveStore %s is installed; the generated code was proven with %s only", v, codegen.LiveStoreVersion)
	}
	return g, f, nil
}

func (a *app) writeGenerated(w io.Writer, report []generated, check, dryRun bool) error {
	for _, g := range report {
		verb := "written"
		switch {
		case g.Status == codegen.Current:
			verb = "up to date"
		case check:
			verb = string(g.Status)
		case dryRun:
			verb = "would be written (" + string(g.Status) + ")"
		}
		if g.Schema == "" {
			writeWorker(w, g, verb, check)
			continue
		}
		says := ""
		if g.Release != "" {
			says = ", release " + g.Release
		}
		fmt.Fprintf(w, "%s: %s, epoch %d%s\n", g.File, verb, g.Epoch, says)
		if g.Status == codegen.Missing && !check && !g.Test {
			fmt.Fprintf(w, "  in the schema's module:\n    %s\n    state: State.SQLite.makeState(withHeadgate({ tables, materializers }))\n", g.Import)
		}
		for _, n := range g.Notes {
			if n.Note != "" && g.Status != codegen.Current {
				fmt.Fprintf(w, "  %s: %s\n", n.Name, n.Note)
			}
		}
		if g.StoreReset && g.Status != codegen.Current {
			fmt.Fprintln(w, "  where the app makes its adapter: withReset((reset) => makeAdapter({ ...reset, storage, … }), { storage, flag, onExport })")
		}
		for _, line := range g.migrationLines() {
			if g.Status != codegen.Current {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
		if g.Warning != "" {
			fmt.Fprintf(w, "  %s %s\n", a.stdout.paint(warn, "warning:"), g.Warning)
		}
	}
	return nil
}

// selectSchemas returns the schema named, or all of them.
func selectSchemas(cfg *config.Config, name string) ([]config.Schema, error) {
	if name == "" {
		return cfg.Schemas, nil
	}
	s, err := cfg.Schema(name)
	if err != nil {
		return nil, err
	}
	return []config.Schema{s}, nil
}
