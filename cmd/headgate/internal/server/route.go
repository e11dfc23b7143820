package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"

	"headgate/cmd/headgate/internal/api"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// A route is something that the server answers to.
type route struct {
	method, path string
	summary      string
	needs        permission
	body         int64 // bytes that a body may have

	// What it takes and gives: structs, for the OpenAPI document. Nil where there is none.
	in, out reflect.Type

	pages    bool                                              // of any origin may call it
	protocol bool                                              // OFREP's: its errors have another form
	serve    func(*Server, http.ResponseWriter, *http.Request) // raw
	handle   func(*Server, context.Context, any) (any, error)  // typed: takes *in, gives out
	fleeting bool                                              // its answer is kept nowhere: an Idempotency-Key does nothing
	limited  bool                                              // each address may ask so many times a second
}

func (r route) pattern() string { return r.method + " " + r.path }

// bodyLimit is how many bytes a body has at most, but where a route says otherwise.
const bodyLimit = 64 << 10

// get is a route that reads.
func get[In, Out any](path, summary string, needs permission, h func(*Server, context.Context, *In) (Out, error)) route {
	return typed(http.MethodGet, path, summary, needs, h)
}

// post is a route that changes something. A request with an Idempotency-Key is done once.
func post[In, Out any](path, summary string, needs permission, h func(*Server, context.Context, *In) (Out, error)) route {
	return typed(http.MethodPost, path, summary, needs, h)
}

func typed[In, Out any](method, path, summary string, needs permission, h func(*Server, context.Context, *In) (Out, error)) route {
	return route{
		method: method, path: path, summary: summary, needs: needs, body: bodyLimit,
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
		handle: func(s *Server, ctx context.Context, in any) (any, error) { return h(s, ctx, in.(*In)) },
	}
}

// taking is a route that keeps what it is sent, and answers 202 without a body.
func taking[In any](path, summary string, needs permission, h func(*Server, http.ResponseWriter, *http.Request)) route {
	return route{method: http.MethodPost, path: path, summary: summary, needs: needs, in: reflect.TypeFor[In](), serve: h}
}

// call reads what a typed route takes, and answers with what it gives.
func (s *Server) call(rt route, w http.ResponseWriter, r *http.Request) error {
	if env := r.Header.Get(api.EnvironmentHeader); env != "" && env != s.Operate.Name {
		return errs.Invalidf("this server is for the environment %s, not %s", s.Operate.Name, env).Hintf("each environment has a server of its own")
	}
	body, err := readBody(rt, w, r)
	if err != nil {
		return err
	}
	in := reflect.New(rt.in)
	if err := bind(in.Elem(), r, body); err != nil {
		return err
	}
	limited, done := context.WithTimeout(r.Context(), s.patience)
	defer done()
	answer := func(ctx context.Context) ([]byte, error) {
		out, err := rt.handle(s, ctx, in.Interface())
		if raw, ok := out.(json.RawMessage); ok || err != nil {
			return raw, err
		}
		return json.Marshal(out)
	}
	if rt.method == http.MethodPost {
		defer s.flags.ring()
	}
	key := r.Header.Get(api.KeyHeader)
	if rt.method != http.MethodPost || key == "" || rt.fleeting {
		out, err := answer(limited)
		if err == nil {
			writeBody(w, http.StatusOK, "application/json", out)
		}
		return err
	}
	if len(key) > 200 {
		return errs.Invalidf("the Idempotency-Key is longer than 200 bytes")
	}
	return s.once(w, r, key, body, answer)
}

// once answers as it did before when the caller's key is known, else it keeps what it answers. A failure is not kept.
func (s *Server) once(w http.ResponseWriter, r *http.Request, key string, body []byte, answer func(context.Context) ([]byte, error)) error {
	who := caller(r.Context()).ID
	h := sha256.New()
	_, _ = h.Write([]byte(r.Method + " " + r.URL.RequestURI() + "\n")) // never fails
	_, _ = h.Write(body)
	db, env := s.Operate.DB, s.Operate.Name
	kept, err := db.BeginReply(r.Context(), env, who, key, hex.EncodeToString(h.Sum(nil)))
	if err != nil {
		return err
	}
	if kept != nil {
		w.Header().Set("Idempotent-Replayed", "true")
		writeBody(w, kept.Status, "application/json", kept.Body)
		return nil
	}
	ctx := context.WithoutCancel(r.Context()) // what was begun is ended, and kept, when the caller has gone
	limited, done := context.WithTimeout(ctx, control.ReplyTime*3/4)
	defer done()
	out, err := answer(control.Answering(limited, env, who, key))
	if err != nil {
		return errors.Join(err, db.EndReply(ctx, env, who, key, nil))
	}
	if err := db.EndReply(ctx, env, who, key, &control.Reply{Status: http.StatusOK, Body: out}); err != nil {
		return err
	}
	writeBody(w, http.StatusOK, "application/json", out)
	return nil
}

func readBody(rt route, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if rt.method != http.MethodPost {
		return nil, nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errs.Invalidf("the Content-Type is not application/json") // which a page can't send elsewhere unasked
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rt.body))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, errs.Invalidf("the body can't be read to its end")
	}
	return body, err
}

// bind fills a struct: fields with a tag path or query from the address, the others from the body. What it does not know
// is an error.
func bind(in reflect.Value, r *http.Request, body []byte) error {
	query := r.URL.Query()
	for i := range in.NumField() {
		f := in.Type().Field(i)
		if name := f.Tag.Get("path"); name != "" {
			in.Field(i).SetString(r.PathValue(name))
		}
		name := f.Tag.Get("query")
		if name == "" || !query.Has(name) {
			continue
		}
		value := query.Get(name)
		query.Del(name)
		switch in.Field(i).Kind() {
		case reflect.Int, reflect.Int64:
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return errs.Invalidf("%s: %q is not a number", name, value)
			}
			in.Field(i).SetInt(n)
		default:
			in.Field(i).SetString(value)
		}
	}
	for name := range query {
		return errs.Invalidf("there is no parameter %q", name)
	}
	if body == nil {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(in.Addr().Interface()); err != nil {
		return errs.Invalidf("the body is not what /v1/openapi.json says: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errs.Invalidf("the body goes on after its JSON object")
	}
	return nil
}
