package planner

import (
	"maps"
	"reflect"
	"slices"

	"headgate/internal/livestore/schema"
)

// A typeDiff compares two argument types on their encoded side and collects what differs.
type typeDiff struct {
	event          string
	oldEnv, newEnv map[string]*schema.Type
	// sourceChanged is true when the code that defines the type changed, so that bodies which the shape does not
	// show (transformations, filters) may have.
	sourceChanged bool
	earlier       []earlierArgs
	seen          map[[2]*schema.Type]bool // pairs under comparison: recursive types end here
	out           []Change
}

// A place is where in the arguments the diff stands, and what it inherits from above.
type place struct {
	path                 string
	item                 bool // the item type of an array itself
	ignoreUndefined      bool // a field whose key may be absent anyway
	oldStrict, newStrict bool // an excess-property policy "error" from above
}

func (p place) field(name string) place {
	p.path, p.item, p.ignoreUndefined = childPath(p.path, name), false, false
	return p
}

func (p place) suffix(s string) place {
	p.path, p.item, p.ignoreUndefined = p.path+s, false, false
	return p
}

// diffTypes compares the arguments of one event. It is the entry; everything below reports into out.
func diffTypes(event string, o, n *schema.Type, sourceChanged bool, earlier []earlierArgs) []Change {
	if !sourceChanged && reflect.DeepEqual(o, n) {
		return nil
	}
	d := &typeDiff{
		event: event, oldEnv: o.Suspends(), newEnv: n.Suspends(), sourceChanged: sourceChanged, earlier: earlier,
		seen: map[[2]*schema.Type]bool{},
	}
	d.types(place{path: "$.args"}, o, n)
	return d.out
}

func (d *typeDiff) add(at place, c Change) {
	c.Event, c.Path, c.Item = d.event, at.path, at.item
	d.out = append(d.out, c)
}

// try compares two types without reporting and returns what would have been reported.
func (d *typeDiff) try(o, n *schema.Type) []Change {
	sub := *d
	sub.out, sub.seen, sub.earlier = nil, maps.Clone(d.seen), nil
	sub.types(place{path: "$"}, o, n)
	return sub.out
}

// breaks reports whether the new type refuses some payload of the old one (replay), and the other way (fleet).
func (d *typeDiff) breaks(o, n *schema.Type) (replay, fleet bool) {
	for _, c := range d.try(o, n) {
		_, r, f := judge(c)
		replay = replay || r == Error
		fleet = fleet || f == Error
	}
	return replay, fleet
}

// types compares o and n at one place.
func (d *typeDiff) types(at place, o, n *schema.Type) {
	ho, hn := schema.Peel(o, d.oldEnv), schema.Peel(n, d.newEnv)
	key := [2]*schema.Type{ho.Type, hn.Type}
	if d.seen[key] {
		return
	}
	d.seen[key] = true

	if ho.Type.Kind != hn.Type.Kind && d.encodingDiffers(ho, hn) {
		d.add(at, Change{Kind: EncodingChanged, Old: o, New: n, Note: describe(ho.Type) + " -> " + describe(hn.Type)})
		return
	}
	if ho.Type.Kind == schema.Union || hn.Type.Kind == schema.Union {
		// Conditions above a union hold for every member; a type that isn't a union carries its own.
		var outerOld, outerNew schema.Head
		if ho.Type.Kind == schema.Union {
			outerOld = ho
		}
		if hn.Type.Kind == schema.Union {
			outerNew = hn
		}
		d.filters(at, outerOld, outerNew)
		d.transforms(at, outerOld, outerNew)
	}
	altO, altN := flatten(ho, d.oldEnv), flatten(hn, d.newEnv)

	switch {
	case hasKind(altO, schema.Opaque) || hasKind(altN, schema.Opaque):
		// What can't be seen can't be compared. The new side has a finding of its own.
		if !hasKind(altN, schema.Opaque) {
			d.add(at, Change{Kind: TypeUnanalysable, Old: o, New: n, Note: "the old type could not be analysed"})
		}
		return
	case isAny(altO) && isAny(altN):
		return
	case isAny(altO):
		d.add(at, Change{Kind: TypeFromAny, Old: o, New: n, Note: "now " + describe(n)})
		return
	case isAny(altN):
		d.add(at, Change{Kind: TypeToAny, Old: o, New: n, Note: "was " + describe(o)})
		return
	}

	restO, nullsO := splitNull(altO)
	restN, nullsN := splitNull(altN)
	if len(restO) > 0 && len(restN) > 0 {
		for _, word := range []string{"null", "undefined"} {
			if word == "undefined" && at.ignoreUndefined {
				continue
			}
			switch {
			case nullsN[word] && !nullsO[word]:
				d.add(at, Change{Kind: NullAdded, Old: o, New: n, Note: word})
			case nullsO[word] && !nullsN[word]:
				d.add(at, Change{Kind: NullRemoved, Old: o, New: n, Note: word})
			}
		}
	}
	switch {
	case len(restO) == 0 && len(restN) == 0:
		if nullsO["null"] != nullsN["null"] {
			d.replaced(at, o, n)
		}
	case len(restO) == 0 || len(restN) == 0:
		d.replaced(at, o, n)
	case len(restO) == 1 && len(restN) == 1:
		d.single(at, restO[0], restN[0])
	default:
		d.unions(at, restO, restN)
	}
}

