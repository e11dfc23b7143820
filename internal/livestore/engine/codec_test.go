package engine_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"headgate/internal/testenv"
)

// What the remembered parsers give of random values, fitting and not, is what Effect's own give of them, to the error's
// text and the order of keys; and where a schema is understood, Effect is not asked any more.
func TestCodecIsEffect(t *testing.T) {
	t.Parallel()
	effect := filepath.Join(testenv.Example(t, "todo"), "node_modules", "effect")
	out, err := exec.CommandContext(t.Context(), "node", "testdata/codec.mjs", "codec.js", effect, "1").Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var r struct {
		Schemas, Fitted, Refused int
		Differences              []string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range r.Differences {
		t.Error(d)
	}
	t.Logf("%d schemas, %d values that fit, %d that do not", r.Schemas, r.Fitted, r.Refused)
	if r.Refused < 1000 {
		t.Error("too few values were refused to say anything")
	}
}
