package testenv

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// workerBundle is what the first backend of this process bundled, for those after it.
var workerBundle atomic.Pointer[[]byte]

// Backend starts the sync backend of examples/todo, the real one on workerd, with no store in it, and ends it with
// the test. It returns the address and the authToken that it wants. Other tokens are refused. It skips the test where
// node or the backend's npm packages are missing. More settings are NAME=value, see the backend's start.mjs.
func Backend(t testing.TB, settings ...string) (url, token string) {
	t.Helper()
	token = "todo"
	data := t.TempDir()
	worker := filepath.Join(data, "worker.mjs")
	own := slices.ContainsFunc(settings, func(s string) bool { return strings.HasPrefix(s, "WORKER=") })
	settings = append([]string{"PORT=0", "SYNC_TOKEN=" + token, "DATA_DIR=" + data}, settings...)
	if bundle := workerBundle.Load(); bundle != nil && !own {
		if err := os.WriteFile(worker, *bundle, 0o600); err != nil {
			t.Fatal(err)
		}
		settings = append(settings, "WORKER="+worker)
	}
	url = Workerd(t, filepath.Join(Root(t), "examples", "todo", "backend", "start.mjs"), settings...)
	if bundle, err := os.ReadFile(worker); err == nil && !own {
		workerBundle.Store(&bundle)
	}
	return url, token
}

// Workerd runs a script that starts workerd and prints READY and its address, and ends it with the test. It finds workerd in
// examples/todo/backend, and is told in DATA_DIR where its files go. It skips the test where node or workerd is missing.
func Workerd(t testing.TB, script string, settings ...string) (url string) {
	t.Helper()
	const how = "run `npm ci --prefix examples/todo/backend`"
	packages := filepath.Join(Root(t), "examples", "todo", "backend", "node_modules")
	if _, err := os.Stat(filepath.Join(packages, "workerd")); errors.Is(err, fs.ErrNotExist) {
		Need(t, "examples/todo/backend/node_modules", how)
	} else if err != nil {
		t.Fatal(err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		Need(t, "node", "install Node 20 or later")
	}

	data := t.TempDir() // removed after the cleanup below: the last registered runs first
	log, err := os.Create(filepath.Join(data, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, script)
	cmd.Dir = filepath.Dir(script)
	cmd.Env = append(append(os.Environ(), "DATA_DIR="+data), settings...)
	cmd.Stderr = log
	ownGroup(cmd)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the sync backend: %v", err)
	}
	ready := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		out := bufio.NewReader(stdout)
		for line, err := out.ReadString('\n'); err == nil; line, err = out.ReadString('\n') {
			if address, ok := strings.CutPrefix(line, "READY "); ok {
				ready <- strings.TrimSpace(address)
				break
			}
		}
		close(ready)
		_, _ = io.Copy(log, out) // what workerd prints; it stops when its pipe is full
		_ = cmd.Wait()           // it is ended by a signal
	}()
	t.Cleanup(func() {
		endGroup(cmd.Process, ended)
		log.Close()
		if t.Failed() {
			if text, err := os.ReadFile(log.Name()); err == nil && len(text) > 0 {
				t.Logf("the sync backend's log ends with:\n%s", text[max(0, len(text)-4000):])
			}
		}
	})
	select {
	case url, ok := <-ready:
		if ok {
			return url
		}
		t.Fatal("the sync backend ended before it was ready")
	case <-time.After(time.Minute):
		t.Fatal("the sync backend is not ready after a minute")
	}
	return ""
}
