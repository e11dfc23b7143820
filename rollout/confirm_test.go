package rollout_test

import (
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

const confirmedFile = `events: {TodoCreated: {from: v1, to: v2}}
floor: 1.1.0
steps:
  - {weight: 50, pause: 1h, confirm: {url: "https://deploy.internal/ok?token=hunter2", timeout: 3s, every: 5m, headers: {Authorization: DEPLOY_AUTH}}}
  - {weight: 100, pause: 1h, confirm: {url: "http://127.0.0.1:9"}}
`

func TestConfirmHoldsAStep(t *testing.T) {
	d, err := rollout.ParseDefinition([]byte(confirmedFile), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c := d.Steps[0].Confirm
	if c.Host() != "deploy.internal" || c.Timeout != 3*time.Second || c.Every != 5*time.Minute || c.Headers["Authorization"] != "DEPLOY_AUTH" || d.Steps[1].Confirm.Every != time.Minute {
		t.Fatalf("%+v", c)
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	s := rollout.State{Phase: rollout.Ramp, Since: now, Attempt: 1, Revision: 2, Identity: d.Identity(), Floor: "1.1.0", Started: "ana"}
	answer := func(ok bool, why string) rollout.Facts {
		return rollout.Facts{Floor: "1.1.0", Confirmation: &rollout.Confirmation{OK: ok, Why: why, At: now}}
	}
	due := func(f rollout.Facts) bool { return rollout.ConfirmDue(now, d, s, f) != nil }
	if due(rollout.Facts{}) {
		t.Error("asked before the step has lasted")
	}
	now = now.Add(time.Hour)
	if !due(rollout.Facts{}) || due(rollout.Facts{Stopped: "fire"}) {
		t.Error("when it is asked")
	}
	if got := rollout.Decide(now, d, s, rollout.Facts{}); got.Changed || got.State.Step != 0 {
		t.Errorf("without an answer: %+v", got)
	}
	refused := rollout.Decide(now, d, s, answer(false, "deploy.internal answers 503: a deployment runs"))
	if refused.State.Step != 0 || refused.Action != "confirm" || !strings.Contains(refused.Reasons[0], "a deployment runs") || !refused.Next.When.Equal(now.Add(5*time.Minute)) {
		t.Fatalf("%+v", refused)
	}
	s = refused.State
	if due(rollout.Facts{}) {
		t.Error("asked again at once")
	}
	if got := rollout.Decide(now, d, s, rollout.Facts{}); got.Changed || !strings.Contains(got.Next.What, "a deployment runs") {
		t.Errorf("what a status shows: %+v", got)
	}
	now = now.Add(5 * time.Minute)
	if same := rollout.Decide(now, d, s, answer(false, s.Confirm.Why)); same.Action != "measure" || !same.State.Confirm.At.Equal(now) {
		t.Errorf("the same again is not for the audit: %+v", same)
	}
	// A person's promotion is held, too, unless it is forced; an abort is not.
	_, err = rollout.Act(now, d, s, answer(false, "deploy.internal answers 503"), rollout.Request{Command: rollout.Promote, By: "ana"})
	if errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), "answers 503") {
		t.Errorf("%v", err)
	}
	if _, err := rollout.Act(now, d, s, rollout.Facts{}, rollout.Request{Command: rollout.Promote, By: "ana"}); errs.CodeOf(err) != errs.Stale {
		t.Errorf("nobody was asked: %v", err)
	}
	if got, err := rollout.Act(now, d, s, rollout.Facts{}, rollout.Request{Command: rollout.Promote, By: "ana", Force: true, Reason: "it is down"}); err != nil || got.State.Step != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := rollout.Act(now, nil, s, rollout.Facts{}, rollout.Request{Command: rollout.Abort, By: "ana"}); err != nil || got.State.Phase != rollout.Aborted || got.State.Confirm != nil {
		t.Errorf("%+v, %v", got, err)
	}
	passed := rollout.Decide(now, d, s, answer(true, "deploy.internal confirmed it"))
	if passed.State.Step != 1 || passed.State.Confirm != nil || passed.Action != "advance" || !strings.Contains(strings.Join(passed.Reasons, " "), "deploy.internal confirmed it") {
		t.Fatalf("%+v", passed)
	}
	// The last step is not left for the point of no return without a word either.
	s = passed.State
	now = now.Add(time.Hour)
	if got := rollout.Decide(now, d, s, answer(false, "no")); got.State.Phase != rollout.Ramp {
		t.Errorf("%+v", got)
	}
	if got := rollout.Decide(now, d, s, answer(true, "yes")); got.State.Phase != rollout.PointOfNoReturn {
		t.Errorf("%+v", got)
	}
}

// TestConfirmBeforeWhateverOpens: the rollout's own confirm is asked before the first step, before each next one that has none,
// and before all stores.
func TestConfirmBeforeWhateverOpens(t *testing.T) {
	d, err := rollout.ParseDefinition([]byte(`events: {TodoCreated: {from: v1, to: v2}}
confirm: {url: "https://all.internal/ok"}
approvals: {ramp: 1}
steps: [{weight: 50, pause: 1h}, {weight: 100, pause: 1h, confirm: {url: "https://last.internal/ok"}}]
`), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	s := rollout.State{Phase: rollout.ReaderGate, Since: now, Attempt: 1, Revision: 1, Identity: d.Identity(), Floor: "1.1.0", Started: "ana"}
	facts := func(readiness rollout.Readiness, answer ...string) rollout.Facts {
		f := rollout.Facts{Floor: "1.1.0"}
		for _, id := range []livestore.StoreID{"a", "b", "c", "d", "e", "f", "g", "h"} {
			f.Stores = append(f.Stores, rollout.StoreFact{ID: id, Verdict: rollout.Verdict{Readiness: readiness, Clients: 1, Readers: 1}})
		}
		if len(answer) > 0 {
			f.Confirmation = &rollout.Confirmation{OK: answer[0] == "yes", Why: "all.internal says " + answer[0], At: now}
		}
		return f
	}
	host := func(f rollout.Facts) string {
		if c := rollout.ConfirmDue(now, d, s, f); c != nil {
			return c.Host()
		}
		return ""
	}
	act := func(f rollout.Facts, r rollout.Request) (rollout.Decision, error) {
		r.By = "bo"
		return rollout.Act(now, d, s, f, r)
	}

	ready := facts(rollout.Eligible)
	if got := host(ready); got != "" {
		t.Errorf("%s is asked while an approval is missing", got)
	}
	s.Approved = []rollout.Approval{{For: rollout.ToRamp, By: "bo", At: now}}
	if got := host(facts(rollout.Blocked)); got != "" {
		t.Errorf("%s is asked while nothing can open", got)
	}
	if got := host(ready); got != "all.internal" {
		t.Errorf("before the first step %q is asked", got)
	}
	if got := rollout.Decide(now, d, s, ready); got.Changed || len(got.Open) > 0 || !strings.Contains(got.Next.What, "all.internal confirms it") {
		t.Errorf("without an answer: %+v", got)
	}
	refused := rollout.Decide(now, d, s, facts(rollout.Eligible, "no"))
	if refused.State.Phase != rollout.ReaderGate || refused.Action != "confirm" || len(refused.Open) > 0 || refused.State.Confirm == nil {
		t.Fatalf("%+v", refused)
	}
	for what, f := range map[string]rollout.Facts{"has not confirmed it": ready, "all.internal says no": facts(rollout.Eligible, "no")} {
		if _, err := act(f, rollout.Request{Command: rollout.Promote}); errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, err := act(ready, rollout.Request{Command: rollout.Promote, Force: true, Reason: "it is down"}); err != nil || len(got.Open) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	opened := rollout.Decide(now, d, s, facts(rollout.Eligible, "yes"))
	if opened.State.Phase != rollout.Ramp || len(opened.Open) == 0 || opened.Reasons[0] != "all.internal says yes" {
		t.Fatalf("%+v", opened)
	}

	s, now = opened.State, now.Add(time.Hour)
	if got := host(ready); got != "all.internal" {
		t.Errorf("before the second step %q is asked", got)
	}
	s = rollout.Decide(now, d, s, facts(rollout.Eligible, "yes")).State
	now = now.Add(time.Hour)
	if got := host(ready); s.Step != 1 || got != "last.internal" {
		t.Errorf("step %d has its own, %q is asked", s.Step, got)
	}
	s = rollout.Decide(now, d, s, facts(rollout.Eligible, "yes")).State

	full := rollout.Request{Command: rollout.Finish}
	status := rollout.Decide(now, d, s, ready).Next.What
	if c := rollout.ConfirmFor(rollout.Finish, d, s); s.Phase != rollout.PointOfNoReturn || c == nil || c.Host() != "last.internal" || host(ready) != "" || !strings.Contains(status, "last.internal confirms") {
		t.Errorf("%+v, %+v, %q", s, c, status)
	}
	if _, err := act(facts(rollout.Eligible, "no"), full); errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), "says no") {
		t.Errorf("%v", err)
	}
	if _, err := act(ready, full); errs.CodeOf(err) != errs.Stale {
		t.Errorf("nobody was asked: %v", err)
	}
	if got, err := act(facts(rollout.Eligible, "yes"), full); err != nil || got.State.Phase != rollout.Full || got.Reasons[0] != "all.internal says yes" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestConfirmIsParsedStrictly(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                             "confirm.url is missing",
		`{url: "ftp://hunter2"}`:         "is not an http",
		`{url: "https://me:hunter2@x"}`:  "is not an http",
		`{url: "http://x", timeout: 2m}`: "above 1m",
		`{url: "http://x", headers: {A: "Bearer hunter2"}}`: "is not the name of an environment variable",
		`{url: "http://x", headers: {"A:": B}}`:             "is not the name of a header",
		`{url: "http://x", retries: 3}`:                     `unknown key`,
	} {
		_, err := rollout.ParseDefinition([]byte("events: {A: {from: v1, to: v2}}\nsteps: [{weight: 1, pause: 1h, confirm: "+text+"}]\n"), "x.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
