package payload

import (
	"maps"
	"math/rand/v2"
	"slices"

	"headgate/internal/livestore/schema"
)

// alternatives are the values to try at a place instead of b, its base.
func (g *Generator) alternatives(t *schema.Type, b any, p place, level level) []any {
	n := g.resolve(t, &p)
	if n.c.impossible || p.depth > maxDepth {
		return nil
	}
	switch n.t.Kind {
	case schema.String, schema.TemplateLiteral:
		if n.t.Kind == schema.TemplateLiteral {
			if re, ok := parsePattern(n.t.Pattern, ""); ok {
				n.c.patterns = append(n.c.patterns, re)
			}
		}
		if list, ok := g.codecEdges(n, p); ok {
			if level == plain {
				list = list[:min(len(list), 2)]
			}
			return list
		}
		var out []any
		for _, s := range g.texts(n.c, level) {
			out = append(out, s)
		}
		return out
	case schema.Number:
		if n.codec == "DateFromNumber" || n.codec == "DateTimeUtcFromNumber" {
			list := dateNumbers()
			if level == plain {
				list = list[:2]
			}
			return list
		}
		if list, ok := g.codecEdges(n, p); ok {
			return list
		}
		return g.numbers(n.c, level)
	case schema.Boolean:
		return []any{true, false}
	case schema.Any, schema.Unknown, schema.Declaration, schema.Opaque:
		return []any{nil, true, 0.0, 2.5, "", []any{}, map[string]any{}, map[string]any{"a": []any{1.0, nil}}}
	case schema.Object:
		return []any{map[string]any{}, []any{}}
	case schema.Enum:
		var out []any
		for _, raw := range n.t.Values {
			if v, ok := literal(raw); ok {
				out = append(out, v)
			}
		}
		return out
	case schema.Union:
		return g.unionAlternatives(n, p, level)
	case schema.Struct:
		return g.structAlternatives(n, b, p, level)
	case schema.Tuple:
		return g.tupleAlternatives(n, b, p, level)
	}
	return nil
}

func (g *Generator) unionAlternatives(n node, p place, level level) []any {
	var out []any
	for _, m := range n.t.Members {
		b, ok := g.base(m, p)
		if !ok {
			continue
		}
		out = append(out, b)
		out = append(out, g.alternatives(m, b, p, level)...)
	}
	return out
}

func (g *Generator) structAlternatives(n node, b any, p place, level level) []any {
	whole, ok := b.(map[string]any)
	if !ok {
		return nil
	}
	var out []any
	with := func(key string, v any) {
		m := maps.Clone(whole)
		if _, none := v.(absent); none {
			delete(m, key)
		} else {
			m[key] = v
		}
		out = append(out, m)
	}
	for _, f := range n.t.Fields {
		if _, there := whole[f.Name]; there && n.optional(f) {
			with(f.Name, absent{})
		}
		fp := p.at("." + f.Name)
		for _, v := range g.alternatives(f.Type, whole[f.Name], fp, level) {
			if _, none := v.(absent); none && !n.optional(f) {
				continue
			}
			with(f.Name, v)
		}
	}
	for _, x := range n.t.Index {
		out = append(out, g.recordAlternatives(n, x, whole, p, level)...)
	}
	return out
}

// recordAlternatives vary the entries of a record: none, two, another value, another key.
func (g *Generator) recordAlternatives(n node, x schema.Index, whole map[string]any, p place, level level) []any {
	isField := func(k string) bool {
		return slices.ContainsFunc(n.t.Fields, func(f schema.Field) bool { return f.Name == k })
	}
	fixed := maps.Clone(whole)
	maps.DeleteFunc(fixed, func(k string, _ any) bool { return !isField(k) })
	out := []any{fixed}
	k1, v1, ok := g.entry(x, p, p.entity)
	if !ok {
		return out
	}
	put := func(k string, v any) {
		if _, none := v.(absent); none || isField(k) {
			return
		}
		m := maps.Clone(fixed)
		m[k] = v
		out = append(out, m)
	}
	if k2, v2, ok := g.entry(x, p, p.entity+1); ok && k2 != k1 && !isField(k2) && !isField(k1) {
		m := maps.Clone(fixed)
		m[k1], m[k2] = v1, v2
		out = append(out, m)
	}
	for _, v := range g.alternatives(x.Value, v1, p.at(".*"), level) {
		put(k1, v)
	}
	for _, k := range g.alternatives(x.Key, k1, p.at(".*"), level) {
		if s, ok := k.(string); ok {
			put(s, v1)
		}
	}
	return out
}

