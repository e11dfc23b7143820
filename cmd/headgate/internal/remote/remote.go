// Package remote does what commands do with an environment through its server: the methods of a [Client] are those of
// operate.Rollouts, over HTTP. Failures come back as the server's own, with their codes, hints and next commands.
//
// It decides nothing and prints nothing. Who acts is the owner of the token, whatever a command says.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/internal/errs"
)

// Options say where the server is, and who asks.
type Options struct {
	URL         string // http:// or https://, with the path that a proxy has for it
	Token       string // empty for a server that wants none
	Environment string // that is meant; empty for the server's
	HTTP        *http.Client
	Now         func() time.Time
	NewKey      func() string               // another one for each request that must be done once
	Next        func(command string) string // a command of the server, as it is typed here; nil for as it is
	Log         *slog.Logger
}

// A Client speaks to a server. It is safe for concurrent use.
type Client struct {
	Options
	base string
}

const (
	requestTime = 90 * time.Second // for one answer; the server gives up before
	maxAnswer   = 64 << 20
	tries       = 3
	pageSize    = 500
)

// New returns a client. It asks nothing yet.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errs.Invalidf("the server's address is not a URL like https://headgate.example.org"). // it may hold a password
															Hintf("the token comes from HEADGATE_TOKEN, not from the address")
	}
	if u.Scheme == "http" && o.Token != "" && !loopback(u.Hostname()) {
		o.Log.Warn("the token crosses the network in the clear: the server's address is http://", "host", u.Host)
	}
	h := *o.HTTP
	h.Timeout = requestTime
	h.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this address
	o.HTTP = &h
	return &Client{Options: o, base: strings.TrimRight(o.URL, "/")}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func get[Out any](ctx context.Context, c *Client, path string, query url.Values) (out Out, err error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	err = c.do(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

// pages asks for a list, page by page: take has each, and returns the cursor of the next, empty where there is none.
func pages[Page any](ctx context.Context, c *Client, path string, query url.Values, take func(Page) (next string)) error {
	if !query.Has("limit") {
		query.Set("limit", strconv.Itoa(pageSize))
	}
	for {
		page, err := get[Page](ctx, c, path, query)
		if err != nil {
			return err
		}
		next := take(page)
		if next == "" {
			return nil
		}
		query.Set("cursor", next)
	}
}

func post[Out any](ctx context.Context, c *Client, path string, in any) (out Out, err error) {
	err = c.do(ctx, http.MethodPost, path, in, &out)
	return out, err
}

// do asks until there is an answer. A request that changes something has a key, so that the server does it once.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	header := http.Header{"Accept": {"application/json"}}
	if c.Token != "" {
		header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.Environment != "" {
		header.Set(api.EnvironmentHeader, c.Environment)
	}
	if method == http.MethodPost {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
		header.Set("Content-Type", "application/json")
		header.Set(api.KeyHeader, c.NewKey())
	}
	lost := false // an answer: the server may be at it
	for try := 1; ; try++ {
		got, err := c.ask(ctx, method, path, header, body)
		wait := time.Duration(try) * 300 * time.Millisecond
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && try == tries:
			return errs.New(errs.Internal, "the server at %s does not answer", c.base).Because(plain(err)).
				Hintf("is `headgate serve` running there, and is that its address?").Passes()
		case err != nil:
			lost = true
		case try < tries && got.status == http.StatusLocked && lost: // our own request, under way
		case try < tries && got.status == http.StatusTooManyRequests:
			if n, err := strconv.Atoi(got.header.Get("Retry-After")); err == nil {
				wait = min(time.Duration(n)*time.Second, 5*time.Second)
			}
		default:
			return c.read(got, out)
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// plain is an error of the HTTP client without the address, which the message has.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// An answer is what came back, read to its end.
type answer struct {
	status int
	text   string // of the status
	header http.Header
	body   []byte
}

func (c *Client) ask(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header = header
	res, err := c.HTTP.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(data) > maxAnswer {
		err = fmt.Errorf("its answer is longer than %d MB", maxAnswer>>20)
	}
	c.Log.Debug("asked the server", "method", method, "path", path, "status", res.StatusCode, "request", res.Header.Get("X-Request-Id"))
	return answer{res.StatusCode, res.Status, res.Header, data}, err
}

// read takes an answer apart.
func (c *Client) read(got answer, out any) error {
	kind, _, _ := mime.ParseMediaType(got.header.Get("Content-Type")) // without one it is something else
	switch {
	case got.status == http.StatusOK && kind == "application/json":
		if raw, ok := out.(*json.RawMessage); ok { // a file, byte for byte
			*raw = got.body
			return nil
		}
		data, err := c.typed(got.body)
		if err == nil {
			err = json.Unmarshal(data, out)
		}
		if err != nil {
			return errs.New(errs.Internal, "the server's answer can't be read").Because(err).Hintf("is it another version of headgate?")
		}
		return nil
	case kind == "application/problem+json":
		return c.failure(got.body)
	}
	e := errs.Invalidf("%s answers %s, and not as headgate's server does", c.base, got.text).Hintf("is that its address? GET %s/healthz says so", c.base)
	if at := got.header.Get("Location"); at != "" {
		e.Hintf("it points to %s: name the address itself", at)
	}
	return e
}

// codes are those that a server's failure may have. Others are internal.
func codes() []errs.Code {
	return []errs.Code{
		errs.Invalid, errs.NotFound, errs.Findings, errs.Stale, errs.Partial, errs.Locked, errs.Refused, errs.Mismatch, errs.Interrupted,
		errs.Unauthorized, errs.Forbidden, errs.Unverifiable,
	}
}

// failure is what the server refused or failed at, as if it had happened here.
func (c *Client) failure(data []byte) error {
	var p api.Problem
	if err := json.Unmarshal(data, &p); err != nil {
		return errs.New(errs.Internal, "the server's failure can't be read").Because(err)
	}
	e := errs.New(errs.Internal, "%s", p.Detail).Hintf("%s", p.Hint).At("%s", p.Where)
	for _, next := range p.NextActions {
		e.Then(c.next(next))
	}
	switch {
	case p.Code == api.RateLimited:
		e.Code, e.Msg = errs.Unauthorized, "the server has had too many requests from here without a valid token"
		e.Hintf("wait a little, and look at HEADGATE_TOKEN")
	case p.Code == errs.Unauthorized && c.Token == "":
		e.Code, e.Msg = p.Code, "the server asks for a token"
		e.Hintf("HEADGATE_TOKEN has it; `headgate token create`, run where the control database is, makes one")
	case slices.Contains(codes(), p.Code):
		e.Code = p.Code
	}
	return e
}

func (c *Client) next(command string) string {
	if c.Next == nil {
		return command
	}
	return c.Next(command)
}

// typed makes the commands in an answer what they are here.
func (c *Client) typed(data []byte) ([]byte, error) {
	if c.Next == nil {
		return data, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	c.rewrite(v, false)
	return json.Marshal(v)
}

// rewrite changes the texts of every next_actions below v.
func (c *Client) rewrite(v any, commands bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			c.rewrite(value, key == "next_actions")
		}
	case []any:
		for i, value := range v {
			if text, ok := value.(string); ok && commands {
				v[i] = c.next(text)
				continue
			}
			c.rewrite(value, false)
		}
	}
}
