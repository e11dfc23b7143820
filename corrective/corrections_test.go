package corrective_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

const corrections = `version: 1
schema: main
corrections:
  - name: lists
    reason: a title instead of an id
    match: { event: v1.TodoCreated, release: 1.3.0 }
    set: { list: inbox, tags: [1, null] }
  - name: cleo
    reason: not hers
    match: { event: v1.TodoCreated, clients: [cleo], from: e3, to: 3 }
    skip: true
  - name: rename
    reason: without text
    match: { event: v1.TodoRenamed, where: args ->> 'text' IS NULL AND NOT pending }
    rewrite: json_set(args, '$.text', upper(args ->> 'id'))
  - name: tag
    reason: two for one
    match: { event: v1.TodoTagged }
    replace:
      - { event: v1.A, args: "json_object('id', args ->> 'todoId', 'seq', seq)" }
      - { event: v1.B, args: "json_object('client', client)" }
`

func parse(t *testing.T, text string) corrective.Corrections {
	t.Helper()
	c, err := corrective.ParseCorrections(t.Context(), "corrections.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is set is what stands in the file, as JSON can say it, where JavaScript would put it.
func TestSetAsWritten(t *testing.T) {
	c, err := parse(t, `version: 1
schema: main
corrections:
  - {name: one, reason: r, match: {event: v1.A}, set: {day: 2024-01-01, at: 2024-01-01T10:00:00.000Z, list: [{until: 2024-02-30}, 2024-03-01], n: 9007199254740993, no: no, nil: ~, x: 0.30000000000000004}}
`).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, _, err := c.Apply(t.Context(), livestore.Event{Name: "v1.A", Args: json.RawMessage(`{"z":{"b":1,"a":2},"n":1,"day":0,"z":"<"}`)})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	want := `{"z":"<","n":9007199254740993,"day":"2024-01-01","at":"2024-01-01T10:00:00.000Z","list":[{"until":"2024-02-30"},"2024-03-01"],"nil":null,"no":"no","x":0.30000000000000004}`
	if string(got[0].Args) != want {
		t.Errorf("%s, want %s", got[0].Args, want)
	}
}

func TestApply(t *testing.T) {
	c, err := parse(t, corrections).Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := []string{
		`: v1.TodoCreated {"id":"a"}`,
		`lists: v1.TodoCreated {"id":"b","list":"inbox","tags":[1,null]}`,
		`cleo:`,
		`: v1.TodoCreated {"id":"d","list":"y"}`,
		`tag: v1.A {"id":"b","seq":5} v1.B {"client":"hg:00001_x:12345678"}`,
		`rename: v1.TodoRenamed {"id":"d","text":"D"}`,
		`rename: v1.TodoRenamed {"id":"a","text":"A"}`,
		`: v1.TodoRenamed {"id":"b"}`, // pending
	}
	for i, e := range sample() {
		made, name, err := c.Apply(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got := name + ":"
		for _, m := range made {
			got += " " + m.Name + " " + string(m.Args)
			if m.Seq != e.Seq || m.ClientID != e.ClientID {
				t.Errorf("%s: %+v", e.Seq, m)
			}
		}
		if got != want[i] {
			t.Errorf("%s: %s, want %s", e.Seq, got, want[i])
		}
	}
}

func TestApplyFails(t *testing.T) {
	for name, test := range map[string]struct{ action, args, want string }{
		"no object to set in":   {"set: {a: 1}", `[1]`, "are no object"},
		"no object made":        {"rewrite: args ->> 'a'", `{"a":"b"}`, "does not give a JSON object"},
		"null":                  {"rewrite: args ->> 'b'", `{"a":"b"}`, "does not give a JSON object"},
		"an expression's error": {"rewrite: json_set(args, args ->> 'a', 1)", `{"a":"b"}`, "fails on event e7"},
		"a number past doubles": {"rewrite: json_set(args, '$.b', 1)", `{"a":[{"n":-1e999}]}`, "JavaScript takes -1e999 for Infinity"},
		"such a one is kept":    {"set: {b: 1}", `{"a":1e309}`, "JavaScript takes 1e309 for Infinity"},
		"one is made":           {"rewrite: json_set(args, '$.b', 1e999)", `{"a":1}`, "for Infinity"},
		"one is made instead":   {"replace: [{event: v1.B, args: \"json_object('b', 1e999)\"}]", `{"a":1}`, "for Infinity"},
		"two match":             {"skip: true\n  - {name: other, reason: r, match: {event: v1.A, clients: [x]}, skip: true}", `{}`, "one and other both match"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := parse(t, "version: 1\nschema: main\ncorrections:\n  - name: one\n    reason: r\n    match: {event: v1.A}\n    "+test.action+"\n").Compile(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _, err = c.Apply(t.Context(), livestore.Event{Name: "v1.A", ClientID: "x", Args: json.RawMessage(test.args), Seq: livestore.ClientSeq{Global: 7}})
			if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestParseCorrectionsRefuses(t *testing.T) {
	one := func(rest string) string {
		return "version: 1\nschema: main\ncorrections:\n  - name: one\n    reason: r\n" + rest
	}
	for name, test := range map[string]struct {
		text, want string
		line       int
	}{
		"empty":              {"", "version 0", 1},
		"another version":    {"version: 2\nschema: main\n", "version 2", 1},
		"no schema":          {"version: 1\n", "which schema", 1},
		"an unknown key":     {"version: 1\nschema: main\nfix: true\n", "field fix not found", 3},
		"a deeper one":       {one("    match: {event: v1.A, sice: 3}\n    skip: true\n"), "field sice not found", 4},
		"no name":            {strings.Replace(one("    match: {event: v1.A}\n    skip: true\n"), "name: one", "name: One two", 1), "no name", 4},
		"no reason":          {strings.Replace(one("    match: {event: v1.A}\n    skip: true\n"), "reason: r", "reason: ' '", 1), "no reason", 4},
		"no event":           {one("    match: {from: 2}\n    skip: true\n"), "which event", 4},
		"no number":          {one("    match: {event: v1.A, from: x}\n    skip: true\n"), "no event's number", 4},
		"backwards":          {one("    match: {event: v1.A, from: 3, to: 2}\n    skip: true\n"), "which is nothing", 4},
		"no action":          {one("    match: {event: v1.A}\n"), "0 of skip", 4},
		"two actions":        {one("    match: {event: v1.A}\n    skip: true\n    set: {a: 1}\n"), "2 of skip", 4},
		"twice":              {one("    match: {event: v1.A}\n    skip: true\n  - name: one\n    reason: r\n    match: {event: v1.A}\n    skip: true\n"), "two corrections named", 8},
		"no SQL":             {one("    match: {event: v1.A, where: 'args ->'}\n    skip: true\n"), "can't be read", 4},
		"a clock":            {one("    match: {event: v1.A}\n    rewrite: json_set(args, '$.at', datetime('now'))\n"), "does not give the same", 4},
		"what no client has": {one("    match: {event: v1.A, release: 1.0.0, where: pending}\n    skip: true\n"), "can't be read", 4},
		"no YAML":            {"version: 1\nschema: [\n", "can't be read", 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := corrective.ParseCorrections(t.Context(), "c.yaml", []byte(test.text))
			e := errs.As(err)
			if e == nil || e.Code != errs.Invalid || !strings.Contains(err.Error(), test.want) || e.Where != fmt.Sprintf("c.yaml:%d", test.line) {
				t.Errorf("error %v at %v, want %q at line %d", err, e, test.want, test.line)
			}
		})
	}
}

// What the release's code can't do is refused before any is written.
func TestCorrectionsAgainstARelease(t *testing.T) {
	r := &schema.Release{
		Events: []schema.Event{{Name: "uiSet", Derived: true}, {Name: "v1.Added"}, {Name: "v1.Asks"}, {Name: "v1.Odd"}, {Name: "v1.Ignored"}},
		Materializers: []schema.Materializer{
			{Event: "uiSet"}, {Event: "v1.Added", Complete: true}, {Event: "v1.Asks", Complete: true, UsesQuery: true}, {Event: "v1.Odd", Error: "boom"},
		},
	}
	for text, want := range map[string]string{
		"match: {event: v1.Added}, skip: true":                                                             "",
		"match: {event: v9.Gone}, replace: [{event: v1.Added, args: args}]":                                "",
		"match: {event: v1.Added}, replace: [{event: v1.Asks, args: args}, {event: v1.Added, args: args}]": "",
		"match: {event: v1.Added}, replace: [{event: v1.Added, args: args}, {event: v1.Asks, args: args}]": "v1.Asks, which is not the first, asks the state",
		"match: {event: v1.Added}, replace: [{event: v1.Added, args: args}, {event: v1.Odd, args: args}]":  "whether v1.Odd, which is not the first, asks the state is not known: boom",
		"match: {event: v1.Added}, replace: [{event: v1.Odd, args: args}, {event: v1.Added, args: args}]":  "",
		"match: {event: uiSet}, skip: true":                                                                "sets a client document",
		"match: {event: v1.Added}, replace: [{event: uiSet, args: args}]":                                  "sets a client document",
		"match: {event: v1.Added}, replace: [{event: v9.Gone, args: args}]":                                "v9.Gone, which the app does not define and materialize",
		"match: {event: v1.Added}, replace: [{event: v1.Ignored, args: args}]":                             "v1.Ignored, which the app does not define and materialize",
	} {
		list, err := corrective.ParseCorrections(t.Context(), "c.yaml", []byte("version: 1\nschema: main\ncorrections:\n  - {name: one, reason: r, "+text+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		err = list.CheckAgainst(r, "c.yaml")
		if want == "" && err != nil || want != "" && (errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), want) || errs.As(err).Where != "c.yaml:4") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
