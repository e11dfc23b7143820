package schema

import (
	"slices"
)

// Suspends returns the recursive types that t defines, by ID: what a Ref with that ID stands for.
func (t *Type) Suspends() map[string]*Type {
	env := map[string]*Type{}
	t.walk(func(n *Type) {
		if n.Kind == Suspend && n.Type != nil && env[n.ID] == nil { // encoded sides come first
			env[n.ID] = n
		}
	})
	return env
}

// walk calls visit for t and every node below it. A Ref is a leaf, so the walk ends.
func (t *Type) walk(visit func(*Type)) {
	if t == nil {
		return
	}
	visit(t)
	for _, e := range t.Elements {
		e.Type.walk(visit)
	}
	for _, f := range t.Fields {
		f.Type.walk(visit)
	}
	for _, x := range t.Index {
		x.Key.walk(visit)
		x.Value.walk(visit)
	}
	for _, list := range [][]*Type{t.Rest, t.Members, t.Params} {
		for _, m := range list {
			m.walk(visit)
		}
	}
	t.From.walk(visit)
	t.To.walk(visit)
	t.Type.walk(visit)
}

// Wire returns t's encoded side: the type of what lies in an event log. Transformations are replaced by their
// encoded side. A refinement keeps its filter only where no transformation lies below it, because a filter on the
// decoded value says nothing about the wire (Head remembers it). A struct field is optional on the wire when its key
// may be absent: the field is optional, has a decoding default, or admits undefined, which JSON can't hold. Field
// names are wire names. Recursive types stay Suspend and Ref nodes.
func (t *Type) Wire() *Type {
	if t == nil {
		return nil
	}
	switch t.Kind {
	case Transform:
		w := t.From.Wire()
		if t.How == "fields" && w != nil && w.Kind == Struct {
			for i, f := range w.Fields {
				w.Fields[i].Optional = f.Optional || slices.ContainsFunc(t.Keys, func(k Key) bool {
					return k.From == f.Name && k.Default != nil
				})
			}
		}
		return w
	case Refinement:
		if t.From.transforms() {
			return t.From.Wire()
		}
	}
	w := *t
	w.From, w.Type = t.From.Wire(), t.Type.Wire()
	w.Elements = slices.Clone(t.Elements)
	for i := range w.Elements {
		w.Elements[i].Type = w.Elements[i].Type.Wire()
	}
	w.Fields = slices.Clone(t.Fields)
	for i, f := range w.Fields {
		w.Fields[i].Optional = f.Optional || f.Type.AdmitsUndefined()
		w.Fields[i].Type = f.Type.Wire()
	}
	w.Index = slices.Clone(t.Index)
	for i := range w.Index {
		w.Index[i].Key, w.Index[i].Value = w.Index[i].Key.Wire(), w.Index[i].Value.Wire()
	}
	w.Rest, w.Members, w.Params = wires(t.Rest), wires(t.Members), wires(t.Params)
	return &w
}

func wires(list []*Type) []*Type {
	out := slices.Clone(list)
	for i := range out {
		out[i] = out[i].Wire()
	}
	return out
}

// transforms reports whether a transformation lies between t and its first structural node.
func (t *Type) transforms() bool {
	for t != nil {
		switch t.Kind {
		case Transform:
			return true
		case Refinement:
			t = t.From
		case Suspend:
			t = t.Type
		default:
			return false
		}
	}
	return false
}

// AdmitsUndefined reports whether the encoded side of t accepts undefined, so that a struct key of this type may be
// absent from JSON: Effect does not tell an absent key from one that holds undefined.
func (t *Type) AdmitsUndefined() bool {
	if t == nil {
		return false
	}
	switch t.Kind {
	case Undefined, Void, Any, Unknown:
		return true
	case Union:
		return slices.ContainsFunc(t.Members, (*Type).AdmitsUndefined)
	case Refinement, Transform:
		return t.From.AdmitsUndefined()
	case Suspend:
		return t.Type.AdmitsUndefined()
	}
	return false
}

// A Head is one structural node of the encoded side, with everything that decoding does above it.
type Head struct {
	// Type is the node itself, never a Refinement, Transform, Suspend or Ref. Its children are not projected.
	Type *Type
	// Decoded is the structural node of the decoded side.
	Decoded *Type
	// Filters are the conditions on a value of this node, innermost first. What a transformation itself guarantees of
	// its result (the range of a clamp) is not among them: it refuses nothing.
	Filters []HeadFilter
	// Transforms are the transformations passed that are not "fields", innermost first.
	Transforms []*Type
	// Keys are the field rules of the "fields" transformations passed, from wire key to final decoded name.
	Keys []Key
	// Excess is the innermost excess-property policy set on the way, empty when none is.
	Excess string
}

// A HeadFilter is a filter that decoding applies.
type HeadFilter struct {
	*Filter
	// OnDecoded is true when the filter sees the value after a transformation, so that it says nothing plain about
	// the wire.
	OnDecoded bool
}

// Rule returns the field rule for a wire key; without one the key keeps its name and has no default.
func (h Head) Rule(wireKey string) Key {
	for _, k := range h.Keys {
		if k.From == wireKey {
			return k
		}
	}
	return Key{From: wireKey, To: wireKey}
}

// Peel returns the head of t. env resolves Refs (see Suspends). What can't be resolved is an Opaque node.
func Peel(t *Type, env map[string]*Type) Head {
	var layers []*Type // outermost first
	seen := map[*Type]bool{}
	for t != nil && !seen[t] {
		seen[t] = true
		var next *Type
		switch t.Kind {
		case Refinement, Transform:
			layers = append(layers, t)
			next = t.From
		case Suspend:
			next = t.Type
		case Ref:
			next = env[t.ID]
			if next == nil {
				next = &Type{Kind: Opaque, Why: "a mention of the recursive type " + t.ID + ", which is not defined"}
			}
		default:
			return headOf(t, layers, env)
		}
		t = next
	}
	return headOf(&Type{Kind: Opaque, Why: "a type without a body"}, layers, env)
}

func headOf(node *Type, layers []*Type, env map[string]*Type) Head {
	h := Head{Type: node, Decoded: node, Excess: node.Excess}
	transformed := false
	for _, l := range slices.Backward(layers) {
		if h.Excess == "" {
			h.Excess = l.Excess
		}
		switch {
		case l.Kind == Refinement:
			h.Filters = append(h.Filters, HeadFilter{Filter: l.Filter, OnDecoded: transformed})
		case l.How == "fields":
			transformed = true
			h.Decoded = Peel(l.To, env).Decoded
			h.Keys = chainKeys(h.Keys, l.Keys)
		default:
			transformed = true
			h.Transforms = append(h.Transforms, l)
			h.Decoded = Peel(l.To, env).Decoded
		}
	}
	return h
}

// chainKeys applies outer field rules on top of inner ones, which they name by decoded name.
func chainKeys(inner, outer []Key) []Key {
	out := slices.Clone(inner)
	for _, k := range outer {
		i := slices.IndexFunc(out, func(in Key) bool { return in.To == k.From })
		if i < 0 {
			out = append(out, k)
			continue
		}
		out[i].To = k.To
		if out[i].Default == nil {
			out[i].Default = k.Default
		}
	}
	return out
}
