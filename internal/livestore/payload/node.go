package payload

import (
	"encoding/json"
	"math"
	"slices"

	"headgate/internal/livestore/schema"
)

// A node is a structural node of the encoded side with all that stands above it and restricts it.
type node struct {
	t     *schema.Type
	c     limits
	codec string       // the identifier of the transformation that makes the value of the leaf, "" for none
	inner *schema.Type // what the text of a parseJson holds, as an encoded value
	keys  []schema.Key // field rules, by wire key
}

// optional reports whether a field may be left out on the wire.
func (n node) optional(f schema.Field) bool {
	return f.Optional || f.Type.AdmitsUndefined() ||
		slices.ContainsFunc(n.keys, func(k schema.Key) bool { return k.From == f.Name && k.Default != nil })
}

// limits are the known filters above a leaf.
type limits struct {
	minLen, maxLen     int // in UTF-16 units
	minItems, maxItems int
	min, max           float64
	exMin, exMax       bool
	integer            bool
	multipleOf         float64
	patterns           []pattern
	prefix, suffix     string
	includes           string
	trimmed            bool     // a value with blanks around it is refused
	trims              bool     // blanks around it are cut off before its length counts
	cased              []string // Lowercased, Uppercased, Capitalized, Uncapitalized
	validDate          bool
	impossible         bool // filters contradict each other, or a pattern can't be read
}

const unbounded = math.MaxInt32

func noLimits() limits {
	return limits{maxLen: unbounded, maxItems: unbounded, min: math.Inf(-1), max: math.Inf(1)}
}

// codecs are the transformations whose encoded values can be made on purpose.
var codecs = []string{
	"DateFromString", "DateFromNumber", "DateTimeUtc", "DateTimeUtcFromNumber", "DateTimeUtcFromDate", "NumberFromString", "BigInt",
	"BigIntFromNumber", "BooleanFromString", "Uint8ArrayFromBase64", "Uint8ArrayFromBase64Url", "Uint8ArrayFromHex", "Uint8Array",
	"StringFromBase64", "StringFromBase64Url", "StringFromHex", "URL", "Trim", "Lowercase", "Uppercase", "Capitalize",
	"Uncapitalize", "DurationFromMillis", "parseJson",
}

// resolve goes down to the structural node and collects what stands above it. It counts recursion into p.depth.
func (g *Generator) resolve(t *schema.Type, p *place) node {
	n := node{c: noLimits()}
	for t != nil {
		switch t.Kind {
		case schema.Refinement:
			if t.Filter.Opaque() {
				g.note(*p, "a filter of the app")
			} else if !n.c.apply(t.Filter) {
				g.note(*p, "the filter "+t.Filter.ID)
			}
			t = t.From
		case schema.Transform:
			switch t.How {
			case "fields":
				n.keys = append(n.keys, t.Keys...)
			case "compose":
				if inner := innermost(t.From); inner != nil && inner.ID == "parseJson" {
					n.inner = t.To
				} else {
					n.c.applyAll(t.To)
				}
			default:
				switch {
				case slices.Contains(codecs, t.ID):
					n.codec = t.ID
					n.c.trims = n.c.trims || t.ID == "Trim"
				case t.ID == "" && isStandard(t):
				default:
					g.note(*p, "a transformation of the app")
				}
			}
			t = t.From
		case schema.Suspend:
			p.depth++
			t = t.Type
		case schema.Ref:
			t = g.env[t.ID]
		default:
			n.t = t
			if !known(t.Kind) {
				g.note(*p, unknownNode(t))
			}
			return n
		}
	}
	n.t = &schema.Type{Kind: schema.Opaque, Why: "a type without a body"}
	g.note(*p, n.t.Why)
	return n
}

func known(k schema.Kind) bool {
	return k != schema.Declaration && k != schema.Opaque && k != schema.SymbolKind && k != schema.UniqueSymbol
}

func unknownNode(t *schema.Type) string {
	if t.ID != "" {
		return "a value of type " + t.ID
	}
	return "a type that can't be analysed"
}

func innermost(t *schema.Type) *schema.Type {
	for t != nil && t.Kind == schema.Refinement {
		t = t.From
	}
	if t == nil || t.Kind != schema.Transform {
		return nil
	}
	return t
}

