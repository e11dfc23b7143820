package ofrep

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// inactivity is after how many seconds a page that nobody looks at may close its stream.
const inactivity = 120

type bulk struct {
	Flags    []any          `json:"flags"`
	Metadata map[string]any `json:"metadata"`
	Streams  []stream       `json:"eventStreams"`
}

type stream struct {
	Type     string `json:"type"`
	Endpoint struct {
		RequestURI string `json:"requestUri"`
	} `json:"endpoint"`
	Inactivity int `json:"inactivityDelaySec"`
}

// Bulk evaluates all flags. It answers 304 where the body would be the one that the caller has, unless it asks because it
// was told of a change (flagConfigEtag): then it gets what there is, since a cache on the way may have been asked first.
func (h *Handler) Bulk(w http.ResponseWriter, r *http.Request) {
	attributes, ok := h.attributes(w, r, "")
	if !ok {
		return
	}
	revision, _ := h.Flags.Revision() // before the evaluation: what changes meanwhile is an event
	keys := h.Flags.Keys()
	out := bulk{Flags: make([]any, 0, len(keys)), Metadata: map[string]any{"version": revision.ID}}
	for _, e := range h.Flags.Evaluate(r.Context(), attributes, keys...) {
		out.Flags = append(out.Flags, e.answer())
	}
	s := stream{Type: "sse", Inactivity: inactivity}
	query := url.Values{sinceParam: {revision.ID}}
	if ticket := h.Access.Ticket(r.Context()); ticket != "" {
		query.Set(TicketParam, ticket)
	}
	s.Endpoint.RequestURI = StreamPath + "?" + query.Encode()
	out.Streams = []stream{s}
	body, err := json.Marshal(out)
	if err != nil {
		h.internal(w, "", err)
		return
	}
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", etag)
	if !r.URL.Query().Has("flagConfigEtag") && matches(r.Header.Values("If-None-Match"), etag) {
		w.Header().Set("Cache-Control", "private, no-cache")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	write(w, http.StatusOK, body)
}

// matches reports whether If-None-Match names the ETag.
func matches(values []string, etag string) bool {
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == etag || tag == "*" {
				return true
			}
		}
	}
	return false
}
