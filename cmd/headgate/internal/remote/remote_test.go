package remote

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
)

// FuzzAnswer reads whatever a server may answer: a value, a failure with a message, or that it can't be read.
func FuzzAnswer(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"environment":"prod","runs":[],"next_actions":["headgate status"]}`))
	f.Add(409, "application/problem+json", []byte(`{"status":409,"code":"stale","detail":"too early","next_actions":["headgate rollout status x"]}`))
	f.Add(502, "text/html", []byte(`<html>`))
	f.Add(200, "application/json", []byte(`{"next_actions":[{"next_actions":1e999}]}`))
	f.Fuzz(func(t *testing.T, status int, kind string, body []byte) {
		c, err := New(Options{
			URL: "https://x", HTTP: &http.Client{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
			Next: func(command string) string { return command + " --server x" },
		})
		if err != nil {
			t.Fatal(err)
		}
		var out operate.Status
		err = c.read(answer{status, "status", http.Header{"Content-Type": {kind}}, body}, &out)
		if err != nil && errs.As(err) == nil {
			t.Errorf("%v is for nobody", err)
		}
	})
}
