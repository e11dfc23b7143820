package replay_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/livestore/replay/state"
	"headgate/internal/testenv"
)

// manifest is examples/todo/data/manifest.json.
type manifest struct {
	Demo struct {
		Log, Dump, Record string
	} `json:"demo"`
	Fidelity []struct {
		Seed   int
		Log    string
		States []struct{ Release, StateHash, File string }
	} `json:"fidelity"`
}

// Every release of the example over every seeded log gives the state that LiveStore itself wrote, value and type by
// value, tables and indexes.
func TestSameAsLiveStore(t *testing.T) {
	data := filepath.Join(testenv.Example(t, "todo"), "data")
	var m manifest
	readJSON(t, filepath.Join(data, "manifest.json"), &m)
	compared := 0
	for _, f := range m.Fidelity {
		for _, s := range f.States {
			t.Run(fmt.Sprintf("%d/%s", f.Seed, s.Release), func(t *testing.T) {
				t.Parallel()
				tg := todo(t, s.Release)
				if tg.Release.StateHash != s.StateHash {
					t.Fatalf("state hash %s, LiveStore's is %s", tg.Release.StateHash, s.StateHash)
				}
				out := outFile(t)
				res := run(t, tg, openLog(t, "file:"+filepath.Join(data, f.Log)), options(out))
				if res.Poison != nil {
					t.Fatalf("poison: %s", res.Poison)
				}
				if len(res.Unverifiable)+len(res.NotDerivable) > 0 {
					t.Errorf("unverifiable %q, not derivable %q", res.Unverifiable, res.NotDerivable)
				}
				sameState(t, gunzip(t, filepath.Join(data, s.File)), out)
			})
			compared++
		}
	}
	if compared < 12 {
		t.Fatalf("only %d states to compare", compared)
	}
}

// sameState fails the test where two states differ.
func sameState(t testing.TB, want, got string) {
	t.Helper()
	a, err := state.Open(want)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := state.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d, err := state.Compare(t.Context(), a, b, state.Options{Rows: 3, Reveal: true})
	if err != nil {
		t.Fatal(err)
	}
	var rows int64
	for _, o := range d.Schema {
		t.Errorf("%s %s:\nLiveStore: %s\nheadgate:  %s", o.Type, o.Name, o.A, o.B)
	}
	for _, tab := range d.Tables {
		rows += tab.RowsA
		if tab.OnlyA+tab.OnlyB+tab.Changed > 0 {
			t.Errorf("%s: %d rows only in LiveStore's, %d only in headgate's, %d changed: %+v", tab.Name, tab.OnlyA, tab.OnlyB, tab.Changed, tab.Rows)
		}
	}
	if rows == 0 {
		t.Error("LiveStore's state is empty: nothing was compared")
	}
	da, err := a.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db, err := b.Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if same := da.Digest == db.Digest; same != d.Equal {
		t.Errorf("the digests say equal: %v, the comparison says %v", same, d.Equal)
	}
}

// gunzip unpacks a state file; a file without the extension is used as it is.
func gunzip(t testing.TB, path string) string {
	t.Helper()
	if !strings.HasSuffix(path, ".gz") {
		return path
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "livestore.db")
	w, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, z); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}
