package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAskURL(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		status      int
		after       string
		hold, fails string
		wait        time.Duration
	}{
		"ready":               {status: 204},
		"busy":                {status: 503, after: "7", hold: "answers 503 Service Unavailable", wait: 7 * time.Second},
		"too many":            {status: 429, after: "Sun, 31 Jan 2027 12:01:00 GMT", hold: "answers 429", wait: time.Minute},
		"busy for a year":     {status: 503, after: "31536000", hold: "answers 503", wait: 10 * time.Minute},
		"nonsense after busy": {status: 503, after: "soon", hold: "answers 503"},
		"moved away":          {status: 404, fails: "answers 404 Not Found"},
		"broken":              {status: 500, fails: "answers 500"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.after != "" {
					w.Header().Set("Retry-After", test.after)
				}
				w.WriteHeader(test.status)
			}))
			defer server.Close()
			hold, wait, err := askURL(t.Context(), server.URL+"/?token=hunter2", func() time.Time { return now })
			if (hold == "") != (test.hold == "") || !strings.Contains(hold, test.hold) || wait != test.wait || (err == nil) != (test.fails == "") {
				t.Errorf("%q, %s, error %v", hold, wait, err)
			}
			if err != nil && !strings.Contains(err.Error(), test.fails) || err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v", err)
			}
		})
	}
	if _, _, err := askURL(t.Context(), "http://127.0.0.1:1/?token=hunter2", time.Now); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}
