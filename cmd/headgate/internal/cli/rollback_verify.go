package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/livestore/schema"
)

func (a *app) rollbackVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "prove on copies that a release makes of the bad events what the corrections say",
		UsageText: "headgate rollback verify --release 1.3.1 --env prod\n" +
			"headgate rollback verify --release 1.3.1 --base 1.2.0 --bad 1.3.0 --env prod --store acme --rows 5",
		Description: `Replays the log of every store that holds events which headgate/corrections/SCHEMA.yaml matches, under the release with the
corrections, and compares each row with what the release without them makes of the log as it should have been: bad rows gone,
good ones untouched, what later events made of either right. It reads copies, and changes nothing. Where there are no
corrections, since the fix is in the code alone, --base names a release that did it right, and every store is compared.

--base is the release whose code the corrected one is, but for the corrections: the newest one before it unless it is given.
--bad is what clients run now, to say what changes for them: also the newest one before. The release must carry an epoch that
no other has, and the rebuild hooks, or clients that ran the bad code would keep what it made.

Ends with 8, and the rows, where something is not as declared; with 5 where some of several stores could not be read.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "release", Usage: "the `RELEASE` with the corrections; the newest unless it is given"},
			&cli.StringFlag{Name: "base", Usage: "the `RELEASE` that it is without them"},
			&cli.StringFlag{Name: "bad", Usage: "the `RELEASE` that clients run now"},
			&cli.StringFlag{Name: "env", Usage: "the environment `ENV`"},
			&cli.StringFlag{Name: "schema", Usage: "the store kind `SCHEMA`, where the app has several"},
			&cli.StringSliceFlag{Name: "store", Usage: "only the store `STORE`; may be given several times"},
			&cli.IntFlag{Name: "sample", Usage: "only `N` of the stores, evenly spread over the inventory"},
			&cli.IntFlag{Name: "rows", Value: 3, Usage: "show the first `N` rows that differ, per store and table"},
			&cli.BoolFlag{Name: "reveal", Usage: "show values: they are the users' data"},
			&cli.IntFlag{Name: "jobs", Usage: "work on `N` stores at a time; as many as there are processors by default"},
			formatFlag("markdown"),
		},
		Action: a.rollbackVerify,
	}
}

// A verification is what `rollback verify` reports.
type verification struct {
	Environment string                `json:"environment"`
	Schema      string                `json:"schema"`
	Release     string                `json:"release"`
	Base        string                `json:"base"`
	Bad         string                `json:"bad"`
	Corrections string                `json:"corrections,omitempty"` // the file; none where the fix is in the code alone
	Stores      int                   `json:"stores"`                // that were read
	Of          int                   `json:"of"`                    // stores of the environment, where it is a sample
	Hit         int                   `json:"hit"`                   // with events that the corrections match
	Events      int64                 `json:"events"`                // of those
	Right       int                   `json:"right"`                 // stores whose state is as declared
	Problems    []string              `json:"problems"`              // of the release itself
	Proofs      []proofReport         `json:"proofs"`                // of the stores with such events
	Failed      []operate.FailedStore `json:"failed"`
	NextActions []string              `json:"next_actions"`
}

// against says what the release is compared with.
func (r verification) against() string {
	if r.Corrections == "" {
		return r.Base
	}
	return r.Base + " on the logs as " + r.Corrections + " corrects them"
}

func (r verification) what() string {
	if r.Corrections == "" {
		return "compared"
	}
	return counted(r.Events, "bad event")
}

// A proofReport is one store's part.
type proofReport struct {
	Store livestore.StoreID `json:"store"`
	corrective.Outcome
}

// A verifier is one run of the command.
type verifier struct {
	app    *app
	cfg    *config.Config
	env    config.Environment
	schema config.Schema
	list   corrective.Corrections
	trial  corrective.Trial // without Dir
	stores []config.Store
	of     int
}

func (a *app) rollbackVerify(c *cli.Context) error {
	if err := aboveZero(c, "jobs", "sample"); err != nil {
		return err
	}
	in, err := a.incidentOf(c, false)
	if err != nil {
		return err
	}
	if in != nil {
		if err := in.releases(c); err != nil {
			return err
		}
	}
	v, err := a.verifier(c)
	if err != nil {
		return err
	}
	report, err := v.all(c)
	if err != nil {
		return err
	}
	if in != nil {
		if err := in.verified(report, c.IsSet("sample") || in.part); err != nil {
			return err
		}
		if in.Verified == report.Release {
			report.NextActions = []string{in.command("rollback run")}
		}
	}
	err = a.render(report, func(w io.Writer) error { return a.writeVerification(w, report) },
		rendering{"markdown", func(w io.Writer) error { return writeVerificationMarkdown(w, report) }})
	switch {
	case err != nil:
		return err
	case len(report.Problems) > 0 || report.Right < report.Hit:
		return errs.New(errs.Mismatch, "release %s does not do what the corrections say", report.Release).
			Hintf("ship nothing of it. Its code must be that of %s, but for the corrections, and these must say what is right. Put it right, and record it again: it never shipped", report.Base).
			Then("headgate rollback generate --env " + v.env.Name).Then("headgate release add " + report.Release + " --force" + onlySchema(v.cfg, v.schema))
	case len(report.Failed) > 0:
		return errs.New(errs.Partial, "%d of %s could not be read", len(report.Failed), count(len(v.stores), "store")).
			Hintf("what they hold is not proven").Then(a.line)
	case report.Hit == 0:
		return errs.NotFoundf("no store that was read holds an event that the corrections match").Hintf("nothing is proven").
			Then("headgate log stats --env " + v.env.Name)
	}
	return nil
}

// verifier reads what the command needs before any log is opened.
func (a *app) verifier(c *cli.Context) (*verifier, error) {
	cfg, s, env, err := a.chosen(c)
	if err != nil {
		return nil, err
	}
	v := &verifier{app: a, cfg: cfg, schema: s, env: env}
	if v.list, err = a.corrections(c.Context, cfg, v.schema); err != nil && !(errs.CodeOf(err) == errs.NotFound && c.IsSet("base")) {
		if errs.CodeOf(err) == errs.NotFound {
			errs.As(err).Hintf("where the fix is in the code alone, name the release that did it right: --base 1.2.0")
		}
		return nil, err
	}
	if v.stores, err = a.storesOf(c.Context, cfg, v.env, v.schema, c.StringSlice("store")); err != nil {
		return nil, err
	}
	v.of = len(v.stores)
	v.stores = spread(v.stores, c.Int("sample"))
	launcher, err := a.launcher()
	if err != nil {
		return nil, err
	}
	v.trial = corrective.Trial{
		Launcher: launcher, Options: replay.Options{Checkpoints: checkpointsOf(cfg), Now: a.now},
		Diff: state.Options{Rows: c.Int("rows"), Reveal: c.Bool("reveal")},
	}
	v.trial.Diff.HashKey, _ = hex.DecodeString(randomHex(32)) // always hex
	return v, v.targets(c.String("release"), c.String("base"), c.String("bad"))
}

// spread takes n of all, evenly; 0 is all of them.
func spread(all []config.Store, n int) []config.Store {
	if n == 0 || n >= len(all) {
		return all
	}
	out := make([]config.Store, n)
	for i := range out {
		out[i] = all[i*len(all)/n]
	}
	return out
}

func (v *verifier) targets(release, base, bad string) error {
	versions, err := releaseDir(v.cfg).Versions(v.schema.Name)
	if err != nil {
		return err
	}
	if len(versions) < 2 {
		return errs.NotFoundf("%s of %s is recorded: the corrected one and the one before it are needed", count(len(versions), "release"), v.schema.Name).
			Then("headgate release add VERSION")
	}
	if release == "" {
		release = versions[len(versions)-1]
	}
	before := latest(versions, release, true)
	if base == "" {
		base = before
	}
	if bad == "" {
		bad = cmp.Or(before, base)
	}
	if base == "" || base == release {
		return errs.Invalidf("no release before %s is recorded: nothing says what it is without the corrections", release).
			Hintf("--base names the release whose code it is").Then("headgate release list")
	}
	for _, one := range []struct {
		version string
		to      *replay.Target
	}{{release, &v.trial.Corrected}, {base, &v.trial.Base}} {
		if *one.to, err = targetOf(v.cfg, v.schema, one.version); err != nil {
			return err
		}
	}
	t, err := targetOf(v.cfg, v.schema, bad)
	v.trial.Bad = &t
	return err
}

func targetOf(cfg *config.Config, s config.Schema, version string) (replay.Target, error) {
	b, err := recorded(cfg, s, version)
	if err != nil {
		return replay.Target{}, err
	}
	return replay.Target{Release: b.Release, Program: programOf(b), Locate: b.Script.LocateTrace}, nil
}

// problems are what is wrong with the corrected release, whatever the logs hold.
func (v *verifier) problems() ([]string, error) {
	r := v.trial.Corrected.Release
	out := []string{}
	carried := map[string]bool{}
	for _, m := range r.Materializers {
		for _, name := range m.Corrections {
			carried[name] = true
		}
	}
	for _, one := range v.list.List {
		if !carried[one.Name] {
			out = append(out, "it does not carry the correction "+one.Name+": withHeadgate must be around its tables and materializers, and headgate rollback generate must have run before it was recorded")
		}
	}
	if !r.Migrations.AtomicRebuild {
		out = append(out, "it has no rebuild hooks: a client that is closed in the middle of the rebuild keeps half a state for good")
	}
	all, err := releaseDir(v.cfg).LoadAll(v.schema.Name)
	if err != nil {
		return nil, err
	}
	for _, other := range all {
		// A later release may share the hash of one that was right; what clients ran before may not.
		before := other.Version != r.Version && schema.CompareVersions(other.Version, v.trial.Bad.Release.Version) <= 0
		if other.StateHash == r.StateHash && (before || !sameCorrections(other, r)) {
			out = append(out, fmt.Sprintf("its state hash is that of %s: clients that ran it rebuild nothing, and keep every wrong row (CR103): headgate epoch bump", other.Version))
		}
	}
	return out, nil
}

// sameCorrections reports whether two releases are corrected alike.
func sameCorrections(a, b *schema.Release) bool {
	// Where one of the two does not say what its corrections make, their names must do.
	said := func(r *schema.Release) bool {
		return !slices.ContainsFunc(r.Materializers, func(m schema.Materializer) bool { return len(m.CorrectionDigests) != len(m.Corrections) })
	}
	contents := said(a) && said(b)
	list := func(r *schema.Release) (out []string) {
		for _, m := range r.Materializers {
			for i, name := range m.Corrections {
				if contents {
					name += " " + m.CorrectionDigests[i]
				}
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	return slices.Equal(list(a), list(b))
}

// all proves every store, jobs at a time. A store that fails does not end the others.
func (v *verifier) all(c *cli.Context) (verification, error) {
	r := verification{
		Environment: v.env.Name, Schema: v.schema.Name, Release: v.trial.Corrected.Release.Version, Base: v.trial.Base.Release.Version,
		Bad: v.trial.Bad.Release.Version, Of: v.of, Proofs: []proofReport{}, Failed: []operate.FailedStore{}, NextActions: []string{},
	}
	if len(v.list.List) > 0 {
		r.Corrections = correctionsPath(v.schema.Name)
	}
	var err error
	if r.Problems, err = v.problems(); err != nil {
		return r, err
	}
	proofs := make([]corrective.Outcome, len(v.stores))
	p := v.app.progress("proven stores", int64(len(v.stores)))
	defer p.Done()
	failed := inParallel(c.Context, workers(c.Int("jobs")), len(v.stores), func(i int) (err error) {
		defer p.Add(1)
		proofs[i], err = v.one(c.Context, v.stores[i])
		return err
	})
	if c.Context.Err() != nil {
		return r, context.Cause(c.Context)
	}
	for i, err := range failed {
		switch {
		case err != nil && (len(v.stores) == 1 || errs.CodeOf(err) == errs.Invalid):
			return r, err
		case err != nil:
			r.Failed = append(r.Failed, failureOf(v.stores[i].ID, err))
			continue
		}
		r.Stores++
		if proofs[i].Replayed {
			r.Hit++
			r.Events += proofs[i].Count()
			r.Proofs = append(r.Proofs, proofReport{v.stores[i].ID, proofs[i]})
			if proofs[i].Right() {
				r.Right++
			}
		}
	}
	slices.SortStableFunc(r.Proofs, func(a, b proofReport) int { return boolInt(a.Right()) - boolInt(b.Right()) })
	if r.Right == r.Hit && r.Hit > 0 && len(r.Problems) == 0 {
		r.NextActions = append(r.NextActions, "headgate plan --to "+r.Release+" --env "+r.Environment)
	}
	return r, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (v *verifier) one(ctx context.Context, st config.Store) (out corrective.Outcome, err error) {
	log, err := v.app.openStore(ctx, v.cfg, v.env, st)
	if err != nil {
		return out, atStore(err, v.cfg, st)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	trial := v.trial
	if trial.Dir, err = os.MkdirTemp("", "headgate-verify-"); err != nil { // 0700
		return out, errs.New(errs.Internal, "can't make a temporary directory").Because(err)
	}
	defer os.RemoveAll(trial.Dir) //nolint:errcheck // best effort; it is in the system's temporary directory
	trial.Options.Store = string(st.ID)
	if out, err = corrective.Prove(ctx, log, v.list, trial); err != nil {
		return out, atStore(err, v.cfg, st)
	}
	return out, nil
}

func (a *app) writeVerification(w io.Writer, r verification) error {
	fmt.Fprintf(w, "%s against %s, on %s\n", a.stdout.paint(strong, r.Release), r.against(), r.Environment)
	sample := ""
	if r.Of > r.Stores+len(r.Failed) {
		sample = fmt.Sprintf(", a sample of %d", r.Of)
	}
	fmt.Fprintf(w, "  %s in %d of %s%s; as declared in %d\n", r.what(), r.Hit, count(r.Stores, "store"), sample, r.Right)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "\n%s %s\n", a.stdout.paint(bad, "wrong"), p)
	}
	for _, p := range r.Proofs {
		if p.Right() {
			continue
		}
		if p.Poison != nil {
			fmt.Fprintf(w, "\n%s store %s: release %s fails on %s\n", a.stdout.paint(bad, "wrong"), p.Store, p.PoisonRelease, p.Poison)
			continue
		}
		fmt.Fprintf(w, "\n%s store %s (a: as %s makes it, b: as declared)\n", a.stdout.paint(bad, "wrong"), p.Store, r.Release)
		for _, t := range p.Wrong {
			a.writeRows(w, t)
		}
	}
	if rows := changeRows(r); len(rows) > 1 {
		fmt.Fprintf(w, "\nwhat changes for clients on %s, over all stores\n", r.Bad)
		if err := table(w, rows); err != nil {
			return err
		}
	}
	fmt.Fprint(w, a.failedText(r.Failed))
	if len(r.NextActions) > 0 {
		fmt.Fprintln(w)
	}
	for _, n := range r.NextActions {
		fmt.Fprintf(w, "next: %s\n", n)
	}
	return nil
}

// changeRows sums what the corrected release changes, by table.
func changeRows(r verification) [][]string {
	rows := [][]string{{"TABLE", "ROWS GONE", "ROWS NEW", "ROWS CHANGED", "COLUMNS"}}
	var all [][]state.TableDiff
	for _, p := range r.Proofs {
		all = append(all, p.Changed)
	}
	for _, s := range sumTables(all) {
		rows = append(rows, []string{s.Name, fmt.Sprint(s.OnlyA), fmt.Sprint(s.OnlyB), fmt.Sprint(s.Changed), columnsText(s.Columns)})
	}
	return rows
}

func writeVerificationMarkdown(w io.Writer, r verification) error {
	fmt.Fprintf(w, "### %s against %s, on %s\n\n%s in %d of %s; as declared in %d.\n\n",
		r.Release, r.against(), r.Environment, r.what(), r.Hit, count(r.Stores, "store"), r.Right)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "- **wrong** %s\n", p)
	}
	for _, p := range r.Proofs {
		if !p.Right() {
			var tables []string
			for _, t := range p.Wrong {
				tables = append(tables, t.Name)
			}
			fmt.Fprintf(w, "- **wrong** store %s: %s\n", p.Store, strings.Join(tables, ", "))
		}
	}
	if rows := changeRows(r); len(rows) > 1 {
		fmt.Fprintf(w, "\nWhat changes for clients on %s:\n\n", r.Bad)
		markdownTable(w, rows)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(w, "- **failed** %s: %s\n", f.Store, f.Error)
	}
	return nil
}
