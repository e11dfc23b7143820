// Package loggen makes big event logs of the example todo app: a real eventlog@6.db, laid out as LiveStore lays
// it out, and the dump of the same events. The events come from a seed, hold what breaks naive code (unicode,
// quotes, empty strings, 2^53-1, dates before 1970, omitted optionals, nulls) and decode under the app's
// schemas. It serves benchmarks and soak tests; small logs for comparisons are written by LiveStore itself.
package loggen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"headgate/internal/livestore"
)

// A Spec says what to generate. Equal specs give equal logs.
type Spec struct {
	N    int // how many synced events; clientOnly ones come on top
	Seed uint64
	// Level is what the writing clients know: 0 is release 1.0.0 of the example, 1 adds v2.TodoCreated (1.1.0),
	// 2 adds v1.TodoArchived (1.2.0).
	Level int
	// ClientOnly adds about one clientOnly event for ten synced ones.
	ClientOnly bool
	// Pending is how many of the last synced events the backend has not confirmed.
	Pending int
	// Start is when the backend accepted the first event; each next one comes Every later. The zero time leaves
	// the times out, as for a client's own events.
	Start time.Time
	Every time.Duration
	// SchemaHash maps event names to LiveStore's hashes of their schemas; others get UnknownSchemaHash.
	SchemaHash map[string]int64
}

// keep is how many ids the generator remembers, so that it stays flat.
const keep = 500

type generator struct {
	Spec
	rand  *rand.Rand
	todos []string
	tags  []string
	made  int
}

// Events generates the log in order.
func (s Spec) Events() iter.Seq[livestore.Event] {
	return func(yield func(livestore.Event) bool) {
		g := generator{Spec: s, rand: rand.New(rand.NewPCG(s.Seed, 0x6865616467617465))}
		clients := []string{"alice", "bob", "Zoë's phone"}
		at := livestore.ClientSeq{}
		for n := range s.N {
			seq := livestore.ClientSeq{Global: at.Global + 1}
			who := g.rand.IntN(len(clients))
			e := livestore.Event{
				Seq: seq, Parent: livestore.ClientSeq{Global: at.Global},
				ClientID: clients[who], SessionID: fmt.Sprintf("static.1-%d-0", g.rand.IntN(s.Level+1)),
				Pending: n >= s.N-s.Pending,
			}
			if !s.Start.IsZero() && !e.Pending {
				e.CreatedAt = s.Start.Add(time.Duration(n) * s.Every).UTC().Truncate(time.Millisecond)
			}
			g.synced(&e)
			if !yield(g.hashed(e)) {
				return
			}
			at = seq
			for s.ClientOnly && g.rand.IntN(11) == 0 {
				e := livestore.Event{
					Seq: livestore.ClientSeq{Global: at.Global, Client: at.Client + 1}, Parent: at,
					ClientID: clients[0], SessionID: e.SessionID, Pending: e.Pending,
				}
				g.clientOnly(&e)
				if !yield(g.hashed(e)) {
					return
				}
				at = e.Seq
			}
		}
	}
}

func (g *generator) hashed(e livestore.Event) livestore.Event {
	e.HasSchemaHash = true
	e.SchemaHash = livestore.UnknownSchemaHash
	if h, ok := g.SchemaHash[e.Name]; ok {
		e.SchemaHash = h
	}
	return e
}

type object = map[string]any

