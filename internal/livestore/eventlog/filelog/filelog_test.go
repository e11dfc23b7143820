package filelog_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realLog is testdata/eventlog@6.db: a log that LiveStore 0.4.0's node client wrote. alice committed e4 to e5.1
// offline, synced when bob had written e1 to e3, committed e6 online and the rest offline again.
func realLog() []livestore.Event {
	at := time.Date(2026, 11, 23, 1, 19, 18, 749e6, time.UTC)
	seq := func(global, client, rebase int64) livestore.ClientSeq {
		return livestore.ClientSeq{Global: livestore.SeqNum(global), Client: client, Rebase: rebase}
	}
	event := func(s, parent livestore.ClientSeq, name, args, client, session string, hash int64) livestore.Event {
		return livestore.Event{
			Seq: s, Parent: parent, Name: name, Args: json.RawMessage(args), ClientID: client, SessionID: session,
			SchemaHash: hash, HasSchemaHash: true, Pending: s.Global > 6,
		}
	}
	log := []livestore.Event{
		event(seq(1, 0, 0), seq(0, 0, 0), "v1.TodoCreated", `{"id":"b1","text":"bob"}`, "bob", "static", -862189082),
		event(seq(2, 0, 0), seq(1, 0, 0), "v1.AllCleared", `{}`, "bob", "static", 909262109), // committed as null
		event(seq(3, 0, 0), seq(2, 0, 0), "v1.TodoDeleted", `{"id":"b1","deletedAt":"1969-07-20T20:17:00.000Z"}`, "bob", "static", 763783046),
		event(seq(4, 0, 1), seq(3, 0, 0), "v1.TodoCreated", `{"id":"p1","text":"pending \"q\" héllo ✓ \\ud800 `+"\u2028"+` <&>"}`, "alice", "static.1-3-0", -862189082),
		event(seq(4, 1, 1), seq(4, 0, 1), "v1.UiSet", `{"key":"k","value":""}`, "alice", "static.1-3-0", -921879350),
		event(seq(5, 0, 1), seq(4, 0, 1), "v1.TodoCompleted", `{"id":"p1"}`, "alice", "static.1-3-0", -795249987),
		event(seq(5, 1, 1), seq(5, 0, 1), "v1.UiSet", `{"key":"k2","value":"x"}`, "alice", "static.1-4-0", -921879350),
		event(seq(6, 0, 1), seq(5, 0, 1), "v1.TodoCreated", `{"id":"p2","text":"two"}`, "alice", "static.1-4-0", -862189082),
		event(seq(7, 0, 1), seq(6, 0, 1), "v1.TodoCreated", `{"id":"p3","text":"three"}`, "alice", "static.1-5-0", -862189082),
		event(seq(7, 1, 1), seq(7, 0, 1), "v1.UiSet", `{"key":"k3","value":"y"}`, "alice", "static.1-5-0", -921879350),
		event(seq(8, 0, 1), seq(7, 0, 1), "v1.TodoUncompleted", `{"id":"p3"}`, "alice", "static.1-5-0", -795249987),
	}
	for i := range 3 {
		log[i].CreatedAt = at
	}
	return log
}

func TestSuite(t *testing.T) {
	temp := t.TempDir()
	eventlogtest.Run(t, eventlogtest.Case{
		Open: func(ctx context.Context) (eventlog.Reader, error) {
			return filelog.Open(ctx, filepath.Join("testdata", "eventlog@6.db"), filelog.Options{TempDir: temp})
		},
		Want: realLog(),
		Head: eventlog.Head{
			Confirmed: 6, Last: livestore.ClientSeq{Global: 8, Rebase: 1},
			BackendID: "ybARfSQV65xvMNFsreyiG", Events: 11,
		},
		ClientOnly: true,
	})
	if left, _ := os.ReadDir(temp); len(left) > 0 {
		t.Errorf("copies are left: %v", left)
	}
}

