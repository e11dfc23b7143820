package schema_test

import (
	"testing"

	"pgregory.net/rapid"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

func TestVersions(t *testing.T) {
	ordered := []string{"0.0.0-working-tree", "0.9.9", "1.0.0-0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0-beta.1", "1.2.0", "1.10.0"}
	rapid.Check(t, func(t *rapid.T) {
		i, j := rapid.IntRange(0, len(ordered)-1).Draw(t, "i"), rapid.IntRange(0, len(ordered)-1).Draw(t, "j")
		if got := schema.CompareVersions(ordered[i], ordered[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
			t.Fatalf("%s against %s: %d", ordered[i], ordered[j], got)
		}
	})
	if schema.CompareVersions("1.0.0+a", "1.0.0+b") != 0 {
		t.Error("build metadata plays a part")
	}
	for _, bad := range []string{"", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3 ", "99999999999999999999.0.0"} {
		if _, err := schema.ParseVersion(bad); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
