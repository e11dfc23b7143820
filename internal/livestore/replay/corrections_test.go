package replay_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headgate/corrective"
	"headgate/internal/codegen"
	"headgate/internal/livestore"
	"headgate/internal/livestore/probe"
)

// A repair is a log with bad events in it, and the corrections of them.
type repair struct {
	entries     []entry
	corrections string
}

// drawRepair draws a log of two releases, and up to three corrections, each of an event of its own: of some that the release
// reads, and of some that it does not decode, or does not know.
func drawRepair(t *rapid.T) repair {
	var r repair
	for range rapid.IntRange(60, 140).Draw(t, "events") {
		e := drawEntry(t)
		e.by = rapid.SampledFrom([]string{"", "s.1-0-0", "s.1-3-0"}).Draw(t, "session")
		r.entries = append(r.entries, e)
	}
	names := rapid.Permutation([]string{"v1.Plain", "v2.Plain", "v1.Raw", "v1.Paired", "v1.Removed", "v9.Unknown", "v1.Five"}).Draw(t, "names")
	var b strings.Builder
	b.WriteString("version: 1\nschema: main\ncorrections:\n")
	for _, name := range names[:rapid.IntRange(1, 3).Draw(t, "corrections")] {
		conditions := "event: " + name
		if from := rapid.IntRange(0, 40).Draw(t, "from"); from > 0 {
			conditions += fmt.Sprintf(", from: e%d", from)
		}
		if rapid.Bool().Draw(t, "upper bound") {
			conditions += fmt.Sprintf(", to: %d", rapid.IntRange(40, 140).Draw(t, "to"))
		}
		if rapid.Bool().Draw(t, "narrower") {
			conditions += ", where: \"" + rapid.SampledFrom([]string{
				"seq % 2", "args ->> 'id' > 'a'", "args ->> 'id' IN ('ü', 'c') OR release = '1.3.0'", "client <> 'alice'", "session LIKE 's%' AND name <> 'x'",
			}).Draw(t, "where") + `"`
		}
		if rapid.Bool().Draw(t, "by release") {
			conditions += fmt.Sprintf(", release: 1.3.0, pinned: %v", rapid.Bool().Draw(t, "pinned"))
		}
		actions := []string{"skip: true"}
		switch name {
		case "v1.Plain", "v2.Plain", "v1.Raw":
			actions = append(actions, "set: {text: 'set ü'}", "rewrite: json_set(args, '$.text', upper(args ->> 'id') || seq)",
				"replace: [{event: v1.Paired, args: \"json_object('a', args ->> 'id', 'b', session)\"}, {event: v1.Plain, args: \"json_object('id', 'r' || seq, 'text', name)\"}]")
		case "v1.Paired":
			actions = append(actions, "set: {a: x, unknown: [1, {b: null}]}", "replace: [{event: v1.Removed, args: \"json_object('id', args ->> 'a')\"}]")
		case "v9.Unknown":
			actions = append(actions, "replace: [{event: v1.Plain, args: \"json_object('id', 'u' || seq, 'text', coalesce(release, '?'))\"}]")
		case "v1.Five": // poison, each of it met
			conditions = "event: v1.Five, where: \"args ->> 'id' = 'p'\""
			for range rapid.IntRange(1, 5).Draw(t, "poison") {
				i := rapid.IntRange(0, len(r.entries)-1).Draw(t, "place")
				r.entries[i] = entry{name: "v1.Five", args: rapid.SampledFrom([]string{
					`{"id":"p","title":"t","done":true,"meta":{"tags":[],"note":null}}`, `{"id":"p","title":7,"position":"1","meta":{}}`,
				}).Draw(t, "poison"), by: "s.1-3-0"}
			}
			actions = []string{
				"skip: true", `rewrite: "json_object('id', 'p' || seq, 'title', args ->> 'title' || '', 'position', 1.5, 'done', json('true'), 'meta', json('{\"tags\":[],\"note\":null}'))"`,
				"replace: [{event: v1.Removed, args: \"json_object('id', args ->> 'id')\"}]",
			}
		}
		fmt.Fprintf(&b, "  - name: c%d\n    reason: drawn\n    match: {%s}\n    %s\n", b.Len(), conditions, rapid.SampledFrom(actions).Draw(t, "action"))
	}
	r.corrections = b.String()
	return r
}

