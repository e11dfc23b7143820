package codegen_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/testenv"
)

// renderReset is the generated file of an app that acts on store.reset.
func renderReset(t *testing.T) []byte {
	t.Helper()
	s := codegen.NewSchema("src/livestore/schema.ts", codegen.ImportTS, "effect")
	s.StoreReset = true
	out, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}, "main")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// resetApp is testdata/reset with its generated file, below testdata/app, where its packages are found. Each test has its
// own.
func resetApp(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(proofApp(t), ".build", name)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "reset"))); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string][]byte{codegen.FileName: renderReset(t)})
	return dir
}

// What resets a store makes no adapter: such a call would be taken for a reset option that was left in (AD102).
func TestResetMakesNoAdapter(t *testing.T) {
	for line := range strings.Lines(string(renderReset(t))) {
		if !strings.HasPrefix(line, " *") && regexp.MustCompile(`\bmake\w*Adapter\(`).MatchString(line) {
			t.Errorf("a call that makes an adapter: %s", line)
		}
	}
}

// A resetSeen is what a client of testdata/reset saw.
type resetSeen struct {
	Failed  string
	Reports []struct {
		Outcome  string
		Exported int
		Why      string
	}
	Recommitted struct {
		Committed, Already int
		Left               []struct{ Name, Why string }
	}
	Rows               []string
	Drafts             int
	Pending, Confirmed int
	Exported           int
	Mark               string
}

// said is the outcomes with their reasons.
func (s resetSeen) said() string {
	var out []string
	for _, r := range s.Reports {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s", r.Outcome, r.Why)))
	}
	return strings.Join(out, "; ")
}

// resetClients run against one sync backend.
type resetClients struct{ bundle, url, token string }

func (c resetClients) command(t *testing.T, r run) *exec.Cmd {
	return node(t, c.bundle, run{"url": c.url, "token": c.token}.with(r))
}

func (c resetClients) run(t *testing.T, r run) (s resetSeen) {
	t.Helper()
	cmd := c.command(t, r)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		t.Fatalf("the client %v: %v\n%s%s", r, err, out, stderr.String())
	}
	return s
}

func (c resetClients) killed(t *testing.T, r run) {
	t.Helper()
	if out, err := c.command(t, r).CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the client %v was to be killed, it ended with %v\n%s", r, err, out)
	}
}

const nowhere = "ws://127.0.0.1:9"

// A client that is asked to reset sends what it has, or hands it over, and ends with the rows of the backend, whatever
// happens in between. LiveStore and its sync backend are the real ones.
func TestResetOnNode(t *testing.T) {
	t.Parallel()
	dir := resetApp(t, "reset-node")
	bundle := filepath.Join(dir, "out")
	runTool(t, proofApp(t), nil, "node", "build.mjs", filepath.Join(dir, codegen.FileName), bundle, filepath.Join(dir, "node.ts"))
	if err := os.Rename(filepath.Join(bundle, "node.mjs"), filepath.Join(bundle, "main.mjs")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, resetClients){
		"drained": resetDrained, "stuck": resetStuck, "killed": resetKilled, "by hand": resetByHand,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := resetClients{bundle: bundle}
			c.url, c.token = testenv.Backend(t)
			c.url = strings.Replace(c.url, "http", "ws", 1)
			seed := c.run(t, run{"dir": t.TempDir(), "clientId": "seed", "commit": []string{"a1", "a2", "a3"}, "head": 3})
			if !slices.Equal(seed.Rows, []string{"a1", "a2", "a3"}) {
				t.Fatalf("%+v", seed)
			}
			test(t, c)
		})
	}
}

// want holds a run against the rows that must be there, and what was reported.
func (s resetSeen) want(t *testing.T, what, said string, pending int, rows ...string) {
	t.Helper()
	if s.Failed != "" || s.said() != said || s.Pending != pending || !slices.Equal(s.Rows, rows) {
		t.Errorf("%s: rows %v, %d pending, said %q (%s); want %v, %d, %q", what, s.Rows, s.Pending, s.said(), s.Failed, rows, pending, said)
	}
}

