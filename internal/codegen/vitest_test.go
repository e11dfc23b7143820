package codegen_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"headgate/internal/codegen"
	"headgate/internal/errs"
)

// testedCorrections is a manifest with corrections of each kind and a test of them.
func testedCorrections() *codegen.Manifest {
	s := codegen.NewSchema("schema.ts", codegen.ImportTS, "effect")
	s.Epoch = 1
	pins := "7.0:0123456789abcdef"
	move := "json_object('id', args ->> 'id')"
	asking := "json_object('id', args ->> 'id', 'by', 'sql')"
	upper := "json_set(args, '$.text', upper(args ->> 'text'))"
	s.Corrections = codegen.Corrections{
		List: []codegen.Correction{
			{Name: "gone", Event: "v1.Added", Pins: pins, Skip: true},
			{Name: "inbox", Event: "v1.Moved", Release: "1.3.0", To: 9, Clients: []string{"anna"}, Where: "args ->> 'list' <> 'inbox'", Set: `{"list":"inbox"}`},
			{Name: "loud", Event: "v1.Renamed", Pins: pins, Rewrite: upper},
			{Name: "other", Event: "v9.Unknown", Release: "1.3.0", Replace: []codegen.Replacement{{Event: "v1.Removed", Args: move}, {Event: "v1.Removed", Args: move}}},
			{Name: "asking", Event: "v1.Asked", Pins: pins, Set: `{"by":"builder"}`},
			{Name: "asking-sql", Event: "v2.Asked", Pins: pins, Rewrite: asking},
			{Name: "asking-nobody", Event: "v3.Asked", Pins: pins, Set: `{"by":"nobody"}`},
			{Name: "strange", Event: "v1.Dated", Pins: pins, Set: `{"at":"2026-01-01T00:00:00.000Z"}`},
		},
		Tolerated: []string{"v1.Dated"}, Adopted: []string{"v9.Unknown"},
		Test: &codegen.CorrectionsTest{Entry: "schema.ts", Export: "schema", Cases: []codegen.TestCase{
			{
				Name: "gone", Event: "v1.Added", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1"}`, Listed: true,
				Others: []codegen.TestOther{{Other: "number", Seq: 2}, {Other: "writer", Client: "c"}, {Other: "content", Args: `{"id":"s2"}`}},
			},
			{
				Name: "inbox", Event: "v1.Moved", Seq: 1, Client: "anna", Session: "s.1-3-0", Args: `{"id":"s1","list":"s1"}`,
				Makes:   []codegen.TestEvent{{Event: "v1.Moved", Args: `{"id":"s1","list":"inbox"}`}},
				Answers: map[string]string{"args ->> 'list' <> 'inbox'": "1"},
				Others:  []codegen.TestOther{{Other: "number", Seq: 10}, {Other: "writer", Client: "c"}, {Other: "release", Session: "s.1-0-0"}, {Other: "answer", Answers: map[string]string{"args ->> 'list' <> 'inbox'": "0"}}},
			},
			{
				Name: "loud", Event: "v1.Renamed", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1","text":"s1"}`, Listed: true,
				Makes:   []codegen.TestEvent{{Event: "v1.Renamed", Args: `{"id":"s1","text":"S1"}`}},
				Answers: map[string]string{upper: `"{\"id\":\"s1\",\"text\":\"S1\"}"`},
				Others:  []codegen.TestOther{{Other: "number", Seq: 2}},
			},
			{
				Name: "other", Event: "v9.Unknown", Seq: 1, Client: "client", Session: "s.1-3-0", Args: `{"id":"s1"}`,
				Makes:   []codegen.TestEvent{{Event: "v1.Removed", Args: `{"id":"s1"}`}, {Event: "v1.Removed", Args: `{"id":"s1"}`}},
				Answers: map[string]string{move: `"{\"id\":\"s1\"}"`},
				Others:  []codegen.TestOther{{Other: "release", Session: "session"}},
			},
			{
				Name: "asking", Event: "v1.Asked", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1","by":"x"}`, Listed: true,
				Makes:  []codegen.TestEvent{{Event: "v1.Asked", Args: `{"id":"s1","by":"builder"}`}},
				Others: []codegen.TestOther{{Other: "number", Seq: 2}},
			},
			{
				Name: "asking-sql", Event: "v2.Asked", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1","by":"x"}`, Listed: true,
				Makes:   []codegen.TestEvent{{Event: "v2.Asked", Args: `{"id":"s1","by":"sql"}`}},
				Answers: map[string]string{asking: `"{\"id\":\"s1\",\"by\":\"sql\"}"`},
				Others:  []codegen.TestOther{{Other: "number", Seq: 2}},
			},
			{
				Name: "asking-nobody", Event: "v3.Asked", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1","by":"x"}`, Listed: true,
				Makes:  []codegen.TestEvent{{Event: "v3.Asked", Args: `{"id":"s1","by":"nobody"}`}},
				Others: []codegen.TestOther{{Other: "number", Seq: 2}},
			},
			{
				Name: "strange", Event: "v1.Dated", Seq: 1, Client: "client", Session: "session", Args: `{"id":"s1","at":"x"}`, Listed: true, Unreadable: true,
				Makes:  []codegen.TestEvent{{Event: "v1.Dated", Args: `{"id":"s1","at":"2026-01-01T00:00:00.000Z"}`}},
				Others: []codegen.TestOther{{Other: "number", Seq: 2}, {Other: "content", Args: `{"id":"s2","at":"x"}`}},
			},
		}},
	}
	return &codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}
}

