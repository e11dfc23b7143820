package payload_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/payload"
	"headgate/internal/livestore/schema"
)

func typ(t *testing.T, s string) *schema.Type {
	t.Helper()
	var out schema.Type
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func texts(list []any) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(payload.Encode(v)))
	}
	return out
}

const todo = `{"kind":"struct","fields":[
	{"name":"id","type":{"kind":"string"}},
	{"name":"state","type":{"kind":"union","members":[{"kind":"literal","value":"open"},{"kind":"literal","value":"done"}]}},
	{"name":"note","type":{"kind":"union","members":[{"kind":"string"},{"kind":"literal","value":null},{"kind":"undefined"}]},"optional":true},
	{"name":"tags","type":{"kind":"tuple","rest":[{"kind":"string"}]}}]}`

func TestExamplesShowEveryPart(t *testing.T) {
	got := texts(payload.New(typ(t, todo), payload.Hints{}).Examples())
	for _, want := range []string{
		`{"id":"e1","note":"e1","state":"open","tags":["e1"]}`, // the base comes first
		`{"id":"e1","state":"open","tags":[]}`,                 // nothing that can be left out
		`{"id":"e1","state":"open","tags":["e1"]}`,             // the optional key left out
		`{"id":"e1","note":null,"state":"open","tags":["e1"]}`, // null
		`{"id":"e1","note":"e1","state":"done","tags":["e1"]}`, // the other literal
		`{"id":"e1","note":"e1","state":"open","tags":[]}`,     // none
		`{"id":"e1","note":"e1","state":"open","tags":["e1","e2","e3"]}`,
		`{"id":"e1","note":"e1","state":"open","tags":["e1","e1"]}`, // twice the same
		`{"id":"","note":"e1","state":"open","tags":["e1"]}`,
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s among\n%s", want, strings.Join(got, "\n"))
		}
	}
	if got[0] != `{"id":"e1","note":"e1","state":"open","tags":["e1"]}` {
		t.Errorf("the first is %s", got[0])
	}
	sorted := slices.Clone(got)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(got) {
		t.Error("there are duplicates")
	}
}

func TestEntitiesDifferWhereTheyCan(t *testing.T) {
	g := payload.New(typ(t, todo), payload.Hints{})
	two, _ := g.Base(2)
	if diff := cmp.Diff(`{"id":"e2","note":"e2","state":"done","tags":["e2"]}`, string(payload.Encode(two))); diff != "" {
		t.Error(diff)
	}
	about, _ := g.BaseAbout("kept")
	if diff := cmp.Diff(`{"id":"kept","note":"kept","state":"open","tags":["kept"]}`, string(payload.Encode(about))); diff != "" {
		t.Error(diff)
	}
}

