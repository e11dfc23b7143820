//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/livestore"
	"headgate/internal/testenv"
)

// TestBackendReset takes one bad event out of a store, by the commands of examples/backend-reset.md, with the generated worker
// on the real backend and real clients: ann is connected all the while, ben is offline and has not sent two events, zoe has
// never been online. headgate is killed in the midst of the reset. ann and ben end with the store as it should be, and what ben
// loses is what was said before; zoe loses nothing.
func TestBackendReset(t *testing.T) {
	t.Parallel()
	w, s, _ := resettable(t)
	w.write("headgate/corrections/main.yaml", "version: 1\nschema: main\ncorrections:\n"+
		"  - {name: bad-text, reason: nobody wrote it, match: {event: v1.TodoCreated, where: args ->> 'text' = 'bad'}, skip: true}\n")

	dirs := map[string]string{}
	client := func(name string, online bool) *testenv.Member {
		t.Helper()
		if dirs[name] == "" {
			dirs[name] = t.TempDir()
		}
		m, _ := testenv.OpenMember(t, w.member("acme", name, dirs[name], online))
		return m
	}
	ann := client("ann", true)
	for _, todo := range []string{`["a","good"]`, `["b","bad"]`, `["c","good"]`} {
		ann.Do(`{"commit":` + todo + `}`)
	}
	ann.Do(`{"head":3}`)
	ben := client("ben", true)
	ben.Do(`{"head":3}`)
	ben.End()
	ben = client("ben", false)
	ben.Do(`{"commit":["x","unsent"]}`)
	if state := ben.Do(`{"commit":["y","unsent"]}`); state.Pending != 2 {
		t.Fatalf("ben: %+v", state)
	}
	ben.End()
	zoe := client("zoe", false)
	zoe.Do(`{"commit":["z","from zoe"]}`)
	zoe.End()
	now := time.Now().UTC().Format(time.RFC3339)
	w.write("clients.csv", "storeId,clientId,release,lastSeen\nacme,ann,1.0.0,"+now+"\nacme,ben,1.0.0,"+now+"\n")
	s.run(t, 0, "census", "import", "clients.csv", "--env", "prod")

	page, err := os.ReadFile(filepath.Join(testenv.Root(t), "examples", "backend-reset.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := func(status int, line string, more ...string) string {
		t.Helper()
		if !strings.Contains(string(page), "\n$ headgate "+line+"\n") {
			t.Errorf("the page does not have %q", line)
		}
		out, _ := s.run(t, status, append(strings.Fields(line), more...)...)
		return out
	}
	documented(0, "log export --env prod --store acme --out acme.json")
	documented(0, "log verify acme.json")
	wantText(t, documented(0, "log verify acme.json --env prod --store acme"), "acme has just these events")
	out := documented(0, "log transform acme.json --corrections headgate/corrections/main.yaml --out better.json")
	wantText(t, out, "wrote 2 events of store acme to better.json, of 3 that were read", "bad-text")
	documented(0, "log import better.json --env prod --store acme-2 --dry-run")
	wantText(t, documented(0, "log import better.json --env prod --store acme-2"), "imported 2 events into store acme-2, and read all back")
	wantText(t, documented(0, "log import better.json --env prod --store acme-2"), "has all 2 events")
	_, said := s.run(t, 7, "log", "import", "better.json", "--env", "prod", "--store", "acme")
	wantText(t, said, "the store has the first 1 events of the dump, and then another: e2 (v1.TodoCreated)")

	const reset = "store reset acme --env prod --export before.json --import better.json"
	out = documented(7, reset)
	lost := fmt.Sprintf("on every client of the store: ann (1.0.0, seen %s), ben (1.0.0, seen %s); 1 client connected now", now, now)
	wantText(t, out, "store acme ends at e3", lost, "1 event of 3 of the log that what is imported does not have: 1 v1.TodoCreated")
	if _, err := os.Stat(filepath.Join(w.app, "before.json")); err == nil {
		t.Error("it was only asked what would be lost, and an export is there")
	}
	accepted := append(strings.Fields(reset), "--accept-loss", "--reason", "a test")
	killed(t, s, filepath.Join(w.app, "before.json.reset.json"), accepted)
	out, _ = s.run(t, 0, accepted...)
	wantText(t, out, "store acme is reset: it ended at e3", "read all back", lost)
	wantText(t, documented(0, "log verify acme.json"), "3 events")
	s.run(t, 0, "log", "verify", "before.json", "--digest", digestOf(t, s, "acme.json"))
	s.run(t, 0, "log", "verify", "better.json", "--env", "prod", "--store", "acme")
	again, _ := s.run(t, 0, accepted...) // it is done
	wantText(t, again, "store acme is reset")
	// Nothing else passes for it: another import, none, a look at it, a dump of another store, a head that was not looked at.
	other := strings.Replace(reset, "better.json", "acme.json", 1)
	_, said = s.run(t, 7, append(strings.Fields(other), "--accept-loss", "--reason", "a test")...)
	wantText(t, said, "the reset that was begun with this --export imports the dump with the digest "+digestOf(t, s, "better.json"))
	_, said = s.run(t, 7, "store", "reset", "acme", "--env", "prod", "--export", "before.json", "--accept-loss", "--reason", "a test")
	wantText(t, said, "the reset that was begun with this --export imports the dump")
	_, said = s.run(t, 7, strings.Fields(reset)...)
	wantText(t, said, "the reset with this --export was done at")
	_, said = s.run(t, 7, "store", "reset", "acme-2", "--env", "prod", "--export", "two.json", "--import", "better.json", "--accept-loss", "--reason", "a test")
	wantText(t, said, "the dump is of store acme, not of acme-2")
	_, said = s.run(t, 7, "store", "reset", "acme", "--env", "prod", "--export", "three.json", "--accept-loss", "--reason", "a test", "--head", "e9")
	wantText(t, said, "the store ends at e2, and its loss was accepted when it ended at e9")
	_, said = s.run(t, 7, "log", "transform", "acme.json", "--corrections", "headgate/corrections/main.yaml", "--out", "./acme.json")
	wantText(t, said, "writing over it would lose what is dropped")

	if state := ann.Do(`{"ended":true}`); state.Ended != "backend-id-mismatch" {
		t.Errorf("ann: %+v", state)
	}
	ann.End()
	for _, name := range []string{"ben", "ann"} {
		if name == "ben" { // hears of it now
			ben = client("ben", true)
			if state := ben.Do(`{"ended":true}`); state.Ended != "backend-id-mismatch" {
				t.Errorf("ben: %+v", state)
			}
			ben.End()
		}
		m := client(name, true)
		if state := m.Do(`{"head":2}`); !slices.Equal(state.Todos, []string{"a", "c"}) || state.Pending != 0 {
			t.Errorf("%s ends with %+v", name, state)
		}
		m.End()
	}
	zoe = client("zoe", true)
	if state := zoe.Do(`{"head":3}`); !slices.Equal(state.Todos, []string{"a", "c", "z"}) || state.Pending != 0 {
		t.Errorf("zoe ends with %+v", state)
	}

	out, _ = s.run(t, 0, "audit", "--env", "prod")
	wantText(t, out, "ana", "store.reset ", "store.reset.done", "log.import", `"reason":"a test"`)
	s.run(t, 0, "audit", "verify", "--env", "prod")
}

// TestBackendResetGoneOnWith kills headgate in the midst of a reset's import. Who loads the store meanwhile waits until the
// reset is gone on with, and then gets all of it, and can commit.
func TestBackendResetGoneOnWith(t *testing.T) {
	t.Parallel()
	w, s, route := resettable(t)
	const events = 600
	w.fill(t, "acme", events)
	s.run(t, 0, "log", "export", "--env", "prod", "--store", "acme", "--out", "dump.json")
	reset := []string{"store", "reset", "acme", "--env", "prod", "--export", "before.json", "--import", "dump.json", "--accept-loss", "--reason", "a test"}
	was := w.info(route, "acme")
	partly := func() bool {
		now := w.info(route, "acme")
		return now.BackendID != was.BackendID && now.Head > 0 && now.Head < events
	}
	killedWhen(t, s, reset, partly)
	if !partly() {
		t.Fatalf("it was not killed in the midst of the import: %+v", w.info(route, "acme"))
	}
	mia, _ := testenv.OpenMember(t, w.member("acme", "mia", t.TempDir(), true))
	<-time.After(time.Second) // longer than a pull takes
	if state := mia.Do(`{}`); !state.Connected || state.Confirmed != 0 {
		t.Errorf("mia pulls a half of what the store is to hold: %+v", state)
	}
	out, _ := s.run(t, 0, reset...)
	wantText(t, out, "store acme is reset: it ended at e600", "events into store acme, and read all back")
	if now := w.info(route, "acme"); !now.HeldUntil.IsZero() {
		t.Errorf("clients still wait: %+v", now)
	}
	s.run(t, 0, "log", "verify", "before.json", "--env", "prod", "--store", "acme")
	mia.Do(`{"commit":["m","from mia"]}`)
	// A third of the events move a todo, and there is hers.
	if state := mia.Do(`{"head":601}`); len(state.Todos) != 400+1 || state.Pending != 0 || state.Ended != "" {
		t.Errorf("mia ends with %d todos, %d pending, %q", len(state.Todos), state.Pending, state.Ended)
	}
	s.run(t, 0, "audit", "verify", "--env", "prod")
}

// resettable is an app with two stores on a backend with headgate's worker, and a shell with the backend's admin token.
func resettable(t *testing.T) (*world, shell, operate.AdminRoute) {
	t.Helper()
	const secret = "an-admin-token-of-the-test"
	w := &world{t: t, app: copyExample(t), sent: map[livestore.StoreID]int{}}
	w.url, w.token = testenv.Backend(t, "HEADGATE_ADMIN_TOKEN="+secret)
	w.write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod:\n"+
		"    auth: {payload: {authToken: "+w.token+"}}\n    admin: \"${PROD_ADMIN_TOKEN}\"\n    log: \"sync-cf:"+w.url+"\"\n    stores: [{id: acme}, {id: acme-2}]\n")
	w.record(t, "1.0.0")
	s := shell{dir: w.app, env: []string{"PROD_ADMIN_TOKEN=" + secret, "HEADGATE_ACTOR=ana"}, secret: secret}
	return w, s, operate.AdminRoute{URL: w.url, Token: secret}
}

