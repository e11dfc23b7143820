package probe

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/schema"
	"headgate/internal/livestore/script"
)

// maxOperations bounds the distinct statements recorded of one materializer; one that writes values into its
// statements would have as many as there are payloads.
const maxOperations = 24

// maxExamples bounds the payloads that statements are collected from.
const maxExamples = 60

// Observe runs every materializer of an app on example payloads, against an empty and a filled state, and returns the
// materializers with what it saw: Operations, Complete, UsesQuery and Error. It is called in the sandbox, on an engine
// that has evaluated the app, and leaves the engine's database alone. alive is called after each materializer.
func Observe(e *engine.Engine, app App, alive func() error) ([]schema.Materializer, error) {
	db := e.DB
	defer func() { e.DB = db }()
	r, err := newRunner(e, &app)
	if err != nil {
		return nil, err
	}
	defer r.closeStates()
	if err := r.ensureFilled(); err != nil {
		return nil, err
	}
	out := slices.Clone(app.Materializers)
	for i := range out {
		if e := app.event(out[i].Event); e != nil && e.Args != nil {
			err := r.observe(&out[i], e)
			var f *script.Failure
			if errors.As(err, &f) {
				out[i].Complete, out[i].Error = false, f.Error() // it loops, or needs too much memory
			} else if err != nil {
				return nil, err
			}
			if err := alive(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (r *runner) observe(m *schema.Materializer, e *schema.Event) error {
	list, _, _, err := r.payloads(e.Name, r.generator(e).Examples(), maxExamples)
	if err != nil {
		return err
	}
	m.Complete = len(list) > 0
	if !m.Complete {
		m.Error = "no payload could be made that the event's schema admits"
	}
	searched := false
	missing := map[string]bool{} // what it throws only where a row is not there
	for i := 0; i < len(list); i++ {
		args := list[i]
		failed, empty, err := r.observeOne(m, step{e.Name, args})
		if err != nil {
			return err
		}
		if empty != nil && failed == nil {
			missing[empty.class()] = true
		}
		if failed != nil && !missing[failed.class()] {
			m.Complete = false
			if m.Error == "" {
				m.Error = failed.message()
			}
		}
		if i == len(list)-1 && m.Error != "" && len(m.Operations) == 0 && !searched {
			more, _, _, err := r.payloads(e.Name, r.generator(e).Edge(), 2*maxExamples)
			if err != nil {
				return err
			}
			list, searched = append(list, more...), true // one of the edges may be what it wants: a URL, a date
		}
	}
	slices.SortFunc(m.Operations, func(a, b schema.Operation) int { return strings.Compare(a.SQL, b.SQL) })
	return nil
}

// observeOne collects from one payload, and returns its failures against the filled and the empty state.
func (r *runner) observeOne(m *schema.Materializer, s step) (filled, empty *failure, err error) {
	seen, err := r.materialize(r.filled, s)
	if err != nil {
		return nil, nil, err
	}
	m.UsesQuery = m.UsesQuery || seen.Queried
	if seen.Poison != nil {
		return &failure{Filled, seen.Poison}, nil, nil
	}
	r.record(m, r.filled, seen.Ops)
	if !seen.Queried {
		return nil, nil, nil // the other state would change nothing
	}
	if seen, err = r.materialize(r.empty, s); err != nil {
		return nil, nil, err
	}
	if seen.Poison != nil {
		return nil, &failure{Empty, seen.Poison}, nil
	}
	r.record(m, r.empty, seen.Ops)
	return nil, nil, nil
}

func (r *runner) record(m *schema.Materializer, db *engine.DB, ops []engine.Operation) {
	for _, op := range ops {
		sql := strings.TrimSpace(op.SQL)
		if slices.ContainsFunc(m.Operations, func(o schema.Operation) bool { return o.SQL == sql }) {
			continue
		}
		if len(m.Operations) == maxOperations {
			m.Complete = false
			continue
		}
		o := schema.Operation{SQL: sql, Kind: kindOf(sql)}
		o.Conflict = o.Kind == "insert" && hasConflictClause(sql)
		tables, err := db.Writes(sql)
		if err != nil {
			tables = []string{"unknown"}
		}
		if o.Tables = tables; tables == nil {
			o.Tables = []string{}
		}
		m.Operations = append(m.Operations, o)
	}
}

// kindOf says what a statement does, by its first word after common table expressions: insert, update, delete or
// other. Texts of several statements that do different things are other.
func kindOf(sql string) string {
	kind := ""
	for _, verb := range verbs(sql) {
		k := map[string]string{"insert": "insert", "replace": "insert", "update": "update", "delete": "delete"}[verb]
		if k == "" {
			k = "other"
		}
		if kind != "" && kind != k {
			return "other"
		}
		kind = k
	}
	if kind == "" {
		return "other"
	}
	return kind
}

// verbs are the first words of the statements in a text.
func verbs(sql string) []string {
	var out []string
	depth, begin, with := 0, true, false
	for _, w := range words(sql) {
		switch {
		case w == "(":
			depth++
		case w == ")":
			depth--
		case depth > 0:
		case w == ";":
			begin, with = true, false
		case begin && w == "with":
			begin, with = false, true
		case begin:
			out, begin = append(out, w), false
		case with && (w == "insert" || w == "replace" || w == "update" || w == "delete" || w == "select"):
			out, with = append(out, w), false
		}
	}
	return out
}

// hasConflictClause reports whether an insert says what happens when the row is there already.
func hasConflictClause(sql string) bool {
	w := words(sql)
	for i := range w {
		if i == 0 && w[i] == "replace" || i+1 < len(w) && (w[i] == "on" && w[i+1] == "conflict" || w[i] == "insert" && w[i+1] == "or") {
			return true
		}
	}
	return false
}

// words splits SQL into lower-case words, parentheses and semicolons; literals, quoted names and comments are left
// out, other signs too.
func words(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '\'' || c == '"' || c == '`':
			i = skip(sql, i+1, string(c))
		case c == '[':
			i = skip(sql, i+1, "]")
		case strings.HasPrefix(sql[i:], "--"):
			i = skip(sql, i+2, "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i = skip(sql, i+2, "*/")
		case c == '(' || c == ')' || c == ';':
			out = append(out, string(c))
			i++
		case isWord(c):
			j := i
			for j < len(sql) && isWord(sql[j]) {
				j++
			}
			out = append(out, strings.ToLower(sql[i:j]))
			i = j
		default:
			i++
		}
	}
	return out
}

func skip(s string, i int, end string) int {
	if j := strings.Index(s[i:], end); j >= 0 {
		return i + j + len(end)
	}
	return len(s)
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c == '?' || c == ':' || c == '@' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// decodeArgs is a payload as values, for shrinking and shapes.
func decodeArgs(args json.RawMessage) any {
	var v any
	if json.Unmarshal(args, &v) != nil {
		return nil
	}
	return v
}
