package dumplog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// independent reads a dump with encoding/json alone.
func independent(t *testing.T, path string) (dumplog.Header, []livestore.Event) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		StoreID    livestore.StoreID
		ExportedAt string
		EventCount int64
		Events     []struct {
			Name                 string
			Args                 json.RawMessage
			SeqNum, ParentSeqNum livestore.SeqNum
			ClientID, SessionID  string
		}
	}
	if err := json.Unmarshal(text, &dump); err != nil {
		t.Fatal(err)
	}
	var all []livestore.Event
	for _, e := range dump.Events {
		var args bytes.Buffer
		if err := json.Compact(&args, e.Args); err != nil {
			t.Fatal(err)
		}
		all = append(all, livestore.Event{
			Name: e.Name, Args: args.Bytes(), ClientID: e.ClientID, SessionID: e.SessionID,
			Seq: livestore.ClientSeq{Global: e.SeqNum}, Parent: livestore.ClientSeq{Global: e.ParentSeqNum},
		})
	}
	return dumplog.Header{StoreID: dump.StoreID, ExportedAt: dump.ExportedAt, EventCount: dump.EventCount}, all
}

// dumps are of stores that real clients filled: testdata/demo.json from the backend's rows through JSON.stringify,
// the example's by its seed script.
func dumps(t *testing.T) map[string]string {
	return map[string]string{
		"small":   filepath.Join("testdata", "demo.json"),
		"example": filepath.Join(testenv.Root(t), "examples", "todo", "data", "demo", "dump.json"),
	}
}

func TestSuite(t *testing.T) {
	for name, path := range dumps(t) {
		t.Run(name, func(t *testing.T) {
			header, want := independent(t, path)
			last := want[len(want)-1].Seq
			eventlogtest.Run(t, eventlogtest.Case{
				Open: func(ctx context.Context) (eventlog.Reader, error) { return dumplog.Open(ctx, path, dumplog.Options{}) },
				Want: want,
				Head: eventlog.Head{Confirmed: last.Global, Last: last, Events: int64(len(want))},
			})
			r, err := dumplog.Open(t.Context(), path, dumplog.Options{StoreID: "demo"})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(header, r.Header()); d != "" {
				t.Errorf("header (-want +got):\n%s", d)
			}
		})
	}
}

// TestExportIsWhatLiveStoreWrites exports the client's log and compares bytes with the dump of the backend that
// the client had synced with.
func TestExportIsWhatLiveStoreWrites(t *testing.T) {
	header, _ := independent(t, dumps(t)["example"])
	want := contents(t, dumps(t)["example"])
	r, err := filelog.Open(t.Context(), filepath.Dir(dumps(t)["example"]), filelog.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	at, err := time.Parse(time.RFC3339, header.ExportedAt)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	x, err := dumplog.Export(t.Context(), r, &got, dumplog.ExportOptions{StoreID: header.StoreID, Now: at})
	if err != nil {
		t.Fatal(err)
	}
	// LiveStore passes over the one member more.
	digest := "  \"digest\": \"" + x.Digest + "\",\n"
	if d := cmp.Diff(want, strings.Replace(got.String(), digest, "", 1)); d != "" {
		t.Errorf("dump (-LiveStore's +headgate's):\n%s", d)
	}
	header.Digest = x.Digest
	if d := cmp.Diff(header, x.Header); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if x.ClientOnly == 0 || x.Pending == 0 {
		t.Errorf("left out %d clientOnly and %d pending events, the log has both", x.ClientOnly, x.Pending)
	}
}

func TestDumpOfADumpIsTheSame(t *testing.T) {
	for name, path := range dumps(t) {
		want := contents(t, path)
		header, events := independent(t, path)
		var got bytes.Buffer
		w := dumplog.NewWriter(&got, header)
		for _, e := range events {
			if err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.String()); d != "" {
			t.Errorf("%s (-read +written):\n%s", name, d)
		}
	}
}

// contents returns a dump's text. LiveStore ends none with a line end; the example's script does.
func contents(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "\n")
}

