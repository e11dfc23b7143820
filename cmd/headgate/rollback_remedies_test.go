//go:build unix

package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/internal/testenv"
)

// A remedyWorld is the example with its releases 1.0.0 and 1.1.0 and a store on the real backend for each remedy, in an
// environment of the same name. The clients ann and ben are on the newest release, cleo is on 1.0.0; all are real.
type remedyWorld struct {
	*world
	shell
	dir string // of the clients' files
}

// deed is one run of a client: what it commits, as scripts/act.mjs wants it.
type deed struct {
	client, version string
	offline         bool
	flags           string // the exported file that it asks
	commits         string
}

// A client that ran shows this.
type shown struct {
	Pending, Confirmed, Drafts int
	Todos                      [][3]string // id, list, text
}

// lists are the todos as "id in list".
func (s shown) lists() (out []string) {
	for _, t := range s.Todos {
		out = append(out, t[0]+" in "+t[1])
	}
	return out
}

func newRemedyWorld(t *testing.T) *remedyWorld {
	t.Helper()
	w := &remedyWorld{world: &world{t: t, app: copyExample(t)}, dir: t.TempDir()}
	w.url, w.token = testenv.Backend(t)
	config := "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n"
	for _, env := range []string{"flags", "opposite", "reset", "epoch"} {
		config += "  " + env + ":\n    auth: {payload: {authToken: " + w.token + "}}\n    log: \"sync-cf:" + w.url + "\"\n    stores: [{id: " + env + "}]\n"
	}
	w.write("headgate.yaml", strings.Replace(config, "  reset:\n", "  reset:\n    approvals: 1\n", 1))
	w.shell = shell{dir: w.app, env: []string{"HEADGATE_ACTOR=ana"}, secret: "\x00"}
	w.record(t, "1.0.0", "1.1.0")
	return w
}

func (w *remedyWorld) node(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = w.app
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// act has clients of a store do something, one after the other.
func (w *remedyWorld) act(t *testing.T, store string, deeds ...deed) []shown {
	t.Helper()
	args := []string{"scripts/act.mjs"}
	for _, d := range deeds {
		o := map[string]any{"version": d.version, "dir": w.files(d.client), "storeId": store, "clientId": d.client}
		if !d.offline {
			o["url"] = strings.Replace(w.url, "http", "ws", 1)
		}
		if d.flags != "" {
			o["flags"] = d.flags
		}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, string(text), "["+d.commits+"]")
	}
	out := []shown{}
	for line := range strings.Lines(w.node(t, args...)) {
		var s shown
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, s)
	}
	if len(out) != len(deeds) {
		t.Fatalf("%d clients said something, of %d", len(out), len(deeds))
	}
	return out
}

func (w *remedyWorld) files(client string) string { return filepath.Join(w.dir, client) }

// release records the code that lies here, and builds its clients.
func (w *remedyWorld) release(t *testing.T, version string) {
	t.Helper()
	w.shell.run(t, 0, "release", "add", version)
	if err := os.CopyFS(filepath.Join(w.app, "history", version, "livestore"), os.DirFS(filepath.Join(w.app, "src", "livestore"))); err != nil {
		t.Fatal(err)
	}
}

// incident opens one and goes as far as its plan, which needs no state.
func (w *remedyWorld) incident(t *testing.T, env, remedy string, selection, plan []string) {
	t.Helper()
	w.shell.run(t, 0, append([]string{"rollback", "--env", env, "--reason", "a bad night"}, selection...)...)
	w.shell.run(t, 0, "rollback", "assess", "--env", env, "--no-state")
	out, _ := w.shell.run(t, 0, append([]string{"rollback", "plan", "--env", env, "--no-state", "--remedy", remedy}, plan...)...)
	wantText(t, out, "planned "+remedy)
}

func (w *remedyWorld) rollbackRun(t *testing.T, status int, env string, more ...string) string {
	t.Helper()
	out, said := w.shell.run(t, status, append([]string{"rollback", "run", "--env", env, "--yes"}, more...)...)
	return out + said
}

func todo(id, text string) string {
	return fmt.Sprintf(`["todoCreated", {"id": %q, "text": %q, "createdAt": "2027-01-31T10:00:00Z"}]`, id, text)
}

func todoV2(id string) string {
	return fmt.Sprintf(`["todoCreatedV2", {"id": %q, "text": %q, "createdAt": "2027-01-31T10:00:00Z", "priority": "high"}]`, id, id)
}

func moved(id, list string) string {
	return fmt.Sprintf(`["todoMoved", {"id": %q, "list": %q, "position": 0}]`, id, list)
}

