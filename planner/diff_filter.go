package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// A limit is one side of a range.
type limit struct {
	value     float64
	exclusive bool
}

// limits are what the known filters of one head demand, merged: several filters on one value all hold.
type limits struct {
	lower, upper map[string]limit // by what is limited: "length", "items", "value"
	flags        map[string]string
	opaque       int
}

// effectFree are filters that no JSON value can break: JSON holds no NaN and no infinity.
var effectFree = map[string]bool{"Finite": true, "NonNaN": true, "JsonNumber": true}

var bounds = map[string]struct {
	what             string
	upper, exclusive bool
}{
	"minLength": {what: "length"}, "maxLength": {what: "length", upper: true},
	"minItems": {what: "items"}, "maxItems": {what: "items", upper: true},
	"minimum": {what: "value"}, "maximum": {what: "value", upper: true},
	"exclusiveMinimum": {what: "value", exclusive: true}, "exclusiveMaximum": {what: "value", upper: true, exclusive: true},
}

// collect merges filters. A filter on the decoded value is kept apart from one on the wire.
func collect(filters []schema.HeadFilter) limits {
	l := limits{lower: map[string]limit{}, upper: map[string]limit{}, flags: map[string]string{}}
	for _, f := range filters {
		side := ""
		if f.OnDecoded {
			side = "decoded "
		}
		if f.Opaque() {
			l.opaque++
			continue
		}
		if effectFree[f.ID] && !f.OnDecoded {
			continue
		}
		var params map[string]any
		if len(f.Params) > 0 && json.Unmarshal(f.Params, &params) != nil {
			l.flags[side+f.ID] = string(f.Params)
			continue
		}
		left := map[string]any{}
		for _, k := range slices.Sorted(maps.Keys(params)) {
			b, known := bounds[k]
			v, number := params[k].(float64)
			if !known || !number {
				left[k] = params[k]
				continue
			}
			l.bound(side+b.what, limit{v, b.exclusive}, b.upper)
		}
		if len(left) > 0 || len(params) == 0 {
			text, _ := json.Marshal(left) // of decoded JSON, which can't fail
			l.flags[side+f.ID] = string(text)
		}
	}
	return l
}

func (l limits) bound(what string, b limit, upper bool) {
	side := l.lower
	if upper {
		side = l.upper
	}
	if have, ok := side[what]; ok && !tighter(b, have, upper) {
		return
	}
	side[what] = b
}

// tighter reports whether a admits strictly less than b.
func tighter(a, b limit, upper bool) bool {
	if a.value == b.value {
		return a.exclusive && !b.exclusive
	}
	return (a.value > b.value) != upper
}

// filters compares what two heads demand of a value.
func (d *typeDiff) filters(at place, a, b schema.Head) {
	o, n := collect(a.Filters), collect(b.Filters)
	for _, what := range slices.Sorted(maps.Keys(union(o.lower, n.lower))) {
		d.limit(at, a, b, what, "minimum", o.lower, n.lower, math.Inf(-1), false)
	}
	for _, what := range slices.Sorted(maps.Keys(union(o.upper, n.upper))) {
		d.limit(at, a, b, what, "maximum", o.upper, n.upper, math.Inf(1), true)
	}
	for _, id := range slices.Sorted(maps.Keys(union(o.flags, n.flags))) {
		d.flag(at, a, b, id, o.flags, n.flags)
	}
	switch {
	case n.opaque > o.opaque:
		d.add(at, Change{Kind: FilterTightened, Old: a.Type, New: b.Type, Note: "a filter of the app was added"})
	case n.opaque < o.opaque:
		d.add(at, Change{Kind: FilterLoosened, Old: a.Type, New: b.Type, Note: "a filter of the app was removed"})
	case n.opaque > 0 && d.sourceChanged:
		d.add(at, Change{Kind: FilterOpaque, Old: a.Type, New: b.Type, Note: "the code that defines it changed"})
	}
}

