package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const v2For = "flags:\n  event.TodoCreated:\n    revision: 1\n    variants:\n      v1: v1.TodoCreated\n      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: %P}\n"

// A world is a server on a database of its own, in front of an HTTP server.
type world struct {
	*Server
	url string
	log *logs

	mu    sync.Mutex
	yaml  string
	clock time.Duration // ahead of the machine's
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.clock)
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock += d
}

func (w *world) write(yaml string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.yaml = yaml
}

func (w *world) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.yaml
}

func percent(p string) string { return strings.ReplaceAll(v2For, "%P", p) }

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	w := &world{yaml: percent("0"), log: &logs{}}
	db, err := control.Open(t.Context(), control.Options{URL: "sqlite:" + filepath.Join(t.TempDir(), "control.db"), Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Operate: project(operate.Environment{
			DB: db, Name: "prod", Now: w.now, Log: w.log.logger(), Owner: "test/1/1",
			Migrations: func(context.Context) ([]string, error) { return []string{"00001_dates"}, nil },
			Migration: func(_ context.Context, typed string) (string, error) {
				return "", errs.NotFoundf("there is no migration %q", typed)
			},
		}),
		App: "todo", Version: "1.0.0", RatePerSecond: 100_000, Log: w.log.logger(), Listen: "127.0.0.1:0",
		Flags: FlagFile{
			Read: func() (*rollout.File, error) {
				text := w.text()
				if text == "" {
					return nil, errs.NotFoundf("there are no flags yet")
				}
				file, err := rollout.Parse([]byte(text), "flags.yaml")
				if err == nil {
					for i := range file.Flags {
						file.Flags[i].Schema = "main"
					}
				}
				return file, err
			},
			Stamp: w.text,
		},
	}
	if change != nil {
		change(&o)
	}
	if w.Server, err = open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	followed := make(chan error, 1)
	go func() { followed <- w.flags.follow(ctx, 10*time.Millisecond) }()
	front := httptest.NewServer(w.handler)
	w.url = front.URL
	t.Cleanup(func() {
		w.ofrep.Drain()
		front.CloseClientConnections()
		front.Close()
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-followed; err != nil {
			t.Error(err)
		}
		if err := w.flags.close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// token makes a token of a role.
func (w *world) token(t testing.TB, want control.Token) (control.Token, string) {
	t.Helper()
	want.Env = "prod"
	if want.Role.Acts() && want.Person == "" {
		want.Person = "ana"
	}
	if want.ExpiresAt.IsZero() {
		want.ExpiresAt = w.now().Add(time.Hour)
	}
	made, secret, err := w.Operate.DB.CreateToken(t.Context(), want, control.By{Actor: "ana"})
	if err != nil {
		t.Fatal(err)
	}
	return made, secret
}

// ask sends a request and returns the answer's status, header and body.
func (w *world) ask(t testing.TB, method, path, secret, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	return askOf(t, method, w.url+path, secret, body, header...)
}

// askOf is ask of any server.
func askOf(t testing.TB, method, url, secret, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res.StatusCode, res.Header, ""
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

func decode[T any](t testing.TB, text string) (out T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return out
}