// member are the options of a client of a store.
func (w *world) member(store, name, dir string, online bool) map[string]any {
	o := map[string]any{"version": "1.0.0", "dir": dir, "storeId": store, "clientId": name, "token": w.token, "onBackendIdMismatch": "reset"}
	if online {
		o["url"] = w.url
	}
	return o
}

// info is what the backend's admin route says of a store.
func (w *world) info(route operate.AdminRoute, store livestore.StoreID) operate.BackendStore {
	w.t.Helper()
	now, err := route.Info(w.t.Context(), store)
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

// killed runs headgate and kills it when the file is there.
func killed(t *testing.T, s shell, file string, args []string) {
	t.Helper()
	killedWhen(t, s, args, func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
}

// killedWhen runs headgate and kills it when something holds.
func killedWhen(t *testing.T, s shell, args []string, holds func() bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "headgate", args...)
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	for !holds() {
		select {
		case <-ended:
			t.Fatal("it ended before it was killed")
		case <-time.After(time.Millisecond):
		}
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	<-ended
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Fatalf("it ended by itself: %s", cmd.ProcessState)
	}
}

// digestOf is what `log verify` says of a dump.
func digestOf(t *testing.T, s shell, file string) string {
	t.Helper()
	out, _ := s.run(t, 0, "log", "verify", file, "--format", "json")
	var v struct{ Digest string }
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Digest == "" {
		t.Fatalf("%v\n%s", err, out)
	}
	return v.Digest
}
