package replay

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/schema"
)

// A Stage says where an event turned out to be poison; see package engine, and StageJSON.
type Stage = engine.Stage

// StageJSON is where the log itself can't be read, because the event's arguments are not JSON.
const StageJSON Stage = "json"

// A Poison is the event that a rebuild under the release fails on. It holds no payload values.
type Poison struct {
	Seq   livestore.ClientSeq `json:"seq"`
	Event string              `json:"event"`
	Stage Stage               `json:"stage"`
	// Path and Wanted say which part of the arguments does not decode ("$.estimate") and what the schema wants there.
	Path   string `json:"path,omitempty"`
	Wanted string `json:"wanted,omitempty"`
	// Error is what was thrown.
	Error   string `json:"error,omitempty"`
	Message string `json:"message,omitempty"`
	// SQL is the statement that SQLite refused, without its literals.
	SQL string `json:"sql,omitempty"`
	// Where is the place in the app's TypeScript, where one is known.
	Where string `json:"where,omitempty"`
}

// String says it in one line.
func (p *Poison) String() string {
	what := map[Stage]string{
		engine.StageDecode:      "its arguments don't decode",
		engine.StageMaterialize: "its materializer throws",
		engine.StageQuery:       "a query of its materializer fails",
		engine.StageSQL:         "SQLite refuses what its materializer writes",
		engine.StageUnknown:     "the release does not know it, and unknownEventHandling is fail",
		StageJSON:               "the log can't be read there",
	}[p.Stage]
	s := fmt.Sprintf("%s %s: %s", p.Seq, p.Event, what)
	if p.Stage == engine.StageDecode && p.Path != "" {
		s += " at " + p.Path
	}
	if p.Wanted != "" && p.Stage == engine.StageDecode {
		s += ": wanted " + p.Wanted
	}
	if p.Message != "" {
		s += ": " + p.Message
	}
	if p.Where != "" {
		s += " (" + p.Where + ")"
	}
	return s
}

func (s *session) poisonOf(p *engine.Poison) *Poison {
	out := &Poison{
		Stage: p.Stage, Path: p.Path, Wanted: p.Wanted, Error: p.Name, Message: p.Message, SQL: withoutLiterals(p.SQL),
	}
	if f, ok := <-s.flights; ok && p.Event >= 0 && p.Event < len(f.seqs) {
		out.Seq, out.Event = f.seqs[p.Event], f.names[p.Event]
		s.tally.add(flight{names: f.names[:p.Event], seqs: f.seqs[:p.Event]}, nil)
	}
	if s.target.Locate != nil && p.Stack != "" {
		out.Where = s.target.Locate(p.Stack)
	}
	return out
}

var literal = regexp.MustCompile(`'(?:[^']|'')*'|\b\d+(\.\d+)?\b`)

// withoutLiterals hides what an app may have put into a statement's text instead of binding it.
func withoutLiterals(sql string) string {
	sql = literal.ReplaceAllStringFunc(sql, func(l string) string {
		if l[0] == '\'' {
			return "'…'"
		}
		return "…"
	})
	const most = 500
	if r := []rune(sql); len(r) > most {
		sql = string(r[:most]) + "…"
	}
	return sql
}

// A tally counts what the child has answered for.
type tally struct {
	head    livestore.ClientSeq
	events  int64
	skipped []Skipped // one per name and reason; there are few
}

func (t *tally) add(f flight, skipped []engine.Skip) {
	if len(f.seqs) == 0 {
		return
	}
	t.events += int64(len(f.seqs))
	t.head = f.seqs[len(f.seqs)-1]
	for _, k := range skipped {
		if k.Event < 0 || k.Event >= len(f.seqs) {
			continue
		}
		t.skip(f.names[k.Event], k.Reason, f.seqs[k.Event])
	}
}

