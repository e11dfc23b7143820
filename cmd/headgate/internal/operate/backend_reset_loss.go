package operate

import (
	"cmp"
	"context"
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
	// Missing are those of them that are not among what is imported, counted by name; all where nothing is.
	Missing []NameCount `json:"missing"`
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
	l = BackendLoss{Missing: []NameCount{}, Clients: []LosingClient{}, Connected: was.Sockets}
	add, done := s.Progress.start("counting events of "+string(s.Store), int64(was.Head))
	defer done()
	left, err := names(ctx, log, add)
	if err != nil {
		return l, err
	}
	for _, n := range left {
		l.Events += n
	}
	if s.Import != nil {
		imported, err := names(ctx, s.Import.Reader, func(int64) {})
		if err != nil {
			return l, err
		}
		for name, n := range imported {
			left[name] -= n
		}
	}
	for name, n := range left {
		if n > 0 {
			l.Missing = append(l.Missing, NameCount{name, n})
		}
	}
	slices.SortFunc(l.Missing, func(a, b NameCount) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), strings.Compare(a.Name, b.Name))
	})
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

// names counts a log's events by name.
func names(ctx context.Context, log eventlog.Reader, add func(int64)) (map[string]int64, error) {
	counts := map[string]int64{}
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return nil, err
		}
		counts[e.Name]++
		add(1)
	}
	return counts, nil
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

	var missing int64
	var each []string
	for _, m := range l.Missing {
		missing += m.Events
		each = append(each, fmt.Sprintf("%d %s", m.Events, m.Name))
	}
	switch {
	case l.Events == 0:
	case !imports:
		l.Loses = append(l.Loses, fmt.Sprintf("all of the store's events, e1 to e%d, which the export has: %s", head, strings.Join(each, ", ")))
	case missing > 0:
		l.Loses = append(l.Loses, fmt.Sprintf("%s of %d of the log that what is imported does not have: %s", plural(missing, "event"), l.Events, strings.Join(each, ", ")))
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
