package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/codegen"
	"headgate/internal/control"
	"headgate/internal/livestore/schema"
	"headgate/internal/testenv"
	"headgate/rollout"
	"headgate/rollout/observe"
)

// TestRealSpans has stock OpenTelemetry exporters send what real LiveStore clients do, in both encodings, packed, over both of
// LiveStore's transports. The first answer of each is lost: the exporter sends the same bytes again, and they count once.
func TestRealSpans(t *testing.T) {
	dir := filepath.Join("testdata", "clients")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@opentelemetry", "sdk-trace-base")); errors.Is(err, fs.ErrNotExist) {
		testenv.Need(t, "testdata/clients/node_modules", "run `make deps`")
	}
	app := testenv.Example(t, "todo")
	backend, syncToken := testenv.Backend(t)
	w := newWorld(t, func(o *Options) {
		o.Operate.Known = func() (operate.Names, error) {
			return operate.NamesOf(map[string][]*schema.Release{"main": {{Version: "1.1.0", Events: []schema.Event{{Name: "v1.TodoCreated"}}}}}), nil
		}
	})
	for i, way := range []struct {
		encoding, transport, helper string
		sync                        string
		least, most                 int64 // pulls that are timed
	}{
		// A pull over HTTP is a request. Over a WebSocket it lasts as long as the connection, and says nothing without the helper, which
		// times the first one, where the connection is there at once.
		{"json", "ws", "none", backend, 0, 0},
		{"proto", "http", "none", backend, 2, 100},
		{"json", "ws", helper(t), backend, 2, 2},
		{"proto", "ws", helper(t), failing(t, backend), 1, 1},
	} {
		store := fmt.Sprint("spans-", i)
		_, secret := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{store}})
		wire := newLossy(t, w.handler, "/v1/traces")
		cmd := exec.CommandContext(t.Context(), "node", "spans.mjs", app, wire.URL, secret, way.sync, syncToken, store, way.encoding, way.transport, way.helper, t.TempDir())
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "done") {
			t.Fatalf("%v: %v\n%s", way, err, out)
		}
		if err := w.counter.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		counts, err := w.Operate.DB.Signals(t.Context(), "prod", control.SignalQuery{Since: w.now().Add(-time.Hour), Until: w.now().Add(time.Hour), Schema: "main"})
		if err != nil {
			t.Fatal(err)
		}
		sums := map[rollout.Sign]int64{}
		for _, c := range counts {
			sums[c.Sign] += c.N
			if c.Release != "1.1.0" || c.Sign == rollout.SawApplyTime && c.Event != "v1.TodoCreated" {
				t.Errorf("%v: %+v", way, c)
			}
		}
		// Each of two clients applied three events; what was pushed in how many requests is LiveStore's to say.
		if sums[rollout.SawApplyTime] < 6 || sums[rollout.SawPushTime] == 0 || sums[rollout.SawTraced] <= sums[rollout.SawApplyTime] || sums[rollout.SawApplyFailed] != 0 {
			t.Errorf("%v: %v", way, sums)
		}
		if sent, again := wire.spans(t, way.encoding == "json"); again == 0 || sums[rollout.SawTraced] != sent {
			t.Errorf("%v: %d spans were counted of %d, and %d requests came again", way, sums[rollout.SawTraced], sent, again)
		}
		if pulled := sums[rollout.SawPullTime]; pulled < way.least || pulled > way.most {
			t.Errorf("%v: %d pulls were timed", way, pulled)
		}
		t.Logf("%v: %v", way, sums)
		w.advance(24 * time.Hour)
		if err := w.Operate.DB.MergeSignals(t.Context(), "prod"); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.Operate.Signals(t.Context(), 120*time.Hour)
	if err != nil || r.Traced.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	timed := 0
	for _, s := range r.Signals {
		if strings.Contains(string(s.Signal), "-latency-") {
			timed++
			if ms, ok := s.Value.(float64); !ok || ms <= 0 || ms > 10_000 {
				t.Errorf("%+v", s)
			}
			t.Logf("%v: %v", s.Signal, s.Value)
		}
	}
	if timed != 9 {
		t.Errorf("%d signals of times", timed)
	}
}

// helper is a file with the app's headgate.generated.ts.
func helper(t *testing.T) string {
	t.Helper()
	s := codegen.NewSchema("src/livestore/schema.ts", codegen.ImportTS, "effect")
	s.Release = "1.1.0"
	text, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}, "main")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "headgate.generated.ts")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// failing is the address of a backend whose first connection fails.
func failing(t *testing.T, backend string) string {
	t.Helper()
	to, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug) // connections that end
	var connected atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !connected.Swap(true) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// A lossy stands in front of a server, and loses its first answer to what is sent to a path.
type lossy struct {
	*httptest.Server
	mu   sync.Mutex
	came map[string]int // how often, by what came
}

func newLossy(t *testing.T, server http.Handler, path string) *lossy {
	l := &lossy{came: map[string]int{}}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		l.mu.Lock()
		first := len(l.came) == 0
		l.came[string(body)]++
		l.mu.Unlock()
		if !first || r.URL.Path != path {
			server.ServeHTTP(w, r)
			return
		}
		server.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(l.Close)
	return l
}

// spans is how many of LiveStore's came, each once, and how many requests came that had come before.
func (l *lossy) spans(t *testing.T, asJSON bool) (n int64, again int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for packed, times := range l.came {
		z, err := gzip.NewReader(strings.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		spans, err := observe.DecodeTraces(body, asJSON, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		n, again = n+int64(len(spans)), again+times-1
	}
	return n, again
}
