package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
)

// statusOf is the HTTP status of an error's code.
func statusOf(code errs.Code) int {
	switch code {
	case errs.Invalid:
		return http.StatusBadRequest
	case errs.Unauthorized:
		return http.StatusUnauthorized
	case errs.Forbidden:
		return http.StatusForbidden
	case errs.NotFound:
		return http.StatusNotFound
	case errs.Findings, errs.Stale, errs.Refused, errs.Mismatch:
		return http.StatusConflict
	case errs.Locked:
		return http.StatusLocked
	case errs.Unverifiable:
		return http.StatusUnprocessableEntity
	case errs.Interrupted:
		return http.StatusServiceUnavailable
	case api.RateLimited:
		return http.StatusTooManyRequests
	}
	return http.StatusInternalServerError
}

// problemOf makes the answer of an error. What is internal is for the log: its text may name what callers must not see.
func problemOf(err error, id string) api.Problem {
	code := errs.CodeOf(err)
	status := statusOf(code)
	p := api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, NextActions: []string{}, RequestID: id}
	e := errs.As(err)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		p.Code, p.Status, p.Detail = errs.Invalid, http.StatusRequestEntityTooLarge, "the body is too large"
		p.Title = http.StatusText(p.Status)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		p.Code, p.Status, p.Detail = errs.Interrupted, http.StatusServiceUnavailable, "the request was given up"
		p.Title = http.StatusText(p.Status)
	case e == nil, code == errs.Internal:
		p.Detail = "the server failed; its log has the request " + id
	default:
		p.Detail, p.Hint = e.Msg, e.Hint
		p.NextActions = append(p.NextActions, e.Next...)
		if !filepath.IsAbs(e.Where) && !strings.Contains(e.Where, "://") { // where the server's files are is nobody's business
			p.Where = e.Where
		}
	}
	return p
}

// told is an error inside an answer, in one line. What is internal is for the log, and so is where the server's files are.
func told(env operate.Rollouts, err error) string {
	p := problemOf(err, "")
	if p.Code == errs.Internal {
		env.Log.Warn("an answer says that something can't be read", "error", err)
		return "the server can't read it; its log says why"
	}
	where := ""
	if e := errs.As(err); e != nil {
		where = e.Where
	}
	if filepath.IsAbs(where) {
		where = env.Place(where)
	}
	if where != "" && !strings.Contains(where, "://") {
		return where + ": " + p.Detail
	}
	return p.Detail
}

func writeProblem(w http.ResponseWriter, p api.Problem) {
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer can't be written as JSON", http.StatusInternalServerError)
		return
	}
	writeBody(w, status, contentType, body)
}

func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked may be gone
}
