package eventsql_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/eventlog/eventsql"
	"headgate/internal/testenv"
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
		x.Close()
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, text := range []string{
		"", "  ", "list = 'archive'", "name = ", "name = 'a'; DROP TABLE x", "name, seq", "1) , (2", "(SELECT count(*) FROM todos) > 0",
		"load_extension('x')", "args ->> 'list' = \"archive\"", "seq = ?", "seq = $seq", "args ->> :path",
	} {
		x, err := eventsql.Compile(t.Context(), text)
		if errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" {
			t.Errorf("%q: error %v, want a usage error with a hint", text, err)
		}
		if err == nil {
			x.Close()
		}
	}
}

// What the SQLite of some clients lacks, or does otherwise, would leave the event as it is there, or make something else of it.
func TestCompileForClientsRefuses(t *testing.T) {
	for _, text := range []string{
		"mod(seq, 2) = 0", "log(seq) > 1", "json_object('n', trunc(args ->> 'position'))", "soundex(args ->> 'list')", "unistr('x')",
		"json_object('n', (SELECT sum(pow(value, 2)) FROM json_each(args)))", "pending", "at > '2027'",
	} {
		x, err := eventsql.CompileForClients(t.Context(), text)
		if errs.CodeOf(err) != errs.Invalid || errs.As(err).Hint == "" {
			t.Errorf("%q: error %v, want a usage error with a hint", text, err)
		}
		if err == nil {
			x.Close()
		}
	}
}

// SQLite has written 17 digits of a number since 3.52, and clients have older ones; half a character is read here and there
// otherwise. What comes of a correction must not hang on it.
func TestObjectForClients(t *testing.T) {
	e := event()
	e.Args = json.RawMessage(`{"n":0.30000000000000004,"m":2.5,"t":"0.30000000000000004 \"","half":"\ud800"}`)
	for text, want := range map[string]string{
		"json_object('n', args -> 'n')":                    `{"n":0.30000000000000004}`,
		"json_object('t', args ->> 't')":                   `{"t":"0.30000000000000004 \""}`,
		"json_object('h', args -> 'half')":                 `{"h":"\ud800"}`,
		"json_remove(args, '$.t', '$.half')":               `{"n":0.30000000000000004,"m":2.5}`,
		"json_object('n', round((args ->> 'n') / 3.0, 3))": `{"n":0.1}`,
		"json_object('n', args ->> 'n')":                   "",
		"json_object('h', args ->> 'half')":                "",
		"json_object('n', 'n is ' || (args ->> 'n'))":      "",
		"json_object('n', (args ->> 'm') / 3)":             "",
	} {
		x, err := eventsql.CompileForClients(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Object(t.Context(), e)
		if want == "" && (errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "e7")) || want != "" && (err != nil || string(got) != want) {
			t.Errorf("%s: %s, %v, want %q", text, got, err, want)
		}
		x.Close()
	}
}

// The SQLite that LiveStore brings has every function that expressions on clients may call, and does not take "x" for a text.
func TestLiveStoreHasTheFunctions(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		testenv.Need(t, "node", "install Node 20 or newer")
	}
	_, err = eventsql.CompileForClients(t.Context(), "log(seq) > 1")
	_, names, ok := strings.Cut(errs.As(err).Hint, ": ")
	if !ok || len(strings.Fields(names)) < 50 {
		t.Fatalf("the hint %q lists no functions", errs.As(err).Hint)
	}
	file := filepath.Join(t.TempDir(), "any.db")
	db, err := engine.OpenDB(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("CREATE TABLE any (x)", engine.Positional()); err != nil {
		t.Fatal(err)
	}
	db.Close()
	const program = `const { select } = await import(process.argv[1])
const names = (await select(process.argv[2], 'SELECT DISTINCT name FROM pragma_function_list')).map((r) => r.name)
const quoted = await select(process.argv[2], 'SELECT "x y"').then(() => true, () => false)
console.log(JSON.stringify({ missing: process.argv[3].split(' ').filter((n) => !names.includes(n)), quoted }))`
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "--eval", program,
		filepath.Join(testenv.Example(t, "todo"), "scripts", "sqlite.mjs"), file, strings.Join(strings.Fields(names), " "))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if got := strings.TrimSpace(string(out)); err != nil || got != `{"missing":[],"quoted":false}` {
		t.Errorf("LiveStore's SQLite: %s, %v", got, err)
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
		x.Close()
	}
}

// Who asks for something that never ends can end it.
func TestEndless(t *testing.T) {
	const endless = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE args <> '{}' OR name = '') SELECT count(*) FROM n) > 0"
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	x, err := eventsql.Compile(t.Context(), strings.ReplaceAll(endless, " OR name = ''", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := x.True(soon(), event()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("on an event: %v", err)
	}
	if ok, err := x.True(t.Context(), livestore.Event{Args: json.RawMessage("{}")}); !ok || err != nil {
		t.Errorf("after that: %v, %v", ok, err)
	}
	if _, err := eventsql.Compile(soon(), endless); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("when it is read: %v", err)
	}
}

func BenchmarkTrue(b *testing.B) {
	x, err := eventsql.Compile(b.Context(), "args ->> 'list' = 'archive' AND seq > 6")
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	e := event()
	for b.Loop() {
		if _, err := x.True(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
}
