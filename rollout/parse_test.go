package rollout_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

const whole = `flags:
  event.TodoCreated:
    schema: main
    rollout: todo-created-v2
    revision: 7
    state: enabled
    variants:
      v1: v1.TodoCreated
      v2:
        event: v2.TodoCreated
        floor: 1.5.0
        percent: 25
        stores: [demo, team-7]
      v3: {event: v3.TodoCreated, floor: 2.0.0-beta.1, percent: 0.5%}
  event.renamed:
    state: disabled
    default: now
    variants: {before: {event: rename, stores: [old]}, now: todo.renamed}
`

func TestParse(t *testing.T) {
	want := []rollout.Flag{
		{
			Key: "event.TodoCreated", Schema: "main", Rollout: "todo-created-v2", Revision: 7, Line: 2,
			Variants: []rollout.Variant{
				{Name: "v1", Event: "v1.TodoCreated", Percent: 74_500, Line: 8},
				{Name: "v2", Event: "v2.TodoCreated", Floor: "1.5.0", Percent: 25_000, Stores: []livestore.StoreID{"demo", "team-7"}, Line: 9},
				{Name: "v3", Event: "v3.TodoCreated", Floor: "2.0.0-beta.1", Percent: 500, Line: 14},
			},
		},
		{
			Key: "event.renamed", Disabled: true, Default: 1, Line: 15,
			Variants: []rollout.Variant{
				{Name: "before", Event: "rename", Stores: []livestore.StoreID{"old"}, Line: 18},
				{Name: "now", Event: "todo.renamed", Percent: 100_000, Line: 18},
			},
		},
	}
	if diff := cmp.Diff(want, flags(t, whole).Flags); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestErrors changes one thing in a good file and wants the line, the message and a hint.
func TestErrors(t *testing.T) {
	const good = `flags:
  event.A:
    revision: 1
    default: v1
    variants:
      v1: v1.A
      v2: {event: v2.A, floor: 1.5.0, percent: 25, stores: [demo]}
      v3: {event: v3.A, floor: 1.6.0, percent: 5, stores: [team]}
`
	flags(t, good)
	for _, tc := range []struct{ name, old, new, line, msg, hint string }{
		{"empty", good, "", "1", "the file is empty", "write `flags:`"},
		{"no YAML", "{event: v2.A,", "{event: v2.A", "7", "not valid YAML", "brackets"},
		{"two documents", "      v1: v1.A", "      v1: v1.A\n---\nflags:", "7", "second YAML document", "---"},
		{"not a mapping", good, "- a", "1", "the file must be a mapping, it is a list", ""},
		{"no flags", good, "{}", "1", "flags is missing", "add `flags:`"},
		{"unknown key", "flags:", "flag:", "1", `unknown key "flag"`, "did you mean flags?"},
		{"unknown key deep", "percent: 25", "procent: 25", "7", `unknown key "flags.event.A.variants.v2.procent"`, "did you mean percent?"},
		{"unknown key, nothing near", "revision: 1", "zzz: 1", "3", `unknown key "flags.event.A.zzz"`, "there are: default, revision"},
		{"key twice", "revision: 1", "revision: 1\n    revision: 2", "4", "flags.event.A.revision is there twice", ""},
		{"complex key", "revision: 1", "[a]: 1", "3", "a key must be a single value", ""},
		{"flag twice", good, good + "  event.A: {variants: {v1: v1.A}}\n", "9", "flags.event.A is there twice", ""},
		{"flag's key", "event.A:", "Todo Created:", "2", `"Todo Created" is not a flag's key`, "event.TodoCreated"},
		{"no event's key", "event.A:", "TodoCreated:", "7", "variants.v2.event: TodoCreated is a plain flag", "event.TodoCreated"},
		{"reset", "event.A:", "store.reset:", "2", "store.reset is not set in the file", "armed first"},
		{"flag's key ends", "event.A:", "event.:", "2", `"event." is not a flag's key`, ""},
		{"revision", "revision: 1", "revision: 0", "3", `"0" is not a revision`, "from 1"},
		{"no value", "revision: 1", "revision:", "3", "flags.event.A.revision has no value", ""},
		{"state", "revision: 1", "state: off", "3", `unknown state "off"`, "enabled or disabled"},
		{"default", "default: v1", "default: v9", "4", `there is no variant "v9"`, "did you mean v1?"},
		{"no variants", good, "flags: {event.A: {revision: 1}}", "1", "flags.event.A.variants is missing", ""},
		{"empty variants", good, "flags:\n  event.A:\n    variants: {}", "3", "flags.event.A.variants is empty", "v1: v1.A"},
		{"variant's name", "v1: v1.A", "v.1: v1.A", "6", "a variant's name has letters", "v2"},
		{"event missing", "{event: v2.A, ", "{", "7", "variants.v2.event is missing", ""},
		{"other family", "event: v2.A", "event: v2.B", "7", "v2.B is no version of A", "event.A is for the versions of A only"},
		{"other version", "event: v2.A", "event: v4.A", "7", "the variant v2 has the event v4.A", ""},
		{"event twice", "v1: v1.A", "old: v2.A", "7", "v2.A is the event of old too", ""},
		{"order", "v3: {event: v3.A", "v0: {event: v0.A", "8", "v0 comes after v2", "the oldest version first"},
		{"floor", "floor: 1.5.0", "floor: 1.5", "7", `"1.5" is not a release`, "1.5.0"},
		{"floor with build", "floor: 1.5.0", "floor: 1.5.0+7", "7", `"1.5.0+7" is not a release`, ""},
		{"no floor", "floor: 1.5.0, ", "", "7", "variants.v2.floor is missing", "floor: 1.5.0"},
		{"floors fall", "floor: 1.6.0", "floor: 1.4.0", "8", `variants.v3.floor "1.4.0" is below that of v2, 1.5.0`, ""},
		{"default with floor", "default: v1", "default: v2", "7", "v2 is the default and has a floor", ""},
		{"default with percent", "v1: v1.A", "v1: {event: v1.A, percent: 70}", "6", "v1 is the default and has a percentage", "leave"},
		{"percent", "percent: 25", "percent: a lot", "7", `"a lot" is not a percentage`, "from 0 to 100"},
		{"percent over", "percent: 25", "percent: 101", "7", `"101" is not a percentage`, ""},
		{"percent negative", "percent: 25", "percent: -1", "7", `"-1" is not a percentage`, ""},
		{"percent too fine", "percent: 25", "percent: 0.0001", "7", `"0.0001" is not a percentage`, "three decimals"},
		{"percents over", "percent: 25", "percent: 96", "2", "the percentages add up to 101 %", "100"},
		{"stores", "stores: [demo]", "stores: demo", "7", "variants.v2.stores must be a list", "[a, b]"},
		{"store id", "stores: [demo]", "stores: [de/mo]", "7", `"de/mo" has other characters`, "LiveStore"},
		{"store twice", "stores: [team]", "stores: [demo]", "8", "the store demo is listed twice, the other time for v2", ""},
		{"store twice in a list", "stores: [team]", "stores: [x, x]", "8", "the store x is listed twice, the other time for v3", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(good, tc.old, tc.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			_, err := rollout.Parse([]byte(text), "flags.yaml")
			e := errs.As(err)
			if e == nil || e.Code != errs.Invalid {
				t.Fatalf("error = %v, want an invalid one", err)
			}
			if want := "flags.yaml:" + tc.line; e.Where != want {
				t.Errorf("where = %s, want %s (%s)", e.Where, want, e.Msg)
			}
			if !strings.Contains(e.Msg, tc.msg) || !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("message %q, hint %q; want %q, %q", e.Msg, e.Hint, tc.msg, tc.hint)
			}
		})
	}
}

