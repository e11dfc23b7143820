package ofrep

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// A badRequest is a body that can't be evaluated.
type badRequest struct {
	failure
	tooLarge bool
}

// decode reads the body of an evaluation and returns its context's attributes, never nil. A context that is missing has
// none: flags are then evaluated for nobody in particular.
func decode(body io.Reader) (map[string]any, *badRequest) {
	bad := func(code, details string) (map[string]any, *badRequest) {
		return nil, &badRequest{failure: failure{Code: code, Details: details}}
	}
	data, err := io.ReadAll(body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		_, b := bad(parseError, "the body is too large")
		b.tooLarge = true
		return nil, b
	}
	if err != nil {
		return bad(parseError, "the body can't be read to its end")
	}
	var request struct {
		Context json.RawMessage `json:"context"`
	}
	if err := json.Unmarshal(data, &request); err != nil {
		return bad(parseError, `the body is not a JSON object: {"context": {"targetingKey": "…"}}`)
	}
	attributes := map[string]any{}
	if len(request.Context) > 0 {
		if err := json.Unmarshal(request.Context, &attributes); err != nil {
			return bad(invalidContext, "the context is not a JSON object")
		}
	}
	if attributes == nil { // null
		attributes = map[string]any{}
	}
	switch attributes[keyAttribute].(type) {
	case nil, string:
	default:
		return bad(invalidContext, "targetingKey is not a string")
	}
	return attributes, nil
}

// keyAttribute is where a context has its targeting key.
const keyAttribute = "targetingKey"