func TestEdgesRespectFilters(t *testing.T) {
	for name, c := range map[string]struct {
		typ      string
		has, not []string
	}{
		"number":   {`{"kind":"number"}`, []string{"0", "-0", "-1", "2.5", "2147483648", "9007199254740991", "1.7976931348623157e+308"}, nil},
		"int":      {`{"kind":"refinement","from":{"kind":"number"},"filter":{"id":"Int"}}`, []string{"0", "9007199254740991"}, []string{"2.5", "1e+21"}},
		"between":  {`{"kind":"refinement","from":{"kind":"number"},"filter":{"id":"Between","params":{"minimum":1,"maximum":5}}}`, []string{"1", "5", "2.5", "4.5"}, []string{"0", "6", "0.5"}},
		"greater":  {`{"kind":"refinement","from":{"kind":"number"},"filter":{"id":"GreaterThan","params":{"exclusiveMinimum":10}}}`, []string{"11", "10.5"}, []string{"10"}},
		"multiple": {`{"kind":"refinement","from":{"kind":"number"},"filter":{"id":"MultipleOf","params":{"multipleOf":5}}}`, []string{"0", "5", "-5"}, []string{"1", "2.5"}},
		"string":   {`{"kind":"string"}`, []string{`""`, `"é"`, `"null"`}, nil},
		"min":      {`{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"MinLength","params":{"minLength":3}}}`, []string{`"xxx"`, `"xxxx"`}, []string{`""`, `"a"`}},
		"max":      {`{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"MaxLength","params":{"maxLength":4}}}`, []string{`""`, `"xxxx"`, `"xxx"`}, []string{`"xxxxx"`}},
		"date": {
			`{"kind":"refinement","from":{"kind":"transform","from":{"kind":"string"},"to":{"kind":"declaration"},"how":"function","id":"DateFromString"},"filter":{"id":"ValidDate"}}`,
			[]string{`"1969-12-31T23:59:59.999Z"`, `"+275760-09-13T00:00:00.000Z"`},
			[]string{`"Invalid Date"`, `""`},
		},
		"loose date": {`{"kind":"transform","from":{"kind":"string"},"to":{"kind":"declaration"},"how":"function","id":"DateFromString"}`, []string{`"Invalid Date"`}, nil},
		"bigint":     {`{"kind":"transform","from":{"kind":"string"},"to":{"kind":"bigint"},"how":"function","id":"BigInt"}`, []string{`"9007199254740993"`}, []string{`"é"`}},
		"items":      {`{"kind":"refinement","from":{"kind":"tuple","rest":[{"kind":"boolean"}]},"filter":{"id":"MinItems","params":{"minItems":2}}}`, []string{"[true,false]"}, []string{"[]", "[true]"}},
	} {
		got := texts(payload.New(typ(t, c.typ), payload.Hints{}).Edge())
		for _, w := range c.has {
			if !slices.Contains(got, w) {
				t.Errorf("%s: no %s among %.300q", name, w, got)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%s: %s is not admitted", name, w)
			}
		}
	}
}

func TestHintsBecomeLengthsNumbersAndStrings(t *testing.T) {
	h := payload.Hints{Numbers: []float64{24}, Strings: []string{"urgent"}}
	lengths := map[int]bool{}
	urgent := false
	for _, v := range payload.New(typ(t, `{"kind":"string"}`), h).Edge() {
		lengths[len(v.(string))] = true
		urgent = urgent || v == "urgent"
	}
	if !lengths[23] || !lengths[24] || !lengths[25] || !urgent {
		t.Errorf("lengths %v, urgent %v", lengths, urgent)
	}
	if got := texts(payload.New(typ(t, `{"kind":"number"}`), h).Edge()); !slices.Contains(got, "25") || !slices.Contains(got, "23") {
		t.Errorf("got %v", got)
	}
}

// A recursive type ends, on every side.
func TestRecursionIsBounded(t *testing.T) {
	g := payload.New(typ(t, `{"kind":"struct","fields":[{"name":"name","type":{"kind":"string"}},{"name":"children","type":{"kind":"tuple","rest":[
		{"kind":"suspend","id":"T1","type":{"kind":"struct","fields":[{"name":"name","type":{"kind":"string"}},{"name":"children","type":{"kind":"tuple","rest":[{"kind":"ref","id":"T1"}]}}]}}]}}]}`), payload.Hints{})
	if n := len(g.Edge()); n < 20 || n > 2000 {
		t.Errorf("%d edge payloads", n)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		if _, ok := g.Random(rng); !ok {
			t.Fatal("no random payload")
		}
	}
	endless := payload.New(typ(t, `{"kind":"suspend","id":"T1","type":{"kind":"struct","fields":[{"name":"next","type":{"kind":"ref","id":"T1"}}]}}`), payload.Hints{})
	if v, ok := endless.Base(1); ok {
		t.Errorf("a type without finite values has %s", payload.Encode(v))
	}
}

