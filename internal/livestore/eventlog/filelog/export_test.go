package filelog

import (
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// DecodeRow decodes the texts of a row, for the fuzz target.
func DecodeRow(global, client, head int64, name, args, clientID, sessionID, metadata string) (livestore.Event, *errs.Error) {
	r := row{global: global, client: client, name: name, args: []byte(args), clientID: clientID, sessionID: sessionID, syncMetadata: metadata}
	return r.event(livestore.SeqNum(head))
}

// EventsQuery is the query that streams a log.
const EventsQuery = eventsQuery
