package planner

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"

	"headgate/internal/livestore/schema"
)

// A match is a member of the old union and the member of the new one that stands for it, by position.
type match struct{ old, new int }

// unions compares two sets of alternatives; a type that isn't a union has one.
func (d *typeDiff) unions(at place, ro, rn []schema.Head) {
	ro, rn = splitBooleans(ro, rn)
	matches, renamed := d.matchMembers(ro, rn)
	if renamed != "" {
		d.add(at, Change{Kind: MemberRenamed, Note: renamed})
		return
	}
	for _, m := range matches {
		d.pair(at, ro[m.old], rn[m.new])
	}
	d.reordered(at, ro, rn, matches)
	d.leftOver(at, ro, rn, matches)
}

// leftOver reports the members without a counterpart.
func (d *typeDiff) leftOver(at place, ro, rn []schema.Head, matches []match) {
	var gone, come []schema.Head
	for i, a := range ro {
		if !slices.ContainsFunc(matches, func(m match) bool { return m.old == i }) {
			gone = append(gone, a)
		}
	}
	for i, b := range rn {
		if !slices.ContainsFunc(matches, func(m match) bool { return m.new == i }) {
			come = append(come, b)
		}
	}
	// A literal that a broader member reads is not lost, and one that a broader member read before is not new.
	coveredBy := func(broad []schema.Head, a schema.Head) bool {
		return slices.ContainsFunc(broad, func(b schema.Head) bool { return covers(b, a) })
	}
	stillGone := slices.DeleteFunc(slices.Clone(gone), func(a schema.Head) bool { return coveredBy(rn, a) })
	reallyNew := slices.DeleteFunc(slices.Clone(come), func(b schema.Head) bool { return coveredBy(ro, b) })
	for _, b := range come {
		if slices.ContainsFunc(gone, func(a schema.Head) bool { return covers(b, a) }) {
			d.add(at, Change{Kind: TypeWidened, New: b.Type, Note: heads(gone) + " -> " + describe(b.Type)})
			reallyNew = without(reallyNew, b)
		}
	}
	for _, a := range gone {
		if slices.ContainsFunc(come, func(b schema.Head) bool { return covers(a, b) }) {
			d.add(at, Change{Kind: TypeNarrowed, Old: a.Type, Note: describe(a.Type) + " -> " + heads(come)})
			stillGone = without(stillGone, a)
		}
	}
	switch {
	case len(stillGone) == 1 && len(reallyNew) == 1 && d.encodingDiffers(stillGone[0], reallyNew[0]):
		d.add(at, Change{Kind: EncodingChanged, Old: stillGone[0].Type, New: reallyNew[0].Type, Note: heads(stillGone) + " -> " + heads(reallyNew)})
	case len(stillGone) == 1 && len(reallyNew) == 1 && d.renamedMember(stillGone[0], reallyNew[0]):
		d.add(at, Change{Kind: MemberRenamed, Old: stillGone[0].Type, New: reallyNew[0].Type, Note: d.member(stillGone[0], d.oldEnv) + " -> " + d.member(reallyNew[0], d.newEnv)})
	case len(matches) == 0 && len(stillGone) == len(ro) && len(reallyNew) == len(rn) && !allLiterals(ro, rn):
		d.add(at, Change{Kind: TypeReplaced, Note: heads(ro) + " -> " + heads(rn)})
	default:
		for _, a := range stillGone {
			d.add(at, Change{Kind: MemberRemoved, Old: a.Type, Note: d.member(a, d.oldEnv)})
		}
		for _, b := range reallyNew {
			d.add(at, Change{Kind: MemberAdded, New: b.Type, Note: d.member(b, d.newEnv)})
		}
	}
}

func (d *typeDiff) member(h schema.Head, env map[string]*schema.Type) string {
	if key, value := discriminant(h, env); key != "" {
		return "struct with " + key + " " + value
	}
	return describe(h.Type)
}

// renamedMember reports whether b looks like a under another tag.
func (d *typeDiff) renamedMember(a, b schema.Head) bool {
	if a.Type.Kind == schema.Literal && b.Type.Kind == schema.Literal {
		return true
	}
	if a.Type.Kind != schema.Struct || b.Type.Kind != schema.Struct {
		return false
	}
	ka, va := discriminant(a, d.oldEnv)
	kb, vb := discriminant(b, d.newEnv)
	if ka == "" || kb == "" || ka == kb && va == vb {
		return false
	}
	strip := func(t *schema.Type, key string) *schema.Type {
		s := *t
		s.Fields = slices.DeleteFunc(slices.Clone(t.Fields), func(f schema.Field) bool { return f.Name == key })
		return &s
	}
	return reflect.DeepEqual(strip(a.Type, ka).Fields, strip(b.Type, kb).Fields)
}

