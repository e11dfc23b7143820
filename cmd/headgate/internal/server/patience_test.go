package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// TestAnAnswerHasATime: what hangs, an inventory's database say, holds its own request for a while and no other one.
func TestAnAnswerHasATime(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Operate.Inventory = func(ctx context.Context) ([]config.Store, error) {
			<-ctx.Done()
			return nil, errs.New(errs.Internal, "can't read the inventory").Because(context.Cause(ctx))
		}
	})
	w.patience = 50 * time.Millisecond
	_, secret := w.token(t, control.Token{Role: control.RoleOperator})
	for _, ask := range [][2]string{{http.MethodGet, "/v1/rollouts/start"}, {http.MethodPost, "/v1/rollouts/start/start"}} {
		if status, _, body := w.ask(t, ask[0], ask[1], secret, "{}"); status != 503 || !strings.Contains(body, "given up") {
			t.Errorf("%s: %d %s", ask, status, body)
		}
	}
	if status, _, body := w.ask(t, http.MethodGet, "/v1/floor/setting", secret, ""); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// TestAnswersKeepPathsHome: an error inside an answer names no place on the server, and nothing of the system's own.
func TestAnswersKeepPathsHome(t *testing.T) {
	broken := []error{
		errs.Invalidf("not valid YAML: line 3").At("/app/headgate/rollouts/start.yaml:3").Because(errors.New("secret 1")),
		errs.New(errs.Internal, "can't read /srv/secret").At("/srv/secret").Because(errors.New("open /srv/secret: permission denied")),
		errors.New("dial tcp 10.0.0.1: /srv/secret"),
		context.DeadlineExceeded,
	}
	want := []string{
		"headgate/rollouts/start.yaml:3: not valid YAML: line 3", "the server can't read it; its log says why", "the server can't read it; its log says why",
		"the request was given up",
	}
	at := 0
	w := newWorld(t, func(o *Options) {
		o.Operate.Read = func(string) (*rollout.Definition, []*schema.Release, error) { return nil, nil, broken[at] }
		o.Operate.Migrations = func(context.Context) ([]string, error) { return nil, broken[at] }
	})
	_, secret := w.token(t, control.Token{Role: control.RoleViewer})
	for at = range broken {
		for _, path := range []string{"/v1/rollouts?limit=1", "/v1/status"} {
			_, _, body := w.ask(t, http.MethodGet, path, secret, "")
			if strings.Contains(body, "secret") || strings.Contains(body, "/app") || !strings.Contains(body, `"`+want[at]+`"`) {
				t.Errorf("%s with %v: %s", path, broken[at], body)
			}
		}
	}
	at = 1
	if _, _, body := w.ask(t, http.MethodGet, "/v1/rollouts?limit=1", secret, ""); !strings.Contains(w.log.text(), "/srv/secret") {
		t.Errorf("the log does not say why: %s", body)
	}
}
