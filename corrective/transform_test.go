package corrective_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
)

func TestTransform(t *testing.T) {
	// One gap, as a damaged log has it.
	log := memory{}
	for i, n := range []int64{1, 2, 3, 5} {
		log = append(log, livestore.Event{
			Name: "v1.A", Args: json.RawMessage(`{"id":"` + string(rune('a'+i)) + `"}`), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: livestore.SeqNum(n)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(n - 1)},
		})
	}
	run := func(text string) (corrective.Transformed, string, string, error) {
		var out, provenance bytes.Buffer
		c := corrective.Corrections{}
		if text != "" {
			c = parse(t, "version: 1\nschema: main\ncorrections:\n"+text)
		}
		done, err := corrective.Transform{
			Log: log, Store: "s", Corrections: c, Out: &out, Provenance: &provenance, Now: time.Unix(0, 0), Progress: func() {},
		}.Run(t.Context())
		return done, out.String(), provenance.String(), err
	}

	const list = `
  - {name: drop, reason: r, match: {event: v1.A, where: args ->> 'id' = 'b'}, skip: true}
  - name: split
    reason: r
    match: {event: v1.A, from: e3, to: e3}
    replace:
      - {event: v2.A, args: "json_object('id', args ->> 'id')"}
      - {event: v2.B, args: "json_object('of', args ->> 'id')"}
  - {name: nothing, reason: r, match: {event: v9.Z}, skip: true}
`
	done, out, provenance, err := run(list)
	if err != nil {
		t.Fatal(err)
	}
	look := corrective.Transform{Log: log, Store: "s", Corrections: parse(t, "version: 1\nschema: main\ncorrections:\n"+list), Progress: func() {}}
	if seen, err := look.Look(t.Context()); err != nil || !cmp.Equal(seen, done) {
		t.Errorf("looked at only, it is %+v, %v", seen, err)
	}
	look.First = 2 // in the midst of what is made of one event
	if seen, err := look.Look(t.Context()); err != nil || seen.Written != 2 || seen.Digest == done.Digest {
		t.Errorf("the first two are %+v, %v", seen, err)
	}
	want := corrective.Transformed{
		Store: "s", Read: 4, Written: 4, Unchanged: 2, Digest: done.Digest,
		Corrections: []corrective.CorrectionCount{{"drop", 1, 1, 0}, {"split", 1, 0, 2}, {"nothing", 0, 0, 0}},
	}
	if d := cmp.Diff(want, done); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	path := filepath.Join(t.TempDir(), "out.json")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := dumplog.Open(t.Context(), path, dumplog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	if v, err := r.Verify(t.Context(), nil); err != nil || v.Digest != done.Digest || !v.Declared {
		t.Errorf("%+v, %v", v, err)
	}
	var got []string
	for e, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Seq.String()+" "+e.Parent.String()+" "+e.Name+" "+string(e.Args))
	}
	if d := cmp.Diff([]string{`e1 e0 v1.A {"id":"a"}`, `e2 e1 v2.A {"id":"c"}`, `e3 e2 v2.B {"of":"c"}`, `e4 e3 v1.A {"id":"d"}`}, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	var lines []corrective.Provenance
	for dec := json.NewDecoder(strings.NewReader(provenance)); ; {
		var line corrective.Provenance
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	args := func(i int) string { return eventlog.ArgsDigest(log[i].Args) }
	if d := cmp.Diff([]corrective.Provenance{
		{1, 1, "v1.A", "", args(0)}, {0, 2, "v1.A", "drop", args(1)}, {2, 3, "v1.A", "split", args(2)}, {3, 3, "v1.A", "split", args(2)}, {4, 5, "v1.A", "", args(3)},
	}, lines); d != "" {
		t.Errorf("provenance (-want +got):\n%s", d)
	}

	if done, _, _, err := run(""); err != nil || done.Written != 4 || done.Unchanged != 4 {
		t.Errorf("only numbered anew: %+v, %v", done, err)
	}
	for text, code := range map[string]errs.Code{
		"\n  - {name: nothing, reason: r, match: {event: v9.Z}, skip: true}\n":                                       errs.NotFound,
		"\n  - {name: big, reason: r, match: {event: v1.A}, rewrite: \"json_object('x', hex(zeroblob(500000)))\"}\n": errs.Refused,
		"\n  - {name: broken, reason: r, match: {event: v1.A}, rewrite: \"args ->> 'id'\"}\n":                        errs.Invalid,
	} {
		if _, out, provenance, err := run(text); errs.CodeOf(err) != code || out+provenance != "" {
			t.Errorf("error %v, want %s; wrote %d bytes", err, code, len(out+provenance))
		}
	}
}
