package codegen_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg { // a sandbox of migrations.Job
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{
			bundle.DescribeJob: bundle.JobDescribe, replay.Job: replay.JobReplay, replay.LiveJob: replay.JobLive,
		}, os.Exit))
	}
	testenv.UpdateFlag()
	os.Exit(m.Run())
}

func manifest(epoch int) *codegen.Manifest {
	s := codegen.NewSchema("src/livestore/schema.ts", codegen.ImportTS, "effect")
	s.Epoch = epoch
	return &codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}
}

func render(t *testing.T, epoch int) []byte {
	t.Helper()
	data, err := codegen.Render(manifest(epoch), "main")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRenderIsDeterministicAndWhole(t *testing.T) {
	a, b := render(t, 3), render(t, 3)
	if !bytes.Equal(a, b) {
		t.Error("two renderings of one manifest differ")
	}
	if bytes.Contains(a, []byte("__EPOCH__")) || bytes.Contains(a, []byte("__EFFECT__")) || bytes.Contains(a, []byte("__STORAGE_FORMAT__")) {
		t.Error("a place was left open")
	}
	if bytes.Equal(a, render(t, 4)) {
		t.Error("the epoch does not show")
	}
}

func TestInspect(t *testing.T) {
	text := string(render(t, 3))
	want := codegen.Found{Generated: true, Schema: "main", Epoch: 3}
	edited := want
	edited.Edited = true
	for _, c := range []struct {
		name, text string
		want       codegen.Found
	}{
		{"as written", text, want},
		{"line ends of Windows", strings.ReplaceAll(text, "\n", "\r\n"), want},
		{"a changed statement", strings.Replace(text, "'BEGIN'", "'begin'", 1), edited},
		{"an added line", text + "\n", edited},
		{"another epoch in the code", strings.Replace(text, "headgateEpoch: number = 3", "headgateEpoch: number = 2", 1), edited},
		{"another epoch in the head", strings.Replace(text, "headgate-epoch: 3", "headgate-epoch: 2", 1), codegen.Found{Generated: true, Edited: true, Schema: "main", Epoch: 2}},
		{"cut short", text[:len(text)/2], edited},
		{"empty", "", codegen.Found{Edited: true}},
		{"somebody else's", "export const x = 1\n", codegen.Found{Edited: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, codegen.Inspect([]byte(c.text))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := manifest(2)
	s := m.Schemas["main"]
	s.Bumps = []codegen.Bump{{Epoch: 1, Reason: "one: \"a\""}, {Epoch: 2}}
	m.Schemas["main"] = s
	m.Schemas["chat"] = codegen.NewSchema("src/chat/schema.ts", codegen.ImportNone, "@livestore/utils/effect")
	path := filepath.Join(t.TempDir(), "headgate", "generated.yaml")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := codegen.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestManifestRefuses(t *testing.T) {
	ok := "version: 1\nschemas:\n  main: {file: a.ts, epoch: 1, imports: ts, effect: effect, livestore: 0.4.0}\n"
	if _, err := codegen.Parse([]byte(ok)); err != nil {
		t.Fatalf("the base of the cases is refused: %v", err)
	}
	for _, c := range []struct{ name, from, to, want string }{
		{"a newer version", "version: 1", "version: 2", "version 2"},
		{"a negative epoch", "epoch: 1", "epoch: -1", "outside 0"},
		{"a huge epoch", "epoch: 1", "epoch: 99999999999", "outside 0"},
		{"a word for an epoch", "epoch: 1", "epoch: one", "cannot unmarshal"},
		{"a path out of the app", "a.ts", "../a.ts", "not a path inside"},
		{"an absolute path", "a.ts", "/etc/a.ts", "not a path inside"},
		{"another kind of file", "a.ts", "a.go", "not a TypeScript file"},
		{"an import style", "imports: ts", "imports: mts", "not one of"},
		{"a module with a quote in it", "effect: effect", `effect: "a'b"`, "not a module name"},
		{"an unproven LiveStore", "0.4.0", "0.5.0", "was proven with"},
		{"a later section", "epoch: 1", "epoch: 1, flags: {}", "can't render \"flags\" yet"},
		{"an unknown key", "epoch: 1", "epoch: 1, epok: 2", "unknown key \"epok\""},
		{"bumps above the epoch", "epoch: 1", "epoch: 1, bumps: [{epoch: 2, reason: x}]", "out of order"},
		{"bumps twice", "epoch: 1", "epoch: 1, bumps: [{epoch: 1}, {epoch: 1}]", "out of order"},
		{"the same file twice", "  main:", "  b: {file: a.ts, epoch: 1, imports: ts, effect: effect, livestore: 0.4.0}\n  main:", "same file"},
		{"a merge conflict", "schemas:", "<<<<<<< HEAD\nschemas:", ""},
		{"not YAML", "version: 1", "\tversion: [", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(ok, c.from, c.to, 1)
			if text == ok {
				t.Fatal("the case changes nothing")
			}
			_, err := codegen.Parse([]byte(text))
			if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an invalid error with %q", err, c.want)
			}
		})
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte("version: 1\nschemas:\n  main: {file: a.ts, epoch: 1, imports: ts, effect: effect, livestore: 0.4.0}\n"))
	m, c := withMigration("SELECT id,\n\t'x' AS name\nFROM todos")
	c.Name, c.Asserts = "00002_more", []codegen.Assert{{Label: "all", Line: 9, SQL: "SELECT 1"}}
	s := m.Schemas["main"]
	s.Marker, s.Migrations.Client = &codegen.Marker{Event: "v1.Ran", Table: "ran", Column: "name", Own: true}, append(s.Migrations.Client, c)
	m.Schemas["main"] = s
	data, err := m.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("version: 1\nschemas:\n  main: {file: a.ts, epoch: 1, imports: ts, effect: effect, livestore: 0.4.0, bumps: [], migrations: {client: []}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := codegen.Parse(data)
		if err != nil {
			return
		}
		out, err := m.Bytes()
		if err != nil {
			t.Fatalf("a manifest that was read can't be written: %v", err)
		}
		again, err := codegen.Parse(out)
		if err != nil {
			t.Fatalf("a manifest that was written can't be read: %v\n%s", err, out)
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("(-read +written and read):\n%s", diff)
		}
		for _, name := range m.Names() {
			if _, err := codegen.Render(m, name); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// The example's copies, those of its past releases too, are what this version renders: nobody edits them.
// The generated file is beside the schema's module, is imported as that one imports others, and takes no other schema's name.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{
		"package.json": []byte(`{"dependencies": {"effect": "3.21.2"}}`), "a.ts": []byte("import { x } from './x.ts'"), "b.ts": []byte("import { x } from '../lib/x.js'"),
		"src/c.mts": []byte("import { x } from './x.mjs'"), "src/d.tsx": []byte("import { z } from 'z'\nimport { x } from './store.x'"),
	})
	w, m := codegen.Workspace{Dir: dir}, &codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{}}
	for _, c := range []struct{ schema, entry, file, module, test string }{
		{"a", "a.ts", "headgate.generated.ts", "./headgate.generated.ts", "headgate.corrections.test.ts"},
		{"b", "b.ts", "headgate.b.generated.ts", "./headgate.b.generated.js", "headgate.b.corrections.test.ts"},
		{"c", "src/c.mts", "src/headgate.generated.ts", "./headgate.generated.js", "src/headgate.corrections.test.ts"},
		{"d", "src/d.tsx", "src/headgate.d.generated.ts", "./headgate.d.generated", "src/headgate.d.corrections.test.ts"},
	} {
		if _, err := w.Add(m, c.schema, filepath.Join(dir, c.entry)); err != nil {
			t.Fatal(err)
		}
		if s := m.Schemas[c.schema]; s.File != c.file || s.Module() != c.module || s.TestFile() != c.test {
			t.Errorf("%s: %s, imported as %s, tested in %s; want %+v", c.schema, s.File, s.Module(), s.TestFile(), c)
		}
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

func TestExampleIsCurrent(t *testing.T) {
	root := filepath.Join(testenv.Root(t), "examples", "todo")
	found := 0
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "node_modules" || strings.HasPrefix(e.Name(), ".")):
			return filepath.SkipDir
		case e.Name() != codegen.FileName:
			return nil
		}
		found++
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		testenv.Golden(t, path, render(t, codegen.Inspect(data).Epoch))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 2 {
		t.Errorf("%d generated files in the example, at least 2 were expected", found)
	}
}

func TestAdapters(t *testing.T) {
	for _, name := range []string{"web", "node"} {
		if a, err := codegen.AdapterNamed(name); err != nil || a.Hooks != codegen.Proven || a.Check != codegen.Proven {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	for _, name := range []string{"expo", "cloudflare"} {
		if a, err := codegen.AdapterNamed(name); err != nil || a.Hooks == codegen.Proven || !strings.Contains(a.Note, "not proven") {
			t.Errorf("%s says that it is proven: %+v, %v", name, a, err)
		}
	}
	if _, err := codegen.AdapterNamed("tauri"); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("an unknown adapter: %v", err)
	}
}
