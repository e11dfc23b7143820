package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/testenv"
)

// What real modules do at their top level, and what headgate says where it can't follow.
func TestErrorsOfSurroundings(t *testing.T) {
	for name, c := range map[string]struct {
		files      map[string]string
		code       errs.Code
		msg, where string
		hint       string
	}{
		"top-level await": {
			map[string]string{"src/schema.ts": small("const flags = await Promise.resolve({})\nexport { flags }\n", plainEvent)},
			errs.Invalid, "top-level await", "src/schema.ts:1:", "made at once",
		},
		"window": {
			map[string]string{"src/schema.ts": small("import './page'\n", plainEvent), "src/page.ts": "export const w: number = window.innerWidth\n"},
			errs.Unverifiable, "'window' is not defined", "src/page.ts:1:", "no window and no document",
		},
		"environment": {
			map[string]string{"src/schema.ts": small("import './env'\n", plainEvent), "src/env.ts": "const url = import.meta.env.VITE_SYNC_URL\nif (!url) throw new Error('VITE_SYNC_URL is required')\nexport { url }\n"},
			errs.Unverifiable, "VITE_SYNC_URL is required", "src/env.ts:2:", "environment variables",
		},
		"unknown alias": {
			map[string]string{"src/schema.ts": small("import '@/lib/ids'\n", plainEvent)},
			errs.Invalid, `Could not resolve "@/lib/ids"`, "src/schema.ts:1:8", "path alias",
		},
		"unknown file": {
			map[string]string{"src/schema.ts": small("import './id'\n", plainEvent), "src/ids.ts": ""},
			errs.Invalid, `Could not resolve "./id"`, "src/schema.ts:1:8", "no such file",
		},
		"other case": {
			map[string]string{"src/schema.ts": small("import './Ids'\n", plainEvent), "src/ids.ts": ""},
			errs.Invalid, "can't read a file that is imported here", "src/schema.ts:1:8", "upper and lower case",
		},
		"package that is not named": {
			map[string]string{"src/schema.ts": small("import 'zod-of-another-package'\n", plainEvent)},
			errs.Invalid, `Could not resolve "zod-of-another-package"`, "src/schema.ts:1:8", "strict node_modules",
		},
		"a table that SQLite refuses": {
			map[string]string{"src/schema.ts": strings.Replace(small("", plainEvent), "default: ''", `default: "it's"`, 1)},
			errs.Invalid, "SQLite refuses to create table todos", "src/schema.ts", "default 'it's'",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := bundle.Source{Dir: write(t, c.files), Entry: "src/schema.ts", Export: "schema"}
			_, err := describe(t, src)
			wantError(t, err, c.code, c.msg, c.where)
			if e := errs.As(err); e != nil && !strings.Contains(e.Hint, c.hint) {
				t.Errorf("the hint is %q, want %q in it", e.Hint, c.hint)
			}
		})
	}
}

