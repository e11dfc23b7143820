package webhook_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/cmd/headgate/internal/webhook"
	"headgate/internal/control"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret, id, time, body and signature are the example of Standard Webhooks.
const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func TestSignature(t *testing.T) {
	key, err := webhook.ParseSecret(secret + "\n")
	if err != nil {
		t.Fatal(err)
	}
	got := webhook.Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	for _, bad := range []string{"", "hunter2", "whsec_", "whsec_c2hvcnQ=", "whsec_!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + strings.Repeat("AAAA", 22)} {
		if _, err := webhook.ParseSecret(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A receiver is an address that is told, and what it answers.
type receiver struct {
	mu      sync.Mutex
	answers []int // the last one stays
	got     []webhook.Event
	ids     []string
	wrong   []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(req.Body)
	key, _ := webhook.ParseSecret(secret)
	at, _ := strconv.ParseInt(req.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || req.Header.Get("webhook-signature") != webhook.Sign(key, req.Header.Get("webhook-id"), time.Unix(at, 0), body) {
		r.wrong = append(r.wrong, string(body))
	}
	var e webhook.Event
	if err := json.Unmarshal(body, &e); err != nil {
		r.wrong = append(r.wrong, err.Error())
	}
	r.got, r.ids = append(r.got, e), append(r.ids, req.Header.Get("webhook-id"))
	answer := r.answers[0]
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	if answer == http.StatusTemporaryRedirect {
		w.Header().Set("Location", "/elsewhere")
	}
	if answer == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "600")
	}
	w.WriteHeader(answer)
}

type world struct {
	*webhook.Sender
	receiver *receiver
	clock    time.Time
	results  []string
}

func newWorld(t *testing.T, answers ...int) *world {
	t.Helper()
	w := &world{receiver: &receiver{answers: answers}, clock: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	db, err := control.Open(t.Context(), control.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Now: func() time.Time { return w.clock }})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(w.receiver)
	client := &http.Client{Transport: &http.Transport{}}
	key, err := webhook.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	w.Sender = &webhook.Sender{
		DB: db, Env: "prod", App: "todo", URL: front.URL + "/hook?token=hunter2", Secret: key, HTTP: client, Now: func() time.Time { return w.clock }, Log: testenv.Logger(t),
		Told: func(action string) bool { return action != "token.create" }, Counted: func(result string) { w.results = append(w.results, result) },
	}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		front.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		if len(w.receiver.wrong) > 0 {
			t.Error(w.receiver.wrong)
		}
	})
	w.look(t) // from now on
	return w
}

func (w *world) look(t *testing.T) {
	t.Helper()
	if err := w.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w *world) happen(t *testing.T, action string) {
	t.Helper()
	err := w.DB.Record(t.Context(), control.Entry{Env: "prod", Actor: "ana", Action: action, Subject: "todo-created-v2", Detail: map[string]any{"reason": "wrong priority"}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTellsOnce tells each event until it is answered well, in this server or the next one.
func TestTellsOnce(t *testing.T) {
	w := newWorld(t, 503, 307, 429, 204)
	w.happen(t, "token.create")
	w.happen(t, "rollout.abort")
	w.look(t)
	for _, after := range []time.Duration{2 * time.Second, 5 * time.Second, time.Second} {
		w.clock = w.clock.Add(after)
		w.look(t)
	}
	if n := len(w.receiver.got); n != 2 {
		t.Fatalf("asked %d times", n)
	}
	other := *w.Sender // the server was started again
	w.Sender = &other
	w.clock = w.clock.Add(time.Minute)
	w.look(t)
	w.clock = w.clock.Add(9 * time.Minute) // Retry-After is longer
	w.look(t)
	if n := len(w.receiver.got); n != 3 {
		t.Fatalf("asked %d times", n)
	}
	w.clock = w.clock.Add(2 * time.Minute)
	for range 3 {
		w.look(t)
		w.clock = w.clock.Add(2 * time.Hour)
	}
	if len(w.receiver.got) != 4 || len(slices.Compact(w.receiver.ids)) != 1 || !strings.HasPrefix(w.receiver.ids[0], "hg_") {
		t.Errorf("%v", w.receiver.ids)
	}
	e := w.receiver.got[3]
	if e.Type != "rollout.abort" || e.Data.App != "todo" || e.Data.Environment != "prod" || e.Data.Seq != 2 || e.Data.Actor != "ana" || e.Data.Subject != "todo-created-v2" || string(e.Data.Detail) != `{"reason":"wrong priority"}` || e.Timestamp.IsZero() {
		t.Errorf("%+v", e)
	}
	if got := strings.Join(w.results, " "); got != "failed failed failed delivered" {
		t.Error(got)
	}
	if s, _, err := w.DB.Webhook(t.Context(), "prod"); err != nil || s.Delivered != 1 || s.Waiting != 0 || s.Error != "" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestGivesUp after some attempts, and at once where the address says that it is gone. What failed is said without the address.
func TestGivesUp(t *testing.T) {
	w := newWorld(t, 500)
	w.happen(t, "stop")
	start := w.clock
	for range 3 * webhook.Tries {
		w.look(t)
		w.clock = w.clock.Add(30 * time.Minute)
	}
	if n := len(w.receiver.got); n != webhook.Tries {
		t.Errorf("asked %d times in %s", n, w.clock.Sub(start))
	}
	s, _, err := w.DB.Webhook(t.Context(), "prod")
	if err != nil || s.GivenUp != 1 || s.Error != "it answers 500 Internal Server Error" || w.results[len(w.results)-1] != "dead" {
		t.Errorf("%+v, %v", s, err)
	}
	w.receiver.answers = []int{200}
	if n, err := w.DB.RetryDeliveries(t.Context(), "prod", control.By{Actor: "ana"}); err != nil || n != 1 {
		t.Error(n, err)
	}
	w.look(t)
	if s, _, err := w.DB.Webhook(t.Context(), "prod"); err != nil || s.GivenUp != 0 || s.Delivered != 2 { // with webhook.retry itself: this test tells everything
		t.Errorf("%+v, %v", s, err)
	}
	w.receiver.answers = []int{410}
	w.happen(t, "stop")
	w.look(t)
	if s, _, err := w.DB.Webhook(t.Context(), "prod"); err != nil || s.GivenUp != 1 || s.Error != "it answers 410 Gone" {
		t.Errorf("%+v, %v", s, err)
	}
	w.URL = "http://127.0.0.1:1/?token=hunter2"
	w.happen(t, "stop.lift")
	w.look(t)
	if s, _, err := w.DB.Webhook(t.Context(), "prod"); err != nil || s.Waiting != 1 || strings.Contains(s.Error, "hunter2") || !strings.Contains(s.Error, "does not answer") {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestAttemptThatIsCutOff: what a server was at when it ended is told by the next one.
func TestAttemptThatIsCutOff(t *testing.T) {
	w := newWorld(t, 200)
	w.happen(t, "run.failed")
	ctx, stop := context.WithCancel(t.Context())
	address := w.URL
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that the sender has gone
		stop()
		<-r.Context().Done()
	}))
	defer hang.Close()
	w.URL = hang.URL
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
	w.URL = address
	w.look(t)
	if len(w.receiver.got) != 0 {
		t.Error("somebody else may still be at it")
	}
	w.clock = w.clock.Add(time.Minute)
	w.look(t)
	if len(w.receiver.got) != 1 || w.receiver.got[0].Type != "run.failed" {
		t.Errorf("%+v", w.receiver.got)
	}
}