const testedSchema = `import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { withCorrectedEvents, withHeadgate } from './headgate.generated.ts'
const events = {
  added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String }) }),
  moved: Events.synced({ name: 'v1.Moved', schema: Schema.Struct({ id: Schema.String, list: Schema.String }) }),
  renamed: Events.synced({ name: 'v1.Renamed', schema: Schema.Struct({ id: Schema.String, text: Schema.String }) }),
  removed: Events.synced({ name: 'v1.Removed', schema: Schema.Struct({ id: Schema.String }) }),
  dated: Events.synced({ name: 'v1.Dated', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
  asked: Events.synced({ name: 'v1.Asked', schema: Schema.Struct({ id: Schema.String, by: Schema.String }) }),
  askedSql: Events.synced({ name: 'v2.Asked', schema: Schema.Struct({ id: Schema.String, by: Schema.String }) }),
  askedNobody: Events.synced({ name: 'v3.Asked', schema: Schema.Struct({ id: Schema.String, by: Schema.String }) }),
}
class Point extends Schema.Class<Point>('Point')({ x: Schema.Number, y: Schema.Number }) { get sum() { return this.x + this.y } }
const Tree: Schema.Schema<any> = Schema.Struct({ name: Schema.NonEmptyString, kind: Schema.Literal('leaf', 'node'), children: Schema.Array(Schema.suspend(() => Tree)) })
const facts = State.SQLite.table({ name: 'facts', columns: {
  id: State.SQLite.text({ primaryKey: true }), count: State.SQLite.integer(), share: State.SQLite.real(), bytes: State.SQLite.blob(), done: State.SQLite.boolean(),
  at: State.SQLite.datetime(), ms: State.SQLite.integer({ schema: Schema.DateFromNumber }), tags: State.SQLite.json({ schema: Schema.Array(Schema.String) }),
  tree: State.SQLite.json({ schema: Tree }), point: State.SQLite.json({ schema: Point }), any: State.SQLite.json(), due: State.SQLite.datetime({ nullable: true }),
  big: State.SQLite.text({ schema: Schema.BigInt }), email: State.SQLite.text({ schema: Schema.String.pipe(Schema.pattern(/^[^@]+@[^@]+$/)) }),
  state: State.SQLite.text({ schema: Schema.Literal('open', 'closed') }), note: State.SQLite.text({ nullable: true }), far: State.SQLite.integer({ schema: Schema.Int.pipe(Schema.greaterThan(50)) }),
} })
const ui = State.SQLite.clientDocument({ name: 'ui', schema: Schema.Struct({ filter: Schema.Literal('all', 'mine') }), default: { id: 'main', value: { filter: 'all' } } })
/** Demands of a row that each column is of the type that the table says. */
const told = (f: any): string => {
  if (f.state !== 'closed') throw new Error('it is open: the app has that rule')
  return [f.id.trim(), f.count.toFixed(), f.share.toFixed(), f.bytes.byteLength.toFixed(), f.done === true || f.done === false ? 'truth' : f.done.trim(), f.at.toISOString(),
    f.ms.toISOString(), f.tags.map((t: string) => t.trim()), f.tree.children.map((t: any) => t.kind), f.point.sum.toFixed(), typeof f.any, f.due === null ? '' : f.due.toISOString(),
    BigInt.asIntN(64, f.big), f.email.split('@')[1].trim(), f.note === null ? '' : f.note.trim(), f.far.toFixed()].join()
}
const items = State.SQLite.table({ name: 'items', columns: {
  id: State.SQLite.text({ primaryKey: true }), list: State.SQLite.text({ default: '' }), text: State.SQLite.text({ default: '' }),
  at: State.SQLite.integer({ nullable: true, schema: Schema.DateFromNumber }),
} })
const materializers = State.SQLite.materializers(events, {
  'v1.Added': ({ id }) => items.insert({ id }),
  'v1.Moved': ({ id, list }) => items.update({ list }).where({ id }),
  'v1.Renamed': ({ id, text }) => ({ sql: 'UPDATE items SET text = $text WHERE id = $id', bindValues: { id, text } }),
  'v1.Removed': ({ id }) => items.delete().where({ id }),
  'v1.Asked': ({ id, by }, { query }) => {
    const text = [told(query(facts.where({ id }).first())), told(query(facts.where({ id }))[0]), query(facts.select('at').where({ id }).first()).toISOString(),
      query(facts.select('id', 'point').first({ behaviour: 'error' })).point.sum.toFixed(), query(facts.count()).toFixed(), query(ui.get('main')).filter.trim(), by].join()
    return items.update({ text }).where({ id })
  },
  'v2.Asked': ({ id, by }, { query }) => {
    const [row] = query({ query: 'SELECT *, max(count) AS last, count(*) AS n, upper(note) AS "loud" FROM facts JOIN items USING (id)', bindValues: {} }) as any[]
    const text = [{ ...row }.tags.trim(), JSON.parse(row.tree).name.trim(), row.done.toFixed(), row.bytes.byteLength.toFixed(), row.last.toFixed(), row.n.toFixed(), row.loud.trim(), row.list.trim(), by].join()
    return items.update({ text }).where({ id })
  },
  'v3.Asked': ({ id, by }, { query }) => {
    if (query(facts.where({ id }).first()) !== undefined || query(facts.count()) > 0 || query(facts.where({ id })).length > 0) throw new Error('it is there already')
    return items.insert({ id, list: query(facts.select('id').first({ behaviour: 'fallback', fallback: () => 'none' })), text: by })
  },
  'v1.Dated': ({ id, at }) => [items.insert({ id }).onConflict('id', 'ignore'), items.update({ at }).where({ id })],
})
export const schema = makeSchema({ events: withCorrectedEvents(events), state: State.SQLite.makeState(withHeadgate({ tables: { items, facts, ui }, materializers }, events)) })
`

