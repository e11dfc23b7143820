package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout/ofrep"
)

// seed puts stores, a run and clients into the database.
func (w *world) seed(t testing.TB) {
	t.Helper()
	db, by := w.Operate.DB, control.By{Actor: "ana", Reason: "test"}
	var stores []control.Store
	var in []control.RunStore
	for i := range 5 {
		id := fmt.Sprintf("s%d", i)
		stores = append(stores, control.Store{ID: id, Schema: "main", Log: "file:x", State: control.StoreActive})
		in = append(in, control.RunStore{Store: id, Due: 3})
	}
	if _, err := db.Sync(t.Context(), "prod", control.Values(stores), by); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"r1", "r2", "r3"} {
		if _, err := db.CreateRun(t.Context(), control.Run{ID: id, Env: "prod", Migration: "00001_dates", Checksum: "c"}, control.Values(in), by); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Acquire(t.Context(), control.Lease{Env: "prod", Name: "store/s1", Owner: "one"}, time.Hour); err != nil {
		t.Fatal(err)
	}
}

// bodies are what typed POST routes are sent.
func bodies() map[string]string {
	return map[string]string{
		"/v1/tokens": `{"role":"viewer","app":"todo","expiresAt":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `","reason":"x"}`, "/v1/tokens/{token}/revoke": `{"reason":"x"}`,
		"/v1/leases/break":              `{"name":"gone","reason":"x"}`,
		"/v1/runs/pause":                `{"migration":"00001_dates","reason":"lunch"}`,
		"/v1/runs/resume":               `{}`,
		"/v1/runs/cancel":               `{"reason":"wrong migration"}`,
		"/v1/census":                    `{"source":"test","clients":[{"storeId":"s1","clientId":"a","release":"1.2.0","lastSeen":"2026-01-01T00:00:00Z"}]}`,
		"/v1/reports":                   `{"version":1,"dropped":0,"reports":[{"storeId":"s1","schema":"main","clientId":"ann","release":"1.1.0","kind":"pull","count":2}]}`,
		"/v1/floor":                     `{"release":"1.2.0","reason":"reads v2"}`,
		"/v1/reset/arm":                 `{"stores":["s1"],"perHour":2,"reason":"damaged files","dryRun":true}`,
		"/v1/stores/{store}/forget":     `{"reason":"its backend was reset"}`,
		"/v1/incidents/{incident}/hold": `{"owner":"laptop/1/a"}`, "/v1/incidents/{incident}/release": `{"owner":"laptop/1/a","fence":1}`,
		"/v1/incidents/{incident}/record": `{"action":"plan","remedy":"floor","plan":"sha256-0","loses":["what was not sent"],"reason":"hurry"}`,
		"/v1/webhook/retry":               `{"reason":"it is back"}`,
		"/v1/reset/fire":                  `{"perHour":2,"reason":"go","dryRun":true}`,
		"/v1/reset/cancel":                `{"reason":"it does not help"}`,
		"/v1/stop":                        `{"reason":"todos disappear"}`,
		"/v1/stop/lift":                   `{"reason":"they are back"}`,
		"/v1/rollouts/{name}/start":       `{"reason":"1.1.0 is out"}`,
		"/v1/rollouts/{name}/pause":       `{"reason":"lunch"}`,
		"/v1/rollouts/{name}/resume":      `{}`,
		"/v1/rollouts/{name}/promote":     `{"reason":"looks well","full":false}`,
		"/v1/rollouts/{name}/approve":     `{}`,
		"/v1/rollouts/{name}/abort":       `{"reason":"wrong priority","dryRun":true}`,
		"/v1/rollouts/{name}/undo":        `{"reason":"wrong priority"}`,
		"/v1/plans/{digest}/approve":      `{"reason":"read it","plan":""}`,
		"/v1/telemetry":                   `{"version":1,"dropped":2,"storeId":"s1","schema":"main","clientId":"ann","release":"1.1.0","items":[{"kind":"unknown_event","event":"v2.TodoCreated","count":4}]}`,
		"/v1/traces":                      `{"resourceSpans":[]}`,
		"/v1/flags/{key}/evaluate":        `{"storeId":"s1","appVersion":"1.5.0"}`,
	}
}

