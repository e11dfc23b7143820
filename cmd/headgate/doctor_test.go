package main

import (
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
	reporting, token := testenv.Backend(t, "HEADGATE_URL=http://127.0.0.1:1", "HEADGATE_TOKEN=t")
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
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		for _, want := range test.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("want %q, got\n%s", want, out)
			}
		}
	}
}
