package codegen_test

import (
	"os"
	"path/filepath"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/testenv"
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

func TestHelperTypes(t *testing.T) {
	t.Parallel()
	app := proofApp(t)
	dir := filepath.Join(app, ".build", "helper-types")
	use, err := os.ReadFile(filepath.Join(testenv.Root(t), "internal", "codegen", "testdata", "helper", "types.ts"))
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string][]byte{
		"headgate.generated.ts": renderRelease(t, "1.2.0"),
		"types.ts":              use,
		"tsconfig.json":         []byte(`{"extends": "../../tsconfig.json", "include": ["."]}`),
	})
	runTool(t, app, nil, filepath.Join("node_modules", ".bin", "tsc"), "-p", dir)
}

func writeFiles(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
