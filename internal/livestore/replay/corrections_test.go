package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headgate/corrective"
	"headgate/internal/codegen"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/probe"
	"headgate/internal/livestore/schema"
)

// A repair is a log with bad events in it, and corrections that were thought of for them: one rule in YAML each, of which those
// count that headgate takes together.
type repair struct {
	entries []entry
	rules   []string
	// offline is the log of a client that was offline meanwhile: the first entries, and pending ones of its own behind
	// them, under numbers that by now are others'.
	offline []entry
	pending int // events of offline, the last ones
}

// How the actions of a correction look for each event; the first are of any.
var actionsOf = map[string][]string{
	"": {"skip: true"},
	"v1.Plain": {
		"set: {text: 'set ü'}", "rewrite: json_set(args, '$.text', upper(args ->> 'id') || seq)", "rewrite: json_set(args, '$.text', upper(args ->> 'text'))",
		"replace: [{event: v1.Paired, args: \"json_object('a', args ->> 'id', 'b', session)\"}, {event: v1.Plain, args: \"json_object('id', 'r' || seq, 'text', name)\"}]",
		"replace: [{event: v1.Filed, args: \"json_object('id', args -> 'id', 'list', client)\"}, {event: v1.Noted, args: \"json_object('id', args -> 'id', 'text', args -> 'text')\"}]",
		"replace: [{event: v1.Plain, args: args}, {event: v1.Filed, args: \"json_object('id', 'x')\"}]", // asks the state after another
	},
	"v2.Plain": {"set: {list: archive}", "rewrite: json_set(args, '$.list', lower(args ->> 'list'))", "replace: [{event: v1.Raw, args: args}]"},
	"v1.Raw":   {"rewrite: json_object('id', args -> 'text', 'text', args -> 'id')"},
	"v1.Paired": {
		"set: {a: x, unknown: [1, {b: null}]}", "replace: [{event: v1.Removed, args: \"json_object('id', args ->> 'a')\"}]",
	},
	"v1.Filed": {
		"set: {list: archive, size: 9007199254740993, done: true}", "set: {at: '2024-02-29T23:59:59.999Z', size: null, meta: {tags: [ä, '😀'], note: null}}",
		"rewrite: json_set(args, '$.list', coalesce(args ->> 'list', 'none'))", "rewrite: json_set(args, '$.list', args ->> 'at')",
		"rewrite: json_set(args, '$.size', args ->> 'size')", "rewrite: json_set(args, '$.size', round(seq / 3.0, 4))", "rewrite: json_remove(args, '$.at', '$.size')",
		"rewrite: json_object('id', args -> 'id', 'list', args ->> 'list' || '', 'size', args -> 'size')",
		"replace: [{event: v1.Filed, args: \"json_set(args, '$.list', 'r' || seq)\"}, {event: v1.Paired, args: \"json_object('a', args -> 'id', 'b', client)\"}]",
	},
	"v1.Awkward": {
		"set: {whole: -9007199254740991, any: {deep: [{ö: null}, 1.5]}, flag: true}", "rewrite: \"json_patch(args, '{\\\"any\\\":{\\\"a\\\":[1,null,{\\\"b\\\":\\\"😀\\\"}]},\\\"text\\\":\\\"x\\\"}')\"",
		"rewrite: json_remove(args, '$.real', '$.bytes')", "rewrite: json_set(args, '$.real', args -> 'whole')",
	},
	"v1.Dated": {
		"set: {due: null}", "set: {at: '1969-12-31T23:59:59.999Z'}", "rewrite: json_set(args, '$.at', substr(args ->> 'at', 1, 10))", "rewrite: json_set(args, '$.due', args -> 'at')",
	},
	"v1.Counted": {
		"rewrite: json_set(args, '$.by', (args ->> 'by') * 2)", "replace: [{event: v1.Counted, args: \"json_set(args, '$.by', seq)\"}, {event: v1.Removed, args: \"json_object('id', args -> 'id')\"}]",
	},
	"v1.Changed": {"set: {flag: true, text: null}"},
	"v1.Copied":  {"set: {to: c}"},
	"v1.Noted":   {"set: {text: null}", "replace: [{event: v1.Plain, args: \"json_object('id', args -> 'id', 'text', 'n' || seq)\"}]"},
	"v9.Unknown": {"replace: [{event: v1.Plain, args: \"json_object('id', 'u' || seq, 'text', coalesce(release, '?'))\"}]"},
	"v1.Five": { // some of which the release does not decode
		`rewrite: "json_object('id', 'p' || seq, 'title', args ->> 'title' || '', 'position', 1.5, 'done', json('true'), 'meta', json('{\"tags\":[],\"note\":null}'))"`,
		"replace: [{event: v1.Removed, args: \"json_object('id', args ->> 'id')\"}]",
	},
	"uiSet": {"set: {id: other}"}, // refused, whatever it is
}

