//go:build unix

package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// A connected world is an app, its wrapped sync backend and a real `headgate serve` that hears of its clients.
type connected struct {
	*world
	server string
	leader *program
	dirs   map[string]string // of clients
}

const connectedRollout = `events:
  TodoCreated: {from: v1, to: v2}
steps:
  - {weight: 100, pause: manual}
`

func newConnected(t *testing.T, serve ...string) *connected {
	t.Helper()
	w := &connected{world: &world{t: t, app: copyExample(t)}, dirs: map[string]string{}}
	// The two need each other's address before they start.
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	w.server = "http://" + address
	w.write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod: {fleet: {horizon: 1s}}\n")
	reporter := w.secret(t, "worker")
	w.url, w.token = testenv.Backend(t, "HEADGATE_URL="+w.server, "HEADGATE_TOKEN="+reporter, "HEADGATE_FLOOR_MS=200", "HEADGATE_SAMPLE_MS=100")
	w.write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod:\n    fleet: {horizon: 30d}\n"+
		"    auth: {payload: {authToken: "+w.token+"}}\n    stores:\n      - {id: s, schema: main, log: \"sync-cf:"+w.url+"\"}\n")
	w.record(t, "1.0.0", "1.1.0")
	w.write("headgate/rollouts/todo-created-v2.yaml", connectedRollout)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	w.leader = w.start(t, append([]string{"serve", "--env", "prod", "--listen", address}, serve...)...)
	t.Cleanup(func() { w.leader.stop(t) })
	w.until(t, "the server answers", func() bool {
		res, err := http.Get(w.server + "/healthz")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == 200
	})
	return w
}

// secret makes a token.
func (w *connected) secret(t *testing.T, role string) string {
	t.Helper()
	var made struct{ Token string }
	cmd := exec.CommandContext(t.Context(), "headgate", "token", "create", "--role", role, "--env", "prod", "--format", "json")
	cmd.Dir = w.app
	if out, err := cmd.Output(); err != nil || json.Unmarshal(out, &made) != nil {
		t.Fatalf("%v %s", err, out)
	}
	return made.Token
}

func (w *connected) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("%s: never\n%s", what, w.headgate(t, 0, "rollout", "status", "todo-created-v2", "--env", "prod"))
		}
		<-time.After(50 * time.Millisecond)
	}
}

// client opens a real LiveStore client on a release.
func (w *connected) client(t *testing.T, name, release string) *testenv.Member {
	t.Helper()
	if w.dirs[name] == "" {
		w.dirs[name] = t.TempDir()
	}
	m, _ := testenv.OpenMember(t, map[string]any{
		"version": release, "dir": w.dirs[name], "storeId": "s", "clientId": name, "url": w.url, "token": w.token,
		"headgate": map[string]any{"schema": "main", "clientId": name, "release": release},
	})
	return m
}

// TestConnected: clients sync with the real backend; headgate knows of them without being told, and its floor holds.
func TestConnected(t *testing.T) {
	t.Parallel()
	w := newConnected(t)
	old := w.client(t, "old", "1.0.0")
	old.Do(`{"commit":["1","before"]}`)
	fresh := w.client(t, "fresh", "1.1.0")
	fresh.Do(`{"head":1}`)
	w.until(t, "the census has both", func() bool {
		out := w.headgate(t, 0, "census", "--env", "prod")
		return strings.Contains(out, "1.0.0") && strings.Contains(out, "1.1.0")
	})
	out := w.headgate(t, 0, "rollout", "status", "todo-created-v2", "--env", "prod")
	wantText(t, out, "1 blocked, 0 unobserved", "old ", "1.0.0", "sync")

	w.headgate(t, 0, "floor", "set", "1.1.0", "--env", "prod", "--reason", "reads v2")
	w.until(t, "the old client is turned away", func() bool {
		fresh.Do(`{"commit":["x` + time.Now().Format("150405.000000") + `","above the floor"]}`)
		return !old.Do("{}").Connected
	})
	// Who was refused before it could pull blocks no more.
	w.until(t, "nothing blocks", func() bool {
		return strings.Contains(w.headgate(t, 0, "rollout", "status", "todo-created-v2", "--env", "prod"), "0 blocked, 0 unobserved")
	})
	if s := old.Do(`{"commit":["3","while refused"]}`); s.Pending != 1 {
		t.Errorf("what it does stays with it: %+v", s)
	}
}

// TestControllerOpens: the server itself holds a rollout while an old client is active, opens the store when it has been
// upgraded, and tells clients that ask for flags. A second server takes over when the first is killed.
func TestControllerOpens(t *testing.T) {
	t.Parallel()
	w := newConnected(t, "--tick", "300ms", "--log-level", "info")
	w.headgate(t, 0, "census", "--env", "prod")
	old := w.client(t, "ann", "1.0.0")
	old.Do(`{"commit":["1","before"]}`)
	w.client(t, "ben", "1.1.0").Do(`{"head":1}`)
	status := func() string { return w.headgate(t, 0, "rollout", "status", "todo-created-v2", "--env", "prod") }
	// The store is watched since just now, which is not as long as a client may be away: somebody answers for that.
	w.write("headgate/rollouts/todo-created-v2.yaml", connectedRollout+"waivers:\n  - {store: s, reason: \"all clients are known\", owner: ana, expires: 2100-01-01}\n")
	w.headgate(t, 0, "rollout", "start", "todo-created-v2", "--env", "prod")
	w.until(t, "the gate holds", func() bool {
		return strings.Contains(status(), "reader gate") && strings.Contains(status(), "1 blocked")
	})
	client := w.secret(t, "client")
	value := func() string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server+"/ofrep/v1/evaluate/flags/event.TodoCreated",
			strings.NewReader(`{"context":{"storeId":"s","appVersion":"1.1.0"}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+client)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var said struct{ Value string }
		if err := json.NewDecoder(res.Body).Decode(&said); err != nil {
			t.Fatal(err)
		}
		return said.Value
	}
	if v := value(); v == "v2.TodoCreated" {
		t.Errorf("the gate held, and clients get %s", v)
	}
	old.End()
	upgraded := w.client(t, "ann", "1.1.0")
	upgraded.Do(`{"head":1}`)
	w.until(t, "the store opens", func() bool { return strings.Contains(status(), "ramp") && strings.Contains(status(), "1 open") })
	w.until(t, "clients get the new version", func() bool { return value() == "v2.TodoCreated" })
	w.headgate(t, 0, "rollout", "abort", "todo-created-v2", "--env", "prod", "--reason", "a test")
	w.until(t, "clients get the old version", func() bool { return value() == "v1.TodoCreated" })

	// The leader is killed; the one that waited goes on.
	second := w.start(t, "serve", "--env", "prod", "--listen", "127.0.0.1:0", "--tick", "300ms")
	t.Cleanup(func() { second.stop(t) })
	if err := w.leader.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.headgate(t, 0, "rollout", "start", "todo-created-v2", "--env", "prod")
	killed := time.Now()
	w.until(t, "the other server opens the store", func() bool { return strings.Contains(status(), "1 open") })
	t.Logf("the other server led after %s", time.Since(killed).Round(time.Millisecond))
	history := w.headgate(t, 0, "rollout", "history", "todo-created-v2", "--env", "prod")
	if n := strings.Count(history, `"opened":1`); n != 2 {
		t.Errorf("the store was opened %d times in two attempts:\n%s", n, history)
	}
	w.headgate(t, 0, "audit", "verify", "--env", "prod")
}
