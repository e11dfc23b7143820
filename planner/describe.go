package planner

import (
	"regexp"
	"strconv"
	"strings"

	"headgate/internal/livestore/schema"
)

var identifier = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)

// childPath is the path of a struct's field.
func childPath(path, name string) string {
	if identifier.MatchString(name) {
		return path + "." + name
	}
	return path + "[" + strconv.Quote(name) + "]"
}

// describe says in a few words what t accepts on the wire. Literals are shown: they stand in the schema, not in a payload.
func describe(t *schema.Type) string { return describeDepth(t, 2) }

func describeDepth(t *schema.Type, depth int) string {
	if t == nil {
		return "nothing"
	}
	switch t.Kind {
	case schema.Literal:
		return string(t.Value)
	case schema.Enum:
		var parts []string
		for _, v := range t.Values {
			parts = append(parts, string(v))
		}
		return shorten(parts, " | ")
	case schema.TemplateLiteral:
		return "string matching " + t.Pattern
	case schema.Struct:
		return describeStruct(t, depth)
	case schema.Tuple:
		return describeTuple(t, depth)
	case schema.Union:
		var parts []string
		for _, m := range t.Members {
			if m.Kind == schema.Undefined && len(t.Members) > 1 {
				continue // an optional field says so elsewhere
			}
			parts = append(parts, describeDepth(m, depth-1))
		}
		return shorten(parts, " | ")
	case schema.Refinement:
		name := t.ID
		if name == "" && !t.Filter.Opaque() {
			name = t.Filter.ID
		}
		if name == "" {
			name = "a filter of the app"
		}
		return describeDepth(t.From, depth) + " with " + name
	case schema.Transform:
		s := describeDepth(t.From, depth)
		if t.ID != "" {
			s += " (" + t.ID + ")"
		}
		return s
	case schema.Declaration, schema.Suspend, schema.Ref:
		if t.ID != "" {
			return t.ID
		}
	case schema.Opaque:
		return "a type that can't be analysed"
	}
	return string(t.Kind)
}

func describeStruct(t *schema.Type, depth int) string {
	if len(t.Fields) == 0 && len(t.Index) > 0 {
		return "record of " + describeDepth(t.Index[0].Value, depth-1)
	}
	if depth <= 0 {
		return "struct"
	}
	var parts []string
	for _, f := range t.Fields {
		name := f.Name
		if f.Optional {
			name += "?"
		}
		parts = append(parts, name)
	}
	return "struct {" + shorten(parts, ", ") + "}"
}

func describeTuple(t *schema.Type, depth int) string {
	if isArray(t) {
		return "array of " + describeDepth(t.Rest[0], depth-1)
	}
	var parts []string
	for _, e := range t.Elements {
		s := describeDepth(e.Type, depth-1)
		if e.Optional {
			s += "?"
		}
		parts = append(parts, s)
	}
	for _, r := range t.Rest {
		parts = append(parts, "..."+describeDepth(r, depth-1))
	}
	return "[" + shorten(parts, ", ") + "]"
}

func isArray(t *schema.Type) bool {
	return t.Kind == schema.Tuple && len(t.Elements) == 0 && len(t.Rest) == 1
}

// shorten joins parts and leaves out what would make the line long.
func shorten(parts []string, sep string) string {
	const most = 6
	if len(parts) > most {
		parts = append(parts[:most:most], "… "+strconv.Itoa(len(parts)-most)+" more")
	}
	return strings.Join(parts, sep)
}
