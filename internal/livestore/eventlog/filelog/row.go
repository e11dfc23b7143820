package filelog

import (
	"database/sql"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A row is one row of table eventlog. The table is STRICT, so the types hold.
type row struct {
	global, client, rebase                   int64
	parentGlobal, parentClient, parentRebase int64
	name                                     string
	args                                     []byte // argsJson
	clientID, sessionID                      string
	schemaHash                               int64
	syncMetadata                             string // JSON of an Option
}

// rowColumns are the columns in the order that scan wants.
const rowColumns = `seqNumGlobal, seqNumClient, seqNumRebaseGeneration,
	parentSeqNumGlobal, parentSeqNumClient, parentSeqNumRebaseGeneration,
	name, argsJson, clientId, sessionId, schemaHash, syncMetadataJson`

func (r *row) scan(rows *sql.Rows) error {
	return rows.Scan(&r.global, &r.client, &r.rebase, &r.parentGlobal, &r.parentClient, &r.parentRebase,
		&r.name, &r.args, &r.clientID, &r.sessionID, &r.schemaHash, &r.syncMetadata)
}

// noMetadata is what LiveStore writes for an event that the backend said nothing about: pending, clientOnly,
// and this client's own.
const noMetadata = `{"_tag":"None"}`

// event turns a row into an event. On an error the event holds everything but the arguments.
func (r *row) event(head livestore.SeqNum) (livestore.Event, *errs.Error) {
	e := livestore.Event{
		Name:          r.name,
		Seq:           livestore.ClientSeq{Global: livestore.SeqNum(r.global), Client: r.client, Rebase: r.rebase},
		Parent:        livestore.ClientSeq{Global: livestore.SeqNum(r.parentGlobal), Client: r.parentClient, Rebase: r.parentRebase},
		ClientID:      r.clientID,
		SessionID:     r.sessionID,
		SchemaHash:    r.schemaHash,
		HasSchemaHash: true,
		Pending:       livestore.SeqNum(r.global) > head,
	}
	for _, text := range []string{r.name, r.clientID, r.sessionID} {
		if !utf8.ValidString(text) {
			return e, errs.Invalidf("event %s: its name, clientId or sessionId is not UTF-8", e.Seq)
		}
	}
	if err := jsonError(r.args); err != nil {
		return e, errs.Invalidf("event %s (%s): argsJson is not valid JSON: %v", e.Seq, r.name, err)
	}
	at, err := createdAt(r.syncMetadata)
	if err != nil {
		return e, errs.Invalidf("event %s (%s): syncMetadataJson is not what LiveStore writes: %v", e.Seq, r.name, err)
	}
	e.Args, e.CreatedAt = r.args, at
	return e, nil
}

// jsonError says why text is not JSON without quoting it: it is payload.
func jsonError(text []byte) error {
	switch {
	case len(text) == 0:
		return errors.New("it is empty")
	case !utf8.Valid(text):
		return errors.New("it is not UTF-8")
	case !json.Valid(text):
		return errors.New("it does not parse")
	}
	return nil
}

// createdAt returns when the backend accepted the event, zero where the metadata does not say: each sync
// provider has its own, and only sync-cf's has a time.
func createdAt(metadata string) (time.Time, error) {
	if metadata == noMetadata {
		return time.Time{}, nil
	}
	var option struct {
		Tag   string          `json:"_tag"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal([]byte(metadata), &option); err != nil {
		return time.Time{}, errors.New("it is not a JSON object with a _tag")
	}
	switch option.Tag {
	case "None":
		return time.Time{}, nil
	case "Some":
	default:
		return time.Time{}, errors.New(`its _tag is neither "None" nor "Some"`)
	}
	var value struct {
		CreatedAt string `json:"createdAt"`
	}
	if err := json.Unmarshal(option.Value, &value); err != nil {
		return time.Time{}, nil //nolint:nilerr // another provider's metadata may have any shape
	}
	at, err := time.Parse(time.RFC3339, value.CreatedAt)
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // as above
	}
	return at.UTC(), nil
}

// malformed makes the sequence's error of a row's.
func malformed(path string, e livestore.Event, err *errs.Error) *eventlog.Malformed {
	return &eventlog.Malformed{Seq: e.Seq, Err: err.At("%s", path).
		Hintf("the row was damaged after LiveStore wrote it; `headgate log stats` lists all such rows")}
}
