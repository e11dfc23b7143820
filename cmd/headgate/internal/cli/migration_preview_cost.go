package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/codegen"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A secondRun is what the migrations would find if they ran again after their own events, over the previewed stores.
type secondRun struct {
	Events int64 `json:"events"` // that would be committed, the keys of the first run taken as committed
	Rows   int64 `json:"rows"`   // that are still given, whatever the keys
}

// text goes on after what would be committed.
func (a *secondRun) text() string {
	switch {
	case a == nil:
		return ""
	case a.Events > 0:
		return "; a second run would commit " + counted(a.Events, "event") + " more"
	case a.Rows > 0:
		return "; run again, it would commit nothing: the queries still give " + counted(a.Rows, "row") + ", and the keys keep them from being committed again"
	}
	return "; run again, it would commit nothing"
}

// held says, where nothing is due, that the queries still give rows.
func (a *secondRun) held() string {
	if a == nil || a.Rows == 0 {
		return ""
	}
	return "; the queries still give " + counted(a.Rows, "row") + ", whose keys are committed"
}

// A fleetTime is how long the pushes take at the set pace, while nobody else writes; stores that are idle need none.
type fleetTime struct {
	Pace   time.Duration `json:"paceNs"`
	Stores int           `json:"storesAtATime"`
	Waves  int           `json:"waves"`
	Fleet  time.Duration `json:"fleetNs"` // all stores, one migration and one wave after the other
}

// fleetTime adds up the waves of each migration. Of a sample, each store stands for its share of all.
func (r *runner) fleetTime(p preview) fleetTime {
	out := fleetTime{Pace: r.env.Pace, Stores: r.jobs}
	if r.pace != nil {
		out.Pace = *r.pace
	}
	all, sampled := map[int]int{}, map[int]int{}
	for _, s := range r.stores {
		sampled[r.env.WaveOf(s)]++
	}
	of := r.of
	if of == nil {
		of = r.stores
	}
	for _, s := range of {
		all[r.env.WaveOf(s)]++
	}
	out.Waves = len(all)
	for _, m := range p.Migrations {
		for w, t := range m.sum.waves {
			workers := r.jobs
			if w < len(r.env.Waves) && r.env.Waves[w].Parallel > 0 {
				workers = min(workers, r.env.Waves[w].Parallel)
			}
			out.Fleet += max(t.longest, t.sum*time.Duration(all[w])/time.Duration(sampled[w]*workers))
		}
	}
	return out
}

func (t fleetTime) text() string {
	took := "under a second"
	if t.Fleet >= time.Second {
		took = "about " + t.Fleet.Round(time.Second).String()
	}
	waves := ""
	if t.Waves > 1 {
		waves = fmt.Sprintf(" in %d waves", t.Waves)
	}
	return fmt.Sprintf("%s for the fleet at the pace of %s, %s at a time%s; longer while others write", took, t.Pace, count(t.Stores, "store"), waves)
}

// A rebuildCost says what clients pay when they next start.
type rebuildCost struct {
	Needed bool   `json:"needed"`
	Why    string `json:"why"`
	// MarkerTable is what a marker's table costs where it is new to the app: that is a change of its schema.
	MarkerTable string `json:"markerTable"`
}

func noRebuild() rebuildCost {
	return rebuildCost{
		Why:         "a migration adds events and leaves the state hash as it is",
		MarkerTable: codegen.RebuildCost,
	}
}

func (c rebuildCost) text() string {
	return "no client rebuilds for it: " + c.Why + " (a marker's table that is new moves it: headgate generate --marker says the cost)"
}

// A passCost is what previewing itself costs.
type passCost struct {
	Stores    int     `json:"stores"`
	Events    int64   `json:"events"`          // read and replayed, not taken from checkpoints
	Rate      float64 `json:"eventsPerSecond"` // of one store, as measured; 0 where all came from checkpoints
	Seconds   float64 `json:"seconds"`
	DiskBytes int64   `json:"diskBytes"` // at a time: the states, before and after, of the stores that are worked on
	ReadBytes int64   `json:"readBytes"` // arguments of the events
	Rows      int64   `json:"rows"`      // that the migrations' queries returned
}

