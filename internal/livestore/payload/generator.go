package payload

import (
	"encoding/json"
	"math/rand/v2"
	"slices"

	"headgate/internal/livestore/schema"
)

// Values are what encoding/json makes of JSON: nil, bool, float64, string, []any and map[string]any.

// absent stands for a key that is left out. It never leaves the package.
type absent struct{}

// Hints are values of interest beyond what a type says: literals of the code that will see the payloads.
type Hints struct {
	Numbers []float64 `json:"numbers,omitempty"`
	Strings []string  `json:"strings,omitempty"`
}

// maxDepth bounds how deep a recursive type is followed.
const maxDepth = 4

// A Generator makes payloads of one type. It is used by one goroutine.
type Generator struct {
	root   *schema.Type
	env    map[string]*schema.Type
	hints  Hints
	opaque []string
	noted  map[string]bool
}

// New returns a generator for an event's arguments. Hints may be empty.
func New(t *schema.Type, h Hints) *Generator {
	g := &Generator{root: t, env: map[string]*schema.Type{}, hints: h.trim(), noted: map[string]bool{}}
	if t != nil {
		g.env = t.Suspends()
	}
	g.base(t, place{path: "$", entity: 1}) // finds what is opaque
	return g
}

// Opaque names the places whose values only the app's code can judge ("$.even: a filter of the app"), in the order
// of the type. A payload that the decoder refuses is to be expected there, and elsewhere a defect.
func (g *Generator) Opaque() []string { return g.opaque }

// Base is the payload about the nth entity, n from 1: every optional part is there, and every free string or
// number is one that stands for n, so that events with the same n are about the same rows and events with
// different ones share nothing that they could differ in. ok is false when the type admits nothing.
func (g *Generator) Base(n int) (v any, ok bool) {
	return whole(g.base(g.root, place{path: "$", entity: n}))
}

// BaseAbout is Base with a given string as the free strings' value, where the type admits it.
func (g *Generator) BaseAbout(key string) (v any, ok bool) {
	return whole(g.base(g.root, place{path: "$", entity: 1, key: key}))
}

// Bare is Base without whatever can be left out.
func (g *Generator) Bare(n int) (v any, ok bool) {
	return whole(g.base(g.root, place{path: "$", entity: n, bare: true}))
}

// Examples are payloads that together show every part of the type: each optional part left out and given, each member
// of a union, each literal, empty, one and many elements. The first is Base(1). There are no duplicates.
func (g *Generator) Examples() []any { return g.variations(plain) }

// Edge are the payloads at the edges of the type: each differs from Base(1), or from it without its optional parts, in
// one place.
func (g *Generator) Edge() []any { return g.variations(edge) }

func (g *Generator) variations(level level) []any {
	b, ok := whole(g.base(g.root, place{path: "$", entity: 1}))
	if !ok {
		return nil
	}
	out := []any{b}
	if m, ok := g.Bare(1); ok {
		out = append(out, m)
	}
	for _, v := range g.alternatives(g.root, b, place{path: "$", entity: 1}, level) {
		if v, ok := whole(v, true); ok {
			out = append(out, v)
		}
	}
	return distinct(out)
}

// Random is any payload, often about one of the first few entities.
func (g *Generator) Random(rng *rand.Rand) (v any, ok bool) {
	return whole(g.random(g.root, place{path: "$", entity: 1 + rng.IntN(3)}, rng, true))
}

// RandomAbout is Base(n) with a random choice of the optional parts and of what is not free to stand for n.
func (g *Generator) RandomAbout(n int, rng *rand.Rand) (v any, ok bool) {
	return whole(g.random(g.root, place{path: "$", entity: n}, rng, false))
}

// whole turns an absent payload into null, which is what a log holds then.
func whole(v any, ok bool) (any, bool) {
	if _, none := v.(absent); none {
		return nil, ok
	}
	return v, ok
}

func distinct(list []any) []any {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(v any) bool {
		key := string(Encode(v))
		dup := seen[key]
		seen[key] = true
		return dup
	})
}

// Encode is v as JSON, keys sorted.
func Encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null") // values of this package always marshal
	}
	return b
}

// level says which alternatives are wanted.
type level int

const (
	plain level = iota
	edge
)

// place is where in the payload a value goes, and what it is about.
type place struct {
	path   string
	entity int
	key    string // the value of free strings, if set
	bare   bool   // leave out what can be left out
	depth  int    // of recursion
}