// A vitestReport is what vitest says of one test file.
type vitestReport struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	Tests   []struct {
		Title    string   `json:"fullName"`
		Status   string   `json:"status"`
		Messages []string `json:"failureMessages"`
	} `json:"assertionResults"`
}

// with are the titles of the tests that ended so.
func (r vitestReport) with(status string) []string {
	var out []string
	for _, one := range r.Tests {
		if one.Status == status {
			out = append(out, one.Title)
		}
	}
	return out
}

// runVitest runs the test files below dir in one process, and returns what came of each by its directory.
func runVitest(t *testing.T, app, dir string) map[string]vitestReport {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(app, "node_modules", ".bin", "vitest"), "run", "--root", dir, "--no-isolate", "--max-workers=1", "--reporter=json")
	cmd.Dir = app
	cmd.Env = append(os.Environ(), "CI=1")
	out, err := cmd.Output() // an exit status of 1 says that some test failed
	var report struct {
		Files []vitestReport `json:"testResults"`
	}
	if json.Unmarshal(out, &report) != nil {
		t.Fatalf("vitest: %v\n%s", err, out)
	}
	byDir := map[string]vitestReport{}
	for _, f := range report.Files {
		byDir[filepath.Base(filepath.Dir(f.Name))] = f
	}
	return byDir
}

