//go:build unix

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"headgate/internal/testenv"
)

// An incidentWorld is the example with one release, its store on the real backend with the generated worker, and ann and ben.
type incidentWorld struct {
	*world
	shell
	dirs map[string]string
}

func newIncidentWorld(t *testing.T) *incidentWorld {
	t.Helper()
	const secret = "an-admin-token-of-the-test"
	w := &incidentWorld{world: &world{t: t, app: copyExample(t)}, dirs: map[string]string{}}
	w.url, w.token = testenv.Backend(t, "HEADGATE_ADMIN_TOKEN="+secret)
	w.write("headgate.yaml", "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, export: schema, adapters: [node]}\nenvironments:\n  prod:\n"+
		"    approvals: 1\n    auth: {payload: {authToken: "+w.token+"}}\n    admin: \"${PROD_ADMIN_TOKEN}\"\n    log: \"sync-cf:"+w.url+"\"\n    stores: [{id: acme}, {id: acme"+copied+"}]\n")
	w.shell = shell{dir: w.app, env: []string{"PROD_ADMIN_TOKEN=" + secret, "HEADGATE_ACTOR=ana"}, secret: secret}
	w.record(t, "1.0.0", "1.1.0")
	return w
}

// copied is what a copy of a store has behind its name.
const copied = "-2"

func (w *incidentWorld) client(name, store string, online bool) *testenv.Member {
	w.t.Helper()
	if w.dirs[name] == "" {
		w.dirs[name] = w.t.TempDir()
	}
	o := map[string]any{"version": "1.0.0", "dir": w.dirs[name], "storeId": store, "clientId": name, "token": w.token, "onBackendIdMismatch": "reset"}
	if online {
		o["url"] = w.url
	}
	m, _ := testenv.OpenMember(w.t, o)
	return m
}

