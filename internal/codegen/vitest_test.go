package codegen_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/codegen"
)

// testedCorrections is a manifest with corrections of each kind and a test of them.
func testedCorrections() *codegen.Manifest {
	s := codegen.NewSchema("schema.ts", codegen.ImportTS, "effect")
	s.Epoch = 1
	pins := "7.0:0123456789abcdef"
	move := "json_object('id', args ->> 'id')"
	upper := "json_set(args, '$.text', upper(args ->> 'text'))"
	s.Corrections = codegen.Corrections{
		List: []codegen.Correction{
			{Name: "gone", Event: "v1.Added", Pins: pins, Skip: true},
			{Name: "inbox", Event: "v1.Moved", Release: "1.3.0", To: 9, Clients: []string{"anna"}, Where: "args ->> 'list' <> 'inbox'", Set: `{"list":"inbox"}`},
			{Name: "loud", Event: "v1.Renamed", Pins: pins, Rewrite: upper},
			{Name: "other", Event: "v9.Unknown", Release: "1.3.0", Replace: []codegen.Replacement{{Event: "v1.Removed", Args: move}, {Event: "v1.Removed", Args: move}}},
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
				Others:  []codegen.TestOther{{Other: "number", Seq: 10}, {Other: "writer", Client: "c"}, {Other: "release", Session: "s.1-0-0"}},
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
  'v1.Dated': ({ id, at }) => [items.insert({ id }).onConflict('id', 'ignore'), items.update({ at }).where({ id })],
})
export const schema = makeSchema({ events: withCorrectedEvents(events), state: State.SQLite.makeState(withHeadgate({ tables: { items }, materializers }, events)) })
`

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
	run := func(name, source string, list []codegen.Correction) (string, error) {
		s := testedCorrections().Schemas["main"]
		s.Corrections.List = list
		generated, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}, "main")
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(app, ".build", "vitest-"+name)
		writeFiles(t, dir, map[string][]byte{codegen.FileName: generated, codegen.TestFileName: test, "schema.ts": []byte(source)})
		cmd := exec.CommandContext(t.Context(), filepath.Join(app, "node_modules", ".bin", "vitest"), "run", "--root", dir, "--no-color")
		cmd.Dir = app
		cmd.Env = append(os.Environ(), "CI=1")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	all := m.Schemas["main"].Corrections.List
	if out, err := run("all", testedSchema, all); err != nil || !strings.Contains(out, "1 passed") {
		t.Fatalf("with the corrections: %v\n%s", err, out)
	}
	fails := func(name, source string, list []codegen.Correction, want string) {
		t.Helper()
		out, err := run(name, source, list)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: error %v, want a failure that says %q\n%s", name, err, want, out)
		}
	}
	fails("without", strings.Replace(testedSchema, "withHeadgate({ tables: { items }, materializers }, events)", "{ tables: { items }, materializers }", 1), all, "correction gone > is in the app")
	for i, one := range all {
		rest := append(append([]codegen.Correction{}, all[:i]...), all[i+1:]...)
		fails("no-"+one.Name, testedSchema, rest, "correction "+one.Name+" > ")
	}
	changed := append([]codegen.Correction{}, all...)
	changed[1].Set = `{"list":"archive"}`
	fails("changed", testedSchema, changed, "correction inbox > makes of the event what it declares")
	changed[1] = all[1]
	changed[1].Clients = nil
	fails("wider", testedSchema, changed, "correction inbox > leaves an event alone that has another writer")
}