func TestOpaqueIsSaid(t *testing.T) {
	got := payload.New(typ(t, `{"kind":"struct","fields":[
		{"name":"a","type":{"kind":"string"}},
		{"name":"b","type":{"kind":"refinement","from":{"kind":"number"},"filter":{}}},
		{"name":"c","type":{"kind":"transform","from":{"kind":"string"},"to":{"kind":"number"},"how":"function"}},
		{"name":"d","type":{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"Pattern","params":{"pattern":"^(?=a)b$"}}}}]}`), payload.Hints{}).Opaque()
	if diff := cmp.Diff([]string{"$.b: a filter of the app", "$.c: a transformation of the app", "$.d: the filter Pattern"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestShrink(t *testing.T) {
	for name, c := range map[string]struct {
		in    string
		fails func(v map[string]any) bool
		want  string
	}{
		"a long string": {
			`{"id":"e1","text":"lorem ipsum dolor sit amet consectetur adipiscing elit","note":"n"}`,
			func(v map[string]any) bool { s, _ := v["text"].(string); return len(s) > 24 },
			`{"text":"aaaaaaaaaaaaaaaaaaaaaaaaa"}`,
		},
		"a fraction": {
			`{"id":"e1","n":1000000000000000.5}`,
			func(v map[string]any) bool { n, ok := v["n"].(float64); return ok && n != float64(int64(n)) },
			`{"n":0.5}`,
		},
		"a character": {
			`{"text":"hello 😀 world"}`,
			func(v map[string]any) bool { s, _ := v["text"].(string); return strings.Contains(s, "😀") },
			`{"text":"😀"}`,
		},
		"two equal items": {
			`{"tags":["x","y","z","y"]}`,
			func(v map[string]any) bool {
				l, _ := v["tags"].([]any)
				for i := range l {
					if slices.Contains(l[:i], l[i]) {
						return true
					}
				}
				return false
			},
			`{"tags":["y","y"]}`,
		},
		"a missing key": {
			`{"id":"e1","note":"n"}`,
			func(v map[string]any) bool { _, there := v["text"]; return !there && v["id"] != nil },
			`{"id":""}`,
		},
	} {
		var in map[string]any
		if err := json.Unmarshal([]byte(c.in), &in); err != nil {
			t.Fatal(err)
		}
		got := payload.Shrink(in, 400, func(v any) bool { m, ok := v.(map[string]any); return ok && c.fails(m) })
		if string(payload.Encode(got)) != c.want {
			t.Errorf("%s: got %s, want %s", name, payload.Encode(got), c.want)
		}
		calls := 0
		payload.Shrink(in, 7, func(v any) bool { calls++; return true })
		if calls > 7 {
			t.Errorf("%s: %d calls with a budget of 7", name, calls)
		}
	}
}

func TestShapeHidesValues(t *testing.T) {
	typed := typ(t, `{"kind":"struct","fields":[
		{"name":"id","type":{"kind":"string"}},{"name":"note","type":{"kind":"string"},"optional":true},{"name":"n","type":{"kind":"number"}},
		{"name":"by","type":{"kind":"struct","index":[{"key":{"kind":"string"},"value":{"kind":"boolean"}}]}},
		{"name":"list","type":{"kind":"tuple","rest":[{"kind":"struct","fields":[{"name":"a","type":{"kind":"any"}}]}]}}]}`)
	got := payload.ShapeJSON([]byte(`{"id":"secret","n":2.5,"by":{"anna@example.org":true},"list":[{"a":{"private":"x"}}]}`), typed)
	want := `{"by":{key(16):boolean},"id":string(6),"list":array(1)[{"a":{key(7):string(1)}}],"n":fraction,"note":absent}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := payload.Shape(map[string]any{"n": -3.0}, nil); got != `{"n":negative integer}` {
		t.Errorf("got %s", got)
	}
}

// Whatever the type, nothing panics and the same input gives the same output.
func TestDeterministic(t *testing.T) {
	a := payload.New(typ(t, todo), payload.Hints{})
	b := payload.New(typ(t, todo), payload.Hints{})
	if diff := cmp.Diff(texts(a.Edge()), texts(b.Edge())); diff != "" {
		t.Error(diff)
	}
	one, _ := a.Random(rand.New(rand.NewPCG(3, 4)))
	two, _ := b.Random(rand.New(rand.NewPCG(3, 4)))
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
	for _, odd := range []*schema.Type{nil, {}, {Kind: schema.Union}, {Kind: schema.Tuple}, {Kind: schema.Refinement}, {Kind: schema.Enum}, {Kind: schema.Ref, ID: "T9"}, {Kind: "new"}} {
		g := payload.New(odd, payload.Hints{})
		g.Edge()
		g.Examples()
		g.Random(rand.New(rand.NewPCG(1, 1)))
	}
}