// matchMembers pairs the members of two unions. renamed is set when all members are told apart by another key now.
func (d *typeDiff) matchMembers(ro, rn []schema.Head) (matches []match, renamed string) {
	taken := map[int]bool{}
	done := map[int]bool{}
	take := func(i, j int) {
		matches = append(matches, match{i, j})
		done[i], taken[j] = true, true
	}
	each := func(fits func(i, j int) bool) {
		for i := range ro {
			for j := range rn {
				if !done[i] && !taken[j] && pairable(ro[i], rn[j]) && fits(i, j) {
					take(i, j)
				}
			}
		}
	}
	composite := func(i int) bool { return ro[i].Type.Kind == schema.Struct || ro[i].Type.Kind == schema.Tuple }

	each(func(i, j int) bool { return reflect.DeepEqual(ro[i], rn[j]) })
	each(func(i, j int) bool { return !composite(i) && len(ro[i].Transforms) == len(rn[j].Transforms) })
	each(func(i, _ int) bool { return !composite(i) })
	each(func(i, j int) bool { // the same tag
		ko, vo := discriminant(ro[i], d.oldEnv)
		kn, vn := discriminant(rn[j], d.newEnv)
		return ko != "" && ko == kn && vo == vn
	})
	if note := d.tagMoved(ro, rn, done, taken); note != "" {
		return nil, note
	}
	tagged := func(i, j int) bool {
		ko, _ := discriminant(ro[i], d.oldEnv)
		kn, _ := discriminant(rn[j], d.newEnv)
		return ko != "" && kn != ""
	}
	each(func(i, j int) bool { return composite(i) && !tagged(i, j) && shared(ro[i].Type, rn[j].Type) > 0 })
	each(func(i, j int) bool { // the last one on each side
		return composite(i) && !tagged(i, j) && len(done) == len(ro)-1 && len(taken) == len(rn)-1
	})
	slices.SortFunc(matches, func(a, b match) int { return a.old - b.old })
	return matches, ""
}

// tagMoved says so when the open members carry the same tags under another key.
func (d *typeDiff) tagMoved(ro, rn []schema.Head, done, taken map[int]bool) string {
	tags := func(list []schema.Head, skip map[int]bool, env map[string]*schema.Type) (key string, values map[string]bool) {
		values = map[string]bool{}
		for i, h := range list {
			if skip[i] {
				continue
			}
			k, v := discriminant(h, env)
			if k == "" || key != "" && k != key {
				return "", nil
			}
			key, values[v] = k, true
		}
		return key, values
	}
	ko, vo := tags(ro, done, d.oldEnv)
	kn, vn := tags(rn, taken, d.newEnv)
	if ko == "" || kn == "" || ko == kn {
		return ""
	}
	for v := range vo {
		if vn[v] {
			return "the tag " + ko + " is now " + kn
		}
	}
	return ""
}

// shared counts the field names that two structs have in common; two tuples always have something.
func shared(a, b *schema.Type) int {
	if a.Kind == schema.Tuple {
		if isArray(a) == isArray(b) {
			return 1
		}
		return 0
	}
	n := 0
	for _, f := range a.Fields {
		if slices.ContainsFunc(b.Fields, func(g schema.Field) bool { return g.Name == f.Name }) {
			n++
		}
	}
	return n
}

// discriminant returns the first required field of a struct that holds one literal, and that literal as JSON.
func discriminant(h schema.Head, env map[string]*schema.Type) (key, value string) {
	if h.Type.Kind != schema.Struct {
		return "", ""
	}
	for _, preferred := range []bool{true, false} {
		for _, f := range h.Type.Fields {
			if preferred != slices.Contains([]string{"_tag", "type", "kind", "tag"}, f.Name) || f.Optional {
				continue
			}
			if t := schema.Peel(f.Type, env).Type; t.Kind == schema.Literal {
				return f.Name, string(t.Value)
			}
		}
	}
	return "", ""
}