// isStandard recognises Effect's own anonymous transformations, which decode whatever their encoded side admits: a
// class from its fields, an option, a map or set from its entries, the negation of a boolean, a clamped number.
func isStandard(t *schema.Type) bool {
	switch to := t.To; {
	case to == nil:
		return false
	case to.Kind == schema.Declaration:
		return true
	case t.From.Kind == schema.Boolean && to.Kind == schema.Boolean:
		return true
	case t.From.Kind == schema.Number && to.Kind == schema.Refinement && to.Filter != nil && to.Filter.ID == "Between":
		return true
	case t.From.Kind == schema.String && to.Kind == schema.Tuple:
		return true
	}
	return false
}

// applyAll applies the filters at the head of a composed type to the value below.
func (c *limits) applyAll(t *schema.Type) {
	for ; t != nil && t.Kind == schema.Refinement; t = t.From {
		if !t.Filter.Opaque() {
			c.apply(t.Filter)
		}
	}
}

// apply adds a known filter. It reports whether the filter's meaning is known here.
func (c *limits) apply(f *schema.Filter) bool {
	var p struct {
		MinLength        *int     `json:"minLength"`
		MaxLength        *int     `json:"maxLength"`
		MinItems         *int     `json:"minItems"`
		MaxItems         *int     `json:"maxItems"`
		Minimum          *float64 `json:"minimum"`
		Maximum          *float64 `json:"maximum"`
		ExclusiveMinimum *float64 `json:"exclusiveMinimum"`
		ExclusiveMaximum *float64 `json:"exclusiveMaximum"`
		MultipleOf       *float64 `json:"multipleOf"`
		Pattern          string   `json:"pattern"`
		Flags            string   `json:"flags"`
		StartsWith       string   `json:"startsWith"`
		EndsWith         string   `json:"endsWith"`
		Includes         string   `json:"includes"`
	}
	if len(f.Params) > 0 && json.Unmarshal(f.Params, &p) != nil {
		return false
	}
	switch f.ID {
	case "MinLength", "MaxLength", "Length":
		if p.MinLength != nil {
			c.minLen = max(c.minLen, *p.MinLength)
		}
		if p.MaxLength != nil {
			c.maxLen = min(c.maxLen, *p.MaxLength)
		}
	case "MinItems", "MaxItems", "ItemsCount":
		if p.MinItems != nil {
			c.minItems = max(c.minItems, *p.MinItems)
		}
		if p.MaxItems != nil {
			c.maxItems = min(c.maxItems, *p.MaxItems)
		}
	case "Int":
		c.integer = true
	case "Finite", "NonNaN", "JsonNumber":
	case "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo", "Between":
		if p.Minimum != nil && *p.Minimum >= c.min {
			c.min, c.exMin = *p.Minimum, c.exMin && *p.Minimum == c.min
		}
		if p.ExclusiveMinimum != nil && *p.ExclusiveMinimum >= c.min {
			c.min, c.exMin = *p.ExclusiveMinimum, true
		}
		if p.Maximum != nil && *p.Maximum <= c.max {
			c.max, c.exMax = *p.Maximum, c.exMax && *p.Maximum == c.max
		}
		if p.ExclusiveMaximum != nil && *p.ExclusiveMaximum <= c.max {
			c.max, c.exMax = *p.ExclusiveMaximum, true
		}
	case "MultipleOf":
		if p.MultipleOf != nil {
			c.multipleOf = *p.MultipleOf
		}
	case "StartsWith":
		c.prefix = p.StartsWith
	case "EndsWith":
		c.suffix = p.EndsWith
	case "Includes":
		c.includes = p.Includes
	case "Trimmed":
		c.trimmed = true
	case "ValidDate":
		c.validDate = true
	case "Lowercased", "Uppercased", "Capitalized", "Uncapitalized":
		c.cased = append(c.cased, f.ID)
	case "Pattern", "UUID", "ULID":
		re, ok := parsePattern(p.Pattern, p.Flags)
		if !ok {
			c.impossible = true
			return false
		}
		c.patterns = append(c.patterns, re)
	default:
		return false
	}
	return true
}
