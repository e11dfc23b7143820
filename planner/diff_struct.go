package planner

import (
	"encoding/json"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// earlierArgs is what an event's arguments were in an earlier release.
type earlierArgs struct {
	version string
	args    *schema.Type
}

// A wireField is a struct's field as a reader meets it on the wire.
type wireField struct {
	schema.Field
	rule schema.Key
	// absent is true when the key may be missing: Effect reads a missing key as undefined.
	absent bool
	// writes is true when the key may be missing for a reader, yet the release always writes it: it has a decoding default.
	writes bool
}

func wireFields(h schema.Head) []wireField {
	out := make([]wireField, 0, len(h.Type.Fields))
	for _, f := range h.Type.Fields {
		r := h.Rule(f.Name)
		out = append(out, wireField{
			Field: f, rule: r, absent: f.Optional || r.Default != nil || f.Type.AdmitsUndefined(),
			writes: r.Default != nil && !(computed(r) && decodesToOption(h, r.To)),
		})
	}
	return out
}

// computed reports whether the default is known to its code alone.
func computed(r schema.Key) bool {
	var marker struct {
		Opaque bool `json:"opaque"`
	}
	return json.Unmarshal(r.Default, &marker) == nil && marker.Opaque
}

// decodesToOption reports whether an absent key becomes a value of a type without a name, as Effect's Option is, which
// is written as an absent key again.
func decodesToOption(h schema.Head, name string) bool {
	for _, f := range h.Decoded.Fields {
		if f.Name == name {
			return f.Type.Kind == schema.Declaration && f.Type.ID == ""
		}
	}
	return false
}

func find(fields []wireField, name string) *wireField {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// strict reports whether a struct refuses keys it does not know.
func strict(h schema.Head, inherited bool) bool {
	if h.Excess == "" {
		return inherited
	}
	return h.Excess == "error"
}

func isRecord(t *schema.Type) bool { return len(t.Fields) == 0 && len(t.Index) > 0 }

func (d *typeDiff) structs(at place, a, b schema.Head) {
	wasStrict, isStrict := at.oldStrict, at.newStrict
	at.oldStrict, at.newStrict = strict(a, at.oldStrict), strict(b, at.newStrict)
	if at.oldStrict != at.newStrict && (at.oldStrict != wasStrict || at.newStrict != isStrict) {
		kind := ExcessStrict
		if at.oldStrict {
			kind = ExcessLoose
		}
		d.add(at, Change{Kind: kind, Old: a.Type, New: b.Type})
	}
	if len(a.Type.Fields)+len(b.Type.Fields) > 0 && (isRecord(a.Type) && len(b.Type.Index) == 0 || isRecord(b.Type) && len(a.Type.Index) == 0) {
		d.structAndRecord(at, a, b)
		return
	}
	old, now := wireFields(a), wireFields(b)
	renamed := d.renames(at, old, now)
	for _, f := range old {
		g := find(now, f.Name)
		if g != nil {
			d.field(at, f, *g)
			continue
		}
		if renamed[f.Name] {
			continue
		}
		d.add(at.field(f.Name), Change{Kind: FieldRemoved, Old: f.Type, Required: !f.absent, Default: f.rule.Default != nil, Note: describe(f.Type)})
		if at.newStrict {
			d.add(at.field(f.Name), Change{Kind: ExcessRejected, Old: f.Type, ReplayBreaks: true, Note: "old payloads carry the key"})
		}
	}
	for _, g := range now {
		if renamed[g.Name] || find(old, g.Name) != nil {
			continue
		}
		d.added(at.field(g.Name), g)
		if at.oldStrict {
			d.add(at.field(g.Name), Change{Kind: ExcessRejected, New: g.Type, FleetBreaks: true, Note: "new payloads carry the key"})
		}
	}
	d.indexes(at, a.Type.Index, b.Type.Index)
}

// added reports a field that only the new release has. Its name may have stood for something else before.
func (d *typeDiff) added(at place, g wireField) {
	c := Change{Kind: FieldAdded, New: g.Type, Required: !g.absent, Default: g.rule.Default != nil, Note: describe(g.Type)}
	for _, e := range d.earlier {
		for _, t := range fieldTypes(e.args, at.path) {
			sub := *d
			sub.oldEnv = e.args.Suspends()
			if replay, fleet := sub.breaks(t, g.Type); replay || fleet {
				c.Reused = true
				c.Note = describe(t) + " in " + e.version + ", now " + describe(g.Type)
			}
		}
	}
	d.add(at, c)
}

// renames reports the wire keys that only changed their name, and returns both names of each. Two signs: the decoded
// name is the same, or exactly one required key went and one came with the same type (both directions break either way).
func (d *typeDiff) renames(at place, old, now []wireField) map[string]bool {
	var gone, come []wireField
	for _, f := range old {
		if find(now, f.Name) == nil {
			gone = append(gone, f)
		}
	}
	for _, g := range now {
		if find(old, g.Name) == nil {
			come = append(come, g)
		}
	}
	names := map[string]bool{}
	report := func(f, g wireField) {
		names[f.Name], names[g.Name] = true, true
		d.add(at.field(g.Name), Change{Kind: FieldRenamed, Old: f.Type, New: g.Type, Note: f.Name + " -> " + g.Name})
	}
	for _, f := range gone {
		for _, g := range come {
			if f.rule.To == g.rule.To && !names[f.Name] && !names[g.Name] {
				report(f, g)
			}
		}
	}
	if len(gone) == 1 && len(come) == 1 && len(names) == 0 && !gone[0].absent && !come[0].absent && len(d.try(gone[0].Type, come[0].Type)) == 0 {
		report(gone[0], come[0])
	}
	return names
}

// field compares a key that both releases have.
func (d *typeDiff) field(at place, f, g wireField) {
	at = at.field(f.Name)
	if f.rule.To != g.rule.To {
		d.add(at, Change{Kind: FieldDecodedName, Old: f.Type, New: g.Type, Note: f.rule.To + " -> " + g.rule.To})
	}
	// Without the optional mark the key may still be absent because the type admits undefined; types reports that.
	oldMark, newMark := f.Optional || f.rule.Default != nil, g.Optional || g.rule.Default != nil
	switch {
	case oldMark && !g.absent:
		d.add(at, Change{Kind: FieldRequired, Old: f.Type, New: g.Type, Required: true})
	case newMark && !f.absent:
		d.add(at, Change{Kind: FieldOptional, Old: f.Type, New: g.Type, Default: g.writes})
	case f.absent && g.absent && (f.rule.Default != nil || g.rule.Default != nil):
		d.defaults(at, f, g)
	}
	at.ignoreUndefined = oldMark || newMark
	d.types(at, f.Type, g.Type)
}

func (d *typeDiff) defaults(at place, f, g wireField) {
	c := Change{Kind: FieldDefault, Old: f.Type, New: g.Type}
	switch {
	case f.rule.Default == nil:
		c.Note = "a default was added"
	case g.rule.Default == nil:
		c.Note = "the default was removed"
	case computed(f.rule) && computed(g.rule):
		if !d.sourceChanged {
			return
		}
		c.Note = "the default is computed, and the code that computes it may have changed"
	case sameJSON(f.rule.Default, g.rule.Default):
		return
	default:
		c.Note = string(f.rule.Default) + " -> " + string(g.rule.Default)
	}
	d.add(at, c)
}

// indexes compares index signatures by position.
func (d *typeDiff) indexes(at place, old, now []schema.Index) {
	for i := range max(len(old), len(now)) {
		switch {
		case i >= len(old):
			d.add(at, Change{Kind: KeysChanged, New: now[i].Value, Note: "further keys are read as " + describe(now[i].Value)})
		case i >= len(now):
			d.add(at, Change{
				Kind: KeysChanged, Old: old[i].Value, Note: "keys that the struct does not name are dropped now",
				ReplayBreaks: at.newStrict,
			})
		default:
			if keys := d.try(old[i].Key, now[i].Key); len(keys) > 0 {
				d.add(at, Change{
					Kind: KeysChanged, Old: old[i].Key, New: now[i].Key, Note: "key pattern: " + keys[0].Note,
					ReplayBreaks: at.newStrict, FleetBreaks: at.oldStrict,
				})
			}
			d.types(at.suffix(".*"), old[i].Value, now[i].Value)
		}
	}
}

// structAndRecord compares a struct with a record, in either direction.
func (d *typeDiff) structAndRecord(at place, a, b schema.Head) {
	c := Change{Kind: KeysChanged, Old: a.Type, New: b.Type, Note: describe(a.Type) + " -> " + describe(b.Type)}
	if isRecord(b.Type) {
		for _, f := range wireFields(a) {
			v := indexValue(b.Type.Index, f.Name)
			if v == nil { // a key that the record does not read is dropped, unless it is strict
				c.ReplayBreaks = c.ReplayBreaks || at.newStrict
				c.FleetBreaks = c.FleetBreaks || !f.absent
				continue
			}
			replay, fleet := d.breaks(f.Type, v)
			c.ReplayBreaks = c.ReplayBreaks || replay
			c.FleetBreaks = c.FleetBreaks || fleet || !f.absent
		}
		c.FleetBreaks = c.FleetBreaks || at.oldStrict
	} else {
		for _, g := range wireFields(b) {
			v := indexValue(a.Type.Index, g.Name)
			if v == nil {
				c.FleetBreaks = c.FleetBreaks || at.oldStrict
				c.ReplayBreaks = c.ReplayBreaks || !g.absent
				continue
			}
			replay, fleet := d.breaks(v, g.Type)
			c.FleetBreaks = c.FleetBreaks || fleet
			c.ReplayBreaks = c.ReplayBreaks || replay || !g.absent
		}
		c.ReplayBreaks = c.ReplayBreaks || at.newStrict
	}
	d.add(at, c)
}

// indexValue returns the type that the index signatures give to a key, nil when none surely reads it.
func indexValue(index []schema.Index, key string) *schema.Type {
	for _, x := range index {
		k := schema.Peel(x.Key, nil)
		lit := &schema.Type{Kind: schema.Literal, Value: quote(key)}
		if k.Type.Kind == schema.String && len(k.Filters) == 0 || covers(k, schema.Head{Type: lit, Decoded: lit}) || matchesPattern(k, key) {
			return x.Value
		}
	}
	return nil
}

// fieldTypes returns the types of the struct fields that stand at path in t, one per union member that has it.
func fieldTypes(t *schema.Type, path string) []*schema.Type {
	var out []*schema.Type
	env := t.Suspends()
	var visit func(t *schema.Type, at string, stack []*schema.Type)
	visit = func(t *schema.Type, at string, stack []*schema.Type) {
		h := schema.Peel(t, env)
		if !strings.HasPrefix(path, at) || slices.Contains(stack, h.Type) {
			return
		}
		stack = append(slices.Clip(stack), h.Type)
		for _, m := range h.Type.Members {
			visit(m, at, stack)
		}
		for _, f := range h.Type.Fields {
			p := childPath(at, f.Name)
			if p == path {
				out = append(out, f.Type)
			}
			visit(f.Type, p, stack)
		}
		for _, r := range h.Type.Rest {
			visit(r, at+"[*]", stack)
		}
		for _, x := range h.Type.Index {
			visit(x.Value, at+".*", stack)
		}
	}
	visit(t, "$.args", nil)
	return out
}