// drawRepair draws a log of two releases and two clients, up to sixteen corrections, several of the same event, and what a client has
// that was offline.
func drawRepair(t *rapid.T) repair {
	var r repair
	for range rapid.IntRange(60, 140).Draw(t, "events") {
		e := drawEntry(t)
		e.by = rapid.SampledFrom([]string{"", "s.1-0-0", "s.1-3-0", "s.1-3-0-rc_1"}).Draw(t, "session")
		e.writer = rapid.SampledFrom([]string{"", "bob"}).Draw(t, "writer")
		r.entries = append(r.entries, e)
	}
	names := []string{
		"v1.Plain", "v2.Plain", "v1.Raw", "v1.Paired", "v1.Removed", "v9.Unknown", "v1.Five", "v1.Filed", "v1.Filed", "v1.Awkward", "v1.Dated",
		"v1.Counted", "v1.Changed", "v1.Copied", "v1.Noted", "uiSet",
	}
	for n := range rapid.IntRange(6, 16).Draw(t, "corrections") {
		name := rapid.SampledFrom(names).Draw(t, "name")
		conditions := "event: " + name
		if from := rapid.IntRange(0, 80).Draw(t, "from"); from > 0 {
			conditions += fmt.Sprintf(", from: e%d", from)
			if rapid.Bool().Draw(t, "upper bound") {
				conditions += fmt.Sprintf(", to: %d", from+rapid.IntRange(0, 40).Draw(t, "to"))
			}
		}
		where := rapid.SampledFrom([]string{
			"", "", "seq % 2", "args ->> 'id' > 'a'", "args ->> 'id' IN ('ü', 'c') OR release = '1.3.0'", "client <> 'alice'", "session LIKE 's%' AND name <> 'x'",
			"args ->> 'list' = 'inbox'", "args ->> 'list' IS NULL", "args ->> 'size' > 1", "args -> 'text' <> 'null'", "json_type(args, '$.any') = 'object'",
		}).Draw(t, "where")
		switch by := rapid.IntRange(0, 5).Draw(t, "by"); by {
		case 0, 1:
			conditions += fmt.Sprintf(", release: %s, pinned: %v", []string{"1.3.0", "1.3.0-rc.1"}[by], rapid.Bool().Draw(t, "pinned"))
		case 2:
			conditions += ", clients: [bob, nobody]"
		case 3:
			conditions += ", pinned: false"
		}
		actions := slices.Concat(actionsOf[""], actionsOf[name])
		action := rapid.SampledFrom(actions).Draw(t, "action")
		if name == "v1.Five" { // poison, each of it met
			conditions, where = "event: v1.Five", "args ->> 'id' = 'p'"
			for range rapid.IntRange(1, 5).Draw(t, "poison") {
				i := rapid.IntRange(0, len(r.entries)-1).Draw(t, "place")
				r.entries[i] = entry{name: "v1.Five", args: rapid.SampledFrom([]string{
					`{"id":"p","title":"t","done":true,"meta":{"tags":[],"note":null}}`, `{"id":"p","title":7,"position":"1","meta":{}}`,
				}).Draw(t, "poison"), by: "s.1-3-0"}
			}
		}
		if where != "" {
			conditions += ", where: \"" + where + `"`
		}
		r.rules = append(r.rules, fmt.Sprintf("  - name: c%d\n    reason: drawn\n    match: {%s}\n    %s\n", n, conditions, action))
	}
	r.offline = slices.Clone(r.entries[:rapid.IntRange(5, len(r.entries)/2).Draw(t, "offline since")])
	for range rapid.IntRange(5, 30).Draw(t, "pending") { // some are what others committed meanwhile, word for word
		e := r.entries[len(r.offline)]
		if e.name == "v1.Five" || rapid.Bool().Draw(t, "other") {
			e = rapid.SampledFrom([]entry{
				{name: "v1.Plain", args: `{"id":"b","text":"mine"}`}, {name: "v1.Filed", args: `{"id":"c","list":"mine"}`}, {name: "v1.Counted", args: `{"id":"a","by":3}`},
			}).Draw(t, "mine")
		}
		e.by, e.client = rapid.SampledFrom([]string{"s.1-3-0", "t", "s.1-3-0-rc_1"}).Draw(t, "session"), 0
		e.writer = "carol"
		r.offline = append(r.offline, e)
		if r.pending++; len(r.offline) == len(r.entries) {
			break
		}
	}
	return r
}

