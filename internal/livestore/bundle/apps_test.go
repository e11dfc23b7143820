package bundle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"headgate/internal/livestore"
	"headgate/internal/livestore/bundle"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
	"headgate/internal/testenv"
)

// An appCase is a store kind of an app under testdata/apps. What headgate says about it is compared with what
// LiveStore's own packages say in Node.
type appCase struct {
	app     string // directory
	dir     string // of the app inside it, where headgate.yaml would lie
	entry   string
	export  string
	queries string
	samples string
}

var appCases = map[string]appCase{
	"todomvc":        {"todomvc", ".", "src/livestore/schema.ts", "schema", "src/livestore/queries.ts", "samples.json"},
	"chat channel":   {"chat", ".", "src/livestore/channel/schema.ts", "channelSchema", "", "samples.channel.json"},
	"chat workspace": {"chat", ".", "src/livestore/workspace/schema.ts", "workspaceSchema", "", "samples.workspace.json"},
	"mail mailbox":   {"mail", "apps/web", "src/stores/mailbox/schema.ts", "schema", "", "samples.mailbox.json"},
	"mail thread":    {"mail", ".", "apps/web/src/stores/thread/schema.ts", "threadSchema", "", "samples.thread.json"},
	"linear":         {"linear", ".", "src/lib/livestore/schema/index.ts", "schema", "src/lib/livestore/queries.ts", "samples.json"},
	"expo":           {"expo", ".", "src/livestore/schema.tsx", "schema", "", "samples.json"},
	"features":       {"features", ".", "schema.ts", "schema", "", "samples.json"},
	"edge":           {"edge", ".", "app/index.mts", "default", "", "samples.json"},
}

// layApp copies one version of an app into a new directory, v2 over v1, and gives it packages as its package manager would:
// links into the example's, the app's own small ones, and links of a workspace's packages.
func layApp(t *testing.T, app string, versions ...string) string {
	t.Helper()
	root, from := t.TempDir(), filepath.Join("testdata", "apps", app)
	for _, v := range versions {
		if err := os.CopyFS(root, os.DirFS(filepath.Join(from, v))); err != nil {
			// CopyFS refuses to overwrite, which is what a later version does.
			overlay(t, filepath.Join(from, v), root)
		}
	}
	shared := filepath.Join(testenv.Example(t, "todo"), "node_modules")
	link := func(dir, name, target string) {
		at := filepath.Join(root, dir, "node_modules", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, at); err != nil {
			t.Fatal(err)
		}
	}
	if app == "mail" { // pnpm: each package sees only what it names
		for _, dir := range []string{"apps/web", "packages/shared"} {
			link(dir, "@livestore/livestore", filepath.Join(shared, "@livestore", "livestore"))
			link(dir, "@mail/tsconfig", filepath.Join(root, "packages", "tsconfig"))
		}
		link("apps/web", "@mail/shared", filepath.Join(root, "packages", "shared"))
		return root
	}
	linkPackages(t, root)
	packages := filepath.Join(from, "packages")
	if _, err := os.Stat(packages); err == nil {
		if err := os.CopyFS(filepath.Join(root, "node_modules"), os.DirFS(packages)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func overlay(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		at := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		return os.WriteFile(at, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c appCase) source(root string) bundle.Source {
	return bundle.Source{Dir: filepath.Join(root, filepath.FromSlash(c.dir)), Entry: c.entry, Export: c.export, Queries: c.queries}
}

// A sample is an event as a log would hold it.
type sample struct {
	Name string          `json:"name"`
	Args json.RawMessage `json:"args,omitempty"`
}

func (c appCase) read(t *testing.T) []sample {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "apps", c.app, c.samples))
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// materialized is one sample's outcome, in Node and in the sandbox.
type materialized struct {
	Ops []struct {
		SQL   string       `json:"sql"`
		Binds engine.Binds `json:"binds"`
	} `json:"ops"`
	Skipped bool   `json:"skipped"`
	Failed  string `json:"failed"`
	Message string `json:"message"`
}

// real is what LiveStore says in Node about one appCase.
type realAnswer struct {
	StateHash     string            `json:"stateHash"`
	Events        map[string]string `json:"events"`
	Materializers []string          `json:"materializers"`
	Tables        []struct {
		Name string   `json:"name"`
		DDL  []string `json:"ddl"`
	} `json:"tables"`
	Samples []materialized               `json:"samples"`
	Rows    map[string][]json.RawMessage `json:"rows"`
}

// askNode evaluates the cases in Node with LiveStore's own packages.
func askNode(t *testing.T, dirs map[string]string) map[string]realAnswer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		testenv.Need(t, "node", "install Node 20 or later")
	}
	type app struct {
		Dir     string   `json:"dir"`
		Entry   string   `json:"entry"`
		Export  string   `json:"export"`
		Samples []sample `json:"samples"`
	}
	var in struct {
		Packages string `json:"packages"`
		Apps     []app  `json:"apps"`
	}
	in.Packages = testenv.Example(t, "todo")
	var names []string
	for name, dir := range dirs {
		c := appCases[name]
		src := c.source(dir)
		names = append(names, name)
		in.Apps = append(in.Apps, app{src.Dir, src.Entry, src.Export, c.read(t)})
	}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "apps", "real.mjs"))
	cmd.Env = append(os.Environ(), "TZ=UTC", "LANG=en_US.UTF-8", "LC_ALL=en_US.UTF-8")
	cmd.Stdin = bytes.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var list []realAnswer
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatalf("%v in %.300s", err, raw)
	}
	out := map[string]realAnswer{}
	for i, name := range names {
		out[name] = list[i]
	}
	return out
}

