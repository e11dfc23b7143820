package rollout

import (
	"fmt"
	"time"

	"headgate/internal/livestore"
)

// Decide moves a rollout by at most one phase or step: what the controller's tick does. It has no clock of its own, asks
// nobody, and gives the same answer to the same question; ticking twice does no harm.
func Decide(now time.Time, d *Definition, s State, f Facts) Decision {
	t := ticker{now: now, def: d, facts: f, out: Decision{State: s}}
	t.state = &t.out.State
	if !s.Phase.Active() {
		t.next(idle(s.Phase), time.Time{})
		return t.out
	}
	if now := d.Identity(); now != s.Identity {
		t.next(fmt.Sprintf("RO104: the rollout was started with %s, the file has %s: put it back", s.Identity, now), time.Time{})
		return t.out
	}
	if s.Paused == nil && t.analyse() {
		return t.out
	}
	if why, when := t.held(); why != "" {
		t.next(why, when)
		return t.out
	}
	switch s.Phase {
	case ReadersShipping:
		t.shipping()
	case ReaderGate:
		t.gate()
	case Ramp:
		t.ramp()
	case PointOfNoReturn:
		t.pointOfNoReturn()
	case Full:
		t.full()
	case Draining:
		t.drain()
	}
	return t.out
}

// idle says what happens next to a rollout that the controller does not move.
func idle(p Phase) string {
	switch p {
	case Draft:
		return "someone starts it"
	case Drained:
		return "someone promotes it, when the app no longer emits the old version"
	case Retired:
		return "nothing: the readers of the old version stay for good"
	}
	return "someone starts it again, with the same stores first"
}

// A ticker is one tick under way.
type ticker struct {
	now   time.Time
	def   *Definition
	facts Facts
	state *State // of out
	out   Decision
}

func (t *ticker) next(what string, when time.Time) { t.out.Next = Next{What: what, When: when} }

func (t *ticker) changed(action, reason string, args ...any) {
	t.out.Changed, t.out.Action = true, action
	t.out.Reasons = append(t.out.Reasons, fmt.Sprintf(reason, args...))
}

// enter moves into a phase or a step.
func (t *ticker) enter(p Phase, step int) {
	t.state.enter(t.def, p, step, t.now)
}

func (s *State) enter(d *Definition, p Phase, step int, now time.Time) {
	s.Phase, s.Step, s.Since, s.Analysis, s.Paused, s.Confirm = p, step, now, nil, nil, nil
	if p != Ramp {
		return
	}
	for _, name := range d.Steps[step].Analysis {
		if t, ok := d.Template(name); ok {
			s.Analysis = append(s.Analysis, t.Begin(now))
		}
	}
}

// held says why nothing may advance, and until when.
func (t *ticker) held() (string, time.Time) {
	switch {
	case t.facts.Stopped != "":
		return "everything is stopped: " + t.facts.Stopped, time.Time{}
	case t.state.Paused != nil:
		return fmt.Sprintf("someone resumes it; paused by %s: %s", t.state.Paused.By, t.state.Paused.Reason), time.Time{}
	}
	if t.state.Phase.Open() {
		return "", time.Time{} // nothing opens any more
	}
	if end, in := Thaw(t.def.Freeze, t.now); in != nil {
		return "a freeze ends: " + in.Reason, end
	}
	return "", time.Time{}
}

// analyse counts the measurements, and reports whether an analysis ended badly, which pauses or aborts.
func (t *ticker) analyse() bool {
	runs := append([]AnalysisRun(nil), t.state.Analysis...)
	counted := 0
	for i := range runs {
		tpl, ok := t.def.Template(runs[i].Template)
		if !ok {
			continue
		}
		for _, m := range t.facts.Measurements {
			if m.Template == tpl.Name && !m.At.Before(runs[i].NextDue) && runs[i].Outcome == Running {
				runs[i] = tpl.Observe(runs[i], m)
				counted++
			}
		}
		if tpl.Count == 0 && runs[i].Outcome == Running && t.state.Phase == Ramp && t.baked() {
			runs[i] = tpl.complete(runs[i])
			counted++
		}
	}
	if counted == 0 {
		return false
	}
	t.state.Analysis = runs
	t.changed("measure", "%d measurements", counted)
	for _, r := range runs {
		if r.Outcome == Running || r.Outcome == Successful {
			continue
		}
		reason := fmt.Sprintf("analysis %s: %s: %s", r.Template, r.Outcome, r.Why)
		if t.def.OnFailure == AbortOnFailure && (r.Outcome == Failed || r.Outcome == Errored) {
			t.state.enter(t.def, Aborted, t.state.Step, t.now)
			t.state.Analysis, t.out.Close = runs, true
			t.state.Revision++
			t.changed("abort", "%s", reason)
			t.next(idle(Aborted), time.Time{})
			return true
		}
		t.state.Paused = &Pause{By: Controller, Reason: reason, At: t.now}
		t.changed("pause", "%s", reason)
		t.next("someone looks at the analysis, and resumes or aborts", time.Time{})
		return true
	}
	return false
}

// baked reports whether the step has lasted as long as it should.
func (t *ticker) baked() bool {
	step := t.def.Steps[t.state.Step]
	return !step.Manual && !t.now.Before(t.state.Since.Add(step.Pause))
}

func (t *ticker) shipping() {
	for i := range t.facts.Stores {
		s := &t.facts.Stores[i]
		if s.Verdict.Readers > 0 {
			t.enter(ReaderGate, 0)
			t.changed("advance", "a client that reads the new version is out: in store %s", s.ID)
			t.next("the first step opens, when stores of it are eligible", time.Time{})
			return
		}
	}
	t.next("a client is seen on "+t.state.Floor+" or later", time.Time{})
}