// For random logs, bad events and corrections, three agree: the generated code in a real LiveStore client, the same code in
// headgate's replay, and the release without corrections on the log that the corrections say it should have been.
//
// Covered are all actions, in several corrections of the same and of other events; matches by number, condition, client and release,
// listed and not; events that the release does not decode or know, that are a client's alone, that ask the state, that write several
// tables, and whose arguments are written otherwise once read (defaults, dates, excess fields, numbers past 2^53, half characters);
// and a client that was offline, whose pending events have the numbers of listed ones. Corrections that headgate refuses are left
// out, and counted by why: two that meet the same event are refused of the log's transformation, too.
//
// Not covered: other SQLite than the one that LiveStore brings. A schema that changes later has a test of its own.
func TestCorrectionsAsLiveStore(t *testing.T) { corrections(t, 3, 4) }

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
	var intended []eventlog.Reader
	met := map[string]int{}
	for i := range cases {
		r := draw.Example(seed + i)
		log := writeLog(t, r.entries, 0)
		list, found := acceptable(t, base.Release, openLog(t, "file:"+log), r.rules, identify, met)
		name := fmt.Sprintf("corrected-%d-%d", seed, i)
		correctedEntry(t, dir, name, "{}", list, asGenerated(t, base.Release, list, found, met))
		add := func(log string, should eventlog.Reader) {
			plan = append(plan, rebuild{Log: log, Entry: filepath.Join(dir, name+".ts"), Out: filepath.Join(t.TempDir(), "state.db")})
			intended = append(intended, should)
		}
		add(log, compiled(t, list).Log(openLog(t, "file:"+log)))
		// What is listed is no pending event, whatever its number.
		client := writeLog(t, r.offline, r.pending)
		should := offline{Reader: openLog(t, "file:"+client), confirmed: compiled(t, list)}
		later := list
		later.List = slices.DeleteFunc(slices.Clone(list.List), func(c corrective.Correction) bool { return c.Match.IsPinned() })
		should.pending = compiled(t, later)
		if err := (corrective.Finder{Corrector: should.pending, Identifier: identify}).Find(t.Context(), should.Reader, func(f corrective.Found) {
			if f.Event.Pending {
				met["pending"]++
			}
		}); errs.CodeOf(err) == errs.Invalid {
			met["later ones refused"]++ // a rule can't be held against what nobody had seen
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		met["offline"]++
		for e, err := range should.Events(t.Context(), livestore.ClientSeq{}) {
			if err != nil {
				t.Fatal(err)
			}
			if name, err := should.confirmed.Match(t.Context(), e); e.Pending && err == nil && name != "" {
				met["provisional"]++
			}
		}
		add(client, should)
	}
	t.Log(met)
	for _, kind := range []string{
		"skip", "set", "rewrite", "replace", "pinned", "rule", "tolerated", "adopted", "clientOnly", "several of an event", "offline", "pending", "provisional",
		"refused: both match", "refused: client document", "refused: as clients see it",
	} {
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
			out, should := outFile(t), outFile(t)
			if res := run(t, target(t, dir, filepath.Base(plan[i].Entry)), openLog(t, "file:"+plan[i].Log), options(out)); res.Poison != nil {
				t.Fatalf("the corrected release: %+v", res.Poison)
			}
			sameState(t, plan[i].Out, out)
			if res := run(t, base, intended[i], options(should)); res.Poison != nil {
				t.Fatalf("the intended log: %+v", res.Poison)
			}
			sameState(t, should, out)
		})
	}
}

