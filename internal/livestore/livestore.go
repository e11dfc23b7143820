package livestore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// A StoreID names one event log.
type StoreID string

// A SeqNum is the global number of an event. The first event of a store is 1, the root before it 0.
type SeqNum int64

// A ClientSeq places an event in a client's log: clientOnly events count up Client after the global event
// that they follow, and a rebase counts up Rebase. Synced events have Client 0. On the wire only Global exists.
type ClientSeq struct {
	Global SeqNum
	Client int64
	Rebase int64
}

// Compare orders by (Global, Client), which is the order that LiveStore materializes in.
func (s ClientSeq) Compare(t ClientSeq) int {
	return cmp.Or(cmp.Compare(s.Global, t.Global), cmp.Compare(s.Client, t.Client))
}

// String writes s as LiveStore does: e5, e5.1 after a clientOnly event, e5r1 after a rebase.
func (s ClientSeq) String() string {
	str := fmt.Sprintf("e%d", s.Global)
	if s.Client != 0 {
		str += fmt.Sprintf(".%d", s.Client)
	}
	if s.Rebase != 0 {
		str += fmt.Sprintf("r%d", s.Rebase)
	}
	return str
}

// An Event is one entry of an event log, its arguments encoded as they are stored and sent.
type Event struct {
	Name      string
	Args      json.RawMessage // valid JSON; `null` where the source has none
	Seq       ClientSeq
	Parent    ClientSeq
	ClientID  string
	SessionID string

	// SchemaHash is LiveStore's hash of the argument schema that the writing client knew; -1 when the client
	// did not know the event. Only a client's log has it: HasSchemaHash tells.
	SchemaHash    int64
	HasSchemaHash bool

	// Pending is true when the backend has not confirmed the event, so that its number is provisional.
	Pending bool

	// CreatedAt is when the backend accepted the event; zero where the source does not say.
	CreatedAt time.Time
}

// ClientOnly reports whether the event stays on its client and never reaches a backend.
func (e Event) ClientOnly() bool { return e.Seq.Client > 0 }

// UnknownSchemaHash is what a client stores as an event's schema hash when it has no definition for the event.
const UnknownSchemaHash = -1