// TestOpenAPI holds the document against what the handlers take and give.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	w.prepare(t)
	_, secret := w.token(t, control.Token{Role: control.RoleApprover, Person: "ben"})
	_, reporter := w.token(t, control.Token{Role: control.RoleWorker})
	_, client := w.token(t, control.Token{Role: control.RoleClient})
	_, _, text := w.ask(t, http.MethodGet, "/v1/openapi.json", "", "")
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema := func(path ...string) *jsonschema.Schema {
		t.Helper()
		pointer := ""
		for _, p := range path {
			pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(p)
		}
		s, err := c.Compile("openapi.json#" + pointer)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	valid := func(s *jsonschema.Schema, what, body string) {
		t.Helper()
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v: %s", what, err, body)
			return
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v\n%s", what, err, body)
		}
	}
	if _, err := w.Operate.DB.Acquire(t.Context(), control.Lease{Env: "prod", Name: "gone", Owner: "test/2/2"}, time.Hour); err != nil {
		t.Fatal(err)
	}
	viewer, _ := w.token(t, control.Token{Role: control.RoleViewer})
	tested := 0
	for _, rt := range routes() {
		if rt.in == nil {
			continue
		}
		tested++
		at := []string{"paths", rt.path, strings.ToLower(rt.method)}
		body := bodies()[rt.path]
		if rt.method == http.MethodPost {
			if body == "" {
				t.Errorf("%s: the test sends it nothing", rt.pattern())
			}
			request := schema(append(at, "requestBody", "content", "application/json", "schema")...)
			valid(request, rt.pattern()+" takes", body)
			if err := request.Validate(map[string]any{"nonsense": true}); err == nil {
				t.Errorf("%s: the document allows any field", rt.pattern())
			}
		}
		if rt.out == nil { // taken over, or the receiver says why not
			caller := reporter
			if rt.needs == tell {
				caller = client
			}
			if status, _, answer := w.ask(t, rt.method, rt.target(), caller, body); status != 202 || answer != "" {
				t.Errorf("%s: %d %s", rt.pattern(), status, answer)
			}
			_, _, answer := w.ask(t, rt.method, rt.target(), caller, "{}")
			valid(schema(append(at, "responses", "default", "content", "application/json", "schema")...), rt.pattern()+" fails with", answer)
			continue
		}
		status, header, answer := w.ask(t, rt.method, strings.Replace(rt.target(), "{token}", viewer.ID, 1), secret, body)
		if status != 200 || header.Get("X-Request-Id") == "" {
			t.Errorf("%s: %d %s", rt.pattern(), status, answer)
		}
		valid(schema(append(at, "responses", "200", "content", "application/json", "schema")...), rt.pattern()+" gives", answer)
		_, header, answer = w.ask(t, rt.method, rt.target()+"?nonsense=1", secret, body)
		if header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: a failure is %s", rt.pattern(), header.Get("Content-Type"))
		}
		valid(schema(append(at, "responses", "default", "content", "application/problem+json", "schema")...), rt.pattern()+" fails with", answer)
	}
	if tested < 30 {
		t.Errorf("%d routes", tested)
	}
}

