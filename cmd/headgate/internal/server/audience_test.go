package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
	"headgate/rollout/ofrep"
)

// settle waits until the flags of the rollouts are in force, and keeps who was given flags.
func (w *world) settle(t *testing.T, revision int) {
	t.Helper()
	w.flags.ring()
	end := time.After(10 * time.Second)
	for {
		_, changed := w.flags.Revision()
		for _, f := range w.flags.current().Flags {
			if f.Key == "event.Abort" && f.Revision == revision {
				w.flags.audience.flush(t.Context())
				return
			}
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("revision %d is not in force: %+v", revision, w.flags.current().Flags)
		}
	}
}

// TestWhoAcknowledged: an emitter knows of an abort when it was given the flags again, or reports that it has them.
func TestWhoAcknowledged(t *testing.T) {
	w := newWorld(t, nil)
	w.prepare(t) // ann is on 1.1.0 in all stores
	_, client := w.token(t, control.Token{Role: control.RoleClient, App: "todo"})
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	_, worker := w.token(t, control.Token{Role: control.RoleWorker})
	if _, err := w.Operate.Tick(t.Context(), false, "abort"); err != nil { // all stores open
		t.Fatal(err)
	}
	fetch := func(secret, key, store, client, version string, want int) {
		t.Helper()
		path := ofrep.BulkPath
		if key != "" {
			path += "/" + key
		}
		body := fmt.Sprintf(`{"context":{"targetingKey":%q,"storeId":%q,"clientId":%q,"appVersion":%q}}`, store, store, client, version)
		if status, _, text := w.ask(t, http.MethodPost, path, secret, body); status != want {
			t.Fatalf("%d %s", status, text)
		}
	}
	status := func() operate.RolloutStatus {
		t.Helper()
		_, _, body := w.ask(t, http.MethodGet, "/v1/rollouts/abort", viewer, "")
		return decode[operate.RolloutStatus](t, body)
	}
	open := status()
	if open.Phase != rollout.Ramp || open.Closed != nil {
		t.Fatalf("%+v", open)
	}
	w.settle(t, open.Revision)
	fetch(client, "", "s0", "ann", "1.1.0", 200)
	w.settle(t, open.Revision)
	w.advance(time.Minute)
	if _, err := w.Operate.RolloutAct(t.Context(), "abort", operate.RolloutAsk{Command: rollout.Abort}, control.By{Actor: "ana", Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Minute)
	closed := open.Revision + 1
	w.settle(t, closed)

	// Nobody was seen since: all five may be offline.
	k := status().Closed
	if k == nil || k.Revision != closed || k.Clients != 5 || k.Seen != 0 || k.Acknowledged != 0 || !k.Heard || k.Until.Sub(k.At) != 30*24*time.Hour {
		t.Fatalf("%+v", k)
	}
	// A client that syncs is here, and has said nothing; an old build can't emit, whatever it has.
	report := `{"version":1,"dropped":0,"reports":[{"storeId":"s0","schema":"main","clientId":"ann","release":"1.1.0","kind":"pull","count":1},{"storeId":"s1","schema":"main","clientId":"old","release":"1.0.0","kind":"pull","count":1}]}`
	if status, _, text := w.ask(t, http.MethodPost, "/v1/reports", worker, report); status != 202 {
		t.Fatalf("%d %s", status, text)
	}
	k = status().Closed
	if k.Clients != 5 || k.Seen != 1 || k.Acknowledged != 0 || len(k.Missing) != 1 || k.Missing[0].Client != "ann" || k.Missing[0].Revision != open.Revision {
		t.Fatalf("%+v", k)
	}
	// What is no client, is in no store of ours, or does not say who it is, tells nothing. Another flag alone tells nothing of this one.
	fetch(viewer, "", "s0", "ann", "1.1.0", 200)
	fetch(client, "", "elsewhere", "ann", "1.1.0", 200)
	fetch(client, "", "s0", "", "1.1.0", 200)
	fetch(client, "", "s0", "a\tb", "1.1.0", 200)
	fetch(client, "event.Undo", "s0", "ann", "1.1.0", 200)
	w.settle(t, closed)
	if k = status().Closed; k.Acknowledged != 0 || k.Clients != 5 || k.Seen != 1 {
		t.Fatalf("%+v", k)
	}
	fetch(client, "event.Abort", "s0", "ann", "1.1.0", 200)
	w.settle(t, closed)
	if k = status().Closed; k.Acknowledged != 1 || k.Seen != 1 || len(k.Missing) != 0 || k.Until.IsZero() {
		t.Fatalf("%+v", k)
	}
	// Whoever reads an exported file says which revision it has. A revision that does not exist yet is nobody's.
	seen := func(revision int) {
		t.Helper()
		body := fmt.Sprintf(`{"version":1,"dropped":0,"storeId":"s1","schema":"main","clientId":"ann","release":"1.1.0","items":[{"kind":"flag","event":"v1.Abort","count":1,"revision":%d}]}`, revision)
		if status, _, text := w.ask(t, http.MethodPost, "/v1/telemetry", client, body); status != 202 {
			t.Fatalf("%d %s", status, text)
		}
	}
	for revision, want := range map[int]int{closed + 1: 1, open.Revision: 1} {
		if seen(revision); status().Closed.Acknowledged != want {
			t.Errorf("revision %d: %+v", revision, status().Closed)
		}
	}
	if seen(closed); status().Closed.Acknowledged != 2 {
		t.Errorf("%+v", status().Closed)
	}
}

// TestAudienceIsBounded: what can't be kept waits or is dropped and counted, and no question for flags is held up.
func TestAudienceIsBounded(t *testing.T) {
	broken := errors.New("the inventory is away")
	inventory := broken
	w := newWorld(t, func(o *Options) {
		stores := o.Operate.Inventory
		o.Operate.Inventory = func(ctx context.Context) ([]config.Store, error) {
			if inventory != nil {
				return nil, inventory
			}
			return stores(ctx)
		}
	})
	a := w.flags.audience
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	count := func(result string) string {
		t.Helper()
		_, _, metrics := w.ask(t, http.MethodGet, "/metrics", viewer, "")
		_, after, _ := strings.Cut(metrics, `headgate_flag_contexts_total{result="`+result+`"} `)
		n, _, _ := strings.Cut(after, "\n")
		return n
	}
	ask := func(store, client string) {
		a.note(control.Token{}, map[string]any{"storeId": store, "clientId": client, "appVersion": "v1.1.0"}, "r1", "", nil)
	}
	for range 3 {
		ask("s0", "ann") // once
	}
	a.flush(t.Context())
	if len(a.waiting) != 1 {
		t.Errorf("%d wait", len(a.waiting))
	}
	inventory = nil
	ask("nowhere", "ann")
	a.flush(t.Context())
	if clients, err := w.Operate.DB.ClientsOf(t.Context(), "prod", "s0"); err != nil || len(clients) != 1 || clients[0].Release != "1.1.0" {
		t.Errorf("%+v, %v", clients, err)
	}
	if count("kept") != "1" || count("unknown_store") != "1" {
		t.Error(count("kept"), count("unknown_store"))
	}
	for i := range audiencePerStore + 9 {
		ask("s1", fmt.Sprint(i))
	}
	for i := range audienceQueue {
		ask(fmt.Sprint("s", 2+i%2), fmt.Sprint(i))
	}
	if count("refused") != "9" || count("dropped") != fmt.Sprint(audiencePerStore) {
		t.Error(count("refused"), count("dropped"))
	}
	a.flush(t.Context())
	if len(a.queue) != 0 || count("kept") != fmt.Sprint(audienceQueue+1) {
		t.Error(len(a.queue), count("kept"))
	}
	ask("s3", fmt.Sprint(audienceQueue-1)) // what was dropped comes again
	if len(a.queue) != 1 {
		t.Error("dropped is taken for kept")
	}
	w.advance(2 * audienceAgain)
	ask("s0", "ann")
	if len(a.queue) != 2 {
		t.Error("who is here for long is seen once only")
	}
}

// BenchmarkAudience is what an answer costs more for whom it is: 10,000 clients that ask again, from all processors.
func BenchmarkAudience(b *testing.B) {
	w := newWorld(b, nil)
	a := w.flags.audience
	var contexts []map[string]any
	for i := range 10_000 {
		contexts = append(contexts, map[string]any{"storeId": fmt.Sprint("s", i%5), "clientId": fmt.Sprint(i), "appVersion": "1.1.0"})
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			a.note(control.Token{}, contexts[i%len(contexts)], "r1", "", nil)
		}
	})
}
