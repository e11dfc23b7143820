package codegen_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/testenv"
	"headgate/rollout/observe"
)

// renderRelease is the generated file of an app that says that it is a release.
func renderRelease(t *testing.T, release string) []byte {
	t.Helper()
	s := codegen.NewSchema("src/livestore/schema.ts", codegen.ImportTS, "effect")
	s.Release = release
	out, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}, "main")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func helperTypes(t *testing.T) map[string][]byte {
	t.Helper()
	use, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "helper", "types.ts"))
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"headgate.generated.ts": renderRelease(t, "1.2.0"), "types.ts": use}
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// helperSaw is what testdata/helper/node.ts prints.
type helperSaw struct {
	Release, SessionID, Below, Thrown string
	Context                           map[string]string
	Pending                           int
	Took                              float64 // milliseconds for 1000 reports
	Standing, Away                    struct{ Waiting, Dropped int }
	Emits, Todos                      []string
	MayEmit                           []bool
	Told                              struct{ Floor string }
}

// A real client with the helper says who it is and what goes wrong; below the floor it knows it, keeps what the user
// does, and pushes that after the upgrade.
func TestHelperOnNode(t *testing.T) {
	t.Parallel()
	server := startHeadgate(t)
	address, token := testenv.Backend(t, "HEADGATE_URL="+server.URL, "HEADGATE_TOKEN="+workerToken, "HEADGATE_FLOOR_MS=100", "HEADGATE_SAMPLE_MS=100")
	app, dir := testenv.CopyExample(t, "todo"), t.TempDir()
	use, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "helper", "node.ts"))
	if err != nil {
		t.Fatal(err)
	}
	client := func(release, commit string) helperSaw {
		t.Helper()
		writeFiles(t, filepath.Join(app, "src"), map[string][]byte{"helper.ts": use})
		writeFiles(t, filepath.Join(app, "src", "livestore"), map[string][]byte{"headgate.generated.ts": renderRelease(t, release)})
		arg, err := json.Marshal(map[string]string{"dir": dir, "url": address, "token": token, "headgate": server.URL, "commit": commit})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "node", "scripts/run.mjs", "src/helper.ts")
		cmd.Dir = app
		cmd.Env = append(os.Environ(), "HELPER="+string(arg))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		var saw helperSaw
		if err == nil {
			err = json.Unmarshal(out, &saw)
		}
		if err != nil {
			t.Fatalf("the client on %s: %v\n%s%s", release, err, out, stderr.String())
		}
		return saw
	}
	event := map[string]any{"name": "v9.Unheard", "args": map[string]any{}, "seqNum": 1, "parentSeqNum": 0, "clientId": "c", "sessionId": "s"}
	tool := map[string]any{"authToken": token, "headgate": map[string]any{"tool": true}}
	if _, body := call(t, address, "s", "SyncHttpRpc.Push", tool, map[string]any{"batch": []any{event}, "backendId": map[string]any{"_tag": "None"}}); !strings.Contains(body, "Success") {
		t.Fatal(body)
	}

	server.loseNext("/v1/telemetry")
	first := client("1.2.0", "a")
	if first.Release != "1.2.0" || first.SessionID != "static.1-2-0" || first.Pending != 0 || first.Below != "" {
		t.Errorf("the client saw %+v", first)
	}
	wantContext := map[string]string{"targetingKey": "s", "storeId": "s", "clientId": "ann", "appVersion": "1.2.0"}
	if want := []bool{false, true, true, false, false, false}; !slices.Equal(first.MayEmit, want) {
		t.Errorf("mayEmit %v, want %v", first.MayEmit, want)
	}
	wantEmits := []string{"v1.TodoCreated", "v2.TodoCreated", "v2.TodoCreated", "v1.TodoCreated", "v1.TodoCreated"}
	if !maps.Equal(first.Context, wantContext) || !slices.Equal(first.Emits, wantEmits) || first.Told.Floor != "1.1.0" || !strings.Contains(first.Thrown, "the app has a bug") {
		t.Errorf("the client saw %+v", first)
	}
	if first.Standing.Waiting != 0 || first.Standing.Dropped != 0 || first.Away.Waiting != 100 || first.Away.Dropped != 900 || first.Took > 200 {
		t.Errorf("the reporter: %+v, with no server %+v, 1000 reports in %.1f ms", first.Standing, first.Away, first.Took)
	}
	t.Logf("1000 reports in %.1f ms", first.Took)
	for kind, name := range map[observe.Kind]string{
		observe.Started: "", observe.UnknownEvent: "v9.Unheard", observe.Materializer: "v1.ListCleared", observe.OpenFailed: "", observe.Flag: "v2.TodoCreated", observe.Push: "",
	} {
		if o := server.await(t, kind, "ann", "1.2.0"); o.Event != name || o.StoreID != "s" || o.Schema != "main" {
			t.Errorf("reported %+v", o)
		}
	}

	for kind, want := range map[observe.Kind]int64{observe.Started: 1, observe.UnknownEvent: 1, observe.Materializer: 1, observe.OpenFailed: 1, observe.Flag: 1} {
		if n := server.times(t, kind, "ann"); n != want {
			t.Errorf("%s was counted %d times", kind, n)
		}
	}

	server.setFloor(map[string]string{"main": "1.3.0"})
	awaitFloor(t, address, token, "1.2.0", "1.3.0")
	if refused := client("1.2.0", "b"); refused.Below != "1.3.0" || refused.Pending != 1 {
		t.Errorf("below the floor the client saw %+v", refused)
	}
	server.await(t, observe.MustUpdate, "ann", "1.2.0")
	upgraded := client("1.3.0", "c")
	if upgraded.Below != "" || upgraded.Pending != 0 || !slices.Equal(upgraded.Todos, []string{"a", "b", "c"}) {
		t.Errorf("upgraded, the client saw %+v", upgraded)
	}
	// A prerelease is read from the session as it was written.
	beta := client("1.5.0-beta.1", "d")
	if release, _ := eventlog.ReleaseOf(beta.SessionID); release != "1.5.0-beta.1" {
		t.Errorf("the session %s of 1.5.0-beta.1 is read as one of %q", beta.SessionID, release)
	}
	// Each event names the release that wrote it.
	_, log := pull(t, address, "s", tool)
	for _, want := range []string{`"static.1-2-0"`, `"static.1-3-0"`, `"static.1-5-0-beta_1"`} {
		if !strings.Contains(log, want) {
			t.Errorf("no event of %s in %s", want, log)
		}
	}
}

