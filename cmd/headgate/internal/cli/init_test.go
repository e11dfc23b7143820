package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/cmd/headgate/internal/discover"
	"headgate/internal/errs"
)

func TestChoose(t *testing.T) {
	schemas := []discover.Schema{{Path: "a.ts", Export: "a"}, {Path: "b.ts", Export: "b"}, {Path: "c.ts", Export: "c"}}
	for _, tc := range []struct {
		typed  string
		want   []string
		prints string
		err    errs.Code
	}{
		{typed: "\n", want: []string{"a.ts", "b.ts", "c.ts"}},
		{typed: "2\n", want: []string{"b.ts"}},
		{typed: "3, 1 3\n", want: []string{"c.ts", "a.ts"}},
		{typed: "4\nx\n0\n1", want: []string{"a.ts"}, prints: `"4" is none of 1 to 3.`},
		{typed: "", err: errs.Interrupted},
	} {
		var stderr bytes.Buffer
		a := newApp(strings.NewReader(tc.typed), &bytes.Buffer{}, &stderr, lookup(nil), time.Now)
		a.interactive = true
		chosen, err := a.choose(schemas)
		if code := errs.CodeOf(err); code != tc.err {
			t.Errorf("%q: error %v, want %q", tc.typed, err, tc.err)
		}
		var got []string
		for _, s := range chosen {
			got = append(got, s.Path)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.typed, diff)
		}
		if !strings.Contains(stderr.String(), "2  b.ts (b)") || !strings.Contains(stderr.String(), tc.prints) {
			t.Errorf("%q: asked %q", tc.typed, &stderr)
		}
	}
}

func TestSchemaNames(t *testing.T) {
	got := schemaNames([]discover.Schema{
		{Path: "src/livestore/schema.ts", Export: "schema"},
		{Path: "src/mailbox/schema.ts", Export: "schema"},
		{Path: "src/x.ts", Export: "threadSchema"},
		{Path: "src/thread/schema.ts", Export: "default"},
		{Path: "packages/über/index.ts", Export: "schema"},
		{Path: "src/labels-schema.ts", Export: "schema"},
	})
	if diff := cmp.Diff([]string{"main", "mailbox", "thread", "thread2", "ber", "labels"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestInitQuotes: names that YAML would read as something else survive the way into the file and back.
func TestInitQuotes(t *testing.T) {
	for _, entry := range []string{"src/schema.ts", "src/a b/schema.ts", "src/${x}/schema.ts", "a: b/schema.ts", "#a/schema.ts", `q"/schema.ts`} {
		a, _, _ := testApp(t, nil)
		path := filepath.Join(a.dir, filepath.FromSlash(entry))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			path:                                 "import { makeSchema } from '@livestore/livestore'\nexport const on = makeSchema({})",
			filepath.Join(a.dir, "package.json"): `{"name": "null", "dependencies": {"@livestore/livestore": "0.4.0"}}`,
		} {
			if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.init(false, false); err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		c, err := a.config()
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		if c.App != "null" || c.Schemas[0].Export != "on" || c.Schemas[0].Entry != path {
			t.Errorf("%s: app %q, export %q, entry %q", entry, c.App, c.Schemas[0].Export, c.Schemas[0].Entry)
		}
	}
}
