package replay_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
)

func TestLiveInput(t *testing.T) {
	in := replay.Input{Table: "owners", CSV: "\ufeffid,\"full \"\"name\"\"\",x\r\na,\"Ä, b\nc\",\r\nb,7,0\n"}
	tg := schemaOf(t, "plain.ts")
	live, res, err := replay.Follow(t.Context(), launcher(t), tg, openLog(t, "file:"+writeLog(t, []entry{plain("a")}, 0)), options(outFile(t)),
		replay.LiveOptions{Inputs: []replay.Input{in, {Table: "order", CSV: "k\n"}}})
	if err != nil || res.Poison != nil {
		t.Fatal(err, res.Poison)
	}
	t.Cleanup(live.Close)
	got := ask(t, live, `SELECT o.*, typeof("full ""name"""), typeof(x), p.text FROM owners o LEFT JOIN plain p USING (id) ORDER BY id`)
	want := [][]any{{"a", "Ä, b\nc", "", "text", "text", "t"}, {"b", "7", "0", "text", "text", nil}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rows := ask(t, live, `SELECT count(*) FROM "order"`); rows[0][0] != int64(0) {
		t.Errorf("%v", rows)
	}
	err = live.Query("INSERT INTO owners VALUES ('c', '', '')", func([]string, []any) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "readonly") {
		t.Errorf("a query wrote to an input: %v", err)
	}
	// It outlives what is tried, and is in no snapshot.
	if p, err := live.Try(next(live, plain("b"))); err != nil || p != nil {
		t.Fatal(err, p)
	}
	if err := live.Drop(); err != nil {
		t.Fatal(err)
	}
	if rows := ask(t, live, "SELECT count(*) FROM owners"); rows[0][0] != int64(2) {
		t.Errorf("%v", rows)
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	if err := live.Snapshot(path); err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d, err := state.Compare(t.Context(), db, db, state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Tables) == 0 {
		t.Error("the snapshot is empty")
	}
	for _, table := range d.Tables {
		if table.Name == "owners" || table.Name == "order" {
			t.Errorf("the snapshot holds %s", table.Name)
		}
	}
}

func TestInputErrors(t *testing.T) {
	for _, c := range []struct {
		name, csv string
		line      int
		msg       string
	}{
		{"empty", "", 1, "no header row"},
		{"only empty lines", "\n\n", 1, "no header row"},
		{"no name", "a,,b\n", 1, "column 2 has no name"},
		{"twice", "id,ID\n", 1, `two columns are called "ID"`},
		{"short row", "a,b\n1,2\n\n3\n", 4, "another number of fields than the header, which has 2"},
		{"bare quote", "a,b\n1,2\n1,x\"y\n", 3, "a quote inside of a field"},
		{"open quote", "a,b\n1,2\n\"1,2\n", 3, "no end"},
		{"after a quote", "a,b\n\"1\"x,2\n", 2, "something follows after its quote"},
		{"zero byte", "a\nb\nc\x00\n", 3, "zero byte"},
		{"not UTF-8", "a\nb\n\xff", 3, "not UTF-8"},
		{"wide", strings.Repeat("a,", 2000) + "b\n", 1, "names 2001 columns"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := replay.Input{Table: "t", CSV: c.csv}.Records(func(int, []string) error { return nil })
			var e *replay.InputError
			if !errors.As(err, &e) || e.Line != c.line || !strings.Contains(e.Err.Msg, c.msg) || e.Err.Hint == "" {
				t.Errorf("%v, want line %d: %s", err, c.line, c.msg)
			}
		})
	}
}

// Whatever the text, Records gives rows of the header's width or an error with a line of it.
func FuzzInput(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "\ufeffa\r\n\"x\"\"y\"\r\n", "a,b\n\"1\n2\",3\n", "a\n\"", "a,b\n1\n", "a,A\n", "\x00", "\xff", "", "a,b\n\"\"\"\",\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		width, last := 0, 0
		err := replay.Input{Table: "t", CSV: text}.Records(func(line int, fields []string) error {
			if width == 0 {
				width = len(fields)
			}
			if len(fields) != width || line <= last || line > lines {
				t.Fatalf("line %d after %d of %d, %d fields of %d", line, last, lines, len(fields), width)
			}
			last = line
			return nil
		})
		if err == nil {
			return
		}
		var e *replay.InputError
		if !errors.As(err, &e) || e.Line < 1 || e.Line > lines+1 || e.Err.Hint == "" {
			t.Fatalf("error %#v of %d lines", err, lines)
		}
	})
}
