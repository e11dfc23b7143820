package cli

import (
	"testing"

	"headgate/internal/livestore/schema"
)

// TestSameCorrections: what corrections make is compared where both records say it. A record from before they said it can only
// be compared by the names.
func TestSameCorrections(t *testing.T) {
	release := func(corrections ...schema.Materializer) *schema.Release {
		return &schema.Release{Materializers: corrections}
	}
	on := func(event string, names, digests []string) schema.Materializer {
		return schema.Materializer{Event: event, Corrections: names, CorrectionDigests: digests}
	}
	lists, cut := []string{"lists"}, []string{"lists", "cut"}
	for _, tc := range []struct {
		name string
		a, b *schema.Release
		want bool
	}{
		{"none", release(on("v1.A", nil, nil)), release(), true},
		{"the same", release(on("v1.A", cut, []string{"d1", "d2"})), release(on("v1.A", []string{"cut", "lists"}, []string{"d2", "d1"})), true},
		{"the same name, edited", release(on("v1.A", lists, []string{"d1"})), release(on("v1.A", lists, []string{"d2"})), false},
		{"one more", release(on("v1.A", lists, []string{"d1"})), release(on("v1.A", cut, []string{"d1", "d2"})), false},
		{"an old record of the same names", release(on("v1.A", lists, nil)), release(on("v1.A", lists, []string{"d1"})), true},
		{"an old record of other names", release(on("v1.A", lists, nil)), release(on("v1.A", []string{"cut"}, []string{"d1"})), false},
		{"an old record without the last one", release(on("v1.A", lists, nil)), release(on("v1.A", cut, []string{"d1", "d2"})), false},
		{"two old records", release(on("v1.A", cut, nil)), release(on("v1.A", []string{"cut"}, nil), on("v2.A", lists, nil)), true},
		// Where one materializer says it and another does not, nothing of the record is taken for said.
		{"half an old record", release(on("v1.A", lists, []string{"d1"}), on("v2.A", cut, nil)), release(on("v1.A", lists, []string{"d9"}), on("v2.A", cut, []string{"d1", "d2"})), true},
	} {
		if sameCorrections(tc.a, tc.b) != tc.want || sameCorrections(tc.b, tc.a) != tc.want {
			t.Errorf("%s: not %v", tc.name, tc.want)
		}
	}
}