// For random logs, bad events and corrections, three agree: the generated code in a real LiveStore client, the same code in
// headgate's replay, and the release without corrections on the log that the corrections say it should have been.
func TestCorrectionsAsLiveStore(t *testing.T) { corrections(t, 5, 6) }

func TestSoakCorrectionsAsLiveStore(t *testing.T) {
	if !soak() {
		t.Skip("make soak runs it")
	}
	corrections(t, 1000, 200)
}

func corrections(t *testing.T, seed, cases int) {
	dir := awkward(t)
	draw := rapid.Custom(drawRepair)
	base := target(t, dir, "atomic.ts")
	identify, err := probe.NewIdentifier(t.Context(), launcher(t), base.Program)
	if err != nil {
		t.Fatal(err)
	}
	defer identify.Close()
	var plan []rebuild
	var repairs []*corrective.Corrector
	met := map[string]int{}
	for i := range cases {
		r := draw.Example(seed + i)
		list, err := corrective.ParseCorrections(t.Context(), "drawn.yaml", []byte(r.corrections))
		if err != nil {
			t.Fatalf("%v\n%s", err, r.corrections)
		}
		c, err := list.Compile(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		repairs = append(repairs, c)
		log := writeLog(t, r.entries, 5)
		name := fmt.Sprintf("corrected-%d-%d", seed, i)
		correctedEntry(t, dir, name, list, find(t, log, list, c, identify, met))
		plan = append(plan, rebuild{Log: log, Entry: filepath.Join(dir, name+".ts"), Out: filepath.Join(t.TempDir(), "state.db")})
	}
	for _, kind := range []string{"skip", "set", "rewrite", "replace", "pinned", "rule", "tolerated", "adopted"} {
		if met[kind] == 0 {
			t.Errorf("no event was met by %s: the cases show nothing of it", kind)
		}
	}
	five, _ := base.Release.Event("v1.Five") // which some cases tolerate: to other releases it is what it was
	for _, p := range plan {
		if e, ok := target(t, dir, filepath.Base(p.Entry)).Release.Event("v1.Five"); !ok || jsonOf(t, e.Args) != jsonOf(t, five.Args) {
			t.Errorf("%s: v1.Five is %s, want %s", filepath.Base(p.Entry), jsonOf(t, e.Args), jsonOf(t, five.Args))
		}
	}
	for i, want := range liveStore(t, plan) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			if !want.OK {
				t.Fatalf("LiveStore does not boot with the corrections: %s", want.Error)
			}
			log := openLog(t, "file:"+plan[i].Log)
			out, intended := outFile(t), outFile(t)
			if res := run(t, target(t, dir, filepath.Base(plan[i].Entry)), log, options(out)); res.Poison != nil {
				t.Fatalf("the corrected release: %+v", res.Poison)
			}
			sameState(t, plan[i].Out, out)
			if res := run(t, base, repairs[i].Log(log), options(intended)); res.Poison != nil {
				t.Fatalf("the intended log: %+v", res.Poison)
			}
			sameState(t, intended, out)
		})
	}
}