const plain = `flags:
  sharing: {default: on, variants: {off: false, on: true}}
  page-size: {variants: {small: 20, large: {value: 100, percent: 50, stores: [demo], floor: 1.5.0}}}
  theme.name: {variants: {a: "1", b: {value: dark, stores: [demo]}}}
`

func TestParsePlain(t *testing.T) {
	f := flags(t, plain)
	for i, want := range [][]any{{false, true}, {int64(20), int64(100)}, {"1", "dark"}} {
		for j, v := range f.Flags[i].Variants {
			if v.Answer() != want[j] || v.Event != "" {
				t.Errorf("%s: %#v, want %#v", f.Flags[i].Key, v, want[j])
			}
		}
	}
	if f.Flags[0].Default != 1 || f.Flags[1].Variants[1].Floor != "1.5.0" {
		t.Errorf("%+v", f.Flags)
	}
	for _, tc := range []struct{ old, new, msg, hint string }{
		{"on: true", "on: 1", "variants.on is a number, and off is a boolean", "one type"},
		{"on: true", "on: 1.5", `"1.5" is not a value`, "a whole number"},
		{"on: true", "on: ", "variants.on has no value", ""},
		{"small: 20", "small: 9007199254740992", "beyond what JavaScript can hold", ""},
		{"value: dark, ", "", "variants.b.value is missing", ""},
		{"{off: false, on: true}", "{}", "sharing.variants is empty", "off: false"},
		{"theme.name", ".name", `".name" is not a flag's key`, ""},
	} {
		_, err := rollout.Parse([]byte(strings.Replace(plain, tc.old, tc.new, 1)), "flags.yaml")
		if e := errs.As(err); e == nil || !strings.Contains(e.Msg, tc.msg) || !strings.Contains(e.Hint, tc.hint) {
			t.Errorf("%s: %v", tc.new, err)
		}
	}
}

