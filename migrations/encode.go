package migrations

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// An encoder turns the rows of one emit into arguments, as the event's schema has them on the wire.
type encoder struct {
	emit   Emit
	place  string // file:line of the statement
	fields map[string]schema.Field
	keys   []int // columns of the key
	reveal bool  // errors show the key's values
}

// newEncoder checks the columns against the event's schema: each one is a field, the key is among them, and no field
// that must be there is missing.
func newEncoder(d Definition, emit Emit, r *schema.Release, columns []string) (*encoder, error) {
	c := &encoder{emit: emit, place: fmt.Sprintf("%s:%d", d.Path, emit.SQLLine), fields: map[string]schema.Field{}}
	wire, err := wireStruct(r, emit.Event)
	if err != nil {
		return nil, err.At("%s:%d", d.Path, emit.Line)
	}
	var names []string
	for _, f := range wire.Fields {
		c.fields[f.Name] = f
		names = append(names, f.Name)
	}
	for i, name := range columns {
		if slices.Contains(columns[:i], name) {
			return nil, errs.Invalidf("two columns are called %q", name).At("%s", c.place).Hintf("name columns with AS")
		}
		if _, ok := c.fields[name]; !ok {
			return nil, errs.Invalidf("the query returns a column %q, which %s has no field for", name, emit.Event).
				At("%s", c.place).Hintf("its fields are %s; rename the column with AS, or leave it out", strings.Join(names, ", "))
		}
	}
	for _, k := range emit.Key {
		i := slices.Index(columns, k)
		if i < 0 {
			return nil, errs.Invalidf("the key %q is no column of the query", k).At("%s", c.place).
				Hintf("a key is found again in the log by the event's arguments: select it")
		}
		c.keys = append(c.keys, i)
	}
	for _, f := range wire.Fields {
		if !f.Optional && !slices.Contains(columns, f.Name) {
			return nil, errs.Invalidf("%s needs %q, which the query does not return", emit.Event, f.Name).At("%s", c.place).
				Hintf("add it as a column")
		}
	}
	return c, nil
}

// wireStruct is the encoded side of an event's arguments, which must be a struct.
func wireStruct(r *schema.Release, event string) (*schema.Type, *errs.Error) {
	i := slices.IndexFunc(r.Events, func(e schema.Event) bool { return e.Name == event })
	if i < 0 {
		return nil, errs.NotFoundf("release %s does not define %s", r.Version, event)
	}
	wire := r.Events[i].Args.Wire()
	for wire != nil && wire.Kind == schema.Refinement {
		wire = wire.From
	}
	if wire == nil || wire.Kind != schema.Struct {
		return nil, errs.Invalidf("the arguments of %s are no plain object, so that columns can't make them", event).
			Hintf("emit an event whose schema is a struct")
	}
	return wire, nil
}

// row makes a row's arguments and its key. n counts rows from 1, for messages; they show no value but the key's, and that
// only where it was asked for.
func (c *encoder) row(n int64, columns []string, values []any) (args json.RawMessage, key string, err error) {
	for _, k := range c.keys {
		if values[k] == nil {
			return nil, "", errs.Invalidf("row %d has no key: %q is NULL", n, columns[k]).At("%s", c.place)
		}
	}
	b := []byte{'{'}
	for i, name := range columns {
		f := c.fields[name]
		if values[i] == nil && f.Optional && !admitsNull(f.Type) {
			continue // NULL stands for an absent field where null is none of its values
		}
		v, why := encodeValue(f.Type, values[i])
		if why != "" {
			return nil, "", errs.Invalidf("row %d (%s): column %q %s (for %s)", n, c.keyText(columns, values), name, why, c.emit.Event).At("%s", c.place).
				Hintf("convert it in the query: CAST(x AS TEXT), json_object(…), or strftime('%Y-%m-%dT%H:%M:%fZ', x / 1000.0, 'unixepoch') for a date")
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(appendJSON(b, name), ':'), v...)
	}
	b = append(b, '}')
	key, err = keyOf(c.emit, b)
	return b, key, err
}

// keyText says which row it is by its key, as "id text(36)": values are personal data, types and lengths are not.
func (c *encoder) keyText(columns []string, values []any) string {
	var parts []string
	for _, k := range c.keys {
		shown := typeName(values[k])
		switch v := values[k].(type) {
		case string:
			shown = fmt.Sprintf("text(%d)", utf8.RuneCountInString(v))
			if c.reveal {
				shown = strconv.Quote(v)
			}
		case []byte:
			shown = fmt.Sprintf("blob(%d)", len(v))
			if c.reveal {
				shown = fmt.Sprintf("x'%x'", v)
			}
		default:
			if c.reveal {
				shown = fmt.Sprint(v)
			}
		}
		parts = append(parts, columns[k]+" "+shown)
	}
	return strings.Join(parts, ", ")
}

