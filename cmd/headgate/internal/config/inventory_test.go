package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/errs"
)

const oneEnvironment = "app: a\nschemas: {main: {entry: s.ts, adapters: [web]}}\nenvironments:\n  e:\n    VALUE\n"

func parseEnvironment(value string) (config.Environment, error) {
	c, err := parse(strings.Replace(oneEnvironment, "VALUE", value, 1), map[string]string{"SECRET": "hunter2", "TEXT": "{user}"})
	if err != nil {
		return config.Environment{}, err
	}
	return c.Environments[0], nil
}

// rejected checks an error of the environment's value.
func rejected(t *testing.T, value, line, want string) {
	t.Helper()
	_, err := parseEnvironment(value)
	e := errs.As(err)
	if e == nil || e.Code != errs.Invalid || !strings.Contains(e.Msg, want) || e.Where != "/app/headgate.yaml:"+line {
		t.Errorf("%s: %v, want line %s and %q", value, err, line, want)
	} else if strings.Contains(err.Error()+e.Hint, "hunter2") {
		t.Errorf("%s: the error says the secret: %v", value, err)
	}
}

func TestInventory(t *testing.T) {
	for value, want := range map[string]config.Inventory{
		`inventory: {file: ops/stores.csv}`:   {File: "/app/ops/stores.csv", Line: 5},
		`inventory: {file: /srv/stores.JSON}`: {File: "/srv/stores.JSON", Line: 5},
		"inventory:\n      sql: {dsn: \"postgres://me:${SECRET}@db/ops\", query: \"SELECT id FROM stores\"}": {
			DSN: "postgres://me:hunter2@db/ops", Query: "SELECT id FROM stores", Line: 6,
		},
		`inventory: {command: [./stores.sh, prod]}`: {Command: []string{"/app/stores.sh", "prod"}, Line: 5},
	} {
		if got, err := parseEnvironment(value); err != nil || !cmp.Equal(want, got.Inventory) {
			t.Errorf("%s: %+v, %v", value, got.Inventory, err)
		}
	}
	for value, want := range map[string]string{
		`inventory: stores.csv`:                                                     "environments.e.inventory must be a mapping",
		`inventory: {}`:                                                             "environments.e.inventory must have one of file, sql and command",
		`inventory: {file: a.csv, command: [x]}`:                                    "must have one of file, sql and command",
		`inventory: {file: stores.txt}`:                                             "inventory.file: the file's name does not say its kind",
		`inventory: {csv: stores.csv}`:                                              `unknown key "environments.e.inventory.csv"`,
		`inventory: {sql: {query: SELECT 1}}`:                                       "inventory.sql.dsn is missing",
		`inventory: {sql: {dsn: "postgres://db/a"}}`:                                "inventory.sql.query is missing",
		`inventory: {sql: {dsn: "mysql://me:${SECRET}@db", query: SELECT 1}}`:       "dsn is not the URL of a Postgres database",
		`inventory: {sql: {dsn: "postgres://me:${SECRET}%@db/a", query: SELECT 1}}`: "dsn is not the URL of a Postgres database",
		`inventory: {command: []}`:                                                  "inventory.command is empty",
		"stores: [{id: a, log: \"file:x\"}]\n    inventory: {file: a.csv}":          "environments.e has both stores and inventory",
		"log: sync-cf:https://sync\n    stores: [{id: a, state: gone}]":             "",
		"log: sync-cf:https://sync\n    stores: [{id: a, idle: maybe}]":             "",
	} {
		line := "5"
		if strings.Contains(value, "gone") {
			line, want = "6", `environments.e.stores[0].state: unknown state "gone"`
		} else if strings.Contains(value, "maybe") {
			line, want = "6", "environments.e.stores[0].idle is neither true nor false"
		}
		rejected(t, value, line, want)
	}
}

func TestStoreState(t *testing.T) {
	got, err := parseEnvironment("stores: [{id: a, log: \"file:x\"}, {id: b, log: \"file:y\", region: eu, state: hold}]")
	want := []config.Store{
		{ID: "a", Schema: "main", Log: config.LogURL{Kind: "file", Path: "/app/x"}, State: config.Active, Line: 5},
		{ID: "b", Schema: "main", Log: config.LogURL{Kind: "file", Path: "/app/y"}, Region: "eu", State: config.Hold, Line: 5},
	}
	if d := cmp.Diff(want, got.Stores); err != nil || d != "" {
		t.Errorf("error %v, stores (-want +got):\n%s", err, d)
	}
}

func TestJWT(t *testing.T) {
	for value, want := range map[string]config.JWT{
		`auth: {jwt: {key: "${SECRET}", alg: HS256}}`: {Key: "hunter2", Alg: "HS256", Claims: []byte(`{}`), TTL: 5 * time.Minute, Field: "authToken"},
		`auth: {jwt: {keyFile: k.pem, alg: EdDSA, claims: {sub: "s/{store}", n: [1, "${TEXT}"]}, ttl: 1h, field: jwt}}`: {
			KeyFile: "/app/k.pem", Alg: "EdDSA", Claims: []byte(`{"n":[1,"{user}"],"sub":"s/{store}"}`), TTL: time.Hour, Field: "jwt",
		},
	} {
		if got, err := parseEnvironment(value); err != nil || got.Auth.JWT == nil || !cmp.Equal(want, *got.Auth.JWT) {
			t.Errorf("%s: %+v, %v", value, got.Auth.JWT, err)
		}
	}
	for value, want := range map[string]string{
		`auth: {jwt: x}`:                                                            "environments.e.auth.jwt must be a mapping",
		`auth: {jwt: {alg: HS256}}`:                                                 "environments.e.auth.jwt must have either key or keyFile",
		`auth: {jwt: {key: "${SECRET}"}}`:                                           "environments.e.auth.jwt.alg is missing",
		`auth: {jwt: {key: "${SECRET}", keyFile: x, alg: HS256}}`:                   "must have either key or keyFile",
		`auth: {jwt: {key: "${NOPE}", alg: HS256}}`:                                 "the environment variable NOPE is not set",
		`auth: {jwt: {key: "${SECRET}", alg: none}}`:                                `jwt.alg: unknown algorithm "none"`,
		`auth: {jwt: {key: "${SECRET}", alg: HS256, ttl: 1s}}`:                      `"1s" is not a duration of at least 10s`,
		`auth: {jwt: {key: "${SECRET}", alg: HS256, claims: x}}`:                    "jwt.claims must be a mapping of claims",
		`auth: {jwt: {key: "${SECRET}", alg: HS256, claims: {exp: 1}}}`:             "jwt.claims.exp is added by headgate",
		`auth: {jwt: {key: "${SECRET}", alg: HS256, claims: {s: ["a {storeId}"]}}}`: "unknown placeholder {storeId}",
		`auth: {payload: {a: 1}, jwt: {key: "${SECRET}", alg: HS256}}`:              "must have one of payload, command and jwt",
	} {
		rejected(t, value, "5", want)
	}
}

func TestPaceOf(t *testing.T) {
	e, err := parseEnvironment("log: sync-cf:https://sync\n    pace: 2s\n    stores: [{id: a}, {id: b, idle: true}]")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := e.PaceOf(e.Stores[0]), e.PaceOf(e.Stores[1]); a != 2*time.Second || b != 0 {
		t.Errorf("the pace is %s, and of an idle store %s", a, b)
	}
}
