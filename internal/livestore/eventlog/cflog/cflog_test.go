package cflog_test

import (
	"context"
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// auth returns the payload that carries a token.
func auth(token string) func(context.Context) (json.RawMessage, error) {
	return func(context.Context) (json.RawMessage, error) {
		return json.Marshal(map[string]string{"authToken": token})
	}
}

func open(t testing.TB, opt cflog.Options) *cflog.Log {
	t.Helper()
	l, err := cflog.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// overBoth runs a test over each transport.
func overBoth(t *testing.T, run func(t *testing.T, overHTTP bool)) {
	t.Run("ws", func(t *testing.T) { run(t, false) })
	t.Run("http", func(t *testing.T) { run(t, true) })
}

func TestSuite(t *testing.T) {
	url, token := testenv.Backend(t)
	overBoth(t, func(t *testing.T, overHTTP bool) {
		eventlogtest.RunAppender(t, func(t *testing.T, store livestore.StoreID) eventlog.Appender {
			return open(t, cflog.Options{URL: url, StoreID: store, Payload: auth(token), HTTP: overHTTP})
		})
	})
}
