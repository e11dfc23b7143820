package rollout_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A world is a rollout with a fleet and a clock.
type world struct {
	t     rapid.TB
	def   *rollout.Definition
	now   time.Time
	state rollout.State
	facts rollout.Facts
	last  rollout.Decision

	published []rollout.Flag
}

func newWorld(t rapid.TB, def *rollout.Definition, stores int) *world {
	w := &world{t: t, def: def, now: now, state: rollout.State{Phase: rollout.Draft}, facts: rollout.Facts{Floor: "1.1.0"}}
	for i := range stores {
		w.facts.Stores = append(w.facts.Stores, rollout.StoreFact{
			ID: livestore.StoreID(fmt.Sprint("store-", i)), Verdict: rollout.Verdict{Readiness: rollout.Eligible, Clients: 1, Readers: 1},
		})
	}
	return w
}

func (w *world) open() []livestore.StoreID {
	var out []livestore.StoreID
	for _, s := range w.facts.Stores {
		if s.Open {
			out = append(out, s.ID)
		}
	}
	return out
}

// take makes a decision come true, and proves that no store that was open is closed by what is published.
func (w *world) take(d rollout.Decision) {
	w.t.Helper()
	was := w.open()
	for i := range w.facts.Stores {
		if s := &w.facts.Stores[i]; d.Close || slices.Contains(d.Open, s.ID) {
			s.Open = !d.Close
		}
	}
	flags, err := rollout.Publish(w.def, w.state, d.State, w.published, was, w.open())
	if err != nil {
		w.t.Fatalf("%+v: %v", d, err)
	}
	w.published = flags
	if (len(d.Open) > 0 || d.Close) && d.State.Revision == w.state.Revision {
		w.t.Fatalf("the flags change and their revision does not: %+v", d)
	}
	w.state, w.last = d.State, d
}

func (w *world) tick(ahead time.Duration) rollout.Phase {
	w.t.Helper()
	w.now = w.now.Add(ahead)
	w.take(rollout.Decide(w.now, w.def, w.state, w.facts))
	w.facts.Measurements = nil
	return w.state.Phase
}

func (w *world) act(r rollout.Request) error {
	w.t.Helper()
	if r.By == "" {
		r.By = "ana"
	}
	d, err := rollout.Act(w.now, w.def, w.state, w.facts, r)
	if err == nil {
		w.take(d)
	}
	return err
}

func (w *world) must(r rollout.Request) {
	w.t.Helper()
	if err := w.act(r); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) refused(code errs.Code, msg string, r rollout.Request) {
	w.t.Helper()
	before := w.state
	if err := w.act(r); errs.CodeOf(err) != code || !strings.Contains(err.Error(), msg) {
		w.t.Errorf("%s: %v, want %s %q", r.Command, err, code, msg)
	}
	if before.Phase != w.state.Phase {
		w.t.Errorf("a refusal moved it to %s", w.state.Phase)
	}
}

func (w *world) want(p rollout.Phase, step, open int) {
	w.t.Helper()
	if w.state.Phase != p || w.state.Step != step || len(w.open()) != open {
		w.t.Fatalf("%s, step %d, %d open; want %s, step %d, %d open. Next: %+v", w.state.Phase, w.state.Step, len(w.open()), p, step, open, w.last.Next)
	}
}

func (w *world) share(p rollout.Percent) int {
	n := 0
	for _, s := range w.facts.Stores {
		if w.def.Takes(s.ID, p) {
			n++
		}
	}
	return n
}

func (w *world) measure(v any) {
	w.facts.Measurements = []rollout.Measurement{{Template: "errors", At: w.now, Value: v}}
}

