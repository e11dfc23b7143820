package migrations

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"strings"

	"headgate/internal/livestore"
)

// What tells the events of a backfill from all others, in the log and for good: the client id says which migration
// committed them, with the beginning of its file's checksum, and the session id which run did.
//
//	clientId   hg:00001_backfill_priority:1f3870be
//	sessionId  hg:<run>:<fence>
const clientPrefix = "hg:"

// checksumDigits is how much of a checksum a client id holds.
const checksumDigits = 8

// ClientID is the client id under which the definition's events are committed.
func (d Definition) ClientID() string {
	return clientPrefix + d.Name + ":" + strings.TrimPrefix(d.Checksum, "sha256-")[:checksumDigits]
}

// committedBy reads the migration and the beginning of its checksum from a client id of headgate's.
func committedBy(clientID string) (migration, checksum string, ok bool) {
	rest, ok := strings.CutPrefix(clientID, clientPrefix)
	if !ok {
		return "", "", false
	}
	i := strings.LastIndexByte(rest, ':')
	if i < 0 {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

// Namespace is what the SQL function uuid5 derives its ids from: the same in every run of the migration on the store.
func (d Definition) Namespace(store livestore.StoreID) string {
	return "headgate:" + string(store) + ":" + d.Name
}

// A keySet holds the keys that a log has events for, as digests: a log may hold a million of them.
type keySet map[[16]byte]struct{}

func digestOf(key string) [16]byte {
	sum := sha256.Sum256([]byte(key))
	return [16]byte(sum[:])
}

func (s keySet) add(key string)      { s[digestOf(key)] = struct{}{} }
func (s keySet) has(key string) bool { _, ok := s[digestOf(key)]; return ok }

// A Twice is an event whose key has an earlier one.
type Twice struct {
	Seq     livestore.SeqNum `json:"seq"`
	Session string           `json:"session"` // hg:<run>:<fence>, or that of a client which ran the migration
}

// maxTwice is how many of them are named.
const maxTwice = 5

// A ledger is what a log says of a migration.
type ledger struct {
	def    Definition
	emits  map[string]Emit // by event
	done   keySet
	events int64 // that the migration committed
	own    int64 // of them, those of the run at work
	twice  int64 // of them, those whose key had an event already
	again  []Twice
	digest hash.Hash
	marked bool
	// edited is the beginning of another checksum that the migration ran with.
	edited string
	// last is the last event that was seen; what comes again is not counted twice.
	last livestore.ClientSeq
	// foreign counts the events that others committed.
	foreign int64
	session string // what the session ids of the run at work begin with, under any fence
}

func newLedger(d Definition, run string) *ledger {
	l := &ledger{def: d, emits: map[string]Emit{}, done: keySet{}, digest: sha256.New(), session: clientPrefix + run + ":"}
	for _, e := range d.Emits {
		l.emits[e.Event] = e
	}
	return l
}

// see takes the log's next event.
func (l *ledger) see(e livestore.Event) {
	if e.Seq.Compare(l.last) <= 0 {
		return
	}
	l.last = e.Seq
	migration, checksum, ours := committedBy(e.ClientID)
	if !ours || migration != l.def.Name {
		if !ours && l.def.marks(e) {
			l.marked = true // a client ran it, with the generated helper
		}
		l.foreign++
		return
	}
	if l.def.ClientID() != e.ClientID {
		l.edited = checksum
	}
	if l.def.Marker != "" && e.Name == l.def.Marker {
		l.marked = true
		return
	}
	l.events++
	if strings.HasPrefix(e.SessionID, l.session) {
		l.own++
	}
	fmt.Fprintf(l.digest, "%d %s %s\n", e.Seq.Global, e.Name, e.Args)
	if emit, ok := l.emits[e.Name]; ok {
		if key, err := keyOf(emit, e.Args); err == nil {
			if l.done.has(key) {
				l.twice++
				if len(l.again) < maxTwice {
					l.again = append(l.again, Twice{Seq: e.Seq.Global, Session: e.SessionID})
				}
			}
			l.done.add(key)
		}
	}
}

// marks reports whether an event is the migration's marker, whoever committed it.
func (d Definition) marks(e livestore.Event) bool {
	if d.Marker == "" || e.Name != d.Marker {
		return false
	}
	var m struct{ Migration string }
	return json.Unmarshal(e.Args, &m) == nil && m.Migration == d.Name
}

// A candidate is an event that is due.
type candidate struct {
	event string
	args  json.RawMessage
	key   string
}