// TestExampleData compares what is read of the example's logs with the record of the script that had LiveStore
// write them.
func TestExampleData(t *testing.T) {
	data := filepath.Join(testenv.Root(t), "examples", "todo", "data")
	records, err := filepath.Glob(filepath.Join(data, "fidelity", "*", "seed.json"))
	if err != nil {
		t.Fatal(err)
	}
	records = append(records, filepath.Join(data, "demo", "seed.json"))
	if len(records) < 2 {
		t.Fatalf("only %d logs in %s", len(records), data)
	}
	for _, record := range records {
		t.Run(filepath.Base(filepath.Dir(record)), func(t *testing.T) {
			var want struct {
				Alice struct {
					Log struct {
						Events        int64
						ByName        map[string]int64
						ConfirmedHead livestore.SeqNum
						Head          livestore.SeqNum
						Pending       int64
					}
				}
			}
			text, err := os.ReadFile(record)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			r := open(t, filepath.Dir(record))
			head, err := r.Head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := want
			log := &got.Alice.Log
			log.Events, log.ConfirmedHead, log.Head, log.Pending, log.ByName = head.Events, head.Confirmed, head.Last.Global, 0, map[string]int64{}
			events := eventlog.Check(livestore.ClientSeq{}, r.Events(t.Context(), livestore.ClientSeq{}), func(p eventlog.Problem) { t.Error(p) })
			for e, err := range events {
				if err != nil {
					t.Fatal(err)
				}
				log.ByName[e.Name]++
				if e.Pending && !e.ClientOnly() {
					log.Pending++
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("the log and its record (-record +read):\n%s", d)
			}
		})
	}
}

func TestMalformedRowsAreGonePast(t *testing.T) {
	path := generate(t, loggen.Spec{N: 9, Seed: 3})
	exec(t, path, `UPDATE eventlog SET argsJson = '{"secret":' WHERE seqNumGlobal = 3;
		UPDATE eventlog SET argsJson = '' WHERE seqNumGlobal = 5;
		UPDATE eventlog SET syncMetadataJson = '{"_tag":"Perhaps"}' WHERE seqNumGlobal = 7;
		UPDATE eventlog SET argsJson = CAST(x'22ff22' AS TEXT) WHERE seqNumGlobal = 9`)
	var good, bad []livestore.SeqNum
	for e, err := range open(t, path).Events(t.Context(), livestore.ClientSeq{}) {
		var m *eventlog.Malformed
		switch {
		case errors.As(err, &m):
			bad = append(bad, m.Seq.Global)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the payload: %v", err)
			}
			if e.Seq != m.Seq || e.Name == "" || e.Args != nil {
				t.Errorf("beside the error of %s: %+v", m.Seq, e)
			}
		case err != nil:
			t.Fatal(err)
		default:
			good = append(good, e.Seq.Global)
		}
	}
	if d := cmp.Diff([]livestore.SeqNum{1, 2, 4, 6, 8}, good); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]livestore.SeqNum{3, 5, 7, 9}, bad); d != "" {
		t.Errorf("malformed events (-want +got):\n%s", d)
	}
}

// TestOtherProvidersMetadata has metadata of sync-electric and sync-s2, which hold no time.
func TestOtherProvidersMetadata(t *testing.T) {
	path := generate(t, loggen.Spec{N: 3, Seed: 3, Start: time.Unix(1e9, 0)})
	exec(t, path, `UPDATE eventlog SET syncMetadataJson = '{"_tag":"Some","value":{"offset":"101_0","handle":"123-456"}}' WHERE seqNumGlobal = 1;
		UPDATE eventlog SET syncMetadataJson = '{"_tag":"Some","value":17}' WHERE seqNumGlobal = 2`)
	events := eventlogtest.Collect(t, open(t, path), livestore.ClientSeq{})
	for i, want := range []bool{true, true, false} {
		if got := events[i].CreatedAt.IsZero(); got != want {
			t.Errorf("event %s without a time: %v, want %v", events[i].Seq, got, want)
		}
	}
}

func TestNothingIsSorted(t *testing.T) {
	db := openSQL(t, generate(t, loggen.Spec{N: 1, Seed: 1}))
	rows, err := db.Query("EXPLAIN QUERY PLAN "+filelog.EventsQuery, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	steps := 0
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		steps++
		if strings.Contains(detail, "TEMP B-TREE") || strings.HasPrefix(detail, "SCAN") {
			t.Errorf("SQLite does not follow the index: %s", detail)
		}
	}
	if err := rows.Err(); err != nil || steps == 0 {
		t.Fatalf("%d steps, error %v", steps, err)
	}
}

func open(t testing.TB, path string) *filelog.Reader {
	t.Helper()
	r, err := filelog.Open(t.Context(), path, filelog.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// generate writes a log into a folder of its own and returns its path.
func generate(t testing.TB, s loggen.Spec) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "eventlog@6.db")
	if _, err := s.WriteFile(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func openSQL(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, path, statements string) {
	t.Helper()
	db := openSQL(t, path)
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
