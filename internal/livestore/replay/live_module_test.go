package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/script"
)

// module bundles a migration's module, and what lies beside it.
func module(t testing.TB, files map[string]string) *bundle.Script {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := bundle.Module(filepath.Join(dir, "1_a.ts"), replay.ModuleDriver)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func followModule(t *testing.T, s *bundle.Script, ids ...string) *replay.Live {
	t.Helper()
	var entries []entry
	for _, id := range ids {
		entries = append(entries, plain(id))
	}
	l := launcher(t)
	if strings.Contains(s.Code, "for (; ; )") { // it never ends
		l.Limits.Call = 5 * time.Second
	}
	live, res, err := replay.Follow(t.Context(), l, schemaOf(t, "plain.ts"), openLog(t, "file:"+writeLog(t, entries, 0)), options(outFile(t)),
		replay.LiveOptions{Namespace: "ns", Module: &replay.Module{Code: s.Code, Rules: map[string]replay.ModuleRule{
			"v1.Plain": {Fields: []string{"id", "text"}, Needed: []string{"id", "text"}, Key: []string{"id"}},
		}}})
	if err != nil || res.Poison != nil {
		t.Fatal(err, res.Poison)
	}
	t.Cleanup(live.Close)
	return live
}

// generate runs the module and returns its events and the queries that were new to it.
func generate(live *replay.Live) (events, queries []string, err error) {
	err = live.Generate(func(sql, trace string) error {
		if trace == "" {
			return errors.New("no trace")
		}
		queries = append(queries, sql)
		return nil
	}, func(name string, args json.RawMessage) error {
		events = append(events, name+" "+string(args))
		return nil
	})
	return events, queries, err
}

func TestGenerate(t *testing.T) {
	s := module(t, map[string]string{
		"1_a.ts": `import { shout, type Word } from './lib/words.ts'
import data from './lib/data.json'
import type { Nothing } from 'a-package'
let runs = 0
export default function* (query: (sql: string, ...binds: unknown[]) => Record<string, unknown>[], uuid5: (name: string) => string) {
  runs++
  for (const row of query('SELECT id, text FROM plain WHERE id <> ? ORDER BY id', 'b')) {
    yield { event: 'v1.Plain', args: { id: uuid5(row.id as string), text: shout(row.text as Word) + runs, more: undefined } }
  }
  const [all] = query('SELECT 1 AS i, 9007199254740993 AS big, 1.5 AS f, x\'00ff\' AS b, NULL AS n, ? AS p, typeof(?) AS t, ? AS s, ? AS y', 9007199254740993n, 7, null, true)
  yield { event: 'v1.Plain', args: { id: 'all', text: [all.i, all.big, all.f, all.b, all.n, all.p, all.t, all.s, all.y, data.word].join('|') } }
  for (let i = 0; i < 3000; i++) yield { event: 'v1.Plain', args: { id: 'n' + i, text: '' } }
}
`,
		"lib/words.ts":  "export type Word = string\nexport const shout = (w: Word): string => w.toUpperCase()\n",
		"lib/data.json": `{"word": "w"}`,
	})
	if got := strings.Join(s.Modules, " "); got != "1_a.ts lib/data.json lib/words.ts" {
		t.Errorf("modules: %s", got)
	}
	live := followModule(t, s, "a", "b", "c")
	for range 2 { // the second run begins anew
		events, queries, err := generate(live)
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != 3003 || len(queries) != 2 {
			t.Fatalf("%d events, %d queries", len(events), len(queries))
		}
		want := []string{
			fmt.Sprintf(`v1.Plain {"id":%q,"text":"T1"}`, engine.UUID5("ns", "a")),
			fmt.Sprintf(`v1.Plain {"id":%q,"text":"T1"}`, engine.UUID5("ns", "c")),
			`v1.Plain {"id":"all","text":"1|9007199254740993|1.5|0,255||9007199254740993|integer||1|w"}`,
		}
		for i, w := range want {
			if events[i] != w {
				t.Errorf("got %s, want %s", events[i], w)
			}
		}
	}
	if rows := ask(t, live, "SELECT count(*) FROM plain"); rows[0][0] != int64(3) {
		t.Errorf("%v", rows)
	}
}

func TestGenerateFailures(t *testing.T) {
	for _, c := range []struct{ name, body, msg, place string }{
		{"throws", "\nquery('SELECT 1')\nnull.x", "TypeError: cannot read property 'x' of null", "1_a.ts:4"},
		{"SQL error", "\nquery('SELECT what')", "SqliteError: no such column: what", "1_a.ts:3"},
		{"writes", "query('DELETE FROM plain')", "only a query can stand here", "1_a.ts:2"},
		{"writes in a WITH", "query('WITH a AS (SELECT 1) DELETE FROM plain')", "readonly", "1_a.ts:2"},
		{"pragma", "query('/* x */ -- y\\n PRAGMA query_only=OFF')", "only a query", "1_a.ts:2"},
		{"two statements", "query('SELECT 1; SELECT 2')", "only one statement", "1_a.ts:2"},
		{"parameter", "query('SELECT ?', {})", "parameter 1 is a object", "1_a.ts:2"},
		{"undefined parameter", "query('SELECT ?', undefined)", "parameter 1 is undefined", "1_a.ts:2"},
		{"clock", "\n\nnew Date()", "the time now", "1_a.ts:4"},
		{"clock called", "Date.now()", "the time now", "1_a.ts:2"},
		{"chance", "Math.random()", "Math.random()", "1_a.ts:2"},
		{"uuid", "crypto.randomUUID()", "crypto.randomUUID()", "1_a.ts:2"},
		{"network", "fetch('x')", "fetch is not available", "1_a.ts:2"},
		{"no event", "\nyield 5", "what is yielded as number 1 is no { event, args }", "1_a.ts:3"},
		{"unknown event", "yield { event: 'v1.Plain', args: { id: 'a', text: 't' } }\n\nyield { event: 'v2.Plain', args: {} }", `event 2 is a "v2.Plain", which is none of its emits: v1.Plain`, "1_a.ts:4"},
		{"unknown field", "yield { event: 'v1.Plain', args: { id: 'a', text: 't', x: 1 } }", `with "x", which it has no field for: its fields are id, text`, "1_a.ts:2"},
		{"missing field", "yield { event: 'v1.Plain', args: { id: 'a' } }", `without "text", which it needs`, "1_a.ts:2"},
		{"null key", "yield { event: 'v1.Plain', args: { id: null, text: 't' } }", `has no key: "id" is null`, "1_a.ts:2"},
		{"not finite", "yield { event: 'v1.Plain', args: { id: 'a', text: [{ x: 1 / 0 }] } }", `no finite number at $.text[0].x`, "1_a.ts:2"},
		{"bigint", "yield { event: 'v1.Plain', args: { id: 1n, text: '' } }", `a bigint at $.id`, "1_a.ts:2"},
		{"caught", "\ntry { yield 5 } catch {}", "is no { event, args }", ""},
		{"endless", "\nfor (;;) {}", "it ran longer than", "1_a.ts:"},
		{"many texts", "for (let i = 0; i < 2000; i++) query('SELECT ' + i)", "more than 1000 different texts", "1_a.ts:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := module(t, map[string]string{"1_a.ts": "export default function* (query: any, uuid5: any) {\n" + c.body + "\n}\n"})
			live := followModule(t, s, "a")
			_, _, err := generate(live)
			var f *script.Failure
			if !errors.As(err, &f) || !strings.Contains(f.Error(), c.msg) {
				t.Fatalf("error %v, want %s", err, c.msg)
			}
			if at := s.Locate(f.Stack); !strings.HasPrefix(at, c.place) {
				t.Errorf("at %q, want %s, stack %+v", at, c.place, f.Stack)
			}
			// A refused module leaves the state usable, and writable for the app.
			if p, err := live.Apply(next(live, plain("z"))); err != nil || p != nil {
				t.Error(err, p)
			}
			if rows := ask(t, live, "SELECT count(*) FROM plain"); rows[0][0] != int64(2) {
				t.Errorf("%v", rows)
			}
		})
	}
}

func TestExports(t *testing.T) {
	s := module(t, map[string]string{"1_a.ts": `export const requires = '>= 1'
export const emits = { b: { key: ['x'] }, a: { key: ['y'] } }
export const after = ['1', 2]
export const odd = () => 1
export default function* () {}
`})
	got, err := replay.Exports(t.Context(), launcher(t), s.Code)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"requires": `">= 1"`, "emits": `{"entries":[["b",{"key":["x"]}],["a",{"key":["y"]}]]}`, "after": `["1",2]`,
		"odd": `"a function"`, "default": `"GeneratorFunction"`,
	} {
		var a, b any
		if err := errors.Join(json.Unmarshal(got[name], &a), json.Unmarshal([]byte(want), &b)); err != nil {
			t.Error(name, err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	s = module(t, map[string]string{"1_a.ts": "export const at = Date.now()\nexport default function* () {}\n"})
	_, err = replay.Exports(t.Context(), launcher(t), s.Code)
	var f *script.Failure
	if !errors.As(err, &f) || !strings.Contains(f.Message, "the time now") || !strings.HasPrefix(s.Locate(f.Stack), "1_a.ts:1") {
		t.Errorf("%v", err)
	}
}