func TestProblems(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               errs.Code
	}{
		{"GET", "/v1/runs/nope", "", 404, errs.NotFound},
		{"GET", "/v1/nope", "", 404, errs.NotFound},
		{"DELETE", "/v1/runs/r1", "", 404, errs.NotFound},
		{"POST", "/v1/runs/resume", "{}", 404, errs.NotFound},
		{"POST", "/v1/runs/pause", `{"migration":"another"}`, 404, errs.NotFound},
		{"GET", "/v1/stores?limit=501", "", 400, errs.Invalid},
		{"GET", "/v1/stores?limit=-1", "", 400, errs.Invalid},
		{"GET", "/v1/runs?cursor=x", "", 400, errs.Invalid},
		{"GET", "/v1/audit?since=soon", "", 400, errs.Invalid},
		{"POST", "/v1/floor", `{"release":"newest"}`, 400, errs.Invalid},
		{"POST", "/v1/stop", `{}`, 400, errs.Invalid},
		{"POST", "/v1/stop/lift", `{}`, 400, errs.Invalid},
		{"GET", "/v1/rollouts/nope", "", 404, errs.NotFound},
		{"GET", "/v1/rollouts/start?logs=maybe", "", 400, errs.Invalid},
		{"GET", "/v1/rollouts/start/history?cursor=x", "", 400, errs.Invalid},
		{"POST", "/v1/rollouts/start/pause", `{}`, 400, errs.Invalid},
		{"POST", "/v1/rollouts/start/start", `{"full":true}`, 400, errs.Invalid},
		{"GET", "/v1/plans/x/approvals", "", 400, errs.Invalid},
		{"GET", "/v1/approvals?cursor=1.x", "", 400, errs.Invalid},
		{"POST", "/v1/flags/nope/evaluate", `{}`, 404, errs.NotFound},
		{"POST", "/v1/flags/TodoCreated/evaluate", `{"storeId":"nowhere"}`, 404, errs.NotFound},
		{"POST", "/v1/census", `{"source":"x","clients":[{"storeId":"a","clientId":"b","release":"new","lastSeen":"2026-01-01T00:00:00Z"}]}`, 400, errs.Invalid},
		{"POST", "/v1/census", `{"source":"x","clients":[{"storeId":"a","clientId":"b","release":"1.0.0","lastSeen":"2099-01-01T00:00:00Z"}]}`, 400, errs.Invalid},
	} {
		status, _, body := w.ask(t, tc.method, tc.path, secret, tc.body)
		p := decode[api.Problem](t, body)
		if status != tc.status || p.Status != tc.status || p.Code != tc.code || p.Detail == "" || p.RequestID == "" {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, status, body)
		}
	}
	for _, code := range []errs.Code{errs.Internal, errs.Invalid, errs.NotFound, errs.Findings, errs.Stale, errs.Partial, errs.Locked, errs.Refused, errs.Mismatch, errs.Interrupted, errs.Unauthorized, errs.Forbidden, errs.Unverifiable} {
		if s := statusOf(code); s < 400 || (s == 500) != (code == errs.Internal || code == errs.Partial) {
			t.Errorf("%s is %d", code, s)
		}
	}
	if p := problemOf(errs.New(errs.Internal, "can't read /etc/shadow"), "id"); strings.Contains(p.Detail, "shadow") {
		t.Errorf("%+v", p)
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	_, secret := w.token(t, control.Token{Role: control.RoleViewer})
	for i := range 5 {
		if _, err := w.Operate.DB.Approve(t.Context(), "prod", fmt.Sprint("plan ", i%3), control.By{Actor: fmt.Sprint("person ", i)}); err != nil {
			t.Fatal(err)
		}
	}
	observed := []control.Client{{Store: "s1", ID: "a", Release: "1.0.0"}, {Store: "s1", ID: "b", Release: "1.1.0"}, {Store: "s2", ID: "hg:run", Release: "1.0.0"}, {Store: "s3", ID: "a", Release: "1.0.0"}, {Store: "s4", ID: "a", Release: "none"}}
	if err := w.Operate.DB.Observe(t.Context(), "prod", observed); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/v1/census/stores": 3, "/v1/stores": 5, "/v1/runs": 3, "/v1/audit": 10, "/v1/approvals": 5, "/v1/rollouts": 7} {
		seen := map[string]bool{}
		for cursor, pages := "", 0; ; pages++ {
			_, _, body := w.ask(t, http.MethodGet, path+"?limit=2&cursor="+url.QueryEscape(cursor), secret, "")
			var p struct {
				Stores, Runs []struct{ ID, Store string }
				Entries      []struct{ Hash string }
				Rollouts     []struct{ Name string }
				Approvals    []struct{ Actor string }
				Next         string
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil || pages > 10 {
				t.Fatalf("%v, page %d: %s", err, pages, body)
			}
			for _, x := range append(p.Stores, p.Runs...) {
				seen[x.ID+x.Store] = true
			}
			for _, x := range p.Entries {
				seen[x.Hash] = true
			}
			for _, x := range p.Rollouts {
				seen[x.Name] = true
			}
			for _, x := range p.Approvals {
				seen[x.Actor] = true
			}
			if cursor = p.Next; cursor == "" {
				break
			}
		}
		if len(seen) != want {
			t.Errorf("%s: %d, want %d", path, len(seen), want)
		}
	}
}

// TestIdempotency: a request that comes twice is done once.
func TestIdempotency(t *testing.T) {
	w := newWorld(t, nil)
	w.seed(t)
	made, secret := w.token(t, control.Token{Role: control.RoleOperator})
	pause := func(body, key string) (int, http.Header, string) {
		return w.ask(t, http.MethodPost, "/v1/runs/pause", secret, body, "Idempotency-Key", key)
	}
	status, _, first := pause(`{}`, "k1")
	if status != 200 {
		t.Fatalf("%d %s", status, first)
	}
	if status, header, again := pause(`{}`, "k1"); status != 200 || again != first || header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %v %s", status, header, again)
	}
	if status, _, body := pause(`{"reason":"x"}`, "k1"); status != 400 {
		t.Errorf("the key for another request: %d %s", status, body)
	}
	for range 2 { // a failure is not kept: nothing is left to pause
		if status, header, body := pause(`{}`, "k2"); status != 404 || header.Get("Idempotent-Replayed") != "" {
			t.Errorf("%d %s", status, body)
		}
	}
	_, _, text := w.ask(t, http.MethodGet, "/v1/audit", secret, "")
	if n := strings.Count(text, `"action":"run.paused"`); n != 3 {
		t.Errorf("%d pauses in the audit of three runs: %s", n, text)
	}
	if !strings.Contains(text, `"actor":"ana","action":"run.paused"`) || !strings.Contains(text, `"token":"`+made.ID+`"`) {
		t.Errorf("the audit does not say who, and with which token: %s", text)
	}
}

