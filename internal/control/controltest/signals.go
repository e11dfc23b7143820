package controltest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// sighting is one in a store, at the clock's time.
func (d *database) sighting(store string, sign rollout.Sign, release, event string, n int64) control.Sighting {
	return control.Sighting{At: d.clock.Now(), Store: store, Sign: sign, Schema: "main", Release: release, Event: event, N: n}
}

// openIn starts a rollout and opens stores in it.
func (d *database) openIn(t *testing.T, name string, stores ...livestore.StoreID) control.Rollout {
	t.Helper()
	r, err := d.CreateRollout(t.Context(), "prod", name, ana())
	if err != nil {
		t.Fatal(err)
	}
	state := rollout.State{Phase: rollout.Ramp, Attempt: r.State.Attempt + 1}
	if ok, err := d.Advance(t.Context(), r, control.Transition{Decision: rollout.Decision{State: state, Action: "open", Open: stores}}, ana()); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if r, err = d.Rollout(t.Context(), "prod", name); err != nil {
		t.Fatal(err)
	}
	return r
}

// signals: what is seen adds up, and is told apart by whether the store was open when it was seen.
func signals(t *testing.T, d *database) {
	ctx := t.Context()
	count := func(seen ...control.Sighting) {
		t.Helper()
		if _, _, err := d.CountSignals(ctx, "prod", []control.Arrival{{Seen: seen}}); err != nil {
			t.Fatal(err)
		}
	}
	begin := d.clock.Now()
	query := func(name string, signs ...rollout.Sign) []rollout.SignCount {
		t.Helper()
		got, err := d.Signals(ctx, "prod", control.SignalQuery{Since: begin, Until: d.clock.Now().Add(control.SignalSlot), Schema: "main", Rollout: name, Signs: signs})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	check := func(got []rollout.SignCount, want ...rollout.SignCount) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	count(d.sighting("a", rollout.SawUnknown, "1.0.0", "v2.X", 3))
	r := d.openIn(t, "x_v2", "a", "c")
	d.openIn(t, "x-v2", "c")
	count()
	count(
		d.sighting("a", rollout.SawUnknown, "1.0.0", "v2.X", 4), d.sighting("a", rollout.SawUnknown, "1.0.0", "v2.X", 1),
		d.sighting("b", rollout.SawUnknown, "1.0.0", "v2.X", 2), d.sighting("c", rollout.SawRead, "1.1.0", "", 1),
		control.Sighting{At: d.clock.Now(), Store: "a", Sign: rollout.SawUnknown, Schema: "notes", Release: "9.0.0", N: 100},
	)
	unknown := rollout.SignCount{Sign: rollout.SawUnknown, Release: "1.0.0", Event: "v2.X"}
	of := func(open bool, n int64) rollout.SignCount {
		c := unknown
		c.Open, c.N = open, n
		return c
	}
	sum := func(counts []rollout.SignCount, open bool) (n int64) {
		for _, c := range counts {
			if c.Open == open {
				n += c.N
			}
		}
		return n
	}
	check(query("x_v2", rollout.SawUnknown), of(false, 5), of(true, 5))
	if got := query("x-v2", rollout.SawRead, rollout.SawUnknown); sum(got, true) != 1 || sum(got, false) != 10 {
		t.Errorf("%+v", got)
	}
	if got := query(""); sum(got, true) != 0 || sum(got, false) != 11 {
		t.Errorf("%+v", got)
	}
	// What is closed is counted with the others, from then on.
	closed := r.State
	closed.Phase = rollout.Aborted
	if ok, err := d.Advance(ctx, r, control.Transition{Decision: rollout.Decision{State: closed, Action: "abort", Close: true}}, ana()); err != nil || !ok {
		t.Fatal(ok, err)
	}
	d.clock.Advance(time.Minute)
	count(d.sighting("a", rollout.SawUnknown, "1.0.0", "v2.X", 1))
	if got := query("x_v2", rollout.SawUnknown); sum(got, true) != 5 || sum(got, false) != 6 {
		t.Errorf("%+v", got)
	}
	begin = d.clock.Now()
	if got := query("x_v2", rollout.SawUnknown); sum(got, true) != 0 || sum(got, false) != 1 {
		t.Errorf("the window begins later: %+v", got)
	}
	if got, err := d.Signals(ctx, "staging", control.SignalQuery{Until: d.clock.Now().Add(time.Hour)}); err != nil || len(got) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if at, err := d.SignsSeen(ctx, "prod", ""); err != nil || !at[rollout.SawUnknown].Equal(begin) || !at[rollout.SawTraced].IsZero() {
		t.Errorf("%v, %v", at, err)
	}
	if at, err := d.SignsSeen(ctx, "prod", "another"); err != nil || len(at) != 0 {
		t.Errorf("%v, %v", at, err)
	}
	if _, _, err := d.CountSignals(ctx, "prod", []control.Arrival{{Seen: []control.Sighting{d.sighting("a", rollout.SawUnknown, "\x00", "", 1)}}}); err == nil {
		t.Error("a name that is no text was counted")
	}
}

// signalsAge: slots become minutes and hours, nothing is lost or counted twice by that, and in the end it goes away.
func signalsAge(t *testing.T, d *database) {
	ctx := t.Context()
	var seen []control.Sighting
	for range 60 {
		seen = append(seen, d.sighting("a", rollout.SawRead, "1.0.0", "", 1))
		d.clock.Advance(control.SignalSlot * 3)
	}
	if _, _, err := d.CountSignals(ctx, "prod", []control.Arrival{{Seen: seen}}); err != nil {
		t.Fatal(err)
	}
	series := func(part time.Duration) (parts int, sum int64) {
		t.Helper()
		points, err := d.SignalSeries(ctx, "prod", control.SignalQuery{Until: d.clock.Now()}, part)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range points {
			sum += p.N
		}
		return len(points), sum
	}
	for _, step := range []struct {
		wait  time.Duration
		parts int
		sum   int64
	}{{0, 60, 60}, {3 * time.Hour, 30, 60}, {0, 30, 60}, {72 * time.Hour, 1, 60}, {90 * 24 * time.Hour, 0, 0}} {
		d.clock.Advance(step.wait)
		other := d.open(t)
		failed := atOnce(4, func(i int) error {
			if i%2 == 0 {
				return d.MergeSignals(ctx, "prod")
			}
			return other.MergeSignals(ctx, "prod")
		})
		if err := errors.Join(failed...); err != nil {
			t.Fatal(err)
		}
		if parts, sum := series(control.SignalSlot); parts != step.parts || sum != step.sum {
			t.Errorf("after %s: %d parts, %d in all; want %d, %d", step.wait, parts, sum, step.parts, step.sum)
		}
	}
	if _, err := d.SignalSeries(ctx, "prod", control.SignalQuery{}, time.Second); err == nil {
		t.Error("parts of a slot")
	}
}

// clientsOverTime: how many clients there are by release is kept once in an hour.
func clientsOverTime(t *testing.T, d *database) {
	ctx := t.Context()
	seen := func(release string, clients ...string) {
		t.Helper()
		var batch []control.Client
		for _, id := range clients {
			batch = append(batch, control.Client{Store: "a", ID: id, Release: release, Source: rollout.FromSync})
		}
		if err := d.Observe(ctx, "prod", batch); err != nil {
			t.Fatal(err)
		}
	}
	known := func(release string) string {
		if release == "1.0.0" || release == "1.1.0" {
			return release
		}
		return "other"
	}
	keep := func(want bool) {
		t.Helper()
		if kept, err := d.KeepClients(ctx, "prod", known); err != nil || kept != want {
			t.Errorf("kept %v, %v", kept, err)
		}
	}
	keep(false) // there is nobody
	seen("1.0.0", "x", "y", "z")
	seen("7.7.7", "v")
	seen("8.8.8", "w")
	keep(true)
	keep(false)
	d.clock.Advance(time.Hour)
	seen("1.1.0", "x")
	keep(true)
	points, err := d.SignalSeries(ctx, "prod", control.SignalQuery{Until: d.clock.Now().Add(time.Hour), Signs: []rollout.Sign{rollout.SawClients}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range points {
		got = append(got, fmt.Sprint(p.At.Hour(), " ", p.Release, " ", p.N))
	}
	if diff := cmp.Diff([]string{"0 1.0.0 3", "0 other 2", "1 1.0.0 2", "1 1.1.0 1", "1 other 2"}, got); diff != "" {
		t.Error(diff)
	}
}

// signalsAtOnce: several servers count the same things.
func signalsAtOnce(t *testing.T, d *database) {
	other := d.open(t)
	failed := atOnce(8, func(i int) error {
		db := d.DB
		if i%2 == 1 {
			db = other
		}
		for range 5 {
			var seen []control.Sighting
			for j := range 50 {
				k := j
				if i%2 == 1 {
					k = 49 - j
				}
				seen = append(seen, d.sighting("a", rollout.SawUnknown, "1.0.0", fmt.Sprint("v1.E", k), 1))
			}
			if _, _, err := db.CountSignals(t.Context(), "prod", []control.Arrival{{Seen: seen}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	got, err := d.Signals(t.Context(), "prod", control.SignalQuery{Until: d.clock.Now().Add(time.Hour)})
	if err != nil || len(got) != 50 {
		t.Fatalf("%d, %v", len(got), err)
	}
	for _, c := range got {
		if c.N != 40 {
			t.Errorf("%+v", c)
		}
	}
}