func (t *tally) skip(name, reason string, at livestore.ClientSeq) {
	i := slices.IndexFunc(t.skipped, func(s Skipped) bool { return s.Name == name && s.Reason == reason })
	if i < 0 {
		i = len(t.skipped)
		t.skipped = append(t.skipped, Skipped{Name: name, Reason: reason, First: at})
	}
	t.skipped[i].Count++
	t.skipped[i].Last = at
}

// summary is the result so far: everything but the state and the time.
func (s *session) summary() Result {
	res := Result{
		Head: s.tally.head, Confirmed: s.head.Confirmed, Events: s.tally.events, Poison: s.poison,
		Spent:   s.result.Spent,
		Skipped: slices.Clone(s.tally.skipped), Unverifiable: []string{}, NotDerivable: []string{},
	}
	if res.Skipped == nil {
		res.Skipped = []Skipped{}
	}
	if s.from != nil {
		res.FromCheckpoint = s.from.Events
	}
	slices.SortFunc(res.Skipped, func(a, b Skipped) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Reason, b.Reason))
	})
	res.Applied = res.Events
	for _, k := range res.Skipped {
		res.Applied -= k.Count
	}
	res.Unverifiable = append(res.Unverifiable, s.unverifiable()...)
	if !s.reader.ClientOnly() {
		tables, why := NotDerivable(s.target.Release)
		res.NotDerivable = append(res.NotDerivable, tables...)
		res.Unverifiable = append(res.Unverifiable, why...)
	}
	return res
}

func (s *session) unverifiable() []string {
	var out []string
	m := s.target.Release.Migrations
	if m.Strategy != "auto" {
		out = append(out, fmt.Sprintf("the migration strategy is %q: LiveStore never rebuilds this state from the log, and the app's own migration decides what is in it", m.Strategy))
	}
	for _, h := range s.result.HookErrors {
		out = append(out, "the migration hook "+h)
	}
	if v := s.target.Release.LiveStore; !v.Verified {
		out = append(out, fmt.Sprintf("LiveStore %s is not one that headgate's replay was proven against", v.Version))
	}
	if len(s.result.Volatile) > 0 {
		out = append(out, "statements depend on more than the events: "+strings.Join(s.result.Volatile, ", "))
	}
	return out
}

// NotDerivable lists the tables that clientOnly events write, client documents among them, which only the log of the client
// itself yields, and says where more may be.
func NotDerivable(r *schema.Release) (tables, why []string) {
	writes := map[string]bool{}
	for _, t := range r.Tables {
		if t.ClientDocument {
			writes[t.Name] = true
		}
	}
	known := map[string]schema.Materializer{}
	for _, m := range r.Materializers {
		known[m.Event] = m
	}
	for _, e := range r.Events {
		m, ok := known[e.Name]
		if !e.ClientOnly || e.Derived || !ok {
			continue
		}
		for _, op := range m.Operations {
			for _, t := range op.Tables {
				if t != "unknown" {
					writes[t] = true
				} else {
					m.Complete = false
				}
			}
		}
		if !m.Complete {
			why = append(why, fmt.Sprintf("the log holds no clientOnly events, and which tables %s writes is not known", e.Name))
		}
	}
	for t := range writes {
		tables = append(tables, t)
	}
	slices.Sort(tables)
	return tables, why
}

var transactionWords = regexp.MustCompile(`(?i)^\s*(BEGIN(\s+(DEFERRED|IMMEDIATE|EXCLUSIVE))?(\s+TRANSACTION)?|COMMIT(\s+TRANSACTION)?|END(\s+TRANSACTION)?|PRAGMA\s+cache_spill\s*=\s*\w+)?\s*;?\s*$`)

// transactionsOnly reports whether all that the hooks do is to begin and to commit.
func transactionsOnly(hooks []schema.Hook) bool {
	for _, h := range hooks {
		if h.Error != "" {
			return false
		}
		for _, s := range h.Statements {
			if !transactionWords.MatchString(s) {
				return false
			}
		}
	}
	return true
}
