package ofrep

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// TicketParam is the parameter of the stream's address with the ticket. It must not be logged.
	TicketParam = "ticket"
	sinceParam  = "since"
)

// retryAfter is how many seconds a listener waits for a place, and retryStream how many milliseconds for a stream that
// the server ended.
const (
	retryAfter  = "5"
	retryStream = 1000
	// writeTime is how long a listener may take to take what it is sent.
	writeTime = 10 * time.Second
)

// Stream tells a listener of every change of the flags until it leaves, may not listen any more, or the handler drains.
func (h *Handler) Stream(w http.ResponseWriter, r *http.Request) {
	refuse := func(details string) {
		w.Header().Set("Retry-After", retryAfter)
		writeFailure(w, http.StatusServiceUnavailable, failure{Code: general, Details: details})
	}
	select {
	case <-h.drained:
		refuse("the server is stopping")
		return
	default:
	}
	select {
	case h.open <- struct{}{}:
		defer func() { <-h.open }()
	default:
		refuse("too many streams are open")
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // of nginx, which would keep events back
	w.WriteHeader(http.StatusOK)

	l := listener{w: w, rc: http.NewResponseController(w), now: h.Now}
	seen := r.URL.Query().Get(sinceParam)
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		seen = last
	}
	if err := h.listen(r, &l, seen); err != nil {
		h.Log.DebugContext(r.Context(), "a stream broke off", "error", err)
	}
}

// listen sends events for everything after the revision that the listener has seen; "" is whatever there is now.
func (h *Handler) listen(r *http.Request, l *listener, seen string) error {
	revision, changed := h.Flags.Revision()
	if seen == "" {
		seen = revision.ID
	}
	if strings.ContainsFunc(seen, func(c rune) bool { return c < '!' || c > '~' }) {
		seen = "unknown" // it is sent back, and must not become a line of its own
	}
	if err := l.send("retry: %d\nid: %s\n\n", retryStream, seen); err != nil {
		return err
	}
	tell := func() error {
		revision, changed = h.Flags.Revision()
		event, err := json.Marshal(refetch{Type: "refetchEvaluation", ETag: revision.ID, LastModified: revision.At.UTC().Format(time.RFC3339)})
		if err != nil {
			return err
		}
		return l.send("id: %s\ndata: %s\n\n", revision.ID, event)
	}
	beat := time.NewTicker(h.Heartbeat)
	defer beat.Stop()
	// Flags that changed and changed back are told, too: the listener may have asked in between.
	for other := revision.ID != seen; ; {
		if other {
			h.wait(r) // a moment, each listener another one; that also makes one event of several changes
			if err := tell(); err != nil {
				return err
			}
			other = false
		}
		select {
		case <-changed:
			other = true
		case <-beat.C:
			if !h.Access.Listening(r.Context()) {
				return errors.New("the caller may not listen any more")
			}
			if err := l.send(": still here\n\n"); err != nil {
				return err
			}
		case <-r.Context().Done():
			return nil
		case <-h.drained:
			select {
			case <-changed: // it comes back only after a while
				if err := tell(); err != nil {
					return err
				}
			default:
			}
			return l.send(": the server is stopping\n\n")
		}
	}
}

// refetch is what an event says.
type refetch struct {
	Type         string `json:"type"`
	ETag         string `json:"etag"`
	LastModified string `json:"lastModified"`
}

// wait waits for the jitter, but for nobody who leaves.
func (h *Handler) wait(r *http.Request) {
	if h.Jitter == nil {
		return
	}
	t := time.NewTimer(h.Jitter())
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-h.drained:
	}
}

// A listener is the other end of a stream.
type listener struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	now func() time.Time
}

// send writes at once. The deadline is of this write: the server's own is for whole answers.
func (l *listener) send(format string, args ...any) error {
	if err := l.rc.SetWriteDeadline(l.now().Add(writeTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := fmt.Fprintf(l.w, format, args...); err != nil {
		return err
	}
	return l.rc.Flush()
}
