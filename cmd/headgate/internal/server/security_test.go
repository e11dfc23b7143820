package server

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout/ofrep"
)

// target is a path of the route that can be asked for.
func (r route) target() string {
	name := "start"
	if last := path.Base(r.path); r.method == http.MethodPost {
		name = last
	}
	return strings.NewReplacer("{key}", "event.TodoCreated", "{id}", "r1", "{name}", name, "{store}", "s2", "{digest}", "sha256-"+strings.Repeat("0", 64)).Replace(r.path)
}

// TestEveryRouteIsGuarded calls each route without a token, with ones that are not valid, and with each role.
func TestEveryRouteIsGuarded(t *testing.T) {
	w := newWorld(t, nil)
	secrets := map[control.Role]string{}
	for _, r := range control.Roles() {
		_, secrets[r] = w.token(t, control.Token{Role: r, App: "todo"})
	}
	_, expired := w.token(t, control.Token{Role: control.RoleApprover, ExpiresAt: w.now().Add(time.Millisecond)})
	gone, revoked := w.token(t, control.Token{Role: control.RoleApprover})
	if _, err := w.Operate.DB.RevokeToken(t.Context(), "prod", gone.ID, control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	_, foreign := w.token(t, control.Token{Role: control.RoleApprover, App: "another"})
	other, elsewhere, err := w.Operate.DB.CreateToken(t.Context(), control.Token{Env: "staging", Role: control.RoleApprover, Person: "ana", ExpiresAt: w.now().Add(time.Hour)}, control.By{Actor: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(time.Second)
	// What needs no token is listed here, so that a new route without one is a decision.
	open := []string{"/healthz", "/readyz", "/v1/openapi.json"}
	for _, rt := range routes() {
		w.failures = newLimiter(failuresPerSecond, failuresAtOnce, w.now)
		call := func(secret string, header ...string) (int, string) {
			status, _, body := w.ask(t, rt.method, rt.target(), secret, "{}", header...)
			return status, body
		}
		if (rt.needs == public) != slices.Contains(open, rt.path) {
			t.Errorf("%s needs %q", rt.pattern(), rt.needs)
		}
		if rt.needs == public {
			if status, body := call(""); status != 200 {
				t.Errorf("%s: %d %s", rt.pattern(), status, body)
			}
			continue
		}
		for name, secret := range map[string]string{
			"no token": "", "a wrong one": "hg_" + strings.Repeat("x", 43), "an expired one": expired, "a revoked one": revoked,
			"one of another environment": elsewhere, "a token's id": other.ID, "a hash": gone.Hash,
		} {
			if status, body := call(secret); status != 401 || !strings.Contains(body, `"`) {
				t.Errorf("%s with %s: %d %s", rt.pattern(), name, status, body)
			}
		}
		if status, body := call(foreign); status != 403 {
			t.Errorf("%s with a token of another app: %d %s", rt.pattern(), status, body)
		}
		for _, role := range control.Roles() {
			status, body := call(secrets[role])
			allowed := slices.Contains(permissions(role), rt.needs)
			if !allowed && status != 403 || allowed && (status == 401 || status == 403 || status >= 500) {
				t.Errorf("%s as %s: %d %s", rt.pattern(), role, status, body)
			}
			if role == control.RoleClient && allowed != rt.pages {
				t.Errorf("%s is for clients: %v, and it is %v that pages may call it", rt.pattern(), allowed, rt.protocol)
			}
		}
		if status, _ := call("", "X-API-Key", secrets[control.RoleApprover]); status == 401 || (status == 403) == slices.Contains(permissions(control.RoleApprover), rt.needs) {
			t.Errorf("%s with X-API-Key: %d", rt.pattern(), status)
		}
	}
	for _, secret := range append([]string{expired, revoked, foreign, elsewhere}, secrets[control.RoleClient], secrets[control.RoleViewer]) {
		if strings.Contains(w.log.text(), secret) {
			t.Error("the log has a token")
		}
	}
}

// TestClientTokens hold for their stores.
func TestClientTokens(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{"mine", "ours"}})
	for body, want := range map[string]int{
		`{"context":{"storeId":"mine"}}`:    200,
		`{"context":{"storeId":"ours"}}`:    200,
		`{"context":{"targetingKey":"u"}}`:  200, // for nobody in particular: the default
		`{"context":{"storeId":"foreign"}}`: 403,
	} {
		for _, path := range []string{ofrep.BulkPath, ofrep.BulkPath + "/event.TodoCreated"} {
			if status, _, text := w.ask(t, http.MethodPost, path, secret, body); status != want {
				t.Errorf("%s %s: %d %s", path, body, status, text)
			}
		}
	}
}

// TestTickets open the stream for a while, and nothing else.
func TestTickets(t *testing.T) {
	w := newWorld(t, nil)
	made, _ := w.token(t, control.Token{Role: control.RoleClient, App: "todo", ExpiresAt: w.now().Add(24 * time.Hour)})
	good := ticket(made, w.now())
	status := func(path string) int {
		t.Helper()
		got, _, _ := w.ask(t, http.MethodGet, path+"?ticket="+good, "", "")
		return got
	}
	if got := status(ofrep.StreamPath); got != 200 {
		t.Errorf("a good ticket: %d", got)
	}
	if got := status("/v1/status"); got != 401 {
		t.Errorf("a ticket at another route: %d", got)
	}
	id, rest, _ := strings.Cut(good, ".")
	expires, mac, _ := strings.Cut(rest, ".")
	for _, bad := range []string{"", "x", id + "." + expires + "." + strings.Repeat("A", len(mac)), id + ".9999999999." + mac, "ffffffffffff." + rest, id + ".x." + mac} {
		if got, _, _ := w.ask(t, http.MethodGet, ofrep.StreamPath+"?ticket="+bad, "", ""); got != 401 {
			t.Errorf("%q: %d", bad, got)
		}
	}
	if strings.Contains(w.log.text(), mac) {
		t.Error("the log has a ticket")
	}
	w.advance(2 * ticketSeconds * time.Second)
	if got := status(ofrep.StreamPath); got != 401 {
		t.Errorf("an old ticket: %d", got)
	}
	good = ticket(made, w.now())
	if _, err := w.Operate.DB.RevokeToken(t.Context(), "prod", made.ID, control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * tokenMemory)
	if got := status(ofrep.StreamPath); got != 401 {
		t.Errorf("the ticket of a revoked token: %d", got)
	}
}

// TestFailuresAreLimited stops an address that tries tokens, and lets the owners of good ones behind it go on: one that was
// here before and one that was not, with a token and with a ticket.
func TestFailuresAreLimited(t *testing.T) {
	w := newWorld(t, nil)
	_, good := w.token(t, control.Token{Role: control.RoleViewer})
	if status, _, body := w.ask(t, http.MethodGet, "/v1/status", good, ""); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	_, newcomer := w.token(t, control.Token{Role: control.RoleViewer})
	page, _ := w.token(t, control.Token{Role: control.RoleClient, App: "todo"})
	limited := 0
	for range 2 * failuresAtOnce {
		status, header, _ := w.ask(t, http.MethodGet, "/v1/status", "hg_nope", "")
		if status == 429 {
			limited++
			if header.Get("Retry-After") != "1" {
				t.Errorf("Retry-After %q", header.Get("Retry-After"))
			}
		}
	}
	if limited < failuresAtOnce-5 {
		t.Errorf("%d of %d were limited", limited, 2*failuresAtOnce)
	}
	w.advance(2 * tokenMemory)
	for range 2 * failuresAtOnce {
		if status, _, _ := w.ask(t, http.MethodGet, "/v1/status", "hg_nope", ""); status == 429 {
			break
		}
	}
	for _, secret := range []string{good, newcomer} {
		if status, _, body := w.ask(t, http.MethodGet, "/v1/status", secret, ""); status != 200 {
			t.Errorf("the owner of a good token: %d %s", status, body)
		}
	}
	if status, _, body := w.ask(t, http.MethodGet, ofrep.StreamPath+"?ticket="+ticket(page, w.now()), "", ""); status != 200 {
		t.Errorf("the owner of a good ticket: %d %s", status, body)
	}
	if status, _, body := w.ask(t, http.MethodPost, ofrep.BulkPath, "hg_nope", "{}"); status != 429 || !strings.Contains(body, `"errorCode":"GENERAL"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestOFREPIsLimited(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RatePerSecond = 1 })
	_, secret := w.token(t, control.Token{Role: control.RoleClient})
	var last int
	var header http.Header
	for range 10 {
		last, header, _ = w.ask(t, http.MethodPost, ofrep.BulkPath, secret, "{}")
	}
	if last != 429 || header.Get("Retry-After") != "1" || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", last, header)
	}
}

func TestBombs(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	large := `{"reason":"` + strings.Repeat("x", bodyLimit) + `"}`
	for _, tc := range []struct {
		name, path, body string
		status           int
	}{
		{"large", "/v1/runs/pause", large, 413},
		{"deep", "/v1/runs/pause", `{"reason":` + strings.Repeat("[", 20_000), 400},
		{"unknown field", "/v1/runs/pause", `{"reasons":"x"}`, 400},
		{"two documents", "/v1/runs/pause", `{}{}`, 400},
		{"no JSON", "/v1/runs/pause", "\xff\xfe", 400},
		{"empty", "/v1/runs/pause", "", 400},
		{"unknown parameter", "/v1/runs/pause?migration=x", `{}`, 400},
		{"large report", "/v1/rollouts/start/abort", large, 413},
		{"an action of another one", "/v1/rollouts/start/abort", `{"full":true}`, 400},
		{"large flags question", ofrep.BulkPath, `{"context":{"a":"` + strings.Repeat("x", ofrep.MaxBody) + `"}}`, 413},
	} {
		status, _, body := w.ask(t, http.MethodPost, tc.path, secret, tc.body)
		if status != tc.status {
			t.Errorf("%s: %d %s", tc.name, status, body)
		}
	}
	// A form, which a page can send anywhere without asking.
	status, header, body := w.ask(t, http.MethodPost, "/v1/runs/pause", secret, "a=b", "Content-Type", "application/x-www-form-urlencoded")
	if status != 400 || header.Get("Content-Type") != "application/problem+json" || header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v %s", status, header, body)
	}
}

// TestPagesCantUseTheAPI: a browser asks first whether a page of another origin may send a token, and is told nothing; the
// answer to one that a page gets sent all the same stays unread. A caller that is no browser may name any origin.
func TestPagesCantUseTheAPI(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	for _, rt := range routes() {
		if rt.handle == nil {
			continue
		}
		status, header, _ := w.ask(t, http.MethodOptions, rt.target(), "", "", "Origin", "https://evil.example", "Access-Control-Request-Method", rt.method, "Access-Control-Request-Headers", "authorization")
		if status != 404 || header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("OPTIONS %s: %d %v", rt.path, status, header)
		}
	}
	status, header, body := w.ask(t, http.MethodPost, "/v1/floor", secret, `{"release":"none"}`, "Origin", "https://evil.example", "Cookie", "token="+secret)
	if status != 200 || header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v %s", status, header, body)
	}
	if status, _, _ := w.ask(t, http.MethodPost, "/v1/floor", "", `{"release":"none"}`, "Cookie", "token="+secret); status != 401 {
		t.Errorf("a cookie is no token, and got %d", status)
	}
}

// TestWithoutTokens: pages elsewhere can't use a server that asks for none.
func TestWithoutTokens(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NoAuth = true })
	if status, _, body := w.ask(t, http.MethodGet, "/v1/status", "", ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, _, _ := w.ask(t, http.MethodPost, "/v1/runs/pause", "", "{}", "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); status != 403 {
		t.Errorf("a page of another origin: %d", status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example:7431" // a name that points here now
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 403 {
		t.Errorf("under another name: %d", res.StatusCode)
	}
}

func TestExposedAddressesAreRefused(t *testing.T) {
	for _, tc := range []struct {
		o  Options
		ok bool
	}{
		{Options{Listen: "127.0.0.1:0"}, true},
		{Options{Listen: "[::1]:0"}, true},
		{Options{Listen: "localhost:7431", NoAuth: true}, true},
		{Options{Listen: "0.0.0.0:7431"}, false},
		{Options{Listen: ":7431"}, false},
		{Options{Listen: "10.0.0.1:7431", Cert: "c"}, false},
		{Options{Listen: "10.0.0.1:7431", Cert: "c", Key: "k"}, true},
		{Options{Listen: "10.0.0.1:7431", InsecureHTTP: true}, true},
		{Options{Listen: "10.0.0.1:7431", InsecureHTTP: true, NoAuth: true}, false},
		{Options{Listen: "7431"}, false},
	} {
		if err := tc.o.check(); (err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc.o.Listen, err)
		}
	}
}