func wantShown(t *testing.T, who string, s shown, want ...string) {
	t.Helper()
	if got := s.lists(); !slices.Equal(got, want) || s.Pending != 0 {
		t.Errorf("%s shows %q and has %d events that are not sent, want %q and none", who, got, s.Pending, want)
	}
}

// TestRollbackRunRemedies has `rollback run` carry out, or wait for people with, the remedies that leave the backend's log as it
// is. Each ends right on three real clients: one that has the harm, one that was offline with events not sent, and one on the
// old release.
func TestRollbackRunRemedies(t *testing.T) {
	t.Parallel()
	w := newRemedyWorld(t)
	t.Run("flag off", w.flagOff)
	t.Run("compensating events", w.compensating)
	t.Run("client reset", w.clientReset)
	t.Run("epoch rebuild", w.epochRebuild)
}

// A rollout opened v2.TodoCreated, and cleo, who counted as gone, skips it. Taken back, nobody emits it any more who asks; what
// was committed stays, also what ben had not sent yet.
func (w *remedyWorld) flagOff(t *testing.T) {
	const env = "flags"
	w.write("headgate/rollouts/todo-created-v2.yaml", connectedRollout)
	at := func(ago time.Duration) string { return time.Now().Add(-ago).UTC().Format(time.RFC3339) }
	w.write("seen.csv", "storeId,clientId,release,lastSeen\nflags,ann,1.1.0,"+at(0)+"\nflags,ben,1.1.0,"+at(0)+"\nflags,cleo,1.0.0,"+at(100*24*time.Hour)+"\n")
	w.shell.run(t, 0, "census", "import", "seen.csv", "--env", env, "--source", "sync")
	w.shell.run(t, 0, "rollout", "start", "todo-created-v2", "--env", env)
	out, _ := w.shell.run(t, 0, "rollout", "tick", "--env", env)
	wantText(t, out, "1 store opened")
	flags := filepath.Join(w.app, "flags.json")
	export := func() { w.shell.run(t, 0, "flags", "export", "--env", env, "--out", flags) }
	export()
	before := w.act(t, env,
		deed{client: "ann", version: "1.1.0", flags: flags, commits: todoV2("milk")},
		deed{client: "ben", version: "1.1.0", flags: flags, commits: todoV2("bread"), offline: true},
		deed{client: "cleo", version: "1.0.0"})
	if before[1].Pending != 1 || len(before[2].Todos) != 0 {
		t.Fatalf("the harm is not done: %+v", before)
	}

	w.incident(t, env, "flag-off", []string{"--event", "v2.TodoCreated"}, nil)
	wantText(t, w.rollbackRun(t, 0, env), "done 1-stop-v2.TodoCreated", "aborted")
	w.rollbackRun(t, 0, env)
	export()
	after := w.act(t, env,
		deed{client: "ben", version: "1.1.0", flags: flags, commits: todoV2("cheese")},
		deed{client: "ann", version: "1.1.0", flags: flags, commits: todoV2("eggs")},
		deed{client: "cleo", version: "1.0.0"},
		deed{client: "ben", version: "1.1.0", flags: flags})
	all := []string{"bread in inbox", "cheese in inbox", "eggs in inbox", "milk in inbox"}
	wantShown(t, "ann", after[1], all...)
	wantShown(t, "ben", after[3], all...)
	wantShown(t, "cleo", after[2], "cheese in inbox", "eggs in inbox")
	out, _ = w.shell.run(t, 0, "log", "tail", "--env", env, "--store", env)
	if n := strings.Count(out, "v2.TodoCreated"); n != 2 {
		t.Errorf("%d events of v2 are in the log, want those two from before:\n%s", n, out)
	}
}

