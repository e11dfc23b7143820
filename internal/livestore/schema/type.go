package schema

import (
	"encoding/json"
)

// A Kind names a node of an Effect Schema AST.
type Kind string

// The kinds follow Effect 3's SchemaAST. Opaque is a node that could not be dumped: "cannot analyse".
const (
	String          Kind = "string"
	Number          Kind = "number"
	Boolean         Kind = "boolean"
	BigInt          Kind = "bigint"
	SymbolKind      Kind = "symbol"
	UniqueSymbol    Kind = "uniqueSymbol"
	Undefined       Kind = "undefined"
	Void            Kind = "void"
	Never           Kind = "never"
	Any             Kind = "any"
	Unknown         Kind = "unknown"
	Object          Kind = "object" // any object, no fields known
	Literal         Kind = "literal"
	Enum            Kind = "enum"
	TemplateLiteral Kind = "templateLiteral"
	Tuple           Kind = "tuple"  // elements, then rest; an array is a tuple with no elements and one rest type
	Struct          Kind = "struct" // fields and index signatures; a record is a struct with index signatures only
	Union           Kind = "union"
	Refinement      Kind = "refinement"
	Transform       Kind = "transform"
	Declaration     Kind = "declaration" // a class or another type that only code can check
	Suspend         Kind = "suspend"     // a recursive type: ID names it, Type is its body
	Ref             Kind = "ref"         // a mention of the Suspend with the same ID
	Opaque          Kind = "opaque"
)

// A Type is one node of headgate's canonical dump of an Effect Schema AST. It holds the whole schema, both sides:
// Wire projects it to the encoded side, which is what lies in an event log. Only the fields of its Kind are set.
type Type struct {
	Kind Kind `json:"kind"`

	// Value is a Literal's value: a JSON string, number, boolean or null, or {"bigint":"1"}.
	Value json.RawMessage `json:"value,omitempty"`

	// Values are an Enum's values in source order, as JSON.
	Values []json.RawMessage `json:"values,omitempty"`

	// Pattern is a TemplateLiteral's regular expression.
	Pattern string `json:"pattern,omitempty"`

	// Elements and Rest are a Tuple's.
	Elements []Element `json:"elements,omitempty"`
	Rest     []*Type   `json:"rest,omitempty"`

	// Fields and Index are a Struct's, fields sorted by name.
	Fields []Field `json:"fields,omitempty"`
	Index  []Index `json:"index,omitempty"`

	// Members are a Union's, in the order in which they are tried.
	Members []*Type `json:"members,omitempty"`

	// From is a Refinement's base, or a Transform's encoded side; To is a Transform's decoded side.
	From *Type `json:"from,omitempty"`
	To   *Type `json:"to,omitempty"`

	// Filter is a Refinement's.
	Filter *Filter `json:"filter,omitempty"`

	// How says what a Transform does: "compose" (nothing), "fields" (see Renames and defaults in Keys) or
	// "function" (a body that only code knows).
	How string `json:"how,omitempty"`
	// Keys are the field rules of a Transform with How "fields", sorted by From.
	Keys []Key `json:"keys,omitempty"`

	// ID is a Declaration's, Suspend's or Ref's identifier; for a Transform or Refinement the Effect identifier
	// ("DateFromNumber") where it has one.
	ID string `json:"id,omitempty"`
	// Params are a Declaration's type parameters.
	Params []*Type `json:"params,omitempty"`
	// Type is a Suspend's body.
	Type *Type `json:"type,omitempty"`

	// Excess is the node's own excess-property policy when it sets one: "error" or "preserve" ("ignore" is Effect's default).
	Excess string `json:"excess,omitempty"`

	// Why says why a node is Opaque.
	Why string `json:"why,omitempty"`
}

// An Element is one position of a Tuple.
type Element struct {
	Type     *Type `json:"type"`
	Optional bool  `json:"optional,omitempty"`
}

// A Field is one property of a Struct.
type Field struct {
	Name       string `json:"name"`
	Type       *Type  `json:"type"`
	Optional   bool   `json:"optional,omitempty"`
	Deprecated string `json:"deprecated,omitempty"`
}

// An Index is an index signature of a Struct: every key that matches Key has a value of type Value.
type Index struct {
	Key   *Type `json:"key"`
	Value *Type `json:"value"`
}

// A Filter is what a Refinement demands beyond its base type.
type Filter struct {
	// ID is Effect's name for a known filter ("MinLength", "Int", "Pattern"…), empty for one the app wrote.
	ID string `json:"id,omitempty"`
	// Params are the filter's parameters as JSON Schema keywords, where Effect says them.
	Params json.RawMessage `json:"params,omitempty"`
}

// Opaque reports whether only code knows what f accepts.
func (f *Filter) Opaque() bool { return f == nil || f.ID == "" }

// A Key is one field rule of a Transform: the wire key From becomes the decoded name To.
type Key struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Default is the decoding default as JSON when the wire key is absent; nil when there is none. A default that
	// isn't plain JSON, or that differs from call to call, is `{"opaque":true}`.
	Default json.RawMessage `json:"default,omitempty"`
}
