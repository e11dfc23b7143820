package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/testenv"
)

// TestStockWebProvider flips flags under the OpenFeature web provider: it follows its context to another release, and
// hears of changes over the stream.
func TestStockWebProvider(t *testing.T) {
	dir := filepath.Join("testdata", "clients")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "undici")); errors.Is(err, fs.ErrNotExist) {
		testenv.Need(t, "testdata/clients/node_modules", "run `make deps`")
	}
	w := newWorld(t, nil)
	w.write(percent("100"))
	_, changed := w.flags.Revision()
	<-changed
	_, secret := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{"s1"}})
	cmd := exec.CommandContext(t.Context(), "node", "web.mjs", w.url, secret)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	type said struct {
		Value, Reason, Variant, Changed string
		Statuses                        []int
	}
	lines := bufio.NewScanner(out)
	next := func() (s said) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the client ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		return s
	}
	if s := next(); s.Value != "v1.TodoCreated" {
		t.Errorf("1.3.0 gets %+v", s)
	}
	if s := next(); s.Value != "v2.TodoCreated" || s.Variant != "v2" || s.Reason != "SPLIT" {
		t.Errorf("1.5.0 gets %+v", s)
	}
	for end := time.Now().Add(10 * time.Second); w.ofrep.Streams() == 0 && time.Now().Before(end); {
		<-time.After(5 * time.Millisecond)
	}
	start := time.Now()
	w.write(percent("0"))
	s := next()
	if took := time.Since(start); s.Changed != "v1.TodoCreated" || took > 5*time.Second {
		t.Errorf("%+v after %s", s, took)
	} else {
		t.Logf("an abort reached the page after %s, statuses %v", took.Round(time.Millisecond), s.Statuses)
	}
	if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
		t.Error(err)
	}
}

// TestStockGoProvider asks with the stock Go provider: values, and what it makes of refusals.
func TestStockGoProvider(t *testing.T) {
	program := filepath.Join(t.TempDir(), "clienttest")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "clienttest" // a module of its own
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w := newWorld(t, nil)
	w.write(percent("100") + "  event.Off: {state: disabled, variants: {v1: v1.Off}}\n")
	_, changed := w.flags.Revision()
	<-changed
	_, secret := w.token(t, control.Token{Role: control.RoleClient, App: "todo", Stores: []string{"s1"}})
	for _, tc := range []struct{ name, secret, flag, store, app, value, reason, code string }{
		{"new enough", secret, "event.TodoCreated", "s1", "1.5.0", "v2.TodoCreated", "SPLIT", ""},
		{"too old", secret, "event.TodoCreated", "s1", "1.4.9", "v1.TodoCreated", "DEFAULT", ""},
		{"disabled", secret, "event.Off", "s1", "1.5.0", "own default", "DISABLED", ""},
		{"no such flag", secret, "event.Nope", "s1", "1.5.0", "own default", "ERROR", "FLAG_NOT_FOUND"},
		{"foreign store", secret, "event.TodoCreated", "s2", "1.5.0", "own default", "ERROR", "GENERAL"},
		{"wrong token", "hg_x", "event.TodoCreated", "s1", "1.5.0", "own default", "ERROR", "GENERAL"},
	} {
		out, err := exec.CommandContext(t.Context(), program, w.url, tc.secret, tc.flag, tc.store, tc.app).Output()
		if err != nil {
			t.Fatalf("%s: %v %s", tc.name, err, out)
		}
		got := decode[map[string]string](t, string(out))
		if got["value"] != tc.value || got["reason"] != tc.reason || got["error"] != tc.code {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