// Todos were moved to a list that nobody has. The opposite events reach every client by its normal sync, also on the old
// release. What ben had not sent is as bad, and arrives afterwards: the same migration, run again, has the opposite of it.
func (w *remedyWorld) compensating(t *testing.T) {
	const env = "opposite"
	before := w.act(t, env,
		deed{client: "ann", version: "1.1.0", commits: todo("a", "one") + "," + todo("b", "two") + "," + moved("a", "undefined")},
		deed{client: "ben", version: "1.1.0"},
		deed{client: "ben", version: "1.1.0", offline: true, commits: todo("c", "three") + "," + moved("b", "undefined")},
		deed{client: "cleo", version: "1.0.0"})
	if before[2].Pending != 2 || !slices.Equal(before[3].lists(), []string{"a in undefined", "b in inbox"}) {
		t.Fatalf("the harm is not done: %+v", before)
	}
	w.incident(t, env, "compensating-events", []string{"--event", "v1.TodoMoved", "--where", "args ->> 'list' = 'undefined'"}, nil)
	wantText(t, w.rollbackRun(t, 2, env), "the plan has no migration with the opposite events yet")
	w.write("headgate/migrations/00001_undo.sql", "-- headgate: requires >= 1.1.0\n-- +goose Up\n-- headgate: emit v1.TodoMoved key id\n"+
		"SELECT id, 'inbox' AS list, 0 AS position FROM todos WHERE list = 'undefined' ORDER BY id;\n"+
		"-- headgate: assert 'no todo is lost' SELECT count(*) = 0 FROM todos WHERE list = 'undefined';\n")
	w.shell.run(t, 0, "rollback", "plan", "--env", env, "--no-state", "--remedy", "compensating-events", "--migration", "undo")
	wantText(t, w.rollbackRun(t, 0, env), "1 event committed", "done 1-backfill-00001_undo")
	after := w.act(t, env, deed{client: "cleo", version: "1.0.0"}, deed{client: "ben", version: "1.1.0"}, deed{client: "ann", version: "1.1.0"})
	wantShown(t, "cleo", after[0], "a in inbox", "b in inbox")
	for i, who := range []string{"ben", "ann"} {
		wantShown(t, who, after[i+1], "a in inbox", "b in undefined", "c in inbox")
	}
	w.shell.run(t, 8, "migration", "verify", "undo", "--env", env)
	out, _ := w.shell.run(t, 0, "migration", "up", "undo", "--env", env, "--yes")
	wantText(t, out, "1 event committed")
	w.shell.run(t, 0, "migration", "verify", "undo", "--env", env)
	for i, s := range w.act(t, env, deed{client: "ann", version: "1.1.0"}, deed{client: "ben", version: "1.1.0"}, deed{client: "cleo", version: "1.0.0"}) {
		wantShown(t, "client "+fmt.Sprint(i), s, "a in inbox", "b in inbox", "c in inbox")
	}
}

