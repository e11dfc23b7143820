package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Binds are a statement's parameters as the driver sends them: an array for positional ones, an object for named
// ones (with their prefix), or nothing. Values are nil, float64, int64, string or []byte.
type Binds struct {
	list  []any
	named map[string]any
}

// Positional makes Binds of values in order.
func Positional(values ...any) Binds { return Binds{list: values} }

func (b Binds) lookup(i int, name string) (any, bool) {
	if b.named != nil {
		v, ok := b.named[name]
		return v, ok && name != ""
	}
	if i < len(b.list) {
		return b.list[i], true
	}
	return nil, false
}

// Equal reports whether two sets of parameters bind the same values.
func (b Binds) Equal(c Binds) bool {
	if len(b.list) != len(c.list) || len(b.named) != len(c.named) {
		return false
	}
	for i := range b.list {
		if !equalValue(b.list[i], c.list[i]) {
			return false
		}
	}
	for k, v := range b.named {
		w, ok := c.named[k]
		if !ok || !equalValue(v, w) {
			return false
		}
	}
	return true
}

func equalValue(a, b any) bool {
	x, ok := a.([]byte)
	y, ok2 := b.([]byte)
	if ok || ok2 {
		return ok && ok2 && bytes.Equal(x, y)
	}
	return a == b
}

// UnmarshalJSON decodes the driver's form.
func (b *Binds) UnmarshalJSON(data []byte) error {
	*b = Binds{}
	s := scanner{s: string(bytes.TrimSpace(data))}
	if s.s == "" {
		return nil
	}
	return s.binds(b)
}

// appendValue appends the form in which a column's value goes to the driver: what LiveStore's binding reads it as.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		if v >= 1<<53 || v < -(1<<53) { // the binding makes a BigInt of it
			return append(strconv.AppendInt(append(b, `{"$":"int","v":"`...), v, 10), `"}`...)
		}
		return strconv.AppendInt(b, v, 10)
	case float64:
		switch {
		case math.IsInf(v, 1):
			return append(b, `{"$":"inf","v":"+"}`...)
		case math.IsInf(v, -1):
			return append(b, `{"$":"inf","v":"-"}`...)
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case string:
		// The binding decodes a C string with a TextDecoder: it ends at a NUL, and a byte order mark at its head is lost.
		v, _, _ = strings.Cut(v, "\x00")
		return appendString(b, strings.TrimPrefix(v, "\ufeff"))
	case []byte:
		b = append(b, `{"$":"blob","v":"`...)
		return append(base64.StdEncoding.AppendEncode(b, v), `"}`...)
	}
	return append(b, "null"...)
}

func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			q, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // json.Marshal of a string can't fail
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
