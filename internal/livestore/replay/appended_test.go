package replay_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/openlog"
	"headgate/internal/livestore/replay"
	"headgate/internal/testenv"
)

const (
	clientRelease = "1.3.0"
	clientStore   = "appended"
)

// A client is a real LiveStore client of the example app, which is started for one session at a time.
type client struct {
	t     *testing.T
	app   string
	dir   string
	name  string
	url   string // of the backend; "" for offline
	token string
}

// A closed is what a client says of itself when it ends.
type closed struct {
	Confirmed, Local livestore.SeqNum
	Pending          int
	State            string
}

type commit struct {
	Event string         `json:"event"`
	Args  map[string]any `json:"args"`
}

func created(id string) commit {
	return commit{"todoCreated", map[string]any{"id": id, "text": "typed " + id, "createdAt": "2026-01-01T00:00:00Z"}}
}

// session starts the client; it is online up to head. meanwhile runs while it is open.
func (c client) session(head livestore.SeqNum, commits []commit, meanwhile func()) closed {
	c.t.Helper()
	options := map[string]any{
		"version": clientRelease, "dir": c.dir, "storeId": clientStore, "clientId": c.name, "token": c.token, "head": head,
		"commit": commits, "hold": meanwhile != nil,
	}
	if c.url != "" {
		options["url"] = strings.Replace(c.url, "http", "ws", 1)
	}
	text, err := json.Marshal(options)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "client.mjs"), c.app, string(text))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	if lines.Scan() && lines.Text() == "OPEN" && meanwhile != nil {
		meanwhile()
		if _, err := io.WriteString(stdin, "CLOSE\n"); err != nil {
			c.t.Error(err)
		}
	}
	var end closed
	if lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &end); err != nil {
			c.t.Errorf("%s said %q", c.name, lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		c.t.Fatalf("client %s: %v\n%s", c.name, err, said.String())
	}
	return end
}

func (c client) log() openlog.URL {
	return openlog.URL{Kind: openlog.File, Path: filepath.Join(c.dir, clientStore, "eventlog@6.db")}
}

