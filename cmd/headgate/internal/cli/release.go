package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/schema"
)

func (a *app) releaseCommand() *cli.Command {
	schemaFlag := &cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`; all of them when it is left out"}
	return &cli.Command{
		Name:     "release",
		Category: plumbing,
		Usage:    "record and compare releases of the app's schema",
		UsageText: "headgate release add 1.4.0\n" +
			"headgate release diff 1.3.0 1.4.0",
		Description: `A release is the app's schema at one version: events, tables, materializers and queries as LiveStore sees them,
read by evaluating the app's own TypeScript. It is recorded in headgate/releases and belongs into version control:
the .json file is made to be reviewed, the compressed script beside it lets headgate replay logs with that release
for as long as clients run it. headgate.sum tells when a recorded file was edited.`,
		Subcommands: []*cli.Command{
			{
				Name:      "add",
				Usage:     "record the app's schema as a release",
				ArgsUsage: "RELEASE",
				UsageText: "headgate release add 1.4.0\n" +
					"headgate release add 1.4.0-beta.1 --schema main\n" +
					"headgate release add 1.1.0 --git-ref v1.1.0",
				Description: `Evaluates the schema as it lies in the working tree, or as it was at a commit: --git-ref checks the commit out
beside the working tree, installs the packages of its own lock file, and removes the checkout afterwards.
A version that is recorded with other content is not overwritten without --force: what shipped does not change.`,
				Flags: []cli.Flag{
					schemaFlag,
					&cli.StringFlag{Name: "git-ref", Usage: "build the release from the commit `REF` instead of the working tree"},
					&cli.BoolFlag{Name: "force", Usage: "replace a record with other content: only for a version that never shipped"},
					&cli.BoolFlag{Name: "dry-run", Usage: "show what would be recorded, write nothing"},
				},
				Action: a.releaseAdd,
			},
			{
				Name:      "list",
				Usage:     "list the recorded releases",
				UsageText: "headgate release list\nheadgate release list --schema main --format json",
				Flags:     []cli.Flag{schemaFlag},
				Action:    a.releaseList,
			},
			{
				Name:      "show",
				Usage:     "show one recorded release",
				ArgsUsage: "RELEASE",
				UsageText: "headgate release show 1.4.0\nheadgate release show 1.4.0 --format json",
				Flags:     []cli.Flag{schemaFlag},
				Action:    a.releaseShow,
			},
			a.releaseDiffCommand(),
		},
	}
}

type addedRelease struct {
	Outcome  bundle.Outcome `json:"outcome"` // added, unchanged, replaced; would-add… with --dry-run
	DryRun   bool           `json:"dryRun,omitempty"`
	Path     string         `json:"path"`
	Digest   string         `json:"digest"`
	Previous string         `json:"previous,omitempty"` // the recorded release before this one
	Hash     string         `json:"stateHash"`
	HashWas  string         `json:"previousStateHash,omitempty"`
	Release  releaseSummary `json:"release"`
	Warnings []string       `json:"warnings,omitempty"`
}

func (a *app) releaseAdd(c *cli.Context) error {
	version := c.Args().First()
	if _, err := schema.ParseVersion(version); err != nil {
		return err
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	dir := cfg.Dir
	if ref := c.String("git-ref"); ref != "" {
		tree, err := a.checkout(c.Context, cfg.Dir, ref)
		if err != nil {
			return err
		}
		defer tree.remove()
		dir = tree.dir
	}
	var out []addedRelease
	for _, s := range schemas {
		b, err := a.evaluate(c.Context, cfg, s, dir, version)
		if err != nil {
			return err
		}
		one, err := a.record(cfg, s, b, c.Bool("force"), c.Bool("dry-run"))
		if err != nil {
			return err
		}
		out = append(out, one)
	}
	return a.render(map[string]any{"releases": out}, func(w io.Writer) error {
		for _, r := range out {
			a.writeAdded(w, r)
		}
		fmt.Fprintf(w, "\nnext: headgate check\n")
		return nil
	})
}

func (a *app) record(cfg *config.Config, s config.Schema, b build, force, dryRun bool) (addedRelease, error) {
	d := releaseDir(cfg)
	out := addedRelease{Path: filepath.Join(cfg.Releases, s.Name, b.Version+".json"), DryRun: dryRun, Hash: b.StateHash, Release: summarize(b.Release)}
	versions, err := d.Versions(s.Name)
	if err != nil {
		return out, err
	}
	for _, v := range versions {
		if schema.CompareVersions(v, b.Version) < 0 {
			out.Previous = v
		}
	}
	if out.Previous != "" {
		prev, err := d.Load(s.Name, out.Previous)
		if err != nil {
			return out, err
		}
		out.HashWas = prev.StateHash
	}
	if !b.LiveStore.Verified {
		out.Warnings = append(out.Warnings, fmt.Sprintf("LiveStore %s is not verified: headgate assumes the worst of it", b.LiveStore.Version))
	}
	if twin, err := recordedAs(cfg, s, b); err != nil {
		return out, err
	} else if twin != "" && twin != b.Version {
		out.Warnings = append(out.Warnings, fmt.Sprintf("this is the code that is recorded as %s: is it the right commit?", twin))
	}
	for _, v := range b.Script.OtherEffects {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the app imports another copy of effect (%s) than LiveStore does (%s): make them one, with an override in package.json", v, b.LiveStore.Effect))
	}
	if dryRun {
		out.Outcome = bundle.Added
	} else if out.Outcome, err = d.Add(b.Release, b.Script, force); err != nil {
		return out, err
	}
	out.Digest, err = b.Digest()
	return out, err
}

func (a *app) writeAdded(w io.Writer, r addedRelease) {
	s := r.Release
	verb := map[bundle.Outcome]string{bundle.Added: "recorded", bundle.Unchanged: "already recorded, unchanged:", bundle.Replaced: "replaced"}[r.Outcome]
	if r.DryRun {
		verb = "would record"
	}
	fmt.Fprintf(w, "%s release %s of schema %s in %s\n", verb, a.stdout.paint(strong, s.Version), s.Schema, a.rel(r.Path))
	hash := "state hash " + r.Hash
	switch {
	case r.Previous == "":
	case r.HashWas == r.Hash:
		hash += fmt.Sprintf(", the same as %s: clients keep their state", r.Previous)
	default:
		hash += fmt.Sprintf(", other than %s: every client rebuilds its state", r.Previous)
	}
	fmt.Fprintf(w, "  LiveStore %s, Effect %s; %s\n", s.LiveStore, s.Effect, hash)
	fmt.Fprintf(w, "  %s, %s, %s\n", count(s.Events, "event"), count(s.Tables, "table"), count(s.Queries, "declared query"))
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "  %s %s\n", a.stdout.paint(warn, "warning:"), warning)
	}
}

// releaseSummary is a release in a few words.
type releaseSummary struct {
	Schema     string `json:"schema"`
	Version    string `json:"version"`
	LiveStore  string `json:"liveStore"`
	Effect     string `json:"effect"`
	StateHash  string `json:"stateHash"`
	Events     int    `json:"events"`
	Tables     int    `json:"tables"`
	Queries    int    `json:"queries"`
	Unknown    string `json:"unknownEventHandling"`
	Rebuild    string `json:"rebuild"` // atomic, interruptible or manual
	Digest     string `json:"digest"`
	Migrations string `json:"-"`
}

func summarize(r *schema.Release) releaseSummary {
	rebuild := "interruptible"
	switch {
	case r.Migrations.Strategy != "auto":
		rebuild = r.Migrations.Strategy
	case r.Migrations.AtomicRebuild:
		rebuild = "atomic"
	}
	digest, err := r.Digest()
	if err != nil {
		digest = ""
	}
	return releaseSummary{
		Schema: r.Schema, Version: r.Version, LiveStore: r.LiveStore.Version, Effect: r.LiveStore.Effect, StateHash: r.StateHash,
		Events: len(r.Events), Tables: len(r.Tables), Queries: len(r.Queries), Unknown: r.UnknownEventHandling, Rebuild: rebuild, Digest: digest,
	}
}

func (a *app) releaseList(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	list := []releaseSummary{}
	for _, s := range schemas {
		all, err := releaseDir(cfg).LoadAll(s.Name)
		if err != nil {
			return err
		}
		for _, r := range all {
			list = append(list, summarize(r))
		}
	}
	return a.render(map[string]any{"releases": list}, func(w io.Writer) error {
		if len(list) == 0 {
			fmt.Fprintf(w, "no release is recorded\n\nnext: headgate release add 1.0.0\n")
			return nil
		}
		rows := [][]string{{"SCHEMA", "RELEASE", "STATE HASH", "EVENTS", "TABLES", "LIVESTORE", "UNKNOWN EVENTS", "REBUILD"}}
		last := map[string]string{}
		for _, r := range list {
			hash := r.StateHash
			if prev, ok := last[r.Schema]; ok && prev == r.StateHash {
				hash += " (same)"
			}
			last[r.Schema] = r.StateHash
			rows = append(rows, []string{r.Schema, r.Version, hash, fmt.Sprint(r.Events), fmt.Sprint(r.Tables), r.LiveStore, r.Unknown, r.Rebuild})
		}
		return table(w, rows)
	})
}

func (a *app) releaseShow(c *cli.Context) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	schemas, err := schemasNamed(cfg, c.String("schema"))
	if err != nil {
		return err
	}
	var found []*schema.Release
	for _, s := range schemas {
		r, err := releaseDir(cfg).Load(s.Name, c.Args().First())
		if errs.CodeOf(err) == errs.NotFound && len(schemas) > 1 {
			continue // not every schema changes with every release of the app
		}
		if err != nil {
			return err
		}
		found = append(found, r)
	}
	if len(found) == 0 {
		_, err := releaseDir(cfg).Load(schemas[0].Name, c.Args().First())
		return err
	}
	var value any = found
	if len(found) == 1 {
		value = found[0]
	}
	return a.render(value, func(w io.Writer) error {
		for i, r := range found {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if err := a.writeRelease(w, r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *app) writeRelease(w io.Writer, r *schema.Release) error {
	s := summarize(r)
	fmt.Fprintf(w, "%s %s of schema %s\n", r.App, a.stdout.paint(strong, nameOf(r)), r.Schema)
	fmt.Fprintf(w, "  LiveStore %s, Effect %s, storage format %d\n", s.LiveStore, s.Effect, r.LiveStore.StorageFormat)
	fmt.Fprintf(w, "  state hash %s, migrations %s, rebuild %s\n", r.StateHash, r.Migrations.Strategy, s.Rebuild)
	explicit := ""
	if !r.UnknownEventHandlingExplicit {
		explicit = " (LiveStore's default)"
	}
	fmt.Fprintf(w, "  unknown events: %s%s\n  digest %s\n\n", r.UnknownEventHandling, explicit, s.Digest)
	rows := [][]string{{"EVENT", "SCOPE", "MATERIALIZER WRITES"}}
	for _, e := range r.Events {
		scope := "synced"
		if e.ClientOnly {
			scope = "clientOnly"
		}
		if e.Derived {
			scope += ", derived"
		}
		if e.Deprecated != "" {
			scope += ", deprecated"
		}
		rows = append(rows, []string{e.Name, scope, writes(r, e.Name)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	fmt.Fprintln(w)
	rows = [][]string{{"TABLE", "COLUMNS", "INDEXES"}}
	for _, t := range r.Tables {
		var cols, idx []string
		for _, col := range t.Columns {
			cols = append(cols, col.Name)
		}
		for _, i := range t.Indexes {
			idx = append(idx, i.Name)
		}
		name := t.Name
		if t.ClientDocument {
			name += " (client document)"
		}
		rows = append(rows, []string{name, strings.Join(cols, " "), strings.Join(idx, " ")})
	}
	return table(w, rows)
}

// writes says which tables an event's materializer writes.
func writes(r *schema.Release, event string) string {
	m, ok := r.Materializer(event)
	if !ok {
		return "no materializer"
	}
	var tables []string
	seen := map[string]bool{}
	for _, op := range m.Operations {
		for _, t := range op.Tables {
			if !seen[t] {
				seen[t] = true
				tables = append(tables, t)
			}
		}
	}
	out := strings.Join(tables, " ")
	if !m.Complete {
		out = strings.TrimSpace(out + " (not all seen)")
	}
	return out
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if stem, ok := strings.CutSuffix(what, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// abs is a path that was typed here.
func (a *app) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.dir, path)
}

// rel is a path as the user would type it here.
func (a *app) rel(path string) string {
	if r, err := filepath.Rel(a.dir, path); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return path
}
