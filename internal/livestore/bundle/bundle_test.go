package bundle_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == script.ChildArg {
		os.Exit(script.Child(context.Background(), os.Stdin, os.Stdout, script.Jobs{bundle.DescribeJob: bundle.JobDescribe, materializeJob: jobMaterialize}, os.Exit))
	}
	testenv.UpdateFlag()
	os.Exit(m.Run())
}

func launcher(t *testing.T) script.Launcher {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return script.Launcher{Exe: exe, Limits: script.DefaultLimits()}
}

// write makes an app of the given files in a new directory, with the example app's packages.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "node_modules")); err != nil {
		if err := os.Symlink(filepath.Join(testenv.Example(t, "todo"), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// small is a schema with one event and one table; body may use Events, Schema, State and makeSchema.
func small(imports, event string) string {
	return imports + `
import { Events, makeSchema, Schema, State } from '@livestore/livestore'
const todos = State.SQLite.table({ name: 'todos', columns: { id: State.SQLite.text({ primaryKey: true }), text: State.SQLite.text({ default: '' }) } })
export const events = { created: Events.synced({ name: 'v1.Created', schema: ` + event + ` }) }
const materializers = State.SQLite.materializers(events, { 'v1.Created': (args) => todos.insert({ id: String(args.id), text: 'x' }) })
export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { todos }, materializers }) })
`
}

const plainEvent = `Schema.Struct({ id: Schema.String })`

func describe(t *testing.T, src bundle.Source) (*schema.Release, error) {
	t.Helper()
	s, err := bundle.Build(src)
	if err != nil {
		return nil, err
	}
	return bundle.Describe(t.Context(), launcher(t), s, src)
}

func mustDescribe(t *testing.T, src bundle.Source) *schema.Release {
	t.Helper()
	r, err := describe(t, src)
	if err != nil {
		e := errs.As(err)
		t.Fatalf("%v (%+v)", err, e)
	}
	return r
}

// The description must agree with what LiveStore itself wrote: the state hash is in the file's name, the hash of each
// event's schema in the log, the DDL in the state file.
func TestExampleIsWhatLiveStoreWrote(t *testing.T) {
	dir := testenv.Example(t, "todo")
	var manifest struct {
		Fidelity []struct {
			States []struct{ Release, StateHash string }
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "data/manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest.Fidelity) == 0 || len(manifest.Fidelity[0].States) < 4 {
		t.Fatalf("the manifest names no states: %s", b)
	}
	for _, st := range manifest.Fidelity[0].States {
		r := mustDescribe(t, bundle.Source{
			Dir: dir, Entry: "history/" + st.Release + "/livestore/schema.ts", Export: "schema",
			Queries: "history/" + st.Release + "/livestore/queries.ts",
		})
		if r.StateHash != st.StateHash {
			t.Errorf("release %s: state hash %s, LiveStore wrote %s", st.Release, r.StateHash, st.StateHash)
		}
		if len(r.Queries) < 5 {
			t.Errorf("release %s: queries %v", st.Release, r.Queries)
		}
		for name, hash := range loggedHashes(t, filepath.Join(dir, "data/fidelity/1/eventlog@6.db"), st.Release) {
			if e, ok := r.Event(name); ok && e.SchemaHash != hash {
				t.Errorf("release %s: hash of %s is %s, the log says %s", st.Release, name, e.SchemaHash, hash)
			}
		}
		for _, q := range r.Queries {
			if q.SQL == "" {
				t.Errorf("release %s: query %s has no SQL: %s", st.Release, q.Name, q.Error)
			}
		}
	}
}

// loggedHashes are the schema hashes that LiveStore wrote into a log, by event name. An event whose schema changed
// between the releases that wrote it, or that the writer did not know, has no place here.
func loggedHashes(t *testing.T, log, release string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "log.db")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := engine.OpenDB(copied)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	out := map[string]string{}
	err = db.Query("SELECT name, CAST(min(schemaHash) AS TEXT) FROM eventlog WHERE schemaHash <> -1 GROUP BY name HAVING min(schemaHash) = max(schemaHash)",
		engine.Binds{}, func(_ []string, v []any) error {
			out[v[0].(string)] = v[1].(string)
			return nil
		})
	if err != nil || len(out) < 5 {
		t.Fatalf("release %s: the log holds the hashes of %d events: %v", release, len(out), err)
	}
	return out
}

func TestSameCodeGivesSameRelease(t *testing.T) {
	files := map[string]string{"src/schema.ts": small("", plainEvent)}
	src := func(dir string) bundle.Source {
		return bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"}
	}
	var digests, bundles []string
	for range 2 {
		s := src(write(t, files))
		sc, err := bundle.Build(s)
		if err != nil {
			t.Fatal(err)
		}
		r, err := bundle.Describe(t.Context(), launcher(t), sc, s)
		if err != nil {
			t.Fatal(err)
		}
		d, err := r.Digest()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(sc)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), s.Dir) {
			t.Error("the bundle holds a path of this machine")
		}
		digests, bundles = append(digests, d), append(bundles, schema.DigestOf(raw))
	}
	if digests[0] != digests[1] || bundles[0] != bundles[1] {
		t.Errorf("two directories give two releases: %v %v", digests, bundles)
	}
}

