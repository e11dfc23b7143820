package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
)

// A Command is what someone wants of a rollout. The words are stable.
type Command string

const (
	Start   Command = "start"   // a draft, or one that was aborted or undone
	Hold    Command = "pause"   // what is open stays open
	Resume  Command = "resume"  // and repeat the step's analysis
	Promote Command = "promote" // to the next step or phase, without waiting
	Finish  Command = "full"    // past the point of no return
	Approve Command = "approve"
	Abort   Command = "abort" // out of the ramp: weight 0
	Undo    Command = "undo"  // after Full: weight 0
)

// A Request is a command by someone.
type Request struct {
	Command Command
	By      string
	Reason  string
	Force   bool // in spite of what is not ready; needs a reason
}

// Act does what someone asks. What the state does not allow is errs.Invalid; what must wait for an approval, an analysis,
// a freeze or the readers is errs.Stale, which Force with a reason overrides where it says so. An abort is never held.
func Act(now time.Time, d *Definition, s State, f Facts, r Request) (Decision, error) {
	if r.Force && strings.TrimSpace(r.Reason) == "" {
		return Decision{}, errs.Invalidf("--force needs a reason").Hintf("the audit keeps it: --force --reason TEXT")
	}
	t := ticker{now: now, def: d, facts: f, out: Decision{State: s}}
	t.state = &t.out.State
	if r.Command != Start && r.Command != Abort && r.Command != Undo && s.Phase.Active() && d.Identity() != s.Identity {
		return Decision{}, errs.Refusedf("RO104: the rollout was started with %s, the file has %s", s.Identity, d.Identity()).
			At("%s:%d", d.Path, d.Events[0].Line).Hintf("put it back: another key or order gives the stores other places; abort goes through all the same")
	}
	var err error
	switch r.Command {
	case Start:
		err = t.start(r)
	case Hold:
		err = t.pause(r)
	case Resume:
		err = t.resume()
	case Promote:
		err = t.promote(r)
	case Finish:
		err = t.finish(r)
	case Approve:
		err = t.approve(r)
	case Abort:
		err = t.abort(r)
	case Undo:
		err = t.undo(r)
	default:
		err = errs.New(errs.Internal, "there is no command %q", r.Command)
	}
	if err != nil {
		return Decision{}, err
	}
	t.out.Action, t.out.Changed = string(r.Command), true
	if r.Reason != "" {
		t.out.Reasons = append(t.out.Reasons, r.Reason)
	}
	if r.Force {
		t.out.Reasons = append(t.out.Reasons, "forced")
	}
	return t.out, nil
}

// not refuses a command that the phase does not have.
func (t *ticker) not(verb, hint string, args ...any) error {
	return errs.Invalidf("the rollout can't be %s: its phase is %s", verb, t.state.Phase).Hintf(hint, args...)
}

func (t *ticker) start(r Request) error {
	if t.state.Phase != Draft && t.state.Phase != Aborted && t.state.Phase != Undone {
		return t.not("started", "it was started already")
	}
	if t.facts.Floor == "" {
		return errs.New(errs.Stale, "no recorded release defines and materializes %s", strings.Join(t.def.New(), " and ")).
			Hintf("record the release that does").Then("headgate release add VERSION")
	}
	t.enter(ReadersShipping, 0)
	t.state.Attempt++
	t.state.Revision++ // the flags are published closed
	t.state.Identity, t.state.Floor, t.state.Started, t.state.Approved = t.def.Identity(), t.facts.Floor, r.By, nil
	t.next("a client is seen on "+t.state.Floor+" or later", time.Time{})
	return nil
}

func (t *ticker) pause(r Request) error {
	switch {
	case !t.state.Phase.Ramping():
		return t.not("paused", "only a rollout that ramps up stands still")
	case t.state.Paused != nil:
		return errs.Invalidf("the rollout is paused already, by %s: %s", t.state.Paused.By, t.state.Paused.Reason)
	}
	t.state.Paused = &Pause{By: r.By, Reason: r.Reason, At: t.now}
	t.next("someone resumes it; what is open stays open", time.Time{})
	return nil
}

func (t *ticker) resume() error {
	if t.state.Paused == nil {
		return errs.Invalidf("the rollout is not paused")
	}
	if t.facts.Stopped != "" {
		return errs.New(errs.Stale, "everything is stopped: %s", t.facts.Stopped).Hintf("`headgate stop --lift` lets rollouts advance again")
	}
	phase := t.state.Phase
	t.enter(phase, t.state.Step) // the step bakes anew
	t.next("the step begins anew", t.now)
	return nil
}

// ready refuses to advance while something holds it.
func (t *ticker) ready(r Request, b Barrier) error {
	if r.Force {
		return nil
	}
	stale := func(format string, args ...any) *errs.Error { return errs.New(errs.Stale, format, args...) }
	if n := t.state.missing(t.def, b); n > 0 && b != "" {
		return stale("%d more must approve before %s", n, b).Hintf("someone other than %s approves; or --force --reason TEXT, which the audit keeps", t.state.Started).
			Then("headgate rollout approve " + t.def.Name)
	}
	if why, when := t.held(); why != "" {
		e := stale("held: %s", why).Hintf("or --force --reason TEXT, which the audit keeps")
		if !when.IsZero() {
			e.Hintf("until %s; or --force --reason TEXT, which the audit keeps", when.UTC().Format(time.RFC3339))
		}
		return e
	}
	for _, run := range t.state.Analysis {
		if run.Outcome != Successful {
			return stale("analysis %s is %s, not successful", run.Template, run.Outcome).Hintf("wait for it; or --force --reason TEXT, which the audit keeps")
		}
	}
	return nil
}

