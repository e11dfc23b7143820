package cli

import (
	"context"
	"encoding/hex"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/migrations"
)

func (a *app) migrationPreviewCommand() *cli.Command {
	return &cli.Command{
		Name:      "preview",
		Usage:     "show which events a migration would commit, and what they do to each store",
		ArgsUsage: "[NAME]",
		UsageText: "headgate migration preview --env prod\n" +
			"headgate migration preview backfill_priority --env prod --store acme --samples 3\n" +
			"headgate migration preview --env prod --all --format markdown",
		Description: `Reads each store's log, makes its state, runs the migration on it, and commits nothing: the events, batches and bytes,
the rows that change, the asserts afterwards, what the releases alive do with the events, and how long it takes at the
set pace. The states are compared row by row; values show with --reveal only. Then the migration is asked once more: what
a second run would commit. Several migrations are previewed in their order, each on the state that those before it leave;
with one that is named come those that it comes after, where they are not done.

A store that is not what the control database knows of it (it vanished, is on another backend, or has got shorter) is
refused. Where events are encrypted end to end the backend's side can't read them: only the clients can run a migration
there (headgate generate --client-migration).

Of many stores a sample is previewed, spread over their sizes, and the sum is an estimate; --all takes every store.
Ends with 8 where an assert would not hold, 5 where some of several stores failed.`,
		Flags: migrationFlags(
			&cli.BoolFlag{Name: "all", Usage: "preview every store, however many there are"},
			&cli.IntFlag{Name: "samples", Usage: "show the first `N` changed rows of each table"},
			&cli.BoolFlag{Name: "reveal", Usage: "show values, which may be personal data"},
			formatFlag("markdown"),
		),
		Action: a.migrationPreview,
	}
}

// A preview is what `migration preview` reports. What the stores report is added up as it comes, and listed from piles.
type preview struct {
	Environment string                `json:"-"`
	Migrations  []*previewOf          `json:"-"`
	Failed      []operate.FailedStore `json:"failed"`
	Sampled     int                   `json:"sampled"`  // stores that were previewed
	Stores      int                   `json:"stores"`   // that the migrations are for
	Markers     int64                 `json:"markers"`  // one more event each
	Events      int64                 `json:"events"`   // that would be committed, in the previewed stores
	Estimate    int64                 `json:"estimate"` // and in all
	Again       *secondRun            `json:"again"`    // null where that could not be asked of every store
	Time        fleetTime             `json:"time"`
	Rebuild     rebuildCost           `json:"rebuild"`
	Pass        passCost              `json:"pass"`                // of the preview itself
	PassOfAll   *passCost             `json:"passOfAll,omitempty"` // of --all, where a sample was previewed: an estimate
	NextActions []string              `json:"next_actions"`

	receiving int                         // stores in which something would be committed
	due       map[livestore.StoreID]int64 // in the stores of a run: events
	piles     []*pile[migrations.Report]  // of all migrations
}

// A previewOf is one migration's part.
type previewOf struct {
	Migration string              `json:"migration"`
	Checksum  string              `json:"checksum"`
	Release   string              `json:"release"`
	Readers   []migrations.Reader `json:"readers"`
	Assumed   bool                `json:"readersAssumed,omitempty"` // nobody said which releases are alive
	First     bool                `json:"comesFirst,omitempty"`     // it was not asked for: it comes before one that was

	stores  *pile[migrations.Report]
	asserts []string // their labels, as the migration has them
	sum     previewSum
}

func (p preview) writeJSON(j *jsonWriter) {
	j.member("environment", p.Environment)
	writeList(j, "migrations", control.Values(p.Migrations), func(m *previewOf) {
		j.object(func() {
			j.members(m)
			writeValues(j, "stores", m.stores.all())
		})
	})
	j.members(p)
}

func (p preview) close() {
	for _, k := range p.piles {
		k.close()
	}
}

func (a *app) migrationPreview(c *cli.Context) error {
	r, err := a.runner(c)
	if err != nil {
		return err
	}
	if err := r.withEarlier(c.Context); err != nil {
		return err
	}
	all := len(r.stores)
	if !c.Bool("all") && len(c.StringSlice("store")) == 0 {
		if err := r.sample(c.Context); err != nil {
			return err
		}
	}
	p, failed := r.preview(c.Context, state.Options{Rows: c.Int("samples"), Reveal: c.Bool("reveal")}, previewing{inOrder: true})
	defer p.close()
	if c.Context.Err() != nil {
		return context.Cause(c.Context)
	}
	p.Stores = all
	p.Estimate = p.Events
	if p.Sampled > 0 {
		p.Estimate = p.Events * int64(all) / int64(p.Sampled)
	}
	if len(r.stores) == 1 && failed[0] != nil && errs.CodeOf(failed[0]) != errs.Mismatch {
		return failed[0]
	}
	again := "headgate migration preview" + r.named(c)
	if len(p.Failed) == 0 {
		p.NextActions = append(r.firstUp(p), "headgate migration up"+r.named(c))
	}
	err = a.render(p, func(w io.Writer) error { return r.writePreview(w, p) },
		rendering{"markdown", func(w io.Writer) error { return r.writePreviewMarkdown(w, p) }})
	if err != nil {
		return err
	}
	return r.outcome(failed, again)
}

