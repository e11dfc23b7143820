package codegen_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/testenv"
	"headgate/rollout/observe"
)

// headgateServer stands where headgate's server will: the real handlers, and a memory.
type headgateServer struct {
	*httptest.Server
	mu    sync.Mutex
	seen  []observe.Observation
	keys  map[string]bool // of the batches
	floor map[string]string
	lose  string // the path whose next answer is lost: the sender can't know whether it arrived
}

const workerToken = "the-token-of-the-worker"

func startHeadgate(t *testing.T) *headgateServer {
	t.Helper()
	s := &headgateServer{keys: map[string]bool{"": true}}
	rc := observe.Receiver{
		Observer: s, MayReport: func(*http.Request, string) bool { return true }, Sender: func(*http.Request) string { return "" }, Now: time.Now,
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/reports", rc.Reports())
	mux.Handle("/v1/telemetry", rc.Telemetry())
	mux.HandleFunc("/v1/floor", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		floors := s.floor
		if floors == nil {
			floors = map[string]string{}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"floors": floors}) // the Worker may have gone
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+workerToken {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if s.loses(r.URL.Path) {
			mux.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *headgateServer) Observe(_ context.Context, batch observe.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[batch.Key] { // the same again, or one without a name, which these senders never send
		return nil
	}
	s.keys[batch.Key] = true
	s.seen = append(s.seen, batch.Observations...)
	return nil
}

func (s *headgateServer) loseNext(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = path
}

func (s *headgateServer) loses(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose != path {
		return false
	}
	s.lose = ""
	return true
}

// times is how often a kind of a client was kept. It fails where no answer was lost.
func (s *headgateServer) times(t *testing.T, kind observe.Kind, client string) (n int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose != "" {
		t.Errorf("no answer of %s was lost", s.lose)
	}
	for _, o := range s.seen {
		if o.Kind == kind && o.ClientID == client {
			n += o.Count
		}
	}
	return n
}

func (s *headgateServer) setFloor(floor map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = floor
}

// await waits until an observation of the kind, client and release is there, and returns it.
func (s *headgateServer) await(t *testing.T, kind observe.Kind, client, release string) observe.Observation {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; pause(t) {
		s.mu.Lock()
		i := slices.IndexFunc(s.seen, func(o observe.Observation) bool {
			return o.Kind == kind && o.ClientID == client && o.Release == release
		})
		all := slices.Clone(s.seen)
		s.mu.Unlock()
		if i >= 0 {
			return all[i]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s of %s on %s came, but %+v", kind, client, release, all)
		}
	}
}

// pause is between two looks at a condition.
func pause(t *testing.T) {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-t.Context().Done():
	}
}

func says(client, release string) map[string]any {
	return map[string]any{"schema": "main", "clientId": client, "release": release}
}

func TestWorkerReports(t *testing.T) {
	t.Parallel()
	server := startHeadgate(t)
	address, token := testenv.Backend(t, "HEADGATE_URL="+server.URL, "HEADGATE_TOKEN="+workerToken)
	client := func(name string, more map[string]any) map[string]any {
		o := map[string]any{"version": "1.1.0", "dir": t.TempDir(), "storeId": "s", "clientId": name, "url": address, "token": token}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	ann, _ := testenv.OpenMember(t, client("ann", map[string]any{"headgate": says("ann", "1.1.0")}))
	ann.Do(`{"commit":["a","from ann"]}`)
	ann.Do(`{"head":1}`)
	if o := server.await(t, observe.Push, "ann", "1.1.0"); o.StoreID != "s" || o.Schema != "main" || o.Count != 1 || o.At.IsZero() {
		t.Errorf("the push was reported as %+v", o)
	}
	server.await(t, observe.Pull, "ann", "1.1.0")

	// A client of an old build only reads, and says nothing of itself.
	old, _ := testenv.OpenMember(t, client("old", nil))
	if s := old.Do(`{"head":1}`); !slices.Equal(s.Todos, []string{"a"}) {
		t.Errorf("the old client has %v", s.Todos)
	}
	server.await(t, observe.Pull, observe.None, observe.None)
	// When it writes, its events tell who it is, and where they are stamped also the release.
	old.Do(`{"commit":["b","from old"]}`)
	server.await(t, observe.Push, "old", observe.None)
	stamped, _ := testenv.OpenMember(t, client("zoe", map[string]any{"sessionId": "static.1-0-0"}))
	stamped.Do(`{"commit":["c","from zoe"]}`)
	server.await(t, observe.Push, "zoe", "1.0.0")

	// headgate's own writers are left out, and so is who has no token.
	tool, _ := testenv.OpenMember(t, client("tool", map[string]any{"headgate": map[string]any{"tool": true}}))
	tool.Do(`{"commit":["d","from a tool"]}`)
	tool.Do(`{"head":4}`)
	if status, body := pull(t, address, "s", map[string]any{"authToken": "guess", "headgate": says("mallory", "9.0.0")}); status != http.StatusBadRequest {
		t.Errorf("a wrong token: %d %s", status, body)
	}
	// A push that the app's own code turns away is counted, and is none.
	event := map[string]any{"name": "v1.TodoDeleted", "args": map[string]any{"id": "none", "deletedAt": "2027-01-01T00:00:00.000Z"}, "seqNum": 5, "parentSeqNum": 4, "clientId": "eve", "sessionId": "static"}
	if _, body := call(t, address, "s", "SyncHttpRpc.Push", map[string]any{"authToken": token, "headgate": says("eve", "1.1.0")},
		map[string]any{"payload": map[string]any{"authToken": "guess", "headgate": says("eve", "1.1.0")}, "batch": []any{event}, "backendId": map[string]any{"_tag": "None"}}); !strings.Contains(body, "Failure") {
		t.Errorf("a push with a wrong token: %s", body)
	}
	server.await(t, observe.Rejected, "eve", "1.1.0")

	// A batch whose answer was lost goes out again before the next one, and counts once.
	server.loseNext("/v1/reports")
	pull(t, address, "s", map[string]any{"authToken": token, "headgate": says("lost", "1.1.0")})
	server.await(t, observe.Pull, "lost", "1.1.0")
	for deadline := time.Now().Add(30 * time.Second); server.times(t, observe.Pull, "next") == 0; pause(t) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was reported any more")
		}
		pull(t, address, "s", map[string]any{"authToken": token, "headgate": says("next", "1.1.0")})
	}
	if n := server.times(t, observe.Pull, "lost"); n != 1 {
		t.Errorf("a pull was counted %d times", n)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	for _, o := range server.seen {
		if o.ClientID == "eve" && o.Kind != observe.Rejected {
			t.Errorf("reported %+v", o)
		}
		if o.ClientID == "tool" || o.ClientID == "mallory" {
			t.Errorf("reported %+v", o)
		}
	}
}

// pull reads a store over HTTP with the sync payload given.
func pull(t *testing.T, address, store string, payload map[string]any) (status int, body string) {
	t.Helper()
	return call(t, address, store, "SyncHttpRpc.Pull", payload, map[string]any{"cursor": map[string]any{"_tag": "None"}})
}

// push sends an event with the number given.
func push(t *testing.T, address, store string, payload map[string]any, seq int) (status int, body string) {
	t.Helper()
	event := map[string]any{
		"name": "v1.TodoDeleted", "args": map[string]any{"id": "none", "deletedAt": "2027-01-01T00:00:00.000Z"},
		"seqNum": seq, "parentSeqNum": seq - 1, "clientId": "pusher", "sessionId": "static",
	}
	return call(t, address, store, "SyncHttpRpc.Push", payload, map[string]any{"batch": []any{event}, "backendId": map[string]any{"_tag": "None"}})
}

func call(t *testing.T, address, store, tag string, payload, more map[string]any) (status int, body string) {
	t.Helper()
	said, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"storeId": {store}, "transport": {"http"}, "payload": {url.PathEscape(string(said))}}
	more["storeId"] = store
	if _, other := more["payload"]; !other {
		more["payload"] = payload
	}
	message, err := json.Marshal(map[string]any{"_tag": "Request", "id": "0", "tag": tag, "payload": more, "headers": []string{}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(address+"/?"+query.Encode(), "application/json", bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// awaitFloor syncs another store until the Worker, which asks in the background, holds the release to the floor.
func awaitFloor(t *testing.T, address, token, release, floor string) {
	t.Helper()
	want := fmt.Sprintf("HEADGATE_BELOW_FLOOR: release %s is below the floor %s", release, floor)
	for deadline := time.Now().Add(20 * time.Second); ; pause(t) {
		_, body := pull(t, address, "other", map[string]any{"authToken": token, "headgate": says("probe", release)})
		if strings.HasPrefix(body, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the floor never came: %s", body)
		}
	}
}

func TestWorkerFloor(t *testing.T) {
	t.Parallel()
	server := startHeadgate(t)
	address, token := testenv.Backend(t, "HEADGATE_URL="+server.URL, "HEADGATE_TOKEN="+workerToken, "HEADGATE_FLOOR_MS=200", "HEADGATE_SAMPLE_MS=100")
	dir := t.TempDir()
	client := func(name, version, dir string) map[string]any {
		return map[string]any{"version": version, "dir": dir, "storeId": "s", "clientId": name, "url": address, "token": token, "headgate": says(name, version)}
	}
	old, _ := testenv.OpenMember(t, client("old", "1.0.0", dir))
	old.Do(`{"commit":["1","before"]}`)
	old.Do(`{"head":1}`)
	fresh, _ := testenv.OpenMember(t, client("new", "1.1.0", t.TempDir()))
	fresh.Do(`{"head":1}`)

	// The old client is connected when the floor rises. It must not get what is pushed from then on.
	server.setFloor(map[string]string{"main": "1.1.0"})
	awaitFloor(t, address, token, "1.0.0", "1.1.0")
	fresh.Do(`{"commit":["2","above the floor"]}`)
	fresh.Do(`{"head":2}`)
	old.Until("it is turned away", func(s testenv.MemberState) bool { return !s.Connected })
	server.await(t, observe.Refused, "old", "1.0.0")

	// It goes on offline, and nothing of it is lost.
	if s := old.Do(`{"commit":["3","while refused"]}`); s.Pending != 1 || s.Confirmed != 1 || !slices.Equal(s.Todos, []string{"1", "3"}) {
		t.Errorf("refused, the old client has %+v", s)
	}
	old.End()
	upgraded, _ := testenv.OpenMember(t, client("old", "1.1.0", dir))
	if s := upgraded.Do(`{"head":3}`); s.Pending != 0 || !slices.Equal(s.Todos, []string{"1", "2", "3"}) {
		t.Errorf("upgraded, it has %+v", s)
	}
	if s := fresh.Do(`{"head":3}`); !slices.Equal(s.Todos, []string{"1", "2", "3"}) {
		t.Errorf("the other client has %+v", s)
	}

	// headgate itself is no client of the app.
	log, err := cflog.Open(t.Context(), cflog.Options{URL: address, StoreID: "s", Payload: func(context.Context) (json.RawMessage, error) {
		return json.Marshal(map[string]string{"authToken": token})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if head, err := log.Head(t.Context()); err != nil || head.Confirmed != 3 {
		t.Errorf("headgate's own reader: %+v, %v", head, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}

	// The server goes: the last floor known goes on.
	server.Close()
	if status, body := pull(t, address, "s", map[string]any{"authToken": token}); status != http.StatusBadRequest || !strings.HasPrefix(body, "HEADGATE_BELOW_FLOOR: release none") {
		t.Errorf("without a server: %d %s", status, body)
	}
	if status, body := pull(t, address, "s", map[string]any{"authToken": token, "headgate": says("x", "1.1.0")}); status != http.StatusOK {
		t.Errorf("without a server, above the floor: %d %s", status, body)
	}
}

// Whatever headgate's server does, sync goes on as without one.
func TestWorkerNeverBlocksSync(t *testing.T) {
	hang := make(chan struct{})
	servers := map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"garbage": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>", strings.Repeat("\x00garbage", 1000))
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	}
	measure := func(t *testing.T, settings ...string) (p50, p99 time.Duration) {
		address, token := testenv.Backend(t, settings...)
		var took []time.Duration
		for i := range 120 {
			payload := map[string]any{"authToken": token, "headgate": says(fmt.Sprint("c", i), "1.0.0")}
			event := map[string]any{"name": "v1.X", "args": map[string]any{}, "seqNum": i + 1, "parentSeqNum": i, "clientId": "c", "sessionId": "s"}
			began := time.Now()
			status, body := call(t, address, "s", "SyncHttpRpc.Push", payload, map[string]any{"batch": []any{event}, "backendId": map[string]any{"_tag": "None"}})
			if status != http.StatusOK || !strings.Contains(body, `"Success"`) {
				t.Fatalf("push %d: %d %s", i, status, body)
			}
			if i >= 20 { // the first ones load code
				took = append(took, time.Since(began))
			}
		}
		slices.Sort(took)
		return took[len(took)/2], took[len(took)*99/100]
	}
	base, base99 := measure(t)
	t.Logf("no server: p50 %v, p99 %v", base, base99)
	settings := map[string]string{"down": "http://127.0.0.1:1"}
	for name, h := range servers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		settings[name] = s.URL
	}
	t.Cleanup(func() { close(hang) }) // before the servers are closed
	settings["healthy"] = startHeadgate(t).URL
	for name, address := range settings {
		t.Run(name, func(t *testing.T) {
			p50, p99 := measure(t, "HEADGATE_URL="+address, "HEADGATE_TOKEN="+workerToken, "HEADGATE_SAMPLE_MS=1")
			t.Logf("p50 %v, p99 %v", p50, p99)
			if p50 > 3*base+20*time.Millisecond {
				t.Errorf("a push takes %v, without a server %v", p50, base)
			}
		})
	}
}

func TestWorkerAdmin(t *testing.T) {
	t.Parallel()
	const secret = "an-admin-token-of-the-test"
	address, token := testenv.Backend(t, "HEADGATE_ADMIN_TOKEN="+secret)
	admin := func(operation, token string, body any) (int, map[string]any) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/headgate/admin/"+operation, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer := map[string]any{}
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, answer
	}
	store := map[string]any{"storeId": "s"}
	if status, info := admin("info", secret, store); status != http.StatusOK || info["exists"] != false {
		t.Errorf("a store that nobody opened: %d %v", status, info)
	}
	ann := map[string]any{"version": "1.1.0", "dir": t.TempDir(), "storeId": "s", "clientId": "ann", "url": address, "token": token}
	m, _ := testenv.OpenMember(t, ann)
	m.Do(`{"commit":["a","one"]}`)
	m.Do(`{"head":1}`)
	for _, wrong := range []string{"", "guess", secret + "x", strings.ToUpper(secret)} {
		if status, _ := admin("reset", wrong, store); status != http.StatusUnauthorized {
			t.Errorf("token %q: %d", wrong, status)
		}
	}
	_, info := admin("info", secret, store)
	if info["head"] != 1.0 || info["sockets"] != 1.0 || info["backendId"] == "" {
		t.Fatalf("info: %v", info)
	}
	if _, export := admin("export", secret, map[string]any{"storeId": "s", "after": 0}); len(export["events"].([]any)) != 1 {
		t.Errorf("export: %v", export)
	}
	for _, body := range []map[string]any{
		{"storeId": "s"}, {"storeId": "s", "backendId": "other", "head": 1}, {"storeId": "s", "backendId": info["backendId"], "head": 0}, {"storeId": "../s"},
	} {
		if status, answer := admin("reset", secret, body); status != http.StatusBadRequest && status != http.StatusConflict {
			t.Errorf("reset %v: %d %v", body, status, answer)
		}
	}

	// A store that is held takes nobody's events but a tool's. Those of clients wait with them.
	for _, body := range []map[string]any{{"storeId": "s"}, {"storeId": "s", "seconds": -1}, {"storeId": "s", "seconds": 3601}, {"storeId": "s", "seconds": 0.5}} {
		if status, answer := admin("hold", secret, body); status != http.StatusBadRequest {
			t.Errorf("hold %v: %d %v", body, status, answer)
		}
	}
	if _, held := admin("hold", secret, map[string]any{"storeId": "s", "seconds": 60}); held["heldUntil"].(float64) < float64(time.Now().UnixMilli()) {
		t.Errorf("held: %v", held)
	}
	if _, none := admin("hold", secret, map[string]any{"storeId": "none", "seconds": 60}); none["exists"] != false || none["heldUntil"] != 0.0 {
		t.Errorf("a store that is none was held: %v", none)
	}
	if s := m.Do(`{"commit":["held","waits"]}`); s.Pending != 1 {
		t.Errorf("while the store is held: %+v", s)
	}
	if _, body := push(t, address, "s", map[string]any{"authToken": token}, 2); !strings.Contains(body, "HEADGATE_HELD") {
		t.Errorf("a push while the store is held: %s", body)
	}
	if _, body := push(t, address, "s", map[string]any{"authToken": token, "headgate": map[string]any{"tool": true}}, 2); strings.Contains(body, "Failure") {
		t.Errorf("a tool's push while the store is held: %s", body)
	}
	admin("hold", secret, map[string]any{"storeId": "s", "seconds": 0})
	m.Do(`{"head":3}`)

	if status, answer := admin("reset", secret, map[string]any{"storeId": "s", "backendId": info["backendId"], "head": 3, "hold": 60}); status != http.StatusOK || answer["done"] != true {
		t.Fatalf("reset: %d %v", status, answer)
	}
	if _, after := admin("info", secret, store); after["exists"] != false || after["heldUntil"] == 0.0 {
		t.Errorf("after the reset: %v", after)
	}
	admin("hold", secret, map[string]any{"storeId": "s", "seconds": 0})
	m.End()
	ann["dir"] = t.TempDir()
	again, s := testenv.OpenMember(t, ann)
	if s.Confirmed != 0 {
		t.Errorf("after the reset a new client has %+v", s)
	}
	again.Do(`{"commit":["b","anew"]}`)
	again.Do(`{"head":1}`)
	if _, after := admin("info", secret, store); after["backendId"] == info["backendId"] || after["head"] != 1.0 {
		t.Errorf("after the reset: %v, before %v", after, info)
	}

	off, _ := testenv.Backend(t)
	res, err := http.Post(off+"/headgate/admin/info", "application/json", strings.NewReader(`{"storeId":"s"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("without a secret the route answers %d", res.StatusCode)
	}
}

// The backend with the wrapper compiles against LiveStore's and Cloudflare's types.
func TestWorkerTypes(t *testing.T) {
	t.Parallel()
	app := testenv.Example(t, "todo")
	config := filepath.Join(t.TempDir(), "tsconfig.json")
	src := filepath.Join(app, "backend", "src", "worker.ts")
	text := fmt.Sprintf(`{"compilerOptions":{"target":"ES2023","lib":["ES2023"],"module":"ESNext","moduleResolution":"bundler","types":[],"typeRoots":[],
		"strict":true,"noUnusedLocals":true,"noUnusedParameters":true,"noImplicitReturns":true,"noEmit":true,"allowImportingTsExtensions":true,
		"verbatimModuleSyntax":true,"skipLibCheck":true},"files":[%q,%q]}`,
		src, filepath.Join(app, "backend", "node_modules", "@cloudflare", "workers-types", "index.d.ts"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	runTool(t, app, nil, filepath.Join("node_modules", ".bin", "tsc"), "-p", config)
}

// What an export gives fits into an answer, however large the events are: it stops, and the caller asks on.
func TestWorkerExportsInParts(t *testing.T) {
	t.Parallel()
	const secret = "an-admin-token-of-the-test"
	address, token := testenv.Backend(t, "HEADGATE_ADMIN_TOKEN="+secret)
	const events, size = 12, 700_000
	for i := range events {
		event := map[string]any{
			"name": "v1.X", "args": map[string]any{"text": strings.Repeat("x", size)}, "seqNum": i + 1, "parentSeqNum": i, "clientId": "c", "sessionId": "s",
		}
		_, body := call(t, address, "s", "SyncHttpRpc.Push", map[string]any{"authToken": token}, map[string]any{"batch": []any{event}, "backendId": map[string]any{"_tag": "None"}})
		if !strings.Contains(body, `"Success"`) {
			t.Fatalf("push %d: %s", i, body)
		}
	}
	var parts []int
	for after := 0; after < events; {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/headgate/admin/export", strings.NewReader(fmt.Sprintf(`{"storeId":"s","after":%d}`, after)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		var part struct {
			Head   int
			Events []struct{ SeqNum int }
		}
		if err == nil {
			err = json.Unmarshal(text, &part)
		}
		if err != nil || part.Head != events || len(part.Events) == 0 || len(text) > 5_000_000 {
			t.Fatalf("after %d: %v, %d events, head %d, %d bytes", after, err, len(part.Events), part.Head, len(text))
		}
		for _, e := range part.Events {
			if after++; e.SeqNum != after {
				t.Fatalf("event %d comes as number %d", e.SeqNum, after)
			}
		}
		parts = append(parts, len(part.Events))
	}
	if len(parts) != 3 {
		t.Errorf("the export came in parts of %v", parts)
	}
}

// While the first request of an isolate asks for the floor, those beside it wait for the answer, too, and not for long.
func TestWorkerFloorOfAColdIsolate(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	ask := func(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) (statuses []int, longest time.Duration) {
		t.Helper()
		server := httptest.NewServer(http.HandlerFunc(answer))
		t.Cleanup(server.Close)
		address, token := testenv.Backend(t, "HEADGATE_URL="+server.URL, "HEADGATE_TOKEN="+workerToken)
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				began := time.Now()
				status, _ := pull(t, address, "s", map[string]any{"authToken": token, "headgate": says(fmt.Sprint("c", i), "1.0.0")})
				mu.Lock()
				defer mu.Unlock()
				statuses, longest = append(statuses, status), max(longest, time.Since(began))
			})
		}
		all.Wait()
		return statuses, longest
	}
	statuses, _ := ask(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-r.Context().Done():
		}
		fmt.Fprint(w, `{"floors":{"main":"1.1.0"}}`)
	})
	if slices.ContainsFunc(statuses, func(s int) bool { return s != http.StatusBadRequest }) {
		t.Errorf("below a floor that is on its way: %v", statuses)
	}
	statuses, longest := ask(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	close(hang)
	if slices.ContainsFunc(statuses, func(s int) bool { return s != http.StatusOK }) {
		t.Errorf("while the floor can't be heard: %v", statuses)
	}
	t.Logf("with a server that hangs, the longest of 8 took %v", longest)
}

// A call from one Durable Object to another is reported, and held to the floor, as any sync.
func TestWorkerBetweenObjects(t *testing.T) {
	t.Parallel()
	server := startHeadgate(t)
	worker := filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "worker", "rpc.ts")
	address, _ := testenv.Backend(t, "HEADGATE_URL="+server.URL, "HEADGATE_TOKEN="+workerToken, "HEADGATE_FLOOR_MS=100", "HEADGATE_SAMPLE_MS=100", "WORKER="+worker)
	rpc := func(store, tag string, payload map[string]any) string {
		t.Helper()
		payload["storeId"] = store
		message, err := json.Marshal(map[string]any{"_tag": "Request", "id": "0", "tag": tag, "payload": payload, "headers": [][]string{{"x-rpc-request-id", "0"}}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Post(address+"/?to="+store, "application/json", bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	event := map[string]any{"name": "v1.X", "args": map[string]any{"storeId": "another"}, "seqNum": 1, "parentSeqNum": 0, "clientId": "server", "sessionId": "static.1-5-0-beta_1"}
	push := map[string]any{"batch": []any{event}, "backendId": map[string]any{"_tag": "None"}}
	if body := rpc("s", "SyncDoRpc.Push", push); !strings.Contains(body, "Success") {
		t.Fatalf("a push between objects: %q", body)
	}
	// Nothing but that call tells of the store, and the stamp names the prerelease as it is.
	if o := server.await(t, observe.Push, "server", "1.5.0-beta.1"); o.StoreID != "s" {
		t.Errorf("reported %+v", o)
	}
	none := map[string]any{"_tag": "None"}
	if body := rpc("s", "SyncDoRpc.Pull", map[string]any{"cursor": none, "payload": map[string]any{"headgate": says("reader", "1.0.0")}}); !strings.Contains(body, "v1.X") {
		t.Errorf("a pull between objects: %q", body)
	}
	server.await(t, observe.Pull, "reader", "1.0.0")

	// Who subscribes gets what is pushed, until the floor passes by.
	get := func(query string) string {
		t.Helper()
		res, err := http.Get(address + "/?" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	subscribe := func(object, release string) string {
		t.Helper()
		caller := map[string]any{"bindingName": "TODO_SYNC", "durableObjectId": get("id=" + object)}
		return rpc("s", "SyncDoRpc.Pull", map[string]any{
			"cursor": none, "payload": map[string]any{"headgate": says(object, release)}, "rpcContext": map[string]any{"callerContext": caller},
		})
	}
	write := func(seq int) {
		t.Helper()
		event["seqNum"], event["parentSeqNum"] = seq, seq-1
		push["payload"] = map[string]any{"headgate": says("server", "1.5.0-beta.1")}
		if body := rpc("s", "SyncDoRpc.Push", push); !strings.Contains(body, "Success") {
			t.Fatalf("push %d: %q", seq, body)
		}
	}
	got := func(object string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); get("got="+object) != "1"; pause(t) {
			if time.Now().After(deadline) {
				t.Fatalf("%s got %s of 1", object, get("got="+object))
			}
		}
	}
	subscribe("old", "1.0.0")
	write(2)
	got("old")
	server.setFloor(map[string]string{"main": "1.1.0"})
	for deadline := time.Now().Add(20 * time.Second); ; pause(t) {
		body := subscribe("old", "1.0.0") // LiveStore remembers it before it asks whether it may
		if strings.Contains(body, "HEADGATE_BELOW_FLOOR") && !strings.Contains(body, "v1.X") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the floor never came: %q", body)
		}
	}
	server.await(t, observe.Refused, "old", "1.0.0")
	write(3)
	subscribe("new", "1.1.0")
	write(4)
	got("new")
	if n := get("got=old"); n != "1" {
		t.Errorf("below the floor a subscriber was sent %s pushes, want 1", n)
	}
}
