package planner_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// genType draws an argument type as the bundle would dump it, without the app's own code in it.
func genType(depth int) *rapid.Generator[*schema.Type] {
	leaf := rapid.Custom(func(t *rapid.T) *schema.Type {
		kind := rapid.SampledFrom([]schema.Kind{schema.String, schema.Number, schema.Boolean, schema.Literal, schema.Enum}).Draw(t, "leaf")
		switch kind {
		case schema.Literal:
			return &schema.Type{Kind: kind, Value: json.RawMessage(rapid.SampledFrom([]string{`"a"`, `"b"`, `1`, `2`, `true`, `null`}).Draw(t, "literal"))}
		case schema.Enum:
			n := rapid.IntRange(1, 4).Draw(t, "values")
			e := &schema.Type{Kind: kind}
			for i := range n {
				e.Values = append(e.Values, json.RawMessage(fmt.Sprintf(`"v%d"`, i)))
			}
			return e
		}
		return &schema.Type{Kind: kind}
	})
	if depth == 0 {
		return leaf
	}
	return rapid.Custom(func(t *rapid.T) *schema.Type {
		child := genType(depth - 1)
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			return genStruct(depth-1).Draw(t, "struct")
		case 1:
			return &schema.Type{Kind: schema.Union, Members: rapid.SliceOfN(child, 2, 4).Draw(t, "members")}
		case 2:
			return &schema.Type{Kind: schema.Tuple, Rest: []*schema.Type{child.Draw(t, "item")}}
		case 3:
			tuple := &schema.Type{Kind: schema.Tuple}
			for range rapid.IntRange(1, 3).Draw(t, "elements") {
				tuple.Elements = append(tuple.Elements, schema.Element{Type: child.Draw(t, "element")})
			}
			return tuple
		case 4:
			return &schema.Type{Kind: schema.Struct, Index: []schema.Index{{Key: &schema.Type{Kind: schema.String}, Value: child.Draw(t, "value")}}}
		case 5:
			n := rapid.IntRange(0, 9).Draw(t, "limit")
			return &schema.Type{Kind: schema.Refinement, From: &schema.Type{Kind: schema.String}, Filter: &schema.Filter{ID: "MinLength", Params: json.RawMessage(fmt.Sprintf(`{"minLength":%d}`, n))}}
		case 6:
			id := rapid.SampledFrom([]string{"DateFromString", "Date2"}).Draw(t, "transform")
			return &schema.Type{Kind: schema.Transform, How: "function", ID: id, From: &schema.Type{Kind: schema.String}, To: &schema.Type{Kind: schema.Declaration, ID: "DateFromSelf"}}
		}
		return leaf.Draw(t, "leaf")
	})
}

func genStruct(depth int) *rapid.Generator[*schema.Type] {
	return rapid.Custom(func(t *rapid.T) *schema.Type {
		names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "_tag"}), 0, 4, rapid.ID[string]).Draw(t, "names")
		slices.Sort(names)
		s := &schema.Type{Kind: schema.Struct}
		for _, n := range names {
			s.Fields = append(s.Fields, schema.Field{Name: n, Type: genType(depth).Draw(t, n), Optional: rapid.Bool().Draw(t, n+"?")})
		}
		return s
	})
}

func releaseWith(version string, args *schema.Type) *schema.Release {
	return &schema.Release{
		FormatVersion: 1, App: "todo", Schema: "main", Version: version, StateHash: "1",
		LiveStore:            schema.LiveStore{Version: "0.4.0", Effect: "3.21.2", StorageFormat: 6, Verified: true},
		UnknownEventHandling: "callback", UnknownEventHandlingExplicit: true,
		Migrations: schema.Migrations{Strategy: "auto", AtomicRebuild: true, CacheSpillOff: true},
		Events:     []schema.Event{{Name: "v1.A", Family: "A", FamilyVersion: 1, Args: args}},
	}
}

// clone copies a type through its JSON, so that no pointer is shared.
func clone(t *rapid.T, in *schema.Type) *schema.Type {
	data, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := &schema.Type{}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func findings(from, to *schema.Release) []planner.Finding {
	return planner.Check(planner.Input{From: []*schema.Release{from}, To: to, Profile: planner.ProfileFleet, Now: today}).Findings
}

func TestDiffOfTheSameIsEmpty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := genStruct(3).Draw(t, "args")
		a, b := releaseWith("1.0.0", args), releaseWith("1.1.0", clone(t, args))
		if c := planner.Diff(a, b, nil); len(c) > 0 {
			t.Fatalf("changes between equal types: %v", c)
		}
		// Another source makes the differ look inside instead of comparing the dumps, and there is no code of the app in it.
		b.Events[0].Source.Digest = "sha256-other"
		for _, c := range planner.Diff(a, b, nil) {
			if c.Kind != planner.TransformChanged && c.Kind != planner.AnnotationChanged {
				t.Fatalf("change between equal types under another source: %v", c)
			}
		}
	})
}