func TestRead(t *testing.T) {
	path := t.TempDir() + "/flags.yaml"
	if _, err := rollout.Read(path); errs.CodeOf(err) != errs.NotFound || errs.As(err).Next[0] != "headgate flags init" {
		t.Errorf("no file: %v", err)
	}
	write(t, path, whole)
	if f, err := rollout.Read(path); err != nil || f.Path != path || len(f.Flags) != 2 {
		t.Errorf("Read = %v, %v", f, err)
	}
	write(t, path, "#"+strings.Repeat(" ", rollout.MaxSize))
	if _, err := rollout.Read(path); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("a huge file: %v", err)
	}
}

func TestParsePercent(t *testing.T) {
	for s, want := range map[string]string{"0": "0 %", "25": "25 %", "0.5": "0.5 %", "12.125%": "12.125 %", "100": "100 %", "100.000": "100 %", "5 %": "5 %"} {
		if p, ok := rollout.ParsePercent(s); !ok || p.String() != want {
			t.Errorf("ParsePercent(%q) = %s, %v, want %s", s, p, ok, want)
		}
	}
	for _, s := range []string{"", "%", ".5", "5.", "100.001", "1e1", "+5", "-0", "0x1", "1_0", "4294967297"} {
		if p, ok := rollout.ParsePercent(s); ok {
			t.Errorf("ParsePercent(%q) = %s, want none", s, p)
		}
	}
}

// FuzzParse: whatever stands in the file, the error is for its writer, and what is parsed can be evaluated and exported.
func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("flags: &x {event.A: *x}")
	f.Add("flags: {event.A: {variants: {v1: v1.A, v99999999999999999999: {event: b, floor: 1.0.0, percent: 0.001}}}}")
	f.Add("? [a]\n: b")
	f.Add(plain)
	f.Fuzz(func(t *testing.T, text string) {
		file, err := rollout.Parse([]byte(text), "flags.yaml")
		if err != nil {
			if errs.As(err) == nil {
				t.Fatalf("error %v is not for the user", err)
			}
			return
		}
		if _, err := file.Flagd(); err != nil {
			t.Fatal(err)
		}
		for i := range file.Flags {
			e := file.Flags[i].Evaluate(rollout.Caller{Store: "s", AppVersion: "9999.0.0"})
			if e.Value == "" && !file.Flags[i].Disabled {
				t.Fatalf("no value: %+v", e)
			}
		}
	})
}

// BenchmarkParseStores reads a flag that lists many stores: twice as many take twice as long.
func BenchmarkParseStores(b *testing.B) {
	for _, n := range []int{5_000, 10_000, 20_000} {
		var stores strings.Builder
		for i := range n {
			fmt.Fprintf(&stores, "store-%d, ", i)
		}
		text := []byte("flags: {event.A: {variants: {v1: v1.A, v2: {event: v2.A, floor: 1.5.0, stores: [" + stores.String() + "]}}}}")
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := rollout.Parse(text, "flags.yaml"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
