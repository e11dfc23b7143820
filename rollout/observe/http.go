package observe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"headgate/internal/errs"
)

// A Receiver makes the handlers. All fields are required. Whoever mounts them has found out who sends, takes POST only, and
// answers for pages of other origins.
type Receiver struct {
	Observer Observer
	// MayReport says whether the sender of a request may speak of a store.
	MayReport func(r *http.Request, storeID string) bool
	// Sender says whose request it is: what others call their batches is something else.
	Sender func(r *http.Request) string
	Now    func() time.Time
}

// Reports takes the batches of the wrapped sync backend. It answers 202, or 400, 403, 413, 415, 503 with {"error": …}.
func (rc Receiver) Reports() http.Handler { return rc.handler("worker", DecodeReports) }

// Telemetry is Reports for the batches of the apps' helpers.
func (rc Receiver) Telemetry() http.Handler { return rc.handler("app", DecodeTelemetry) }

func (rc Receiver) handler(sender string, decode func([]byte, time.Time) (Batch, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := rc.Now()
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
		batch, err := decode(body, at)
		if e := errs.As(err); e != nil {
			fail(w, http.StatusBadRequest, e.Msg)
			return
		}
		for _, o := range batch.Observations {
			if !rc.MayReport(r, o.StoreID) {
				fail(w, http.StatusForbidden, "the token is not one for all these stores")
				return
			}
		}
		batch.Sender = sender
		if batch.ID != "" {
			var first Observation // none where all of it is foreign
			if len(batch.Observations) > 0 {
				first = batch.Observations[0]
			}
			batch.Key = keyOf(sender, rc.Sender(r), batch.ID, first.StoreID, first.ClientID)
		}
		if err := rc.Observer.Observe(r.Context(), batch); err != nil {
			w.Header().Set("Retry-After", "5")
			fail(w, http.StatusServiceUnavailable, "the observations could not be stored, send them again")
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

// keyOf is of one size, whatever a sender calls what it sends.
func keyOf(words ...string) string {
	sum := sha256.New()
	for _, w := range words {
		_, _ = io.WriteString(sum, w+"\x00") // never fails
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
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