func TestWriterCounts(t *testing.T) {
	var b bytes.Buffer
	w := dumplog.NewWriter(&b, dumplog.Header{StoreID: "s", EventCount: 1})
	if err := w.Close(); err == nil {
		t.Error("a dump with fewer events than its header says")
	}
	b.Reset()
	w = dumplog.NewWriter(&b, dumplog.Header{StoreID: "s\u2028\"\x01", ExportedAt: "now"})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	// What JSON.stringify({version: 1, …, events: []}, null, 2) gives.
	want := "{\n  \"version\": 1,\n  \"storeId\": \"s\u2028\\\"\\u0001\",\n  \"exportedAt\": \"now\",\n  \"eventCount\": 0,\n  \"events\": []\n}"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("empty dump (-want +got):\n%s", d)
	}
}

func TestExportRefuses(t *testing.T) {
	event := func(seq, parent int64, args string) livestore.Event {
		return livestore.Event{
			Name: "e", Args: json.RawMessage(args), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: livestore.SeqNum(seq)}, Parent: livestore.ClientSeq{Global: livestore.SeqNum(parent)},
		}
	}
	// The frame around args is the JSON of the rest of the event.
	frame := len(`{"name":"e","args":,"seqNum":1,"parentSeqNum":0,"clientId":"c","sessionId":"s"}`)
	fits := `"` + strings.Repeat("x", dumplog.MaxEventBytes-frame-2) + `"`
	tests := []struct {
		name   string
		events []livestore.Event
		code   errs.Code // "" for accepted
		want   string
	}{
		{"nothing to export", nil, "", ""},
		{"whole", []livestore.Event{event(1, 0, "1"), event(2, 1, "2")}, "", ""},
		{"begins late", []livestore.Event{event(2, 1, "1")}, errs.Invalid, "e2: gap, 1 missing after e0"},
		{"gap", []livestore.Event{event(1, 0, "1"), event(4, 3, "2")}, errs.Invalid, "e4: gap, 2 missing after e1"},
		{"gap at the end of a whole chain", []livestore.Event{event(1, 0, "1"), event(2, 0, "2")}, errs.Invalid, "e2: broken parent chain"},
		{"just pullable", []livestore.Event{event(1, 0, fits)}, "", ""},
		{"too big to be pulled", []livestore.Event{event(1, 0, fits[:1]+"x"+fits[1:])}, errs.Refused, "899797 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			_, err := dumplog.Export(t.Context(), memory(test.events), &b, dumplog.ExportOptions{StoreID: "s"})
			if errs.CodeOf(err) != test.code {
				t.Fatalf("error %v, want one of code %q", err, test.code)
			}
			if err != nil && (!strings.Contains(err.Error(), test.want) || b.Len() > 0) {
				t.Errorf("error %q with %d bytes written, want none and %q", err, b.Len(), test.want)
			}
		})
	}
}

func TestWhatIsNotADump(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("testdata", "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	replace := func(from, to string) string {
		if !strings.Contains(string(whole), from) {
			t.Fatalf("the dump has no %q", from)
		}
		return strings.Replace(string(whole), from, to, 1)
	}
	third := strings.Index(string(whole), `"v1.TodoDeleted"`)
	tests := []struct {
		name, text string
		opt        dumplog.Options
		want       string
	}{
		{"empty", "", dumplog.Options{}, "empty"},
		{"not JSON", "SQLite format 3", dumplog.Options{}, "malformed JSON in $"},
		{"an array", "[]", dumplog.Options{}, "$ (byte 1): an object is wanted"},
		{"another object", "{}", dumplog.Options{}, `no "version"`},
		{"version 2", replace(`"version": 1`, `"version": 2`), dumplog.Options{}, "$.version (byte 15): the dump's version is not 1"},
		{"no version", replace(`"version": 1,`, ``), dumplog.Options{}, `no "version"`},
		{"no events", replace(`"events"`, `"event"`), dumplog.Options{}, `no "events"`},
		{"no count", replace(`"eventCount": 6,`, ``), dumplog.Options{}, `no "eventCount"`},
		{"store id of another kind", replace(`"storeId": "demo"`, `"storeId": 5`), dumplog.Options{}, "$.storeId (byte 31): a string is wanted, this is a number"},
		{"another store", string(whole), dumplog.Options{StoreID: "other"}, `of store "demo", not of "other"`},
		{"the key twice", replace(`"storeId": "demo"`, `"version": 1`), dumplog.Options{}, "twice"},
		{"events are an object", replace(`"events": [`, `"events": {`), dumplog.Options{}, "$.events"},
		{"truncated in an event", string(whole[:third]), dumplog.Options{}, "truncated: the file ends, after 506 bytes, inside $.events[2]"},
		{"truncated after an event", strings.TrimRight(string(whole), "}\n ]"), dumplog.Options{}, "truncated"},
		{"malformed in the middle", string(whole[:third]) + string(whole[third+1:]), dumplog.Options{}, "dump.json:26: malformed JSON in $.events[2]"},
		{"something behind it", string(whole) + "{}", dumplog.Options{}, "follows the end"},
		{"not UTF-8", replace("héllo", "h\xffllo"), dumplog.Options{}, "$.events[3]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := read(t, test.text, test.opt)
			e := errs.As(err)
			if e == nil || e.Code != errs.Invalid || !strings.Contains(e.Where, "dump.json") {
				t.Fatalf("error %v, want an invalid one with a place", err)
			}
			if !strings.Contains(e.Error(), test.want) {
				t.Errorf("error %q does not contain %q", e, test.want)
			}
		})
	}
}

