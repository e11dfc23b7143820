package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/webhook"
	"headgate/internal/control"
)

// TestServerTellsItsWebhook of an abort, whoever's it was, and shows what it could not tell.
func TestServerTellsItsWebhook(t *testing.T) {
	w := newWorld(t, nil)
	w.prepare(t)
	told := make(chan webhook.Event, 100)
	answer := http.StatusOK
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e webhook.Event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		w.WriteHeader(answer)
		told <- e
	}))
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		front.Close()
	})
	sender := &webhook.Sender{
		DB: w.Operate.DB, Env: "prod", App: "todo", URL: front.URL, Secret: make([]byte, 32), HTTP: client, Now: w.now, Log: w.log.logger(),
		Told: func(action string) bool { return strings.HasPrefix(action, "rollout.") },
	}
	if err := sender.Look(t.Context()); err != nil { // from now on
		t.Fatal(err)
	}
	url := run(t, w, func(o *Options) { o.Webhook = sender })
	_, secret := w.token(t, control.Token{Role: control.RoleOperator, Person: "ana"})
	w.url = url
	next := func() webhook.Event {
		t.Helper()
		select {
		case e := <-told:
			return e
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was told")
			return webhook.Event{}
		}
	}
	if status, _, body := w.ask(t, http.MethodPost, "/v1/rollouts/abort/abort", secret, `{"reason":"wrong priority"}`); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if e := next(); e.Type != "rollout.abort" || e.Data.Actor != "ana" || e.Data.Subject != "abort" || !strings.Contains(string(e.Data.Detail), "wrong priority") {
		t.Errorf("%+v", e)
	}
	answer = http.StatusServiceUnavailable
	if status, _, body := w.ask(t, http.MethodPost, "/v1/rollouts/pause/pause", secret, `{}`); status != 200 { // it waits for nobody
		t.Fatalf("%d %s", status, body)
	}
	if e := next(); e.Type != "rollout.pause" {
		t.Errorf("%+v", e)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-look.C {
		_, _, body := w.ask(t, http.MethodGet, "/v1/status", secret, "")
		if strings.Contains(body, `"error":"it answers 503 Service Unavailable"`) && strings.Contains(body, `"waiting":1`) {
			break
		}
	}
	_, _, metrics := w.ask(t, http.MethodGet, "/metrics", secret, "")
	for _, want := range []string{`headgate_webhook_events{state="waiting"} 1`, `headgate_webhook_attempts_total{result="delivered"} 1`, `headgate_webhook_attempts_total{result="failed"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
}