func TestWholeRollout(t *testing.T) {
	w := newWorld(t, definition(t, todoV2), 400)
	ten, half := w.share(10_000), w.share(50_000)
	if ten < 20 || half < 150 {
		t.Fatalf("cohorts of %d and %d", ten, half)
	}
	w.tick(time.Hour)
	w.want(rollout.Draft, 0, 0)
	w.must(rollout.Request{Command: rollout.Start})
	w.want(rollout.ReadersShipping, 0, 0)
	w.tick(time.Hour)
	w.want(rollout.ReaderGate, 0, 0)

	w.facts.Stores[0].Verdict = rollout.Verdict{Readiness: rollout.Blocked, Clients: 1}
	w.tick(0)
	w.want(rollout.Ramp, 0, ten-boolInt(w.def.Takes("store-0", 10_000)))
	if due := rollout.Due(w.now, w.def, w.state); len(due) != 1 || due[0].Name != "errors" {
		t.Errorf("due: %+v", due)
	}
	if next := w.last.Next; next.What != "step 2 of 3, 50 % of the stores" || !next.When.Equal(w.now.Add(time.Hour)) {
		t.Errorf("next: %+v", next)
	}
	w.measure(0.0)
	w.tick(0)
	w.refused(errs.Stale, "analysis errors is running", rollout.Request{Command: rollout.Promote})
	w.tick(time.Hour) // measured once, and the pause is over
	w.want(rollout.Ramp, 1, half-boolInt(w.def.Takes("store-0", 50_000)))
	w.facts.Stores[0].Verdict = rollout.Verdict{Readiness: rollout.Eligible, Clients: 1, Readers: 1}
	w.tick(time.Hour)
	w.want(rollout.Ramp, 1, half) // its old client has gone

	w.must(rollout.Request{Command: rollout.Hold, Reason: "lunch"})
	w.tick(48 * time.Hour)
	w.want(rollout.Ramp, 1, half)
	w.must(rollout.Request{Command: rollout.Resume})
	w.tick(23 * time.Hour)
	w.want(rollout.Ramp, 1, half) // it bakes anew
	w.tick(time.Hour)
	w.want(rollout.Ramp, 2, 400)
	w.tick(1000 * time.Hour)
	w.want(rollout.Ramp, 2, 400) // manual
	w.must(rollout.Request{Command: rollout.Promote})
	w.want(rollout.PointOfNoReturn, 2, 400)

	w.refused(errs.Stale, "opens every store", rollout.Request{Command: rollout.Promote})
	w.refused(errs.Stale, "1 more must approve", rollout.Request{Command: rollout.Finish})
	w.refused(errs.Stale, "ana started the rollout", rollout.Request{Command: rollout.Approve})
	w.must(rollout.Request{Command: rollout.Approve, By: "ben"})
	w.facts.Stores[7].Verdict = rollout.Verdict{Readiness: rollout.Blocked, Clients: 2, Readers: 1}
	w.refused(errs.Stale, "1 of 400 stores are not eligible", rollout.Request{Command: rollout.Finish})
	w.refused(errs.Invalid, "--force needs a reason", rollout.Request{Command: rollout.Finish, Force: true})
	w.must(rollout.Request{Command: rollout.Finish, Force: true, Reason: "one kiosk"})
	w.want(rollout.Full, 0, 400)
	w.refused(errs.Invalid, "can't be aborted", rollout.Request{Command: rollout.Abort})
	w.tick(time.Hour)
	w.want(rollout.Full, 0, 400)
	w.facts.Stores[7].Verdict = rollout.Verdict{Readiness: rollout.Eligible, Clients: 1, Readers: 1}
	w.tick(time.Hour)
	w.want(rollout.Draining, 0, 400)
	w.facts.OldSeen = w.now.Add(days(1))
	w.tick(days(30))
	w.want(rollout.Draining, 0, 400)
	w.facts.Unread = 2 // what they hold is not known
	w.tick(days(1))
	w.want(rollout.Draining, 0, 400)
	w.facts.Unread = 0
	w.tick(time.Second)
	w.want(rollout.Drained, 0, 400)
	w.refused(errs.Invalid, "needs a reason", rollout.Request{Command: rollout.Undo})
	w.must(rollout.Request{Command: rollout.Promote})
	w.want(rollout.Retired, 0, 400)
	w.refused(errs.Invalid, "can't be undone", rollout.Request{Command: rollout.Undo, Reason: "x"})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAbortBypassesEverythingAndRestartsTheSame(t *testing.T) {
	frozen := definition(t, todoV2+"freeze: [{cron: '* * * * *', reason: closed}]\n")
	w := newWorld(t, definition(t, todoV2), 300)
	w.must(rollout.Request{Command: rollout.Start})
	w.tick(0)
	w.tick(0)
	first := w.open()
	w.def, w.facts.Stopped = frozen, "fire"
	w.tick(48 * time.Hour)
	w.want(rollout.Ramp, 0, len(first))
	w.refused(errs.Stale, "held: everything is stopped: fire", rollout.Request{Command: rollout.Promote})
	w.must(rollout.Request{Command: rollout.Abort, Reason: "bad"})
	w.want(rollout.Aborted, 0, 0)
	w.refused(errs.Invalid, "can't be aborted", rollout.Request{Command: rollout.Abort})
	w.facts.Stopped = ""
	w.must(rollout.Request{Command: rollout.Start, By: "ben"})
	w.tick(0)
	w.tick(0)
	w.want(rollout.ReadersShipping, 0, 0)
	if w.last.Next.What != "a freeze ends: closed" {
		t.Errorf("next: %+v", w.last.Next)
	}
	w.def = definition(t, todoV2)
	w.tick(0)
	w.tick(0)
	w.want(rollout.Ramp, 0, len(first))
	if !slices.Equal(first, w.open()) || w.state.Attempt != 2 {
		t.Errorf("attempt %d has other stores", w.state.Attempt)
	}
}

func TestAnalysisPausesOrAborts(t *testing.T) {
	for _, tc := range []struct {
		edit  string
		value any
		phase rollout.Phase
		why   string
	}{
		{"", 1.0, rollout.Ramp, "analysis errors: failed: 1 failed (result > 0.01), 0 may"},
		{"onFailure: abort\n", 1.0, rollout.Aborted, "analysis errors: failed"},
		{"onFailure: abort\n", nil, rollout.Ramp, "analysis errors: no data"},
		{"onNoData: fail\n", nil, rollout.Ramp, "analysis errors: failed"},
		{"onNoData: pass\n", nil, rollout.Ramp, ""},
	} {
		w := newWorld(t, definition(t, todoV2+tc.edit), 100)
		w.must(rollout.Request{Command: rollout.Start})
		w.tick(0)
		w.tick(0)
		w.measure(tc.value)
		w.tick(0)
		reason := strings.Join(w.last.Reasons, "; ")
		if w.state.Paused == nil && w.state.Phase == rollout.Ramp {
			w.tick(time.Hour) // the step ends, and the analysis with it
			reason = strings.Join(w.last.Reasons, "; ")
		}
		if w.state.Phase != tc.phase || !strings.Contains(reason, tc.why) || (w.state.Paused != nil) != (tc.phase == rollout.Ramp && tc.why != "") {
			t.Errorf("%s of %v: %+v, %s", tc.edit, tc.value, w.state, reason)
		}
	}
}

func TestChangedDefinition(t *testing.T) {
	w := newWorld(t, definition(t, todoV2), 100)
	w.must(rollout.Request{Command: rollout.Start})
	w.tick(0)
	w.tick(0)
	w.def = definition(t, strings.Replace(todoV2, "  TodoCreated: {from: v1, to: v2}", "  TodoRenamed: {from: v1, to: v2}\n  TodoCreated: {from: v1, to: v2}", 1))
	if d := rollout.Decide(w.now.Add(days(9)), w.def, w.state, w.facts); d.Changed || !strings.Contains(d.Next.What, "RO104") {
		t.Errorf("%+v", d)
	}
	_, err := rollout.Act(w.now, w.def, w.state, w.facts, rollout.Request{Command: rollout.Promote, By: "ana"})
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "RO104") {
		t.Error(err)
	}
	if _, err := rollout.Act(w.now, w.def, w.state, w.facts, rollout.Request{Command: rollout.Abort, By: "ana"}); err != nil {
		t.Error(err)
	}
}

