package migrations_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/replay/state"
	"headgate/migrations"
)

// split is schedule's twin in TypeScript.
const split = `import { due } from './lib/due.ts'

type Row = Record<string, any>
export const requires = '>= 1.3.0'
export const neededBy = '>= 1.4.0'
export const emits = {
  'v1.TodoScheduled': { key: ['id'] },
  'v1.TagCreated': { key: ['id'] },
}
export const asserts = {
  'a tag for each list': ` + "`SELECT count(*) = (SELECT count(DISTINCT list) FROM todos) FROM tags`" + `,
}

export default function* (query: (sql: string, ...binds: unknown[]) => Row[], uuid5: (name: string) => string) {
  const lists = new Set<string>()
  for (let last = ''; ; ) {
    const rows = query('SELECT id, list, dueAt FROM todos WHERE id > ? ORDER BY id LIMIT 50', last)
    if (rows.length === 0) break
    for (const { id, list, dueAt } of rows) {
      if (dueAt === null) yield { event: 'v1.TodoScheduled', args: { id, dueAt: due } }
      if (!lists.has(list)) yield { event: 'v1.TagCreated', args: { id: uuid5(list), name: list, color: undefined } }
      lists.add(list)
      last = id
    }
  }
}
`

func splitFiles() map[string]string {
	return map[string]string{"00002_split.ts": split, "lib/due.ts": "export const due = new Date(Date.UTC(2030, 0, 1))\n"}
}

func TestModule(t *testing.T) {
	d := load(t, splitFiles())
	if d.Number != 2 || d.Name != "00002_split" || d.Requires != ">= 1.3.0" || d.RequiresLine != 4 || !d.NeededBy("1.4.0") || !d.Admits("1.3.0") || d.Admits("1.2.0") {
		t.Errorf("%+v", d)
	}
	if len(d.Emits) != 2 || d.Emits[0].Event != "v1.TodoScheduled" || d.Emits[0].Line != 7 || d.Emits[1].Line != 8 || d.Emits[0].SQLLine != 14 {
		t.Errorf("%+v", d.Emits)
	}
	if len(d.Asserts) != 1 || d.Asserts[0].Line != 11 || d.Asserts[0].Label != "a tag for each list" {
		t.Errorf("%+v", d.Asserts)
	}
	if p := migrations.Lint(d, todos(t)); len(p) > 0 {
		t.Errorf("%+v", p)
	}
	if err := job(t, d, nil).Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.ClientRun(); err == nil || !strings.Contains(err.Error(), "TypeScript") {
		t.Error(err)
	}
	files := splitFiles()
	files["lib/due.ts"] += "// more\n"
	if edited := load(t, files); edited.Checksum == d.Checksum {
		t.Error("what the module imports is not in its checksum")
	}
	delete(files, "lib/due.ts")
	files["00002_split.ts"] = strings.Replace(strings.Replace(split, "import", "//", 1), "dueAt: due", "dueAt: null", 1)
	alone, err := migrations.Parse("1_a.sql", []byte(schedule))
	if one := load(t, files); err != nil || len(one.Checksum) != len(alone.Checksum) {
		t.Error(one.Checksum, err)
	}

	log := &memLog{}
	for i := range 130 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	p, err := job(t, d, log).Preview(t.Context(), state.Options{HashKey: []byte("k")})
	if err != nil || p.Events != 131 || len(p.Tables) != 2 || !p.Asserts[0].True || log.pushes != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	r, err := job(t, d, log).Commit(t.Context())
	if err != nil || r.Events != 131 || r.Outcome != migrations.Done || r.Bytes != p.Bytes {
		t.Errorf("%+v, %v", r, err)
	}
	if got := string(log.events[130].Args); got != `{"id":"t000","dueAt":"2030-01-01T00:00:00.000Z"}` {
		t.Error(got)
	}
	// It is the same as the one in SQL: ids, too.
	twin := &memLog{}
	for i := range 130 {
		twin.create(fmt.Sprintf("t%03d", i))
	}
	if _, err := job(t, definition(t, "00002_split", schedule), twin).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	ours, theirs := log.ours(t), twin.ours(t)
	for key := range theirs {
		if ours[key] != 1 {
			t.Errorf("%s is there %d times", key, ours[key])
		}
	}
	// Again: nothing is due; a late arrival is.
	again := func(run string) migrations.Job {
		j := job(t, d, log)
		j.Run = run
		return j
	}
	if r, err = again("r2").Commit(t.Context()); err != nil || r.Events != 0 || r.Before != 131 {
		t.Errorf("%+v, %v", r, err)
	}
	log.create("late")
	if r, err = again("r3").Commit(t.Context()); err != nil || r.Events != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if v, done, err := job(t, d, log).Verify(t.Context()); err != nil || !done || v.Before != 132 {
		t.Errorf("%+v, %v, %v", v, done, err)
	}
}

