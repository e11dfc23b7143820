package discover_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"headgate/cmd/headgate/internal/discover"
	"headgate/internal/errs"
)

// app writes the files of a txtar archive and searches them.
func app(t *testing.T, archive string) (*discover.App, error) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return discover.Find(dir)
}

const manifest = `-- package.json --
{"name": "@me/notes", "version": "2.1.0", "dependencies": {"@livestore/livestore": "0.4.0", "@livestore/adapter-expo": "0.4.0"}}
`

func TestOneSchema(t *testing.T) {
	got, err := app(t, manifest+`-- src/livestore/schema.ts --
// makeSchema({}) in a comment
import { Events, makeSchema } from '@livestore/livestore'
export const schema = makeSchema({ events, state })
-- src/livestore/queries.ts --
import { queryDb } from '@livestore/livestore'
export const all$ = queryDb(tables.todos)
-- src/main.tsx --
import { makePersistedAdapter } from '@livestore/adapter-web'
import { schema } from './livestore/schema.js'
-- src/worker.ts --
import { makeWorker } from '@livestore/adapter-web/worker'
-- old/schema.ts --
import { makeSchema } from '@livestore/livestore'
export const schema = makeSchema({})
-- src/schema.test.ts --
import { makeSchema } from '@livestore/livestore'
export const broken = makeSchema({})
-- node_modules/x/schema.ts --
import { makeSchema } from '@livestore/livestore'
export const schema = makeSchema({})
-- .data/demo/eventlog@6.db --
-- data/other/eventlog@6.db --
`)
	if err != nil {
		t.Fatal(err)
	}
	want := &discover.App{
		Name: "notes", Version: "2.1.0", Packages: []string{"."},
		Schemas:  []discover.Schema{{Path: "src/livestore/schema.ts", Export: "schema", Queries: "src/livestore/queries.ts"}},
		Unused:   []discover.Schema{{Path: "old/schema.ts", Export: "schema"}},
		Adapters: []string{"web"},
		Logs:     []discover.Log{{Path: ".data/demo/eventlog@6.db", Store: "demo"}, {Path: "data/other/eventlog@6.db", Store: "other"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWorkspaces(t *testing.T) {
	got, err := app(t, `-- package.json --
{"private": true, "workspaces": ["packages/*", "apps/*"]}
-- packages/store/package.json --
{"name": "@acme/store", "dependencies": {"@livestore/livestore": "0.4.0"}}
-- packages/store/src/index.ts --
import * as LiveStore from "@livestore/livestore"
export const mailboxSchema = LiveStore.makeSchema({})
export const threadSchema = LiveStore.makeSchema({})
-- apps/web/package.json --
{"name": "web", "devDependencies": {"@livestore/adapter-web": "0.4.0", "@livestore/adapter-node": "0.4.0"}}
-- apps/web/src/main.ts --
import { mailboxSchema } from '@acme/store'
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"apps/web", "packages/store"}, got.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	want := []discover.Schema{{Path: "packages/store/src/index.ts", Export: "mailboxSchema"}, {Path: "packages/store/src/index.ts", Export: "threadSchema"}}
	if diff := cmp.Diff(want, got.Schemas); diff != "" {
		t.Errorf("schemas (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"web", "node"}, got.Adapters); diff != "" {
		t.Errorf("no module imports an adapter, so dependencies count (-want +got):\n%s", diff)
	}
}

// TestExports covers the ways in which people write it.
func TestExports(t *testing.T) {
	for name, tc := range map[string]struct {
		code, want string
	}{
		"plain":            {`export const schema = makeSchema({})`, "schema"},
		"two lines":        {"export const schema =\n  makeSchema({})", "schema"},
		"typed":            {`export const schema: LiveStoreSchema = makeSchema({})`, "schema"},
		"type arguments":   {`export const schema = makeSchema<A, B>({})`, "schema"},
		"default":          {`export default makeSchema({})`, "default"},
		"default later":    {"const s = makeSchema({})\nexport default s", "default"},
		"export list":      {"const s = makeSchema({})\nexport { s }", "s"},
		"renamed":          {"const s = makeSchema({})\nexport { a, s as schema, b }", "schema"},
		"not exported":     {`const schema = makeSchema({})`, ""},
		"a comment":        {`/* export const schema = makeSchema({}) */`, "-"},
		"a string":         {`const text = "export const schema = makeSchema({})"`, "-"},
		"a template":       {"const text = `\nexport const schema = makeSchema({})`", "-"},
		"after a template": {"const a = `${b({c: `x`})}`\nexport const schema = makeSchema({})", "schema"},
		"after a regexp":   {"const a = /['\"`]/\nexport const schema = makeSchema({})", "schema"},
		"after an URL":     {"const a = 'http://x'; export const schema = makeSchema({})", "schema"},
		"only mentioned":   {`export const make = makeSchema`, "-"},
	} {
		got, err := app(t, manifest+"-- s.ts --\nimport { makeSchema } from '@livestore/livestore'\n"+tc.code+"\n")
		if err != nil {
			t.Fatal(err)
		}
		export := "-"
		if len(got.Hidden) > 0 {
			export = ""
		}
		for _, s := range got.Schemas {
			export = s.Export
		}
		if export != tc.want {
			t.Errorf("%s: export %q, want %q", name, export, tc.want)
		}
	}
}

// What apps do besides: a factory, aliases of their own, an index module.
func TestStyles(t *testing.T) {
	got, err := app(t, manifest+`-- src/stores/thread/index.ts --
import { makeSchema } from '@livestore/livestore'
const helper = (x) => x
export const threadSchema = makeSchema({})
export const not = helper(1)
-- src/stores/queries.ts --
import { queryDb } from '@livestore/livestore'
export const all$ = queryDb(tables.threads)
-- src/stores/mailbox.ts --
import { makeSchema } from '@livestore/livestore'
export function createSchema(options = {}) {
  return makeSchema({ events, ...options })
}
const schema = createSchema()
export default schema
-- src/stores/arrow.ts --
import { makeSchema } from '@livestore/livestore'
const create = (state) => makeSchema({ state })
export const cacheSchema = create(1)
-- src/main.ts --
import { threadSchema } from '@stores/thread'
import mailbox from '@stores/mailbox'
import { cacheSchema } from './stores/arrow'
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []discover.Schema{
		{Path: "src/stores/arrow.ts", Export: "cacheSchema", Queries: "src/stores/queries.ts"},
		{Path: "src/stores/mailbox.ts", Export: "default", Queries: "src/stores/queries.ts"},
		{Path: "src/stores/thread/index.ts", Export: "threadSchema", Queries: "src/stores/queries.ts"},
	}
	if diff := cmp.Diff(want, got.Schemas); diff != "" {
		t.Error(diff)
	}
	if len(got.Unused) > 0 {
		t.Errorf("unused: %v", got.Unused)
	}
}

func TestOtherMakeSchema(t *testing.T) {
	got, err := app(t, manifest+`-- a.ts --
import { makeSchema } from 'nexus'
import { Events } from '@livestore/livestore'
export const schema = makeSchema({})
-- b.ts --
import { makeSchema as build } from "@livestore/common/schema"
export const mine = build({})
`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]discover.Schema{{Path: "b.ts", Export: "mine"}}, got.Schemas); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestImports: what an import in main.ts must find so that the copy in old/ is left out.
func TestImports(t *testing.T) {
	for _, spec := range []string{
		"./livestore/schema", "./livestore/schema.ts", "./livestore/schema.js", "@/livestore/schema", "~/livestore/schema.ts",
		"#livestore/schema", "@app/livestore/schema",
	} {
		got, err := app(t, manifest+`-- src/livestore/schema.ts --
import { makeSchema } from '@livestore/livestore'
export const schema = makeSchema({})
-- old/livestore/schema.ts --
import { makeSchema } from '@livestore/livestore'
export const schema = makeSchema({})
-- src/main.ts --
import { schema } from "`+spec+`"
`)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Schemas) != 1 || got.Schemas[0].Path != "src/livestore/schema.ts" || len(got.Unused) != 1 {
			t.Errorf("%s: used %v, unused %v", spec, got.Schemas, got.Unused)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		archive, msg string
		code         errs.Code
	}{
		"no package.json":  {"-- a.ts --\n", "there is no package.json here", errs.NotFound},
		"no LiveStore":     {"-- package.json --\n{}\n", "no package.json here depends on LiveStore", errs.NotFound},
		"not JSON":         {"-- package.json --\n{\n", "can't read package.json", errs.Invalid},
		"only a workspace": {"-- a/package.json --\n{}\n", "there is no package.json here", errs.NotFound},
	} {
		_, err := app(t, tc.archive)
		if errs.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.msg) || len(errs.As(err).Next) == 0 {
			t.Errorf("%s: %v, want %q (%s)", name, err, tc.msg, tc.code)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add("const a = `${b}`")
	f.Add("/'")
	f.Add("export { } from '@livestore/'")
	f.Fuzz(func(t *testing.T, code string) {
		dir := t.TempDir()
		for name, text := range map[string]string{"package.json": `{"dependencies":{"@livestore/livestore":"1"}}`, "a.ts": "import { makeSchema, queryDb } from '@livestore/livestore'\n" + code} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := discover.Find(dir); err != nil {
			t.Fatal(err)
		}
	})
}