func (g *Generator) tupleAlternatives(n node, b any, p place, level level) []any {
	var out []any
	counts := []int{0, 1, 3}
	if level == edge {
		counts = append(counts, 50)
	}
	if len(n.t.Rest) > 0 {
		for _, count := range counts {
			if v, ok := g.tupleBase(n, p, count); ok {
				out = append(out, v)
			}
		}
	}
	list, ok := b.([]any)
	if !ok {
		return out
	}
	if len(n.t.Rest) == 1 && len(n.t.Elements) == 0 && len(list) > 0 && n.c.maxItems >= 2 {
		twice := []any{list[0], list[0]}
		for len(twice) < n.c.minItems {
			twice = append(twice, list[0])
		}
		out = append(out, twice)
	}
	for i := range list {
		t := n.elementType(i, len(list))
		if t == nil || i > len(n.t.Elements) {
			break
		}
		if i < len(n.t.Elements) && n.t.Elements[i].Optional && i == len(list)-1 {
			out = append(out, slices.Clone(list[:i]))
		}
		for _, v := range g.alternatives(t, list[i], p.at("[*]"), level) {
			if _, none := v.(absent); none {
				continue
			}
			c := slices.Clone(list)
			c[i] = v
			out = append(out, c)
		}
	}
	return out
}

// elementType is the type of position i in a tuple of the given length.
func (n node) elementType(i, length int) *schema.Type {
	if i < len(n.t.Elements) {
		return n.t.Elements[i].Type
	}
	if len(n.t.Rest) == 0 {
		return nil
	}
	if tail := length - (len(n.t.Rest) - 1); i >= tail {
		return n.t.Rest[1+i-tail]
	}
	return n.t.Rest[0]
}

// random returns a value for a place: any, or one about the place's entity.
func (g *Generator) random(t *schema.Type, p place, rng *rand.Rand, wild bool) (any, bool) {
	b, ok := g.base(t, p)
	if !ok {
		return nil, false
	}
	n := g.resolve(t, &p)
	if p.depth > maxDepth {
		return b, true
	}
	switch n.t.Kind {
	case schema.Struct:
		out := map[string]any{}
		for _, f := range n.t.Fields {
			if n.optional(f) && rng.IntN(3) == 0 {
				continue
			}
			v, ok := g.random(f.Type, p.at("."+f.Name), rng, wild)
			if _, none := v.(absent); none && n.optional(f) || !ok && n.optional(f) {
				continue
			}
			if !ok {
				return nil, false
			}
			out[f.Name] = v
		}
		for _, x := range n.t.Index {
			for i := range rng.IntN(3) {
				if k, v, ok := g.entry(x, p, i+1); ok {
					if _, taken := out[k]; !taken {
						out[k] = v
					}
				}
			}
		}
		return out, true
	case schema.Union:
		if !wild && allLiterals(n.t.Members) {
			return b, true
		}
		if m := n.t.Members[rng.IntN(len(n.t.Members))]; m != nil {
			if v, ok := g.random(m, p, rng, wild); ok {
				return v, true
			}
		}
		return b, true
	}
	if !wild || rng.IntN(2) == 0 {
		return b, true
	}
	if list := g.alternatives(t, b, p, edge); len(list) > 0 {
		return list[rng.IntN(len(list))], true
	}
	return b, true
}
