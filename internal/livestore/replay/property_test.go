package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/testenv"
)

// Fragments of JSON that naive code gets wrong.
var (
	awkwardTexts = []string{
		`""`, `"plain"`, `"a\u0000b"`, `"\u0000"`, `"\ud800"`, `"\udc00\ud800 pair the wrong way"`, `"\ufeffmark"`, `"é e\u0301 😀 \ud83d\ude00"`,
		`"O'Brien said \"no\" \\ \/"`, `"'; DROP TABLE plain; --"`, `"\u2028\u2029<>&"`, `"line\r\n\ttab"`, `"null"`, `"12.50"`, `"\u0001\u007f\u0080\uffff"`,
		`"` + strings.Repeat("long ü ", 30000) + `"`,
	}
	awkwardWhole = []string{
		`0`, `-0`, `1`, `-1`, `2147483647`, `2147483648`, `-2147483648`, `-2147483649`, `9007199254740991`, `-9007199254740991`, `9007199254740993`,
		`1e3`, `4294967296`, `1.0`, `null`,
	}
	awkwardReal = append([]string{`0.1`, `1e21`, `1e400`, `-1e400`, `5e-324`, `1.7976931348623157e308`, `2.5`, `1e-7`}, awkwardWhole...)
	awkwardDate = []string{
		`"1969-12-31T23:59:59.999Z"`, `"1970-01-01T00:00:00.000Z"`, `"0001-01-01T00:00:00.001Z"`, `"+010000-01-01T00:00:00.000Z"`,
		`"-000753-04-21T00:00:00.000Z"`, `"2024-02-29T23:59:59.999Z"`, `"2024-01-01"`, `"2024-01-01T00:00:00+02:00"`, `"no date"`,
	}
	awkwardAny = []string{`null`, `{}`, `[]`, `{"b":1,"a":[null,"x",1.5]}`, `"text"`, `0`, `false`, `{"__proto__":1,"constructor":2}`, `[[["deep"]]]`}
	someIDs    = []string{`"a"`, `"b"`, `"c"`, `"ü"`, `""`, `"d"`, `"e'"`}
)

// fields draws a JSON object: each field from its choices; one whose first choice is "?" may be left out.
func fields(t *rapid.T, spec ...any) string {
	var out []string
	for i := 0; i < len(spec); i += 2 {
		name, choices := spec[i].(string), spec[i+1].([]string)
		if choices[0] == "?" {
			choices = choices[1:]
			if rapid.Bool().Draw(t, name+" there") {
				continue
			}
		}
		out = append(out, fmt.Sprintf("%q:%s", name, rapid.SampledFrom(choices).Draw(t, name)))
	}
	return "{" + strings.Join(out, ",") + "}"
}

func optional(choices []string) []string { return append([]string{"?"}, choices...) }

// notNull leaves the null out.
func notNull(choices []string) []string {
	var out []string
	for _, c := range choices {
		if c != "null" {
			out = append(out, c)
		}
	}
	return out
}

