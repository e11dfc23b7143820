package cli

import (
	"slices"
	"sync"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/livestore"
	"headgate/migrations"
)

// A previewTally adds up what the stores of a preview report, so that none of it has to be held.
type previewTally struct {
	mu        sync.Mutex
	of        []*previewOf // by plan
	at        map[string]int
	pass      passTally
	receiving int
	due       map[livestore.StoreID]int64
	waveOf    func(config.Store) int
}

// A previewSum is what the stores report of one migration.
type previewSum struct {
	stores   int
	events   int64
	markers  int64
	compared bool // events are due somewhere, and the states were compared
	again    secondRun
	notAsked bool               // a store was not asked what a second run would commit
	effects  map[string]*effect // by table
	asserts  map[string]*held   // by label
	outcomes map[string]*outcome
	waves    map[int]*pacedWave
}

// An effect is what becomes of a table's rows.
type effect struct{ inserted, updated, deleted int64 }

// A held is how often an assert does not hold afterwards, and whether it does where it did not before.
type held struct {
	failed int
	news   bool
}

// An outcome counts the stores in which a migration comes out alike.
type outcome struct {
	stores        int
	events, bytes int64
}

// A pacedWave is how long a wave's stores take at their pace, one after the other, and the one that takes longest.
type pacedWave struct{ longest, sum time.Duration }

func (r *runner) newTally() *previewTally {
	t := &previewTally{at: map[string]int{}, due: map[livestore.StoreID]int64{}, waveOf: r.env.WaveOf, pass: passTally{jobs: r.jobs}}
	for i, p := range r.plans {
		t.at[p.Name] = i
		var asserts []string
		for _, a := range p.Asserts {
			asserts = append(asserts, a.Label)
		}
		t.of = append(t.of, &previewOf{
			Migration: p.Name, Checksum: p.Checksum, Release: p.target.Release.Version,
			Readers: p.readers, Assumed: p.assumed, First: p.first, stores: newPile[migrations.Report](len(r.stores)), asserts: asserts,
			sum: previewSum{effects: map[string]*effect{}, asserts: map[string]*held{}, outcomes: map[string]*outcome{}, waves: map[int]*pacedWave{}},
		})
	}
	return t
}

// add takes what a store reports, one report of each migration as far as it got. counts is false for one that counts for
// nothing but the time that it took.
func (t *previewTally) add(place int, s config.Store, reports []migrations.Report, counts bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass.add(reports)
	if !counts {
		return
	}
	receives := false
	for _, report := range reports {
		of := t.of[t.at[report.Migration]]
		of.stores.add(place, report)
		of.sum.add(report, t.waveOf(s))
		receives = receives || report.Events > 0 || report.MarkerDue
		t.due[s.ID] = report.Events
	}
	if receives {
		t.receiving++
	}
}

func (s *previewSum) add(report migrations.Report, wave int) {
	s.stores++
	s.events += report.Events
	if report.MarkerDue {
		s.markers++
	}
	switch {
	case report.Outcome == migrations.Fresh:
	case report.Again == nil:
		s.notAsked = true
	default:
		s.again.Events += report.Again.Events
		s.again.Rows += report.Again.Rows
	}
	s.compared = s.compared || report.Events > 0 && report.Pushes > 0
	for _, table := range report.Tables {
		e := entry(s.effects, table.Name)
		e.inserted += table.OnlyB
		e.updated += table.Changed
		e.deleted += table.OnlyA
	}
	for _, a := range report.Asserts {
		h := entry(s.asserts, a.Label)
		if !a.True {
			h.failed++
		}
		h.news = h.news || report.Events > 0 && !a.Before
	}
	o := entry(s.outcomes, outcomeOf(report))
	o.stores++
	o.events += report.Events
	o.bytes += report.Bytes
	w := entry(s.waves, wave)
	w.longest = max(w.longest, report.Paced)
	w.sum += report.Paced
}

// entry is a map's value, a new one where there is none.
func entry[K comparable, V any](m map[K]*V, key K) *V {
	if m[key] == nil {
		m[key] = new(V)
	}
	return m[key]
}

// outcomeOf is what a store's row says of a migration.
func outcomeOf(report migrations.Report) string {
	for _, a := range report.Asserts {
		if !a.True {
			return "an assert fails"
		}
	}
	switch {
	case report.Outcome == migrations.Done && report.Events > 0:
		return "events due"
	case report.MarkerDue:
		return "marker due"
	}
	return string(report.Outcome)
}

// preview is what was added up. A migration that nobody asked for and that is done is left out.
func (t *previewTally) preview(r *runner, failed []operate.FailedStore) preview {
	out := preview{
		Environment: r.env.Name, Failed: failed, Sampled: len(r.stores), Rebuild: noRebuild(), NextActions: []string{},
		receiving: t.receiving, due: t.due,
	}
	again, asked := secondRun{}, len(failed) == 0
	for _, of := range t.of {
		out.piles = append(out.piles, of.stores)
		out.Events += of.sum.events
		out.Markers += of.sum.markers
		if of.sum.events+of.sum.markers > 0 || !of.First || len(failed) > 0 {
			out.Migrations = append(out.Migrations, of)
			again.Events += of.sum.again.Events
			again.Rows += of.sum.again.Rows
			asked = asked && !of.sum.notAsked
		}
	}
	if asked {
		out.Again = &again
	}
	return out
}

// A passTally adds up what previewing costs.
type passTally struct {
	jobs    int // stores at a time
	total   passCost
	read    time.Duration
	largest []int64 // states, of as many stores as are worked on at a time
}

// add takes what one store reports.
func (t *passTally) add(reports []migrations.Report) {
	size := int64(0)
	for _, s := range reports {
		t.total.Events += s.Replayed
		t.total.ReadBytes += s.ReadBytes
		t.total.Rows += s.Rows
		size = max(size, s.StateBytes)
		if s.Replayed > 0 {
			t.read += s.ReadFor
		}
	}
	t.largest = append(t.largest, size)
	slices.Sort(t.largest)
	t.largest = t.largest[max(0, len(t.largest)-t.jobs):]
}

// cost is what a pass over so many stores took.
func (t *passTally) cost(stores int, took time.Duration) passCost {
	out := t.total
	out.Stores, out.Seconds = stores, took.Seconds()
	for _, size := range t.largest {
		out.DiskBytes += copies * size
	}
	if t.read > 0 {
		out.Rate = float64(out.Events) / t.read.Seconds()
	}
	return out
}
