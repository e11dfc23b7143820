package cflog

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// The messages of Effect's RPC in its JSON form, and LiveStore's payloads inside them, as sync-cf 0.4.0 has them.

type request struct {
	Tag     string      `json:"_tag"`
	ID      string      `json:"id"`
	Call    string      `json:"tag"`
	Payload any         `json:"payload"`
	Headers [][2]string `json:"headers"` // required, so never nil
}

// A control is an Ack, an Interrupt or a Ping.
type control struct {
	Tag       string `json:"_tag"`
	RequestID string `json:"requestId,omitempty"`
}

// An option is Effect's: None when Value is nil.
type option struct{ value any }

// MarshalJSON writes {"_tag":"None"} or {"_tag":"Some","value":…}.
func (o option) MarshalJSON() ([]byte, error) {
	if o.value == nil {
		return []byte(`{"_tag":"None"}`), nil
	}
	return json.Marshal(struct {
		Tag   string `json:"_tag"`
		Value any    `json:"value"`
	}{"Some", o.value})
}

type pullPayload struct {
	StoreID livestore.StoreID `json:"storeId"`
	Payload json.RawMessage   `json:"payload,omitempty"`
	Live    bool              `json:"live"`
	Cursor  option            `json:"cursor"`
}

type cursor struct {
	BackendID string           `json:"backendId"`
	SeqNum    livestore.SeqNum `json:"eventSequenceNumber"`
}

type pushPayload struct {
	StoreID   livestore.StoreID `json:"storeId"`
	Payload   json.RawMessage   `json:"payload,omitempty"`
	Batch     []pushedEvent     `json:"batch"`
	BackendID option            `json:"backendId"`
}

type pushedEvent struct {
	Name      string           `json:"name"`
	Args      json.RawMessage  `json:"args"`
	SeqNum    livestore.SeqNum `json:"seqNum"`
	Parent    livestore.SeqNum `json:"parentSeqNum"`
	ClientID  string           `json:"clientId"`
	SessionID string           `json:"sessionId"`
}

// encode writes v as JSON without HTML escapes, which would only make it longer.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// A message is what the server sends.
type message struct {
	Tag       string          `json:"_tag"` // Chunk, Exit, Defect or Pong
	RequestID json.RawMessage `json:"requestId"`
	Values    []pullResponse  `json:"values"`
	Exit      struct {
		Tag   string          `json:"_tag"`
		Cause json.RawMessage `json:"cause"`
	} `json:"exit"`
	Defect json.RawMessage `json:"defect"`
}

// of reports whether the message answers the request. Newer servers write the id as a number.
func (m *message) of(id string) bool { return strings.Trim(string(m.RequestID), `"`) == id }

type pullResponse struct {
	Batch []struct {
		Event    json.RawMessage `json:"eventEncoded"`
		Metadata struct {
			Value json.RawMessage `json:"value"`
		} `json:"metadata"`
	} `json:"batch"`
	PageInfo struct {
		Tag       string `json:"_tag"` // NoMore, MoreKnown, MoreUnknown
		Remaining int64  `json:"remaining"`
	} `json:"pageInfo"`
	BackendID string `json:"backendId"`
}

// A pulled is an event of an answer, or what could be read of it beside what is wrong with it.
type pulled struct {
	event livestore.Event
	bad   *eventlog.Malformed
}

// events reads the answer's events. where is for the messages of malformed ones.
func (r *pullResponse) events(where string) []pulled {
	all := make([]pulled, len(r.Batch))
	for i, item := range r.Batch {
		e, err := readEvent(item.Event)
		e.CreatedAt = createdAt(item.Metadata.Value)
		all[i].event = e
		if err != nil {
			err.Msg = "event " + e.Seq.String() + " is malformed: " + err.Msg
			all[i].bad = &eventlog.Malformed{Seq: e.Seq, Err: err.At("%s", where).
				Hintf("`headgate log stats` lists all such events")}
		}
	}
	return all
}

