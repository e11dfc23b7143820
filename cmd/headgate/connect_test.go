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
	dirs   map[string]string // of clients
}

const connectedRollout = `events:
  TodoCreated: {from: v1, to: v2}
steps:
  - {weight: 100, pause: manual}
`

func newConnected(t *testing.T, serve ...string) *connected {
	t.Helper()
	w := &connected{world: &world{t: t, app: testenv.CopyExample(t, "todo")}, dirs: map[string]string{}}
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
	for _, version := range []string{"1.0.0", "1.1.0"} {
		checkout := exec.CommandContext(t.Context(), "node", "scripts/checkout.mjs", version)
		checkout.Dir = w.app
		if out, err := checkout.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		w.headgate(t, 0, "release", "add", version)
	}
	w.write("headgate/rollouts/todo-created-v2.yaml", connectedRollout)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	p := w.start(t, append([]string{"serve", "--env", "prod", "--listen", address}, serve...)...)
	t.Cleanup(func() { p.stop(t) })
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