// acceptable are the corrections that headgate takes of a log, one after the other, and the events that they match.
func acceptable(t *testing.T, r *schema.Release, log eventlog.Reader, rules []string, identify *probe.Identifier, met map[string]int) (corrective.Corrections, []corrective.Found) {
	t.Helper()
	text := "version: 1\nschema: main\ncorrections:\n"
	var out corrective.Corrections
	var found []corrective.Found
	for _, rule := range rules {
		list, err := corrective.ParseCorrections(t.Context(), "drawn.yaml", []byte(text+rule))
		if err != nil {
			t.Fatalf("%v\n%s", err, rule)
		}
		if err := list.CheckAgainst(r, "drawn.yaml"); err != nil {
			why := "refused: client document"
			if strings.Contains(err.Error(), "asks the state") {
				why = "refused: asks the state"
			}
			met[why]++
			continue
		}
		var now []corrective.Found
		err = corrective.Finder{Corrector: compiled(t, list), Identifier: identify}.Find(t.Context(), log, func(f corrective.Found) { now = append(now, f) })
		if errs.CodeOf(err) == errs.Invalid {
			why := "refused: otherwise"
			switch {
			case strings.Contains(err.Error(), "both match"):
				why = "refused: both match"
				look := corrective.Transform{Log: log, Corrections: list, Progress: func() {}}
				if _, other := look.Look(t.Context()); errs.CodeOf(other) != errs.Invalid && syncedEvent.MatchString(err.Error()) {
					t.Errorf("the transformation of the log takes two corrections of an event: %v, not %v\n%s", other, err, text+rule)
				}
			case strings.Contains(err.Error(), "does not decode"):
				why = "refused: does not decode"
			case strings.Contains(err.Error(), "as clients see it"):
				why = "refused: as clients see it"
			}
			met[why]++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(out.List, func(c corrective.Correction) bool { return c.Match.Event == list.List[len(list.List)-1].Match.Event }) {
			met["several of an event"]++
		}
		text, out, found = text+rule, list, now
	}
	return out, found
}

// syncedEvent finds an event that is in a dump, too.
var syncedEvent = regexp.MustCompile(`event e\d+, `)

func compiled(t *testing.T, list corrective.Corrections) *corrective.Corrector {
	t.Helper()
	c, err := list.Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// offline is what the log of a client should have been that has pending events.
type offline struct {
	eventlog.Reader
	confirmed, pending *corrective.Corrector
}

func (o offline) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for e, err := range o.Reader.Events(ctx, after) {
			made, by := []livestore.Event{e}, o.confirmed
			if e.Pending {
				by = o.pending
			}
			if err == nil {
				made, _, err = by.Apply(ctx, e)
			}
			if err != nil {
				yield(e, err)
				return
			}
			for _, m := range made {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// asGenerated makes the generated file's corrections of those that were reviewed, as rollback generate does.
func asGenerated(t *testing.T, r *schema.Release, list corrective.Corrections, found []corrective.Found, met map[string]int) codegen.Corrections {
	t.Helper()
	pins := map[string][]string{}
	var out codegen.Corrections
	for _, f := range found {
		e, name := f.Event, f.Correction
		pins[name] = append(pins[name], fmt.Sprintf("%d.%d:%s", e.Seq.Global, e.Seq.Client, f.Identity.Digest))
		if e.Name == "v1.Noted" {
			met["clientOnly"]++
		}
		if f.Identity.Unreadable && !slices.Contains(out.Tolerated, e.Name) {
			out.Tolerated = append(out.Tolerated, e.Name)
			met["tolerated"]++
		}
		if f.Identity.Undefined && !slices.Contains(out.Adopted, e.Name) {
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
			if def, ok := r.Event(g.Event); ok {
				g.Fields = codegen.FieldsOf(def, nil)
			}
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

// correctedEntry writes the schema module name.ts, which is atomic.ts with corrections around it, and the events of a TypeScript
// object in the place of its own.
func correctedEntry(t *testing.T, dir, name, events string, list corrective.Corrections, c codegen.Corrections) {
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
	entry := fmt.Sprintf(`import { Events, Schema } from '@livestore/livestore'
import { make } from './schema.ts'
import { withCorrectedEvents, withCorrections } from './%s/headgate.generated.ts'
const hooks = { init: (db: any) => (db.execute('PRAGMA cache_spill=OFF'), db.execute('BEGIN')), post: (db: any) => db.execute('COMMIT') }
export const schema = make({ strategy: 'auto', hooks }, { strategy: 'ignore' }, { events: %s, materializers: {} }, { withCorrectedEvents, withCorrections })
`, name, events)
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

// What is listed stays known. A pending event carries a number that may be another's once it is sent: one with the number, name and
// arguments of a listed event, by another writer, is not taken for it. An event whose schema later got fields is, with their
// defaults, and with what it brought of them from a release that knew them before. One that can't be told any more stops no client.
func TestListedEvents(t *testing.T) {
	dir := awkward(t)
	base := target(t, dir, "atomic.ts")
	list, err := corrective.ParseCorrections(t.Context(), "c.yaml", []byte("version: 1\nschema: main\ncorrections:\n"+
		"  - {name: gone, reason: r, match: {event: v1.Plain, where: \"args ->> 'id' = 'b'\"}, skip: true}\n"))
	if err != nil {
		t.Fatal(err)
	}
	identify, err := probe.NewIdentifier(t.Context(), launcher(t), base.Program)
	if err != nil {
		t.Fatal(err)
	}
	defer identify.Close()
	a, bad := entry{name: "v1.Plain", args: `{"id":"a","text":"x"}`}, entry{name: "v1.Plain", args: `{"id":"b","text":"x","area":"home"}`, by: "s.1-3-0"}
	mine := bad
	mine.by = "s.1-2-0"
	theirs, offline := writeLog(t, []entry{a, bad}, 0), writeLog(t, []entry{a, mine}, 1)
	var found []corrective.Found
	if err := (corrective.Finder{Corrector: compiled(t, list), Identifier: identify}).Find(t.Context(), openLog(t, "file:"+theirs), func(f corrective.Found) { found = append(found, f) }); err != nil {
		t.Fatal(err)
	}
	code := asGenerated(t, base.Release, list, found, map[string]int{})
	correctedEntry(t, dir, "listed", "{}", list, code)
	correctedEntry(t, dir, "listed-later", `{ plain: Events.synced({ name: 'v1.Plain', schema: Schema.Struct({
		id: Schema.String, text: Schema.String, area: Schema.optional(Schema.String), list: Schema.optionalWith(Schema.String, { default: () => 'inbox' }),
	}) }) }`, list, code)
	correctedEntry(t, dir, "listed-one-way", `{ plain: Events.synced({ name: 'v1.Plain', schema: Schema.Struct({
		id: Schema.String, text: Schema.transform(Schema.String, Schema.String, { decode: (s) => s, encode: () => { throw new Error('one way') } }),
	}) }) }`, list, code)
	once, err := probe.NewIdentifier(t.Context(), launcher(t), target(t, dir, "listed-one-way.ts").Program)
	if err != nil {
		t.Fatal(err)
	}
	defer once.Close()
	err = corrective.Finder{Corrector: compiled(t, list), Identifier: once}.Find(t.Context(), openLog(t, "file:"+theirs), func(corrective.Found) {})
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "can't encode it again") {
		t.Errorf("a schema that can't encode: %v", err)
	}
	plan := []rebuild{
		{Log: theirs, Entry: filepath.Join(dir, "listed-one-way.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
		{Log: theirs, Entry: filepath.Join(dir, "listed.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
		{Log: theirs, Entry: filepath.Join(dir, "listed-later.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
		{Log: offline, Entry: filepath.Join(dir, "listed.ts"), Out: filepath.Join(t.TempDir(), "state.db")},
	}
	should := [][]entry{{a, bad}, {a}, {a}, {a, mine}}
	for i, r := range liveStore(t, plan) {
		if !r.OK {
			t.Fatal(r.Error)
		}
		out := outFile(t)
		if res := run(t, base, openLog(t, "file:"+writeLog(t, should[i], 0)), options(out)); res.Poison != nil {
			t.Fatal(res.Poison)
		}
		sameState(t, plan[i].Out, out)
	}
}

// Clients see the arguments as their release writes them again once it has read them: a correction that goes by what is only in the
// log, or only there, would do something else on them than what was reviewed.
func TestFoundAsClientsSeeIt(t *testing.T) {
	base := target(t, awkward(t), "atomic.ts")
	identify, err := probe.NewIdentifier(t.Context(), launcher(t), base.Program)
	if err != nil {
		t.Fatal(err)
	}
	defer identify.Close()
	log := openLog(t, "file:"+writeLog(t, []entry{
		{name: "v1.Filed", args: `{"id":"a"}`}, {name: "v1.Plain", args: `{"id":"b","text":"x","area":"home"}`}, {name: "v1.Filed", args: `{"id":"c","list":"x","at":"2024-01-01"}`},
	}, 0))
	for _, c := range []struct{ rule, wrong string }{
		{`match: {event: v1.Filed, pinned: false, where: "args ->> 'list' = 'inbox'"}, skip: true`, "decides otherwise about event e1"}, // a default, where the log has none
		{`match: {event: v1.Filed, pinned: false, where: "args ->> 'list' IS NULL"}, skip: true`, "decides otherwise about event e1"},
		{`match: {event: v1.Filed, where: "args ->> 'list' IS NULL"}, skip: true`, ""}, // listed
		{`match: {event: v1.Filed, pinned: false, where: "args ->> 'list' = 'x'"}, set: {list: y}`, ""},
		{`match: {event: v1.Filed}, rewrite: "json_object('id', args -> 'id', 'list', coalesce(args ->> 'list', 'none'))"`, "makes something else of event e1"},
		{`match: {event: v1.Filed}, rewrite: "json_set(args, '$.list', args ->> 'at')"`, "does not decode"},
		{`match: {event: v1.Filed, from: 3}, rewrite: "json_set(args, '$.list', args ->> 'at')"`, "makes something else of event e3"},
		{`match: {event: v1.Filed, from: 3}, rewrite: "json_set(args, '$.list', 'y')"`, ""}, // the same moment
		{`match: {event: v1.Plain}, rewrite: "json_set(args, '$.text', args ->> 'area')"`, "makes something else of event e2"},
		{`match: {event: v1.Plain}, replace: [{event: v1.Noted, args: "json_object('id', args -> 'area', 'text', null)"}]`, "makes something else of event e2"},
		{`match: {event: v1.Plain}, replace: [{event: v1.Noted, args: "json_object('id', args -> 'id', 'text', null)"}]`, ""},
	} {
		list, err := corrective.ParseCorrections(t.Context(), "c.yaml", []byte("version: 1\nschema: main\ncorrections:\n  - {name: one, reason: r, "+c.rule+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = corrective.Finder{Corrector: compiled(t, list), Identifier: identify}.Find(t.Context(), log, func(corrective.Found) { n++ })
		switch {
		case c.wrong == "" && (err != nil || n == 0):
			t.Errorf("%s: %d events, %v", c.rule, n, err)
		case c.wrong != "" && (errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: error %v, want %q", c.rule, err, c.wrong)
		}
	}
}
