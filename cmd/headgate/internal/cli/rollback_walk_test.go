//go:build !race

// The race detector refuses the sandbox, which is translated C.

package cli

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/corrective"
	"headgate/internal/testenv"
)

// terminal is someone at a terminal, in an app's directory.
type terminal struct {
	*testing.T
	dir      string
	sampling sampling
}

// types runs a command, types the answers, and returns what stood on the screen.
func (t terminal) types(answers string, words ...string) string {
	t.Helper()
	var screen bytes.Buffer
	a := newApp(strings.NewReader(answers), &screen, &screen, lookup(map[string]string{"USER": "ana"}), time.Now)
	a.dir, a.interactive, a.sampling = t.dir, true, t.sampling
	err := a.run(context.Background(), append([]string{"headgate"}, words...))
	if code := a.end(context.Background(), err); code != 0 {
		t.Fatalf("headgate %s: exit status %d\n%s", strings.Join(words, " "), code, &screen)
	}
	return screen.String()
}

// shows checks that texts stand on the screen, in this order.
func (t terminal) shows(screen string, texts ...string) {
	t.Helper()
	rest := screen
	for _, text := range texts {
		_, after, found := strings.Cut(rest, text)
		if !found {
			t.Fatalf("%q does not stand on the screen, or not where it should:\n%s", text, screen)
		}
		rest = after
	}
}

func (t terminal) checkout(version string) {
	t.Helper()
	c := exec.Command("node", "scripts/checkout.mjs", version)
	c.Dir = t.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestRollbackWalk goes through an incident on a terminal, leaves it, and goes on with it.
func TestRollbackWalk(t *testing.T) {
	at := terminal{t, testenv.CopyExample(t, "todo"), defaultSampling()}
	at.types("", "init")
	for _, version := range []string{"1.1.0", "1.2.0"} {
		at.checkout(version)
		at.types("", "release", "add", version)
	}

	// Nothing is known: Enter is to leave, and nothing is written.
	at.shows(at.types("\n", "rollback"), "local, as far as is known without reading a log", "Which release is bad, or which event?")
	if _, err := os.Stat(filepath.Join(at.dir, "headgate", "incidents")); !os.IsNotExist(err) {
		t.Fatalf("an incident was opened: %v", err)
	}

	// Up to the corrections, which somebody reads first: Enter leaves there.
	at.shows(at.types("v1.TodoArchived\n\n\n9\n2\n\n", "rollback", "--store", "demo"),
		"incident ", "only in demo", "nothing was running", // stop needed no answer
		"What did it do?", "(Enter)", "$ headgate rollback assess --env local", "13 events in 1 of 1 store", "done    assess: 13 bad events",
		"1. Commit events that say the opposite", "Which way?", `"9" is none of 1 to`, "planned corrective-release", "headgate/corrections/main.yaml",
		"Is it right? The code of 1.2.0 must lie here.", "not yet: leave, and edit it", "Everything is kept.")
	if text, err := os.ReadFile(filepath.Join(at.dir, "src", "livestore", "headgate.generated.ts")); err != nil || bytes.Contains(text, []byte("skip-v1-todoarchived")) {
		t.Fatalf("corrections were written that nobody agreed to: %v", err)
	}

	// The state as it is for scripts: it asks nothing.
	at.shows(at.types("", "rollback", "--format", "json"), `"id": `, `"next_actions"`, "headgate rollback generate --env local")

	// On from there, to the deployment. Then Enter is "not yet".
	at.shows(at.types("2\n2\n2\n\n", "rollback"),
		"next    generate", "$ headgate rollback generate --env local", "the 13 events listed, 13 of them new",
		"Are the edits made that it named", "$ headgate release add 1.2.1 --schema main", "13 bad events in 1 of 1 store; as declared in 1",
		"3-canary-rebuild: One store rebuilds under 1.2.1 first", "This is for people.", "4-deploy-readers: Deploy 1.2.1 everywhere", "done 3-canary-rebuild", "Everything is kept.")

	// To the end: the last steps are said to be done, one is left out.
	at.shows(at.types("2\n3\nnobody is left on 1.2.0\n2\nall clients are on 1.2.1\n", "rollback"),
		"done    3-canary-rebuild", "4-deploy-readers", "Why is it left out?", "skipped 5-wait-for-readers: nobody is left on 1.2.0",
		"Every step is done. Close the incident?", "Why is it over?", "is closed; its folder stays")

	a, _, _ := testApp(t, nil)
	a.dir = at.dir
	cfg, err := a.config()
	if err != nil {
		t.Fatal(err)
	}
	all, err := a.incidents(cfg)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d incidents, %v", len(all), err)
	}
	i := all[0]
	if i.Closed == nil || i.Closed.By != "ana" || i.Verified != "1.2.1" || i.Remedy.Kind != corrective.CorrectiveRelease || i.Step(corrective.WalkRun).State != corrective.Done {
		t.Errorf("the incident is %+v", i.Incident)
	}
	for _, name := range []string{"assess.json", "plan.json", "plan.md", "runbook.md", "verify.json"} {
		data, err := os.ReadFile(i.path(name))
		if err != nil {
			t.Error(err)
		}
		if bytes.Contains(data, []byte("Milk")) || bytes.Contains(data, []byte(`"archive"`)) {
			t.Errorf("%s quotes what users wrote", name)
		}
	}

	// Of many stores some are read first, and the others while someone goes on. Here it waits for them, and nothing is left to do of that.
	at.sampling = sampling{from: 4, read: 2}
	at.shows(at.types("\n2\nq\n", "rollback", "--event", "v1.TodoMoved"),
		"read 2 of the 4 stores first", "a sample: between 2 and 4 of 4 stores have bad events", "meanwhile assessed stores: ",
		"All logs are read behind this", "All logs are read: ", "in 4 of 4 stores.", "done    assess: ", "Which way?", "Everything is kept.")
	if data, err := os.ReadFile(filepath.Join(at.dir, "headgate", "incidents", i.ID[:len("2027-01-31-")]+"v1.TodoMoved", "assess.json")); err != nil || bytes.Contains(data, []byte(`"estimate"`)) {
		t.Errorf("not all stores are in the assessment: %v", err)
	}
	// Who leaves meanwhile is told that nobody reads on, and nobody does.
	at.types("", "rollback", "close", "--reason", "a false alarm")
	at.shows(at.types("\nq\n", "rollback", "--event", "v1.TodoMoved"), "All logs are read behind this", "Everything is kept.")
	// The command that goes on has the server that was typed.
	at.shows(at.types("q\n", "rollback", "--server", "http://127.0.0.1:1"), "All logs are read behind this",
		"`headgate rollback --env local --server http://127.0.0.1:1` goes on from here.")
}