// Whatever happens in whatever order, a cohort shrinks by an abort or an undo only, and only eligible stores open while
// the ramp lasts. World.take proves that the flags widen.
func TestNoCohortShrinks(t *testing.T) {
	defs := []*rollout.Definition{
		definition(t, todoV2), definition(t, todoV2+"onFailure: abort\nfreeze: [{cron: '* 1-12 * * *', reason: night}]\n"),
	}
	ramped := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt, rapid.SampledFrom(defs).Draw(rt, "def"), 40)
		for range rapid.IntRange(10, 60).Draw(rt, "length") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "hours")) * time.Hour)
			i := rapid.IntRange(0, 39).Draw(rt, "store")
			w.facts.Stores[i].Verdict.Readiness = rapid.SampledFrom([]rollout.Readiness{rollout.Eligible, rollout.Blocked, rollout.Waiting, rollout.Unobserved}).Draw(rt, "readiness")
			was, phase := w.open(), w.state.Phase
			if rapid.Bool().Draw(rt, "tick") {
				if rapid.Bool().Draw(rt, "measured") {
					w.measure(rapid.SampledFrom([]any{nil, 0.0, 0.0, 0.0, 1.0}).Draw(rt, "value"))
				}
				w.tick(0)
			} else {
				cmd := rapid.SampledFrom([]rollout.Command{
					rollout.Start, rollout.Start, rollout.Hold, rollout.Resume, rollout.Promote, rollout.Finish, rollout.Approve, rollout.Abort, rollout.Undo,
				}).Draw(rt, "command")
				r := rollout.Request{Command: cmd, By: rapid.SampledFrom([]string{"ana", "ben"}).Draw(rt, "by"), Reason: "because", Force: rapid.Bool().Draw(rt, "force")}
				if err := w.act(r); err != nil {
					if c := errs.CodeOf(err); c != errs.Invalid && c != errs.Stale {
						rt.Fatalf("%s: %v", cmd, err)
					}
					continue
				}
			}
			if w.state.Phase == rollout.Ramp {
				ramped++
			}
			for _, s := range w.facts.Stores {
				had := slices.Contains(was, s.ID)
				switch {
				case had && !s.Open && w.state.Phase != rollout.Aborted && w.state.Phase != rollout.Undone:
					rt.Fatalf("%s to %s: store %s was closed", phase, w.state.Phase, s.ID)
				case !had && s.Open && (s.Verdict.Readiness != rollout.Eligible || !w.def.Takes(s.ID, w.state.Weight(w.def))):
					rt.Fatalf("%s to %s: store %s was opened: %+v", phase, w.state.Phase, s.ID, s)
				}
			}
		}
	})
	if ramped == 0 {
		t.Error("no case ramped up")
	}
}

