package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/migrations"
)

// migrationChanges are what the flags of `headgate generate` say about migrations that the app runs itself.
type migrationChanges struct {
	add, remove []string // names as a user gives them
	marker      *codegen.Marker
	noMarker    bool
	defs        []migrations.Definition // nil until a file is needed
}

func generateMigrationFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "client-migration", Usage: "let the app run the migration `NAME` itself; may be given several times"},
		&cli.StringSliceFlag{Name: "no-client-migration", Usage: "leave the migration `NAME` to headgate again"},
		&cli.StringFlag{Name: "marker", Usage: "the event that says that a migration ran: `EVENT`, made by headgate"},
		&cli.BoolFlag{Name: "own-marker", Usage: "the app has the marker's event and table already"},
		&cli.StringFlag{Name: "marker-table", Usage: "the marker's table and the column with the migration's name: `TABLE[.COLUMN]`"},
		&cli.BoolFlag{Name: "no-marker", Usage: "no marker: what is pending is asked of the migrations' queries alone"},
	}
}

// migrationChanges reads the flags, and refuses those that exclude each other.
func (a *app) migrationChanges(c *cli.Context, schemas []config.Schema) (*migrationChanges, error) {
	m := &migrationChanges{
		add: c.StringSlice("client-migration"), remove: c.StringSlice("no-client-migration"), noMarker: c.Bool("no-marker"),
	}
	event, table, own := c.String("marker"), c.String("marker-table"), c.Bool("own-marker")
	changes := len(m.add)+len(m.remove) > 0 || event != "" || m.noMarker
	switch {
	case m.noMarker && (event != "" || table != "" || own):
		return nil, errs.Invalidf("--no-marker excludes the other flags of the marker")
	case event == "" && (table != "" || own):
		return nil, errs.Invalidf("--marker-table and --own-marker need --marker").Hintf("name the marker's event, for instance --marker %s", codegen.MarkerEvent)
	case c.Bool("check") && changes:
		return nil, errs.Invalidf("--check writes nothing, so that it excludes flags that change the manifest")
	case (event != "" || m.noMarker) && len(schemas) > 1:
		return nil, errs.Invalidf("the app has several schemas: say whose marker that is").Hintf("--schema %s, for instance", schemas[0].Name)
	}
	if i := slices.IndexFunc(m.add, func(n string) bool { return slices.Contains(m.remove, n) }); i >= 0 {
		return nil, errs.Invalidf("--client-migration %s and --no-client-migration %s exclude each other", m.add[i], m.add[i])
	}
	if event != "" {
		m.marker = &codegen.Marker{Event: event, Table: codegen.MarkerTable, Column: codegen.MarkerColumn, Own: own}
		if table != "" {
			name, column, ok := strings.Cut(table, ".")
			if m.marker.Table = name; ok {
				m.marker.Column = column
			}
		}
	}
	return m, nil
}