// In a real browser the session is the tab's and outlives a reload and an upgrade, each tab has its own, and all of them
// carry the release.
func TestOnWebHelper(t *testing.T) {
	if os.Getenv("HEADGATE_WEB") == "" {
		t.Skip("HEADGATE_WEB=1 runs the proofs in a browser")
	}
	app := proofApp(t)
	dir := filepath.Join(app, ".build", "helper-web")
	dist := filepath.Join(dir, "dist")
	for _, name := range []string{"index.html", "main.ts", "schema.ts", "worker.ts", "drive.mjs"} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "helper", "web", name))
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, dir, map[string][]byte{name: text})
	}
	writeFiles(t, dir, map[string][]byte{"vite.config.mjs": []byte(`export default { base: './', worker: { format: 'es' }, build: { target: 'es2022', chunkSizeWarningLimit: 4000 }, logLevel: 'warn' }`)})
	for _, release := range []string{"1.2.0", "1.3.0"} {
		writeFiles(t, dir, map[string][]byte{"headgate.generated.ts": renderRelease(t, release)})
		runTool(t, app, nil, filepath.Join("node_modules", ".bin", "vite"), "build", dir, "--outDir", filepath.Join(dist, release), "--emptyOutDir")
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "drive.mjs"), dist, chromiumPath(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("drive.mjs: %v\n%s%s", err, out, stderr.String())
	}
	var saw []struct {
		ClientID, SessionID string
		Rows, Events        []string
	}
	if err := json.Unmarshal(out, &saw); err != nil || len(saw) != 7 {
		t.Fatalf("drive.mjs printed %q: %v", out, err)
	}
	first, reloaded, upgraded, beside, both, alone, back := saw[0], saw[1], saw[2], saw[3], saw[4], saw[5], saw[6]
	session, stamped := strings.CutSuffix(first.SessionID, ".1-2-0")
	if !stamped || reloaded.SessionID != first.SessionID || upgraded.SessionID != session+".1-3-0" {
		t.Errorf("the tab's sessions are %s, reloaded %s, upgraded %s", first.SessionID, reloaded.SessionID, upgraded.SessionID)
	}
	if beside.SessionID == upgraded.SessionID || !strings.HasSuffix(beside.SessionID, ".1-3-0") || beside.ClientID != first.ClientID || upgraded.ClientID != first.ClientID {
		t.Errorf("the second tab is %s of %s, the first %s of %s", beside.SessionID, beside.ClientID, upgraded.SessionID, first.ClientID)
	}
	c := first.ClientID + "/"
	if want := []string{c + first.SessionID, c + upgraded.SessionID, c + beside.SessionID, c + upgraded.SessionID}; !slices.Equal(both.Events, want) {
		t.Errorf("the log's events are of %q, want %q", both.Events, want)
	}
	if want := []string{"a", "b", "c", "d"}; !slices.Equal(both.Rows, want) {
		t.Errorf("the rows are %q, want %q", both.Rows, want)
	}
	// The tab that leads goes to about:blank and comes back: the other one takes over, and both keep their sessions.
	if alone.SessionID != beside.SessionID || back.SessionID != upgraded.SessionID || back.ClientID != first.ClientID {
		t.Errorf("alone the second tab is %s, and the first comes back as %s of %s", alone.SessionID, back.SessionID, back.ClientID)
	}
	if want := append(slices.Clone(both.Events), c+beside.SessionID, c+upgraded.SessionID); !slices.Equal(back.Events, want) {
		t.Errorf("in the end the log's events are of %q, want %q", back.Events, want)
	}
	if want := []string{"a", "b", "c", "d", "e", "f"}; !slices.Equal(back.Rows, want) {
		t.Errorf("in the end the rows are %q, want %q", back.Rows, want)
	}
}

func chromiumPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testenv.Need(t, "chromium", "run `apt-get install chromium`")
	return ""
}