func (d *typeDiff) limit(at place, a, b schema.Head, what, word string, old, now map[string]limit, none float64, upper bool) {
	o, hadOne := old[what]
	n, hasOne := now[what]
	if !hadOne {
		o = limit{value: none}
	}
	if !hasOne {
		n = limit{value: none}
	}
	if !hadOne && what != "value" && !upper && n.value <= 0 || !hasOne && what != "value" && !upper && o.value <= 0 {
		return // at least 0 items says nothing
	}
	items := what == "items"
	c := Change{Old: a.Type, New: b.Type, Note: fmt.Sprintf("%s %s: %s -> %s", word, what, o, n)}
	switch {
	case o == n:
		return
	case tighter(n, o, upper) && items:
		c.Kind = ItemsTightened
	case tighter(n, o, upper):
		c.Kind = FilterTightened
	case items:
		c.Kind = ItemsLoosened
	default:
		c.Kind = FilterLoosened
	}
	d.add(at, c)
}

// String writes a limit as a person does.
func (l limit) String() string {
	if math.IsInf(l.value, 0) {
		return "none"
	}
	s := fmt.Sprint(l.value)
	if l.value == math.Trunc(l.value) && math.Abs(l.value) < 1e15 {
		s = fmt.Sprintf("%.0f", l.value)
	}
	if l.exclusive {
		s += " (excluded)"
	}
	return s
}

// flag compares a filter that is not a range.
func (d *typeDiff) flag(at place, a, b schema.Head, id string, old, now map[string]string) {
	o, had := old[id]
	n, has := now[id]
	c := Change{Old: a.Type, New: b.Type, Note: id}
	switch {
	case had && has && o == n:
		return
	case had && has:
		d.flagParams(at, c, id, o, n)
		return
	case id == "Int" && has:
		c.Kind, c.Note = TypeNarrowed, "number -> int"
	case id == "Int":
		c.Kind, c.Note = TypeWidened, "int -> number"
	case has:
		c.Kind = FilterTightened
	default:
		c.Kind = FilterLoosened
	}
	d.add(at, c)
}

// flagParams compares one filter with two parameters. Only what is plain is decided: a divisor that divides the
// other, a prefix of a prefix. The rest ("pattern") is as opaque as the app's own filters.
func (d *typeDiff) flagParams(at place, c Change, id, o, n string) {
	var x, y map[string]any
	if json.Unmarshal([]byte(o), &x) != nil || json.Unmarshal([]byte(n), &y) != nil {
		x, y = nil, nil
	}
	c.Note = id + " " + o + " -> " + n
	p, okP := x["multipleOf"].(float64)
	q, okQ := y["multipleOf"].(float64)
	s, okS := x["pattern"].(string)
	t, okT := y["pattern"].(string)
	switch {
	case okP && okQ && p > 0 && math.Mod(q, p) == 0, okS && okT && id == "StartsWith" && strings.HasPrefix(t, s):
		c.Kind = FilterTightened
	case okP && okQ && q > 0 && math.Mod(p, q) == 0, okS && okT && id == "StartsWith" && strings.HasPrefix(s, t):
		c.Kind = FilterLoosened
	case okP && okQ:
		c.Kind = FilterTightened
		d.add(at, c)
		c.Kind = FilterLoosened
	default:
		c.Kind = FilterOpaque
	}
	d.add(at, c)
}

func matchesPattern(h schema.Head, key string) bool {
	if h.Type.Kind != schema.String || len(h.Filters) != 1 {
		return false
	}
	var p struct {
		Pattern string `json:"pattern"`
	}
	if json.Unmarshal(h.Filters[0].Params, &p) != nil || p.Pattern == "" {
		return false
	}
	re, err := regexp.Compile(p.Pattern)
	return err == nil && re.MatchString(key)
}