// What real apps import: path aliases, workspace packages, Vite's environment, assets and workers, Node's and React
// Native's modules that the schema itself never calls.
func TestRealAppsImports(t *testing.T) {
	dir := write(t, map[string]string{
		"tsconfig.json":                `{"compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["./src/*"], "@app/shared": ["./packages/shared/src/index.ts"]}}}`,
		"src/ids.ts":                   `export const prefix: string = import.meta.env.VITE_PREFIX ?? 'none'; export const mode = import.meta.env.MODE`,
		"packages/shared/src/index.ts": `export enum Priority { Low = 'low', High = 'high' }; export abstract class Base<T> { constructor(readonly x: T) {} }`,
		"src/logo.svg":                 `<svg/>`,
		"src/worker.ts":                `throw new Error('never evaluated')`,
		"src/native.ts":                `import { Platform } from 'react-native'; import * as Crypto from 'expo-crypto'; export const id = () => Crypto.randomUUID() + Platform.OS`,
		"src/files.ts":                 `import { readFileSync } from 'node:fs'; import path from 'path'; export const load = (p: string) => readFileSync(path.join('/', p), 'utf8')`,
		"src/schema.ts": small(`import { mode, prefix } from '@/ids'
import { Priority } from '@app/shared'
import logo from './logo.svg'
import Worker from './worker.ts?worker'
import raw from './notes.md?raw'
import { id } from './native'
import { load } from './files.ts'
import './style.css'
export const used = [logo, raw, Worker, id, load, prefix, mode]`, `Schema.Struct({ id: Schema.Literal(prefix, mode), p: Schema.Enums(Priority) })`),
		"src/notes.md":  `notes`,
		"src/style.css": `a { color: red }`,
	})
	r := mustDescribe(t, bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"})
	e, _ := r.Event("v1.Created")
	got, err := json.Marshal(e.Args)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"struct","fields":[{"name":"id","type":{"kind":"union","members":[{"kind":"literal","value":"none"},{"kind":"literal","value":"production"}]}},{"name":"p","type":{"kind":"enum","values":["low","high"]}}]}`
	if string(got) != want {
		t.Errorf("args are\n%s\nwant\n%s", got, want)
	}
}

func TestStubFailsWhenCalled(t *testing.T) {
	dir := write(t, map[string]string{"src/schema.ts": small(`import { readFileSync } from 'node:fs'
const loaded = readFileSync('/etc/passwd', 'utf8')
`, plainEvent)})
	_, err := describe(t, bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"})
	wantError(t, err, errs.Unverifiable, "node:fs.readFileSync is not available", "src/schema.ts:2:")
}

func wantError(t *testing.T, err error, code errs.Code, msg, where string) {
	t.Helper()
	e := errs.As(err)
	if e == nil {
		t.Fatalf("got %v, want an error of code %s", err, code)
	}
	if e.Code != code || !strings.Contains(e.Msg, msg) || !strings.Contains(e.Where, where) {
		t.Errorf("got code %s, %q at %q (hint %q)\nwant code %s, %q at %q", e.Code, e.Msg, e.Where, e.Hint, code, msg, where)
	}
	if e.Hint == "" && len(e.Next) == 0 {
		t.Errorf("%q says neither a hint nor a next command", e.Msg)
	}
}

func TestErrors(t *testing.T) {
	duplicate := func(events string) string {
		return `import { Events, makeSchema, Schema, State } from '@livestore/livestore'
const a = Events.synced({ name: 'v1.Created', schema: Schema.Struct({ id: Schema.String }) })
const b = Events.synced({ name: 'v1.Created', schema: Schema.Struct({ id: Schema.Number }) })
const materializers = { 'v1.Created': () => [] }
export const schema = makeSchema({ events: ` + events + `, state: State.SQLite.makeState({ tables: {}, materializers }) })
`
	}
	for name, c := range map[string]struct {
		files      map[string]string
		export     string
		code       errs.Code
		msg, where string
	}{
		"no such file":      {map[string]string{"src/other.ts": ""}, "schema", errs.NotFound, "no file src/schema.ts", "src/schema.ts"},
		"no such export":    {map[string]string{"src/schema.ts": small("", plainEvent)}, "schemas", errs.NotFound, `there is no export "schemas"`, "src/schema.ts"},
		"not a schema":      {map[string]string{"src/schema.ts": small("", plainEvent)}, "events", errs.Invalid, "not a LiveStore schema (it is a object)", "src/schema.ts"},
		"no schema at all":  {map[string]string{"src/schema.ts": "import '@livestore/livestore'\nexport const x = 1"}, "", errs.Invalid, "the module exports no LiveStore schema", "src/schema.ts"},
		"several":           {map[string]string{"src/schema.ts": small("", plainEvent) + "export const second = schema\n"}, "", errs.Invalid, "several LiveStore schemas: schema, second", "src/schema.ts"},
		"syntax":            {map[string]string{"src/schema.ts": "export const a = 1\nexport const = 2\n"}, "schema", errs.Invalid, `Expected identifier but found "="`, "src/schema.ts:2:14"},
		"type stripping":    {map[string]string{"src/schema.ts": small("import './x'\n", plainEvent), "src/x.ts": "export const x = 1 as (string\n"}, "schema", errs.Invalid, "Expected \")\"", "src/x.ts:2:"},
		"unresolved import": {map[string]string{"src/schema.ts": small("import 'not-installed-package'\n", plainEvent)}, "schema", errs.Invalid, `Could not resolve "not-installed-package"`, "src/schema.ts:1:8"},
		"duplicate, record": {map[string]string{"src/schema.ts": duplicate("{ a, b }")}, "schema", errs.Invalid, "Duplicate event name: v1.Created", "src/schema.ts:5:"},
		"duplicate, array":  {map[string]string{"src/schema.ts": duplicate("[a, b]")}, "schema", errs.Invalid, "two events are named v1.Created", "src/schema.ts"},
		"throws": {map[string]string{
			"src/schema.ts": small("import { f } from './deep/helper'\nf(null)\n", plainEvent),
			"src/deep/helper.ts": `type T = { a: string } | null

export function f(x: T): string {
  return explode(x)
}
function explode(x: any) { throw new TypeError('cannot explode') }
`,
		}, "schema", errs.Unverifiable, "TypeError: cannot explode", "src/deep/helper.ts:6:"},
		"loops": {map[string]string{"src/schema.ts": small("const spin = () => { for (;;) {} }\nspin()\n", plainEvent)}, "schema", errs.Unverifiable, "in function spin", "src/schema.ts:1:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, c.files)
			src := bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: c.export}
			s, err := bundle.Build(src)
			if err == nil {
				l := launcher(t)
				if name == "loops" {
					l.Limits.Call = 10 * time.Second
				}
				_, err = bundle.Describe(t.Context(), l, s, src)
			}
			wantError(t, err, c.code, c.msg, c.where)
		})
	}
}

func TestPackagesNotInstalled(t *testing.T) {
	dir := write(t, map[string]string{"src/schema.ts": small("", plainEvent), "node_modules": "", "pnpm-lock.yaml": ""})
	if err := os.Remove(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	_, err := bundle.Build(bundle.Source{Dir: dir, Entry: "src/schema.ts"})
	wantError(t, err, errs.NotFound, "@livestore/livestore is not installed", dir)
	if next := errs.As(err).Next; !cmp.Equal(next, []string{"pnpm install --frozen-lockfile"}) {
		t.Errorf("next is %q", next)
	}
}

// The dump holds both sides of every construct that changes what a payload may be.
func TestTypeDump(t *testing.T) {
	dir := write(t, map[string]string{"src/schema.ts": `import { Events, makeSchema, Schema as S, State } from '@livestore/livestore'
interface Tree { readonly name: string; readonly children: ReadonlyArray<Tree> }
const Tree: S.Schema<Tree> = S.Struct({ name: S.String, children: S.Array(S.suspend(() => Tree)) })
class Person extends S.Class<Person>('Person')({ name: S.NonEmptyString }) {}
const fields = {
  string: S.String, number: S.Number, int: S.Int, finite: S.Finite, boolean: S.Boolean, nul: S.Null, any: S.Any, unknown: S.Unknown,
  bigint: S.BigInt, bigintSelf: S.BigIntFromSelf, date: S.Date, dateFromNumber: S.DateFromNumber, bytes: S.Uint8ArrayFromBase64,
  literal: S.Literal('a', 1, true, null), nullOr: S.NullOr(S.String), optional: S.optional(S.String), exact: S.optionalWith(S.String, { exact: true }),
  withDefault: S.optionalWith(S.Number, { default: () => 5 }), nullDefault: S.optionalWith(S.NullOr(S.String), { default: () => null }),
  clockDefault: S.optionalWith(S.Number, { default: () => Math.random() }), asOption: S.optionalWith(S.String, { as: 'Option' }),
  renamed: S.propertySignature(S.String).pipe(S.fromKey('wire_name')),
  length: S.String.pipe(S.minLength(2), S.maxLength(9)), pattern: S.String.pipe(S.pattern(/^a+$/i)), between: S.Number.pipe(S.between(1, 5), S.multipleOf(2)),
  opaque: S.String.pipe(S.filter((s) => s !== 'x')), brand: S.String.pipe(S.brand('Id')), trim: S.Trim, split: S.split(','),
  tuple: S.Tuple(S.String, S.optionalElement(S.Number)), rest: S.Tuple([S.String], S.Number), array: S.Array(S.String), min: S.Array(S.String).pipe(S.minItems(1)),
  record: S.Record({ key: S.String, value: S.Number }), pairs: S.Record({ key: S.TemplateLiteral('k-', S.String), value: S.Boolean }),
  union: S.Union(S.Struct({ type: S.Literal('a'), x: S.Number }), S.Struct({ type: S.Literal('b') })), tree: Tree, person: Person,
  json: S.parseJson(S.Struct({ a: S.Number })), transform: S.transform(S.String, S.Number, { strict: true, decode: (s) => s.length, encode: (n) => 'x'.repeat(n) }),
  strict: S.Struct({ a: S.String }).annotations({ parseOptions: { onExcessProperty: 'error' } }), option: S.Option(S.String), map: S.Map({ key: S.String, value: S.Number }),
}
export const schema = makeSchema({
  events: { all: Events.synced({ name: 'v1.All', schema: S.Struct(fields), deprecated: 'use v2' }) },
  state: State.SQLite.makeState({ tables: {}, materializers: { 'v1.All': () => [] } }),
})
`})
	r := mustDescribe(t, bundle.Source{Dir: dir, Entry: "src/schema.ts", Export: "schema"})
	e, _ := r.Event("v1.All")
	var b strings.Builder
	for _, f := range e.Args.Fields {
		line, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	b.WriteString("transform: " + string(e.Args.Kind) + " " + e.Args.How + "\n")
	if e.Args.From != nil {
		for _, f := range e.Args.From.Fields {
			line, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("from " + string(line) + "\n")
		}
		keys, err := json.Marshal(e.Args.Keys)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("keys " + string(keys) + "\n")
	}
	testenv.Golden(t, "testdata/types.golden", []byte(b.String()))
	if whole, err := json.Marshal(e.Args); err != nil || len(whole) > 64<<10 {
		t.Errorf("the dump has %d bytes: a decoded side unfolds a recursive type; %v", len(whole), err)
	}
	if e.Deprecated != "use v2" || e.Family != "All" || e.FamilyVersion != 1 {
		t.Errorf("got %+v", e)
	}
}

func TestClosureFollowsImportedHelpers(t *testing.T) {
	base := map[string]string{
		"src/helpers.ts": "import { deep } from './deep'\nexport const used = (s: string) => deep(s)\nexport const unused = () => 1\n",
		"src/deep.ts":    "export const deep = (s: string) => s.trim()\n",
		"src/other.ts":   "export const other = (s: string) => s\n",
		"src/schema.ts": `import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { used } from './helpers'
import { other } from './other'
const todos = State.SQLite.table({ name: 'todos', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const events = {
  a: Events.synced({ name: 'v1.A', schema: Schema.Struct({ id: Schema.String }) }),
  b: Events.synced({ name: 'v1.B', schema: Schema.Struct({ id: Schema.String }) }),
}
const materializers = State.SQLite.materializers(events, {
  'v1.A': ({ id }) => todos.insert({ id: used(id) }),
  ['v1.B']: ({ id }) => todos.insert({ id: other(id) }),
})
export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { todos }, materializers }) })
`,
	}
	sources := func(change map[string]string) map[string]schema.Source {
		files := map[string]string{}
		for k, v := range base {
			files[k] = v
		}
		for k, v := range change {
			files[k] = v
		}
		r := mustDescribe(t, bundle.Source{Dir: write(t, files), Entry: "src/schema.ts", Export: "schema"})
		out := map[string]schema.Source{}
		for _, m := range r.Materializers {
			out[m.Event] = m.Source
		}
		return out
	}
	before := sources(nil)
	if diff := cmp.Diff([]string{"src/deep.ts", "src/helpers.ts", "src/schema.ts"}, before["v1.A"].Files); diff != "" {
		t.Error(diff)
	}
	for name, c := range map[string]struct {
		change map[string]string
		a, b   bool // whether the digest changes
	}{
		"a helper's helper":       {map[string]string{"src/deep.ts": "export const deep = (s: string) => s.trimEnd()\n"}, true, false},
		"unused export":           {map[string]string{"src/helpers.ts": strings.Replace(base["src/helpers.ts"], "=> 1", "=> 2", 1)}, false, false},
		"comments and types":      {map[string]string{"src/deep.ts": "// trims\nexport const deep = (s: string): string =>   s.trim()\n"}, false, false},
		"other event's helper":    {map[string]string{"src/other.ts": "export const other = (s: string) => s + s\n"}, false, true},
		"an event added":          {map[string]string{"src/schema.ts": strings.Replace(base["src/schema.ts"], "const events = {", "const events = {\n  c: Events.synced({ name: 'v1.C', schema: Schema.Struct({}) }),", 1)}, false, false},
		"the materializer itself": {map[string]string{"src/schema.ts": strings.Replace(base["src/schema.ts"], "used(id)", "used(id + id)", 1)}, true, false},
	} {
		after := sources(c.change)
		for event, want := range map[string]bool{"v1.A": c.a, "v1.B": c.b} {
			if got := after[event].Digest != before[event].Digest; got != want {
				t.Errorf("%s: the digest of %s changes: %t, want %t", name, event, got, want)
			}
			if after[event].Scope != "closure" {
				t.Errorf("%s: %s has scope %s", name, event, after[event].Scope)
			}
		}
	}
}

func TestScan(t *testing.T) {
	dir := write(t, map[string]string{
		"src/schema.ts": small("", plainEvent),
		"src/main.tsx": `import { makePersistedAdapter } from '@livestore/adapter-web'
