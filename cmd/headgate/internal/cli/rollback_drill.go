package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/schema"
)

// drillEnv is the environment of a drill's copy of the app.
const drillEnv = "drill"

func (a *app) rollbackDrillCommand() *cli.Command {
	return &cli.Command{
		Name:      "drill",
		Usage:     "rehearse a rollback on copies, and record it",
		UsageText: "headgate rollback drill --env prod\nheadgate rollback drill --env prod --stores 5 --event v1.TodoArchived",
		Description: `Takes one kind of event that is in the logs for bad, and rehearses what an incident about it would be: the logs of a few stores
are exported, the app is copied beside it, and there headgate rollback assesses, plans a corrective release, generates it,
records it and verifies it. No log, no control database and no file of the app is touched; the copies are removed at the end.

What came of it is recorded below headgate/incidents/drills, with the time that each step took; the item V2 of headgate
checklist reads it, for a year. A drill that fails is recorded, too, and ends with 3: better now than at night.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV` whose logs are copied"},
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringFlag{Name: "event", Usage: "take the events named `NAME` for bad; the most frequent one by default"},
			&cli.IntFlag{Name: "stores", Value: 3, Usage: "copy the logs of `N` stores"},
			&cli.BoolFlag{Name: "keep", Usage: "keep the copies; they hold what users wrote"},
		},
		Action: a.rollbackDrill,
	}
}

// A drilling is one rehearsal under way.
type drilling struct {
	app    *app
	ctx    context.Context
	cfg    *config.Config
	schema config.Schema
	dir    string // the copy of the app
	event  string
	base   string // the release that is the code as it lies here
	fixed  string // the one with the corrections
	corrective.Drill
}

func (a *app) rollbackDrill(c *cli.Context) error {
	if err := aboveZero(c, "stores"); err != nil {
		return err
	}
	cfg, s, env, err := a.chosen(c)
	if err != nil {
		return err
	}
	stores, err := a.storesOf(c.Context, cfg, env, s, nil)
	if err != nil {
		return err
	}
	if name := c.String("event"); name != "" {
		if err := knownEvents(cfg, s, []string{name}); err != nil {
			return err
		}
	}
	d := &drilling{app: a, ctx: c.Context, cfg: cfg, schema: s, event: c.String("event")}
	d.Drill = corrective.Drill{Version: corrective.IncidentVersion, Environment: env.Name, Schema: s.Name, By: a.by("").Actor, At: a.now().UTC().Truncate(time.Second), Steps: []corrective.DrillStep{}}
	work := filepath.Join(cfg.Dir, ".headgate")
	if err := os.MkdirAll(work, 0o777); err != nil {
		return errs.New(errs.Internal, "can't make the directory for the copies").At("%s", a.rel(work)).Because(err)
	}
	if d.dir, err = os.MkdirTemp(work, "drill-"); err != nil { // 0700; below the app, so that its packages are found
		return errs.New(errs.Internal, "can't make the directory for the copies").At("%s", a.rel(work)).Because(err)
	}
	if !c.Bool("keep") {
		defer os.RemoveAll(d.dir) //nolint:errcheck // best effort; it is ignored by git, and the next look at the disk finds it
	}
	asked := a.interactive
	a.interactive = false // a rehearsal asks nobody
	failed := d.rehearse(env, draw(stores, c.Int("stores"), env.Name))
	a.interactive = asked
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	return d.end(failed)
}

// draw takes n stores by chance, the same ones each time.
func draw(stores []config.Store, n int, seed string) []config.Store {
	all := corrective.Stratum{}
	for _, s := range stores {
		all.Stores = append(all.Stores, s.ID)
	}
	drawn := corrective.Draw([]corrective.Stratum{all}, n, seed)
	drawn = drawn[:min(n, len(drawn))]
	return slices.DeleteFunc(slices.Clone(stores), func(s config.Store) bool { return !slices.Contains(drawn, s.ID) })
}

