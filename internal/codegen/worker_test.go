package codegen_test

import (
	"os"
	"path/filepath"
	"strings"
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

// TestWraps tells what a backend's module takes from where. Types run nothing.
func TestWraps(t *testing.T) {
	wrapped, bare := "import { makeWorker } from './headgate.worker.ts'\n", "import {\n  makeDurableObject,\n} from '@livestore/sync-cf/cf-worker'\n"
	types := "import type { CfTypes } from '@livestore/sync-cf/cf-worker'\n"
	for text, want := range map[string][2]bool{
		"": {}, wrapped: {true, false}, bare: {false, true}, wrapped + types: {true, false}, wrapped + bare: {true, true}, types: {},
		"// " + strings.TrimSpace(wrapped): {},
	} {
		w, b := codegen.Wraps([]byte(text))
		if w != want[0] || b != want[1] {
			t.Errorf("%q: wrapped %t, bare %t", text, w, b)
		}
	}
}
