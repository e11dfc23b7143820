package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
)

func follow(t *testing.T, tg replay.Target, entries []entry) (*replay.Live, string) {
	t.Helper()
	out := outFile(t)
	live, res, err := replay.Follow(t.Context(), launcher(t), tg, openLog(t, "file:"+writeLog(t, entries, 0)), options(out), replay.LiveOptions{Namespace: "ns"})
	if err != nil || res.Poison != nil {
		t.Fatal(err, res.Poison)
	}
	t.Cleanup(live.Close)
	return live, out
}

// next numbers events after the state's head.
func next(live *replay.Live, entries ...entry) []livestore.Event {
	var out []livestore.Event
	head := live.Head.Global
	for _, e := range entries {
		out = append(out, livestore.Event{
			Name: e.name, Args: json.RawMessage(e.args), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: head + 1}, Parent: livestore.ClientSeq{Global: head},
		})
		head++
	}
	return out
}

func plain(id string) entry {
	return entry{name: "v1.Plain", args: fmt.Sprintf(`{"id":%q,"text":"t"}`, id)}
}

// tryOnTop tries one event.
func tryOnTop(t *testing.T, live *replay.Live, e entry) {
	t.Helper()
	n := live.Top().Global
	ev := next(live, e)
	ev[0].Seq.Global, ev[0].Parent.Global = n+1, n
	if p, err := live.Try(ev); err != nil || p != nil {
		t.Fatal(err, p)
	}
}

func ask(t *testing.T, live *replay.Live, sql string) (rows [][]any) {
	t.Helper()
	err := live.Query(sql, func(_ []string, values []any) error {
		rows = append(rows, values)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// A state that grew event by event is the one that a replay of the longer log gives.
func TestLiveIsReplay(t *testing.T) {
	tg := schemaOf(t, "plain.ts")
	all := []entry{plain("a"), plain("b"), {name: "v9.Other", args: "{}"}, plain("c"), plain("d")}
	live, _ := follow(t, tg, all[:2])
	if p, err := live.Apply(next(live, all[2:4]...)); err != nil || p != nil {
		t.Fatal(err, p)
	}
	// What is tried and dropped is gone, good or bad; what is kept stays, also under what is dropped on top of it.
	if p, err := live.Try(next(live, plain("e"), plain("f"))); err != nil || p != nil || live.Top().Global != 6 || live.Head.Global != 4 {
		t.Fatal(err, p, live.Top(), live.Head)
	}
	if err := live.Query("SELECT 1", func([]string, []any) error { return nil }); err == nil {
		t.Error("a state on trial was asked")
	}
	if err := live.Drop(); err != nil {
		t.Fatal(err)
	}
	p, err := live.Try(next(live, plain("e"), entry{name: "v1.Throwing", args: `{"id":"x","secret":"hush"}`}))
	if err != nil || p == nil || p.Event != "v1.Throwing" || p.Seq.Global != 6 {
		t.Fatalf("error %v, poison %+v", err, p)
	}
	tryOnTop(t, live, all[4])
	tryOnTop(t, live, plain("g"))
	if err := live.Keep(); err != nil {
		t.Fatal(err)
	}
	tryOnTop(t, live, plain("h"))
	if err := live.Drop(); err != nil {
		t.Fatal(err)
	}
	for range 3 * 16 { // more than lie on each other
		tryOnTop(t, live, plain("i"))
		if !live.Room() {
			if err := live.Drop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := live.Drop(); err != nil {
		t.Fatal(err)
	}
	if live.Head.Global != 5 {
		t.Errorf("head %s", live.Head)
	}
	snapshot := filepath.Join(t.TempDir(), "snapshot.db")
	if err := live.Snapshot(snapshot); err != nil {
		t.Fatal(err)
	}
	whole := outFile(t)
	run(t, tg, openLog(t, "file:"+writeLog(t, all, 0)), options(whole))
	a, err := state.Open(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := state.Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	d, err := state.Compare(t.Context(), a, b, state.Options{Rows: 5, Reveal: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, table := range d.Tables {
		rows += table.RowsA
		if !table.Equal() {
			t.Errorf("%+v", table)
		}
	}
	if rows < 4 {
		t.Errorf("only %d rows", rows)
	}
}

func TestLiveQuery(t *testing.T) {
	live, _ := follow(t, schemaOf(t, "plain.ts"), []entry{plain("a")})
	got := ask(t, live, "SELECT 1, 9007199254740993, 1.5, 2.0, 'ü', x'00ff', x'', NULL")
	want := [][]any{{int64(1), int64(9007199254740993), 1.5, 2.0, "ü", []byte{0, 255}, []byte{}, nil}}
	if diff := cmp.Diff(want, got, cmp.Transformer("blob", func(b []byte) string { return string(b) })); diff != "" {
		t.Error(diff)
	}
	// More rows than one part of an answer holds.
	rows := ask(t, live, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 30000) SELECT i, 'xxxxxxxxxxxxxxxxxxxx' FROM n")
	if len(rows) != 30000 || rows[29999][0] != int64(30000) {
		t.Errorf("%d rows, last %v", len(rows), rows[len(rows)-1])
	}
	ids := ask(t, live, "SELECT uuid5('a'), uuid5('a'), uuid5('b'), uuid5(NULL)")[0]
	if ids[0] != ids[1] || ids[0] == ids[2] || ids[0] != engine.UUID5("ns", "a") || ids[3] != nil {
		t.Errorf("uuid5: %v", ids)
	}
	for _, sql := range []string{"SELECT nothing", "DELETE FROM plain", "CREATE TABLE x(a)", "SELECT abs(-9223372036854775808)"} {
		err := live.Query(sql, func([]string, []any) error { return nil })
		var refused *replay.QueryError
		if !errors.As(err, &refused) {
			t.Errorf("%s: error %v", sql, err)
		}
	}
	// A refused query leaves the state usable.
	if rows := ask(t, live, "SELECT count(*) FROM sqlite_schema WHERE name = 'x'"); rows[0][0] != int64(0) {
		t.Error("a query created a table")
	}
	if p, err := live.Apply(next(live, plain("b"))); err != nil || p != nil {
		t.Fatal(err, p)
	}
}

func TestFollowPoison(t *testing.T) {
	out := outFile(t)
	log := openLog(t, "file:"+writeLog(t, []entry{plain("a"), {name: "v1.Plain", args: `{"id":"a"}`}}, 0))
	live, res, err := replay.Follow(t.Context(), launcher(t), schemaOf(t, "plain.ts"), log, options(out), replay.LiveOptions{Namespace: "ns"})
	if err != nil || live != nil || res.Poison == nil || res.Poison.Seq.Global != 2 {
		t.Fatalf("live %v, error %v, poison %+v", live != nil, err, res.Poison)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a state")
	}
}