// reordered reports members that may accept the same payload and changed their order: the first that matches wins.
func (d *typeDiff) reordered(at place, ro, rn []schema.Head, matches []match) {
	for i, m := range matches {
		for _, k := range matches[i+1:] {
			if m.new > k.new && d.overlap(ro[m.old], ro[k.old]) {
				d.add(at, Change{Kind: MembersReordered, Note: d.member(ro[k.old], d.oldEnv) + " is now tried before " + d.member(ro[m.old], d.oldEnv)})
				return
			}
		}
	}
	for j, b := range rn {
		if slices.ContainsFunc(matches, func(m match) bool { return m.new == j }) {
			continue
		}
		for _, m := range matches {
			if j < m.new && d.overlap(b, rn[m.new]) {
				d.add(at, Change{Kind: MembersReordered, Note: "the new member " + d.member(b, d.newEnv) + " is tried before " + d.member(rn[m.new], d.newEnv)})
				return
			}
		}
	}
}

// overlap reports whether one payload may decode as a and as b.
func (d *typeDiff) overlap(a, b schema.Head) bool {
	if a.Type.Kind != b.Type.Kind {
		return covers(a, b) || covers(b, a)
	}
	switch a.Type.Kind {
	case schema.Literal:
		return sameJSON(a.Type.Value, b.Type.Value)
	case schema.Struct:
		for _, f := range a.Type.Fields {
			for _, g := range b.Type.Fields {
				if f.Name != g.Name || f.Optional || g.Optional {
					continue
				}
				x, y := schema.Peel(f.Type, nil).Type, schema.Peel(g.Type, nil).Type
				if x.Kind == schema.Literal && y.Kind == schema.Literal && !sameJSON(x.Value, y.Value) {
					return false
				}
			}
		}
	}
	return true
}

// covers reports whether broad, of another kind, surely decodes everything that narrow does.
func covers(broad, narrow schema.Head) bool {
	if len(broad.Filters) > 0 || len(broad.Transforms) > 0 {
		return false
	}
	n := narrow.Type
	switch broad.Type.Kind {
	case schema.String:
		return n.Kind == schema.TemplateLiteral || n.Kind == schema.Literal && jsonKind(n.Value) == '"'
	case schema.Number:
		return n.Kind == schema.Literal && jsonKind(n.Value) == '0'
	case schema.Boolean:
		return n.Kind == schema.Literal && jsonKind(n.Value) == 't'
	case schema.Object:
		return n.Kind == schema.Struct || n.Kind == schema.Tuple || n.Kind == schema.Declaration
	case schema.TemplateLiteral:
		var s string
		if n.Kind != schema.Literal || json.Unmarshal(n.Value, &s) != nil {
			return false
		}
		re, err := regexp.Compile(broad.Type.Pattern)
		return err == nil && re.MatchString(s)
	}
	return false
}

// jsonKind is '"' for a string, '0' for a number, 't' for a boolean, otherwise the first byte.
func jsonKind(v json.RawMessage) byte {
	v = bytes.TrimSpace(v)
	switch {
	case len(v) == 0:
		return 0
	case v[0] == '-' || v[0] >= '0' && v[0] <= '9':
		return '0'
	case v[0] == 't' || v[0] == 'f':
		return 't'
	}
	return v[0]
}

// sameJSON compares two JSON values; numbers by value.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// splitBooleans writes boolean as true | false where the other side has boolean literals.
func splitBooleans(ro, rn []schema.Head) (a, b []schema.Head) {
	hasLiteral := func(list []schema.Head) bool {
		return slices.ContainsFunc(list, func(h schema.Head) bool {
			return h.Type.Kind == schema.Literal && jsonKind(h.Type.Value) == 't'
		})
	}
	split := func(list []schema.Head) []schema.Head {
		var out []schema.Head
		for _, h := range list {
			if h.Type.Kind != schema.Boolean || len(h.Filters)+len(h.Transforms) > 0 {
				out = append(out, h)
				continue
			}
			for _, v := range []string{"true", "false"} {
				lit := &schema.Type{Kind: schema.Literal, Value: json.RawMessage(v)}
				out = append(out, schema.Head{Type: lit, Decoded: lit})
			}
		}
		return out
	}
	if hasLiteral(ro) && !hasLiteral(rn) {
		return ro, split(rn)
	}
	if hasLiteral(rn) && !hasLiteral(ro) {
		return split(ro), rn
	}
	return ro, rn
}

func heads(list []schema.Head) string {
	var parts []string
	for _, h := range list {
		parts = append(parts, describe(h.Type))
	}
	return shorten(parts, " | ")
}

func allLiterals(lists ...[]schema.Head) bool {
	for _, list := range lists {
		for _, h := range list {
			if h.Type.Kind != schema.Literal {
				return false
			}
		}
	}
	return true
}

func without(list []schema.Head, h schema.Head) []schema.Head {
	return slices.DeleteFunc(list, func(x schema.Head) bool { return x.Type == h.Type })
}
