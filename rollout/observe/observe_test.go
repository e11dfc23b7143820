package observe_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/rollout/observe"
)

type stored struct {
	batch   []observe.Observation
	batches []observe.Batch
	err     error
}

func (s *stored) Observe(_ context.Context, batch observe.Batch) error {
	s.batch = append(s.batch, batch.Observations...)
	s.batches = append(s.batches, batch)
	return s.err
}

var received = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func receiver(s *stored) observe.Receiver {
	return observe.Receiver{
		Observer:  s,
		Sender:    func(r *http.Request) string { return r.Header.Get("Authorization") },
		Now:       func() time.Time { return received },
		MayReport: func(_ *http.Request, store string) bool { return store != "foreign" },
	}
}

const report = `{"version":1,"dropped":3,"reports":[{"storeId":"s","schema":"main","clientId":"ann","release":"1.1.0","kind":"pull","count":2,"floor":"1.0.0"}]}`

const telemetry = `{"version":1,"dropped":0,"storeId":"s","schema":"main","clientId":"ann","release":"1.1.0","items":[{"kind":"unknown_event","event":"v2.TodoCreated","count":4}]}`

func post(h http.Handler, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestReceives(t *testing.T) {
	s := &stored{}
	rc := receiver(s)
	for _, w := range []*httptest.ResponseRecorder{
		post(rc.Reports(), "application/json", report),
		post(rc.Telemetry(), "application/json; charset=utf-8", telemetry),
	} {
		if w.Code != http.StatusAccepted {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	ann := observe.Observation{Kind: observe.Pull, StoreID: "s", Schema: "main", ClientID: "ann", Release: "1.1.0", Count: 2, Floor: "1.0.0", At: received}
	skipped := ann
	skipped.Kind, skipped.Event, skipped.Count, skipped.Floor = observe.UnknownEvent, "v2.TodoCreated", 4, ""
	if diff := cmp.Diff([]observe.Observation{ann, skipped}, s.batch); diff != "" || s.batches[0].Dropped != 3 || s.batches[0].Sender != "worker" || s.batches[1].Sender != "app" {
		t.Errorf("%+v\n%s", s.batches, diff)
	}
}

// TestNewerSender: a Worker or an app that was upgraded before the server loses nothing that the server knows. What the server
// does not know is counted, and says nothing, not the time either.
func TestNewerSender(t *testing.T) {
	s := &stored{}
	rc := receiver(s)
	more := strings.Replace(report, `"count":2`, `"count":2,"at":"2030-01-01"`, 1)
	more = strings.Replace(more, `"reports":[`, `"region":"fra","reports":[{"kind":"evicted","storeId":"","why":{"n":1}},`, 1)
	none := `{"version":1,"dropped":0,"storeId":"s","schema":"main","clientId":"ann","release":"9.0.0","items":[{"kind":"slow"},{"kind":"slow"}]}`
	for _, w := range []*httptest.ResponseRecorder{post(rc.Reports(), "application/json", more), post(rc.Telemetry(), "application/json", none)} {
		if w.Code != http.StatusAccepted {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	ann := observe.Observation{Kind: observe.Pull, StoreID: "s", Schema: "main", ClientID: "ann", Release: "1.1.0", Count: 2, Floor: "1.0.0", At: received}
	if diff := cmp.Diff([]observe.Observation{ann}, s.batch); diff != "" || s.batches[0].Foreign != 2 || s.batches[1].Foreign != 2 {
		t.Errorf("%+v\n%s", s.batches, diff)
	}
}

// TestAgain: a batch that comes again has the same key, and one of another sender, client, store or kind by the same name another.
func TestAgain(t *testing.T) {
	named := func(body string) string {
		return strings.Replace(body, `"version":1`, `"version":1,"batch":"b1"`, 1)
	}
	keyOf := func(token string, reports bool, body string) string {
		t.Helper()
		s := &stored{}
		h := receiver(s).Telemetry()
		if reports {
			h = receiver(s).Reports()
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusAccepted || len(s.batches) != 1 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return s.batches[0].Key
	}
	first := keyOf("t1", false, named(telemetry))
	if again := keyOf("t1", false, named(telemetry)); again != first || len(first) != 32 {
		t.Errorf("%q, then %q", first, again)
	}
	keys := map[string]string{first: "the first"}
	for name, key := range map[string]string{
		"another token": keyOf("t2", false, named(telemetry)), "another client": keyOf("t1", false, named(strings.Replace(telemetry, "ann", "ben", 1))),
		"another store": keyOf("t1", false, named(strings.Replace(telemetry, `"storeId":"s"`, `"storeId":"z"`, 1))), "the Worker": keyOf("t1", true, named(report)),
	} {
		if other, there := keys[key]; there || key == "" {
			t.Errorf("%s and %s have the key %q", name, other, key)
		}
		keys[key] = name
	}
	if key := keyOf("t1", false, telemetry); key != "" {
		t.Errorf("without a name it has the key %q", key)
	}
}

func TestRefuses(t *testing.T) {
	many := strings.Repeat(`{"storeId":"s","schema":"main","clientId":"ann","release":"1.1.0","kind":"pull","count":1},`, observe.MaxBatch+1)
	for name, c := range map[string]struct {
		contentType, body string
		telemetry         bool
		want              int
	}{
		"not JSON":       {contentType: "text/plain", body: report, want: http.StatusUnsupportedMediaType},
		"foreign store":  {body: strings.Replace(report, `"s"`, `"foreign"`, 1), want: http.StatusForbidden},
		"too long":       {body: strings.Repeat(" ", observe.MaxBody+1) + report, want: http.StatusRequestEntityTooLarge},
		"two documents":  {body: report + report, want: http.StatusBadRequest},
		"version":        {body: strings.Replace(report, `"version":1`, `"version":2`, 1), want: http.StatusBadRequest},
		"batch":          {body: strings.Replace(report, `"version":1`, `"version":1,"batch":"`+strings.Repeat("b", observe.MaxBatchID+1)+`"`, 1), want: http.StatusBadRequest},
		"empty":          {body: `{"version":1,"reports":[]}`, want: http.StatusBadRequest},
		"too many":       {body: `{"version":1,"reports":[` + strings.TrimSuffix(many, ",") + `]}`, want: http.StatusBadRequest},
		"kind":           {body: strings.Replace(report, `"pull"`, `"started"`, 1), want: http.StatusBadRequest},
		"count":          {body: strings.Replace(report, `"count":2`, `"count":0`, 1), want: http.StatusBadRequest},
		"dropped":        {body: strings.Replace(report, `"dropped":3`, `"dropped":-1`, 1), want: http.StatusBadRequest},
		"long name":      {body: strings.Replace(report, "ann", strings.Repeat("n", observe.MaxClient+1), 1), want: http.StatusBadRequest},
		"control":        {body: strings.Replace(report, "ann", `a\u0007`, 1), want: http.StatusBadRequest},
		"no store":       {body: strings.Replace(report, `"s"`, `""`, 1), want: http.StatusBadRequest},
		"app as backend": {telemetry: true, body: strings.Replace(telemetry, "unknown_event", "pull", 1), want: http.StatusBadRequest},
		"no event":       {telemetry: true, body: strings.Replace(telemetry, "v2.TodoCreated", "", 1), want: http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stored{}
			rc := receiver(s)
			h := rc.Reports()
			if c.telemetry {
				h = rc.Telemetry()
			}
			if c.contentType == "" {
				c.contentType = "application/json"
			}
			if w := post(h, c.contentType, c.body); w.Code != c.want || len(s.batch) != 0 {
				t.Errorf("%d %s, want %d; stored %d", w.Code, w.Body, c.want, len(s.batch))
			}
		})
	}
	w := post(receiver(&stored{err: errors.New("disk full")}).Reports(), "application/json", report)
	if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "disk") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(report))
	f.Add([]byte(telemetry))
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, decode := range map[string]func([]byte, time.Time) (observe.Batch, error){
			"reports": observe.DecodeReports, "telemetry": observe.DecodeTelemetry,
		} {
			got, err := decode(body, received)
			if err != nil {
				continue
			}
			if n := int64(len(got.Observations)); n+got.Foreign == 0 || n > observe.MaxBatch || got.Dropped < 0 || len(got.ID) > observe.MaxBatchID {
				t.Errorf("%s: %d observations, %d dropped, %d foreign", name, n, got.Dropped, got.Foreign)
			}
			for _, o := range got.Observations {
				if o.StoreID == "" || o.ClientID == "" || o.Release == "" || o.Count < 1 || len(o.StoreID)+len(o.ClientID)+len(o.Release) > 2000 || !o.At.Equal(received) {
					t.Error(name, fmt.Sprintf("%+v", o))
				}
			}
		}
	})
}