// linkPackages gives the app in dir the example's packages beside its own.
func linkPackages(t *testing.T, dir string) {
	t.Helper()
	shared := filepath.Join(testenv.Example(t, "todo"), "node_modules")
	entries, err := os.ReadDir(shared)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "node_modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(shared, e.Name()), filepath.Join(dir, "node_modules", e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// A second copy of effect works, as in the app itself, but is told.
func TestSecondEffect(t *testing.T) {
	dir := write(t, map[string]string{
		"src/schema.ts":                         small("import { pipe } from 'effect'\npipe()\n", plainEvent),
		"src/node_modules/effect/package.json":  `{"name": "effect", "version": "3.19.0", "main": "./dist/index.js"}`,
		"src/node_modules/effect/dist/index.js": "exports.pipe = () => {}\n",
	})
	s, err := bundle.Build(bundle.Source{Dir: dir, Entry: "src/schema.ts"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"3.19.0"}, s.OtherEffects); diff != "" {
		t.Error(diff)
	}
	if s.Effect == "" || s.Effect == "3.19.0" {
		t.Errorf("LiveStore's effect is %q", s.Effect)
	}
	one, err := bundle.Build(bundle.Source{Dir: write(t, map[string]string{"src/schema.ts": small("import { Schema as S } from 'effect'\nS.String\n", plainEvent)}), Entry: "src/schema.ts"})
	if err != nil {
		t.Fatal(err)
	}
	if one.OtherEffects != nil {
		t.Errorf("one copy of effect, further ones: %v", one.OtherEffects)
	}
}

// Modules that are evaluated without complaint, since what they use can be had or is only mentioned.
func TestSurroundingsThatDoNoHarm(t *testing.T) {
	dir := write(t, map[string]string{
		"tsconfig.json":                   `{ "files": [], "references": [{ "path": "./tsconfig.app.json" }, { "path": "./tsconfig.node.json" },] }`,
		"tsconfig.app.json":               "{\n  // Vite's template has its aliases here\n  \"compilerOptions\": { \"baseUrl\": \".\", \"paths\": { \"@/*\": [\"./src/*\"], \"config\": [\"./src/config/index\"] }, /* \"x\": 1 */ },\n}\n",
		"src/config/index.ts":             "export const version = 'v'\n",
		"src/lib/ids.ts":                  "import { randomUUID } from 'node:crypto'\nimport * as Crypto from 'expo-crypto'\nimport process from 'node:process'\nexport const ids = [randomUUID(), Crypto.randomUUID()]\nexport const name: string = process.env.APP_NAME ?? 'fallback'\n",
		"src/icon.svg":                    "<svg/>",
		"src/theme.css":                   "a {}",
		"src/view.tsx":                    "import Icon from './icon.svg?react'\nimport { registerSW } from 'virtual:pwa-register'\nimport { DurableObject } from 'cloudflare:workers'\nimport './theme.css'\nexport class Room extends DurableObject {}\nexport const View = () => <Icon onClick={() => registerSW()} />\n",
		"src/platform.ts":                 "export const isBrowser = typeof window !== 'undefined' && typeof document !== 'undefined'\nexport const saved = localStorage.getItem('x')\nexport const channel = new BroadcastChannel('tabs')\nexport const port = new MessageChannel().port1\nexport const headers = new Headers({ 'x-app': '1' })\nexport const clock = new Intl.RelativeTimeFormat('de')\nexport const money = new Intl.NumberFormat('de-DE', { style: 'currency', currency: 'EUR' }).format(1)\nexport const stop = new AbortController()\nstop.signal.addEventListener('abort', () => {})\nsetTimeout(() => { throw new Error('never') }, 0)\nPromise.reject(new Error('nobody waits')).catch(() => {})\nvoid (async () => { await import('./lazy') })()\n",
		"src/lazy.ts":                     "export const x = 1\n",
		"node_modules/react/package.json": `{"name": "react", "exports": {"./jsx-runtime": "./jsx.js"}}`,
		"node_modules/react/jsx.js":       "exports.jsx = exports.jsxs = () => null\n",
		"src/schema.ts": small("import { version } from 'config'\nimport { name } from '@/lib/ids'\nimport '@/view'\nimport './platform'\n",
			"Schema.Struct({ id: Schema.Literal(name, version) })"),
	})
	linkPackages(t, dir)
	r := mustDescribe(t, bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"})
	e, _ := r.Event("v1.Created")
	if len(e.Args.Fields) != 1 || len(e.Args.Fields[0].Type.Members) != 2 {
		t.Fatalf("args are %+v", e.Args)
	}
	var got []string
	for _, m := range e.Args.Fields[0].Type.Members {
		got = append(got, string(m.Value))
	}
	if diff := cmp.Diff([]string{`"fallback"`, `"v"`}, got); diff != "" {
		t.Error(diff)
	}
}

// A method is found by its name. Where keys are computed, the same name elsewhere is not taken for the materializer.
func TestClosureOfMethodsAndComputedKeys(t *testing.T) {
	for materializers, want := range map[string]string{
		`'v1.A'({ id }: any) { return todos.insert({ id: change(id) }) }`: "closure",
		`[a.name]: ({ id }: any) => todos.insert({ id: change(id) })`:     "modules",
	} {
		dir := write(t, map[string]string{
			"src/helper.ts": "export const change = (s: string) => s\n",
			"src/schema.ts": `import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { change } from './helper'
const todos = State.SQLite.table({ name: 'todos', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const a = Events.synced({ name: 'v1.A', schema: Schema.Struct({ id: Schema.String }) })
export const labels = ` + map[string]string{"closure": "{}", "modules": "{ 'v1.A': (s: string) => s }"}[want] + `
const materializers = { ` + materializers + ` }
export const schema = makeSchema({ events: { a }, state: State.SQLite.makeState({ tables: { todos }, materializers: materializers as never }) })
`,
		})
		r := mustDescribe(t, bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"})
		m, _ := r.Materializer("v1.A")
		if m.Source.Scope != want {
			t.Errorf("%s: scope %s, want %s", materializers, m.Source.Scope, want)
		}
		if diff := cmp.Diff([]string{"src/helper.ts", "src/schema.ts"}, m.Source.Files); diff != "" {
			t.Errorf("%s: %s", materializers, diff)
		}
	}
}
