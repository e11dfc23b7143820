package cflog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
)

// pullAnswers is how many times the timeout a read may take to begin: the backend makes the whole answer first.
const pullAnswers = 4

// An answer is the answer to one request over HTTP: a JSON array of messages, read one after the other.
type answer struct {
	log    *Log
	res    *http.Response
	dec    *json.Decoder
	limit  *limited
	timer  *time.Timer // ends the request when the answer makes a pause
	cancel context.CancelCauseFunc
	within context.Context
}

// A limited reader gives up on a message that is too large.
type limited struct {
	from io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

var errTooLarge = errors.New("the message is too large")

// post makes a call, whose answer must begin within the given time.
func (l *Log) post(ctx context.Context, call string, payload json.RawMessage, body any, begin time.Duration) (_ *answer, err error) {
	hidden := secretsOf(payload)
	text, err := encode(request{Tag: "Request", ID: "0", Call: call, Payload: body, Headers: [][2]string{}})
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			cancel(nil)
		}
	}()
	timer := time.AfterFunc(begin, func() { cancel(context.DeadlineExceeded) })
	connected := false
	traced := httptrace.WithClientTrace(within, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	req, err := http.NewRequestWithContext(traced, http.MethodPost, l.request("http", payload), bytes.NewReader(text))
	if err != nil {
		return nil, l.unreachable(err, hidden)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := l.client.Do(req) //nolint:bodyclose // close closes it
	switch {
	case err == nil && res.StatusCode != http.StatusOK:
		defer res.Body.Close() //nolint:errcheck // it was read
		timer.Stop()
		return nil, l.refusedHTTP(res, hidden)
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case within.Err() != nil && !connected:
		return nil, l.unreachable(context.Cause(within), hidden)
	case !connected:
		return nil, l.unreachable(err, hidden)
	case within.Err() != nil:
		return nil, l.lost(context.Cause(within), hidden)
	default:
		return nil, l.lost(err, hidden)
	}
	limit := &limited{from: res.Body, left: maxMessage}
	return &answer{log: l, res: res, dec: json.NewDecoder(limit), limit: limit, timer: timer, cancel: cancel, within: within}, nil
}

func (a *answer) next(ctx context.Context) (*message, error) {
	a.timer.Reset(a.log.opt.Timeout)
	a.limit.left = maxMessage
	m, err := a.read()
	switch {
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case a.within.Err() != nil:
		return nil, context.Cause(a.within)
	}
	return nil, err
}

func (a *answer) read() (*message, error) {
	if a.dec.InputOffset() == 0 {
		open, err := a.dec.Token()
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax), errors.Is(err, io.EOF), err == nil && open != json.Delim('['):
			what := ""
			if isHTML(a.res) {
				what = htmlPage
			}
			return nil, a.log.noBackend(a.res.StatusCode, what)
		case err != nil:
			return nil, err
		}
	}
	if !a.dec.More() {
		_, err := a.dec.Token()
		if err == nil {
			err = &protocolError{"an answer without an end"}
		}
		return nil, a.broken(err)
	}
	var m message
	if err := a.broken(a.dec.Decode(&m)); err != nil {
		return nil, err
	}
	if m.Tag == "" {
		return nil, &protocolError{"an answer that is not a message of LiveStore's"}
	}
	return &m, nil
}

// broken tells an answer that is none from one that was cut off.
func (a *answer) broken(err error) error {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax), errors.As(err, &wrong):
		return &protocolError{"an answer that is not a message of LiveStore's"}
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// ack does nothing: the backend sends all of its pages by itself.
func (a *answer) ack(context.Context) error { return nil }

func (a *answer) close() {
	a.timer.Stop()
	a.cancel(nil)
	_ = a.res.Body.Close() // nothing is lost with it
}

// askID has the backend say its id. Any read would, but would have the backend prepare the whole log for it; one from a
// place of a backend with another id is refused at once, and that says the right one.
func (l *Log) askID(ctx context.Context, req pullPayload) error {
	hidden := secretsOf(req.Payload)
	req.Cursor = option{cursor{BackendID: "unknown", SeqNum: 1}}
	a, err := l.post(ctx, "SyncHttpRpc.Pull", req.Payload, req, l.opt.Timeout)
	if err != nil {
		return err
	}
	defer a.close()
	m, err := a.next(ctx)
	if err != nil {
		return l.lost(err, hidden)
	}
	if m.Tag == "Exit" && m.Exit.Tag != "Success" {
		f := readFailure(m.Exit.Cause)
		if f.kind == "BackendIdMismatchError" && f.id != "" {
			return l.remember(f.id)
		}
		return l.pullFailed(f, hidden)
	}
	if m.Tag == "Chunk" && len(m.Values) > 0 && m.Values[0].BackendID != "" {
		return l.remember(m.Values[0].BackendID)
	}
	return l.lost(&protocolError{"no id of its own"}, hidden)
}

// postPush sends a push. It tries again only where the backend can't have it yet.
func (l *Log) postPush(ctx context.Context, req pushPayload) (m *message, err error) {
	hidden := secretsOf(req.Payload)
	err = l.retry(ctx, func() error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		a, err := l.post(ctx, "SyncHttpRpc.Push", req.Payload, req, l.opt.Timeout)
		if err != nil {
			return l.doubtful(ctx, err)
		}
		defer a.close()
		if m, err = a.next(ctx); err != nil {
			return l.unanswered(ctx, err, hidden)
		}
		if m.Tag == "Chunk" {
			return l.unanswered(ctx, &protocolError{"pages as the answer to a push"}, hidden)
		}
		return nil
	})
	return m, err
}

// doubtful makes an AmbiguousError of a failure after which the backend may have a push: one after it was sent, unless
// an answer came that says otherwise. Who stands before the backend answers with 5xx for it, whatever it did.
func (l *Log) doubtful(ctx context.Context, err error) error {
	var passing *transient
	switch {
	case errors.As(err, &passing) && passing.early:
		return err
	case passing != nil, ctx.Err() != nil, errs.CodeOf(err) == errs.Internal:
		return &eventlog.AmbiguousError{Err: err}
	}
	return err
}
