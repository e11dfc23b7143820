package eventlog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// batchOf is n events after parent.
func batchOf(parent livestore.SeqNum, n int) []livestore.Event {
	batch := make([]livestore.Event, n)
	for i := range batch {
		before := parent + livestore.SeqNum(i)
		batch[i] = livestore.Event{
			Name: "v1.A", Args: json.RawMessage("null"), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: before + 1}, Parent: livestore.ClientSeq{Global: before},
		}
	}
	return batch
}

func TestCheckBatch(t *testing.T) {
	tests := []struct {
		name   string
		change func(b []livestore.Event) []livestore.Event
		want   string // of the error; "" for a good batch
	}{
		{"good", func(b []livestore.Event) []livestore.Event { return b }, ""},
		{"as many as may be", func([]livestore.Event) []livestore.Event { return batchOf(7, eventlog.MaxBatchEvents) }, ""},
		{"the last number", func([]livestore.Event) []livestore.Event { return batchOf(1<<53-2, 1) }, ""},
		{"empty", func([]livestore.Event) []livestore.Event { return nil }, "this one has 0"},
		{"too many", func([]livestore.Event) []livestore.Event { return batchOf(7, eventlog.MaxBatchEvents+1) }, "this one has 101"},
		{"beyond the last number", func([]livestore.Event) []livestore.Event { return batchOf(1<<53-1, 1) }, "2^53-1"},
		{"the root", func([]livestore.Event) []livestore.Event { return batchOf(-1, 2) }, "e0: a synced event's number"},
		{"a gap", func(b []livestore.Event) []livestore.Event { b[2].Seq.Global = 12; return b }, "event e12 stands where e10 must be"},
		{"a double", func(b []livestore.Event) []livestore.Event { b[1] = b[0]; return b }, "event e8 stands where e9 must be"},
		{"a parent further back", func(b []livestore.Event) []livestore.Event { b[0].Parent.Global = 5; return b }, "names e5 as its parent, the event before it is e7"},
		{"clientOnly", func(b []livestore.Event) []livestore.Event { b[1].Seq.Client = 1; return b }, "e9.1 is a clientOnly event"},
		{"a rebase generation", func(b []livestore.Event) []livestore.Event { b[1].Seq.Rebase = 2; return b }, "event e9r2 stands"},
		{"args", func(b []livestore.Event) []livestore.Event { b[1].Args = json.RawMessage(`{"secret`); return b }, "not JSON"},
		{"no args", func(b []livestore.Event) []livestore.Event { b[1].Args = nil; return b }, "no arguments"},
		{"name", func(b []livestore.Event) []livestore.Event { b[1].Name = "\xff"; return b }, "name is not UTF-8"},
		{"client", func(b []livestore.Event) []livestore.Event { b[1].ClientID = "\xff"; return b }, "clientId is not UTF-8"},
		{"session", func(b []livestore.Event) []livestore.Event { b[1].SessionID = "\xff"; return b }, "sessionId is not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := eventlog.CheckBatch(test.change(batchOf(7, 3)))
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || errs.CodeOf(err) != errs.Invalid):
				t.Errorf("error %v, want one that says %q", err, test.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error quotes the payload: %v", err)
			}
		})
	}
}

// TestCheckBatchSize compares with what JSON.stringify writes for an event of just the size that is allowed.
func TestCheckBatchSize(t *testing.T) {
	const rest = `{"name":"v1.\"A\"","args":,"seqNum":10,"parentSeqNum":9,"clientId":"ü\u0001","sessionId":"s\n"}`
	room := eventlog.MaxEventBytes - len(rest)
	batch := batchOf(9, 1)
	batch[0].Name, batch[0].ClientID, batch[0].SessionID = `v1."A"`, "ü\x01", "s\n"
	fill := func(head, tail string, n int) string {
		return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
	}
	tests := []struct {
		name string
		args func(n int) string // of n bytes
	}{
		{"a string", func(n int) string { return fill(`"`, `"`, n) }},
		{"what encoding/json escapes", func(n int) string { return fill(`"<&>😀é\u2028 \" \\`, `"`, n) }},
		{"spaces between", func(n int) string {
			return "\n{ \"a\" : [ 1,\t-2.5 , true , null ] ,\r \"b c\\\" d\" : " + fill(`"`, `"`, n-len(`{"a":[1,-2.5,true,null],"b c\" d":}`)) + "} "
		}},
		{"numbers that JavaScript may write longer", func(n int) string {
			return fmt.Sprintf(`[1e20,1E-7,%s]`, fill(`"`, `"`, n-len(`[,,]`)-2*len("-1.2345678901234567e+100")))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			batch[0].Args = json.RawMessage(test.args(room))
			if err := eventlog.CheckBatch(batch); err != nil {
				t.Errorf("the largest event: %v", err)
			}
			batch[0].Args = json.RawMessage(test.args(room + 1))
			if err := eventlog.CheckBatch(batch); errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "899797 bytes") {
				t.Errorf("one byte more: error %v", err)
			}
		})
	}
}
