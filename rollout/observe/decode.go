package observe

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"headgate/internal/errs"
)

// Limits of what is accepted. Lengths are in bytes.
const (
	MaxBody    = 256 << 10
	MaxBatch   = 100
	MaxStoreID = 256
	MaxClient  = 512
	MaxName    = 256
	MaxBatchID = 64
	MaxCount   = 1_000_000
)

const version = 1

// A ReportBatch is what the wrapped sync backend sends.
type ReportBatch struct {
	Version int      `json:"version"`         // 1
	Batch   string   `json:"batch,omitempty"` // its name, the same when it is sent again; it counts once
	Dropped int64    `json:"dropped"`         // reports that were not kept
	Reports []Report `json:"reports"`
}

// A Report is one client of one store, as the sync backend saw it.
type Report struct {
	StoreID  string `json:"storeId"`
	Schema   string `json:"schema"`
	ClientID string `json:"clientId"`
	Release  string `json:"release"`
	Kind     Kind   `json:"kind"`
	Count    int64  `json:"count"`
	Floor    string `json:"floor,omitempty"` // that clients of the store have to reach
}

// A TelemetryBatch is what one app's helper sends.
type TelemetryBatch struct {
	Version  int    `json:"version"`         // 1
	Batch    string `json:"batch,omitempty"` // as in a ReportBatch
	Dropped  int64  `json:"dropped"`         // items that were not kept
	StoreID  string `json:"storeId"`
	Schema   string `json:"schema"`
	ClientID string `json:"clientId"`
	Release  string `json:"release"`
	Items    []Item `json:"items"`
}

// An Item is one thing that the app saw.
type Item struct {
	Kind  Kind   `json:"kind"`
	Event string `json:"event,omitempty"`
	Count int64  `json:"count"`
	// Revision is the flag's metadata "version", for a flag.
	Revision int64 `json:"revision,omitempty"`
}

// A Batch is what is known of a batch that came.
type Batch struct {
	Sender       string // "worker" or "app"
	ID           string // the sender's name of it; "" where it has none
	Key          string // of one size, the same when it is sent again, and no other sender's; "" where it has no name
	Observations []Observation
	Dropped      int64 // that the sender could not keep
	Foreign      int64 // that this server does not know, see DecodeReports
}

// DecodeReports reads a batch of the sync backend. A sender that is newer than this server may tell of more: fields that the
// server doesn't know are left out and counted once a batch, and so is each report of a kind that it doesn't know. What the
// server does know it reads strictly.
func DecodeReports(body []byte, at time.Time) (Batch, error) {
	in, foreign, err := decode[ReportBatch](body)
	if err != nil {
		return Batch{}, err
	}
	if err := checkBatch(in.Version, in.Batch, in.Dropped, len(in.Reports)); err != nil {
		return Batch{}, err
	}
	out := Batch{ID: in.Batch, Dropped: in.Dropped, Foreign: foreign}
	for i, r := range in.Reports {
		if !r.Kind.known() {
			out.Foreign++
			continue
		}
		o := Observation{Kind: r.Kind, StoreID: r.StoreID, Schema: r.Schema, ClientID: r.ClientID, Release: r.Release, Count: r.Count, Floor: r.Floor, At: at}
		if err := o.check(i, fromBackend()...); err != nil {
			return Batch{}, err
		}
		out.Observations = append(out.Observations, o)
	}
	return out, nil
}

// DecodeTelemetry is DecodeReports for a batch of one app's helper.
func DecodeTelemetry(body []byte, at time.Time) (Batch, error) {
	in, foreign, err := decode[TelemetryBatch](body)
	if err != nil {
		return Batch{}, err
	}
	if err := checkBatch(in.Version, in.Batch, in.Dropped, len(in.Items)); err != nil {
		return Batch{}, err
	}
	out := Batch{ID: in.Batch, Dropped: in.Dropped, Foreign: foreign}
	for i, item := range in.Items {
		if !item.Kind.known() {
			out.Foreign++
			continue
		}
		o := Observation{
			Kind: item.Kind, StoreID: in.StoreID, Schema: in.Schema, ClientID: in.ClientID, Release: in.Release,
			Event: item.Event, Count: item.Count, Revision: item.Revision, At: at,
		}
		if err := o.check(i, fromApp()...); err != nil {
			return Batch{}, err
		}
		names := slices.Contains([]Kind{Flag, UnknownEvent, Materializer}, item.Kind)
		if names == (item.Event == "") {
			return Batch{}, errs.Invalidf("item %d: %s has an event's name, or should not have one", i, item.Kind)
		}
		out.Observations = append(out.Observations, o)
	}
	return out, nil
}

// decode reads one JSON document. foreign is 1 where it has fields that a T does not.
func decode[T any](body []byte) (v T, foreign int64, err error) {
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	if strict.Decode(&v) == nil {
		if _, err := strict.Token(); errors.Is(err, io.EOF) {
			return v, 0, nil
		}
	}
	var known T
	if err := json.Unmarshal(body, &known); err != nil {
		return v, 0, errs.Invalidf("the body is not what is expected here").Because(err)
	}
	return known, 1, nil
}

func checkBatch(v int, id string, dropped int64, n int) error {
	switch {
	case v != version:
		return errs.Invalidf("version %d is not %d", v, version)
	case id != "" && !isName(id, MaxBatchID):
		return errs.Invalidf("batch is too long or no plain text")
	case dropped < 0:
		return errs.Invalidf("dropped is negative")
	case n < 1 || n > MaxBatch:
		return errs.Invalidf("a batch has 1 to %d observations, not %d", MaxBatch, n)
	}
	return nil
}

func (o Observation) check(i int, kinds ...Kind) error {
	switch {
	case !slices.Contains(kinds, o.Kind):
		return errs.Invalidf("observation %d: kind is none that may come here", i)
	case !isName(o.StoreID, MaxStoreID):
		return errs.Invalidf("observation %d: storeId is missing, too long or no plain text", i)
	case !isName(o.ClientID, MaxClient):
		return errs.Invalidf("observation %d: clientId is missing, too long or no plain text", i)
	case !isName(o.Release, MaxName), !isName(o.Schema, MaxName):
		return errs.Invalidf("observation %d: release or schema is missing, too long or no plain text", i)
	case o.Event != "" && !isName(o.Event, MaxName):
		return errs.Invalidf("observation %d: event is too long or no plain text", i)
	case o.Floor != "" && !isName(o.Floor, MaxName):
		return errs.Invalidf("observation %d: floor is too long or no plain text", i)
	case o.Revision < 0 || o.Revision > 0 && o.Kind != Flag:
		return errs.Invalidf("observation %d: revision is negative, or not of a flag", i)
	case o.Count < 1 || o.Count > MaxCount:
		return errs.Invalidf("observation %d: count is outside 1 to %d", i, MaxCount)
	}
	return nil
}

func isName(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
