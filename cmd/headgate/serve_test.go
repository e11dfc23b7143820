//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const serveYAML = "app: x\nschemas:\n  main: {entry: s.ts, adapters: [web]}\nenvironments:\n  prod: {}\n"

func serveFlags(percent string) string {
	return "flags:\n  event.TodoCreated:\n    variants: {v1: v1.TodoCreated, v2: {event: v2.TodoCreated, floor: 1.5.0, percent: " + percent + "}}\n"
}

// TestServe runs the real program: a token is made, flags are asked for, a changed file reaches a listener within a
// second, and SIGTERM ends it with the stream drained.
func TestServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+".new", []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write("headgate.yaml", serveYAML)
	write("headgate/flags.yaml", serveFlags("0"))
	run := exec.CommandContext(t.Context(), "headgate", "token", "create", "--role", "client", "--env", "prod", "--format", "json")
	run.Dir = dir
	out, err := run.Output()
	var made struct{ Token string }
	if err != nil || json.Unmarshal(out, &made) != nil || made.Token == "" {
		t.Fatalf("%v %s", err, out)
	}

	server := exec.CommandContext(t.Context(), "headgate", "serve", "--env", "prod", "--listen", "127.0.0.1:0", "--log-level", "info")
	server.Dir = dir
	stderr, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	url := ""
	for url == "" && lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "serving prod of x on "); ok {
			url = at
		}
	}
	said := make(chan string, 1)
	go func() {
		rest := ""
		for lines.Scan() {
			rest += lines.Text() + "\n"
		}
		said <- rest
	}()
	ask := func(method, path, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Authorization", "Bearer "+made.Token)
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 {
			t.Fatalf("%s %s: %s", method, path, res.Status)
		}
		return res
	}
	type bulk struct {
		Flags        []struct{ Value string }
		EventStreams []struct{ Endpoint struct{ RequestURI string } }
	}
	flags := func() (b bulk) {
		t.Helper()
		res := ask(http.MethodPost, "/ofrep/v1/evaluate/flags", `{"context":{"storeId":"s","appVersion":"1.5.0"}}`)
		defer res.Body.Close()
		if err := json.NewDecoder(res.Body).Decode(&b); err != nil || len(b.Flags) != 1 || len(b.EventStreams) != 1 {
			t.Fatalf("%v %+v", err, b)
		}
		return b
	}
	first := flags()
	stream := ask(http.MethodGet, first.EventStreams[0].Endpoint.RequestURI, "") // as EventSource does: without a header
	defer stream.Body.Close()
	events := bufio.NewScanner(stream.Body)
	if !events.Scan() || events.Text() != "retry: 1000" {
		t.Fatalf("%q", events.Text())
	}
	write("headgate/flags.yaml", serveFlags("100"))
	start := time.Now()
	for events.Scan() && !strings.HasPrefix(events.Text(), "data: ") {
	}
	took := time.Since(start)
	if second := flags(); first.Flags[0].Value != "v1.TodoCreated" || second.Flags[0].Value != "v2.TodoCreated" {
		t.Errorf("%+v, then %+v", first, second)
	}
	t.Logf("a listener heard of the change after %s", took.Round(time.Millisecond))

	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stream.Body)
	if err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
	for events.Scan() {
	}
	text := <-said
	if err := server.Wait(); err != nil || !strings.HasSuffix(text, "stopped\n") {
		t.Errorf("%v, stderr ends with %q, the stream with %q", err, text, rest)
	}
	if strings.Contains(text, made.Token) || strings.Contains(text, "ticket=") {
		t.Errorf("the log has a secret: %s", text)
	}
}