// rehearse does one step after the other, and returns the error of the one that failed.
func (d *drilling) rehearse(env config.Environment, stores []config.Store) error {
	nested := func(words ...string) func() (string, error) {
		return func() (string, error) { return "", d.app.nested(d.ctx, d.dir, io.Discard, words...) }
	}
	for _, step := range []struct {
		name string
		do   func() (string, error)
	}{
		{"copy", func() (string, error) { return d.copies(env, stores) }},
		{"open", func() (string, error) { return d.open() }},
		{corrective.WalkAssess, nested("rollback", "assess", "--env", drillEnv)},
		{corrective.WalkPlan, nested("rollback", "plan", "--env", drillEnv, "--remedy", string(corrective.CorrectiveRelease))},
		{corrective.WalkGenerate, nested("rollback", "generate", "--env", drillEnv)},
		{"record", func() (string, error) {
			return d.fixed, d.app.nested(d.ctx, d.dir, io.Discard, "release", "add", d.fixed, "--schema", d.schema.Name)
		}},
		{corrective.WalkVerify, func() (string, error) {
			return "", d.app.nested(d.ctx, d.dir, io.Discard, "rollback", "verify", "--env", drillEnv, "--release", d.fixed, "--base", d.base, "--bad", d.base)
		}},
	} {
		began := d.app.now()
		note, err := step.do()
		done := corrective.DrillStep{Step: step.name, Seconds: int(d.app.now().Sub(began).Round(time.Second) / time.Second), Note: note}
		if note == "" && err == nil {
			done.Note = d.note(step.name)
		}
		if err != nil {
			done.Note = "failed: " + oneLine(err.Error())
		}
		d.Steps = append(d.Steps, done)
		if err != nil {
			return err
		}
	}
	d.Passed = true
	return nil
}

// note is what the incident in the copy says about a step.
func (d *drilling) note(step string) string {
	cfg := *d.cfg
	cfg.Dir = d.dir
	if !slices.Contains(corrective.Walk(), step) {
		return ""
	}
	i, err := d.app.openIncident(&cfg, drillEnv)
	if i == nil || err != nil {
		return ""
	}
	return i.Step(step).Note
}

// copies copies the app and exports the logs.
func (d *drilling) copies(env config.Environment, stores []config.Store) (string, error) {
	if err := copyApp(d.cfg.Dir, d.dir); err != nil {
		return "", err
	}
	counts := map[string]int{}
	for _, s := range stores {
		d.Stores = append(d.Stores, string(s.ID))
		file := filepath.Join(d.dir, string(s.ID)+".drill.json")
		if err := d.app.nested(d.ctx, d.app.dir, io.Discard, "log", "export", "--env", env.Name, "--store", string(s.ID), "--pending", "--out", file); err != nil {
			return "", err
		}
		if err := countEvents(d.ctx, file, counts); err != nil {
			return "", err
		}
	}
	if err := d.configure(stores); err != nil {
		return "", err
	}
	return fmt.Sprintf("the app and the logs of %s", count(len(stores), "store")), d.choose(counts)
}

func countEvents(ctx context.Context, file string, counts map[string]int) (err error) {
	r, err := dumplog.Open(ctx, file, dumplog.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for e, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			continue
		} else if err != nil {
			return err
		}
		counts[e.Name]++
	}
	return nil
}

// choose takes the most frequent event that the code knows for the bad one, unless one was named.
func (d *drilling) choose(counts map[string]int) error {
	tree, err := d.app.evaluate(d.ctx, d.cfg, d.schema, d.cfg.Dir, workingTree)
	if err != nil {
		return err
	}
	if d.event == "" {
		for name, n := range counts {
			def, known := tree.Release.Event(name)
			if _, materialized := tree.Release.Materializer(name); !materialized || known && def.Derived { // a client document's can't be corrected
				known = false
			}
			if best := counts[d.event]; known && (n > best || n == best && name < d.event) {
				d.event = name
			}
		}
	}
	if counts[d.event] == 0 {
		return errs.NotFoundf("the logs that were copied hold no event to take for bad").
			Hintf("copy more of them with --stores, or name one that they have with --event").Then("headgate log stats --env " + d.Environment)
	}
	d.Event, d.Events = d.event, counts[d.event]
	versions, err := releaseDir(d.cfg).Versions(d.schema.Name)
	if err != nil {
		return err
	}
	if d.base, err = recordedAs(d.cfg, d.schema, tree); err != nil {
		return err
	}
	if d.base == "" || d.base != latest(versions, "", false) { // corrections go onto the newest
		d.base = following(versions)
		if err := d.app.nested(d.ctx, d.dir, io.Discard, "release", "add", d.base, "--schema", d.schema.Name); err != nil {
			return err
		}
		versions = append(versions, d.base)
	}
	d.fixed = following(versions)
	if schema.CompareVersions(d.fixed, d.base) <= 0 {
		return errs.Invalidf("%s is no version that something can come after", d.base)
	}
	return nil
}

