package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/testenv"
)

// doctor --env asks the real backend. A client that knows another one than that is told so before it syncs.
func TestDoctorAsksTheBackend(t *testing.T) {
	t.Parallel()
	const secret = "a secret of the admin route"
	reporting, token := testenv.Backend(t, "HEADGATE_URL=http://127.0.0.1:1", "HEADGATE_TOKEN=t", "HEADGATE_ADMIN_TOKEN="+secret)
	pushBlindly(t, reporting, token, 0, 1, 2)
	pushBlindly(t, reporting, token, 2, 5, 3) // its head is the last of a batch, whatever its number
	silent, other := testenv.Backend(t)
	client := filepath.Join(t.TempDir(), "s")
	if err := os.Mkdir(client, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := (loggen.Spec{N: 20, Seed: 1, Pending: 2}).WriteFile(t.Context(), filepath.Join(client, "eventlog@6.db")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address, token string
		want           []string
	}{
		{"ws" + strings.TrimPrefix(reporting, "http"), token, []string{
			"ok      environment local: the wrapper runs in the sync backend, and reports",
			"error   s: " + client + ": the client knows the backend ",
			"at its next sync it forgets its log, unless onBackendIdMismatch is shutdown",
			"- no confirmed event of the client is there",
			"- 2 events not sent yet, e19 to e20",
			"next: headgate log export --log file:" + client + " --pending --out saved.json",
			"error   s: the backend says that it ends at e3, and its log ends at e5: the next push collides with an event that is there",
			"next: headgate log export --store s --env local --out s.json",
			"- e5: gap, 1 missing after e3",
		}},
		{silent, other, []string{"warning environment local: the wrapper runs there, but reports to nobody: set HEADGATE_URL and HEADGATE_TOKEN"}},
		{"http://127.0.0.1:1", "", []string{"warning environment local: the sync backend can't be reached", "ok      1 client: no confirmed head is beyond its log", "2 of 2 logs could not be read"}},
	} {
		dir := t.TempDir()
		config := "app: todo\nschemas:\n  main: {entry: schema.ts, adapters: [node]}\nenvironments:\n  local:\n    log: sync-cf:" + test.address +
			"\n    auth: {payload: {authToken: '" + test.token + "'}}\n    stores: [{id: s, schema: main}]\n"
		for name, text := range map[string]string{"headgate.yaml": config, "schema.ts": ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "headgate", "doctor", "--env", "local", "--client-dir", client)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HEADGATE_ADMIN_TOKEN="+secret)
		out, _ := cmd.CombinedOutput()
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("want %q, got\n%s", want, out)
			}
		}
	}
}

// pushBlindly pushes events with these numbers to store s, as a writer that does not number well may: sync-cf looks at the
// first parent alone.
func pushBlindly(t *testing.T, address, token string, parent int, numbers ...int) {
	t.Helper()
	var batch []map[string]any
	for _, n := range numbers {
		batch = append(batch, map[string]any{
			"name": "v1.TodoCompleted", "args": map[string]string{"id": "a"}, "seqNum": n, "parentSeqNum": parent, "clientId": "blind", "sessionId": "static",
		})
		parent = n
	}
	payload := map[string]string{"authToken": token}
	body, err := json.Marshal(map[string]any{
		"_tag": "Request", "id": "0", "tag": "SyncHttpRpc.Push", "headers": []any{},
		"payload": map[string]any{"storeId": "s", "payload": payload, "batch": batch, "backendId": map[string]string{"_tag": "None"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	query := url.Values{"storeId": {"s"}, "transport": {"http"}, "payload": {url.PathEscape(`{"authToken":"` + token + `"}`)}}
	res, err := http.Post(address+"/?"+query.Encode(), "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(answer), `"Success"`) {
		t.Fatalf("the push: %v\n%s", err, answer)
	}
}
