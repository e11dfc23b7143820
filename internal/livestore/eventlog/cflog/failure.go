package cflog

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"headgate/internal/errs"
)

// A protocolError says that the other side does not speak LiveStore's protocol.
type protocolError struct{ what string }

// Error says what came.
func (e *protocolError) Error() string { return e.what }

const (
	tokenHint   = "check the auth token: the app's sync backend looks at it in validatePayload, and in onPush"
	addressHint = "check the address: it is that of the app's makeWsSync or makeHttpSync"
	versionHint = "headgate speaks the protocol of @livestore/sync-cf 0.4: check the address and the backend's version"
)

// transport is how the log is reached, as enabledTransports of sync-cf calls it.
func (l *Log) transport() string {
	if l.opt.HTTP {
		return "http"
	}
	return "ws"
}

// refusedHTTP says what an HTTP answer means that is not the beginning of an exchange.
func (l *Log) refusedHTTP(res *http.Response, hidden secrets) error {
	text := bodyText(res, hidden)
	status := res.StatusCode
	switch {
	case status == http.StatusBadRequest && strings.HasSuffix(text, ": Invalid path"): // makeWorker's
		return l.noBackend(status, text)
	case status == http.StatusBadRequest, status == http.StatusUnauthorized, status == http.StatusForbidden:
		return errs.Invalidf("the sync backend refused the connection (HTTP %d)%s", status, text).At("%s", l.where).Hintf(tokenHint)
	case status == http.StatusUpgradeRequired:
		return errs.Invalidf("no WebSocket reaches the sync backend (HTTP 426)%s", text).At("%s", l.where).
			Hintf("something in between takes the Upgrade header away: ask for WebSockets to be let through, or write sync-cf+http: instead of sync-cf:")
	case status == http.StatusFailedDependency:
		return errs.Invalidf("the Worker has no Durable Object for its sync backend (HTTP 424)%s", text).At("%s", l.where).
			Hintf("check syncBackendBinding in the Worker and the binding in its configuration")
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		wait := retryAfter(res.Header)
		err := errs.New(errs.Internal, "the sync backend is busy (HTTP %d)%s", status, text).At("%s", l.where)
		if wait > 0 {
			err.Hintf("it asks to come back in %s", wait)
		} else {
			err.Hintf("run the command again later")
		}
		return &transient{err: err, after: wait, early: status == http.StatusTooManyRequests}
	case status >= http.StatusInternalServerError:
		return &transient{err: errs.New(errs.Internal, "the sync backend failed (HTTP %d)%s", status, text).At("%s", l.where).
			Hintf("look into the Worker's log; if its enabledTransports leaves out %s, add it", l.transport()), after: retryAfter(res.Header)}
	default:
		return l.noBackend(status, text)
	}
}

func (l *Log) noBackend(status int, text string) error {
	return errs.Invalidf("this is not a LiveStore sync backend: it answers with HTTP %d%s", status, text).At("%s", l.where).
		Hintf(addressHint)
}

const htmlPage = " and an HTML page"

func isHTML(res *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	return kind == "text/html"
}

// bodyText returns ": text" of a plain-text answer; of any other only what it is.
func bodyText(res *http.Response, hidden secrets) string {
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		if to, err := url.Parse(res.Header.Get("Location")); err == nil && to.Host != "" {
			return ", a redirect to " + to.Scheme + "://" + to.Host
		}
		return ", a redirect"
	}
	if isHTML(res) {
		return htmlPage
	}
	if res.Body == nil {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
	text := hidden.cut(string(body))
	if strings.HasPrefix(text, "<") {
		return " and a page"
	}
	if text == "" {
		return ""
	}
	return ": " + text
}