// copies is how often a state lies on the disk while it is previewed: itself, as it was, and as it is afterwards.
const copies = 3

// passOfAll estimates the pass over all stores from the one over a sample, by the sizes of their logs.
func (r *runner) passOfAll(sample passCost) *passCost {
	if r.of == nil {
		return nil
	}
	share := 1.0
	if chosen := r.total(r.stores); chosen > 0 {
		share = float64(r.total(r.of)) / float64(chosen)
	}
	scale := func(n int64) int64 { return int64(float64(n) * share) }
	return &passCost{
		Stores: len(r.of), Events: scale(sample.Events), Rate: sample.Rate, Seconds: sample.Seconds * share,
		DiskBytes: sample.DiskBytes, ReadBytes: scale(sample.ReadBytes), Rows: scale(sample.Rows),
	}
}

func (c passCost) text(verb string) string {
	rate := ""
	if c.Rate > 0 {
		rate = fmt.Sprintf(" at %.0f a second and store", c.Rate)
	}
	return fmt.Sprintf("%s %s (%s) of %s in about %s%s, with %s of disk at a time",
		verb, counted(c.Events, "event"), bytesText(c.ReadBytes), count(c.Stores, "store"), seconds(c.Seconds), rate, bytesText(c.DiskBytes))
}

func seconds(s float64) time.Duration {
	return time.Duration(max(1, s)) * time.Second
}

// sizes asks the stores how far their logs go. One that can't be asked has none, and fails later.
func (r *runner) sizes(ctx context.Context) {
	heads := make([]livestore.SeqNum, len(r.stores))
	at := r.places()
	r.each(ctx, "asked stores for their size", func(ctx context.Context, t storeTask) error {
		return r.withLog(ctx, t.store, func(log eventlog.Reader) error {
			h, err := log.Head(ctx)
			heads[at[t.store.ID]] = h.Last.Global
			return err
		})
	})
	r.heads = map[livestore.StoreID]livestore.SeqNum{}
	for i, s := range r.stores {
		r.heads[s.ID] = heads[i]
	}
}

// pilot previews one store of middle size before a big pass, and says from that what the pass costs. It returns the
// store's place, or -1 where the pass is none of the big ones, and its error.
func (r *runner) pilot(ctx context.Context, work func(context.Context, storeTask) error, t *previewTally) (int, error) {
	if r.of == nil && len(r.stores) <= sampleAbove {
		return -1, nil
	}
	if r.heads == nil {
		r.sizes(ctx)
	}
	if ctx.Err() != nil {
		return -1, context.Cause(ctx)
	}
	places := make([]int, len(r.stores))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return int(r.heads[r.stores[a].ID] - r.heads[r.stores[b].ID]) })
	pilot := places[len(places)/2]
	s := r.stores[pilot]
	start := r.app.now()
	err := work(ctx, storeTask{s, r.plansOf(s)})
	took := r.app.now().Sub(start)
	what := fmt.Sprintf("previewing %s: %s to read and replay", count(len(r.stores), "store"), counted(r.total(r.stores), "event"))
	if r.of != nil {
		what = fmt.Sprintf("previewing %d of %d stores, spread over their sizes: %s to read and replay, of %s in all (--all previews every store)",
			len(r.stores), len(r.of), counted(r.total(r.stores), "event"), counted(r.total(r.of), "event"))
	}
	fmt.Fprintln(r.app.stderr, what)
	if size := int64(r.heads[s.ID]); err == nil && size > 0 {
		cost := t.pass.cost(len(r.stores), took) // it is the only one so far
		share := float64(r.total(r.stores)) / float64(size)
		cost.Seconds *= share / float64(min(r.jobs, len(r.stores)))
		cost.DiskBytes *= int64(min(r.jobs, len(r.stores)))
		cost.Events, cost.ReadBytes = int64(float64(cost.Events)*share), int64(float64(cost.ReadBytes)*share)
		fmt.Fprintf(r.app.stderr, "  as store %s took: it would %s\n", s.ID, cost.text("read and replay"))
	}
	return pilot, err
}

func (r *runner) total(stores []config.Store) (n int64) {
	for _, s := range stores {
		n += int64(r.heads[s.ID])
	}
	return n
}
