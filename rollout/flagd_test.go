package rollout_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// exported is the flagd file of text, decoded.
func exported(t testing.TB, text string) (raw []byte, decoded any) {
	t.Helper()
	raw, err := flags(t, text).Flagd()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &decoded); err != nil {
		t.Fatal(err)
	}
	return raw, decoded
}

// TestFlagd holds the export against the form that ROLLOUT.md gives.
func TestFlagd(t *testing.T) {
	raw, got := exported(t, `flags:
  event.TodoCreated:
    rollout: todo-created-v2
    revision: 7
    variants:
      v1: v1.TodoCreated
      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: 25}
`)
	var want any
	if err := json.Unmarshal([]byte(`{"$schema":"https://flagd.dev/schema/v0/flags.json",
 "flags":{"event.TodoCreated":{"state":"ENABLED",
   "variants":{"v1":"v1.TodoCreated","v2":"v2.TodoCreated"},"defaultVariant":"v1",
   "targeting":{"if":[{"and":[{"$ref":"canEmitV2"},{"!!":{"var":"storeId"}}]},
      {"fractional":[{"cat":[{"var":"$flagd.flagKey"},{"var":"storeId"}]},["v2",25],["v1",75]]},"v1"]},
   "metadata":{"headgate.rollout":"todo-created-v2","version":"7"}}},
 "$evaluators":{"canEmitV2":{"sem_ver":[{"var":"appVersion"},">=","1.5.0-0"]}}}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !bytes.HasPrefix(raw, []byte("{\n  \"$schema\": ")) || !bytes.HasSuffix(raw, []byte("}\n")) || !bytes.Contains(raw, []byte(`">="`)) {
		t.Errorf("the file is not made to be read:\n%s", raw)
	}
}

func TestFlagdWithListedStoresAndThreeVersions(t *testing.T) {
	_, got := exported(t, `flags:
  event.A:
    variants:
      v1: {event: v1.A, stores: [kept]}
      v2: {event: v2.A, floor: 1.5.0, percent: 25, stores: [demo]}
      v3: {event: v3.A, floor: 2.0.0-beta.1, percent: 0.5, stores: [canary]}
`)
	targeting := got.(map[string]any)["flags"].(map[string]any)["event.A"].(map[string]any)["targeting"]
	var want any
	const store, hash = `{"var":"storeId"}`, `{"cat":[{"var":"$flagd.flagKey"},{"var":"storeId"}]}`
	if err := json.Unmarshal([]byte(`{"if":[
 {"and":[{"$ref":"canEmitV3"},{"!!":`+store+`}]},
 {"if":[{"in":[`+store+`,["canary"]]},"v3",{"in":[`+store+`,["demo"]]},"v2",{"in":[`+store+`,["kept"]]},"v1",
   {"fractional":[`+hash+`,["v3",5],["v2",250],["v1",745]]}]},
 {"and":[{"$ref":"canEmitV2"},{"!!":`+store+`}]},
 {"if":[{"in":[`+store+`,["canary","demo"]]},"v2",{"in":[`+store+`,["kept"]]},"v1",
   {"fractional":[`+hash+`,["v2",255],["v1",745]]}]},
 "v1"]}`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, targeting); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestFlagdEvaluatorNames: two floors of a variant's name are two evaluators, one floor is shared.
func TestFlagdEvaluatorNames(t *testing.T) {
	v2 := func(family, floor string) string {
		return "  event." + family + ": {variants: {v1: v1." + family + ", v2: {event: v2." + family + ", floor: " + floor + "}}}\n"
	}
	for _, tc := range []struct {
		text string
		want map[string]string
	}{
		{v2("A", "1.5.0") + v2("B", "1.5.0"), map[string]string{"canEmitV2": "1.5.0-0"}},
		{v2("A", "1.5.0") + v2("B", "1.6.0"), map[string]string{"canEmitV2.A": "1.5.0-0", "canEmitV2.B": "1.6.0-0"}},
		{v2("A", "1.5.0-0") + v2("B", "1.5.0-rc.1"), map[string]string{"canEmitV2.A": "1.5.0-0", "canEmitV2.B": "1.5.0-rc.1"}},
	} {
		_, got := exported(t, "flags:\n"+tc.text)
		floors := map[string]string{}
		for name, e := range got.(map[string]any)["$evaluators"].(map[string]any) {
			floors[name] = e.(map[string]any)["sem_ver"].([]any)[2].(string)
		}
		if diff := cmp.Diff(tc.want, floors); diff != "" {
			t.Errorf("%s(-want +got):\n%s", tc.text, diff)
		}
	}
}

func TestFlagdIsDeterministic(t *testing.T) {
	first, _ := exported(t, whole)
	for range 20 {
		if again, _ := exported(t, whole); !bytes.Equal(first, again) {
			t.Fatal("the same flags gave other bytes")
		}
	}
	var file struct {
		Flags map[string]struct{ State, DefaultVariant string }
	}
	if err := json.Unmarshal(first, &file); err != nil {
		t.Fatal(err)
	}
	if f := file.Flags["event.renamed"]; f.State != "DISABLED" || f.DefaultVariant != "now" {
		t.Errorf("a disabled flag: %+v", f)
	}
}

func TestAbortKeepsTheOrder(t *testing.T) {
	const text = "flags: {event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.0.0, percent: 0}}}}"
	f := flag(t, text)
	for _, store := range []livestore.StoreID{"a", "b", "c"} {
		if e := f.Evaluate(rollout.Caller{Store: store, AppVersion: "1.0.0"}); e.Variant != "v1" {
			t.Errorf("%s: %+v", store, e)
		}
	}
	_, got := exported(t, text)
	compact, _ := json.Marshal(got)
	if !bytes.Contains(compact, []byte(`["v2",0],["v1",100]`)) {
		t.Errorf("percent 0 must leave v2 in its place: %s", compact)
	}
}

// TestParseFlagd reads generated flags' exports: what comes of it is exported as the same file again, and answers the same.
func TestParseFlagd(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 2026))
	for range 60 {
		text := "flags:\n"
		var all []*generated
		for i := range 4 {
			g := newGenerated(r, fmt.Sprintf("event.Family%d", i), "string")
			if i == 0 {
				g = newGenerated(r, "plain", pick(r, "string", "number", "boolean"))
			}
			all, text = append(all, g), text+g.yaml
		}
		raw, _ := exported(t, text)
		file, err := rollout.ParseFlagd(raw, "flags.json")
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, text, raw)
		}
		if again, err := file.Flagd(); err != nil || !bytes.Equal(raw, again) {
			t.Fatalf("%v\n%s\n%s", err, raw, again)
		}
		written := flags(t, text)
		for _, g := range all {
			was, _ := written.Flag(g.key)
			is, _ := file.Flag(g.key)
			for range 50 {
				store, _ := g.context(r)["storeId"].(string)
				version, _ := g.context(r)["appVersion"].(string)
				c := rollout.Caller{Store: livestore.StoreID(store), AppVersion: version}
				if diff := cmp.Diff(was.Evaluate(c), is.Evaluate(c), cmpopts.IgnoreFields(rollout.Evaluation{}, "Why")); diff != "" {
					t.Fatalf("%+v\n%s\n%s", c, diff, text)
				}
			}
		}
	}
}

// TestParseFlagdRefuses what another program wrote, or somebody changed so that it says more than a file of headgate's.
func TestParseFlagdRefuses(t *testing.T) {
	raw, _ := exported(t, "flags: {event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.5.0, percent: 25, stores: [demo]}}}}")
	for what, text := range map[string]string{
		"no JSON":             "flags:",
		"no flagd file":       `{"flags":{"event.A":{}}}`,
		"no name":             `{"flags":{"event.A":{"state":"ENABLED","variants":{"":"v1.A"},"defaultVariant":""}}}`,
		"another attribute":   strings.Replace(string(raw), `"storeId"`, `"userId"`, 1),
		"another comparison":  strings.Replace(string(raw), `">="`, `">"`, 1),
		"another default":     strings.Replace(string(raw), `"defaultVariant": "v1"`, `"defaultVariant": "v2"`, 1),
		"an unknown default":  strings.Replace(string(raw), `"defaultVariant": "v1"`, `"defaultVariant": "v9"`, 1),
		"another metadata":    strings.Replace(string(raw), `"state"`, `"metadata": {"owner": "ana"}, "state"`, 1),
		"a negative share":    strings.Replace(string(raw), "75", "-75", 1),
		"something follows":   string(raw) + "{}",
		"one that is no list": strings.Replace(string(raw), `"if"`, `"or"`, 1),
	} {
		if _, err := rollout.ParseFlagd([]byte(text), "flags.json"); errs.CodeOf(err) != errs.Invalid || text == string(raw) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParseFlagd(f *testing.F) {
	raw, _ := exported(f, "flags: {event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.5.0, percent: 25, stores: [demo]}}}}")
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := rollout.ParseFlagd(data, "flags.json")
		if err != nil {
			return
		}
		if _, err := file.Flagd(); err != nil {
			t.Error(err)
		}
	})
}
