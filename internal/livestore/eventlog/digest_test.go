package eventlog_test

import (
	"encoding/json"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// TestCanonicalArgs has what JavaScript takes for one value: the text as someone wrote it, and JSON.stringify(JSON.parse(text))
// with sorted keys.
func TestCanonicalArgs(t *testing.T) {
	for text, want := range map[string]string{
		`null`:                                   `null`,
		` { "b" : [ 1 , true,false ] , "a":{} }`: `{"a":{},"b":[1,true,false]}`,
		`{"10":1,"9":2,"a":3,"a":4}`:             `{"10":1,"9":2,"a":4}`,
		`[1.0,-0,1e3,12345678901234567890,0.1,1e21,1E-7,1.5e-10,1e400,-1e400]`: `[1,0,1000,12345678901234567000,0.1,1e+21,1e-7,1.5e-10,null,null]`,
		`"\u0041\/\u000a\n\u001f\u007f\ud83d\ude00\u00e9\"\\"`:                 "\"A/\\n\\n\\u001f\u007f😀é\\\"\\\\\"",
		`["\ud800","\udc00\ud800x","\uD800\u0041"]`:                            `["\ud800","\udc00\ud800x","\ud800A"]`,
		`[]`: `[]`, `[[],[{}]]`: `[[],[{}]]`, `""`: `""`,
	} {
		if got := string(eventlog.CanonicalArgs(json.RawMessage(text))); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// FuzzCanonicalArgs: the form is valid JSON of the same value, and the form of itself.
func FuzzCanonicalArgs(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-9,"x\u00e9\ud800"],"a":null}`, `[ ]`, `-0.0`, `"\/"`, `{"":{"\n":true}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			t.Skip("only JSON has a form")
		}
		form := eventlog.CanonicalArgs(text)
		if !json.Valid(form) {
			t.Fatalf("%q has the form %q", text, form)
		}
		if again := eventlog.CanonicalArgs(form); string(again) != string(form) {
			t.Errorf("%q has the form %q, and that %q", text, form, again)
		}
	})
}

func TestDigest(t *testing.T) {
	sum := func(change func(*livestore.Event)) string {
		d := eventlog.NewDigest()
		e := livestore.Event{
			Name: "v1.A", Args: json.RawMessage(`{"a":1,"b":2}`), ClientID: "c", SessionID: "s",
			Seq: livestore.ClientSeq{Global: 2}, Parent: livestore.ClientSeq{Global: 1},
		}
		change(&e)
		d.Add(e)
		return d.Sum()
	}
	want := sum(func(*livestore.Event) {})
	// printf '{"name":"v1.A","args":{"a":1,"b":2},"seqNum":2,"parentSeqNum":1,"clientId":"c","sessionId":"s"}\n' | sha256sum
	if want != "sha256-0b5e6db87c8e461f00db8107029e4f5d82c35a26cf1f07b183a18cb774f6e17a" {
		t.Errorf("the sum is %s", want)
	}
	for name, change := range map[string]func(*livestore.Event){
		"order of keys":   func(e *livestore.Event) { e.Args = json.RawMessage(`{"b": 2.0, "a": 1}`) },
		"rebase":          func(e *livestore.Event) { e.Seq.Rebase, e.Parent.Rebase = 1, 1 },
		"not confirmed":   func(e *livestore.Event) { e.Pending = true },
		"hash of another": func(e *livestore.Event) { e.SchemaHash, e.HasSchemaHash = 1, true },
	} {
		if got := sum(change); got != want {
			t.Errorf("%s counts", name)
		}
	}
	for name, change := range map[string]func(*livestore.Event){
		"name":    func(e *livestore.Event) { e.Name = "v1.B" },
		"args":    func(e *livestore.Event) { e.Args = json.RawMessage(`{"a":1,"b":"2"}`) },
		"number":  func(e *livestore.Event) { e.Seq.Global = 3 },
		"parent":  func(e *livestore.Event) { e.Parent.Global = 0 },
		"client":  func(e *livestore.Event) { e.ClientID = "d" },
		"session": func(e *livestore.Event) { e.SessionID = "t" },
	} {
		if got := sum(change); got == want {
			t.Errorf("%s does not count", name)
		}
	}
}