// The files of ann and ben are damaged. Where others must agree, who armed the reset does not fire it: the second person runs the
// same plan, which goes on, and resets nobody twice. ben's event that was not sent arrives; a draft, which never leaves a client,
// is lost, as was said. cleo's build knows nothing of resets, and goes on.
func (w *remedyWorld) clientReset(t *testing.T) {
	const env = "reset"
	w.shell.run(t, 0, "generate", "--store-reset")
	w.release(t, "1.1.1")
	before := w.act(t, env,
		deed{client: "ann", version: "1.1.1", commits: todo("a", "right")},
		deed{client: "ben", version: "1.1.1"},
		deed{client: "ben", version: "1.1.1", offline: true, commits: todo("b", "unsent") + `,["draftSaved", {"id": "d", "text": "a draft"}]`},
		deed{client: "cleo", version: "1.0.0"})
	if before[2].Pending != 1 || before[2].Drafts != 1 {
		t.Fatalf("%+v", before)
	}
	for _, client := range []string{"ann", "ben"} {
		damageState(t, filepath.Join(w.files(client), env))
	}
	if s := w.act(t, env, deed{client: "ann", version: "1.1.1"}); s[0].Todos[0][2] != "damaged" {
		t.Fatalf("%+v", s)
	}

	const loses = "every event that is not sent yet; documents that only live on the client"
	w.shell.run(t, 0, "rollback", "--env", env, "--event", "v1.TodoCreated", "--reason", "damaged files")
	w.shell.run(t, 0, "rollback", "assess", "--env", env, "--no-state")
	plan := []string{"rollback", "plan", "--env", env, "--no-state", "--remedy", "client-reset"}
	_, said := w.shell.run(t, 7, plan...)
	wantText(t, said, "client-reset loses data: "+loses)
	w.shell.run(t, 0, append(plan, "--accept-loss", "--reason", "no release repairs files")...)
	wantText(t, w.rollbackRun(t, 4, env), "the plan has 0 of the 1 approval")
	found, err := filepath.Glob(filepath.Join(w.app, "headgate/incidents/*/plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	ben := w.shell
	ben.env = []string{"HEADGATE_ACTOR=ben"}
	ben.run(t, 0, "plan", "approve", w.planOf(t, found, env), "--env", env)
	for range 2 {
		wantText(t, w.rollbackRun(t, 4, env), "ana armed the reset", "headgate reset fire --env reset")
	}
	ben.run(t, 4, "rollback", "run", "--env", env, "--yes") // nobody but ben approved what ben does
	ben.run(t, 0, "reset", "fire", "--env", env)
	wantText(t, w.rollbackRun(t, 0, env), "done 1-reset-clients: reset 1 is done already")
	w.rollbackRun(t, 0, env)
	out, _ := w.shell.run(t, 0, "reset", "status", "--env", env)
	wantText(t, out, "reset 1 of reset is done: 1 of 1 store open")

	flags := filepath.Join(w.app, "reset.json")
	w.shell.run(t, 0, "flags", "export", "--env", env, "--out", flags)
	after := w.act(t, env,
		deed{client: "ben", version: "1.1.1", flags: flags},
		deed{client: "ann", version: "1.1.1", flags: flags},
		deed{client: "cleo", version: "1.0.0", flags: flags})
	for i, s := range after {
		if want := [][3]string{{"a", "inbox", "right"}, {"b", "inbox", "unsent"}}; !reflect.DeepEqual(s.Todos, want) || s.Pending != 0 || s.Drafts != 0 {
			t.Errorf("client %d ends with %+v", i, s)
		}
	}
}

// planOf is the plan of an environment's incident, as it is typed.
func (w *remedyWorld) planOf(t *testing.T, files []string, env string) string {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"environment": "`+env+`"`) {
			rel, err := filepath.Rel(w.app, file)
			if err != nil {
				t.Fatal(err)
			}
			return rel
		}
	}
	t.Fatalf("no plan of %s is among %q", env, files)
	return ""
}

// damageState changes rows of a client past LiveStore.
func damageState(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "state*.db"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	db, err := sql.Open("sqlite", found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "UPDATE todos SET text = 'damaged'"); err != nil {
		t.Fatal(err)
	}
}

// The release before was deployed by mistake for a while, and then the new one again: on node its clients open the state file that
// they left behind, and miss for good what came in between. A word that the new epoch is there is not taken before it is.
func (w *remedyWorld) epochRebuild(t *testing.T) {
	const env = "epoch"
	before := w.act(t, env,
		deed{client: "ann", version: "1.1.1", commits: todo("a", "one")},
		deed{client: "ben", version: "1.1.1"},
		deed{client: "ann", version: "1.0.0", commits: todo("b", "two")},
		deed{client: "ben", version: "1.0.0", offline: true, commits: todo("c", "not sent")},
		deed{client: "cleo", version: "1.0.0"},
		deed{client: "ann", version: "1.1.1", commits: todo("d", "four")})
	wantShown(t, "cleo", before[4], "a in inbox", "b in inbox")
	wantShown(t, "ann on her old state file", before[5], "a in inbox", "d in inbox")

	w.incident(t, env, "epoch-rebuild", []string{"--event", "v1.TodoCreated", "--since", "e2"}, nil)
	wantText(t, w.rollbackRun(t, 4, env), "step 1-epoch-bump is for people", "headgate epoch bump --schema main")
	wantText(t, w.rollbackRun(t, 2, env, "--step", "epoch-bump"), "no release after 1.1.1 is recorded yet")
	w.shell.run(t, 0, "release", "add", "1.1.2")
	wantText(t, w.rollbackRun(t, 7, env, "--step", "epoch-bump"), "the state hash of 1.1.2 is that of 1.1.0")
	w.shell.run(t, 0, "epoch", "bump", "--schema", "main", "--reason", "1.0.0 was deployed in between")
	w.release(t, "1.1.3")
	wantText(t, w.rollbackRun(t, 0, env, "--step", "epoch-bump"), "done 1-epoch-bump")
	all := []string{"a in inbox", "b in inbox", "c in inbox", "d in inbox"}
	canary := w.act(t, env, deed{client: "ben", version: "1.1.3"})
	wantShown(t, "ben, who rebuilds first", canary[0], all...)
	wantText(t, w.rollbackRun(t, 0, env, "--step", "canary-rebuild"), "done 2-canary-rebuild")
	for i, s := range w.act(t, env, deed{client: "ann", version: "1.1.3"}, deed{client: "cleo", version: "1.1.3"}) {
		wantShown(t, "client "+fmt.Sprint(i), s, all...)
	}
	wantText(t, w.rollbackRun(t, 0, env, "--step", "deploy-readers"), "done 3-deploy-readers")
	wantText(t, w.rollbackRun(t, 0, env, "--step", "wait-for-readers", "--skip", "--reason", "all have it"), "next: headgate rollback close")
}
