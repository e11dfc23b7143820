package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/schema"
)

func dump(t *testing.T, text string) *schema.Type {
	t.Helper()
	out := &schema.Type{}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatal(err)
	}
	return out
}

const date = `{"kind":"transform","how":"function","id":"DateFromString","from":{"kind":"string"},"to":{"kind":"declaration","id":"DateFromSelf"}}`

func TestWire(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"a transformation becomes its encoded side": {date, `{"kind":"string"}`},
		"a filter on the wire stays": {
			`{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"MinLength"}}`,
			`{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"MinLength"}}`,
		},
		"a filter on the decoded value goes": {
			`{"kind":"refinement","from":` + date + `,"filter":{"id":"ValidDate"}}`, `{"kind":"string"}`,
		},
		"a decoding default makes the key optional": {
			`{"kind":"transform","how":"fields","from":{"kind":"struct","fields":[{"name":"p","type":{"kind":"number"}},{"name":"q","type":{"kind":"number"}}]},
			  "to":{"kind":"struct","fields":[{"name":"p","type":{"kind":"number"}},{"name":"r","type":{"kind":"number"}}]},
			  "keys":[{"from":"p","to":"p","default":0},{"from":"q","to":"r"}]}`,
			`{"kind":"struct","fields":[{"name":"p","type":{"kind":"number"},"optional":true},{"name":"q","type":{"kind":"number"}}]}`,
		},
		"undefined makes the key optional": {
			`{"kind":"struct","fields":[{"name":"p","type":{"kind":"union","members":[` + date + `,{"kind":"undefined"}]}}]}`,
			`{"kind":"struct","fields":[{"name":"p","type":{"kind":"union","members":[{"kind":"string"},{"kind":"undefined"}]},"optional":true}]}`,
		},
		"recursion stays": {
			`{"kind":"suspend","id":"T","type":{"kind":"struct","fields":[{"name":"at","type":` + date + `},{"name":"next","type":{"kind":"ref","id":"T"}}]}}`,
			`{"kind":"suspend","id":"T","type":{"kind":"struct","fields":[{"name":"at","type":{"kind":"string"}},{"name":"next","type":{"kind":"ref","id":"T"}}]}}`,
		},
		"everywhere": {
			`{"kind":"tuple","elements":[{"type":` + date + `}],"rest":[{"kind":"struct","index":[{"key":{"kind":"string"},"value":` + date + `}]}]}`,
			`{"kind":"tuple","elements":[{"type":{"kind":"string"}}],"rest":[{"kind":"struct","index":[{"key":{"kind":"string"},"value":{"kind":"string"}}]}]}`,
		},
	} {
		in := dump(t, c.in)
		if diff := cmp.Diff(dump(t, c.want), in.Wire()); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if diff := cmp.Diff(dump(t, c.in), in); diff != "" {
			t.Errorf("%s: the original was changed\n%s", name, diff)
		}
	}
}

func TestPeel(t *testing.T) {
	in := dump(t, `{"kind":"refinement","filter":{"id":"ValidDate"},"from":{"kind":"transform","how":"function","id":"DateFromString",
		"from":{"kind":"refinement","from":{"kind":"string"},"filter":{"id":"MinLength"}},
		"to":{"kind":"refinement","from":{"kind":"declaration","id":"DateFromSelf"},"filter":{"id":"Guaranteed"}}}}`)
	h := schema.Peel(in, nil)
	if h.Type.Kind != schema.String || h.Decoded.ID != "DateFromSelf" || len(h.Transforms) != 1 {
		t.Errorf("%+v", h)
	}
	if len(h.Filters) != 2 || h.Filters[0].ID != "MinLength" || h.Filters[0].OnDecoded || h.Filters[1].ID != "ValidDate" || !h.Filters[1].OnDecoded {
		t.Errorf("filters %+v", h.Filters)
	}

	renamed := dump(t, `{"kind":"transform","how":"fields","keys":[{"from":"b","to":"c","default":1}],"to":{"kind":"struct"},
		"from":{"kind":"transform","how":"fields","keys":[{"from":"a","to":"b"}],"to":{"kind":"struct"},"from":{"kind":"struct","fields":[{"name":"a","type":{"kind":"number"}}]}}}`)
	if k := schema.Peel(renamed, nil).Rule("a"); k.To != "c" || string(k.Default) != "1" {
		t.Errorf("rules do not chain: %+v", k)
	}

	// What does not lead to a structural node is not analysable, and ends.
	for _, text := range []string{`{"kind":"ref","id":"nobody"}`, `{"kind":"suspend","id":"T","type":{"kind":"ref","id":"T"}}`, `{"kind":"refinement"}`, `{"kind":"transform","how":"function"}`} {
		in := dump(t, text)
		if h := schema.Peel(in, in.Suspends()); h.Type.Kind != schema.Opaque || h.Type.Why == "" {
			t.Errorf("%s: %+v", text, h.Type)
		}
	}
}