func TestModuleExactlyOnce(t *testing.T) {
	d := load(t, splitFiles())
	log := &memLog{}
	for i := range 90 {
		log.create(fmt.Sprintf("t%03d", i))
	}
	n := 0
	log.before = func(m *memLog) {
		if n++; n%2 == 1 && n < 9 {
			m.create(fmt.Sprintf("n%03d", n))
		}
	}
	log.fault = func(batch []livestore.Event) (int, error) {
		switch n {
		case 4:
			return len(batch) / 2, &eventlog.AmbiguousError{Err: errors.New("cut")}
		case 6:
			return len(batch) / 2, errKilled
		}
		return len(batch), nil
	}
	kills := 0
	for {
		_, err := job(t, d, log).Commit(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		kills++
	}
	ours := log.ours(t)
	if len(ours) != 95 || kills != 1 {
		t.Errorf("%d events, %d kills", len(ours), kills)
	}
	for key, n := range ours {
		if n != 1 {
			t.Errorf("%s is there %d times", key, n)
		}
	}
}

func TestModuleRefusals(t *testing.T) {
	whole := func(head, body string) string {
		if !strings.Contains(head, "emits") {
			head += "\nexport const emits = { 'v1.TodoRenamed': { key: ['id'] } }"
		}
		return "export const requires = '>= 1.3.0'\n" + head + "\nexport default function* (query: any, uuid5: any) {\n" + body + "\n}\n"
	}
	good := "yield { event: 'v1.TodoRenamed', args: { id: 'a', text: 't' } }"
	for _, c := range []struct {
		name, text, where, msg string
	}{
		{"syntax", whole("const = 1", good), "1_a.ts:2:7", "Expected identifier"},
		{"package", whole("import { x } from 'effect'\nexport const marker = x", good), "1_a.ts:2:19", `not "effect"`},
		{"node", whole("import fs from 'node:fs'\nfs.x()", good), "1_a.ts:2:16", `not "node:fs"`},
		{"the app", whole("import { x } from '../app.ts'\nx()", good), "1_a.ts:2:19", `"../app.ts" is elsewhere`},
		{"no such file", whole("import { x } from './x.ts'\nx()", good), "1_a.ts:2:19", `there is no file "./x.ts"`},
		{"throws", whole("const x: any = undefined\nx.y", good), "1_a.ts:3:", "TypeError: cannot read property 'y' of undefined"},
		{"environment", whole("fetch('/x')", good), "1_a.ts:2:1", "fetch is not available"},
		{"unknown export", whole("\nexport const needed_by = '>= 1'", good), "1_a.ts:3", `the export "needed_by" means nothing`},
		{"no requires", "export const emits = {}\nexport default function* () {}", "1_a.ts:1", "which releases"},
		{"bad requires", "\nexport const requires = 'new'\nexport default function* () {}", "1_a.ts:2", "no condition on versions"},
		{"bad neededBy", whole("export const neededBy = 'x'", good), "1_a.ts:2", "no condition on versions"},
		{"schema is a number", whole("export const schema = 1", good), "1_a.ts:2", "schema is no text"},
		{"after", whole("export const after = [1]", good), "1_a.ts:2", "no list of texts"},
		{"repeat", whole("export const repeat = 'yes'", good), "1_a.ts:2", "neither true nor false"},
		{"no emits", whole("export const emits = {}", good), "1_a.ts:2", "not said what the migration emits"},
		{"no key", whole("export const emits = {\n'v1.TodoRenamed': {} }", good), "1_a.ts:3", "v1.TodoRenamed has no key"},
		{"more than a key", whole("export const emits = { 'v1.TodoRenamed': { key: ['id'], keys: 1 } }", good), "1_a.ts:2", "has no key"},
		{"key twice", whole("export const emits = { 'v1.TodoRenamed': { key: ['id', 'id'] } }", good), "1_a.ts:2", `"id" twice`},
		{"no default", "export const requires = '>= 1'\n", "1_a.ts:1", "no default export"},
		{"a function", "export const requires = '>= 1'\nexport default () => []\n", "1_a.ts:2", "is no generator"},
		{"async", "export const requires = '>= 1'\nexport default async function* () {}\n", "1_a.ts:2", "asynchronous"},
		{"assert", whole("export const asserts = {\n'a': 'SELECT random()' }", good), "1_a.ts:3", "random()"},
		{"assert is no query", whole("export const asserts = {\n'a': 1 }", good), "1_a.ts:3", "is no query"},
		{"assert with a parameter", whole("export const asserts = { 'a': 'SELECT ?' }", good), "1_a.ts:2", "no parameters"},
		// What is found when it runs.
		{"event not defined", whole("export const emits = { 'v7.X': { key: ['id'] } }", good), "1_a.ts:2", "does not define v7.X"},
		{"key is no field", whole("export const emits = { 'v1.TodoRenamed': { key: ['nr'] } }", good), "1_a.ts:2", `the key "nr" is no field`},
		{"other event", whole("", "yield { event: 'v1.TodoArchived', args: { id: 'a' } }"), "1_a.ts:5:1", "none of its emits: v1.TodoRenamed"},
		{"missing key", whole("", "yield { event: 'v1.TodoRenamed', args: { text: 'a' } }"), "1_a.ts:5:1", `without "id", which it needs`},
		{"key twice in its events", whole("", good+"\n"+good), "1_a.ts:4", "event 2 has the key of an earlier event"},
		{"does not decode", whole("", "yield { event: 'v1.TodoRenamed', args: { id: 'a', text: 5 } }"), "1_a.ts:4", "its arguments don't decode at $.text: wanted string"},
		{"random in SQL", whole("", "\nquery(`SELECT id\n, random() FROM todos`)"), "1_a.ts:7", "random()"},
		{"the clock in SQL", whole("", "query(\"SELECT date('now')\")\n"+good), "1_a.ts:5", "date('now')"},
		{"a client's own table", whole("", "query('SELECT * FROM drafts')\n"+good), "1_a.ts:5", "the table drafts is made by events that never leave a client"},
		{"SQL error", whole("", "query('SELECT * FROM nowhere')\n"+good), "1_a.ts:5:1", "SQLite refuses the query: no such table: nowhere"},
		{"a value in what it throws", whole("", "const [r] = query('SELECT text FROM todos')\nthrow new Error('bad ' + r.text)"), "1_a.ts:6", "the migration throws Error: bad …"},
		{"a value in what the engine says", whole("", "const [r] = query('SELECT text FROM todos')\nJSON.parse(r.text)"), "1_a.ts:6", "SyntaxError"},
		{"never ends", whole("", "yield { event: 'v1.TodoRenamed', args: { id: 'x' + query('SELECT count(*) AS n FROM todos WHERE text = ?', 't')[0].n, text: 't' } }\nyield { event: 'v1.TodoRenamed', args: { id: 't0', text: 'u' } }"), "1_a.ts:4", "it would never end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(write(t, map[string]string{"m/1_a.ts": c.text, "app.ts": "export const x = () => 1\n"}), "m")
			all, err := migrations.Load(t.Context(), launcher(t), dir)
			if err == nil {
				log := &memLog{}
				log.write("v1.TodoCreated", map[string]any{"id": "t0", "text": "t", "createdAt": "2026-01-01T00:00:00.000Z"})
				if strings.Contains(c.name, "a value") {
					log.write("v1.TodoRenamed", map[string]any{"id": "t0", "text": "Hush9"})
				}
				_, err = job(t, all[0], log).Commit(t.Context())
			}
			e := errs.As(err)
			if e == nil || !strings.HasPrefix(e.Where, filepath.Join(dir, c.where)) || !strings.Contains(e.Msg, c.msg) {
				t.Fatalf("%v\nwant %s: %s", err, c.where, c.msg)
			}
			if strings.Contains(err.Error(), "Hush9") {
				t.Error("a value is quoted: ", err)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	ts := "export const requires = '>= 1.3.0'\nexport const after = '1'\nexport const emits = { 'v1.TodoArchived': { key: ['id'] } }\nexport default function* () {}\n"
	dir := write(t, map[string]string{
		"1_a.sql": file("SELECT 1 AS id;"), "00002_b.ts": ts, "3_c.sql": "-- headgate: after b\n" + file("SELECT 1 AS id;"),
		"helper.ts": "no migration", "types.d.ts": "", "4_types.d.ts": "",
	})
	if _, err := migrations.Load(t.Context(), launcher(t), dir); errs.CodeOf(err) != errs.NotFound { // "b" is no name
		t.Error(err)
	}
	dir = write(t, map[string]string{
		"1_a.sql": file("SELECT 1 AS id;"), "00002_b.ts": ts, "3_c.sql": "-- headgate: after 2\n" + file("SELECT 1 AS id;"),
		"helper.ts": "no migration", "4_types.d.ts": "",
	})
	all, err := migrations.Load(t.Context(), launcher(t), dir)
	if err != nil || len(all) != 3 || all[1].After[0] != "1_a" || all[2].After[0] != "00002_b" {
		t.Fatalf("%+v, %v", all, err)
	}
	if d, err := migrations.Find(all, "00002_b.ts"); err != nil || d.Number != 2 {
		t.Error(d.Name, err)
	}
	if n, err := migrations.NextNumber(dir); n != 4 || err != nil {
		t.Error(n, err)
	}
	if n, err := migrations.NextNumber(filepath.Join(dir, "none")); n != 1 || err != nil {
		t.Error(n, err)
	}
	for name, text := range map[string]string{"2_twice.ts": ts, "3-c.ts": ts, "2_twice.sql": file("SELECT 1 AS id;")} {
		dir := write(t, map[string]string{"1_a.sql": file("SELECT 1 AS id;"), "00002_b.ts": ts, name: text})
		if _, err := migrations.Load(t.Context(), launcher(t), dir); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