func (p place) at(path string) place { p.path += path; return p }

func (g *Generator) note(p place, why string) {
	if line := p.path + ": " + why; !g.noted[line] {
		g.noted[line] = true
		g.opaque = append(g.opaque, line)
	}
}

// base returns the value for a place. ok is false when the type admits nothing that is known.
func (g *Generator) base(t *schema.Type, p place) (any, bool) {
	n := g.resolve(t, &p)
	if v, ok, done := g.leafBase(n, p); done {
		return v, ok
	}
	if p.depth > maxDepth {
		return nil, false
	}
	switch n.t.Kind {
	case schema.Union:
		return g.unionBase(n, p)
	case schema.Struct:
		return g.structBase(n, p)
	case schema.Tuple:
		return g.tupleBase(n, p, 1)
	}
	return nil, false
}

func (g *Generator) unionBase(n node, p place) (any, bool) {
	var first any
	found := false
	members := n.t.Members
	if len(members) > 0 && allLiterals(members) {
		// entities differ in what they can, literals included
		return g.base(members[(p.entity-1)%len(members)], p)
	}
	for _, m := range members {
		v, ok := g.base(m, p)
		if !ok {
			continue
		}
		_, none := v.(absent)
		if p.bare && (none || v == nil) {
			return v, true
		}
		if none || v == nil {
			if !found {
				first, found = v, true
			}
			continue
		}
		if !p.bare {
			return v, true
		}
		if _, missing := first.(absent); !found || missing && first != nil {
			first, found = v, true
		}
	}
	return first, found
}

func allLiterals(members []*schema.Type) bool {
	return !slices.ContainsFunc(members, func(m *schema.Type) bool { return m.Kind != schema.Literal })
}

func (g *Generator) structBase(n node, p place) (any, bool) {
	out := map[string]any{}
	for _, f := range n.t.Fields {
		if p.bare && n.optional(f) {
			continue
		}
		v, ok := g.base(f.Type, p.at("."+f.Name))
		if !ok {
			if n.optional(f) {
				continue
			}
			return nil, false
		}
		if _, none := v.(absent); !none {
			out[f.Name] = v
		}
	}
	for _, x := range n.t.Index {
		if p.bare {
			break
		}
		if k, v, ok := g.entry(x, p, p.entity); ok {
			if _, taken := out[k]; !taken {
				out[k] = v
			}
		}
	}
	return out, true
}

// entry is one entry of a record.
func (g *Generator) entry(x schema.Index, p place, i int) (string, any, bool) {
	kp := p.at(".*")
	kp.entity = i
	k, ok := g.base(x.Key, kp)
	key, isString := k.(string)
	if !ok || !isString {
		return "", nil, false
	}
	v, ok := g.base(x.Value, kp)
	if _, none := v.(absent); none {
		ok = false
	}
	return key, v, ok
}

// tupleBase has count elements of the first rest type, as far as the limits on the items allow.
func (g *Generator) tupleBase(n node, p place, count int) (any, bool) {
	out := []any{}
	add := func(t *schema.Type, i int) bool {
		ep := p.at("[*]")
		ep.entity = i
		v, ok := g.base(t, ep)
		if _, none := v.(absent); none {
			v = nil // JSON has no undefined
		}
		if ok {
			out = append(out, v)
		}
		return ok
	}
	for _, e := range n.t.Elements {
		if e.Optional && (p.bare || len(out) >= n.c.maxItems) {
			break
		}
		if !add(e.Type, p.entity) {
			if e.Optional {
				break
			}
			return nil, false
		}
	}
	if len(n.t.Rest) > 0 {
		if p.bare {
			count = 0
		}
		tail := len(n.t.Rest) - 1
		want := max(len(out)+count, n.c.minItems-tail)
		want = min(want, n.c.maxItems-tail)
		for i := p.entity; len(out) < want; i++ {
			if !add(n.t.Rest[0], i) {
				if len(out)+tail >= n.c.minItems {
					break
				}
				return nil, false
			}
		}
		for _, r := range n.t.Rest[1:] {
			if !add(r, p.entity) {
				return nil, false
			}
		}
	}
	if len(out) < n.c.minItems || len(out) > n.c.maxItems {
		return nil, false
	}
	return out, true
}
