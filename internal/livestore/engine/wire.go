package engine

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
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
	data = bytes.TrimSpace(data)
	switch {
	case len(data) == 0 || string(data) == "null":
		return nil
	case data[0] == '[':
		var raw []json.RawMessage
		if err := json.Unmarshal(data, &raw); err != nil {
			return err
		}
		b.list = make([]any, len(raw))
		for i, r := range raw {
			v, err := decodeValue(r)
			if err != nil {
				return err
			}
			b.list[i] = v
		}
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	b.named = make(map[string]any, len(raw))
	for k, r := range raw {
		v, err := decodeValue(r)
		if err != nil {
			return err
		}
		b.named[k] = v
	}
	return nil
}

func decodeValue(raw json.RawMessage) (any, error) {
	switch raw[0] {
	case 'n':
		return nil, nil
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{':
		var v struct {
			Kind string `json:"$"`
			V    string `json:"v"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, err
		}
		switch v.Kind {
		case "blob":
			return base64.StdEncoding.DecodeString(v.V)
		case "int":
			return strconv.ParseInt(v.V, 10, 64)
		case "inf":
			if v.V == "-" {
				return math.Inf(-1), nil
			}
			return math.Inf(1), nil
		}
		return nil, fmt.Errorf("unknown value kind %q", v.Kind)
	}
	return strconv.ParseFloat(string(raw), 64)
}

// encodeValue is the form in which a column's value goes to the driver.
func encodeValue(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]string{"$": "blob", "v": base64.StdEncoding.EncodeToString(v)}
	case int64:
		if v > 1<<53 || v < -(1<<53) {
			return map[string]string{"$": "int", "v": strconv.FormatInt(v, 10)}
		}
		return v
	case float64:
		if math.IsInf(v, 0) {
			sign := "+"
			if v < 0 {
				sign = "-"
			}
			return map[string]string{"$": "inf", "v": sign}
		}
		return v
	}
	return v
}