// TestRealClientTakesWhatIsAppended appends to the log of a real client: beside events that it could not send yet, after
// it was online, and while it runs, which must be refused.
func TestRealClientTakesWhatIsAppended(t *testing.T) {
	app := testenv.Example(t, "todo")
	url, token := testenv.Backend(t)
	target := todo(t, clientRelease)
	alice := client{t: t, app: app, dir: t.TempDir(), name: "alice", token: token}
	online := func(c client) client { c.url = url; return c }
	opt := openlog.Options{
		StoreID: clientStore, Now: time.Now,
		SchemaHash: func(event string) (int64, bool) {
			e, ok := target.Release.Event(event)
			if !ok {
				return 0, false
			}
			hash, err := strconv.ParseInt(e.SchemaHash, 10, 64)
			if err != nil {
				t.Error(err)
			}
			return hash, true
		},
	}
	// appendEvents appends events with these arguments, as `migration up` would.
	appendEvents := func(first livestore.SeqNum, events ...[2]string) {
		t.Helper()
		log, err := openlog.OpenAppender(t.Context(), alice.log(), opt)
		if err != nil {
			t.Fatal(err)
		}
		var batch []livestore.Event
		for i, e := range events {
			n := first + livestore.SeqNum(i)
			batch = append(batch, livestore.Event{
				Name: e[0], Args: json.RawMessage(e[1]), ClientID: "hg:backfill:12345678", SessionID: "hg:run:1",
				Seq: livestore.ClientSeq{Global: n}, Parent: livestore.ClientSeq{Global: n - 1},
			})
		}
		if err := log.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sameState := func(c closed) {
		t.Helper()
		sameAsReplay(t, target, alice.log(), c.State)
	}

	alice.session(0, []commit{created("a1"), created("a2"), {"draftSaved", map[string]any{"id": "new", "text": "draft"}}}, nil)
	appendEvents(3, [2]string{"v1.TodoRenamed", `{"id":"a1","text":"renamed"}`}, [2]string{"v1.TodoCompleted", `{"id":"a2"}`},
		[2]string{"v2.TodoCreated", `{"id":"h1","text":"h","createdAt":"2026-01-01T00:00:00.000Z","priority":"high"}`})

	// Offline, she has all of it, and numbers on from there. While she runs, nothing can be appended.
	stopped, err := openlog.OpenAppender(t.Context(), alice.log(), opt)
	if err != nil {
		t.Fatal(err)
	}
	end := alice.session(0, []commit{created("a3")}, func() {
		_, err := openlog.OpenAppender(t.Context(), alice.log(), opt)
		refusedWhileOpen(t, err)
		refusedWhileOpen(t, stopped.Append(t.Context(), []livestore.Event{{
			Name: "v1.TodoCompleted", Args: json.RawMessage(`{"id":"a3"}`), ClientID: "hg", SessionID: "hg",
			Seq: livestore.ClientSeq{Global: 7}, Parent: livestore.ClientSeq{Global: 6},
		}}))
	})
	if err := stopped.Close(); err != nil {
		t.Error(err)
	}
	if end.Local != 6 || end.Pending != 6 || end.Confirmed != 0 {
		t.Errorf("offline: %+v, want 6 pending events", end)
	}
	sameState(end)

	// Others were first: her pending events, ours among them, are rebased behind theirs.
	bob := online(client{t: t, app: app, dir: t.TempDir(), name: "bob", token: token})
	bob.session(0, []commit{created("b1"), created("b2")}, nil)
	end = online(alice).session(8, nil, nil)
	if end.Local != 8 || end.Pending != 0 || end.Confirmed != 8 {
		t.Errorf("online: %+v, want all 8 events confirmed", end)
	}
	sameState(end)
	want := []string{
		"1 bob v1.TodoCreated b1", "2 bob v1.TodoCreated b2", "3 alice v1.TodoCreated a1", "4 alice v1.TodoCreated a2",
		"5 hg:backfill:12345678 v1.TodoRenamed a1", "6 hg:backfill:12345678 v1.TodoCompleted a2",
		"7 hg:backfill:12345678 v2.TodoCreated h1", "8 alice v1.TodoCreated a3",
	}
	backend := openlog.URL{Kind: openlog.SyncCF, Address: url}
	at := openlog.Options{StoreID: clientStore, Payload: openlog.StaticAuth(json.RawMessage(`{"authToken":"` + token + `"}`)).Payload(clientStore)}
	if d := cmp.Diff(want, synced(t, backend, at)); d != "" {
		t.Errorf("the backend's log (-want +got):\n%s", d)
	}

	// And once more, after events that are confirmed.
	appendEvents(9, [2]string{"v1.TodoArchived", `{"id":"b1"}`})
	end = online(alice).session(9, nil, nil)
	sameState(end)
	want = append(want, "9 hg:backfill:12345678 v1.TodoArchived b1")
	for _, u := range []openlog.URL{backend, alice.log()} {
		if d := cmp.Diff(want, synced(t, u, at)); d != "" {
			t.Errorf("%s (-want +got):\n%s", u, d)
		}
	}
}

// sameAsReplay compares a client's state with what headgate makes of its log.
func sameAsReplay(t *testing.T, target replay.Target, u openlog.URL, clients string) {
	t.Helper()
	out := outFile(t)
	if res := run(t, target, openLog(t, u.String()), options(out)); res.Poison != nil {
		t.Fatalf("poison: %s", res.Poison)
	}
	sameState(t, clients, out)
}

func refusedWhileOpen(t *testing.T, err error) {
	t.Helper()
	if errs.CodeOf(err) != errs.Refused || !strings.Contains(err.Error(), "(node) has the log open") || errs.As(err).Hint == "" {
		t.Errorf("error %v, want one that names the process that has the log open", err)
	}
}

// synced lists what a log holds of synced events.
func synced(t *testing.T, u openlog.URL, opt openlog.Options) []string {
	t.Helper()
	r, err := openlog.Open(t.Context(), u, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []string
	events := eventlog.Check(livestore.ClientSeq{}, r.Events(t.Context(), livestore.ClientSeq{}), func(p eventlog.Problem) { t.Errorf("%s: %s", u, p) })
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		if e.ClientOnly() {
			continue
		}
		var args struct{ ID string }
		if err := json.Unmarshal(e.Args, &args); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%d %s %s %s", e.Seq.Global, e.ClientID, e.Name, args.ID))
	}
	return all
}

// TestRealClientUndoesAKilledAppend has the log as an append leaves it that was killed in its commit: some pages are new, and
// the journal holds the old ones. The client must undo it, and rebuild its state, which is in the backup by then.
func TestRealClientUndoesAKilledAppend(t *testing.T) {
	app := testenv.Example(t, "todo")
	target := todo(t, clientRelease)
	alice := client{t: t, app: app, dir: t.TempDir(), name: "alice"}
	var commits []commit
	for i := range 40 {
		commits = append(commits, created(fmt.Sprintf("a%d", i)))
	}
	alice.session(0, commits, nil)
	path := alice.log().Path
	before := synced(t, alice.log(), openlog.Options{TempDir: t.TempDir()})

	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	defer db.Close()
	if _, err := db.Exec(`PRAGMA cache_size = 2`); err != nil { // SQLite writes pages before the commit
		t.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2000 {
		if _, err := tx.Exec(`INSERT INTO eventlog SELECT seqNumGlobal + $1, 0, 0, parentSeqNumGlobal + $1, 0, 0, name,
			argsJson, clientId, sessionId, schemaHash, syncMetadataJson FROM eventlog WHERE seqNumGlobal = 1`, len(commits)+n); err != nil {
			t.Fatal(err)
		}
	}
	killed := client{t: t, app: app, dir: t.TempDir(), name: "alice"}
	if err := os.MkdirAll(filepath.Dir(killed.log().Path), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil || len(data) == 0 {
			t.Fatalf("%s has %d bytes, %v: nothing was written before the commit", suffix, len(data), err)
		}
		if err := os.WriteFile(killed.log().Path+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := openlog.OpenAppender(t.Context(), killed.log(), openlog.Options{Now: time.Now}); errs.CodeOf(err) != errs.Refused {
		t.Errorf("a log with a journal was opened: %v", err)
	}

	end := killed.session(0, nil, nil)
	if d := cmp.Diff(before, synced(t, killed.log(), openlog.Options{TempDir: t.TempDir()})); d != "" {
		t.Errorf("the log after the client's start (-before +after):\n%s", d)
	}
	sameAsReplay(t, target, killed.log(), end.State)
}