// materializeJob is the sandbox's side of the comparison.
const materializeJob = "apps-materialize"

type materializeParams struct {
	Program engine.Program
	Tables  []schema.Table
	Samples []sample
}

type materializeResult struct {
	Samples []engine.Materialized
	Applied []*engine.Poison
	Rows    map[string][]json.RawMessage
}

func jobMaterialize(_ context.Context, s *script.Session) (any, error) {
	var p materializeParams
	if err := s.Params(&p); err != nil {
		return nil, err
	}
	db, err := engine.OpenDB("")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, t := range p.Tables {
		for _, ddl := range t.DDL {
			if err := db.Exec(ddl, engine.Binds{}); err != nil {
				return nil, err
			}
		}
	}
	e, err := engine.Open(s, p.Program, db, script.VMOptions{})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	out := materializeResult{Rows: map[string][]json.RawMessage{}}
	for i, sm := range p.Samples {
		ev := livestore.Event{Name: sm.Name, Args: sm.Args, ClientID: "client", SessionID: "session"}
		ev.Seq.Global, ev.Parent.Global = livestore.SeqNum(i+1), livestore.SeqNum(i)
		m, err := e.Materialize(ev)
		if err != nil {
			return nil, err
		}
		applied, err := e.Apply([]livestore.Event{ev})
		if err != nil {
			return nil, err
		}
		out.Samples, out.Applied = append(out.Samples, m), append(out.Applied, applied.Poison)
	}
	for _, t := range p.Tables {
		rows := []json.RawMessage{}
		err := db.Query(`SELECT * FROM "`+t.Name+`" ORDER BY rowid`, engine.Binds{}, func(_ []string, values []any) error {
			b, err := engine.Positional(slices.Clone(values)...).MarshalJSON()
			rows = append(rows, b)
			return err
		})
		if err != nil {
			return nil, err
		}
		out.Rows[t.Name] = rows
	}
	return out, nil
}

