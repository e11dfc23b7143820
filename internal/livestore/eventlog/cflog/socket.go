package cflog

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// maxMessage is how large an answer may be, in bytes. The backend keeps to 900,000 itself.
const maxMessage = 16 << 20

// pingTimeout is how long an idle connection has to show that it is alive.
const pingTimeout = 5 * time.Second

// A socket is one connection. Calls on it are made one after the other.
type socket struct {
	log     *Log
	ws      *websocket.Conn
	secrets secrets
	calls   int
}

// A call is a request that was sent.
type call struct {
	*socket
	id string
}

// connect dials, and dials again when the backend is busy. Nothing that could be stored has been sent yet.
func (l *Log) connect(ctx context.Context, payload json.RawMessage) (s *socket, err error) {
	err = l.retry(ctx, func() error {
		s, err = l.dial(ctx, payload)
		return err
	})
	return s, err
}

func (l *Log) dial(ctx context.Context, payload json.RawMessage) (*socket, error) {
	hidden := secretsOf(payload)
	dialCtx, cancel := context.WithTimeout(ctx, l.opt.Timeout)
	defer cancel()
	ws, res, err := websocket.Dial(dialCtx, l.request("ws", payload), &websocket.DialOptions{HTTPClient: l.client}) //nolint:bodyclose // Dial closes it
	switch {
	case err == nil:
		ws.SetReadLimit(maxMessage)
		return &socket{log: l, ws: ws, secrets: hidden}, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case res != nil && res.StatusCode != http.StatusSwitchingProtocols:
		return nil, l.refusedHTTP(res, hidden)
	default:
		return nil, l.unreachable(err, hidden)
	}
}

// request is the address of a request over a transport, with the payload in it.
func (l *Log) request(transport string, payload json.RawMessage) string {
	u := *l.url
	query := u.Query()
	query.Set("storeId", string(l.opt.StoreID))
	query.Set("transport", transport)
	if len(payload) > 0 {
		query.Set("payload", url.PathEscape(string(payload))) // Encode escapes it a second time, as the backend expects
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// payload asks for the sync payload, and says in it that this is no client of the app: a backend with headgate's wrapper
// neither reports it as a reader nor holds it to the floor.
func (l *Log) payload(ctx context.Context) (json.RawMessage, error) {
	if l.opt.Payload == nil {
		return json.RawMessage(`{"headgate":{"tool":true}}`), nil
	}
	payload, err := l.opt.Payload(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(payload) > 0 && !json.Valid(payload):
		return nil, l.badPayload()
	}
	return asTool(payload), nil
}

func asTool(payload json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil || fields["headgate"] != nil {
		return payload // the app's payload has a shape of its own
	}
	fields["headgate"] = json.RawMessage(`{"tool":true}`)
	marked, err := json.Marshal(fields)
	if err != nil {
		return payload
	}
	return marked
}

// close ends the connection at once: the backend does not answer a close frame.
func (s *socket) close() { _ = s.ws.CloseNow() }

func (s *socket) write(ctx context.Context, v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.log.opt.Timeout)
	defer cancel()
	return s.ws.Write(ctx, websocket.MessageText, data)
}

// send makes a call.
func (s *socket) send(ctx context.Context, name string, payload any) (call, error) {
	id := strconv.Itoa(s.calls)
	s.calls++
	return call{s, id}, s.write(ctx, request{Tag: "Request", ID: id, Call: name, Payload: payload, Headers: [][2]string{}})
}

// next returns the next message that concerns the call. Broadcasts for calls that ended keep coming, and are left out.
// A *protocolError says that the answer is not one.
func (c call) next(ctx context.Context) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, c.log.opt.Timeout)
	defer cancel()
	for {
		m, err := c.read(ctx)
		if err != nil {
			return nil, err
		}
		if m.Tag == "Defect" || (m.Tag == "Chunk" || m.Tag == "Exit") && m.of(c.id) {
			return m, nil
		}
	}
}

func (s *socket) read(ctx context.Context) (*message, error) {
	_, data, err := s.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var m message
	if err := json.Unmarshal(data, &m); err != nil || m.Tag == "" {
		return nil, &protocolError{"an answer that is not a message of LiveStore's"}
	}
	return &m, nil
}

// ack asks for the next page.
func (c call) ack(ctx context.Context) error {
	return c.write(ctx, control{Tag: "Ack", RequestID: c.id})
}

// alive reports whether a connection that was idle still works.
func (s *socket) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, min(pingTimeout, s.log.opt.Timeout))
	defer cancel()
	if s.write(ctx, control{Tag: "Ping"}) != nil {
		return false
	}
	for {
		m, err := s.read(ctx)
		if err != nil || m.Tag == "Pong" {
			return err == nil
		}
	}
}
