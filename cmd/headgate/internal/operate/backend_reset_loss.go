package operate

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A BackendLoss is what a reset of a backend loses.
type BackendLoss struct {
	Events int64 `json:"events"` // of the log
	// Missing are those of them that are not among what is imported, counted by name; all where nothing is. An event is the
	// same one where its name, writer, session and arguments are; its number may be another.
	Missing []NameCount `json:"missing"`
	// Others are what is imported and not of the log, as corrected events are.
	Others []NameCount `json:"others"`
	// Clients are those that the census knows: whatever of theirs the backend has not confirmed is lost.
	Clients   []LosingClient `json:"clients"`
	Connected int            `json:"connected"` // right now
	Loses     []string       `json:"loses"`
	Follow    []string       `json:"follow"` // what becomes of the clients
}

// A NameCount counts the events of a name.
type NameCount struct {
	Name   string `json:"name"`
	Events int64  `json:"events"`
}

// A LosingClient is a client of the store.
type LosingClient struct {
	ID       string    `json:"id"`
	Release  string    `json:"release"`
	LastSeen time.Time `json:"lastSeen"`
}

// loss counts what a reset loses of a log.
func (s BackendReset) loss(ctx context.Context, was BackendStore, log eventlog.Reader) (l BackendLoss, err error) {
	l = BackendLoss{Missing: []NameCount{}, Others: []NameCount{}, Connected: was.Sockets}
	add, done := s.Progress.start("counting events of "+string(s.Store), int64(was.Head))
	defer done()
	left := tally{}
	if l.Events, err = left.count(ctx, log, 1, add); err != nil {
		return l, err
	}
	if s.Import != nil {
		if _, err := left.count(ctx, s.Import.Reader, -1, func(int64) {}); err != nil {
			return l, err
		}
	}
	l.Missing, l.Others = left.names()
	known, err := s.DB.ClientsOf(ctx, s.Name, string(s.Store))
	if err != nil {
		return l, err
	}
	for _, c := range known {
		i, there := slices.BinarySearchFunc(l.Clients, c.ID, func(c LosingClient, id string) int { return strings.Compare(c.ID, id) })
		if there { // another source says it, too
			if c.LastSeen.After(l.Clients[i].LastSeen) {
				l.Clients[i].Release, l.Clients[i].LastSeen = c.Release, c.LastSeen
			}
			continue
		}
		l.Clients = slices.Insert(l.Clients, i, LosingClient{c.ID, c.Release, c.LastSeen})
	}
	l.say(was.Head, s.Import != nil)
	return l, nil
}

// A tally counts events by what tells one from another, whatever their numbers are: a log that was transformed has others.
type tally map[counted]int64

type counted struct {
	name string
	is   [16]byte // the head of a digest of writer, session and arguments
}

// count adds n for each event of a log, and returns how many it has.
func (t tally) count(ctx context.Context, log eventlog.Reader, n int64, add func(int64)) (events int64, err error) {
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return events, err
		}
		args := []byte(e.Args)
		if err == nil {
			args = eventlog.CanonicalArgs(e.Args)
		}
		sum := sha256.Sum256(slices.Concat([]byte(e.ClientID), []byte{0}, []byte(e.SessionID), []byte{0}, args))
		is := counted{name: e.Name, is: [16]byte(sum[:16])}
		if t[is] += n; t[is] == 0 {
			delete(t, is)
		}
		events++
		add(1)
	}
	return events, nil
}

// names counts by name what is more than none, and what is less.
func (t tally) names() (more, less []NameCount) {
	counts := [2]map[string]int64{{}, {}}
	for is, n := range t {
		if n > 0 {
			counts[0][is.name] += n
		} else {
			counts[1][is.name] -= n
		}
	}
	var out [2][]NameCount
	for i, of := range counts {
		out[i] = []NameCount{}
		for name, n := range of {
			out[i] = append(out[i], NameCount{name, n})
		}
		slices.SortFunc(out[i], func(a, b NameCount) int {
			return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.Name, b.Name))
		})
	}
	return out[0], out[1]
}

func (l *BackendLoss) say(head livestore.SeqNum, imports bool) {
	pending := "what a client has committed and not sent before, or commits while it lasts, on every client of the store: "
	switch {
	case len(l.Clients) == 0:
		pending += "the census knows none of them"
	default:
		var who []string
		for _, c := range l.Clients {
			who = append(who, fmt.Sprintf("%s (%s, seen %s)", c.ID, c.Release, c.LastSeen.UTC().Format(time.RFC3339)))
		}
		const most = 20
		if n := len(who) - most; n > 0 {
			who = append(who[:most], fmt.Sprintf("%d more", n))
		}
		pending += strings.Join(who, ", ")
	}
	pending += fmt.Sprintf("; %s connected now. How much that is only they know", plural(int64(l.Connected), "client"))
	l.Loses = []string{pending, "what clients keep for themselves of the store: their clientOnly events and client documents"}

	missing, each := listed(l.Missing)
	others, instead := listed(l.Others)
	switch {
	case l.Events == 0:
	case !imports:
		l.Loses = append(l.Loses, fmt.Sprintf("all of the store's events, e1 to e%d, which the export has: %s", head, each))
	case missing > 0:
		l.Loses = append(l.Loses, fmt.Sprintf("%s of %d of the log that what is imported does not have: %s", plural(missing, "event"), l.Events, each))
	}
	if others > 0 {
		l.Loses = append(l.Loses, fmt.Sprintf("that the store holds only what was committed: %s of what is imported the log does not have: %s", plural(others, "event"), instead))
	}
	if imports {
		l.Loses = append(l.Loses, "when each event was accepted: the backend says the time of the import")
	}
	l.Follow = []string{
		"onBackendIdMismatch 'reset' (the default): the client drops its log and state, shuts down, and loads the store at its next start",
		"'shutdown': it shuts down at each start until its data is removed; 'ignore': it goes on by itself and syncs no more",
		"a client that never reached the backend keeps what it committed, and sends it to the new one",
	}
}

// listed sums counts, and names them.
func listed(counts []NameCount) (sum int64, each string) {
	var out []string
	for _, n := range counts {
		sum += n.Events
		out = append(out, fmt.Sprintf("%d %s", n.Events, n.Name))
	}
	return sum, strings.Join(out, ", ")
}
