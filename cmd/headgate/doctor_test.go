package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/testenv"
)

// doctor --env asks the real backend.
func TestDoctorAsksTheBackend(t *testing.T) {
	t.Parallel()
	reporting, _ := testenv.Backend(t, "HEADGATE_URL=http://127.0.0.1:1", "HEADGATE_TOKEN=t")
	silent, _ := testenv.Backend(t)
	for address, want := range map[string]string{
		"ws" + strings.TrimPrefix(reporting, "http"): "ok      environment local: the wrapper runs in the sync backend, and reports",
		silent:               "warning environment local: the wrapper runs there, but reports to nobody: set HEADGATE_URL and HEADGATE_TOKEN",
		"http://127.0.0.1:1": "warning environment local: the sync backend can't be reached",
	} {
		dir := t.TempDir()
		config := "app: todo\nschemas:\n  main: {entry: schema.ts, adapters: [node]}\nenvironments:\n  local:\n    log: sync-cf:" + address + "\n    stores: [{id: s, schema: main}]\n"
		for name, text := range map[string]string{"headgate.yaml": config, "schema.ts": ""} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "headgate", "doctor", "--env", "local")
		cmd.Dir = dir
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("want %q, got\n%s", want, out)
		}
	}
}
