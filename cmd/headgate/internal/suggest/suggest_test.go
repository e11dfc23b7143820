package suggest_test

import (
	"testing"

	"headgate/cmd/headgate/internal/suggest"
)

func TestNearest(t *testing.T) {
	commands := []string{"init", "check", "checklist", "plan", "gate", "release", "--version"}
	for word, want := range map[string]string{
		"chekc":   "check",
		"chek":    "check",
		"checks":  "check",
		"plna":    "plan",
		"rel":     "release",
		"version": "--version",
		"INIT":    "init",
		"xyzzy":   "",
		"":        "",
		"p":       "",
	} {
		if got := suggest.Nearest(word, commands); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := suggest.Nearest("store", []string{"stores-a", "stores-b"}); got != "" {
		t.Errorf("an ambiguous beginning gave %q", got)
	}
}
