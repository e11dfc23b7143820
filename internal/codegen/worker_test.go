package codegen_test

import (
	"os"
	"path/filepath"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/testenv"
)

// The example's backend has the wrapper that this version renders.
func TestExampleWorker(t *testing.T) {
	m := &codegen.Manifest{Version: 1, Worker: &codegen.Worker{
		File: "src/headgate.worker.ts", Entry: "src/worker.ts", LiveStore: codegen.LiveStoreVersion,
	}}
	want, err := codegen.RenderWorker(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(testenv.Root(t), "examples", "todo", "backend", "src", codegen.WorkerFileName)
	if testenv.Update() {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != string(want) {
		t.Errorf("%s is not what headgate renders (%v): run the test with -update", path, err)
	}
}
