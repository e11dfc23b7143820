package replay_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/internal/testenv"
)

// awkward is a directory with the schemas of testdata and the example app's packages. It is made once and shared, so
// that each schema is bundled once; TestMain removes it.
func awkward(t testing.TB) string {
	t.Helper()
	app := testenv.Example(t, "todo")
	dir, err := awkwardDir(app)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var (
	awkwardOnce sync.Once
	awkwardPath string
	errAwkward  error
)

func awkwardDir(app string) (string, error) {
	awkwardOnce.Do(func() {
		errAwkward = func() error {
			var err error
			if awkwardPath, err = os.MkdirTemp("", "headgate-replay-test-"); err != nil {
				return err
			}
			if err := os.CopyFS(awkwardPath, os.DirFS("testdata")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(app, "node_modules"), filepath.Join(awkwardPath, "node_modules"))
		}()
	})
	return awkwardPath, errAwkward
}

// schemaOf is a schema of testdata.
func schemaOf(t testing.TB, entry string) replay.Target {
	t.Helper()
	return target(t, awkward(t), entry)
}

// An entry is one event as a test writes it into a log.
type entry struct {
	name   string
	args   string // JSON
	client int64  // above 0: a clientOnly event after the synced one before it
	by     string // the session; "" for "static"
	writer string // the client; "" for "alice"
}

// writeLog writes a client's log as LiveStore lays it out and returns its path. The last pending synced events are
// not confirmed.
func writeLog(t testing.TB, entries []entry, pending int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "eventlog@6.db")
	db, err := engine.OpenDB(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(sql string, values ...any) {
		t.Helper()
		if err := db.Exec(sql, engine.Positional(values...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		`PRAGMA page_size=8192`, `PRAGMA synchronous=OFF`,
		`CREATE TABLE "eventlog" ("seqNumGlobal" integer not null, "seqNumClient" integer not null, "seqNumRebaseGeneration" integer not null,
			"parentSeqNumGlobal" integer not null, "parentSeqNumClient" integer not null, "parentSeqNumRebaseGeneration" integer not null,
			"name" text not null, "argsJson" text not null, "clientId" text not null, "sessionId" text not null, "schemaHash" integer not null,
			"syncMetadataJson" text not null, PRIMARY KEY ("seqNumGlobal", "seqNumClient", "seqNumRebaseGeneration")) strict`,
		`CREATE INDEX "idx_eventlog_seqNumGlobal" on "eventlog" ("seqNumGlobal")`,
		`CREATE INDEX "idx_eventlog_seqNum" on "eventlog" ("seqNumGlobal", "seqNumClient", "seqNumRebaseGeneration")`,
		`CREATE TABLE "__livestore_sync_status" ("head" integer primary key, "backendId" text) strict`,
		`BEGIN`,
	} {
		exec(sql)
	}
	var at, prev livestore.ClientSeq
	for _, e := range entries {
		if e.client == 0 || at.Global == 0 {
			prev = livestore.ClientSeq{Global: at.Global}
			at = livestore.ClientSeq{Global: at.Global + 1}
		} else {
			prev = at
			at.Client++
		}
		exec(`INSERT INTO eventlog VALUES (?, ?, 0, ?, ?, 0, ?, ?, ?, ?, 1, '{"_tag":"None"}')`,
			int64(at.Global), at.Client, int64(prev.Global), prev.Client, e.name, e.args, cmp.Or(e.writer, "alice"), cmp.Or(e.by, "static"))
	}
	exec(`INSERT INTO __livestore_sync_status VALUES (?, 'backend-1')`, int64(at.Global)-int64(pending))
	exec(`COMMIT`)
	return path
}

// A rebuild asks LiveStore to rebuild the state of a log; out is where the state file goes.
type rebuild struct {
	Log   string `json:"log"`
	Entry string `json:"entry"` // absolute path of the schema module
	Out   string `json:"out"`
}

// rebuilt is LiveStore's answer.
type rebuilt struct {
	OK        bool    `json:"ok"`
	Error     string  `json:"error"`
	RebuildMS float64 `json:"rebuildMs"`
	CPUMS     float64 `json:"cpuMs"`
}

// liveStore rebuilds with the real LiveStore client, in one Node process.
func liveStore(t testing.TB, plan []rebuild) []rebuilt {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testenv.Need(t, "node", "install Node 20 or newer")
	}
	app := testenv.Example(t, "todo")
	planFile := filepath.Join(t.TempDir(), "plan.json")
	b, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(planFile, b, 0o666); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("testdata/rematerialize-many.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, script, app, planFile)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("LiveStore's rebuild: %v\n%s", err, stderr.String())
	}
	var out []rebuilt
	for s := bufio.NewScanner(&stdout); s.Scan(); {
		var r rebuilt
		if err := json.Unmarshal(s.Bytes(), &r); err != nil {
			continue // LiveStore logs to stdout, too
		}
		out = append(out, r)
	}
	if len(out) != len(plan) {
		t.Fatalf("LiveStore answered %d of %d rebuilds:\n%s%s", len(out), len(plan), stdout.String(), stderr.String())
	}
	return out
}

func describeEntry(entries []entry, at livestore.ClientSeq) string {
	var seq livestore.ClientSeq
	for _, e := range entries {
		if e.client == 0 || seq.Global == 0 {
			seq = livestore.ClientSeq{Global: seq.Global + 1}
		} else {
			seq.Client++
		}
		if seq == at {
			return fmt.Sprintf("%s %.200s", e.name, e.args)
		}
	}
	return "none"
}
