package ofrep_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/testenv"
	"headgate/rollout/ofrep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flags are two flags whose values depend on the context's storeId, and what goes wrong by key.
type flags struct {
	mu      sync.Mutex
	rev     ofrep.Revision
	changed chan struct{}
}

func newFlags() *flags {
	return &flags{rev: ofrep.Revision{ID: "r1", At: time.Unix(0, 0)}, changed: make(chan struct{})}
}

func (f *flags) Keys() []string { return []string{"event.A", "kill"} }

func (f *flags) Evaluate(_ context.Context, attributes map[string]any, keys ...string) []ofrep.Evaluation {
	rev, _ := f.Revision()
	var out []ofrep.Evaluation
	for _, k := range keys {
		e := ofrep.Evaluation{Key: k, Reason: "SPLIT"}
		switch k {
		case "event.A":
			e.Value, e.Variant, e.Metadata = "v1.A", "v1", map[string]any{"version": rev.ID}
			if attributes["storeId"] == "new" {
				e.Value, e.Variant = "v2.A", "v2"
			}
		case "kill":
			e.Value, e.Variant = false, "off" // a zero value is a value
		case "a/b":
			e.Value = k
		case "broken":
			e.ErrorCode, e.Detail, e.Failed = "PROVIDER_NOT_READY", "the flags are not read yet", true
		case "picky":
			e.ErrorCode, e.Detail = "TARGETING_KEY_MISSING", "needs a targeting key"
		default:
			e.ErrorCode, e.Detail = "FLAG_NOT_FOUND", "there is no such flag"
		}
		out = append(out, e)
	}
	return out
}

func (f *flags) Revision() (ofrep.Revision, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rev, f.changed
}

func (f *flags) set(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rev = ofrep.Revision{ID: id, At: time.Unix(60, 0)}
	close(f.changed)
	f.changed = make(chan struct{})
}

// access lets everyone ask about all stores but one.
type access struct {
	mu     sync.Mutex
	ticket string
	gone   bool // nobody may listen
}

func (a *access) Admit(_ context.Context, attributes map[string]any) error {
	if attributes["storeId"] == "foreign" {
		return errors.New("the token is not for store foreign")
	}
	return nil
}

func (a *access) Ticket(context.Context) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ticket
}

func (a *access) Listening(context.Context) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.gone
}

type served struct {
	*ofrep.Handler
	flags  *flags
	access *access
	url    string
}

func serve(t testing.TB, change func(*ofrep.Options)) served {
	t.Helper()
	s := served{flags: newFlags(), access: &access{ticket: "t1"}}
	o := ofrep.Options{Flags: s.flags, Access: s.access, Log: testenv.Logger(t), Now: time.Now, Listeners: 100, Heartbeat: time.Hour}
	if change != nil {
		change(&o)
	}
	s.Handler = ofrep.New(o)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+ofrep.SinglePath, s.Single)
	mux.HandleFunc("POST "+ofrep.BulkPath, s.Bulk)
	mux.HandleFunc("GET "+ofrep.StreamPath, s.Stream)
	server := httptest.NewServer(ofrep.CORS(mux))
	s.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

// post sends a body and returns the answer with its body.
func (s served) post(t testing.TB, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// listen opens a stream and returns its lines without the empty ones. The channel is closed at its end.
func (s served) listen(t testing.TB, query, lastID string) (int, <-chan string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+ofrep.StreamPath+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		defer res.Body.Close()
		for in := bufio.NewScanner(res.Body); in.Scan(); {
			if in.Text() != "" {
				lines <- in.Text()
			}
		}
	}()
	t.Cleanup(func() {
		res.Body.Close()
		<-done
	})
	return res.StatusCode, lines
}

// next is the next line of a stream, or "" at its end.
func next(t testing.TB, lines <-chan string) string {
	t.Helper()
	select {
	case l := <-lines:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("the stream says nothing")
		return ""
	}
}

// event reads an event with this id and returns its data.
func event(t testing.TB, lines <-chan string, id string) map[string]any {
	t.Helper()
	if got := next(t, lines); got != "id: "+id {
		t.Fatalf("line %q, want the id %s", got, id)
	}
	data, ok := strings.CutPrefix(next(t, lines), "data: ")
	var out map[string]any
	if err := json.Unmarshal([]byte(data), &out); err != nil || !ok {
		t.Fatalf("data %q: %v", data, err)
	}
	return out
}

func opened(t testing.TB, lines <-chan string, id string) {
	t.Helper()
	if a, b := next(t, lines), next(t, lines); a != "retry: 1000" || b != "id: "+id {
		t.Fatalf("the stream begins with %q, %q", a, b)
	}
}