// unreachable makes an error of a failed connection. The client's own text quotes the address with the payload in it.
func (l *Log) unreachable(err error, hidden secrets) error {
	err = bare(err)
	because := errors.New(hidden.cut(err.Error()))
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return errs.Invalidf("the sync backend's certificate is not trusted").At("%s", l.where).Because(because).
			Hintf("where its CA is your own, name it in SSL_CERT_FILE; else check the address: its certificate may be another host's, or expired")
	case errors.As(err, &name) && name.IsNotFound:
		// A machine without a network says the same, so it may pass.
		return &transient{early: true, err: errs.New(errs.Internal, "the sync backend's host is not known").At("%s", l.where).Because(because).
			Hintf(addressHint + "; without a network no name is known")}
	}
	what := "can't reach the sync backend"
	if errors.Is(err, context.DeadlineExceeded) {
		what = "the sync backend does not answer within " + l.opt.Timeout.String()
	}
	return &transient{early: true, err: errs.New(errs.Internal, "%s", what).At("%s", l.where).Because(because).
		Hintf("check the address and the network; through a proxy, HTTPS_PROXY names it and it must let this host pass")}
}

// bare is the HTTP client's error without the address that it quotes.
func bare(err error) error {
	var quoting *url.Error
	if errors.As(err, &quoting) {
		return quoting.Err
	}
	return err
}

// lost makes an error of a connection that ended while something was read.
func (l *Log) lost(err error, hidden secrets) error {
	var protocol *protocolError
	var known *errs.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &protocol):
		return errs.New(errs.Internal, "the sync backend sent %s", protocol.what).At("%s", l.where).Hintf(versionHint)
	case errors.Is(err, websocket.ErrMessageTooBig), errors.Is(err, errTooLarge):
		return errs.New(errs.Internal, "the sync backend sent a message of more than %d bytes", maxMessage).At("%s", l.where).Hintf(versionHint)
	case errors.Is(err, context.DeadlineExceeded):
		return &transient{err: errs.New(errs.Internal, "the sync backend gave no answer within %s", l.opt.Timeout).At("%s", l.where).
			Hintf("look into the Worker's log")}
	default:
		return &transient{err: errs.New(errs.Internal, "the connection to the sync backend was lost").At("%s", l.where).
			Because(errors.New(hidden.cut(bare(err).Error()))).Hintf("run the command again")}
	}
}

func (l *Log) wasReset(known, found string) error {
	return errs.Refusedf("the sync backend was reset: its id is %q, it was %q", found, known).At("%s", l.where).
		Hintf("check the address; if the reset was meant, forget what is recorded of this store and begin anew")
}

func (l *Log) badPayload() error {
	return errs.Invalidf("the sync payload is not JSON").At("%s", l.where).Hintf(`it is usually {"authToken":"…"}`)
}

// pullFailed says why a pull ended badly.
func (l *Log) pullFailed(f failure, hidden secrets) error {
	text := hidden.cut(f.text)
	switch {
	case f.kind == "BackendIdMismatchError":
		return l.wasReset(l.backendID, f.id)
	case f.name == "OversizeChunkItemError":
		return errs.New(errs.Internal, "the store holds an event that is too large to be sent: no client can read it (%s)", text).
			At("%s", l.where).Hintf("remove the event from the backend's storage, or reset the store")
	case f.kind == "UnknownError":
		return errs.New(errs.Internal, "the sync backend refused to read: %s", text).At("%s", l.where).
			Hintf("the app's onPull decides, or its storage failed; look into the Worker's log. " + tokenHint)
	default:
		return errs.New(errs.Internal, "the sync backend failed while reading: %s", text).At("%s", l.where).Hintf(versionHint)
	}
}

// secrets are the texts of a payload, which must not be shown.
type secrets []string

// minSecret is how long a text is at the least to be taken for one: "v1" in a payload would blot out half of a message.
const minSecret = 4

func secretsOf(payload json.RawMessage) secrets {
	var v any
	if json.Unmarshal(payload, &v) != nil {
		return nil
	}
	var all secrets
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if len(v) < minSecret {
				return
			}
			quoted, _ := json.Marshal(v)
			all = append(all, v, string(quoted[1:len(quoted)-1]), url.QueryEscape(v), url.PathEscape(v), url.QueryEscape(url.PathEscape(v)))
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(v)
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	return all
}

// maxText is how much of a backend's message is shown, in bytes.
const maxText = 300

// cut returns a backend's message in one line, without secrets and not too long.
func (s secrets) cut(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