// keyOf reads an event's identity within its migration from its arguments: its name and the values of the key fields.
func keyOf(emit Emit, args json.RawMessage) (string, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(args, &fields); err != nil {
		return "", err
	}
	b := []byte(emit.Event)
	for _, k := range emit.Key {
		v, ok := fields[k]
		if !ok {
			return "", fmt.Errorf("the arguments have no %q", k)
		}
		var x any
		if err := json.Unmarshal(v, &x); err != nil {
			return "", err
		}
		c, err := json.Marshal(withoutSign(x)) // a backend may write a number or a string in another form
		if err != nil {
			return "", err
		}
		b = append(append(b, ' '), c...)
	}
	return string(b), nil
}

// withoutSign makes every negative zero a plain one: JavaScript and jsonb write -0 as 0.
func withoutSign(x any) any {
	switch x := x.(type) {
	case float64:
		if x == 0 {
			return 0.0
		}
	case []any:
		for i := range x {
			x[i] = withoutSign(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = withoutSign(x[k])
		}
	}
	return x
}

func appendJSON(b []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

func admitsNull(t *schema.Type) bool {
	_, why := encodeValue(t, nil)
	return why == ""
}

// encodeValue writes what SQLite returned as a value of t, a wire type. Otherwise it says why it can't, without
// quoting the value. Whether filters (a pattern, a range) hold is left to the app's own decoder.
func encodeValue(t *schema.Type, v any) (out json.RawMessage, why string) {
	switch t.Kind {
	case schema.Refinement:
		return encodeValue(t.From, v)
	case schema.Union:
		return encodeUnion(t.Members, v)
	case schema.Literal:
		return encodeLiteral([]json.RawMessage{t.Value}, v)
	case schema.Enum:
		return encodeLiteral(t.Values, v)
	case schema.String, schema.TemplateLiteral:
		if s, ok := v.(string); ok {
			return appendJSON(nil, s), ""
		}
		return nil, "is " + typeName(v) + " and must be text"
	case schema.Number:
		return encodeNumber(v)
	case schema.Boolean:
		switch v {
		case int64(0):
			return json.RawMessage("false"), ""
		case int64(1):
			return json.RawMessage("true"), ""
		}
		return nil, "is " + typeName(v) + " and must be 0 or 1"
	case schema.Undefined, schema.Void, schema.Never:
		return nil, "can't have a value"
	case schema.Any, schema.Unknown, schema.Opaque, schema.Declaration:
		return encodeAny(v)
	default: // objects, arrays and references to them
		s, ok := v.(string)
		if !ok || !json.Valid([]byte(s)) {
			return nil, "is " + typeName(v) + " and must be JSON text"
		}
		return compact(s), ""
	}
}

func encodeUnion(members []*schema.Type, v any) (out json.RawMessage, why string) {
	var something []*schema.Type
	for _, m := range members {
		if out, why = encodeValue(m, v); why == "" {
			return out, ""
		}
		if m.Kind != schema.Undefined && (m.Kind != schema.Literal || string(m.Value) != "null") {
			something = append(something, m)
		}
	}
	if len(something) == 1 { // a nullable type: what is wrong is the type's word
		return encodeValue(something[0], v)
	}
	return nil, "is " + typeName(v) + ", which is none of the values that the schema admits"
}

func encodeLiteral(values []json.RawMessage, v any) (json.RawMessage, string) {
	for _, lit := range values {
		var want any
		if err := json.Unmarshal(lit, &want); err != nil {
			continue
		}
		ok := false
		switch want := want.(type) {
		case nil:
			ok = v == nil
		case bool:
			ok = want && v == int64(1) || !want && v == int64(0)
		case string:
			ok = v == want
		case float64:
			i, isInt := v.(int64)
			ok = v == want || isInt && float64(i) == want
		}
		if ok {
			return lit, ""
		}
	}
	return nil, "is " + typeName(v) + ", which is none of the values that the schema admits"
}

// maxSafe is the greatest integer that JavaScript keeps exactly.
const maxSafe = 1<<53 - 1

func encodeNumber(v any) (json.RawMessage, string) {
	switch v := v.(type) {
	case int64:
		if v > maxSafe || v < -maxSafe {
			return nil, "is an integer beyond 2^53, which JavaScript can't keep"
		}
		return strconv.AppendInt(nil, v, 10), ""
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, "is not a finite number"
		}
		b, err := json.Marshal(withoutSign(v))
		if err != nil {
			return nil, "is not a finite number"
		}
		return b, ""
	}
	return nil, "is " + typeName(v) + " and must be a number"
}

// encodeAny takes the value as it is; text that is a JSON object or array is one.
func encodeAny(v any) (json.RawMessage, string) {
	switch v := v.(type) {
	case nil:
		return json.RawMessage("null"), ""
	case string:
		if t := bytes.TrimSpace([]byte(v)); len(t) > 0 && (t[0] == '{' || t[0] == '[') && json.Valid(t) {
			return compact(v), ""
		}
		return appendJSON(nil, v), ""
	case []byte:
		return nil, "is a blob, which JSON can't hold"
	}
	return encodeNumber(v)
}

func compact(s string) json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, []byte(s)) // it was found valid
	return b.Bytes()
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "NULL"
	case int64:
		return "an integer"
	case float64:
		return "a real number"
	case string:
		return "text"
	}
	return "a blob"
}