func TestAnAddedOptionalFieldIsNeverAnError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		args := genStruct(2).Draw(t, "args")
		wider := clone(t, args)
		wider.Fields = append(wider.Fields, schema.Field{Name: "zz", Type: genType(2).Draw(t, "added"), Optional: true})
		for _, f := range findings(releaseWith("1.0.0", args), releaseWith("1.1.0", wider)) {
			if f.Severity == planner.Error {
				t.Fatalf("%s %s: %s", f.Code, f.Place(), f.Message)
			}
		}
	})
}

// TestExchangeMirrors: what an old release can't read of the new one, it can't read either when the two exchange
// their roles; the codes differ, the broken direction is the other one.
func TestExchangeMirrors(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := genStruct(2).Draw(t, "x"), genStruct(2).Draw(t, "y")
		broken := func(from, to *schema.Type) (replay, fleet bool) {
			for _, f := range findings(releaseWith("1.0.0", from), releaseWith("1.1.0", to)) {
				if f.Severity != planner.Error {
					continue
				}
				replay = replay || f.Direction != planner.Fleet
				fleet = fleet || f.Direction != planner.Replay
			}
			return replay, fleet
		}
		r1, f1 := broken(x, y)
		r2, f2 := broken(y, x)
		if r1 != f2 || f1 != r2 {
			t.Fatalf("x -> y breaks replay %t, fleet %t; y -> x breaks replay %t, fleet %t", r1, f1, r2, f2)
		}
	})
}

// TestDecodableStaysDecodable: a payload that the old type accepts and the diff calls safe to replay is accepted by
// the new type. The tiny decoder below follows Effect's rules and knows nothing of the differ.
func TestDecodableStaysDecodable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := genStruct(2).Draw(t, "x")
		y := mutate(t, clone(t, x))
		value := genValue(t, x)
		if !accepts(x, value) {
			t.Skip("the value does not fit its own type (a literal union member)")
		}
		if accepts(y, value) {
			return
		}
		for _, f := range findings(releaseWith("1.0.0", x), releaseWith("1.1.0", y)) {
			if f.Severity == planner.Error && f.Direction != planner.Fleet {
				return
			}
		}
		t.Fatalf("an old payload does not decode, and no finding says so: %v", value)
	})
}

// mutate changes one thing about a struct.
func mutate(t *rapid.T, s *schema.Type) *schema.Type {
	if len(s.Fields) == 0 {
		s.Fields = []schema.Field{{Name: "a", Type: genType(1).Draw(t, "new")}}
		return s
	}
	i := rapid.IntRange(0, len(s.Fields)-1).Draw(t, "which")
	f := &s.Fields[i]
	switch rapid.IntRange(0, 4).Draw(t, "mutation") {
	case 0:
		f.Optional = !f.Optional
	case 1:
		f.Name = "other"
	case 2:
		f.Type = genType(1).Draw(t, "type")
	case 3:
		s.Fields = slices.Delete(s.Fields, i, i+1)
	case 4:
		f.Type = &schema.Type{Kind: schema.Union, Members: []*schema.Type{f.Type, genType(1).Draw(t, "member")}}
	}
	return s
}

func genValue(t *rapid.T, s *schema.Type) any {
	switch s.Kind {
	case schema.String:
		return rapid.SampledFrom([]string{"", "a", "b", "hello world"}).Draw(t, "string")
	case schema.Number:
		return float64(rapid.SampledFrom([]int{0, 1, 2, 77}).Draw(t, "number"))
	case schema.Boolean:
		return rapid.Bool().Draw(t, "boolean")
	case schema.Literal:
		return parse(s.Value)
	case schema.Enum:
		return parse(rapid.SampledFrom(s.Values).Draw(t, "enum"))
	case schema.Union:
		return genValue(t, rapid.SampledFrom(s.Members).Draw(t, "member"))
	case schema.Refinement:
		return strings.Repeat("x", rapid.IntRange(0, 12).Draw(t, "length"))
	case schema.Transform:
		return "2026-01-01"
	case schema.Tuple:
		out := []any{}
		for _, e := range s.Elements {
			out = append(out, genValue(t, e.Type))
		}
		for _, r := range s.Rest {
			for range rapid.IntRange(0, 2).Draw(t, "items") {
				out = append(out, genValue(t, r))
			}
		}
		return out
	case schema.Struct:
		out := map[string]any{}
		for _, f := range s.Fields {
			if !f.Optional || rapid.Bool().Draw(t, "present") {
				out[f.Name] = genValue(t, f.Type)
			}
		}
		for _, x := range s.Index {
			for _, k := range []string{"k1", "a"}[:rapid.IntRange(0, 2).Draw(t, "keys")] {
				out[k] = genValue(t, x.Value)
			}
		}
		return out
	}
	return nil
}

