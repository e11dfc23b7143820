package observe

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"headgate/internal/errs"
)

// Authorize says who sends a request: it returns which stores the sender may speak of, or an error, which is answered
// with 401. It is called before the body is read.
type Authorize func(r *http.Request) (mayReport func(storeID string) bool, err error)

// A Receiver makes the handlers. All fields but Lost are required.
type Receiver struct {
	Observer  Observer
	Authorize Authorize
	Now       func() time.Time
	Lost      Loss
}

// Reports takes the batches of the wrapped sync backend. It answers 202, or 400, 401, 403, 405, 413, 415, 503 with
// {"error": …}.
func (rc Receiver) Reports() http.Handler { return rc.handler("worker", DecodeReports) }

// Telemetry takes the batches of the apps' helpers. Pages of any origin may send: it is the token that counts.
func (rc Receiver) Telemetry() http.Handler {
	inner := rc.handler("app", DecodeTelemetry)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

func (rc Receiver) handler(sender string, decode func([]byte, time.Time) ([]Observation, int64, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := rc.Now()
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			fail(w, http.StatusMethodNotAllowed, "use POST")
			return
		}
		mayReport, err := rc.Authorize(r)
		if err != nil {
			fail(w, http.StatusUnauthorized, "the token is missing or wrong")
			return
		}
		if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
			fail(w, http.StatusUnsupportedMediaType, "the body must be application/json")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
		var tooLong *http.MaxBytesError
		switch {
		case errors.As(err, &tooLong):
			fail(w, http.StatusRequestEntityTooLarge, "the body is too long")
			return
		case err != nil:
			fail(w, http.StatusBadRequest, "the body could not be read")
			return
		}
		batch, dropped, err := decode(body, at)
		if e := errs.As(err); e != nil {
			fail(w, http.StatusBadRequest, e.Msg)
			return
		}
		for _, o := range batch {
			if !mayReport(o.StoreID) {
				fail(w, http.StatusForbidden, "the token is not one for all these stores")
				return
			}
		}
		if err := rc.Observer.Observe(r.Context(), batch); err != nil {
			w.Header().Set("Retry-After", "5")
			fail(w, http.StatusServiceUnavailable, "the observations could not be stored, send them again")
			return
		}
		if dropped > 0 && rc.Lost != nil {
			rc.Lost(sender, dropped)
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

// Bearer returns the token of an Authorization header, or "".
func Bearer(r *http.Request) string {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return ""
	}
	return token
}

// A Failure is the answer to what is not taken over.
type Failure struct {
	Error string `json:"error"`
}

func fail(w http.ResponseWriter, status int, msg string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Failure{msg}) // the sender may have gone
}
