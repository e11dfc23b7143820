package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// TestConfirm holds what opens until somebody answers 200, the first step, the next one and all stores, shows why, and lets an
// abort through.
func TestConfirm(t *testing.T) {
	var mu sync.Mutex
	status, asked := http.StatusServiceUnavailable, []operate.ConfirmQuestion{}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q operate.ConfirmQuestion
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Header.Get("Authorization") != "Bearer hunter2" {
			t.Errorf("%v, %v", err, r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, q)
		w.WriteHeader(status)
		_, _ = w.Write([]byte("a deployment runs\x1b[31m\nmore"))
	}))
	defer hook.Close()
	answer := func(n int) (before int) {
		mu.Lock()
		defer mu.Unlock()
		status = n
		return len(asked)
	}
	w := newWorld(t, func(o *Options) {
		read := o.Operate.Read
		o.Operate.Getenv = func(name string) string { return map[string]string{"AUTH": "Bearer hunter2"}[name] }
		o.Operate.Read = func(name string) (*rollout.Definition, []*schema.Release, error) {
			_, releases, err := read(name)
			if err != nil {
				return nil, nil, err
			}
			d, err := rollout.ParseDefinition([]byte("events: {Start: {from: v1, to: v2}}\nconfirm: &c {url: '"+hook.URL+"/may', headers: {Authorization: AUTH}}\nsteps: [{weight: 50, pause: 1h, confirm: *c}, {weight: 100, pause: manual}]\n"), "/app/"+name+".yaml")
			d.Schema = "main"
			return d, releases, err
		}
	})
	w.seeClients(t, "1.1.0")
	_, secret := w.token(t, control.Token{Role: control.RoleOperator, ExpiresAt: w.now().Add(24 * time.Hour)})
	act := func(command rollout.Command) error {
		_, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: command}, control.By{Actor: "ana", Reason: "test"})
		return err
	}
	tick := func() {
		t.Helper()
		w.seeClients(t, "1.1.0")
		if _, err := w.Operate.Tick(t.Context(), false, "start"); err != nil {
			t.Fatal(err)
		}
	}
	look := func() (operate.RolloutStatus, string) {
		t.Helper()
		_, _, body := w.ask(t, http.MethodGet, "/v1/rollouts/start", secret, "")
		return decode[operate.RolloutStatus](t, body), body
	}
	if err := act(rollout.Start); err != nil {
		t.Fatal(err)
	}
	tick()
	if s, _ := look(); s.Phase != rollout.ReaderGate || s.Stores.Open != 0 || s.Confirm == nil || !strings.Contains(s.Next.What, "a deployment runs") {
		t.Fatalf("the first step: %+v", s)
	}
	if n := answer(http.StatusOK); n != 1 {
		t.Errorf("asked %d times for the first step", n)
	}
	w.advance(2 * time.Minute)
	tick()
	if s, _ := look(); s.Step != 1 || s.Stores.Open == 0 || s.Confirm != nil {
		t.Fatalf("the first step: %+v", s)
	}
	if n := answer(503); n != 2 {
		t.Errorf("asked %d times before it was time", n)
	}
	w.advance(2 * time.Hour)
	tick()
	tick() // not asked again yet
	s, body := look()
	if s.Step != 1 || s.Confirm == nil || !strings.HasSuffix(s.Confirm.Why, "answers 503: a deployment runs[31m") || !strings.Contains(s.Next.What, "a deployment runs") || strings.Contains(body, "hunter2") {
		t.Fatalf("%+v", s)
	}
	if err := act(rollout.Promote); err == nil || !strings.Contains(err.Error(), "a deployment runs") {
		t.Errorf("%v", err)
	}
	if n := answer(http.StatusNoContent); n != 4 {
		t.Errorf("asked %d times", n)
	}
	w.advance(2 * time.Minute)
	if tick(); true {
		if s, _ := look(); s.Step != 1 {
			t.Errorf("204 is not 200: %+v", s)
		}
	}
	answer(http.StatusOK)
	w.advance(2 * time.Minute)
	tick()
	if s, _ := look(); s.Step != 2 || s.Confirm != nil {
		t.Errorf("%+v", s)
	}
	if err := act(rollout.Promote); err != nil { // to the point of no return
		t.Fatal(err)
	}
	n := answer(503)
	if s, _ := look(); s.Phase != rollout.PointOfNoReturn || !strings.Contains(s.Next.What, "confirms") {
		t.Errorf("%+v", s)
	}
	if err := act(rollout.Finish); errs.CodeOf(err) != errs.Stale || !strings.Contains(err.Error(), "a deployment runs") {
		t.Errorf("%v", err)
	}
	if q := asked[len(asked)-1]; len(asked) != n+1 || q.Step != 2 || q.Next != "full" || asked[0].Step != 0 || asked[0].Next != "50 %" {
		t.Errorf("%+v, %+v", asked[0], q)
	}
	q := asked[2]
	if q.Rollout != "start" || q.Environment != "prod" || q.Step != 1 || q.Steps != 2 || q.Weight != "50 %" || q.Next != "100 %" || q.Events[0] != "v2.Start" {
		t.Errorf("%+v", q)
	}
	hook.Close()
	if err := act(rollout.Abort); err != nil {
		t.Errorf("an abort waits for nobody: %v", err)
	}
	trail, err := w.Operate.RolloutHistory(t.Context(), "start", 0, 0)
	var actions []string
	for _, e := range trail.Entries {
		actions = append(actions, strings.TrimPrefix(e.Action, "rollout."))
	}
	if got := strings.Join(actions, " "); err != nil || got != "create start advance confirm advance confirm confirm advance promote abort" {
		t.Errorf("%s, %v", got, err)
	}
}
