package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/rollout"
)

// TestRolloutByPeople: a closed gate is a conflict, tokens are people, and what is not ready takes an approver.
func TestRolloutByPeople(t *testing.T) {
	w := newWorld(t, nil)
	w.seeClients(t, "1.1.0")
	secret := func(role control.Role, person string) string {
		_, s := w.token(t, control.Token{Role: role, Person: person})
		return s
	}
	ana, anaApproves, ben, benToo := secret(control.RoleOperator, "ana"), secret(control.RoleApprover, "Ana "), secret(control.RoleApprover, "ben"), secret(control.RoleApprover, "ben")
	do := func(as, action, body string, want int) (p api.Problem, r operate.RolloutResult) {
		t.Helper()
		status, _, text := w.ask(t, http.MethodPost, "/v1/rollouts/promote/"+action, as, body)
		if status != want {
			t.Fatalf("%s: %d %s", action, status, text)
		}
		if status == 200 {
			return p, decode[operate.RolloutResult](t, text)
		}
		return decode[api.Problem](t, text), r
	}
	if _, r := do(ana, "start", `{"dryRun":true}`, 200); r.Phase != rollout.ReadersShipping || !r.DryRun {
		t.Errorf("%+v", r)
	}
	do(ana, "start", `{"reason":"1.1.0 is out"}`, 200)
	if _, err := w.Operate.Tick(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	do(ana, "promote", `{}`, 200) // to the point of no return
	if p, _ := do(ana, "promote", `{}`, 409); p.Code != errs.Stale || !strings.Contains(p.Hint, "--full") ||
		!slices.Contains(p.NextActions, "headgate rollout promote promote --full --env prod") {
		t.Errorf("%+v", p)
	}
	if p, _ := do(ana, "promote", `{"full":true}`, 409); p.Code != errs.Stale || !strings.Contains(p.Detail, "1 more must approve") {
		t.Errorf("%+v", p)
	}
	do(ana, "approve", `{}`, 403)
	if p, _ := do(anaApproves, "approve", `{}`, 409); !strings.Contains(p.Detail, "started the rollout, so someone else approves it") {
		t.Errorf("%+v", p)
	}
	if p, _ := do(ana, "promote", `{"full":true,"force":true,"reason":"hurry"}`, 403); !strings.Contains(p.Hint, "takes an approver") {
		t.Errorf("%+v", p)
	}
	do(ben, "approve", `{}`, 200)
	if p, _ := do(benToo, "approve", `{}`, 400); !strings.Contains(p.Detail, "no approval is missing") {
		t.Errorf("%+v", p)
	}
	_, changed := w.flags.Revision()
	if _, r := do(ana, "promote", `{"full":true}`, 200); r.Phase != rollout.Full {
		t.Errorf("%+v", r)
	}
	<-changed // the flags follow at once
	_, _, text := w.ask(t, http.MethodGet, "/v1/rollouts/promote/history", ana, "")
	if !strings.Contains(text, `"actor":"ben","action":"rollout.approve"`) {
		t.Errorf("the history does not say who approved: %s", text)
	}
}

// TestTwoTokensOfOnePersonAreOneApprover, where two are wanted.
func TestTwoTokensOfOnePersonAreOneApprover(t *testing.T) {
	w := newWorld(t, nil)
	digest := "sha256-" + strings.Repeat("a", 64)
	for _, person := range []string{"ben", "ben", "cleo"} {
		_, secret := w.token(t, control.Token{Role: control.RoleApprover, Person: person})
		if status, _, body := w.ask(t, http.MethodPost, "/v1/plans/"+digest+"/approve", secret, `{}`); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	got, err := w.Operate.PlanApprovals(t.Context(), digest)
	if err != nil || len(got) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestBroughtCensus speaks for the sync backend only where an operator says so.
func TestBroughtCensus(t *testing.T) {
	w := newWorld(t, nil)
	_, ci := w.token(t, control.Token{Role: control.RoleCI})
	_, operator := w.token(t, control.Token{Role: control.RoleOperator})
	bring := func(as, from string, want int) {
		t.Helper()
		body := `{"source":"x.csv","from":"` + from + `","clients":[{"storeId":"s1","clientId":"a","release":"1.1.0","lastSeen":"2026-01-01T00:00:00Z"}]}`
		if status, _, text := w.ask(t, http.MethodPost, "/v1/census", as, body); status != want {
			t.Errorf("from %q: %d %s", from, status, text)
		}
	}
	bring(ci, "telemetry", 200)
	bring(ci, "", 200)
	bring(ci, "sync", 403)
	bring(ci, "rumour", 400)
	bring(operator, "sync", 200)
}

// TestLogsThatDoNotAnswer hold no status up: it says what was not read.
func TestLogsThatDoNotAnswer(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Operate.CountTime = 50 * time.Millisecond
		o.Operate.OpenLog = func(ctx context.Context, _ config.Store) (eventlog.Reader, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	w.prepare(t)
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	status, _, body := w.ask(t, http.MethodGet, "/v1/rollouts/promote?logs=true", viewer, "")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if s := decode[operate.RolloutStatus](t, body); len(s.Committed.Unread) != 5 || !strings.Contains(s.Committed.Unread[4].Error, "no time") {
		t.Errorf("%+v", s.Committed)
	}
}
