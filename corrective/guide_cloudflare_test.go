package corrective_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/corrective"
	"headgate/internal/testenv"
)

// An object is a LiveStore client in a Durable Object on workerd.
type object struct {
	t       *testing.T
	address string
}

// ask has the object do something, and returns the rows that it answers with.
func (o object) ask(what map[string]any) [][]any {
	o.t.Helper()
	rows, failed := o.try(what)
	if failed != "" {
		o.t.Fatalf("%v: %s", what, failed)
	}
	return rows
}

func (o object) try(what map[string]any) (rows [][]any, failed string) {
	o.t.Helper()
	body, err := json.Marshal(what)
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := http.Post(o.address, "application/json", bytes.NewReader(body)) //nolint:noctx // a test's
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Rows   [][]any
		Failed string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		o.t.Fatal(err)
	}
	return answer.Rows, answer.Failed
}

// restart ends the object, as a deployment does: what it keeps in memory is gone.
func (o object) restart() {
	o.t.Helper()
	if _, failed := o.try(map[string]any{"restart": true}); !strings.Contains(failed, "restart") {
		o.t.Fatalf("the object did not end: %q", failed)
	}
}

func (o object) sql(statement string) [][]any { return o.ask(map[string]any{"sql": statement}) }

// opens has a release of the app open the store in the object, commit, and show its rows.
func (o object) opens(release, more map[string]any) [][]any {
	what := map[string]any{"release": release}
	for k, v := range more {
		what[k] = v
	}
	return o.ask(what)
}

// synced waits until nothing in the object's log is unsent.
func (o object) synced(events int) {
	o.t.Helper()
	other := object{o.t, o.address + "-other"} // another client, which has no events of its own
	for deadline := time.Now().Add(time.Minute); ; {
		if len(other.opens(map[string]any{}, map[string]any{"options": map[string]any{"resetPersistence": true}})) == events {
			other.restart()
			return
		}
		if other.restart(); time.Now().After(deadline) {
			o.t.Fatalf("the backend has not got %d events after a minute", events)
		}
	}
}

// The guide of a client in a Durable Object, gone through on workerd with its own commands: what they remove, what comes back,
// and what is lost.
func TestCloudflareGuide(t *testing.T) {
	t.Parallel()
	g, err := corrective.GuideFor("cloudflare")
	if err != nil {
		t.Fatal(err)
	}
	g = g.For("s", "")
	var commands [2]string
	for i, w := range g.Ways {
		for _, s := range w.Steps {
			if strings.Contains(s.Run, "DELETE FROM") {
				commands[i] = s.Run
			}
		}
		if commands[i] == "" || w.Proof != corrective.ByTest {
			t.Fatalf("%s has no command, or says that it was not tried: %+v", w.Kind, w)
		}
	}
	root := testenv.Root(t)
	packages := filepath.Join(root, "internal", "codegen", "testdata", "app", "node_modules")
	if _, err := os.Stat(filepath.Join(packages, "@livestore", "adapter-cloudflare")); err != nil {
		testenv.Need(t, "internal/codegen/testdata/app/node_modules", "run `npm ci --prefix internal/codegen/testdata/app`")
	}
	here := filepath.Join(root, "corrective", "testdata", "cloudflare")
	source, err := os.ReadFile(filepath.Join(here, "worker.ts"))
	if err != nil {
		t.Fatal(err)
	}
	worker := filepath.Join(t.TempDir(), "worker.ts")
	text := strings.NewReplacer("__STATE_ONLY__", commands[0], "__FULL_RESET__", commands[1]).Replace(string(source))
	if err := os.WriteFile(worker, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := testenv.Workerd(t, filepath.Join(here, "start.mjs"), "WORKER="+worker, "PACKAGES="+packages, "WORKERD="+filepath.Join(root, "examples", "todo", "backend", "node_modules"))
	o := object{t, address + "/a"}
	want := func(what string, got [][]any, rows ...any) {
		t.Helper()
		if text, wanted := fmt.Sprintf("%v", got), fmt.Sprintf("%v", rows); text != wanted {
			t.Errorf("%s: %s, want %s", what, text, wanted)
		}
	}
	row := func(id string, n int) []any { return []any{id, n} }

	// An object that has no store yet is left alone.
	want("a new object", o.ask(map[string]any{"reset": "state-only"}))
	want("a new object", o.ask(map[string]any{"reset": "full-reset"}))

	// A fix under the same hash changes nothing, until the state's pages are gone.
	bad, good := map[string]any{"times": 10}, map[string]any{}
	want("the bad release", o.opens(bad, map[string]any{"commit": []any{row("a", 1)}}), row("a", 10))
	o.synced(1)
	want("not sent", o.opens(bad, map[string]any{"commit": []any{row("b", 2)}}), row("a", 10), row("b", 20))
	o.restart()
	want("the good release, same hash", o.opens(good, nil), row("a", 10), row("b", 20))
	o.restart()
	o.ask(map[string]any{"reset": "state-only"})
	want("the log after state-only", o.sql("SELECT count(*) FROM eventlog"), []any{2})
	want("after state-only", o.opens(good, nil), row("a", 1), row("b", 2))
	if files := o.sql(g.Ways[0].Check[0].Run); len(files) != 1 || !strings.HasPrefix(files[0][0].(string), "/state") || !strings.HasSuffix(files[0][0].(string), "@6.db") {
		t.Errorf("after state-only there are the files %v", files)
	}
	o.synced(2)

	// A release under another hash has a state file of its own, and the one that comes back finds its old one: A, B, A.
	o.restart()
	want("another hash", o.opens(map[string]any{"table": true}, map[string]any{"commit": []any{row("c", 3)}}), row("a", 1), row("b", 2), row("c", 3))
	o.synced(3)
	o.restart()
	want("the first hash again: a stale state", o.opens(good, nil), row("a", 1), row("b", 2))
	if files := o.sql(g.Ways[0].Check[0].Run); len(files) != 2 {
		t.Errorf("under two hashes there are the files %v", files)
	}

	// A full reset loads the backend's events; what was not sent is lost.
	o.restart()
	o.ask(map[string]any{"reset": "full-reset"})
	want("the log after a full reset", o.sql("SELECT count(*) FROM eventlog"), []any{0})
	want("after a full reset", o.opens(good, nil), row("a", 1), row("b", 2), row("c", 3))
	want("the log's end", o.sql(g.Ways[1].Check[0].Run), []any{3})
	o.restart()
	want("resetPersistence", o.opens(bad, map[string]any{"options": map[string]any{"resetPersistence": true}}), row("a", 10), row("b", 20), row("c", 30))
	want("the object's tables", o.sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"), []any{"__livestore_sync_status"}, []any{"eventlog"}, []any{"vfs_pages"})
}