// TestAnyOrder has the header behind the events, as another program may write it.
func TestAnyOrder(t *testing.T) {
	text := `{"more": {"a": [1]}, "events": [{"seqNum": 1.0, "parentSeqNum": 0, "clientId": "", "sessionId": "", "name": "n"}], "version": 1.0, "eventCount": 1, "exportedAt": "x", "storeId": "s"}`
	if err := read(t, text, dumplog.Options{StoreID: "s"}); err != nil {
		t.Error(err)
	}
	if err := read(t, text, dumplog.Options{StoreID: "t"}); err == nil {
		t.Error("a dump of another store was accepted")
	}
}

func TestMalformedEventsAreGonePast(t *testing.T) {
	text := `{"version": 1, "storeId": "s", "exportedAt": "x", "eventCount": 7, "events": [
		{"name": "ok", "seqNum": 1, "parentSeqNum": 0, "clientId": "c", "sessionId": "s"},
		{"name": "n", "args": {"secret": "value"}, "seqNum": "2", "parentSeqNum": 1, "clientId": "c", "sessionId": "s"},
		"secret",
		{"name": "n", "SeqNum": 3, "parentSeqNum": 2, "clientId": "c", "sessionId": "s"},
		{"name": "n", "seqNum": 9007199254740992, "parentSeqNum": 2, "clientId": "c", "sessionId": "s"},
		{"name": 1, "seqNum": 5, "parentSeqNum": 4, "clientId": "c", "sessionId": "s"},
		{"name": "dup", "seqNum": 9, "seqNum": 6, "parentSeqNum": 5, "clientId": "c", "sessionId": "s", "args": [ 1 , "a b" ]}]}`
	path := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := dumplog.Open(t.Context(), path, dumplog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for e, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		switch {
		case errors.As(err, &bad):
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error quotes the payload: %v", err)
			}
			got = append(got, strings.TrimPrefix(err.Error(), path+": "))
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, e.Seq.String()+" "+e.Name+" "+string(e.Args))
		}
	}
	want := []string{
		"e1 ok null",
		"$.events[1].seqNum (byte 166): event e0 is malformed: an integer of at most 2^53-1 is wanted, this is a string",
		"$.events[2] (byte 281): event e0 is malformed: an event is a string, an object is wanted",
		"$.events[3].seqNum (byte 293): event e0 is malformed: it is missing",
		"$.events[4].seqNum (byte 377): event e0 is malformed: a sequence number is at most 2^53-1",
		"$.events[5].name (byte 476): event e5 is malformed: a string is wanted, this is a number",
		`e6 dup [1,"a b"]`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// read reads a dump to its end and returns the first error.
func read(t *testing.T, text string, opt dumplog.Options) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dump.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := dumplog.Open(t.Context(), path, opt)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// memory is a log in memory.
type memory []livestore.Event

func (m memory) Head(context.Context) (eventlog.Head, error) { return eventlog.Head{}, nil }
func (m memory) ClientOnly() bool                            { return false }
func (m memory) Close() error                                { return nil }
func (m memory) Events(_ context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		for _, e := range m {
			if e.Seq.Compare(after) > 0 && !yield(e, nil) {
				return
			}
		}
	}
}