func (t *ticker) promote(r Request) error {
	confirm := ConfirmFor(Promote, t.def, *t.state)
	switch t.state.Phase {
	case ReaderGate:
		if err := t.ready(r, ToRamp); err != nil {
			return err
		}
		if len(t.openable(0)) == 0 {
			return errs.New(errs.Stale, "no store of the first step is eligible").Hintf("a store opens only when its readers are there; a waiver in the file lets one through").
				Then("headgate rollout status " + t.def.Name)
		}
		if err := t.agreed(r, confirm); err != nil {
			return err
		}
		t.enter(Ramp, 0)
		t.open(0)
		t.waitForStep()
	case Ramp:
		if err := t.ready(r, ""); err != nil {
			return err
		}
		if err := t.agreed(r, confirm); err != nil {
			return err
		}
		if t.state.Step+1 == len(t.def.Steps) {
			t.enter(PointOfNoReturn, t.state.Step)
			t.next("someone promotes it to all stores", time.Time{})
			return nil
		}
		t.enter(Ramp, t.state.Step+1)
		t.open(t.state.Step)
		t.waitForStep()
	case Drained:
		t.enter(Retired, 0)
		t.next(idle(Retired), time.Time{})
	case PointOfNoReturn:
		return errs.New(errs.Stale, "the next step opens every store, those too that are not listed").
			Hintf("say so: --full").Then("headgate rollout promote " + t.def.Name + " --full")
	default:
		return t.not("promoted", "%s", "what happens next: "+idleOr(t.state.Phase))
	}
	return nil
}

func idleOr(p Phase) string {
	if p == ReadersShipping {
		return "a client is seen that reads the new version"
	}
	if p == Full || p == Draining {
		return "it drains by itself"
	}
	return idle(p)
}

func (t *ticker) finish(r Request) error {
	if t.state.Phase != PointOfNoReturn {
		return t.not("promoted to all stores", "it must be at the point of no return")
	}
	if err := t.ready(r, ToFull); err != nil {
		return err
	}
	if n := t.facts.Count(); !r.Force && n.Stores > n.Eligible {
		return errs.New(errs.Stale, "%d of %d stores are not eligible: %d waiting, %d blocked, %d unobserved", n.Stores-n.Eligible, n.Stores, n.Waiting, n.Blocked, n.Unobserved).
			Hintf("their old clients would skip the new events; wait, set a floor, or --force --reason TEXT, which the audit keeps").
			Then("headgate rollout status " + t.def.Name)
	}
	if err := t.agreed(r, ConfirmFor(Finish, t.def, *t.state)); err != nil {
		return err
	}
	t.enter(Full, 0)
	t.state.Revision++
	t.next("no client is active any more that can only emit the old version", time.Time{})
	return nil
}

func (t *ticker) approve(r Request) error {
	barrier := ToRamp
	switch t.state.Phase {
	case ReadersShipping, ReaderGate:
	case Ramp, PointOfNoReturn:
		barrier = ToFull
	default:
		return t.not("approved", "approvals are for a rollout that was started and is not full")
	}
	switch {
	case t.state.missing(t.def, barrier) == 0:
		return errs.Invalidf("no approval is missing for %s", barrier)
	case SamePerson(r.By, t.state.Started):
		return errs.New(errs.Stale, "%s started the rollout, so someone else approves it", r.By).
			Hintf("HEADGATE_ACTOR says who acts, and through a server the person that a token is for")
	case slices.ContainsFunc(t.state.Approved, func(a Approval) bool { return a.For == barrier && SamePerson(a.By, r.By) }):
		return errs.Invalidf("%s has approved %s already", r.By, barrier)
	}
	t.state.Approved = append(slices.Clone(t.state.Approved), Approval{For: barrier, By: r.By, At: t.now})
	if n := t.state.missing(t.def, barrier); n > 0 {
		t.next(fmt.Sprintf("%d more must approve", n), time.Time{})
	} else {
		t.next("nothing is missing for "+string(barrier), time.Time{})
	}
	return nil
}

// SamePerson reports whether two names are one person's: how they are typed makes nobody two people.
func SamePerson(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

func (t *ticker) abort(r Request) error {
	if !t.state.Phase.Ramping() {
		hint := "nothing of it is open"
		if t.state.Phase.Open() {
			hint = "every store has it: `headgate rollout undo` goes back to the old version"
		}
		return t.not("aborted", "%s", hint)
	}
	t.close(Aborted)
	return nil
}

func (t *ticker) undo(r Request) error {
	switch {
	case t.state.Phase.Ramping():
		return t.not("undone", "it is not full: `headgate rollout abort`")
	case !t.state.Phase.Open() || t.state.Phase == Retired:
		return t.not("undone", "only what is full can be undone; the app of a retired one no longer emits the old version")
	case strings.TrimSpace(r.Reason) == "":
		return errs.Invalidf("an undo needs a reason").Hintf("the audit keeps it: --reason TEXT")
	}
	t.close(Undone)
	return nil
}

// close takes the new version back from all stores. What was committed stays.
func (t *ticker) close(p Phase) {
	t.enter(p, t.state.Step)
	t.state.Revision++
	t.out.Close = true
	t.next(idle(p), time.Time{})
}
