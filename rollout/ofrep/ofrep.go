package ofrep

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// The paths, as patterns of [http.ServeMux].
const (
	SinglePath = "/ofrep/v1/evaluate/flags/{key}"
	BulkPath   = "/ofrep/v1/evaluate/flags"
	StreamPath = "/ofrep/v1/sse"
)

// Flags are what a [Handler] serves. The methods are called by many goroutines.
type Flags interface {
	// Keys are the flags of a bulk evaluation, in a stable order.
	Keys() []string
	// Evaluate answers for each key, in order; a key that is no flag with FLAG_NOT_FOUND. The attributes are a context as
	// JSON has it, the targeting key under targetingKey. They must not be changed.
	Evaluate(ctx context.Context, attributes map[string]any, keys ...string) []Evaluation
	// Revision returns the definitions that are in force, and a channel that is closed when others are.
	Revision() (Revision, <-chan struct{})
}

// A Revision names definitions of flags. Others have another ID.
type Revision struct {
	ID string    // letters, digits, dots, hyphens
	At time.Time // since when
}

// An Evaluation is the answer for one flag: a value, or an error code.
type Evaluation struct {
	Key      string
	Value    any // of JSON
	Variant  string
	Reason   string
	Metadata map[string]any

	// ErrorCode is one of OpenFeature, empty for a success: FLAG_NOT_FOUND, PARSE_ERROR, TARGETING_KEY_MISSING,
	// INVALID_CONTEXT or GENERAL. What else an evaluator has becomes GENERAL.
	ErrorCode string
	Detail    string // for people
	Failed    bool   // the evaluator's fault, and not the question's: status 500 instead of 400
}

// Access says what the caller may do. Who that is, whoever mounted the handler knows from the request's context.
type Access interface {
	// Admit returns an error, whose text the caller gets, when it may not ask about the context.
	Admit(ctx context.Context, attributes map[string]any) error
	// Ticket returns what opens the stream for the caller for a while, for the parameter ticket of its address, or "". It
	// must stay the same for minutes, since it is a part of the body that ETags are made of.
	Ticket(ctx context.Context) string
	// Listening reports whether the caller of an open stream may go on to listen.
	Listening(ctx context.Context) bool
}

// Options are what a [Handler] is made of. All are required, but Jitter.
type Options struct {
	Flags  Flags
	Access Access
	Log    *slog.Logger
	Now    func() time.Time

	Listeners int           // streams that may be open at a time
	Heartbeat time.Duration // between two comments on a stream
	// Jitter returns how long to wait before a listener hears of a change, so that they do not all ask at once. Nil for no
	// time.
	Jitter func() time.Duration
}

// MaxBody is the size in bytes from which a body is refused.
const MaxBody = 64 << 10

// A Handler serves the protocol. Its methods are handlers for the three paths.
type Handler struct {
	Options
	open    chan struct{} // has an element per stream
	drained chan struct{}
}

// New returns a handler.
func New(o Options) *Handler {
	return &Handler{Options: o, open: make(chan struct{}, o.Listeners), drained: make(chan struct{})}
}

// Drain ends all streams, and refuses new ones. It may be called once.
func (h *Handler) Drain() { close(h.drained) }

// Streams returns how many streams are open.
func (h *Handler) Streams() int { return len(h.open) }

// evaluated is an evaluation as the protocol writes it.
type evaluated struct {
	Key      string         `json:"key"`
	Reason   string         `json:"reason"`
	Value    any            `json:"value"`
	Variant  string         `json:"variant"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

type failure struct {
	Key     string `json:"key,omitempty"`
	Code    string `json:"errorCode"`
	Details string `json:"errorDetails,omitempty"`
}

// The error codes of the protocol that this package tells apart.
const (
	parseError     = "PARSE_ERROR"
	flagNotFound   = "FLAG_NOT_FOUND"
	invalidContext = "INVALID_CONTEXT"
	targetingKey   = "TARGETING_KEY_MISSING"
	general        = "GENERAL"
)

func (e Evaluation) answer() any {
	if e.ErrorCode == "" {
		return evaluated{Key: e.Key, Reason: e.Reason, Value: e.Value, Variant: e.Variant, Metadata: e.Metadata}
	}
	f := failure{Key: e.Key, Code: e.ErrorCode, Details: e.Detail}
	switch f.Code {
	case parseError, flagNotFound, invalidContext, targetingKey:
	default:
		f.Code = general
	}
	return f
}

func (e Evaluation) status() int {
	switch {
	case e.ErrorCode == "":
		return http.StatusOK
	case e.ErrorCode == flagNotFound:
		return http.StatusNotFound
	case e.Failed:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// Single evaluates one flag.
func (h *Handler) Single(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	attributes, ok := h.attributes(w, r, key)
	if !ok {
		return
	}
	answers := h.Flags.Evaluate(r.Context(), attributes, key)
	body, err := json.Marshal(answers[0].answer())
	if err != nil {
		h.internal(w, key, err)
		return
	}
	write(w, answers[0].status(), body)
}

// attributes reads the context that is asked about. When there is none the answer is written already.
func (h *Handler) attributes(w http.ResponseWriter, r *http.Request, key string) (map[string]any, bool) {
	attributes, bad := decode(http.MaxBytesReader(w, r.Body, MaxBody))
	if bad != nil {
		bad.Key = key
		status := http.StatusBadRequest
		if bad.tooLarge {
			status = http.StatusRequestEntityTooLarge
		}
		writeFailure(w, status, bad.failure)
		return nil, false
	}
	if err := h.Access.Admit(r.Context(), attributes); err != nil {
		writeFailure(w, http.StatusForbidden, failure{Key: key, Code: general, Details: err.Error()})
		return nil, false
	}
	return attributes, true
}

func (h *Handler) internal(w http.ResponseWriter, key string, err error) {
	h.Log.Error("can't write an evaluation", "flag", key, "error", err)
	writeFailure(w, http.StatusInternalServerError, failure{Key: key, Code: general, Details: "the evaluation can't be written as JSON"})
}

// Refuse answers a request of the protocol that never gets to a handler: 401, 403, 429 or 500, with details for people.
// key is that of the flag, "" for none.
func Refuse(w http.ResponseWriter, status int, key, details string) {
	writeFailure(w, status, failure{Key: key, Code: general, Details: details})
}

func writeFailure(w http.ResponseWriter, status int, f failure) {
	body, err := json.Marshal(f)
	if err != nil { // never: it holds texts
		status, body = http.StatusInternalServerError, nil
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "private, no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked may be gone
}

// CORS lets pages of any origin call next, and answers their preflights. That is safe because nothing is sent along by
// itself: a page must have a token of its own.
func CORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", strings.Join([]string{"Content-Type", "Authorization", "X-API-Key", "If-None-Match"}, ", "))
			h.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
