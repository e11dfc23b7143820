//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"headgate/internal/livestore"
)

// TestPairThroughBackfill lets two real clients type one event a second while 500 events are committed at the default
// pace: they end equal, with nothing pending.
func TestPairThroughBackfill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.configure(w.url, "", chaosMigration) // no pace: the default
	w.fill(t, w.stores[0], 750)            // two thirds make a todo
	pair := w.startPair(t, w.stores[0], 10, 1000)
	out := w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes")
	pair.typed(t)
	pair.synced(t)
	w.headgate(t, 0, "migration", "up", "--env", "chaos", "--yes") // what was typed meanwhile
	w.headgate(t, 0, "migration", "verify", "--env", "chaos")
	if r := w.inspect(t, w.stores[0]); r.duplicates != 0 || r.ours < 500 || r.others != w.written(w.stores[0]) {
		t.Errorf("%+v, %d written\n%s", r, w.written(w.stores[0]), out)
	}
	pair.end(t, w)
}

// A clientPair is two real clients of one store that type.
type clientPair struct {
	store  livestore.StoreID
	cmd    *exec.Cmd
	stdin  *os.File
	lines  chan string
	stderr *bytes.Buffer
}

// startPair returns when both clients are synced: one that meets a push in its first pull may stop pulling for good,
// which is LiveStore 0.4.0's own trouble.
func (w *world) startPair(t *testing.T, s livestore.StoreID, events, interval int) *clientPair {
	t.Helper()
	options, err := json.Marshal(map[string]any{
		"url": strings.Replace(w.url, "http", "ws", 1), "token": w.token, "storeId": s, "version": "1.4.0",
		"dir": filepath.Join(t.TempDir(), "clients"), "events": events, "interval": interval, "head": w.written(s),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &clientPair{store: s, lines: make(chan string, 10), stderr: &bytes.Buffer{}}
	p.cmd = exec.CommandContext(ctx, "node", "scripts/pair.mjs", string(options))
	p.cmd.Dir = w.app
	p.cmd.Stderr = p.stderr
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdin, p.stdin = stdin, in
	p.cmd.Stdout = lineWriter(p.lines)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	ended := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // what it printed tells how it went
		close(p.lines)
		close(ended)
	}()
	t.Cleanup(func() {
		cancel()
		in.Close()
		<-ended
	})
	p.wait(t, "OPEN")
	w.count(s, 2*events)
	return p
}

// lineWriter sends what is written to it line by line; lines that are longer than one write do not occur.
type lineWriter chan string

func (l lineWriter) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		l <- strings.TrimSpace(line)
	}
	return len(b), nil
}

func (p *clientPair) wait(t *testing.T, want string) string {
	t.Helper()
	for line := range p.lines {
		if strings.HasPrefix(line, want) {
			return line
		}
	}
	t.Fatalf("the clients ended early:\n%s", p.stderr)
	return ""
}

// typed waits until the clients have typed all.
func (p *clientPair) typed(t *testing.T) {
	t.Helper()
	p.wait(t, "TYPED")
}

// synced waits until the backend has all that was typed. Nobody else should write at full speed: a client of 0.4.0 gets
// nothing through then.
func (p *clientPair) synced(t *testing.T) {
	t.Helper()
	fmt.Fprintln(p.stdin, "SYNC")
	p.wait(t, "SYNCED")
}

// end lets the clients sync to the end of the log, and compares their states with the one that headgate makes of it.
func (p *clientPair) end(t *testing.T, w *world) {
	t.Helper()
	f := w.inspect(t, p.store)
	fmt.Fprintf(p.stdin, "END %d\n", f.head)
	var clients []struct {
		Client           string
		Confirmed, Local int64
		Pending          int
		State            string
	}
	if err := json.Unmarshal([]byte(p.wait(t, "[")), &clients); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "replayed.db")
	w.headgate(t, 0, "state", "replay", "--env", "chaos", "--store", string(p.store), "--release", "1.4.0", "--out", out)
	for _, c := range clients {
		if c.Pending != 0 || c.Confirmed != int64(f.head) {
			t.Errorf("%s: %d pending, confirmed e%d of e%d", c.Client, c.Pending, c.Confirmed, f.head)
		}
		w.headgate(t, 0, "state", "diff", c.State, out)
	}
}