// accepts decodes as Effect 3 does.
func accepts(s *schema.Type, v any) bool {
	switch s.Kind {
	case schema.String:
		_, ok := v.(string)
		return ok
	case schema.Number:
		_, ok := v.(float64)
		return ok
	case schema.Boolean:
		_, ok := v.(bool)
		return ok
	case schema.Literal:
		return parse(s.Value) == scalar(v)
	case schema.Enum:
		return slices.ContainsFunc(s.Values, func(x json.RawMessage) bool { return parse(x) == scalar(v) })
	case schema.Union:
		return slices.ContainsFunc(s.Members, func(m *schema.Type) bool { return accepts(m, v) })
	case schema.Refinement:
		var p struct{ MinLength int }
		str, ok := v.(string)
		return ok && json.Unmarshal(s.Filter.Params, &p) == nil && len(str) >= p.MinLength
	case schema.Transform:
		return accepts(s.From, v)
	case schema.Tuple:
		list, ok := v.([]any)
		if !ok || len(list) < len(s.Elements) || len(s.Rest) == 0 && len(list) > len(s.Elements) {
			return false
		}
		for i, x := range list {
			if i < len(s.Elements) && !accepts(s.Elements[i].Type, x) || i >= len(s.Elements) && !accepts(s.Rest[0], x) {
				return false
			}
		}
		return true
	case schema.Struct:
		if len(s.Fields)+len(s.Index) == 0 {
			return v != nil
		}
		m, ok := v.(map[string]any)
		if !ok {
			return false
		}
		for _, f := range s.Fields {
			x, present := m[f.Name]
			if !present && f.Optional {
				continue
			}
			if !present || !accepts(f.Type, x) {
				return false
			}
		}
		for _, x := range s.Index {
			for _, value := range m {
				if !accepts(x.Value, value) {
					return false
				}
			}
		}
		return true
	}
	return false
}

func parse(raw json.RawMessage) any {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}

// scalar makes v comparable.
func scalar(v any) any {
	switch v.(type) {
	case []any, map[string]any:
		return "not a scalar \x00"
	}
	return v
}

// BenchmarkDiff compares two releases of 300 events with a dozen fields each.
func BenchmarkDiff(b *testing.B) {
	big := func(version string, limit int) *schema.Release {
		r := releaseWith(version, nil)
		r.Events = nil
		for i := range 300 {
			args := &schema.Type{Kind: schema.Struct}
			for f := range 12 {
				ft := &schema.Type{Kind: schema.Refinement, From: &schema.Type{Kind: schema.String}, Filter: &schema.Filter{ID: "MaxLength", Params: json.RawMessage(fmt.Sprintf(`{"maxLength":%d}`, limit+f))}}
				if f%3 == 0 {
					ft = &schema.Type{Kind: schema.Union, Members: []*schema.Type{{Kind: schema.Literal, Value: json.RawMessage(`"a"`)}, {Kind: schema.Literal, Value: json.RawMessage(`null`)}, {Kind: schema.Tuple, Rest: []*schema.Type{ft}}}}
				}
				args.Fields = append(args.Fields, schema.Field{Name: fmt.Sprintf("field%02d", f), Type: ft, Optional: f%2 == 0})
			}
			r.Events = append(r.Events, schema.Event{Name: fmt.Sprintf("v1.Event%03d", i), Family: fmt.Sprintf("Event%03d", i), FamilyVersion: 1, Args: args})
		}
		return r
	}
	x, y := big("1.0.0", 100), big("1.1.0", 101)
	for b.Loop() {
		if len(planner.Diff(x, y, nil)) != 300*12 {
			b.Fatal("unexpected number of changes")
		}
	}
}