func (d *typeDiff) replaced(at place, o, n *schema.Type) {
	d.add(at, Change{Kind: TypeReplaced, Old: o, New: n, Note: describe(o) + " -> " + describe(n)})
}

// single compares two heads that stand alone.
func (d *typeDiff) single(at place, a, b schema.Head) {
	note := describe(a.Type) + " -> " + describe(b.Type)
	switch {
	case pairable(a, b):
		d.pair(at, a, b)
	case a.Type.Kind == schema.Literal && b.Type.Kind == schema.Literal:
		d.add(at, Change{Kind: MemberRenamed, Old: a.Type, New: b.Type, Note: "literal " + note})
	case d.encodingDiffers(a, b):
		d.add(at, Change{Kind: EncodingChanged, Old: a.Type, New: b.Type, Note: note})
	case covers(b, a):
		d.add(at, Change{Kind: TypeWidened, Old: a.Type, New: b.Type, Note: note})
	case covers(a, b):
		d.add(at, Change{Kind: TypeNarrowed, Old: a.Type, New: b.Type, Note: note})
	default:
		d.replaced(at, a.Type, b.Type)
	}
}

// pair compares two heads of the same kind.
func (d *typeDiff) pair(at place, a, b schema.Head) {
	d.filters(at, a, b)
	d.transforms(at, a, b)
	switch a.Type.Kind {
	case schema.Struct:
		d.structs(at, a, b)
	case schema.Tuple:
		d.tuples(at, a, b)
	case schema.Declaration:
		if len(a.Type.Params) != len(b.Type.Params) {
			d.replaced(at, a.Type, b.Type)
			return
		}
		for i := range a.Type.Params {
			d.types(at.suffix("<"+string(rune('A'+i%26))+">"), a.Type.Params[i], b.Type.Params[i])
		}
		if d.sourceChanged && !effectTypes[a.Type.ID] {
			d.add(at, Change{Kind: FilterOpaque, Old: a.Type, New: b.Type, Note: "the code that checks " + describe(a.Type) + " may have changed"})
		}
	}
}

// encodingDiffers reports whether a and b decode to the same thing from different wire types.
func (d *typeDiff) encodingDiffers(a, b schema.Head) bool {
	if len(a.Transforms) == 0 && len(b.Transforms) == 0 {
		return false
	}
	return sameDecoded(a, b)
}

func sameDecoded(a, b schema.Head) bool {
	x, y := a.Decoded, b.Decoded
	if x.Kind != y.Kind || x.ID != y.ID {
		return false
	}
	switch x.Kind {
	case schema.Struct, schema.Tuple, schema.Union, schema.Literal, schema.TemplateLiteral, schema.Enum:
		return reflect.DeepEqual(x, y)
	}
	return true
}

// pairable reports whether a and b are the same sort of thing, so that what differs lies inside them.
func pairable(a, b schema.Head) bool {
	if a.Type.Kind != b.Type.Kind {
		return false
	}
	switch a.Type.Kind {
	case schema.Literal:
		return sameJSON(a.Type.Value, b.Type.Value)
	case schema.TemplateLiteral:
		return a.Type.Pattern == b.Type.Pattern
	case schema.Declaration:
		return a.Type.ID == b.Type.ID
	}
	return true
}

// flatten returns the alternatives of a head: the members of unions of unions, the values of enums.
func flatten(h schema.Head, env map[string]*schema.Type) []schema.Head {
	var out []schema.Head
	var visit func(h schema.Head, depth int)
	visit = func(h schema.Head, depth int) {
		switch {
		case h.Type.Kind == schema.Union && depth < 32: // a union that is its own member ends here
			for _, m := range h.Type.Members {
				visit(schema.Peel(m, env), depth+1)
			}
		case h.Type.Kind == schema.Enum:
			for _, v := range h.Type.Values {
				lit := &schema.Type{Kind: schema.Literal, Value: v}
				out = append(out, schema.Head{Type: lit, Decoded: lit, Filters: h.Filters, Transforms: h.Transforms})
			}
		case h.Type.Kind == schema.Never || h.Type.Kind == schema.Union:
		default:
			out = append(out, h)
		}
	}
	visit(h, 0)
	return out
}

func hasKind(alts []schema.Head, kinds ...schema.Kind) bool {
	return slices.ContainsFunc(alts, func(h schema.Head) bool { return slices.Contains(kinds, h.Type.Kind) })
}

func isAny(alts []schema.Head) bool {
	return slices.ContainsFunc(alts, func(h schema.Head) bool {
		return (h.Type.Kind == schema.Any || h.Type.Kind == schema.Unknown) && len(h.Transforms) == 0
	})
}

// splitNull tells null and undefined apart from the other alternatives.
func splitNull(alts []schema.Head) (rest []schema.Head, nulls map[string]bool) {
	nulls = map[string]bool{}
	for _, h := range alts {
		switch {
		case h.Type.Kind == schema.Literal && string(h.Type.Value) == "null":
			nulls["null"] = true
		case h.Type.Kind == schema.Undefined:
			nulls["undefined"] = true
		case h.Type.Kind == schema.Void: // a void argument is stored as null and reads both
			nulls["null"], nulls["undefined"] = true, true
		default:
			rest = append(rest, h)
		}
	}
	return rest, nulls
}