type Props = { a: number }
// makePersistedAdapter(in a comment)
const adapter = makePersistedAdapter({ storage: { type: 'opfs' }, resetPersistence: true, worker: W, sharedWorker: S })
export const App = (p: Props) => <LiveStoreProvider adapter={adapter} />
const token = { authToken: 'b7e1f0c2d3a4958677' }
const fine = { authToken: process.env.TOKEN, apiKey: 'insecure-token-change-me' }
`,
		"src/worker.ts":       "makeWorker({ schema, sync: { backend: makeWsSync({ url }), onSyncError: 'shutdown' } })\n",
		"src/main.test.ts":    "makeInMemoryAdapter({})\n",
		"src/broken.ts":       "makeAdapter({ = })\n",
		"wrangler.toml":       "[vars]\nADMIN_SECRET = \"9f8e7d6c5b4a39281706\"\n",
		"src/generated/x.mts": "export const a = makeAdapter({ ...common, storage: { type: 'in-memory' } })\n",
	})
	adapters, secrets, err := bundle.Scan(bundle.Source{Dir: dir, Entry: "src/schema.ts"})
	if err != nil {
		t.Fatal(err)
	}
	want := []schema.AdapterCall{
		{Call: "makeAdapter", File: "src/generated/x.mts", Line: 1, Options: map[string]string{"...": "(computed)", "storage.type": `"in-memory"`}},
		{Call: "makePersistedAdapter", File: "src/main.tsx", Line: 4, Options: map[string]string{"storage.type": `"opfs"`, "resetPersistence": "true"}},
		{Call: "makeWorker", File: "src/worker.ts", Line: 1, Options: map[string]string{"sync.backend": "(computed)", "sync.onSyncError": `"shutdown"`}},
	}
	if diff := cmp.Diff(want, adapters); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]schema.Secret{{File: "src/main.tsx", Line: 6, Kind: "literal credential"}, {File: "wrangler.toml", Line: 2, Kind: "literal credential"}}, secrets); diff != "" {
		t.Error(diff)
	}
}
