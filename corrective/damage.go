package corrective

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A Split counts events by how it is known which release wrote them.
type Split struct {
	Proven   int64 `json:"proven"`
	Inferred int64 `json:"inferred"`
	Unknown  int64 `json:"unknown"`
}

// Total is all of them.
func (s Split) Total() int64 { return s.Proven + s.Inferred + s.Unknown }

func (s *Split) add(c Certainty) {
	switch c {
	case Proven:
		s.Proven++
	case Inferred:
		s.Inferred++
	default:
		s.Unknown++
	}
}

// Add adds the counts of o.
func (s *Split) Add(o Split) {
	s.Proven, s.Inferred, s.Unknown = s.Proven+o.Proven, s.Inferred+o.Inferred, s.Unknown+o.Unknown
}

// A Damage is what one store's log holds of the bad events.
type Damage struct {
	Store livestore.StoreID `json:"store"`
	Head  livestore.SeqNum  `json:"head"`
	Read  int64             `json:"read"` // events of the log

	Events  Split               `json:"events"`
	Pending int64               `json:"pending"` // of them, those that the backend has not: only this client can lose them
	First   livestore.ClientSeq `json:"first,omitzero"`
	Last    livestore.ClientSeq `json:"last,omitzero"`
	FirstAt time.Time           `json:"firstAt,omitzero"` // where the log says
	LastAt  time.Time           `json:"lastAt,omitzero"`
	Skipped int64               `json:"skipped"` // that the client whose log this is did not know

	Names   []Count  `json:"names"`
	Writers []Writer `json:"writers"`

	// Entities is how many things the bad events are about, by the ids in their arguments; at least so many where Capped.
	Entities int64 `json:"entities"`
	Capped   bool  `json:"entitiesCapped,omitempty"`
	// Dependents are the later events, not bad themselves, that are about one of those.
	Dependents []Count `json:"dependents"`

	Unreadable int64 `json:"unreadable,omitempty"` // events whose arguments are no JSON
}

// A Count counts events of one name.
type Count struct {
	Event  string              `json:"event"`
	Events int64               `json:"events"`
	First  livestore.ClientSeq `json:"first"`
}

// A Writer is a client that committed bad events.
type Writer struct {
	Client string `json:"client"`
	Events Split  `json:"events"`
}

const (
	maxEntities = 1 << 20 // 8 bytes each, and the table's own
	maxWriters  = 10_000
)

// Assess reads a store's log once and counts the bad events in it. ran says on which release the census knows a client,
// empty where it does not; nil is for no census. progress is called with the events read since its last call. Where the
// writers' release is asked for and not known, and nothing else bounds the selection, the error is errs.Invalid: it would
// take every event for a bad one.
func Assess(ctx context.Context, store livestore.StoreID, log eventlog.Reader, s Selection, ran func(client string) string, progress func(int64)) (Damage, error) {
	d := Damage{Store: store, Names: []Count{}, Writers: []Writer{}, Dependents: []Count{}}
	head, err := log.Head(ctx)
	if err != nil {
		return d, err
	}
	d.Head = max(head.Confirmed, head.Last.Global)
	m, err := s.compile(ctx, ran)
	if err != nil {
		return d, err
	}
	defer m.close()
	t := tally{Damage: &d, names: map[string]*Count{}, later: map[string]*Count{}, writers: map[string]*Split{}, entities: map[uint64]struct{}{}}
	told := int64(0)
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		switch {
		case errors.As(err, &bad):
			d.Unreadable++
			continue
		case err != nil:
			return d, err
		}
		if d.Read++; d.Read-told == 1000 {
			progress(d.Read - told)
			told = d.Read
		}
		hit, known, err := m.match(ctx, e)
		if err != nil {
			return d, err
		}
		if hit {
			t.take(e, known)
		} else if d.Events.Total() > 0 {
			t.depends(e)
		}
	}
	progress(d.Read - told)
	t.finish()
	if s.Release != "" && d.Events.Unknown > 0 && !s.bounded() {
		return d, errs.Invalidf("%d events of store %s don't say which release wrote them: each of them may be of %s", d.Events.Unknown, store, s.Release).
			Hintf("say when it came out, with --since and a time or the number of the first bad event, or what is wrong with the events, with --where")
	}
	return d, nil
}

// A tally counts while the log goes by.
type tally struct {
	*Damage
	names, later map[string]*Count
	writers      map[string]*Split
	entities     map[uint64]struct{}
}

func (t *tally) take(e livestore.Event, known Certainty) {
	if t.Events.Total() == 0 {
		t.First, t.FirstAt = e.Seq, e.CreatedAt
	}
	t.Last = e.Seq
	if !e.CreatedAt.IsZero() {
		t.LastAt = e.CreatedAt
	}
	t.Events.add(known)
	if e.Pending {
		t.Pending++
	}
	if e.HasSchemaHash && e.SchemaHash == livestore.UnknownSchemaHash {
		t.Skipped++
	}
	count(t.names, e)
	if w := t.writers[e.ClientID]; w != nil {
		w.add(known)
	} else if len(t.writers) < maxWriters {
		t.writers[e.ClientID] = &Split{}
		t.writers[e.ClientID].add(known)
	}
	for id := range about(e.Args) {
		if len(t.entities) < maxEntities {
			t.entities[id] = struct{}{}
		} else if _, ok := t.entities[id]; !ok {
			t.Capped = true
		}
	}
}

// depends counts an event that is about something that a bad one was about.
func (t *tally) depends(e livestore.Event) {
	for id := range about(e.Args) {
		if _, ok := t.entities[id]; ok {
			count(t.later, e)
			return
		}
	}
}

func count(counts map[string]*Count, e livestore.Event) {
	c := counts[e.Name]
	if c == nil {
		c = &Count{Event: e.Name, First: e.Seq}
		counts[e.Name] = c
	}
	c.Events++
}

func (t *tally) finish() {
	t.Entities = int64(len(t.entities))
	t.Names, t.Dependents = counted(t.names), counted(t.later)
	for _, id := range slices.Sorted(maps.Keys(t.writers)) {
		t.Writers = append(t.Writers, Writer{id, *t.writers[id]})
	}
	slices.SortStableFunc(t.Writers, func(a, b Writer) int { return cmp.Compare(b.Events.Total(), a.Events.Total()) })
}

// counted lists counts, the most frequent first.
func counted(m map[string]*Count) []Count {
	out := []Count{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[name])
	}
	slices.SortStableFunc(out, func(a, b Count) int { return cmp.Compare(b.Events, a.Events) })
	return out
}

// about yields the ids in an event's arguments, hashed: the values of `id` and of what ends in Id, ID or _id, on the top
// level.
func about(args json.RawMessage) map[uint64]struct{} {
	var fields map[string]json.RawMessage
	if json.Unmarshal(args, &fields) != nil {
		return nil
	}
	out := map[uint64]struct{}{}
	for name, value := range fields {
		if name != "id" && !strings.HasSuffix(name, "Id") && !strings.HasSuffix(name, "ID") && !strings.HasSuffix(name, "_id") {
			continue
		}
		if len(value) == 0 || value[0] != '"' && (value[0] < '0' || value[0] > '9') {
			continue
		}
		h := fnv.New64a()
		_, _ = h.Write(value)
		out[h.Sum64()] = struct{}{}
	}
	return out
}
