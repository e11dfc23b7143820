package server

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
)

// TestObservations: what the sync backend reports is the authority, what apps say only adds to it, and each token speaks
// of its own stores.
func TestObservations(t *testing.T) {
	w := newWorld(t, nil)
	db := w.Operate.DB
	_, reporter := w.token(t, control.Token{Role: control.RoleWorker})
	_, client := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{"s1"}})
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	send := func(path, secret, body string, want int) {
		t.Helper()
		if status, _, answer := w.ask(t, http.MethodPost, path, secret, body); status != want {
			t.Errorf("%s %s: %d %s", path, body, status, answer)
		}
	}
	said := bodies()["/v1/telemetry"]
	send("/v1/telemetry", client, said, 202)
	send("/v1/telemetry", client, strings.Replace(said, `"s1"`, `"s2"`, 1), 403)
	send("/v1/telemetry", reporter, said, 403)
	send("/v1/reports", client, bodies()["/v1/reports"], 403)
	if f, err := db.StoreFleet(t.Context(), "prod", "s1", time.Time{}); err != nil || len(f.Seen["s1"]) != 1 || !f.Watch("s1").Last.IsZero() {
		t.Errorf("an app made its store watched: %+v, %v", f, err)
	}
	report := func(kind, floor string) {
		t.Helper()
		send("/v1/reports", reporter, `{"version":1,"dropped":0,"reports":[{"storeId":"s1","schema":"main","clientId":"old","release":"1.0.0","kind":"`+kind+`","count":1,"floor":"`+floor+`"}]}`, 202)
	}
	report("pull", "")
	floorOf := func() string {
		t.Helper()
		f, err := db.StoreFleet(t.Context(), "prod", "s1", time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return f.Watch("s1").Floor
	}
	for secret, want := range map[string]int{reporter: 200, viewer: 200, client: 403} {
		if status, _, body := w.ask(t, http.MethodGet, "/v1/floor", secret, ""); status != want || want == 200 && body != `{"floors":{}}` {
			t.Errorf("%d %s", status, body)
		}
	}
	if err := db.SetFloor(t.Context(), "prod", "1.1.0", control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	if _, _, body := w.ask(t, http.MethodGet, "/v1/floor", reporter, ""); body != `{"floors":{"*":"1.1.0"}}` {
		t.Error(body)
	}
	report("refused", "1.1.0")
	if got := floorOf(); got != "" {
		t.Errorf("one part of the sync backend has it, and it counts already: %q", got)
	}
	// An app below the floor is still open on a screen: that does not make it a reader again.
	send("/v1/telemetry", client, `{"version":1,"dropped":0,"storeId":"s1","schema":"main","clientId":"old","release":"1.0.0","items":[{"kind":"must_update","count":1}]}`, 202)
	if f, err := db.StoreFleet(t.Context(), "prod", "s1", time.Time{}); err != nil || len(f.Seen["s1"]) != 2 || f.Seen["s1"][1].Client != "old" || !f.Seen["s1"][1].Refused {
		t.Errorf("%+v, %v", f.Seen, err)
	}
	w.advance(10 * time.Minute)
	report("refused", "1.1.0")
	if got := floorOf(); got != "1.1.0" {
		t.Errorf("%q", got)
	}
	// A push that the app's code turned away is counted; who sent it was not believed. What a newer Worker adds is left out.
	send("/v1/reports", reporter, `{"version":1,"dropped":0,"region":"fra","reports":[{"kind":"evicted"},{"storeId":"s1","schema":"main","clientId":"eve","release":"1.1.0","kind":"rejected","count":3}]}`, 202)
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := w.Operate.Signals(t.Context(), time.Hour)
	if i := slices.IndexFunc(r.Signals, func(s operate.SignalValue) bool { return s.Signal == rollout.PushRejectionRate }); err != nil || r.Signals[i].Value != 1.0 {
		t.Errorf("%+v, %v", r, err)
	}
	if f, err := db.StoreFleet(t.Context(), "prod", "s1", time.Time{}); err != nil || slices.ContainsFunc(f.Seen["s1"], func(o rollout.Observation) bool { return o.Client == "eve" }) {
		t.Errorf("%+v, %v", f.Seen, err)
	}
	_, _, metrics := w.ask(t, http.MethodGet, "/metrics", viewer, "")
	for _, want := range []string{`headgate_observations_total{kind="unknown_event"} 4`, `headgate_observations_total{kind="refused"} 2`, `headgate_observations_lost_total{sender="app"} 2`, `headgate_observations_foreign_total{sender="worker"} 2`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}

// TestSentAgain: a batch whose answer was lost counts once, whether the same server gets it again, one that was started meanwhile or
// another one. What has no name, or is another token's, counts as it comes.
func TestSentAgain(t *testing.T) {
	w := newWorld(t, nil)
	_, client := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{"s1"}, ExpiresAt: w.now().Add(2 * batchLife)})
	_, stranger := w.token(t, control.Token{Role: control.RoleClient, App: "todo"})
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	const unknown = `{"version":1,"dropped":2,"storeId":"s1","schema":"main","clientId":"ann","release":"1.1.0","items":[{"kind":"unknown_event","event":"v2.Start","count":4}]}`
	named := strings.Replace(unknown, `"version":1`, `"version":1,"batch":"b1"`, 1)
	const spans = `{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"eee19b7ec3c1b174","name":"RpcClient.SyncWsRpc.Push","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}`
	send := func(url, secret, path, body string) {
		t.Helper()
		if status, _, answer := askOf(t, http.MethodPost, url+path, secret, body); status > 202 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	sum := func() (unknown, pushes int64) {
		t.Helper()
		counts, err := w.Operate.DB.Signals(t.Context(), "prod", control.SignalQuery{Until: w.now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range counts {
			switch c.Sign {
			case rollout.SawUnknown:
				unknown += c.N
			case rollout.SawPushTime:
				pushes += c.N
			}
		}
		return unknown, pushes
	}
	has := func(text string) bool {
		t.Helper()
		_, _, metrics := w.ask(t, http.MethodGet, "/metrics", viewer, "")
		return strings.Contains(metrics, text+"\n")
	}
	// Each server is sent both twice; the second one is the first, restarted, and w is another beside it.
	first, end := start(t, w, nil)
	for range 2 {
		send(first, client, "/v1/telemetry", named)
		send(first, client, "/v1/traces", spans)
	}
	end()
	if unknown, pushes := sum(); unknown != 4 || pushes != 1 {
		t.Fatalf("one server counted %d and %d", unknown, pushes)
	}
	again, endAgain := start(t, w, nil)
	for _, url := range []string{again, again, w.url} {
		send(url, client, "/v1/telemetry", named)
		send(url, client, "/v1/traces", spans)
	}
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	endAgain()
	if unknown, pushes := sum(); unknown != 4 || pushes != 1 {
		t.Errorf("sent again, %d and %d were counted", unknown, pushes)
	}
	if has(`headgate_observations_total{kind="unknown_event"} 4`) || has(`headgate_observations_lost_total{sender="app"} 2`) || has(`headgate_signals_total{event="v2.Start",release="1.1.0",rollouts="",sign="unknown"} 4`) {
		t.Error("/metrics of a server has what another one counted")
	}
	// A token of all stores that says the same name takes nothing from that of one, nor does a name that is guessed.
	send(w.url, stranger, "/v1/telemetry", strings.Replace(named, `"s1"`, `"s2"`, 1))
	send(w.url, stranger, "/v1/telemetry", strings.Replace(named, "b1", "b2", 1))
	send(w.url, client, "/v1/telemetry", strings.Replace(named, "b1", "b2", 1))
	send(w.url, client, "/v1/telemetry", unknown) // two of an old build
	send(w.url, client, "/v1/telemetry", unknown)
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if unknown, pushes := sum(); unknown != 4+5*4 || pushes != 1 {
		t.Errorf("of others, %d and %d were counted", unknown-4, pushes)
	}
	if !has(`headgate_observations_total{kind="unknown_event"} 20`) || !has(`headgate_observations_lost_total{sender="app"} 10`) || !has(`headgate_signals_total{event="v2.Start",release="1.1.0",rollouts="",sign="unknown"} 20`) {
		t.Error("/metrics does not have what was counted")
	}
	// It is forgotten in the end.
	w.advance(batchLife)
	w.counter.tidy(t.Context())
	send(w.url, client, "/v1/telemetry", named)
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	if unknown, _ := sum(); unknown != 28 {
		t.Errorf("after a day, %d were counted", unknown)
	}
}
