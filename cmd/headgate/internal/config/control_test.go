package config_test

import (
	"strings"
	"testing"

	"headgate/internal/errs"
)

func TestControl(t *testing.T) {
	const text = "app: a\nschemas: {main: {entry: s.ts, adapters: [web]}}\nenvironments:\n  e:\n    control: VALUE\n"
	for value, want := range map[string]string{
		"sqlite:ops/control.db":                    "sqlite:/app/ops/control.db",
		"sqlite:/var/lib/headgate.db":              "sqlite:/var/lib/headgate.db",
		`"postgres://me:${SECRET}@db/ops?a=b"`:     "postgres://me:hunter2@db/ops?a=b",
		`"postgresql:///ops?host=/run/postgresql"`: "postgresql:///ops?host=/run/postgresql",
	} {
		c, err := parse(strings.Replace(text, "VALUE", value, 1), map[string]string{"SECRET": "hunter2"})
		if err != nil {
			t.Errorf("%s: %v", value, err)
		} else if got := c.Environments[0].Control; got != want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	for value, want := range map[string]string{
		"control.db":                    "environments.e.control is neither sqlite:PATH nor postgres://…",
		`"sqlite:"`:                     "is neither",
		"sqlite://control.db":           "is neither",
		`"mysql://me:${SECRET}@db"`:     "is neither",
		"postgres:db":                   "is not the URL of a Postgres database",
		`"postgres://me:${SECRET}%@db"`: "is not the URL of a Postgres database",
		`"postgres://me:${MISSING}@db"`: "the environment variable MISSING is not set",
		"{path: control.db}":            "",
	} {
		_, err := parse(strings.Replace(text, "VALUE", value, 1), map[string]string{"SECRET": "hunter2"})
		e := errs.As(err)
		if e == nil || e.Code != errs.Invalid || !strings.Contains(e.Msg, want) || !strings.HasSuffix(e.Where, ":5") {
			t.Errorf("%s: %v, want line 5 and %q", value, err, want)
		} else if strings.Contains(err.Error()+e.Hint, "hunter2") {
			t.Errorf("%s: the error says the password: %v", value, err)
		}
	}
}