// configure has the copy know nothing but the logs that were copied.
func (d *drilling) configure(stores []config.Store) error {
	path := filepath.Join(d.dir, filepath.Base(d.cfg.Path))
	data, err := os.ReadFile(d.cfg.Path)
	if err != nil {
		return err
	}
	text, err := config.WithOneEnvironment(data, drillEnv, stores, func(s config.Store) string { return "dump:" + string(s.ID) + ".drill.json" })
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// open opens the incident.
func (d *drilling) open() (string, error) {
	err := d.app.nested(d.ctx, d.dir, io.Discard, "rollback", "--event", d.event, "--schema", d.schema.Name, "--env", drillEnv, "--reason", "a drill")
	return "a made-up incident about " + d.event, err
}

// end records the drill.
func (d *drilling) end(failed error) error {
	a := d.app
	data, err := d.YAML()
	if err != nil {
		return err
	}
	dir := filepath.Join(d.cfg.Dir, filepath.FromSlash(incidentsPath), drillsFolder)
	name := d.At.Format("2006-01-02T150405") + "-" + d.schema.Name + ".yaml"
	if err := writeNew(filepath.Join(dir, name), string(data)); err != nil {
		return err
	}
	file := a.rel(filepath.Join(dir, name))
	next := []string{"headgate checklist --env " + d.Environment}
	if failed != nil {
		next = a.failureFrom(failed).NextActions
	}
	err = a.render(struct {
		corrective.Drill
		File        string   `json:"file"`
		NextActions []string `json:"next_actions"`
	}{d.Drill, file, next}, func(w io.Writer) error {
		rows := [][]string{{"STEP", "SECONDS", ""}}
		for _, s := range d.Steps {
			rows = append(rows, []string{s.Step, fmt.Sprint(s.Seconds), s.Note})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "\nrecorded in %s\n\nnext: %s\n", file, next[0])
		return err
	})
	if err != nil || failed == nil {
		return err
	}
	e := errs.New(errs.Findings, "the drill failed at %s", d.Steps[len(d.Steps)-1].Step).Because(failed).Hintf("at night it would have, too")
	if cause := errs.As(failed); cause != nil && cause.Hint != "" {
		e.Hint = cause.Hint
	}
	for _, n := range next {
		e.Then(n)
	}
	return e
}

// copyApp copies a directory without what is not the app's own; its packages are linked.
func copyApp(from, to string) error {
	return filepath.WalkDir(from, func(path string, f os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case f.IsDir() && (f.Name() == ".git" || f.Name() == ".headgate" || filepath.ToSlash(rel) == incidentsPath):
			return filepath.SkipDir
		case f.Name() == "node_modules":
			if err := os.Symlink(path, target); err != nil || !f.IsDir() {
				return err
			}
			return filepath.SkipDir
		case f.IsDir():
			return os.MkdirAll(target, 0o700)
		case f.Type()&os.ModeSymlink != 0:
			link, err := filepath.EvalSymlinks(path)
			if err != nil {
				return nil // it leads nowhere in the app, too
			}
			return os.Symlink(link, target)
		case !f.Type().IsRegular():
			return nil
		}
		return copyFile(path, target)
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// drillOf says when a rollback of a schema was last rehearsed, empty for never or too long ago.
func (a *app) drillOf(cfg *config.Config, schemaName string) (string, error) {
	dir := filepath.Join(cfg.Dir, filepath.FromSlash(incidentsPath), drillsFolder)
	found, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", errs.New(errs.Internal, "can't list the drills").At("%s", a.rel(dir)).Because(err).Hintf("make the directory readable")
	}
	for _, f := range slices.Backward(found) {
		if f.IsDir() || !strings.HasSuffix(f.Name(), ".yaml") {
			continue
		}
		path := filepath.Join(dir, f.Name())
		data, err := os.ReadFile(path)
		if err != nil {
			return "", errs.New(errs.Internal, "can't read the drill").At("%s", a.rel(path)).Because(err).Hintf("make it readable")
		}
		d, err := corrective.ParseDrill(a.rel(path), data)
		if err != nil {
			return "", err
		}
		if d.Schema == schemaName && d.Passed && a.now().Sub(d.At) < corrective.DrillLasts {
			return fmt.Sprintf("rehearsed at %s by %s on copies of %s: %s", d.At.Format(time.DateOnly), d.By, count(len(d.Stores), "store"), a.rel(path)), nil
		}
	}
	return "", nil
}