func (t *ticker) gate() {
	if n := t.state.missing(t.def, ToRamp); n > 0 {
		t.next(fmt.Sprintf("%d more must approve", n), time.Time{})
		return
	}
	if len(t.openable(0)) == 0 {
		t.next("a store of the first step is eligible", t.soonest(t.def.Steps[0].Weight))
		return
	}
	if !t.confirmed() {
		return
	}
	t.open(0)
	t.enter(Ramp, 0)
	t.changed("advance", "step 1 of %d opens, %s of the stores", len(t.def.Steps), t.def.Steps[0].Weight)
	t.waitForStep()
}

// openable are the stores of a step that are eligible and not open yet.
func (t *ticker) openable(step int) (out []livestore.StoreID) {
	weight := t.def.Steps[step].Weight
	for i := range t.facts.Stores {
		if s := &t.facts.Stores[i]; !s.Open && s.Verdict.Readiness == Eligible && s.in(t.def, weight) {
			out = append(out, s.ID)
		}
	}
	return out
}

// open opens them.
func (t *ticker) open(step int) {
	t.out.Open = t.openable(step)
	if n := len(t.out.Open); n > 0 {
		t.state.Revision++
		t.changed("open", "%d stores open", n)
	}
}

// soonest is when the first store of a share may open if nothing more is heard.
func (t *ticker) soonest(weight Percent) time.Time {
	var at time.Time
	for i := range t.facts.Stores {
		s := &t.facts.Stores[i]
		if until := s.Verdict.Until; !s.Open && !until.IsZero() && s.in(t.def, weight) && (at.IsZero() || until.Before(at)) {
			at = until
		}
	}
	return at
}

func (t *ticker) ramp() {
	for _, r := range t.state.Analysis {
		if r.Outcome == Running && t.baked() {
			t.open(t.state.Step)
			t.next("analysis "+r.Template+" is measured again", r.NextDue)
			return
		}
	}
	if !t.baked() {
		t.open(t.state.Step)
		t.waitForStep()
		return
	}
	if t.def.confirms(*t.state) != nil && (t.facts.Confirmation == nil || !t.facts.Confirmation.OK) {
		t.open(t.state.Step) // what is held is the next step
	}
	if !t.confirmed() {
		return
	}
	if t.state.Step+1 == len(t.def.Steps) {
		t.open(t.state.Step)
		t.enter(PointOfNoReturn, t.state.Step)
		t.changed("advance", "the last step has baked")
		t.next("someone promotes it to all stores", time.Time{})
		return
	}
	t.enter(Ramp, t.state.Step+1)
	t.open(t.state.Step)
	t.changed("advance", "step %d of %d opens, %s of the stores", t.state.Step+1, len(t.def.Steps), t.def.Steps[t.state.Step].Weight)
	t.waitForStep()
}

func (t *ticker) waitForStep() {
	step := t.def.Steps[t.state.Step]
	what := "the point of no return"
	if t.state.Step+1 < len(t.def.Steps) {
		what = fmt.Sprintf("step %d of %d, %s of the stores", t.state.Step+2, len(t.def.Steps), t.def.Steps[t.state.Step+1].Weight)
	}
	if step.Manual {
		t.next("someone promotes it to "+what, time.Time{})
		return
	}
	t.next(what, t.state.Since.Add(step.Pause))
}

func (t *ticker) pointOfNoReturn() {
	t.open(t.state.Step)
	what := "someone promotes it to all stores"
	if n := t.state.missing(t.def, ToFull); n > 0 {
		what = fmt.Sprintf("%d more must approve, and %s", n, what)
	}
	if c := t.def.confirms(*t.state); c != nil {
		what += ", which " + c.Host() + " confirms"
	}
	t.next(what, time.Time{})
}

// missing is how many approvals a barrier still wants.
func (s State) missing(d *Definition, b Barrier) int {
	need := d.Approvals.Ramp
	if b == ToFull {
		need = d.Approvals.Full
	}
	for _, a := range s.Approved {
		if a.For == b {
			need--
		}
	}
	return max(0, need)
}

func (t *ticker) full() {
	old := 0
	for i := range t.facts.Stores {
		s := &t.facts.Stores[i]
		old += s.Verdict.Clients - s.Verdict.Readers
	}
	if old > 0 {
		t.next(fmt.Sprintf("no client is active any more that can only emit the old version; there are %d", old), time.Time{})
		return
	}
	t.enter(Draining, 0)
	t.changed("advance", "every active client emits the new version")
	t.drain()
}

func (t *ticker) drain() {
	horizon := t.def.Horizon
	at := later(t.state.Since, t.facts.OldSeen).Add(horizon)
	if t.facts.Unread > 0 {
		t.next(fmt.Sprintf("it is drained, when %d logs that can't be read were", t.facts.Unread), time.Time{})
		return
	}
	if t.now.Before(at) {
		t.next("it is drained, if no event of the old version comes", at)
		return
	}
	t.enter(Drained, 0)
	t.changed("advance", "no event of the old version came for %s", horizon)
	t.next(idle(Drained), time.Time{})
}

// Due are the templates that a tick now should measure.
func Due(now time.Time, d *Definition, s State) []Template {
	var out []Template
	for _, r := range s.Analysis {
		if t, ok := d.Template(r.Template); ok && s.Paused == nil && r.Outcome == Running && s.Phase == Ramp && !now.Before(r.NextDue) {
			out = append(out, t)
		}
	}
	return out
}
