//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/eventlog/pglog"
	"headgate/internal/testenv"
)

// demoEvents are the events of the example's dump that a test puts behind a backend.
func demoEvents(t *testing.T) []livestore.Event {
	t.Helper()
	u, err := openlog.Parse("dump:"+filepath.Join(testenv.Root(t), "examples", "todo", "data", "demo", "dump.json"), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := openlog.Open(t.Context(), u, openlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // read only
	var events []livestore.Event
	for e, err := range r.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// fill appends events to the store at a URL.
func fill(t *testing.T, address string, store livestore.StoreID, payload json.RawMessage, events []livestore.Event) {
	t.Helper()
	u, err := openlog.Parse(address, "")
	if err != nil {
		t.Fatal(err)
	}
	a, err := openlog.OpenAppender(t.Context(), u, openlog.Options{StoreID: store, Payload: openlog.StaticAuth(payload).Payload(store)})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close() //nolint:errcheck // what was appended is there
	for len(events) > 0 {
		n := min(len(events), eventlog.MaxBatchEvents)
		if err := a.Append(t.Context(), events[:n]); err != nil {
			t.Fatal(err)
		}
		events = events[n:]
	}
}

// postgresSchema makes a schema in a real Postgres for the test, with the tables of the stores in it. The address has a
// password, which the server does not ask for.
func postgresSchema(t *testing.T, stores ...livestore.StoreID) string {
	t.Helper()
	address := os.Getenv("HEADGATE_TEST_POSTGRES")
	if address == "" {
		address = "postgres://postgres:hunter2@127.0.0.1:5432/test"
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		testenv.Need(t, "Postgres", "start one at 127.0.0.1:5432 with a database test, or name one in HEADGATE_TEST_POSTGRES")
	}
	schema := "headgate_" + strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		if _, err := conn.Exec(ctx, `DROP SCHEMA `+schema+` CASCADE`); err != nil {
			t.Error(err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	sql := `CREATE SCHEMA ` + schema
	for _, store := range stores {
		sql += fmt.Sprintf(`; CREATE TABLE %s ("seqNum" INTEGER PRIMARY KEY, "parentSeqNum" INTEGER, "name" TEXT NOT NULL,
			"args" JSONB NOT NULL, "clientId" TEXT NOT NULL, "sessionId" TEXT NOT NULL)`, pgx.Identifier{schema, pglog.TableName(store)}.Sanitize())
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// A shell runs headgate in a directory, and fails the test where a secret is printed.
type shell struct {
	dir    string
	env    []string
	secret string
}

func (s shell) run(t *testing.T, status int, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "headgate", args...)
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Environ(), s.env...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("headgate %s: exit status %d, want %d\n%s%s", strings.Join(args, " "), got, status, &out, &said)
	}
	if strings.Contains(out.String()+said.String(), s.secret) {
		t.Errorf("headgate %s prints the secret:\n%s%s", strings.Join(args, " "), &out, &said)
	}
	return out.String(), said.String()
}

func wantText(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in:\n%s", w, text)
		}
	}
}

// sameLog compares what the commands that read a log say of the store in env prod with the example's dump.
func (s shell) sameLog(t *testing.T, events []livestore.Event) {
	t.Helper()
	out, _ := s.run(t, 0, "log", "stats", "--env", "prod", "--store", "demo")
	wantText(t, out, "demo", fmt.Sprintf("%d events", len(events)))
	out, _ = s.run(t, 0, "log", "tail", "--env", "prod", "--store", "demo", "-n", "2")
	wantText(t, out, events[len(events)-1].Name, events[len(events)-2].Seq.String())
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("the last two events in %d lines:\n%s", n, out)
	}
	s.run(t, 0, "log", "export", "--env", "prod", "--store", "demo", "--out", "export.json")
	replayed := func(args ...string) (digest string) {
		out, _ := s.run(t, 0, append([]string{"state", "replay", "--format", "json"}, args...)...)
		for line := range strings.Lines(out) {
			if strings.Contains(line, `"digest"`) && digest == "" {
				digest = strings.TrimSpace(line)
			}
		}
		return digest
	}
	backend, dump := replayed("--env", "prod", "--store", "demo"), replayed("--log", "dump:data/demo/dump.json")
	if backend == "" || backend != dump {
		t.Errorf("the state's digest is %s from the backend, %s from the dump", backend, dump)
	}
	if exported := replayed("--log", "dump:export.json"); exported != dump {
		t.Errorf("the state's digest is %s from the export, %s from the dump", exported, dump)
	}
}

// follows runs `log tail --follow` and has append add an event, which must be printed.
func (s shell) follows(t *testing.T, name string, add func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "headgate", "log", "tail", "--env", "prod", "--store", "demo", "-n", "1", "--follow")
	cmd.Dir = s.dir
	cmd.Env = append(cmd.Environ(), s.env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	if _, err := out.ReadString('\n'); err != nil {
		t.Errorf("%v\n%s", err, &said)
	}
	add()
	if line, err := out.ReadString('\n'); err != nil || !strings.Contains(line, name) {
		t.Errorf("followed %q, %v, want %s\n%s", line, err, name, &said)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 130 {
		t.Errorf("%v, want exit status 130\n%s", err, &said)
	}
}

// oneMore is an event after those.
func oneMore(events []livestore.Event) []livestore.Event {
	last := events[len(events)-1]
	return []livestore.Event{{
		Name: last.Name, Args: last.Args, ClientID: "other", SessionID: "other", Parent: last.Seq,
		Seq: livestore.ClientSeq{Global: last.Seq.Global + 1},
	}}
}

func writeConfig(t *testing.T, dir, prod string) {
	t.Helper()
	text := "app: todo\nschemas:\n  main: {entry: src/livestore/schema.ts, adapters: [web, node]}\nenvironments:\n  prod:\n" + prod
	if err := os.WriteFile(filepath.Join(dir, "headgate.yaml"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestPostgresLog reads a real Postgres table through the command line.
func TestPostgresLog(t *testing.T) {
	dir := copyExample(t)
	dsn := postgresSchema(t, "demo", "odd-store")
	events := demoEvents(t)
	fill(t, "postgres:"+dsn, "demo", nil, events)
	s := shell{dir: dir, env: []string{"DSN=" + dsn}, secret: "hunter2"}
	writeConfig(t, dir, "    log: \"postgres:${DSN}\"\n    stores: [{id: demo}, {id: odd-store}, {id: gone}]\n")

	s.sameLog(t, events)
	s.follows(t, events[len(events)-1].Name, func() { fill(t, "postgres:"+dsn, "demo", nil, oneMore(events)) })

	out, _ := s.run(t, 0, "log", "stats", "--env", "prod", "--store", "odd-store")
	wantText(t, out, "odd-store", "0 events")
	// A copy: what JSONB makes of the arguments is the same to the digest.
	s.run(t, 0, "release", "add", "1.2.0")
	out, _ = s.run(t, 0, "log", "import", "export.json", "--env", "prod", "--store", "odd-store")
	wantText(t, out, fmt.Sprintf("imported %d events into store odd-store, and read all back", len(events)))
	out, _ = s.run(t, 0, "log", "verify", "export.json", "--env", "prod", "--store", "odd-store")
	wantText(t, out, "odd-store has just these events")
	_, said := s.run(t, 2, "log", "stats", "--env", "prod", "--store", "gone")
	wantText(t, said, "headgate: error: postgres://postgres@127.0.0.1:5432/test#eventlog_6_gone: there is no such table", "headgate: hint: the app's API creates")
	out, _ = s.run(t, 0, "log", "tail", "--log", "postgres:"+dsn, "--store", "demo", "-n", "1")
	wantText(t, out, "other/other")
	out, _ = s.run(t, 0, "log", "tail", "--log", dsn+"#eventlog_6_demo", "--store", "of-another-name", "-n", "1")
	wantText(t, out, "other/other")
	_, said = s.run(t, 2, "log", "stats", "--log", "postgres:"+dsn)
	wantText(t, said, "which store?", "--store")
	_, said = s.run(t, 1, "log", "stats", "--log", "postgres://me:hunter2@127.0.0.1:1/test", "--store", "demo")
	wantText(t, said, "can't connect to Postgres")
}

// TestSyncBackendLog reads the real sync backend through the command line.
func TestSyncBackendLog(t *testing.T) {
	address, token := testenv.Backend(t)
	dir := copyExample(t)
	events := demoEvents(t)
	payload, err := json.Marshal(map[string]string{"authToken": token})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, "sync-cf:"+address, "demo", payload, events)
	s := shell{dir: dir, env: []string{"TOKEN=" + token, "WRONG=hunter2"}, secret: "hunter2"}
	const head = "    log: sync-cf:%s\n    stores: [{id: demo}]\n    auth:\n      %s\n"
	writeConfig(t, dir, fmt.Sprintf(head, address, `payload: {authToken: "${TOKEN}"}`))
	s.sameLog(t, events)
	writeConfig(t, dir, strings.Replace(fmt.Sprintf(head, address, `payload: {authToken: "${TOKEN}"}`), "sync-cf:", "sync-cf+http:", 1))
	s.sameLog(t, events)
	s.follows(t, events[len(events)-1].Name, func() { fill(t, "sync-cf+http:"+address, "demo", payload, oneMore(events)) })

	writeConfig(t, dir, fmt.Sprintf(head, address, `command: [sh, -c, 'echo "{\"payload\": {\"authToken\": \"$TOKEN\"}}"; test $HEADGATE_STORE = $1', auth]`))
	out, _ := s.run(t, 0, "log", "tail", "--env", "prod", "-n", "1")
	wantText(t, out, "other/other")
	writeConfig(t, dir, fmt.Sprintf(head, address, `command: [sh, -c, 'echo no token for $1 today >&2; exit 3', auth]`))
	_, said := s.run(t, 2, "log", "tail", "--env", "prod")
	wantText(t, said, "headgate.yaml:9: the auth command for store demo failed (exit status 3): no token for demo today", "headgate: hint: run it by hand")
	writeConfig(t, dir, fmt.Sprintf(head, address, `payload: {authToken: "${WRONG}"}`))
	_, said = s.run(t, 2, "log", "tail", "--env", "prod")
	wantText(t, said, address)
	_, said = s.run(t, 2, "log", "stats", "--log", "sync-cf:"+address)
	wantText(t, said, "which store?", "--store")
}
