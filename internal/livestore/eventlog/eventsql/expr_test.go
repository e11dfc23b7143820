package eventsql_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog/eventsql"
)

func event() livestore.Event {
	return livestore.Event{
		Name: "v1.TodoCreated", Args: json.RawMessage(`{"id":"t1","list":"archive","position":2.5,"done":true,"tag":null}`),
		Seq: livestore.ClientSeq{Global: 7}, ClientID: "anna", SessionID: "s1.1-3-0",
		CreatedAt: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestTrue(t *testing.T) {
	for text, want := range map[string]bool{
		"name = 'v1.TodoCreated'":                       true,
		"args ->> 'list' = 'archive' AND seq > 6":       true,
		"args ->> 'position' > 2.5":                     false,
		"args ->> 'tag'":                                false, // NULL
		"args ->> 'done'":                               true,
		"args ->> 'position'":                           true,
		"args ->> 'list' IN ('a;b', 'archive') -- this": true,
		"client LIKE 'an%' AND release = '1.3.0'":       true,
		"at >= '2027-01-02' AND NOT pending":            true,
		"at >= '2027-01-03'":                            false,
		"count(*) = 1":                                  true,
	} {
		x, err := eventsql.Compile(t.Context(), text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := x.True(t.Context(), event())
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{
		"", "  ", "list = 'archive'", "name = ", "name = 'a'; DROP TABLE x", "name, seq", "1) , (2", "(SELECT count(*) FROM todos) > 0",
		"load_extension('x')",
	} {
		x, err := eventsql.Compile(t.Context(), text)
		if errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" {
			t.Errorf("%q: error %v, want a usage error with a hint", text, err)
		}
		if err == nil {
			_ = x.Close()
		}
	}
}

func TestTrueFails(t *testing.T) {
	e := event()
	for text, args := range map[string]string{
		"args ->> 'list'":       `{"list":"archive"}`,
		"args ->> 'id'":         `{"id":"true"}`, // a text
		"json_extract(args, 1)": `{}`,
	} {
		x, err := eventsql.Compile(t.Context(), text)
		if err != nil {
			if strings.HasPrefix(text, "json_extract") {
				continue // found out at once
			}
			t.Fatal(err)
		}
		e.Args = json.RawMessage(args)
		if _, err := x.True(t.Context(), e); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "e7") {
			t.Errorf("%s: error %v, want one that names e7", text, err)
		}
		_ = x.Close()
	}
}

func BenchmarkTrue(b *testing.B) {
	x, err := eventsql.Compile(b.Context(), "args ->> 'list' = 'archive' AND seq > 6")
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close() //nolint:errcheck // in memory
	e := event()
	for b.Loop() {
		if _, err := x.True(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}