// Deciding twice changes nothing twice.
func TestDecideIsIdempotent(t *testing.T) {
	w := newWorld(t, definition(t, todoV2), 50)
	w.must(rollout.Request{Command: rollout.Start})
	for range 3 {
		w.tick(0)
	}
	if d := rollout.Decide(w.now, w.def, w.state, w.facts); d.Changed || len(d.Open) > 0 {
		t.Errorf("%+v", d)
	}
}

func TestWidens(t *testing.T) {
	stores := []livestore.StoreID{"a", "b", "c", "demo"}
	before := flag(t, "flags: {event.TodoCreated: {variants: {v1: v1.TodoCreated, v2: {event: v2.TodoCreated, floor: 1.1.0, percent: 25, stores: [demo]}}}}")
	edit := func(old, replacement string) *rollout.Flag {
		return flag(t, strings.Replace("flags: {event.TodoCreated: {variants: {v1: v1.TodoCreated, v2: {event: v2.TodoCreated, floor: 1.1.0, percent: 25, stores: [demo]}}}}", old, replacement, 1))
	}
	for range 1000 {
		stores = append(stores, livestore.StoreID(fmt.Sprint("s", len(stores))))
	}
	for _, tc := range []struct {
		after *rollout.Flag
		want  string
	}{
		{before, ""},
		{edit("25", "26"), ""},
		{edit("percent: 25, stores: [demo]", "percent: 100"), ""},
		{edit("1.1.0", "1.0.0"), ""},
		{edit("25", "24.9"), "would lose v2"},
		{edit(", stores: [demo]", ""), "store demo would lose v2"},
		{edit("1.1.0", "1.2.0"), "the floor rises to 1.2.0"},
		{edit("v1: v1.TodoCreated", "v0: v0.TodoCreated, v1: {event: v1.TodoCreated, floor: 1.0.0}"), "variants or their order"},
		{edit("{variants", "{state: disabled, variants"), "it is disabled"},
		{edit("v1: v1.TodoCreated", "v1: {event: v1.TodoCreated, stores: [s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15, s16, s17, s18, s19]}"), "would lose v2"},
	} {
		err := rollout.Widens(before, tc.after, stores)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %q", err, tc.want)
		}
	}
}

// TestPublishIsHeldAgainstWhatIsPublished: what is in force decides, not what the definition makes of the rows.
func TestPublishIsHeldAgainstWhatIsPublished(t *testing.T) {
	w := newWorld(t, definition(t, "events: {TodoCreated: {from: v1, to: v2}}\nsteps: [{weight: 100, pause: 1h}]\n"), 3)
	if err := w.act(rollout.Request{Command: rollout.Start}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.tick(0)
	}
	publish := func(published []rollout.Flag) error {
		_, err := rollout.Publish(w.def, w.state, w.state, published, w.open(), w.open())
		return err
	}
	if err := publish(w.published); err != nil || len(w.open()) != 3 {
		t.Fatalf("%v, open %v", err, w.open())
	}
	more := slices.Clone(w.published)
	more[0].Variants = slices.Clone(more[0].Variants)
	more[0].Variants[1].Stores = append(slices.Clone(w.open()), "opened-by-nobody-here")
	if err := publish(more); err == nil || !strings.Contains(err.Error(), "store opened-by-nobody-here would lose v2") {
		t.Errorf("a store that is published: %v", err)
	}
	if err := publish(nil); errs.CodeOf(err) != errs.Refused {
		t.Errorf("nothing is published: %v", err)
	}
}
