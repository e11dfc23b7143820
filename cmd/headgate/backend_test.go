package main

import (
	"context"
	"encoding/json"
	"testing"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
)

// openBackend opens a store on the real sync backend as its writers do, beside headgate.
func openBackend(t testing.TB, url, token string, store livestore.StoreID) eventlog.Appender {
	t.Helper()
	log, err := cflog.Open(t.Context(), cflog.Options{
		URL: url, StoreID: store,
		Payload: func(context.Context) (json.RawMessage, error) {
			return json.Marshal(map[string]string{"authToken": token})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return log
}