// named repeats what a command was given, for the next one.
func (r *runner) named(c *cli.Context) string {
	s := ""
	if c.Args().Present() && c.Command.Name != "apply" {
		s += " " + c.Args().First()
	} else if len(r.plans) == 1 && (c.Command.Name == "apply" || c.String("plan") != "") {
		s += " " + r.plans[0].Name
	}
	s += " --env " + r.env.Name
	for _, id := range c.StringSlice("store") {
		s += " --store " + id
	}
	return s
}

const (
	sampleAbove = 50 // stores; fewer are all previewed
	sampleSize  = 25
)

// sample leaves every n-th store by size, the largest among them.
func (r *runner) sample(ctx context.Context) error {
	if len(r.stores) <= sampleAbove {
		return nil
	}
	r.sizes(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.of = slices.Clone(r.stores)
	slices.SortStableFunc(r.of, func(a, b config.Store) int { return int(r.heads[b.ID] - r.heads[a.ID]) })
	r.stores = nil
	for i := range sampleSize {
		r.stores = append(r.stores, r.of[i*len(r.of)/sampleSize]) // one that could not be asked fails again, and is reported
	}
	return nil
}

// withEarlier adds the migrations that come before those that were asked for, each before what it comes before.
func (r *runner) withEarlier(ctx context.Context) error {
	for i := 0; i < len(r.plans); i++ {
		for _, d := range r.plans[i].before {
			if slices.ContainsFunc(r.plans, func(p migrationPlan) bool { return p.Name == d.Name }) {
				continue
			}
			p, err := r.plan(ctx, d.Definition)
			if err != nil {
				return err
			}
			p.first = true
			r.plans = append(r.plans, p)
		}
	}
	slices.SortStableFunc(r.plans, func(a, b migrationPlan) int { return int(a.Number - b.Number) })
	return nil
}

// firstUp are the commands that must go before the one that was previewed.
func (r *runner) firstUp(p preview) (commands []string) {
	commands = []string{}
	for _, m := range p.Migrations {
		if m.First {
			commands = append(commands, "headgate migration up "+m.Migration+" --env "+r.env.Name)
		}
	}
	return commands
}

// A previewing says how stores are previewed.
type previewing struct {
	// inOrder previews each migration on what those before it leave; else on the store as it is, where one whose predecessor
	// is not done is refused.
	inOrder bool
	// forRun leaves stores that failed out of all sums: they get nothing.
	forRun bool
}

// preview runs the migrations on copies of the stores' states. A migration whose assert does not hold afterwards has a
// report and an error. The caller closes the preview.
func (r *runner) preview(ctx context.Context, o state.Options, how previewing) (preview, []error) {
	var err error
	if o.HashKey, err = hex.DecodeString(randomHex(32)); err != nil {
		return preview{}, []error{err}
	}
	start := r.app.now()
	at := r.places()
	t := r.newTally()
	work := func(ctx context.Context, task storeTask) error {
		var reports []migrations.Report
		err := r.withLog(ctx, task.store, func(log eventlog.Reader) error {
			if how.inOrder {
				log = migrations.NewTrial(log)
			}
			for _, p := range task.plans {
				if how.inOrder {
					p.before = nil
				}
				err := r.with(ctx, task, p, log, func(ctx context.Context, j migrations.Job) error {
					report, err := j.Preview(ctx, o)
					if err == nil || errs.CodeOf(err) == errs.Mismatch {
						reports = append(reports, report)
					}
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		t.add(at[task.store.ID], task.store, reports, err == nil || !how.forRun)
		return err
	}
	pilot, pilotErr := r.pilot(ctx, work, t)
	failed := r.each(ctx, "previewed stores", func(ctx context.Context, task storeTask) error {
		if at[task.store.ID] == pilot {
			return pilotErr
		}
		return work(ctx, task)
	})
	out := t.preview(r, r.failures(failed))
	out.Pass = t.pass.cost(len(r.stores), r.app.now().Sub(start))
	out.PassOfAll = r.passOfAll(out.Pass)
	out.Time = r.fleetTime(out)
	return out, failed
}

func (r *runner) places() map[livestore.StoreID]int {
	at := map[livestore.StoreID]int{}
	for i, s := range r.stores {
		at[s.ID] = i
	}
	return at
}
