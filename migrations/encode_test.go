package migrations_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"headgate/internal/livestore/schema"
	"headgate/migrations"
)

func lit(v string) *schema.Type {
	return &schema.Type{Kind: schema.Literal, Value: json.RawMessage(v)}
}

func TestEncodeValue(t *testing.T) {
	str, num := &schema.Type{Kind: schema.String}, &schema.Type{Kind: schema.Number}
	null := lit("null")
	union := func(m ...*schema.Type) *schema.Type { return &schema.Type{Kind: schema.Union, Members: m} }
	list := &schema.Type{Kind: schema.Tuple, Rest: []*schema.Type{str}}
	tests := []struct {
		name string
		typ  *schema.Type
		in   any
		want string // JSON, or "!" and a part of the complaint
	}{
		{"text", str, "a<b", `"a<b"`},
		{"integer for text", str, int64(7), "!an integer and must be text"},
		{"null for text", str, nil, "!NULL and must be text"},
		{"integer", num, int64(1<<53 - 1), "9007199254740991"},
		{"integer past 2^53", num, int64(1 << 53), "!beyond 2^53"},
		{"negative past 2^53", num, int64(math.MinInt64), "!beyond 2^53"},
		{"real", num, 0.1, "0.1"},
		{"infinite", num, math.Inf(1), "!not a finite number"},
		{"text for number", num, "7", "!text and must be a number"},
		{"true", &schema.Type{Kind: schema.Boolean}, int64(1), "true"},
		{"false", &schema.Type{Kind: schema.Boolean}, int64(0), "false"},
		{"2 for a boolean", &schema.Type{Kind: schema.Boolean}, int64(2), "!must be 0 or 1"},
		{"literal", union(lit(`"low"`), lit(`"high"`)), "low", `"low"`},
		{"no literal", union(lit(`"low"`), lit(`"high"`)), "mid", "!none of the values"},
		{"number literal of an integer column", lit("2"), int64(2), "2"},
		{"null where it is admitted", union(str, null), nil, "null"},
		{"the complaint of a nullable type is the type's", union(str, null), int64(1), "!must be text"},
		{"JSON column", list, ` ["a", "b"] `, `["a","b"]`},
		{"no JSON", list, "a", "!must be JSON text"},
		{"any object", &schema.Type{Kind: schema.Any}, `{"a": 1}`, `{"a":1}`},
		{"any text", &schema.Type{Kind: schema.Any}, `{a`, `"{a"`},
		{"blob", &schema.Type{Kind: schema.Any}, []byte{1}, "!a blob"},
		{"refinement", &schema.Type{Kind: schema.Refinement, From: num}, 1.5, "1.5"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out, why := migrations.EncodeValue(test.typ, test.in)
			if part, bad := strings.CutPrefix(test.want, "!"); bad {
				if !strings.Contains(why, part) {
					t.Errorf("got %s and %q, want a complaint with %q", out, why, part)
				}
				return
			}
			if why != "" || string(out) != test.want {
				t.Errorf("got %s, complaint %q, want %s", out, why, test.want)
			}
		})
	}
}

func TestClientIDNamesMigrationAndChecksum(t *testing.T) {
	d := migrations.Definition{Name: "00001_a:b", Checksum: "sha256-0123456789abcdef"}
	if got, want := d.ClientID(), "hg:00001_a:b:01234567"; got != want {
		t.Fatalf("ClientID() = %q, want %q", got, want)
	}
	for id, want := range map[string]string{
		d.ClientID(): "00001_a:b 01234567", "hg:x": "", "alice": "", "hg:a:b": "a b", "": "",
	} {
		m, c, ok := migrations.CommittedBy(id)
		if got := strings.TrimSpace(m + " " + c); got != want || ok != (want != "") {
			t.Errorf("CommittedBy(%q) = %q, %v, want %q", id, got, ok, want)
		}
	}
}
