package payload

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"headgate/internal/livestore/schema"
)

// leafBase is base for nodes without parts. done is false for the others.
func (g *Generator) leafBase(n node, p place) (v any, ok, done bool) {
	if n.c.impossible {
		return nil, false, true
	}
	switch n.t.Kind {
	case schema.String, schema.TemplateLiteral:
		v, ok = g.stringBase(n, p)
	case schema.Number:
		v, ok = g.numberBase(n, p)
	case schema.Boolean:
		v, ok = p.entity%2 == 1, true
	case schema.Undefined, schema.Void:
		v, ok = absent{}, true
	case schema.Any, schema.Unknown, schema.Declaration, schema.Opaque:
		v, ok = entityText(p), true
	case schema.Object:
		v, ok = map[string]any{"of": entityText(p)}, true
	case schema.Literal:
		v, ok = literal(n.t.Value)
	case schema.Enum:
		if len(n.t.Values) > 0 {
			v, ok = literal(n.t.Values[(p.entity-1)%len(n.t.Values)])
		}
	case schema.Union, schema.Struct, schema.Tuple:
		return nil, false, false
	}
	return v, ok, true
}

// literal is a literal's value; a bigint is none that JSON can hold.
func literal(raw json.RawMessage) (any, bool) {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil, false
	}
	_, composite := v.(map[string]any)
	return v, !composite
}

func entityText(p place) string {
	if p.key != "" {
		return p.key
	}
	return "e" + strconv.Itoa(p.entity)
}

func (g *Generator) stringBase(n node, p place) (any, bool) {
	if n.t.Kind == schema.TemplateLiteral {
		re, ok := parsePattern(n.t.Pattern, "")
		if !ok {
			g.note(p, "a template")
			return nil, false
		}
		n.c.patterns = append(n.c.patterns, re)
	}
	i := p.entity
	switch n.codec {
	case "DateFromString", "DateTimeUtc":
		return time.Date(2024, 1, i, 9, 30, 0, 0, time.UTC).Format(isoTime), true
	case "NumberFromString":
		f, ok := g.numberBase(n, p)
		if !ok {
			return nil, false
		}
		return numberText(f), true
	case "BigInt":
		return strconv.Itoa(i), true
	case "Uint8ArrayFromBase64", "StringFromBase64":
		return base64.StdEncoding.EncodeToString([]byte(entityText(p))), true
	case "Uint8ArrayFromBase64Url", "StringFromBase64Url":
		return base64.RawURLEncoding.EncodeToString([]byte(entityText(p))), true
	case "Uint8ArrayFromHex", "StringFromHex":
		return hex.EncodeToString([]byte(entityText(p))), true
	case "URL":
		return fmt.Sprintf("https://example.org/%d", i), true
	case "parseJson":
		v, ok := any(map[string]any{"of": entityText(p)}), true
		if n.inner != nil {
			v, ok = whole(g.base(n.inner, p))
		}
		return string(Encode(v)), ok
	}
	if s, ok := n.c.fit(entityText(p)); ok {
		return s, true
	}
	s, ok := n.c.fit("e" + strconv.Itoa(i))
	if !ok {
		g.note(p, "several conditions at once")
	}
	return s, ok
}

const isoTime = "2006-01-02T15:04:05.000Z"

// dates are encoded dates at the edges of what LiveStore and SQLite may meet.
var dateTexts = []string{
	"1970-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "1901-12-13T20:45:51.000Z", "0001-01-01T00:00:00.000Z",
	"2000-02-29T12:00:00.000Z", "2038-01-19T03:14:08.000Z", "9999-12-31T23:59:59.999Z",
	"2024-06-30", "2024-03-10T02:30:00+05:30", "-000001-01-01T00:00:00.000Z", "+275760-09-13T00:00:00.000Z",
}

// codecEdges are the edge values of a leaf whose encoded form a known transformation reads.
func (g *Generator) codecEdges(n node, p place) (list []any, ok bool) {
	texts := func(of ...string) []any {
		out := make([]any, len(of))
		for i, s := range of {
			out[i] = s
		}
		return out
	}
	switch n.codec {
	case "DateFromString", "DateTimeUtc":
		list = texts(dateTexts...)
		if n.codec == "DateFromString" && !n.c.validDate {
			list = append(list, "Invalid Date") // what an invalid date is encoded as
		}
	case "NumberFromString":
		for _, f := range g.numbers(n.c, edge) {
			list = append(list, numberText(f))
		}
	case "BigInt":
		list = texts("0", "-1", "2147483648", "9007199254740993", "9223372036854775807", "-9223372036854775808")
	case "BigIntFromNumber":
		list = []any{0.0, -1.0, 2147483648.0, 9007199254740991.0}
	case "Uint8ArrayFromBase64", "StringFromBase64":
		list = texts("", "AA==", "/+8=", base64.StdEncoding.EncodeToString(make([]byte, 300)))
		if n.codec == "StringFromBase64" {
			list = texts("", "w6k=", base64.StdEncoding.EncodeToString([]byte(longText(300))))
		}
	case "Uint8ArrayFromBase64Url", "StringFromBase64Url":
		list = texts("", "w6k", base64.RawURLEncoding.EncodeToString([]byte(longText(300))))
	case "Uint8ArrayFromHex", "StringFromHex":
		list = texts("", "c3a9", hex.EncodeToString([]byte(longText(300))))
	case "URL":
		list = texts("https://example.org", "http://user@example.org:8080/a%20b?c=d&e#f", "mailto:a@example.org", "https://example.org/"+longText(300))
	case "parseJson":
		if n.inner == nil {
			list = texts("null", "[]", "{}", `"a"`, "0")
			break
		}
		if b, ok := whole(g.base(n.inner, p)); ok {
			for _, v := range g.alternatives(n.inner, b, p, edge) {
				if v, ok := whole(v, true); ok {
					list = append(list, string(Encode(v)))
				}
			}
		}
	default:
		return nil, false
	}
	return list, true
}