// apply brings one schema's section up to date: what the flags change, and the migrations' files as they are now.
func (a *app) applyMigrations(ctx context.Context, cfg *config.Config, ch *migrationChanges, name string, section *codegen.Schema, g *generated) error {
	before := section.Marker
	if ch.marker != nil {
		section.Marker = ch.marker
	}
	if ch.noMarker {
		section.Marker = nil
	}
	if m := section.Marker; m != nil && (before == nil || before.Table != m.Table) {
		g.Rebuild = codegen.RebuildCost
	}
	g.Marker = section.Marker

	old := section.Migrations.Client
	var names []string
	for _, c := range old {
		names = append(names, c.Name)
	}
	for _, given := range ch.remove {
		i := slices.IndexFunc(names, func(n string) bool { return namesMigration(given, n) })
		if i < 0 {
			return errs.NotFoundf("the app does not run a migration %q itself", given).
				Hintf("it runs: %s", orNone(names)).Then("headgate migration list")
		}
		names = slices.Delete(names, i, i+1)
	}
	if len(ch.add) > 0 || len(names) > 0 {
		if err := ch.load(ctx, a, cfg); err != nil {
			return err
		}
	}
	for _, given := range ch.add {
		d, err := migrations.Find(ch.defs, given)
		if err != nil {
			return err
		}
		if d.Schema == name && !slices.Contains(names, d.Name) {
			names = append(names, d.Name)
		}
	}
	client := make([]codegen.Migration, 0, len(names))
	for _, d := range ch.defs { // in the order of their numbers
		if !slices.Contains(names, d.Name) {
			continue
		}
		m, err := a.clientMigration(cfg, d, section.Marker, names)
		if err != nil {
			return err
		}
		client = append(client, m)
		if i := slices.IndexFunc(old, func(o codegen.Migration) bool { return o.Name == d.Name }); i >= 0 && old[i].Checksum != m.Checksum {
			g.Changed = append(g.Changed, d.Name)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(client, func(m codegen.Migration) bool { return m.Name == n }) {
			return errs.NotFoundf("the app runs the migration %s itself, but its file is gone", n).At("%s", a.shown(cfg, cfg.Migrations)).
				Hintf("bring it back, or take it out of the app").Then("headgate generate --no-client-migration " + n)
		}
	}
	section.Migrations.Client = nil
	if len(client) > 0 {
		section.Migrations.Client = client
	}
	g.ClientMigrations = names
	return nil
}

// load reads the app's migrations, once.
func (ch *migrationChanges) load(ctx context.Context, a *app, cfg *config.Config) error {
	if ch.defs != nil {
		return nil
	}
	defs, err := a.definitions(ctx, cfg, "")
	if err != nil {
		return err
	}
	ch.defs = defs
	return nil
}

// known refuses names of migrations that belong to no schema of this run.
func (ch *migrationChanges) known(ctx context.Context, a *app, cfg *config.Config, schemas []config.Schema) error {
	if len(ch.add) == 0 {
		return nil
	}
	if err := ch.load(ctx, a, cfg); err != nil {
		return err
	}
	for _, given := range ch.add {
		d, err := migrations.Find(ch.defs, given)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(schemas, func(s config.Schema) bool { return s.Name == d.Schema }) {
			return errs.Invalidf("migration %s is one of schema %s", d.Name, d.Schema).At("%s", a.shown(cfg, d.Path))
		}
	}
	return nil
}

// clientMigration makes of a migration's file what codegen renders, and refuses what a client can't do.
func (a *app) clientMigration(cfg *config.Config, d migrations.Definition, marker *codegen.Marker, names []string) (codegen.Migration, error) {
	file := a.shown(cfg, d.Path)
	if err := d.ClientRun(); err != nil {
		return codegen.Migration{}, err
	}
	m := codegen.Migration{Name: d.Name, Checksum: d.Checksum, File: file, Marker: d.Marker != "", Repeat: d.Repeat}
	for _, e := range d.Emits {
		m.Emits = append(m.Emits, codegen.Emit{Event: e.Event, Key: e.Key, Line: e.SQLLine, SQL: unixLines(e.SQL)})
	}
	for _, as := range d.Asserts {
		m.Asserts = append(m.Asserts, codegen.Assert{Label: as.Label, Line: as.Line, SQL: unixLines(as.SQL)})
	}
	if i := slices.IndexFunc(d.After, func(n string) bool { return !slices.Contains(names, n) }); i >= 0 {
		return m, errs.Invalidf("migration %s comes after %s, which the app does not run itself", d.Name, d.After[i]).At("%s:%d", file, d.AfterLine).
			Then("headgate generate --client-migration " + d.After[i] + " --client-migration " + d.Name)
	}
	switch {
	case d.Marker == "":
	case marker == nil:
		return m, errs.Invalidf("migration %s has the marker %s, but it is not said which table that is in", d.Name, d.Marker).At("%s:%d", file, d.MarkerLine).
			Hintf("headgate can make the event and the table, or --own-marker --marker-table TABLE.COLUMN says where the app has them").
			Then("headgate generate --client-migration " + d.Name + " --marker " + d.Marker)
	case marker.Event != d.Marker:
		return m, errs.Invalidf("migration %s has the marker %s, but the app's marker is %s", d.Name, d.Marker, marker.Event).At("%s:%d", file, d.MarkerLine)
	}
	return m, m.Check()
}

func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// namesMigration reports whether a user means the migration name: its file may be gone, so that the name alone counts.
func namesMigration(given, name string) bool {
	number, rest, _ := strings.Cut(name, "_")
	return given == name || given == rest || given == number || given == name+".sql" ||
		strings.TrimLeft(given, "0") == strings.TrimLeft(number, "0") && strings.Trim(given, "0123456789") == ""
}

// migrationLines tell what of a generated file has to do with migrations.
func (g generated) migrationLines() (lines []string) {
	if len(g.ClientMigrations) > 0 {
		lines = append(lines, "the app runs "+strings.Join(g.ClientMigrations, ", ")+" itself: await runPendingMigrations(store)")
	}
	for _, n := range g.Changed {
		lines = append(lines, n+": the file was changed; a client that ran it already does not run it again for that")
	}
	if g.Rebuild != "" {
		how := "add migrationRan, migrationsTable and recordMigration to the app's events, tables and materializers"
		if g.Marker.Own {
			how = "the app has them itself"
		}
		lines = append(lines, fmt.Sprintf("marker %s in the table %s: %s", g.Marker.Event, g.Marker.Table, how), "cost: where the table is new, "+g.Rebuild)
	}
	return lines
}
