package observe

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"headgate/internal/errs"
)

// Traces takes OTLP/HTTP traces, as an OpenTelemetry exporter sends them: protobuf or JSON, also with gzip. took is given
// LiveStore's spans, with a key: an exporter that got no answer sends the same bytes again, and the ids of the spans in them
// make them like no others. It answers 200 with an empty answer of OTLP, or 400, 403, 413, 415 with {"error": …}.
func (rc Receiver) Traces(took func(key string, spans []Span)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := rc.Now()
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		asJSON := media == "application/json"
		if err != nil || !asJSON && media != "application/x-protobuf" {
			fail(w, http.StatusUnsupportedMediaType, "the body must be application/x-protobuf or application/json")
			return
		}
		body, status, msg := unpacked(w, r)
		if msg != "" {
			fail(w, status, msg)
			return
		}
		spans, err := DecodeTraces(body, asJSON, at)
		if e := errs.As(err); e != nil {
			fail(w, http.StatusBadRequest, e.Msg)
			return
		}
		for _, s := range spans {
			if s.Store != None && !rc.MayReport(r, s.Store) {
				fail(w, http.StatusForbidden, "the token is not one for all these stores")
				return
			}
		}
		took(keyOf("spans", rc.Sender(r), string(body)), spans)
		w.Header().Set("Content-Type", media)
		w.WriteHeader(http.StatusOK)
		if asJSON {
			_, _ = io.WriteString(w, "{}") // the sender may have gone
		}
	})
}

// unpacked reads the body, or says with which status and why not.
func unpacked(w http.ResponseWriter, r *http.Request) (body []byte, status int, msg string) {
	const tooLong = "the body is too long"
	in := io.Reader(http.MaxBytesReader(w, r.Body, MaxTraces))
	switch encoding := strings.ToLower(r.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return nil, http.StatusBadRequest, "the body is not packed with gzip"
		}
		in = io.LimitReader(unzip, MaxTraces+1)
	default:
		return nil, http.StatusUnsupportedMediaType, "the body is packed with something else than gzip"
	}
	body, err := io.ReadAll(in)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over), len(body) > MaxTraces:
		return nil, http.StatusRequestEntityTooLarge, tooLong
	case err != nil:
		return nil, http.StatusBadRequest, "the body could not be read"
	}
	return body, 0, ""
}