// A client with a damaged state and unsent events comes right; a generation is acted on once, and none is left out.
func resetDrained(t *testing.T, c resetClients) {
	client := run{"dir": t.TempDir(), "clientId": "ann"}
	var unsent []string // more than one push takes
	for i := range 120 {
		unsent = append(unsent, fmt.Sprintf("p%03d", i))
	}
	all := append([]string{"a1", "a2", "a3"}, unsent...)
	n := len(all)
	c.run(t, client.with(run{"head": 3}))
	offline := client.with(run{"url": nowhere})
	c.run(t, offline.with(run{"commit": unsent, "draft": "d"})).want(t, "offline", "", len(unsent), all...)
	damage(t, client, "state*")
	if s := c.run(t, client); s.Failed == "" {
		t.Fatalf("the damaged client started: %+v", s)
	}
	s := c.run(t, client.with(run{"generation": 1, "head": n}))
	s.want(t, "reset", "reset", 0, all...)
	if s.Drafts != 0 || s.Mark != `{"done":1}` {
		t.Errorf("reset: %d drafts, mark %s", s.Drafts, s.Mark)
	}
	all = append(all, "q")
	c.run(t, offline.with(run{"generation": 1, "commit": []string{"q"}})).want(t, "again", "", 1, all...)
	c.run(t, offline.with(run{"generation": 3})).want(t, "a jump", "refused this client is at generation 1, and none may be left out", 1, all...)
	c.run(t, offline.with(run{"generation": 2, "flagStore": "other"})).want(t, "another store", "refused the flag is for the store 'other'", 1, all...)
	c.run(t, offline.with(run{"generation": 2, "timeLimit": 500})).want(t, "offline", "waiting the backend can't be reached", 1, all...)
	c.run(t, client.with(run{"generation": 2, "head": n + 1})).want(t, "the next one", "reset", 0, all...)
	c.run(t, client.with(run{"generation": 1})).want(t, "an earlier one", "refused this client is at generation 2", 0, all...)
	c.run(t, client.with(run{"generation": 0})).want(t, "none", "", 0, all...)
	if s := c.run(t, run{"dir": t.TempDir(), "clientId": "new", "generation": 7, "head": n + 1}); s.said() != "" || s.Mark != `{"done":7}` || len(s.Rows) != n+1 {
		t.Errorf("a new client: %+v", s)
	}
}

// A client that can't send hands its events over, and they are committed afterwards, once. One that does not open hands
// its log over.
func resetStuck(t *testing.T, c resetClients) {
	client, file := run{"dir": t.TempDir(), "clientId": "bob"}, filepath.Join(t.TempDir(), "exported.json")
	c.run(t, client.with(run{"head": 3}))
	offline := client.with(run{"url": nowhere, "timeLimit": 500, "generation": 1})
	before := []string{"a1", "a2", "a3", "q1", "q2"}
	c.run(t, client.with(run{"url": nowhere, "commit": []string{"q1", "q2"}}))
	c.run(t, offline.with(run{"export": file})).want(t, "it waits", "waiting the backend can't be reached", 2, before...)
	export := offline.with(run{"whenOffline": "export"})
	c.run(t, export).want(t, "nobody takes them", "waiting 2 events can't be sent, and nobody takes them (onExport)", 2, before...)
	c.run(t, export.with(run{"export": file, "onExport": "fail"})).want(t, "not kept", "waiting what can't be sent was not kept", 2, before...)
	c.run(t, export.with(run{"export": file})).want(t, "handed over", "reset", 0)

	c.run(t, offline.with(run{"recommit": file})).want(t, "too early", "", 0)
	online := client.with(run{"generation": 1, "recommit": file, "head": 5})
	s := c.run(t, online)
	s.want(t, "committed again", "", 0, before...)
	if s.Recommitted.Committed != 2 || len(s.Recommitted.Left) != 0 {
		t.Errorf("%+v", s.Recommitted)
	}
	s = c.run(t, online)
	s.want(t, "and again", "", 0, before...)
	if s.Recommitted.Committed != 0 || s.Recommitted.Already != 2 {
		t.Errorf("%+v", s.Recommitted)
	}

	damage(t, client, "*.db")
	if s := c.run(t, client.with(run{"generation": 2})); s.Failed == "" || !strings.HasPrefix(s.said(), "waiting the store does not open") {
		t.Errorf("nobody takes the log: %+v", s)
	}
	c.run(t, client.with(run{"generation": 2, "export": file, "head": 5})).want(t, "a log that does not open", "reset", 0, before...)
	var exported struct{ Files map[string]string }
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &exported)
	}
	log, e := base64.StdEncoding.DecodeString(exported.Files["eventlog@6.db"])
	if err != nil || e != nil || !strings.HasPrefix(string(log), "damaged") {
		t.Errorf("%v, %v, %.20s", err, e, log)
	}
}

// A reset that is killed at any step loses nothing, and the next start ends it.
func resetKilled(t *testing.T, c resetClients) {
	file := filepath.Join(t.TempDir(), "exported.json")
	exported := func() int {
		var e struct{ Events []any }
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &e)
		}
		if err != nil {
			t.Fatal(err)
		}
		return len(e.Events)
	}
	client := run{"dir": t.TempDir(), "clientId": "cleo"}
	c.run(t, client.with(run{"head": 3}))
	c.run(t, client.with(run{"url": nowhere, "commit": []string{"r1"}}))
	export := client.with(run{"generation": 1, "export": file, "whenOffline": "export", "timeLimit": 500})
	c.killed(t, export.with(run{"url": nowhere, "onExport": "kill"}))
	if exported() != 1 {
		t.Error("nothing was exported before the kill")
	}
	// Online now: the event is sent, and the export that names it is replaced.
	all := []string{"a1", "a2", "a3", "r1"}
	c.run(t, export.with(run{"head": 4, "timeLimit": 4000})).want(t, "sent after all", "reset", 0, all...)
	if exported() != 0 {
		t.Error("an export names an event that was sent")
	}

	c.run(t, client.with(run{"url": nowhere, "generation": 1, "commit": []string{"r2"}}))
	export["generation"] = 2
	c.killed(t, export.with(run{"url": nowhere, "kill": "before"}))
	c.run(t, export.with(run{"url": nowhere})).want(t, "handed over again", "reset", 0)
	if exported() != 1 {
		t.Error("the event was not handed over")
	}
	all = append(all, "r2")
	c.run(t, client.with(run{"generation": 2, "recommit": file, "head": 5})).want(t, "committed again", "", 0, all...)

	c.run(t, client.with(run{"url": nowhere, "generation": 2, "commit": []string{"r3"}}))
	export["generation"] = 3
	c.killed(t, export.with(run{"timeLimit": 4000, "kill": "after"}))
	all = append(all, "r3")
	c.run(t, export.with(run{"head": 6, "timeLimit": 4000})).want(t, "killed when it was done", "reset", 0, all...)
	c.run(t, export.with(run{"head": 6})).want(t, "ended", "", 0, all...)
}