func drawEntry(t *rapid.T) entry {
	bools := []string{"true", "false"}
	metas := []string{`{"tags":[],"note":null}`, `{"tags":["a","\ud800"],"note":""}`, `{"tags":["x"],"note":"y","extra":1}`}
	e := entry{name: rapid.SampledFrom([]string{
		"v1.Plain", "v2.Plain", "v1.Five", "v1.Dated", "v1.Counted", "v1.Awkward", "v1.Awkward", "v1.Changed", "v1.Copied", "v1.Removed", "v1.Paired",
		"v1.Raw", "v1.Nothing", "v9.Unknown", "v1.Filed", "v1.Filed", "v1.Noted", "uiSet",
	}).Draw(t, "name")}
	switch e.name {
	case "v1.Plain", "v1.Raw":
		e.args = fields(t, "id", someIDs, "text", awkwardTexts)
	case "v2.Plain":
		e.args = fields(t, "id", someIDs, "text", awkwardTexts, "list", optional(awkwardTexts))
	case "v1.Five":
		e.args = fields(t, "id", someIDs, "title", awkwardTexts, "position", notNull(awkwardReal), "done", bools, "estimate", optional(awkwardWhole), "meta", metas)
	case "v1.Dated":
		due := optional(append([]string{"null"}, awkwardDate[:len(awkwardDate)-1]...)) // an invalid one is poison in an integer column
		e.args = fields(t, "id", someIDs, "at", awkwardDate[:len(awkwardDate)-1], "due", due)
	case "v1.Counted":
		e.args = fields(t, "id", someIDs, "by", []string{"1", "-1", "0", "1000000"})
	case "v1.Awkward":
		e.args = fields(t, "id", someIDs, "whole", optional(awkwardWhole), "real", optional(awkwardReal), "text", optional(append([]string{"null"}, awkwardTexts...)),
			"flag", optional(bools), "any", optional(awkwardAny), "bytes", optional([]string{"[]", "[0]", "[0,255,256,-1,1.5]"}))
	case "v1.Changed":
		e.args = fields(t, "id", someIDs, "text", append([]string{"null"}, awkwardTexts...), "flag", bools)
	case "v1.Copied":
		e.args = fields(t, "from", someIDs, "to", someIDs)
	case "v1.Filed":
		e.args = fields(t, "id", someIDs, "list", optional(awkwardTexts[:6]), "at", optional(awkwardDate[:len(awkwardDate)-1]),
			"size", optional(awkwardReal), "done", optional(bools), "meta", optional(metas))
	case "v1.Noted":
		e.args, e.client = fields(t, "id", someIDs, "text", append([]string{"null"}, awkwardTexts...)), 1
		return e
	case "uiSet":
		value := fields(t, "filter", awkwardTexts[:8], "open", []string{"null", `"a"`})
		e.args, e.client = `{"id":"main","value":`+value+`}`, 1
		return e
	case "v1.Removed":
		e.args = fields(t, "id", someIDs)
	case "v1.Paired":
		e.args = fields(t, "a", someIDs, "b", awkwardTexts)
	default:
		e.args = fields(t, "whatever", awkwardAny)
	}
	if rapid.IntRange(0, 9).Draw(t, "clientOnly") == 0 {
		e.client = 1
	}
	return e
}

// poisonous are events that a rebuild fails on.
var poisonous = []entry{
	{name: "v1.Awkward", args: `{"id":"p","whole":2.5}`},
	{name: "v1.Awkward", args: `{"id":"p","whole":1e21}`},
	{name: "v1.Awkward", args: `{"id":"p","whole":1e400}`},
	{name: "v1.Five", args: `{"id":"p","title":"t","done":true,"meta":{"tags":[],"note":null}}`},
	{name: "v1.Five", args: `{"id":"p","title":"t","position":1,"done":true,"meta":{"tags":[1],"note":null}}`},
	{name: "v1.Dated", args: `{"id":"p","at":"2024-01-01","due":"no date"}`},
	{name: "v1.Plain", args: `null`},
	{name: "v1.Plain", args: `{"id":1,"text":"x"}`},
	{name: "v1.Strict", args: `{"id":"p"}`},
	{name: "v1.Throwing", args: `{"id":"p","secret":"hush"}`},
	{name: "v1.Quoted", args: `{"id":"p"}`},
	{name: "v1.BadQuery", args: `{"id":"p"}`},
	{name: "v1.Counted", args: `{"id":"p","by":0.5}`},
}

// A drawn log; poison is the index of its poison event, or -1.
type drawn struct {
	entries []entry
	poison  int
}

func drawLog(t *rapid.T) drawn {
	d := drawn{poison: -1}
	n := rapid.IntRange(60, 140).Draw(t, "events")
	for range n {
		d.entries = append(d.entries, drawEntry(t))
	}
	if rapid.IntRange(0, 3).Draw(t, "poisoned") == 0 {
		d.poison = rapid.IntRange(0, n-1).Draw(t, "place")
		d.entries[d.poison] = rapid.SampledFrom(poisonous).Draw(t, "poison")
	}
	return d
}

func soak() bool { return os.Getenv("HEADGATE_SOAK") != "" }

