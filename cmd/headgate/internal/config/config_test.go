package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
)

// whole uses everything that this version understands.
const whole = `app: todo
schemas:                      # an app may have several store kinds
  main: {entry: src/livestore/schema.ts, export: schema, adapters: [web, node], queries: src/livestore/queries.ts}
  thread:
    entry: ${SRC}/thread.ts
    export: $${x}
    adapters: ["@livestore/adapter-cloudflare"]
releases: headgate/releases
migrations: /abs/migrations
environments:
  local:
    stores: [{id: demo, schema: main, log: "file:data/demo/eventlog@6.db"}]
    fleet: {horizon: 90d, alive: [{release: 1.0.0, share: 12%}, {release: 1.1.0-beta.1, share: 88%}]}
  prod:
    log: sync-cf:https://sync.example.org
    stores:
      - {id: a, schema: main}
      - {id: b, schema: main, log: "postgres:postgres://me:${SECRET}@db/app#odd.events"}
      - {id: c, schema: main, log: "postgres://me@db/app"}
    auth: {payload: {authToken: "${SECRET}", deep: [1, 2.5, true, null, 2027-01-01, "$${x}"]}}
    pace: 2s
    approvals: 2
  command: {auth: {command: [./token.sh, "${SRC}"]}, pace: 0}
  empty: {}
suppressions:
  - {code: ST103, path: events.v1.TodoArchived, reason: "known: since May", owner: ana, expires: 2027-03-31}
`

