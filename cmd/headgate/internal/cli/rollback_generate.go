package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

func (a *app) rollbackGenerateCommand() *cli.Command {
	return &cli.Command{
		Name:      "generate",
		Usage:     "write the corrections of bad events into the app's code",
		UsageText: "headgate rollback generate --env prod\nheadgate rollback generate --env prod --no-test\nheadgate rollback generate --env prod --dry-run --format json",
		Description: `Reads headgate/corrections/SCHEMA.yaml (headgate help corrections-file), looks for the events that each correction matches in
every store's log, and writes headgate.generated.ts: withHeadgate then goes around the app's materializers, and makes of those
events what the corrections say. It raises the epoch, unless a new one waits to be released already: without it no client that
ran the bad code would change a row.

An event that the app's schema does not decode gets a schema that takes it, and one that the app does not know a definition; then
the app's events must be wrapped, too, and the command says where. Nothing is written where a correction matches nothing, two
match the same event, or a store can't be read.

It also writes headgate.corrections.test.ts beside it, a test for vitest: each correction does what it declares to an event made up
to the shape of the bad ones, and leaves those alone that differ in number, writer or content. No value of a log is in it. It is
written where a package.json of the app names vitest, or with --test; headgate generate then keeps it up to date. Keep it as long as
the corrections.

What was found once stays: events that are listed in the app's code are added to, never dropped.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringSliceFlag{Name: "store", Usage: "look into the store `STORE` only; may be given several times"},
			&cli.BoolFlag{Name: "test", Usage: "write headgate.corrections.test.ts though no package.json of the app names vitest"},
			&cli.BoolFlag{Name: "no-test", Usage: "write no test, and let headgate generate forget it"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print what would be written, write nothing"},
			&cli.BoolFlag{Name: "force", Usage: "write over a generated file that was changed by hand"},
			&cli.IntFlag{Name: "jobs", Usage: "read `N` logs at a time; as many as there are processors by default"},
		},
		Action: a.rollbackGenerate,
	}
}

// A correctionsReport is what `rollback generate` reports.
type correctionsReport struct {
	Environment string                `json:"environment"`
	Schema      string                `json:"schema"`
	Corrections string                `json:"corrections"` // the reviewed file
	File        string                `json:"file"`        // the generated one
	Stores      int                   `json:"stores"`
	List        []correctionReport    `json:"list"`
	Tolerated   []string              `json:"tolerated"` // events whose arguments did not decode
	Adopted     []string              `json:"adopted"`   // events that the app does not know
	EpochBefore int                   `json:"epochBefore"`
	Epoch       int                   `json:"epoch"`
	Edits       []string              `json:"edits"` // what the app's own code must say
	Written     bool                  `json:"written"`
	Test        correctionsTestReport `json:"test"`
	NextActions []string              `json:"next_actions"`
}

// A correctionReport is what one correction met.
type correctionReport struct {
	Name   string `json:"name"`
	Event  string `json:"event"`
	Events int64  `json:"events"` // matched now
	Stores int    `json:"stores"` // where
	// Pending are those of Events that their client has not sent: listed by a number that may become another.
	Pending int64 `json:"pending"`
	Pinned  bool  `json:"pinned"`
	Listed  int   `json:"listed"` // events in the code, those of earlier runs included
	New     int   `json:"new"`    // of them, those of this run
}

// correctionsPath is where a schema's corrections lie, relative to headgate.yaml.
func correctionsPath(schema string) string { return "headgate/corrections/" + schema + ".yaml" }

func correctionsFileTopic() topic {
	return topic{
		name:  "corrections-file",
		about: "what stands in headgate/corrections/SCHEMA.yaml",
		render: func(_ *app, w io.Writer, _ []string) error {
			_, err := io.WriteString(w, corrective.CorrectionsHelp+"\n")
			return err
		},
	}
}

// corrections reads a schema's corrections.
func (a *app) corrections(ctx context.Context, cfg *config.Config, s config.Schema) (corrective.Corrections, error) {
	rel := correctionsPath(s.Name)
	data, err := os.ReadFile(filepath.Join(cfg.Dir, filepath.FromSlash(rel)))
	if errors.Is(err, fs.ErrNotExist) {
		return corrective.Corrections{}, errs.NotFoundf("there are no corrections of schema %s", s.Name).At("%s", rel).
			Hintf("the file says which events are bad, and what is to be made of them").Then("headgate help corrections-file")
	}
	if err != nil {
		return corrective.Corrections{}, fmt.Errorf("read the corrections: %w", err)
	}
	c, err := corrective.ParseCorrections(ctx, rel, data)
	if err == nil && c.Schema != s.Name {
		err = errs.Invalidf("the corrections are of schema %s, and lie where those of %s belong", c.Schema, s.Name).At("%s", rel)
	}
	if err == nil && len(c.List) == 0 {
		err = errs.Invalidf("the file has no correction").At("%s", rel).Then("headgate help corrections-file")
	}
	return c, err
}

func (a *app) rollbackGenerate(c *cli.Context) error {
	if err := aboveZero(c, "jobs"); err != nil {
		return err
	}
	in, err := a.incidentOf(c, false)
	if err != nil {
		return err
	}
	cfg, s, env, err := a.chosen(c)
	if err != nil {
		return err
	}
	list, err := a.corrections(c.Context, cfg, s)
	if err != nil {
		return err
	}
	stores, err := a.storesOf(c.Context, cfg, env, s, c.StringSlice("store"))
	if err != nil {
		return err
	}
	tree, err := a.evaluate(c.Context, cfg, s, cfg.Dir, workingTree)
	if err != nil {
		return err
	}
	if err := list.CheckAgainst(tree.Release, correctionsPath(s.Name)); err != nil {
		return err
	}
	find := finding{app: a, cfg: cfg, env: env, list: list, program: programOf(tree), jobs: workers(c.Int("jobs"))}
	found, err := find.all(c.Context, stores)
	if err != nil {
		return err
	}
	report, err := a.writeCorrections(c, cfg, s, tree, list, found)
	if err != nil {
		return err
	}
	report.Environment, report.Stores = env.Name, len(stores)
	if in != nil && report.Written {
		if err := in.generated(report); err != nil {
			return err
		}
		report.NextActions = []string{in.nextCommand()}
	}
	return a.render(report, func(w io.Writer) error { return a.writeCorrectionsText(w, report) })
}

// writeCorrections brings what was found into the manifest and renders the generated file.
func (a *app) writeCorrections(c *cli.Context, cfg *config.Config, s config.Schema, tree build, list corrective.Corrections, f *found) (correctionsReport, error) {
	none := correctionsReport{}
	w := codegen.Workspace{Dir: cfg.Dir, Releases: cfg.Releases}
	if err := w.CheckStrategy(s.Name); err != nil {
		return none, err
	}
	m, err := codegen.Load(w.ManifestFile())
	if err != nil {
		return none, err
	}
	if _, err := w.Add(m, s.Name, s.Entry); err != nil {
		return none, err
	}
	before, err := w.File(m, s.Name)
	if err != nil {
		return none, err
	}
	if err := before.CheckOverwrite(); err != nil && !c.Bool("force") {
		errs.As(err).Then(a.line + " --force")
		return none, err
	}
	section := m.Schemas[s.Name]
	r := correctionsReport{
		Schema: s.Name, Corrections: correctionsPath(s.Name), File: section.File, EpochBefore: section.Epoch, List: []correctionReport{},
		Tolerated: f.tolerated, Adopted: f.adopted, Edits: []string{}, Written: !c.Bool("dry-run"),
	}
	resolved, err := resolve(list, f, tree.Release, section.Corrections, &r)
	if err != nil {
		return none, err
	}
	changed := !sameJSON(resolved, section.Corrections)
	if r.Test.Skipped, err = wantsTest(c, s, section.Corrections.Test != nil); err != nil {
		return none, err
	}
	r.Test.Tested, r.Test.Without, r.Test.Assumed = []string{}, []string{}, []string{}
	if r.Test.Skipped == "" {
		if resolved.Test, r.Test.Without, err = a.correctionsTest(c.Context, cfg, s, tree, list, f); err != nil {
			return none, err
		}
		r.Test.takes(resolved.Test.Cases)
		if len(resolved.Test.Cases) == 0 {
			resolved.Test, r.Test.Skipped = nil, "no event that one of them is about could be made up"
		}
	}
	section.Corrections = resolved
	m.Schemas[s.Name] = section
	if changed {
		if err := a.raiseEpoch(c.Context, w, m, s.Name, list); err != nil {
			return none, err
		}
	}
	r.Epoch = m.Schemas[s.Name].Epoch
	file, err := w.File(m, s.Name)
	if err != nil {
		return none, err
	}
	files := []codegen.File{file}
	if test, ok, err := w.TestFile(m, s.Name); err != nil {
		return none, err
	} else if ok {
		if err := test.CheckOverwrite(); err != nil && !c.Bool("force") {
			errs.As(err).Then(a.line + " --force")
			return none, err
		}
		files = append(files, test)
		r.Test.File, r.Test.Written = section.TestFile(), r.Written
	}
	if r.Written {
		if err := w.Save(m, files); err != nil {
			return none, err
		}
	}
	r.Edits = edits(section)
	r.NextActions = []string{"headgate release add VERSION", "headgate rollback verify --release VERSION" + onlyEnv(c)}
	return r, nil
}

func onlyEnv(c *cli.Context) string {
	if env := c.String("env"); env != "" {
		return " --env " + env
	}
	return ""
}

func sameJSON(a, b codegen.Corrections) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// raiseEpoch has every client rebuild, unless it will under an epoch that no release carries yet.
func (a *app) raiseEpoch(ctx context.Context, w codegen.Workspace, m *codegen.Manifest, schema string, list corrective.Corrections) error {
	known, err := w.KnownEpochs(ctx, m, schema, true)
	if err != nil {
		return err
	}
	released := 0
	for _, l := range known.Looked {
		if strings.HasPrefix(l.Place, "release ") {
			released = max(released, l.Epoch)
		}
	}
	if m.Schemas[schema].Epoch > released && m.Schemas[schema].Epoch == known.Highest {
		return nil
	}
	var names []string
	for _, one := range list.List {
		names = append(names, one.Name)
	}
	_, err = m.Bump(schema, known, "corrections: "+strings.Join(names, ", "))
	return err
}

// resolve turns the reviewed corrections into what the generated file needs, with what an earlier run listed.
func resolve(list corrective.Corrections, f *found, release *schema.Release, before codegen.Corrections, r *correctionsReport) (codegen.Corrections, error) {
	var out codegen.Corrections
	for _, one := range list.List {
		var pins []string
		var fields [][]string
		for _, old := range before.List {
			if old.Name == one.Name && old.Pins != "" {
				pins, fields = strings.Split(old.Pins, " "), old.Fields
			}
		}
		met := f.by[one.Name]
		if met.events == 0 && len(pins) == 0 {
			return out, errs.NotFoundf("correction %s matches no event in any of the logs", one.Name).At("%s", r.Corrections).
				Hintf("look at what the logs hold, or leave it out").Then("headgate log stats")
		}
		g := codegen.Correction{Name: one.Name, Reason: one.Reason, Event: one.Match.Event, Skip: one.Skip, Rewrite: one.Rewrite}
		for _, p := range one.Replace {
			g.Replace = append(g.Replace, codegen.Replacement(p))
		}
		if one.Set != nil {
			text, err := json.Marshal(one.Set)
			if err != nil {
				return out, errs.Invalidf("correction %s sets what is no JSON", one.Name).Because(err)
			}
			g.Set = string(text)
		}
		report := correctionReport{Name: one.Name, Event: one.Match.Event, Events: met.events, Stores: met.stores, Pending: met.pending, Pinned: one.Match.IsPinned()}
		if report.Pinned {
			had := len(pins)
			for pin := range met.pins {
				pins = append(pins, pin)
			}
			slices.Sort(pins)
			pins = slices.Compact(pins)
			if g.Fields = fields; met.events > 0 {
				if def, ok := release.Event(g.Event); ok {
					g.Fields = codegen.FieldsOf(def, fields)
				}
			}
			g.Pins, report.Listed, report.New = strings.Join(pins, " "), len(pins), len(pins)-had
		} else {
			m := one.Match
			g.Release, g.From, g.To, g.Clients, g.Where = m.Release, int64(m.From), int64(m.To), m.Clients, m.Where
		}
		out.List, r.List = append(out.List, g), append(r.List, report)
	}
	keep := func(names, earlier []string) []string {
		all := slices.Concat(names, earlier)
		slices.Sort(all)
		return slices.DeleteFunc(slices.Compact(all), func(n string) bool { return !slices.Contains(list.Events(), n) })
	}
	out.Tolerated, out.Adopted = keep(f.tolerated, before.Tolerated), keep(f.adopted, before.Adopted)
	r.Tolerated, r.Adopted = append([]string{}, out.Tolerated...), append([]string{}, out.Adopted...)
	return out, nil
}

// edits are the lines of the app's own code that the corrections need.
func edits(s codegen.Schema) []string {
	state, events, names := "withHeadgate({ tables, materializers })", "events", "withHeadgate"
	if s.Corrections.NeedsEvents() {
		state = "withHeadgate({ tables, materializers }, events)"
	}
	if s.Corrections.WrapsEvents() {
		events, names = "events: withCorrectedEvents(events)", "withCorrectedEvents, withHeadgate"
	}
	return []string{
		"import { " + names + " } from '" + s.Module() + "'",
		"makeSchema({ " + events + ", state: State.SQLite.makeState(" + state + "), … })",
	}
}

func (a *app) writeCorrectionsText(w io.Writer, r correctionsReport) error {
	verb := "wrote"
	if !r.Written {
		verb = "would write"
	}
	fmt.Fprintf(w, "%s %s and %s\n\n", verb, codegen.ManifestPath, r.File)
	rows := [][]string{{"CORRECTION", "EVENT", "EVENTS", "STORES", "MEETS"}}
	for _, one := range r.List {
		meets := "these, and what arrives later"
		if one.Pinned {
			meets = fmt.Sprintf("the %s listed, %d of them new", counted(int64(one.Listed), "event"), one.New)
		}
		rows = append(rows, []string{one.Name, one.Event, fmt.Sprint(one.Events), fmt.Sprint(one.Stores), meets})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, one := range r.List {
		if one.Pinned && one.Pending > 0 {
			fmt.Fprintf(w, "\nNot sent by their clients yet, of those of %s: %s, listed by a number that may become another. Do this again once they are.", one.Name, counted(one.Pending, "event"))
		}
	}
	for _, n := range r.Tolerated {
		fmt.Fprintf(w, "\nSome %s do not decode: the release gets a schema that takes them.", n)
	}
	for _, n := range r.Adopted {
		fmt.Fprintf(w, "\nThe app does not know %s: the release gets a definition of it.", n)
	}
	switch {
	case r.Test.File != "":
		fmt.Fprintf(w, "\n%s %s, for vitest: %d of %d corrections are tested.", verb, r.Test.File, len(r.Test.Tested), len(r.List))
		for _, n := range r.Test.Without {
			fmt.Fprintf(w, "\nNo event could be made up for %s: it has no test.", n)
		}
		for _, n := range r.Test.Assumed {
			fmt.Fprintf(w, "\nNo event could be made up that meets the condition of %s: its test takes one as if it did.", n)
		}
	case r.Test.Skipped != "":
		fmt.Fprintf(w, "\nNo test of the corrections is written: %s.", r.Test.Skipped)
	}
	fmt.Fprintf(w, "\nThe epoch is %d (it was %d): every client that gets this code rebuilds its state from its own log, once.\n", r.Epoch, r.EpochBefore)
	fmt.Fprintln(w, "\nThe schema's module must say:")
	for _, e := range r.Edits {
		fmt.Fprintf(w, "    %s\n", e)
	}
	fmt.Fprintln(w)
	for _, n := range r.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}