func union[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func quote(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string can't fail
	return b
}

// effectTypes are the declarations and transformations that come with Effect, whose code is not the app's, and which
// decode every value of their wire type.
var effectTypes = map[string]bool{
	"Trim": true, "Lowercase": true, "Uppercase": true, "Capitalize": true, "Uncapitalize": true,
	"DateFromString": true, "DateFromNumber": true, "Date": true, "DateFromSelf": true, "ValidDateFromSelf": true,
	"OptionFromNullOr": true, "OptionFromUndefinedOr": true, "Not": true, "BooleanFromUnknown": true,
	"Uint8Array": true, "Uint8ArrayFromSelf": true, "OptionFromSelf": true, "DurationFromMillis": true,
}

// partialTypes are Effect's transformations that refuse some values of their wire type.
var partialTypes = map[string]bool{
	"NumberFromString": true, "BigInt": true, "BigIntFromNumber": true, "BigDecimal": true, "BigDecimalFromNumber": true,
	"BooleanFromString": true, "Uint8ArrayFromBase64": true, "Uint8ArrayFromBase64Url": true, "Uint8ArrayFromHex": true,
	"StringFromBase64": true, "StringFromBase64Url": true, "StringFromHex": true, "StringFromUriComponent": true,
	"URL": true, "DateTimeUtc": true, "DateTimeUtcFromNumber": true, "DateTimeUtcFromDate": true, "DateTimeZoned": true,
	"TimeZone": true, "TimeZoneNamed": true, "TimeZoneOffset": true, "Duration": true, "DurationFromNanos": true, "parseJson": true,
	"parseNumber": true,
}

func fromEffect(id string) bool { return effectTypes[id] || partialTypes[id] }

// isClass reports whether a transformation makes a class of its fields. The class's name and code are not the wire's.
func isClass(t *schema.Type) bool {
	return t.To != nil && t.To.Kind == schema.Declaration && schema.Peel(t.From, nil).Type.Kind == schema.Struct
}

// transforms compares the transformations above two heads of the same kind: the wire looks alike, decoding differs.
func (d *typeDiff) transforms(at place, a, b schema.Head) {
	c := Change{Old: a.Type, New: b.Type}
	if len(a.Transforms) != len(b.Transforms) {
		more, kind := b.Transforms, TypeNarrowed
		if len(a.Transforms) > len(b.Transforms) {
			more, kind = a.Transforms, TypeWidened
		}
		c.Kind, c.Note = TransformChanged, chain(a.Transforms)+" -> "+chain(b.Transforms)
		if slices.ContainsFunc(more, func(t *schema.Type) bool { return partialTypes[t.ID] || t.How == "compose" }) {
			c.Kind = kind // it refuses some of what the plain type admits; what the app's own code refuses nobody can say
		}
		d.add(at, c)
		return
	}
	for i, o := range a.Transforms {
		n := b.Transforms[i]
		c.Note = chain([]*schema.Type{o}) + " -> " + chain([]*schema.Type{n})
		switch {
		case o.How != n.How:
			c.Kind = TransformChanged
		case o.How == "compose":
			d.types(at, o.To, n.To) // its decoded side reads what the first one gave
			continue
		case isClass(o) && isClass(n):
			continue // the fields are compared on their own
		case fromEffect(o.ID) && fromEffect(n.ID) && o.ID != n.ID:
			c.Kind = TransformChanged
			if sameDecoded(a, b) && a.Decoded.Kind != a.Type.Kind {
				c.Kind = EncodingChanged
			}
		case fromEffect(o.ID) != fromEffect(n.ID):
			c.Kind = TransformChanged
		case len(d.try(o.To, n.To)) > 0:
			c.Kind, c.Note = TransformChanged, "decodes to "+describe(n.To)+", before to "+describe(o.To)
		case d.sourceChanged && !fromEffect(o.ID):
			c.Kind, c.Note = TransformChanged, "the code that defines it changed"
		default:
			continue
		}
		d.add(at, c)
	}
}

func chain(transforms []*schema.Type) string {
	if len(transforms) == 0 {
		return "plain"
	}
	var parts []string
	for _, t := range transforms {
		name := t.ID
		if name == "" {
			name = "a transformation of the app"
		}
		if t.How == "compose" {
			name = "a composition"
		}
		parts = append(parts, name)
	}
	return shorten(parts, " + ")
}
