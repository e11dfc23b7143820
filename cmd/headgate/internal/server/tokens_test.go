package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// TestTokensThroughTheServer: nobody makes one that can do more than their own, or that acts as somebody else.
func TestTokensThroughTheServer(t *testing.T) {
	w := newWorld(t, nil)
	until := w.now().Add(time.Hour).Truncate(time.Second)
	_, operator := w.token(t, control.Token{Role: control.RoleOperator, Person: "ana", ExpiresAt: until})
	_, approver := w.token(t, control.Token{Role: control.RoleApprover, Person: "ben", ExpiresAt: until})
	create := func(secret string, in api.CreateToken, header ...string) (int, operate.NewToken, string) {
		t.Helper()
		if in.ExpiresAt.IsZero() {
			in.ExpiresAt = until
		}
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		status, _, text := w.ask(t, http.MethodPost, "/v1/tokens", secret, string(body), header...)
		var made operate.NewToken
		if status == 200 {
			made = decode[operate.NewToken](t, text)
		}
		return status, made, text
	}
	for _, tc := range []struct {
		secret string
		in     api.CreateToken
		want   int
	}{
		{operator, api.CreateToken{Role: control.RoleViewer}, 200},
		{operator, api.CreateToken{Role: control.RoleCI, ExpiresAt: until.Add(24 * time.Hour)}, 200},
		{operator, api.CreateToken{Role: control.RoleWorker}, 200},
		{operator, api.CreateToken{Role: control.RoleClient, Stores: []string{"s1"}}, 200},
		{operator, api.CreateToken{Role: control.RoleOperator, Person: " Ana"}, 200},
		{operator, api.CreateToken{Role: control.RoleOperator}, 400},
		{operator, api.CreateToken{Role: control.RoleOperator, Person: "ben"}, 403},
		{operator, api.CreateToken{Role: control.RoleOperator, Person: "ana", ExpiresAt: until.Add(time.Hour)}, 403},
		{operator, api.CreateToken{Role: control.RoleApprover, Person: "ana"}, 403},
		{approver, api.CreateToken{Role: control.RoleApprover, Person: "carl"}, 403},
		{approver, api.CreateToken{Role: control.RoleApprover, Person: "ben"}, 200},
		{operator, api.CreateToken{Role: control.RoleClient, App: "another"}, 403},
		{operator, api.CreateToken{Role: "king"}, 400},
	} {
		status, made, text := create(tc.secret, tc.in)
		if status != tc.want || status == 200 && (made.App != "todo" || made.Env != "prod" || !strings.HasPrefix(made.Secret, "hg_")) {
			t.Errorf("%+v: %d %s", tc.in, status, text)
		}
	}
	// A key that comes twice makes two: the answer with the secret is kept nowhere.
	_, first, _ := create(operator, api.CreateToken{Role: control.RoleViewer}, api.KeyHeader, "k")
	_, second, _ := create(operator, api.CreateToken{Role: control.RoleViewer}, api.KeyHeader, "k")
	if first.Secret == second.Secret || first.Secret == "" {
		t.Error("the secret was kept")
	}
	if status, _, body := w.ask(t, http.MethodGet, "/v1/status", first.Secret, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	_, _, list := w.ask(t, http.MethodGet, "/v1/tokens", operator, "")
	if strings.Contains(list, "hg_") || strings.Contains(list, "hash") || len(decode[operate.TokenList](t, list).Tokens) != 10 {
		t.Error(list)
	}
	if status, _, body := w.ask(t, http.MethodPost, "/v1/tokens/"+first.ID+"/revoke", operator, `{"reason":"lost"}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	w.advance(2 * tokenMemory)
	if status, _, _ := w.ask(t, http.MethodGet, "/v1/status", first.Secret, ""); status != 401 {
		t.Errorf("a revoked token: %d", status)
	}
	if strings.Contains(w.log.text(), first.Secret) {
		t.Error("the log has a token")
	}
	for body, want := range map[string]int{`{"name":"store/x"}`: 400, `{"name":"store/x","reason":"gone"}`: 404} {
		if status, _, text := w.ask(t, http.MethodPost, "/v1/leases/break", operator, body); status != want {
			t.Errorf("%d %s", status, text)
		}
	}
}