// Random logs of events that are hard to get right give LiveStore's state, and poison where LiveStore refuses to boot.
func TestRandomLogsAsLiveStore(t *testing.T) {
	randomLogs(t, 1, 8)
}

func TestSoakRandomLogsAsLiveStore(t *testing.T) {
	if !soak() {
		t.Skip("make soak runs it")
	}
	for round := range 20 { // each in a Node process of its own
		randomLogs(t, 1000*(round+1), 25)
	}
}

func randomLogs(t *testing.T, seed, logs int) {
	dir := awkward(t)
	draw := rapid.Custom(drawLog)
	var all []drawn
	var plan []rebuild
	for i := range logs {
		d := draw.Example(seed + i)
		all = append(all, d)
		plan = append(plan, rebuild{Log: writeLog(t, d.entries, 0), Entry: filepath.Join(dir, "atomic.ts"), Out: filepath.Join(t.TempDir(), "state.db")})
	}
	for i, p := range poisonous { // each of them once by itself
		all = append(all, drawn{entries: []entry{{name: "v1.Plain", args: `{"id":"a","text":"b"}`}, p}, poison: 1})
		plan = append(plan, rebuild{Log: writeLog(t, all[logs+i].entries, 0), Entry: filepath.Join(dir, "plain.ts"), Out: filepath.Join(t.TempDir(), "state.db")})
	}
	for i, want := range liveStore(t, plan) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			out := outFile(t)
			res := run(t, target(t, dir, filepath.Base(plan[i].Entry)), openLog(t, "file:"+plan[i].Log), options(out))
			if want.OK != (all[i].poison < 0) {
				t.Fatalf("LiveStore boots: %v (%s), but the log's poison is %d", want.OK, want.Error, all[i].poison)
			}
			if want.OK != (res.Poison == nil) {
				at := ""
				if res.Poison != nil {
					at = describeEntry(all[i].entries, res.Poison.Seq)
				}
				t.Fatalf("LiveStore boots: %v (%s), headgate says %v: %s", want.OK, want.Error, res.Poison, at)
			}
			if want.OK {
				sameState(t, plan[i].Out, out)
				return
			}
			if got, poison := describeEntry(all[i].entries, res.Poison.Seq), all[i].entries[all[i].poison]; got != fmt.Sprintf("%s %.200s", poison.name, poison.args) {
				t.Errorf("poison at %s (%s), want %s", res.Poison.Seq, got, poison.name)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("a state was written in spite of the poison")
			}
		})
	}
}

// Logs that clients of several releases of the example wrote, under every release.
func TestMixedReleasesAsLiveStore(t *testing.T) {
	mixedReleases(t, 0, 1)
}

func TestSoakMixedReleasesAsLiveStore(t *testing.T) {
	if !soak() {
		t.Skip("make soak runs it")
	}
	mixedReleases(t, 1, 20)
}

func mixedReleases(t *testing.T, first, seeds int) {
	app := testenv.Example(t, "todo")
	versions := []string{"1.0.0", "1.1.0", "1.2.0", "1.3.0"}
	var plan []rebuild
	var of []string
	for seed := range seeds {
		for i, v := range versions {
			log := filepath.Join(t.TempDir(), "eventlog@6.db")
			spec := loggen.Spec{N: 150, Seed: uint64(100*(first+seed) + i), Level: 2, ClientOnly: true}
			if _, err := spec.WriteFile(t.Context(), log); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, rebuild{Log: log, Entry: filepath.Join(app, "history", v, "livestore", "schema.ts"), Out: filepath.Join(t.TempDir(), "state.db")})
			of = append(of, v)
		}
	}
	for i, want := range liveStore(t, plan) {
		t.Run(fmt.Sprintf("%d/%s", i, of[i]), func(t *testing.T) {
			if !want.OK {
				t.Fatalf("LiveStore does not boot: %s", want.Error)
			}
			out := outFile(t)
			if res := run(t, todo(t, of[i]), openLog(t, "file:"+plan[i].Log), options(out)); res.Poison != nil {
				t.Fatal(res.Poison)
			}
			sameState(t, plan[i].Out, out)
		})
	}
}
