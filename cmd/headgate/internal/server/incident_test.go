package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/internal/control"
)

// TestHoldIncident: one process at a time carries out an incident's plan. What it holds has a fence that only grows, and whoever
// lost it neither renews it nor gives it back for the next one.
func TestHoldIncident(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	ask := func(what, owner string, fence int64) (int, control.Lease, string) {
		status, _, body := w.ask(t, http.MethodPost, "/v1/incidents/2026-11-26-bad/"+what, secret, fmt.Sprintf(`{"owner":%q,"fence":%d}`, owner, fence), "Idempotency-Key", what+owner+fmt.Sprint(fence))
		if status != http.StatusOK {
			return status, control.Lease{}, body
		}
		return status, decode[control.Lease](t, body), body
	}
	hold := func(owner string, fence, want int64) control.Lease {
		t.Helper()
		status, l, body := ask("hold", owner, fence)
		if status != 200 || l.Name != "rollback/2026-11-26-bad" || l.Owner != owner || l.Fence != want || !l.ExpiresAt.After(w.now()) {
			t.Errorf("%s with fence %d: %d %s", owner, fence, status, body)
		}
		return l
	}
	locked := func(owner string, fence int64) {
		t.Helper()
		if status, _, body := ask("hold", owner, fence); status != http.StatusLocked {
			t.Errorf("%s with fence %d: %d %s", owner, fence, status, body)
		}
	}
	first := hold("ana/1/a", 0, 1)
	locked("ben/1/a", 0)
	locked("ben/1/a", 1)
	hold("ana/1/a", 0, 1) // the answer was lost, and it asks again
	w.advance(20 * time.Second)
	if renewed := hold("ana/1/a", 1, 1); !renewed.ExpiresAt.After(first.ExpiresAt) {
		t.Errorf("%+v was not renewed: %+v", first, renewed)
	}
	w.advance(20 * time.Second)
	locked("ben/1/a", 0)
	w.advance(20 * time.Second)
	locked("ana/1/a", 1) // it had run out
	hold("ben/1/a", 0, 2)
	locked("ana/1/a", 1)
	if status, _, body := ask("release", "ana/1/a", 1); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	locked("ana/1/a", 0)
	if status, _, body := ask("release", "ben/1/a", 2); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	hold("ana/1/a", 0, 3)
	if status, _, body := w.ask(t, http.MethodPost, "/v1/leases/break", secret, `{"name":"rollback/2026-11-26-bad","reason":"its machine is gone"}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	locked("ana/1/a", 3)
	for _, owner := range []string{"", strings.Repeat("x", 201)} {
		if status, _, body := ask("hold", owner, 0); status != http.StatusBadRequest {
			t.Errorf("%d %s", status, body)
		}
	}
}