func parse(text string, env map[string]string) (*config.Config, error) {
	return config.Parse([]byte(text), "/app/headgate.yaml", lookup(env))
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestParse(t *testing.T) {
	got, err := parse(whole, map[string]string{"SRC": "lib", "SECRET": "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Path: "/app/headgate.yaml",
		Dir:  "/app",
		App:  "todo",
		Schemas: []config.Schema{
			{
				Name: "main", Entry: "/app/src/livestore/schema.ts", EntryAsWritten: "src/livestore/schema.ts", Export: "schema",
				Adapters: []config.Adapter{config.Web, config.Node}, Queries: "/app/src/livestore/queries.ts", Line: 3,
			},
			{Name: "thread", Entry: "/app/lib/thread.ts", EntryAsWritten: "lib/thread.ts", Export: "${x}", Adapters: []config.Adapter{config.Cloudflare}, Line: 4},
		},
		Releases:   "/app/headgate/releases",
		Migrations: "/abs/migrations",
		Environments: []config.Environment{
			{
				Name: "local", Pace: 500 * time.Millisecond, Control: "sqlite:/app/.headgate/control.db", Line: 11,
				Stores: []config.Store{{ID: "demo", Schema: "main", Log: config.LogURL{Kind: "file", Path: "/app/data/demo/eventlog@6.db"}, State: config.Active, Line: 12}},
				Fleet: config.Fleet{Horizon: 90 * 24 * time.Hour, Alive: []config.Alive{
					{Release: "1.0.0", Share: 0.12, Line: 13}, {Release: "1.1.0-beta.1", Share: 0.88, Line: 13},
				}},
			},
			{
				Name: "prod", Pace: 2 * time.Second, Approvals: 2, Control: "sqlite:/app/.headgate/control.db", Line: 14,
				Stores: []config.Store{
					{ID: "a", Schema: "main", Log: config.LogURL{Kind: "sync-cf", Address: "https://sync.example.org"}, State: config.Active, Line: 17},
					{ID: "b", Schema: "main", Log: config.LogURL{Kind: "postgres", Address: "postgres://me:hunter2@db/app#odd.events"}, State: config.Active, Line: 18},
					{ID: "c", Schema: "main", Log: config.LogURL{Kind: "postgres", Address: "postgres://me@db/app"}, State: config.Active, Line: 19},
				},
				Log:  config.LogURL{Kind: "sync-cf", Address: "https://sync.example.org"},
				Auth: config.Auth{Payload: json.RawMessage(`{"authToken":"hunter2","deep":[1,2.5,true,null,"2027-01-01","${x}"]}`), Line: 20},
			},
			{Name: "command", Control: "sqlite:/app/.headgate/control.db", Auth: config.Auth{Command: []string{"/app/token.sh", "lib"}, Line: 23}, Line: 23},
			{Name: "empty", Pace: 500 * time.Millisecond, Control: "sqlite:/app/.headgate/control.db", Line: 24},
		},
		Suppressions: []config.Suppression{{
			Code: "ST103", Path: "events.v1.TodoArchived", Reason: "known: since May", Owner: "ana",
			Expires: time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC), Line: 26,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	c, err := parse("app: a\nschemas: {main: {entry: s.ts, adapters: [web]}}\nenvironments: {e: {stores: [{id: x, log: dump:x.json}]}}\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Releases != "/app/headgate/releases" || c.Migrations != "/app/headgate/migrations" {
		t.Errorf("directories = %s, %s", c.Releases, c.Migrations)
	}
	if c.Schemas[0].Export != "schema" {
		t.Errorf("export = %q, want schema", c.Schemas[0].Export)
	}
	if s := c.Environments[0].Stores[0]; s.Schema != "main" || s.Log.Kind+":"+s.Log.Path != "dump:/app/x.json" {
		t.Errorf("store = %+v, want the only schema", s)
	}
}

// TestErrors changes one thing in a good file and wants the line, the message and a hint.
func TestErrors(t *testing.T) {
	const good = `app: todo
schemas:
  main: {entry: s.ts, adapters: [web]}
  other: {entry: o.ts, adapters: [node]}
environments:
  local:
    stores:
      - {id: demo, schema: main, log: "file:a.db"}
    fleet:
      horizon: 90d
      alive: [{release: 1.0.0, share: 12%}]
suppressions:
  - {code: ST103, path: p, reason: r, owner: o, expires: 2027-01-01}
`
	if _, err := parse(good, nil); err != nil {
		t.Fatalf("the good file: %v", err)
	}
	for _, tc := range []struct {
		name, old, new string
		line           string
		msg, hint      string
	}{
		{"unknown key", "app: todo", "ap: todo", "1", `unknown key "ap"`, "did you mean app?"},
		{"unknown key, nothing near", "app: todo", "app: todo\nzzz: 1", "2", `unknown key "zzz"`, "there are: app, environments"},
		{"unknown key deep", "{entry: s.ts,", "{entri: s.ts,", "3", `unknown key "schemas.main.entri"`, "did you mean entry?"},
		{"key twice", "app: todo", "app: todo\napp: b", "2", "app is there twice", ""},
		{"name twice", "  other:", "  main:", "4", "schemas.main is there twice", ""},
		{"missing key", "app: todo\n", "", "1", "app is missing", "add `app:` here"},
		{"missing key deep", "{entry: s.ts, ", "{", "3", "schemas.main.entry is missing", ""},
		{"empty value", "app: todo", "app:", "1", "app has no value", ""},
		{"blank value", "app: todo", "app: ' '", "1", "app is empty", ""},
		{"wrong kind", "app: todo", "app: [todo]", "1", "app must be a single value, it is a list", ""},
		{"mapping wanted", "{entry: s.ts, adapters: [web]}", "s.ts", "3", "schemas.main must be a mapping of keys, it is a single value", ""},
		{"names wanted", "  local:\n", "  - local:\n", "6", "environments must be a mapping of names, it is a list", ""},
		{"list wanted", "adapters: [web]", "adapters: web", "3", "schemas.main.adapters must be a list", "write [a, b]"},
		{"bad name", "  main:", "  ma in:", "3", `the name "ma in" has other characters`, ""},
		{"no adapter", "adapters: [web]", "adapters: []", "3", "schemas.main.adapters is empty", ""},
		{"unknown adapter", "adapters: [web]", "adapters: [wbe]", "3", `unknown adapter "wbe"`, "did you mean web?"},
		{"adapter twice", "adapters: [web]", "adapters: [web, web]", "3", "web is there twice", ""},
		{"store without schema", "schema: main, ", "", "8", "store demo must say its schema", ""},
		{"schema of a store", "schema: main,", "schema: mian,", "8", `there is no schema "mian"`, "did you mean main?"},
		{"store id", "id: demo", "id: de/mo", "8", `"de/mo" has other characters`, "LiveStore"},
		{"store twice", "log: \"file:a.db\"}", "log: \"file:a.db\"}\n      - {id: demo, schema: main, log: file:b}", "9", `"demo" is there twice`, "line 8"},
		{"no scheme", "file:a.db", "a.db", "8", "the URL has no scheme", "file:PATH"},
		{"unknown scheme", "file:a.db", "s3:a.db", "8", `unknown scheme "s3"`, "file:PATH"},
		{"two slashes", "file:a.db", "file:///a.db", "8", "`file://` is not understood", ""},
		{"no path", "file:a.db", "dump:", "8", "the path is missing", ""},
		{"no sync backend", "file:a.db", "sync-cf:hunter2", "8", "sync-cf: wants the http, https, ws or wss URL", "sync-cf:https://"},
		{"no sync backend over HTTP", "file:a.db", "sync-cf+http:hunter2", "8", "sync-cf+http: wants the http, https, ws or wss URL", "sync-cf+http:https://"},
		{"a malformed sync backend", "file:a.db", "sync-cf:https://hunter2:x", "8", "sync-cf: wants", ""},
		{"no database", "file:a.db", "postgres:host=db password=hunter2", "8", "postgres: wants the URL of a Postgres database", "${PASSWORD}"},
		{"a malformed database", "file:a.db", "postgres:postgres://a:hunter2#b@db", "8", "postgres: wants", "%XX"},
		{"no log", `, log: "file:a.db"`, "", "8", "environments.local.stores[0].log is missing", "beside `stores:`"},
		{"a file for all", "    fleet:", "    log: file:x\n    fleet:", "9", "environments.local.log holds one store only", "sync-cf:URL"},
		{"a table for all", "    fleet:", "    log: postgres://db/a#t\n    fleet:", "9", "environments.local.log holds one store only", "without #TABLE"},
		{"auth of another kind", "    fleet:", "    auth: {static: x}\n    fleet:", "9", `unknown key "environments.local.auth.static"`, "command, jwt, payload"},
		{"no auth", "    fleet:", "    auth: {}\n    fleet:", "9", "environments.local.auth must have one of payload, command and jwt", ""},
		{"auth twice", "    fleet:", "    auth: {payload: 1, command: [x]}\n    fleet:", "9", "environments.local.auth must have one of payload, command and jwt", ""},
		{"empty payload", "    fleet:", "    auth:\n      payload:\n    fleet:", "10", "environments.local.auth.payload has no value", "syncPayload"},
		{"empty command", "    fleet:", "    auth: {command: []}\n    fleet:", "9", "environments.local.auth.command is empty", ""},
		{"a command in one word", "    fleet:", "    auth: {command: node x}\n    fleet:", "9", "environments.local.auth.command must be a list", ""},
		{"unset variable in a payload", "    fleet:", "    auth:\n      payload:\n        a: [b, {c: 'x${NOPE}'}]\n    fleet:", "11", "environments.local.auth.payload.a[1].c: the environment variable NOPE is not set", "set NOPE"},
		{"key twice in a payload", "    fleet:", "    auth: {payload: {a: 1, a: 2}}\n    fleet:", "9", "environments.local.auth.payload.a is there twice", ""},
		{"no JSON number", "    fleet:", "    auth: {payload: {a: .nan}}\n    fleet:", "9", "payload.a: JSON has no such number", ""},
		{"no JSON type", "    fleet:", "    auth: {payload: {a: !!binary aGk=}}\n    fleet:", "9", "payload.a: JSON has no !!binary", ""},
		{"merged keys", "    fleet:", "    auth: {payload: {<<: {a: 1}}}\n    fleet:", "9", "payload: a key must be a word", ""},
		{"a payload that holds itself", "    fleet:", "    auth: {payload: &x [*x]}\n    fleet:", "9", "is too large", "alias"},
		{"pace", "    fleet:", "    pace: fast\n    fleet:", "9", `environments.local.pace: "fast" is not a duration`, "500ms"},
		{"negative pace", "    fleet:", "    pace: -1s\n    fleet:", "9", `"-1s" is not a duration`, ""},
		{"a throttle without a probe", "    fleet:", "    throttle: {every: 5s}\n    fleet:", "9", "environments.local.throttle must have one of url and command", ""},
		{"a throttle's URL", "    fleet:", "    throttle: {url: 'ftp://u:hunter2@h/'}\n    fleet:", "9", "environments.local.throttle.url is not an http:// or https:// URL", ""},
		{"a throttle that fails", "    fleet:", "    throttle: {command: [x], on_error: go}\n    fleet:", "9", `"go" is neither hold nor ignore`, ""},
		{"clients", "    fleet:", "    clients: x\n    fleet:", "9", "environments.local.clients must be a list, it is a single value", ""},
		{"approvals", "    fleet:", "    approvals: -1\n    fleet:", "9", `environments.local.approvals: "-1" is not a number from 0 on`, ""},
		{"server", "app: todo", "app: todo\nserver: {}", "2", "`server` is not built yet", ""},
		{"control", "app: todo", "app: todo\ncontrol: {}", "2", "`control` is not built yet", ""},
		{"near an unbuilt key", "app: todo", "app: todo\nserve: {}", "2", `unknown key "serve"`, "did you mean server?"},
		{"duration", "90d", "90 days", "10", `"90 days" is not a duration`, "90d"},
		{"no time", "90d", "0d", "10", `"0d" is not a duration`, ""},
		{"version", "1.0.0", "1.0", "11", `"1.0" is not a semantic version`, "1.2.0"},
		{"version with v", "1.0.0", "v1.0.0", "11", `"v1.0.0" is not a semantic version`, ""},
		{"share", "12%", "12", "11", `"12" is not a share`, "12%"},
		{"share too big", "12%", "120%", "11", `"120%" is not a share`, ""},
		{"shares", "{release: 1.0.0, share: 12%}", "{release: 1.0.0, share: 60%}, {release: 1.1.0, share: 60%}", "11", "add up to more than 100%", ""},
		{"release twice", "{release: 1.0.0, share: 12%}", "{release: 1.0.0}, {release: 1.0.0}", "11", "release 1.0.0 is there twice", ""},
		{"code", "ST103", "st103", "13", `"st103" is not a finding's code`, "ST103"},
		{"date", "2027-01-01", "31.12.2027", "13", `"31.12.2027" is not a date`, "2027-03-31"},
		{"no owner", ", owner: o", "", "13", "suppressions[0].owner is missing", ""},
		{"suppression twice", "suppressions:", "suppressions:\n  - {code: ST103, path: p, reason: r, owner: o, expires: 2027-01-01}", "14", "ST103 for p is there twice", "line 13"},
		{"unset variable", "app: todo", "app: ${NOPE}", "1", "the environment variable NOPE is not set", "set NOPE"},
		{"open variable", "app: todo", "app: ${NOPE", "1", "${ without }", ""},
		{"not a variable", "app: todo", "app: ${A-b}", "1", "${A-b} is not the name of a variable", "$${"},
		{"tab", "  main:", "\tmain:", "3", "not valid YAML", ""},
		{"bracket", "adapters: [web]", "adapters: [web", "3", "not valid YAML", ""},
		{"second document", "suppressions:\n", "---\nb: 1\nc:\n", "12", "second YAML document", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := strings.Replace(good, tc.old, tc.new, 1)
			if text == good {
				t.Fatal("the case changes nothing")
			}
			_, err := parse(text, nil)
			e := errs.As(err)
			if e == nil {
				t.Fatalf("error = %v, want an errs.Error", err)
			}
			if status := errs.CodeOf(err); status != errs.Invalid && status != errs.NotFound {
				t.Errorf("code = %s", status)
			}
			if want := "/app/headgate.yaml:" + tc.line; e.Where != want {
				t.Errorf("where = %s, want %s (%v)", e.Where, want, err)
			}
			if !strings.Contains(e.Msg, tc.msg) {
				t.Errorf("message = %q, want %q in it", e.Msg, tc.msg)
			}
			if strings.Contains(err.Error()+e.Hint, "hunter2") {
				t.Errorf("the message quotes a secret: %v", err)
			}
			if !strings.Contains(e.Hint, tc.hint) {
				t.Errorf("hint = %q, want %q in it", e.Hint, tc.hint)
			}
		})
	}
}

// TestSecretsStayOut: what a variable holds does not get into a message.
func TestSecretsStayOut(t *testing.T) {
	_, err := parse("app: a\nschemas: {m: {entry: e, adapters: [web]}}\nenvironments: {e: {fleet: {horizon: '${TOKEN}'}}}", map[string]string{"TOKEN": "hunter2"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v, want one without the value", err)
	}
}

// TestVariablesCannotAddKeys: a value is put in after parsing.
func TestVariablesCannotAddKeys(t *testing.T) {
	c, err := parse("app: ${A}\nschemas: {m: {entry: e, adapters: [web]}}", map[string]string{"A": "x\nserver: {}"})
	if err != nil || c.App != "x\nserver: {}" {
		t.Errorf("app = %v (%v)", c, err)
	}
}

func TestEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n"} {
		if _, err := parse(text, nil); errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "empty") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "src", "deep")
	if err := os.MkdirAll(deep, 0o777); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "headgate.yaml"), "app: near\nschemas: {m: {entry: e.ts, adapters: [web]}}\n")
	write(t, filepath.Join(dir, "other.yaml"), "app: other\nschemas: {m: {entry: e.ts, adapters: [web]}}\n")

	c, err := config.Load(config.Source{Dir: deep, LookupEnv: lookup(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if c.App != "near" || c.Schemas[0].Entry != filepath.Join(dir, "e.ts") {
		t.Errorf("found %s with entry %s", c.App, c.Schemas[0].Entry)
	}
	c, err = config.Load(config.Source{Dir: deep, Path: "../../other.yaml", LookupEnv: lookup(map[string]string{"HEADGATE_RELEASES": "r"})})
	if err != nil {
		t.Fatal(err)
	}
	if c.App != "other" || c.Releases != filepath.Join(deep, "r") {
		t.Errorf("app %s, releases %s; want other and the variable's directory", c.App, c.Releases)
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "big.yaml"), strings.Repeat("# long\n", 200_000))
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, path, msg string
		code            errs.Code
	}{
		{"nowhere", "", "no headgate.yaml in this directory or above it", errs.NotFound},
		{"named", "none.yaml", "there is no such file", errs.NotFound},
		{"a directory", "d", "can't read the configuration", errs.Invalid},
		{"too big", "big.yaml", "larger than 1 MB", errs.Invalid},
	} {
		_, err := config.Load(config.Source{Dir: dir, Path: tc.path, LookupEnv: lookup(nil)})
		if errs.CodeOf(err) != tc.code || !strings.Contains(err.Error(), tc.msg) {
			t.Errorf("%s: %v (%s), want %q (%s)", tc.name, err, errs.CodeOf(err), tc.msg, tc.code)
		}
	}
}