func (g *generator) synced(e *livestore.Event) {
	roll := g.rand.IntN(100)
	switch {
	case len(g.todos) == 0 || roll < 35:
		args := g.todo()
		e.Name = "v1.TodoCreated"
		if g.Level >= 1 && g.rand.IntN(2) == 0 {
			e.Name = "v2.TodoCreated"
			args["priority"] = pick(g, "low", "normal", "high")
		}
		set(e, args)
	case roll < 50:
		e.Name = "v1.TodoCompleted"
		set(e, object{"id": g.anyTodo()})
	case roll < 60:
		e.Name = "v1.TodoRenamed"
		set(e, object{"id": g.anyTodo(), "text": g.text()})
	case roll < 68:
		e.Name = "v1.TodoMoved"
		set(e, object{"id": g.anyTodo(), "list": g.list(), "position": g.number()})
	case roll < 75:
		e.Name = "v1.TodoScheduled"
		args := object{"id": g.anyTodo(), "dueAt": nil}
		if g.rand.IntN(3) > 0 {
			args["dueAt"] = g.date()
		}
		set(e, args)
	case roll < 80:
		e.Name = "v1.TodoReopened"
		set(e, object{"id": g.anyTodo()})
	case roll < 84 || len(g.tags) == 0:
		g.made++
		args := object{"id": fmt.Sprintf("tag-%d", g.made), "name": g.text()}
		switch g.rand.IntN(3) {
		case 0:
			args["color"] = nil
		case 1:
			args["color"] = pick(g, "#ff0000", "", "hôt pink")
		}
		g.tags = remember(g.tags, args["id"].(string))
		e.Name = "v1.TagCreated"
		set(e, args)
	case roll < 90:
		e.Name = "v1.TodoTagged"
		set(e, object{"todoId": g.anyTodo(), "tagId": pick(g, g.tags...)})
	case roll < 93:
		e.Name = "v1.TodoUntagged"
		set(e, object{"todoId": g.anyTodo(), "tagId": pick(g, g.tags...)})
	case roll < 97:
		e.Name = "v1.TodoDeleted"
		set(e, object{"id": g.anyTodo(), "deletedAt": g.date()})
	case roll < 98 && g.Level >= 2:
		e.Name = "v1.TodoArchived"
		set(e, object{"id": g.anyTodo()})
	default:
		// The list is one that few todos are in: clearing the others would make every log end empty.
		e.Name = "v1.ListCleared"
		set(e, object{"list": "später", "deletedAt": g.date()})
	}
}

func (g *generator) clientOnly(e *livestore.Event) {
	if g.rand.IntN(2) == 0 {
		e.Name = "v1.DraftSaved"
		set(e, object{"id": fmt.Sprintf("draft-%d", g.rand.IntN(20)), "text": g.text()})
		return
	}
	e.Name = "uiSet"
	set(e, object{"id": e.SessionID, "value": object{"list": g.list(), "showCompleted": g.rand.IntN(2) == 0}})
}

func (g *generator) todo() object {
	g.made++
	args := object{"id": fmt.Sprintf("todo-%d", g.made), "text": g.text(), "createdAt": g.date()}
	g.todos = remember(g.todos, args["id"].(string))
	if g.rand.IntN(2) == 0 {
		args["list"] = g.list()
	}
	if g.rand.IntN(2) == 0 {
		args["position"] = g.number()
	}
	switch g.rand.IntN(4) {
	case 0:
		args["estimate"] = nil
	case 1:
		args["estimate"] = pick(g, 0, 1, -1, 1<<53-1, -(1<<53 - 1))
	}
	switch g.rand.IntN(4) {
	case 0:
		args["dueAt"] = nil
	case 1:
		args["dueAt"] = g.date()
	}
	if g.rand.IntN(3) == 0 {
		details := object{"links": []string{"https://example.org/?q=" + g.text()}[:g.rand.IntN(2)]}
		switch g.rand.IntN(3) {
		case 0:
			details["note"] = nil
		case 1:
			details["note"] = g.text()
		}
		args["details"] = details
	}
	return args
}

func (g *generator) anyTodo() string { return pick(g, g.todos...) }
func (g *generator) list() string    { return pick(g, "inbox", "home", "work", "", "später") }
func (g *generator) number() float64 { return pick(g, 0, 1, 2.5, -0.125, 1e21, 1<<53-1) }

func (g *generator) text() string {
	return pick(g, "buy milk", "", `say "hi" \ 'bye'`, "naïve café ☕️", "👩‍👩‍👧‍👦 family", "line\nbreak\ttab", "日本語のテキスト",
		"  blanks  and   more  ", "; DROP TABLE todos; --", "\u2028\u2029<script>&amp;", "zero\u200bwidth", "null", "call the landlord about the heating")
}

func (g *generator) date() string {
	t := pick(g,
		time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC),
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2024, 2, 29, 23, 59, 59, 999e6, time.UTC),
		time.Date(2026, 1, 1, 0, 0, 0, 1e6, time.UTC).Add(time.Duration(g.rand.IntN(1e9))*time.Millisecond),
	)
	return t.Format("2006-01-02T15:04:05.000Z")
}

func pick[T any](g *generator, of ...T) T { return of[g.rand.IntN(len(of))] }

func remember(ids []string, id string) []string {
	if len(ids) == keep {
		ids = append(ids[:0], ids[1:]...)
	}
	return append(ids, id)
}

func set(e *livestore.Event, args object) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(args) // it can't fail on these types
	e.Args = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