// planned opens an incident about the text "bad", plans a remedy that loses data, edits the corrections that were drafted, plans
// again, and has somebody else approve that: nobody agrees to other corrections than those of the plan.
func (w *incidentWorld) planned(remedy string) (plan string) {
	t := w.t
	t.Helper()
	w.shell.run(t, 0, "rollback", "--env", "prod", "--event", "v1.TodoCreated", "--where", "args ->> 'text' = 'bad'", "--store", "acme", "--reason", "bad texts")
	w.shell.run(t, 0, "rollback", "assess", "--env", "prod")
	write := []string{"rollback", "plan", "--env", "prod", "--remedy", remedy, "--accept-loss", "--reason", "a test"}
	w.shell.run(t, 0, write...)
	w.correct("good")
	found, err := filepath.Glob(filepath.Join(w.app, "headgate/incidents/*/plan.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	plan, err = filepath.Rel(w.app, found[0])
	if err != nil {
		t.Fatal(err)
	}
	bob := w.shell
	bob.env = append(slices.Clone(bob.env), "HEADGATE_ACTOR=bob")
	run := []string{"rollback", "run", "--env", "prod", "--yes"}
	_, said := w.shell.run(t, 4, run...)
	wantText(t, said, "the corrections are others than when step 1-", "headgate rollback plan --remedy "+remedy+" --env prod --accept-loss")
	_, said = bob.run(t, 4, "plan", "approve", plan, "--env", "prod")
	wantText(t, said, "the corrections are others")
	w.shell.run(t, 0, write...)
	if text, err := os.ReadFile(filepath.Join(w.app, "headgate/corrections/main.yaml")); err != nil || strings.Contains(string(text), "skip") {
		t.Errorf("corrections that somebody wrote were added to: %v\n%s", err, text)
	}
	_, said = w.shell.run(t, 4, run...)
	wantText(t, said, "the plan has 0 of the 1 approval that environment \"prod\" asks for", "headgate plan approve "+plan+" --env prod")
	bob.run(t, 0, "plan", "approve", plan, "--env", "prod")
	return plan
}

// correct has the bad text be another one.
func (w *incidentWorld) correct(text string) {
	w.t.Helper()
	w.write("headgate/corrections/main.yaml", "version: 1\nschema: main\ncorrections:\n"+
		"  - {name: bad-text, reason: nobody wrote it, match: {event: v1.TodoCreated, where: args ->> 'text' = 'bad'}, set: {text: "+text+"}}\n")
}

// TestRollbackRunBackendReset has `rollback run` reset a backend for real, as others approved it, and kills it twice, before the
// reset and in the midst of it. What was approved is what the corrections make of the log: no other dump gets past it. ann is
// connected all the while, zoe has never been online and loses nothing.
func TestRollbackRunBackendReset(t *testing.T) {
	t.Parallel()
	w := newIncidentWorld(t)
	ann := w.client("ann", "acme", true)
	for _, todo := range []string{`["a","good"]`, `["b","bad"]`, `["c","good"]`} {
		ann.Do(`{"commit":` + todo + `}`)
	}
	ann.Do(`{"head":3}`)
	zoe := w.client("zoe", "acme", false)
	zoe.Do(`{"commit":["z","from zoe"]}`)
	zoe.End()
	plan := w.planned("backend-reset")
	id := filepath.Base(filepath.Dir(plan))
	work := filepath.Join(w.app, ".headgate", "rollback", id)

	// Past the plan nobody resets it.
	_, said := w.shell.run(t, 4, "store", "reset", "acme", "--env", "prod", "--export", "x.json", "--accept-loss", "--reason", "quick")
	wantText(t, said, "a reset without a plan has none")

	run := []string{"rollback", "run", "--env", "prod", "--yes"}
	killed(t, w.shell, filepath.Join(work, "acme-corrected.json"), run)
	out, _ := w.shell.run(t, 0, "rollback", "status", "--env", "prod")
	wantText(t, out, "run")

	// Another dump than the one that was agreed to: the log as it was, one by other corrections, and one that lacks an event.
	byHand := func(file string) []string {
		return []string{"store", "reset", "acme", "--env", "prod", "--export", "x.json", "--import", file, "--plan", plan, "--accept-loss", "--reason", "a test"}
	}
	rel := filepath.ToSlash(filepath.Join(".headgate", "rollback", id)) + "/"
	refused := func(status int, file, why string) {
		t.Helper()
		_, said := w.shell.run(t, status, byHand(file)...)
		wantText(t, said, why)
		if err := os.Remove(filepath.Join(w.app, "x.json")); err != nil { // the log was exported, and that is all
			t.Error(err)
		}
	}
	const other = "what is imported is not what the plan's corrections make of the log of store acme"
	refused(7, rel+"acme.json", other)
	w.correct("worse")
	refused(4, rel+"acme-corrected.json", "the corrections are others than when step 1-reset-backend was planned")
	w.correct("good")
	ann.Do(`{"commit":["d","good"]}`)
	ann.Do(`{"head":4}`)
	refused(7, rel+"acme-corrected.json", other)

	killed(t, w.shell, filepath.Join(work, "acme-last.json.reset.json"), run)
	out, _ = w.shell.run(t, 0, run...)
	wantText(t, out, "store acme is reset: it ended at e4", "1 event of 4 of the log that what is imported does not have: 1 v1.TodoCreated",
		"1 event of what is imported the log does not have: 1 v1.TodoCreated")
	if state := ann.Do(`{"ended":true}`); state.Ended != "backend-id-mismatch" {
		t.Errorf("ann: %+v", state)
	}
	ann.End()
	ann = w.client("ann", "acme", true)
	if state := ann.Do(`{"head":4}`); !slices.Equal(state.Todos, []string{"a", "b", "c", "d"}) || state.Pending != 0 {
		t.Errorf("ann ends with %+v", state)
	}
	zoe = w.client("zoe", "acme", true)
	if state := zoe.Do(`{"head":5}`); !slices.Equal(state.Todos, []string{"a", "b", "c", "d", "z"}) || state.Pending != 0 {
		t.Errorf("zoe ends with %+v", state)
	}
	out, _ = w.shell.run(t, 0, "log", "tail", "--env", "prod", "--store", "acme", "--reveal")
	if strings.Contains(out, `"bad"`) {
		t.Errorf("the bad text is there:\n%s", out)
	}
	out, _ = w.shell.run(t, 0, "audit", "--env", "prod")
	wantText(t, out, "store.reset.done", "log.import.done", "incident.step")
	_, _ = w.shell.run(t, 0, run...) // it is done
}

// TestRollbackRunCopy has `rollback run` copy a log, corrected, to another store, killed in between; the store itself stays.
func TestRollbackRunCopy(t *testing.T) {
	t.Parallel()
	w := newIncidentWorld(t)
	ann := w.client("ann", "acme", true)
	for _, todo := range []string{`["a","good"]`, `["b","bad"]`} {
		ann.Do(`{"commit":` + todo + `}`)
	}
	ann.Do(`{"head":2}`)
	plan := w.planned("copy-log")
	work := filepath.Join(w.app, ".headgate", "rollback", filepath.Base(filepath.Dir(plan)))
	run := []string{"rollback", "run", "--env", "prod", "--yes"}
	killed(t, w.shell, filepath.Join(work, "acme.json"), run)
	_, said := w.shell.run(t, 7, "log", "import", filepath.Join(work, "acme.json"), "--store", "acme"+copied, "--env", "prod", "--plan", plan, "--reason", "by hand")
	wantText(t, said, "what is imported is not what the plan's corrections make of the log of store acme")
	out, _ := w.shell.run(t, 0, append(run, "--step", "copy-log")...)
	wantText(t, out, "imported 2 events into store acme"+copied)
	if state := ann.Do(`{}`); !slices.Equal(state.Todos, []string{"a", "b"}) || state.Ended != "" {
		t.Errorf("ann: %+v", state)
	}
	moved := w.client("moved", "acme"+copied, true)
	if state := moved.Do(`{"head":2}`); !slices.Equal(state.Todos, []string{"a", "b"}) {
		t.Errorf("who moved sees %+v", state)
	}
	if _, err := os.Stat(filepath.Join(work, "acme-corrected.json")); err != nil {
		t.Error(err)
	}
}

// TestRollbackRunFloor has `rollback run` keep a bad build out for real, killed in the midst of it: what the bad build's client
// has not sent stays with it, and arrives when it upgrades.
func TestRollbackRunFloor(t *testing.T) {
	t.Parallel()
	w := newConnected(t)
	old := w.client(t, "old", "1.0.0")
	old.Do(`{"commit":["1","before"]}`)
	fresh := w.client(t, "fresh", "1.1.0")
	fresh.Do(`{"head":1}`)
	w.headgate(t, 0, "rollback", "--env", "prod", "--release", "1.0.0", "--since", "e1", "--reason", "a bad build")
	w.headgate(t, 0, "rollback", "assess", "--env", "prod", "--no-state")
	w.headgate(t, 0, "rollback", "plan", "--env", "prod", "--no-state", "--remedy", "floor")
	run := []string{"rollback", "run", "--env", "prod", "--yes"}
	killedWhen(t, shell{dir: w.app}, run, func() bool {
		found, err := filepath.Glob(filepath.Join(w.app, "headgate/incidents/*/incident.yaml"))
		if err != nil || len(found) != 1 {
			t.Fatal(err, found)
		}
		text, err := os.ReadFile(found[0])
		return err == nil && strings.Contains(string(text), "begun")
	})
	wantText(t, w.headgate(t, 0, run...), "the floor of prod is now 1.1.0", "done 1-raise-floor")
	sent := 1
	w.until(t, "the old client is turned away", func() bool {
		sent++
		fresh.Do(`{"commit":["x` + strconv.Itoa(sent) + `","above the floor"]}`)
		return !old.Do("{}").Connected
	})
	if s := old.Do(`{"commit":["kept","while refused"]}`); s.Pending != 1 {
		t.Errorf("what it does stays with it: %+v", s)
	}
	old.End()
	old = w.client(t, "old", "1.1.0")
	if s := old.Do(`{"head":` + strconv.Itoa(sent+1) + `}`); s.Pending != 0 || !slices.Contains(s.Todos, "kept") {
		t.Errorf("upgraded it ends with %+v", s)
	}
}