func readEvent(raw json.RawMessage) (livestore.Event, *errs.Error) {
	var w struct {
		Name      *string           `json:"name"`
		Args      json.RawMessage   `json:"args"`
		SeqNum    *livestore.SeqNum `json:"seqNum"`
		Parent    *livestore.SeqNum `json:"parentSeqNum"`
		ClientID  *string           `json:"clientId"`
		SessionID *string           `json:"sessionId"`
	}
	err := json.Unmarshal(raw, &w) // fills what it can, and its text may quote a value
	e := livestore.Event{
		Name: or(w.Name), ClientID: or(w.ClientID), SessionID: or(w.SessionID),
		Seq: livestore.ClientSeq{Global: or(w.SeqNum)}, Parent: livestore.ClientSeq{Global: or(w.Parent)},
	}
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return e, errs.Invalidf("its %s is of another type than LiveStore writes", wrong.Field)
	case err != nil:
		return e, errs.Invalidf("it is not a JSON object")
	case w.Name == nil || w.SeqNum == nil || w.Parent == nil || w.ClientID == nil || w.SessionID == nil:
		return e, errs.Invalidf("name, seqNum, parentSeqNum, clientId or sessionId is missing")
	case !utf8.Valid(w.Args):
		return e, errs.Invalidf("its arguments are not UTF-8")
	}
	e.Args = json.RawMessage("null")
	if w.Args != nil {
		var compact bytes.Buffer
		_ = json.Compact(&compact, w.Args) // it is valid
		e.Args = compact.Bytes()
	}
	return e, nil
}

func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// createdAt returns when the backend accepted an event, zero where it does not say.
func createdAt(metadata json.RawMessage) time.Time {
	var m struct {
		CreatedAt time.Time `json:"createdAt"`
	}
	if json.Unmarshal(metadata, &m) != nil {
		return time.Time{}
	}
	return m.CreatedAt.UTC()
}

// A failure is why a call ended badly: a declared error, or a defect.
type failure struct {
	kind string // ServerAheadError, BackendIdMismatchError, UnknownError; Die, Interrupt
	text string // of the cause, one line, as the server wrote it
	head livestore.SeqNum
	id   string // the backend's, of a mismatch
	name string // of the cause
	// stored is set when the failure is the storage's.
	stored bool
}

type cause struct {
	Tag         string          `json:"_tag"`
	Error       json.RawMessage `json:"error"`
	Defect      json.RawMessage `json:"defect"`
	Left, Right *cause
}

// readFailure reads the cause of an Exit: a tree, or a list in newer servers.
func readFailure(raw json.RawMessage) failure {
	var all []cause
	if json.Unmarshal(raw, &all) != nil {
		var one cause
		if json.Unmarshal(raw, &one) != nil {
			return failure{kind: "Die", text: "an Exit without a cause"}
		}
		all = flatten(nil, &one)
	}
	for _, c := range all {
		if c.Tag == "Fail" {
			return readError(c.Error)
		}
	}
	for _, c := range all {
		if c.Tag == "Die" {
			_, text := causeText(c.Defect)
			return failure{kind: "Die", text: text}
		}
	}
	return failure{kind: "Interrupt", text: "the backend interrupted the call"}
}

func flatten(all []cause, c *cause) []cause {
	if c == nil {
		return all
	}
	if c.Left == nil && c.Right == nil {
		return append(all, *c)
	}
	return flatten(flatten(all, c.Left), c.Right)
}

func readError(raw json.RawMessage) failure {
	var e struct {
		Tag      string           `json:"_tag"`
		Minimum  livestore.SeqNum `json:"minimumExpectedNum"`
		Expected string           `json:"expected"`
		Cause    json.RawMessage  `json:"cause"`
		Payload  struct {
			DBName string `json:"dbName"`
		} `json:"payload"`
	}
	if json.Unmarshal(raw, &e) != nil || e.Tag == "" {
		_, text := causeText(raw)
		return failure{kind: "UnknownError", text: text}
	}
	f := failure{kind: e.Tag, head: e.Minimum, id: e.Expected, stored: e.Payload.DBName != ""}
	f.name, f.text = causeText(e.Cause)
	return f
}

// causeText returns the name and the message of an encoded JavaScript error, which may also be a bare string.
func causeText(raw json.RawMessage) (name, text string) {
	var e struct{ Name, Message string }
	if json.Unmarshal(raw, &e) == nil && e.Message != "" {
		return e.Name, e.Message
	}
	var s string
	if json.Unmarshal(raw, &s) == nil && s != "" {
		return "", s
	}
	return "", "no reason given (" + strconv.Itoa(len(raw)) + " bytes)"
}