// TestFlagsFollowTheFile: a change is in force at once, a broken file leaves the last good one.
func TestFlagsFollowTheFile(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleClient})
	const who = `{"context":{"storeId":"s1","appVersion":"1.5.0"}}`
	value := func() string {
		_, _, body := w.ask(t, http.MethodPost, ofrep.BulkPath+"/event.TodoCreated", secret, who)
		v, _ := decode[map[string]any](t, body)["value"].(string)
		return v
	}
	ready := func() string {
		status, _, body := w.ask(t, http.MethodGet, "/readyz", "", "")
		if status != 200 {
			t.Errorf("%d %s", status, body)
		}
		return body
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); {
			if time.Now().After(end) {
				t.Fatalf("%s never happens; %s", what, w.log.text())
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if v := value(); v != "v1.TodoCreated" {
		t.Fatalf("%q", v)
	}
	_, changed := w.flags.Revision()
	w.write(percent("100"))
	<-changed
	if v := value(); v != "v2.TodoCreated" {
		t.Errorf("%q", v)
	}
	w.write("flags: [broken")
	until("the trouble", func() bool { return strings.Contains(ready(), "last good ones") })
	if v := value(); v != "v2.TodoCreated" || !strings.Contains(w.log.text(), "the last good ones stay in force") {
		t.Errorf("%q", v)
	}
	w.write(percent("0"))
	until("the recovery", func() bool { return strings.Contains(ready(), "in force") && value() == "v1.TodoCreated" })
	w.write("") // the file is gone
	until("no flags", func() bool {
		status, _, body := w.ask(t, http.MethodPost, ofrep.BulkPath+"/event.TodoCreated", secret, who)
		return status == 404 && strings.Contains(body, "FLAG_NOT_FOUND")
	})
}

// TestPlainFlags: a plain flag keeps its type over OFREP, and store.reset is the generation of the store that asks.
func TestPlainFlags(t *testing.T) {
	w := newWorld(t, nil)
	_, secret := w.token(t, control.Token{Role: control.RoleClient})
	_, changed := w.flags.Revision()
	w.write("flags:\n  sharing: {default: on, variants: {off: false, on: true}}\n")
	<-changed
	_, changed = w.flags.Revision()
	by := control.By{Actor: "ana", Reason: "damaged"}
	if _, err := w.Operate.ArmReset(t.Context(), operate.ResetAsk{Stores: []livestore.StoreID{"s1"}, PerHour: 1}, by); err != nil {
		t.Fatal(err)
	}
	if r, err := w.Operate.FireReset(t.Context(), 0, by, false); err != nil || len(r.Opening) != 1 || r.State != control.ResetDone {
		t.Fatalf("%+v, %v", r, err)
	}
	<-changed
	for store, want := range map[string]any{"s1": 1.0, "s2": 0.0} {
		_, _, body := w.ask(t, http.MethodPost, ofrep.BulkPath+"/store.reset", secret, `{"context":{"storeId":"`+store+`"}}`)
		if got := decode[map[string]any](t, body)["value"]; got != want {
			t.Errorf("%s: %s", store, body)
		}
	}
	if _, _, body := w.ask(t, http.MethodPost, ofrep.BulkPath, secret, `{"context":{"storeId":"s1"}}`); !strings.Contains(body, `"value":true`) || !strings.Contains(body, `"value":1`) {
		t.Error(body)
	}
}

func TestNotReadyWithoutADatabase(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.Operate.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if status, _, body := w.ask(t, http.MethodGet, "/readyz", "", ""); status != 503 {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := w.ask(t, http.MethodGet, "/v1/status", "hg_"+strings.Repeat("x", 43), ""); status != 500 || !bytes.Contains([]byte(body), []byte("its log has the request")) {
		t.Errorf("%d %s", status, body)
	}
}

// TestSchemasKnowEveryType: a type that schemaOf has no case for would be documented as a string.
func TestSchemasKnowEveryType(t *testing.T) {
	var look func(t reflect.Type) string
	look = func(rt reflect.Type) string {
		switch {
		case rt == reflect.TypeFor[time.Time](), rt == reflect.TypeFor[json.RawMessage]():
			return ""
		case rt.Kind() == reflect.Slice, rt.Kind() == reflect.Map, rt.Kind() == reflect.Pointer:
			return look(rt.Elem())
		case rt.Kind() == reflect.Struct:
			for f := range fields(rt) {
				if bad := look(f.Type); bad != "" {
					return f.Name + " " + bad
				}
			}
			return ""
		}
		switch rt.Kind() {
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64, reflect.Interface:
			return ""
		}
		return rt.String()
	}
	for _, rt := range routes() {
		if rt.out != nil {
			if bad := look(rt.out); bad != "" {
				t.Errorf("%s: %s", rt.pattern(), bad)
			}
		}
		if rt.in != nil {
			if bad := look(rt.in); bad != "" {
				t.Errorf("%s: %s", rt.pattern(), bad)
			}
		}
	}
}