// find makes the generated file's corrections of those that were reviewed, as rollback generate does.
func find(t *testing.T, log string, list corrective.Corrections, c *corrective.Corrector, identify *probe.Identifier, met map[string]int) codegen.Corrections {
	t.Helper()
	pins := map[string][]string{}
	var out codegen.Corrections
	for e, err := range openLog(t, "file:"+log).Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		name, err := c.Match(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if name == "" {
			continue
		}
		ids, err := identify.Identify(t.Context(), []livestore.Event{e})
		if err != nil {
			t.Fatal(err)
		}
		pins[name] = append(pins[name], fmt.Sprintf("%d.%d:%s", e.Seq.Global, e.Seq.Client, ids[0].Digest))
		if ids[0].Unreadable && !slices.Contains(out.Tolerated, e.Name) {
			out.Tolerated = append(out.Tolerated, e.Name)
			met["tolerated"]++
		}
		if ids[0].Undefined && !slices.Contains(out.Adopted, e.Name) {
			out.Adopted = append(out.Adopted, e.Name)
			met["adopted"]++
		}
	}
	for _, one := range list.List {
		g := codegen.Correction{Name: one.Name, Event: one.Match.Event, Skip: one.Skip, Rewrite: one.Rewrite}
		n := len(pins[one.Name])
		for kind, is := range map[string]bool{"skip": one.Skip, "set": one.Set != nil, "rewrite": one.Rewrite != "", "replace": one.Replace != nil, "pinned": one.Match.IsPinned(), "rule": !one.Match.IsPinned()} {
			if is {
				met[kind] += n
			}
		}
		for _, r := range one.Replace {
			g.Replace = append(g.Replace, codegen.Replacement(r))
		}
		if one.Set != nil {
			g.Set = jsonOf(t, one.Set)
		}
		if one.Match.IsPinned() {
			if g.Pins = strings.Join(pins[one.Name], " "); n == 0 {
				g.Pins = "0.0:0000000000000000" // none
			}
		} else {
			m := one.Match
			g.Release, g.From, g.To, g.Clients, g.Where = m.Release, int64(m.From), int64(m.To), m.Clients, m.Where
		}
		out.List = append(out.List, g)
	}
	return out
}

// correctedEntry writes the schema module name.ts, which is atomic.ts with corrections around it.
func correctedEntry(t *testing.T, dir, name string, list corrective.Corrections, c codegen.Corrections) {
	t.Helper()
	s := codegen.NewSchema("schema.ts", codegen.ImportTS, "effect")
	s.Corrections = c
	text, err := codegen.Render(&codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{list.Schema: s}}, list.Schema)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf(`import { make } from './schema.ts'
import { withCorrectedEvents, withCorrections } from './%s/headgate.generated.ts'
const hooks = { init: (db: any) => (db.execute('PRAGMA cache_spill=OFF'), db.execute('BEGIN')), post: (db: any) => db.execute('COMMIT') }
export const schema = make({ strategy: 'auto', hooks }, { strategy: 'ignore' }, { events: {}, materializers: {} }, { withCorrectedEvents, withCorrections })
`, name)
	for path, data := range map[string][]byte{filepath.Join(name, codegen.FileName): text, name + ".ts": []byte(entry)} {
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A pending event carries a number that may be another's once it is sent: one with the number, name and arguments of a listed
// event, by another writer, is not taken for it.
func TestPinnedIsNotProvisional(t *testing.T) {
	dir := awkward(t)
	base := target(t, dir, "atomic.ts")
	list, err := corrective.ParseCorrections(t.Context(), "c.yaml", []byte("version: 1\nschema: main\ncorrections:\n"+
		"  - {name: gone, reason: r, match: {event: v1.Plain, where: \"args ->> 'id' = 'b'\"}, skip: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := list.Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	identify, err := probe.NewIdentifier(t.Context(), launcher(t), base.Program)
	if err != nil {
		t.Fatal(err)
	}
	defer identify.Close()
	a, bad := entry{name: "v1.Plain", args: `{"id":"a","text":"x"}`}, entry{name: "v1.Plain", args: `{"id":"b","text":"x"}`, by: "s.1-3-0"}
	mine := bad
	mine.by = "s.1-2-0"
	theirs, offline := writeLog(t, []entry{a, bad}, 0), writeLog(t, []entry{a, mine}, 1)
	correctedEntry(t, dir, "provisional", list, find(t, theirs, list, c, identify, map[string]int{}))
	plan := []rebuild{
		{Log: theirs, Entry: filepath.Join(dir, "provisional.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
		{Log: offline, Entry: filepath.Join(dir, "provisional.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
	}
	for i, r := range liveStore(t, plan) {
		if !r.OK {
			t.Fatal(r.Error)
		}
		out := outFile(t)
		if res := run(t, base, openLog(t, "file:"+writeLog(t, []entry{a, mine}[:i+1], 0)), options(out)); res.Poison != nil {
			t.Fatal(res.Poison)
		}
		sameState(t, plan[i].Out, out) // one row, then both
	}
}