func TestLookups(t *testing.T) {
	c, err := parse(whole, map[string]string{"SRC": "lib", "SECRET": "hunter2"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Schema(""); err == nil || !strings.Contains(errs.As(err).Hint, "main, thread") {
		t.Errorf("no schema named: %v", err)
	}
	if s, err := c.Schema("thread"); err != nil || s.Name != "thread" {
		t.Errorf("thread: %v (%v)", s, err)
	}
	if _, err := c.Environment("lcoal"); errs.CodeOf(err) != errs.NotFound || errs.As(err).Hint != "did you mean local?" {
		t.Errorf("lcoal: %v", err)
	}
	if _, err := c.Environment(""); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("no environment named: %v", err)
	}
	e, err := c.Environment("local")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := e.Store("demo"); !ok {
		t.Error("store demo not found")
	}
	if _, ok := e.Store("nope"); ok {
		t.Error("store nope found")
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"90d": 90 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1h30m": 90 * time.Minute, "0s": 0} {
		if got, err := config.ParseDuration(s); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "-1d", "1.5d", "90", "-1h", "200000d", "1y"} {
		if got, err := config.ParseDuration(s); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", s, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("a: &x {b: *x}")
	f.Add("app: ${")
	f.Add("? [a]\n: b")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parse(text, map[string]string{"SRC": "x"}); err != nil && errs.As(err) == nil {
			t.Fatalf("error %v is not for the user", err)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func TestWebhook(t *testing.T) {
	hook := func(text string) (config.Webhook, error) {
		c, err := parse("app: x\nschemas: {main: {entry: s.ts, adapters: [web]}}\nenvironments:\n  prod:\n    webhook: "+text+"\n", nil)
		if err != nil {
			return config.Webhook{}, err
		}
		return c.Environments[0].Webhook, nil
	}
	w, err := hook("{url: https://ops.example.org/x}")
	if err != nil || w.Variable != "HEADGATE_WEBHOOK_SECRET" || w.Line != 5 {
		t.Fatalf("%+v, %v", w, err)
	}
	for action, want := range map[string]bool{"rollout.abort": true, "stop": true, "stop.lift": true, "run.failed": true, "incident.open": true, "token.create": false, "stopped": false} {
		if w.Tells(action) != want {
			t.Errorf("%s: %v", action, !want)
		}
	}
	w, err = hook(`{url: "http://x", secretFile: hook.key, events: [rollout.abort, token]}`)
	if err != nil || w.File != "/app/hook.key" || w.Tells("rollout.start") || !w.Tells("token.create") || !w.Tells("rollout.abort") {
		t.Errorf("%+v, %v", w, err)
	}
	for text, want := range map[string]string{
		"{}":                                               "webhook.url is missing",
		"{url: ftp://hunter2}":                             "is not an http",
		`{url: "http://x", secret: hunter2}`:               "is not the name of a variable",
		`{url: "http://x", events: [rollouts]}`:            `nothing like "rollouts"`,
		`{url: "http://x", events: []}`:                    "is empty",
		`{url: "http://x", secret: "${A}", secretFile: b}`: "both secret and secretFile",
	} {
		if _, err := hook(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