// The ways of `headgate rollback instructions --adapter node`: the state files alone lose nothing, a full reset loses what
// was not sent.
func resetByHand(t *testing.T, c resetClients) {
	client := run{"dir": t.TempDir(), "clientId": "dora"}
	c.run(t, client.with(run{"head": 3}))
	offline := client.with(run{"url": nowhere})
	c.run(t, offline.with(run{"commit": []string{"u1"}, "draft": "d"}))
	for _, file := range files(t, client, "state*@6.db*") {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s := c.run(t, offline)
	s.want(t, "without the state", "", 1, "a1", "a2", "a3", "u1")
	if s.Drafts != 1 {
		t.Errorf("%d drafts", s.Drafts)
	}
	s = c.run(t, client.with(run{"resetPersistence": true, "head": 3}))
	s.want(t, "resetPersistence", "", 0, "a1", "a2", "a3")
	if s.Drafts != 0 {
		t.Errorf("%d drafts", s.Drafts)
	}
}

// files are those of the client's store.
func files(t *testing.T, client run, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(client["dir"].(string), "s", pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	return found
}

// damage writes over files of the client's store.
func damage(t *testing.T, client run, pattern string) {
	t.Helper()
	for _, file := range files(t, client, pattern) {
		if err := os.WriteFile(file, []byte(strings.Repeat("damaged ", 4096)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOnWebReset resets stores in tabs of headless Chromium: one with another tab beside it, and one that can't send.
func TestOnWebReset(t *testing.T) {
	if os.Getenv("HEADGATE_WEB") == "" {
		t.Skip("HEADGATE_WEB=1 runs the proofs in a browser")
	}
	dir := resetApp(t, "reset-web")
	w := buildPage(t, filepath.Join(dir, "web"), filepath.Join(dir, codegen.FileName), "reset-page")
	url, token := testenv.Backend(t)
	url = strings.Replace(url, "http", "ws", 1)
	online, offline := run{"url": url, "token": token}, run{"url": nowhere, "token": token}
	in := func(context, name string, start run) tab { return tab{Tab: name, Context: context, Start: start} }
	ends := func(t tab) tab { t.Close = true; return t }
	reset := online.with(run{"generation": 1})
	s := browse[[]tab, []resetSeen](t, w, "tabs.mjs", [][]tab{
		{in("x", "a", online.with(run{"commit": []string{"a1", "a2"}, "head": 2}))},
		{in("x", "a", offline.with(run{"commit": []string{"b1"}})), in("x", "b", offline)},
		{ends(in("x", "b", reset))}, // a holds the store
		{in("x", "a", reset.with(run{"head": 3}))},
		{in("x", "a", offline.with(run{"generation": 1, "commit": []string{"c1"}}))},
		{in("x", "a", offline.with(run{"generation": 2, "whenOffline": "export"}))},
		{in("x", "a", online.with(run{"generation": 2, "recommit": true, "head": 4}))},
		{ends(in("y", "c", online.with(run{"generation": 9, "head": 4})))},
		{in("y", "c", run{"remove": true})},
		{in("y", "c", online.with(run{"head": 4}))},
	})
	s[2][0].want(t, "another tab", "waiting another tab has the store open", 1, "a1", "a2", "b1")
	s[3][0].want(t, "reset", "reset", 0, "a1", "a2", "b1")
	if s[3][0].Mark != `{"done":1}` {
		t.Errorf("mark %s", s[3][0].Mark)
	}
	s[4][0].want(t, "offline", "", 1, "a1", "a2", "b1", "c1")
	s[5][0].want(t, "handed over", "reset", 0)
	s[6][0].want(t, "committed again", "", 0, "a1", "a2", "b1", "c1")
	if s[6][0].Recommitted.Committed != 1 || s[6][0].Exported != 1 {
		t.Errorf("%+v", s[6][0])
	}
	s[7][0].want(t, "a new client", "", 0, "a1", "a2", "b1", "c1")
	// As `headgate rollback instructions --adapter web` says, on a page without the app.
	s[8][0].want(t, "removed by hand", "", 0, "before livestore-s@6")
	s[9][0].want(t, "loaded again", "", 0, "a1", "a2", "b1", "c1")
}
