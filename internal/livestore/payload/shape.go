package payload

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"headgate/internal/livestore/schema"
)

// maxShape bounds how much of a large value a shape shows.
const maxShape = 12

// Shape describes a payload by key, type and length, without its values: {"id":string(2),"estimate":fraction}. Keys
// that the type lets a payload leave out, and this one does, stand there as absent; t may be nil.
func Shape(v any, t *schema.Type) string {
	var b strings.Builder
	var env map[string]*schema.Type
	if t != nil {
		env = t.Suspends()
	}
	shape(&b, v, t, env, 0)
	return b.String()
}

// ShapeJSON is Shape of encoded arguments.
func ShapeJSON(args json.RawMessage, t *schema.Type) string {
	var v any
	if err := json.Unmarshal(args, &v); err != nil {
		return "malformed"
	}
	return Shape(v, t)
}

func shape(b *strings.Builder, v any, t *schema.Type, env map[string]*schema.Type, depth int) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString("boolean")
	case string:
		fmt.Fprintf(b, "string(%d)", utf16Len(v))
	case float64:
		b.WriteString(numberShape(v))
	case []any:
		fmt.Fprintf(b, "array(%d)", len(v))
		if len(v) == 0 || depth > 3 {
			return
		}
		b.WriteString("[")
		for i, e := range v {
			if i > 0 {
				b.WriteString(",")
			}
			if i == maxShape {
				b.WriteString("…")
				break
			}
			shape(b, e, itemType(t, env, i), env, depth+1)
		}
		b.WriteString("]")
	case map[string]any:
		structShape(b, v, t, env, depth)
	}
}

// structShape shows the keys that the type declares. Any other key is data, as a record's is; without a type all are shown.
func structShape(b *strings.Builder, v map[string]any, t *schema.Type, env map[string]*schema.Type, depth int) {
	fields := map[string]*schema.Type{}
	optional := declared(t, env, fields, 0)
	keys := slices.Collect(maps.Keys(v))
	if optional {
		for k := range fields {
			if _, there := v[k]; !there {
				keys = append(keys, k)
			}
		}
	}
	sort.Strings(keys)
	b.WriteString("{")
	for i, k := range keys {
		if i > 0 {
			b.WriteString(",")
		}
		if i == 3*maxShape {
			fmt.Fprintf(b, "… %d more keys", len(keys)-i)
			break
		}
		if _, known := fields[k]; known || t == nil {
			fmt.Fprintf(b, "%q:", k)
		} else {
			fmt.Fprintf(b, "key(%d):", utf16Len(k))
		}
		if child, there := v[k]; there {
			shape(b, child, fields[k], env, depth+1)
		} else {
			b.WriteString("absent")
		}
	}
	b.WriteString("}")
}

// declared collects the fields that t declares, those of a union's members included. It reports whether t is one struct.
func declared(t *schema.Type, env, fields map[string]*schema.Type, depth int) bool {
	if t == nil || depth > maxDepth {
		return false
	}
	switch n := schema.Peel(t, env).Type; n.Kind {
	case schema.Struct:
		for _, f := range n.Fields {
			fields[f.Name] = f.Type
		}
		return true
	case schema.Union:
		for _, m := range n.Members {
			declared(m, env, fields, depth+1)
		}
	}
	return false
}

// itemType is the type of position i of a tuple, nil where it is not known.
func itemType(t *schema.Type, env map[string]*schema.Type, i int) *schema.Type {
	if t == nil {
		return nil
	}
	opaque := &schema.Type{Kind: schema.Opaque}
	switch n := schema.Peel(t, env).Type; {
	case n.Kind != schema.Tuple:
		return opaque
	case i < len(n.Elements):
		return n.Elements[i].Type
	case len(n.Rest) == 1:
		return n.Rest[0]
	}
	return opaque
}

func numberShape(f float64) string {
	switch {
	case f == 0 && math.Signbit(f):
		return "-0"
	case f != math.Trunc(f):
		return "fraction"
	case f > maxSafe || f < -maxSafe:
		return "number beyond 2^53"
	case f > math.MaxInt32 || f < math.MinInt32:
		return "integer beyond 32 bits"
	case f < 0:
		return "negative integer"
	}
	return "integer"
}
