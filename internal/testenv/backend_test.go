package testenv_test

import (
	"net/http"
	"testing"

	"headgate/internal/testenv"
)

func TestBackend(t *testing.T) {
	var url string
	t.Run("answers", func(t *testing.T) {
		address, token := testenv.Backend(t)
		url = address
		res, err := http.Get(url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || token == "" {
			t.Errorf("status %d, token %q", res.StatusCode, token)
		}
	})
	if url == "" {
		return // skipped
	}
	if res, err := http.Get(url + "/healthz"); err == nil {
		res.Body.Close()
		t.Error("it runs on after its test")
	}
}