// The app's own runner passes with the corrections, and fails without any one of them, with another in its place, and where the
// app does not go through withHeadgate.
func TestCorrectionsTestInVitest(t *testing.T) {
	t.Parallel()
	app := proofApp(t)
	m := testedCorrections()
	test, err := codegen.RenderTest(m, "main")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(app, ".build", "vitest")
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	lay := func(name, source string, list []codegen.Correction) {
		s := testedCorrections().Schemas["main"]
		s.Corrections.List, s.Corrections.Test = list, nil
		generated, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}, "main")
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, filepath.Join(root, name), map[string][]byte{codegen.FileName: generated, path.Base(m.Schemas["main"].TestFile()): test, "schema.ts": []byte(source)})
	}
	all := m.Schemas["main"].Corrections.List
	lay("all", testedSchema, all)
	fails := map[string]string{}
	failing := func(name, source string, list []codegen.Correction, want string) {
		lay(name, source, list)
		fails[name] = want
	}
	bare := "{ tables: { items, facts, ui }, materializers }"
	failing("without", strings.Replace(testedSchema, "withHeadgate("+bare+", events)", bare, 1), all, "correction gone is in the app")
	for i, one := range all {
		rest := append(append([]codegen.Correction{}, all[:i]...), all[i+1:]...)
		failing("no-"+one.Name, testedSchema, rest, "correction "+one.Name+" ")
	}
	changed := append([]codegen.Correction{}, all...)
	changed[1].Set = `{"list":"archive"}`
	failing("changed", testedSchema, changed, "correction inbox makes of the event what it declares")
	changed[1] = all[1]
	changed[1].Clients = nil
	failing("wider", testedSchema, changed, "correction inbox leaves an event alone that has another writer")
	changed[1] = all[1]
	changed[1].Where = ""
	failing("anyhow", testedSchema, changed, "correction inbox leaves an event alone that has another answer")

	reports := runVitest(t, app, root)
	if r := reports["all"]; len(r.with("passed")) == 0 || len(r.with("passed")) != len(r.Tests) || r.Message != "" {
		t.Errorf("with the corrections, not every test passed: %+v", r)
	}
	for name, want := range fails {
		r := reports[name]
		if !slices.ContainsFunc(r.with("failed"), func(title string) bool { return strings.HasPrefix(title, want) }) {
			t.Errorf("%s: want a failure of %q, got %+v", name, want, r)
		}
	}
}

// The manifest is edited by hand and merged by git: what its section of the test can't be is said, with the place.
func TestCorrectionsTestRefused(t *testing.T) {
	t.Parallel()
	good, err := testedCorrections().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct{ old, now, want string }{
		"unknown key":      {"entry: schema.ts", "entrance: schema.ts", `unknown key "entrance"`},
		"not a text":       {"entry: schema.ts", "entry: [schema.ts]", "cannot unmarshal"},
		"outside":          {"entry: schema.ts", "entry: ../schema.ts", `test: entry "../schema.ts" is not a path inside the app`},
		"a directory":      {"entry: schema.ts", "entry: src", "is not a module"},
		"no export":        {"export: schema", `export: ""`, `export "" is no name`},
		"no correction":    {"- name: inbox\n            event: v1.Moved\n            seq", "- name: outbox\n            event: v1.Moved\n            seq", `case "outbox" is about no correction of the list`},
		"twice":            {"- name: inbox\n            event: v1.Moved\n            seq", "- name: gone\n            event: v1.Moved\n            seq", "case gone is there twice"},
		"another event":    {"event: v1.Moved\n            seq", "event: v1.Mover\n            seq", "case inbox: event \"v1.Mover\" is not the correction's, v1.Moved"},
		"no number":        {"seq: 1", "seq: 0", "seq 0 is no event's number"},
		"no writer":        {"client: anna", `client: ""`, "client or session is missing"},
		"args":             {`args: '{"id":"s1","list":"s1"}'`, "args: id", "case inbox: args is no JSON"},
		"makes nothing":    {"makes: []", `makes: [{event: v1.Added, args: '{}'}]`, "makes has 1 events"},
		"makes of no JSON": {`args: '{"id":"s1","list":"inbox"}'`, "args: x", `makes: "v1.Moved" is no event, or its args are no JSON`},
		"answer":           {`<> 'inbox': "1"`, `<> 'inbox': one`, "is no JSON"},
		"no other":         {"- other: number\n                seq: 2", "- other: number", "that of another number is not another"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(good), change.old, change.now, 1)
			if text == string(good) {
				t.Fatalf("%q is not in\n%s", change.old, good)
			}
			if _, err := codegen.Parse([]byte(text)); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), change.want) {
				t.Errorf("error %v, want one that says %q", err, change.want)
			}
		})
	}
	two := testedCorrections()
	s := two.Schemas["main"]
	s.File = "headgate.ts"
	two.Schemas["other"] = s
	if err := two.Validate(); err == nil || !strings.Contains(err.Error(), "tests of corrections in the same file headgate.corrections.test.ts") {
		t.Errorf("two tests in one file: %v", err)
	}
}