// The sandbox and Node must agree on every app: hashes, names, DDL, statements, parameters and the state that they make.
func TestAppsAsInNode(t *testing.T) {
	dirs := map[string]string{}
	laid := map[string]string{}
	for name, c := range appCases {
		if laid[c.app] == "" {
			laid[c.app] = layApp(t, c.app, "v1")
		}
		dirs[name] = laid[c.app]
	}
	real := askNode(t, dirs)
	for name, c := range appCases {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			src := c.source(dirs[name])
			s, err := bundle.Build(src)
			if err != nil {
				t.Fatalf("%+v", err)
			}
			r, err := bundle.Describe(t.Context(), launcher(t), s, src)
			if err != nil {
				t.Fatalf("%+v", err)
			}
			samples := c.read(t)
			got, err := script.Run[materializeResult](t.Context(), launcher(t), materializeJob, materializeParams{
				Program: engine.Program{Code: s.Code, Export: s.Export}, Tables: r.Tables, Samples: samples,
			})
			if err != nil {
				t.Fatal(err)
			}
			compareWithNode(t, r, samples, got, real[name])
			for _, q := range r.Queries {
				if q.SQL == "" {
					t.Logf("query %s: %s", q.Name, q.Error)
				}
			}
		})
	}
}

func compareWithNode(t *testing.T, r *schema.Release, samples []sample, got materializeResult, want realAnswer) {
	t.Helper()
	if r.StateHash != want.StateHash {
		t.Errorf("state hash %s, in Node %s", r.StateHash, want.StateHash)
	}
	events := map[string]string{}
	for _, e := range r.Events {
		events[e.Name] = e.SchemaHash
	}
	if diff := cmp.Diff(want.Events, events); diff != "" {
		t.Errorf("events (-Node +sandbox):\n%s", diff)
	}
	var materializers []string
	for _, m := range r.Materializers {
		materializers = append(materializers, m.Event)
	}
	if diff := cmp.Diff(want.Materializers, materializers); diff != "" {
		t.Errorf("materializers (-Node +sandbox):\n%s", diff)
	}
	if len(r.Tables) != len(want.Tables) {
		t.Fatalf("%d tables, in Node %d", len(r.Tables), len(want.Tables))
	}
	for i, w := range want.Tables {
		if diff := cmp.Diff(w.DDL, r.Tables[i].DDL); diff != "" || r.Tables[i].Name != w.Name {
			t.Errorf("table %s (-Node +sandbox):\n%s", w.Name, diff)
		}
	}
	for i, w := range want.Samples {
		g := got.Samples[i]
		what := samples[i].Name
		failed := ""
		switch {
		case g.Poison != nil && g.Poison.Stage == engine.StageDecode:
			failed = "decode"
		case g.Poison != nil:
			failed = "throw"
		case got.Applied[i] != nil:
			failed = "sql"
		}
		if failed != w.Failed || (g.Skipped != "") != w.Skipped {
			t.Errorf("sample %d, %s: failed %q skipped %q (%+v), in Node failed %q (%s) skipped %t", i, what, failed, g.Skipped, g.Poison, w.Failed, w.Message, w.Skipped)
			continue
		}
		if len(g.Ops) != len(w.Ops) {
			t.Errorf("sample %d, %s: %d statements, in Node %d", i, what, len(g.Ops), len(w.Ops))
			continue
		}
		for k, op := range w.Ops {
			// As text: it ends at a NUL on the way out of the sandbox, as it does on the way into SQLite.
			a, b := bindsText(t, op.Binds), bindsText(t, g.Ops[k].Binds)
			if g.Ops[k].SQL != op.SQL || a != b {
				t.Errorf("sample %d, %s:\n   node %s %s\nsandbox %s %s", i, what, op.SQL, a, g.Ops[k].SQL, b)
			}
		}
	}
	for name, rows := range want.Rows {
		if diff := cmp.Diff(texts(t, rows), texts(t, got.Rows[name])); diff != "" {
			t.Errorf("rows of %s (-Node +sandbox):\n%s", name, diff)
		}
	}
}

// bindsText is what is bound; LiveStore writes no parameters as {} and as [].
func bindsText(t *testing.T, b engine.Binds) string {
	t.Helper()
	if text := jsonText(t, b); text != "{}" {
		return text
	}
	return "[]"
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// texts compacts rows, with numbers as Go prints them.
func texts(t *testing.T, rows []json.RawMessage) []string {
	t.Helper()
	out := []string{}
	for _, r := range rows {
		var v any
		if err := json.Unmarshal(r, &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, jsonText(t, v))
	}
	return out
}
