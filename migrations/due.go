package migrations

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/script"
)

// sources counts what the definition's events come from: each emit's query, or the module, which yields all emits.
func (d Definition) sources() int {
	if d.module != nil {
		return 1
	}
	return len(d.Emits)
}

// place is where a source stands, as file:line.
func (d Definition) place(source int) string {
	return fmt.Sprintf("%s:%d", d.Path, d.Emits[source].SQLLine)
}

// due asks which events the first source that has any would commit now: what it returns without the keys that are in
// the log. At most [window] are returned; total counts all.
func (s *session) due() (due []candidate, total int64, source int, err error) {
	others := s.ledger.foreign != s.foreign
	s.foreign = s.ledger.foreign
	if others {
		s.left = -1
		clear(s.settled)
	}
	for i := range s.Definition.sources() {
		c, err := s.dueOf(i)
		if err != nil {
			return nil, 0, i, err
		}
		if s.settled[i] && c.total > 0 || s.left >= 0 && c.total > s.left {
			return nil, 0, i, s.endless(i, c.total)
		}
		if c.total > 0 {
			return c.due, c.total, i, nil
		}
		if !s.settled[i] {
			s.settled[i], s.left = true, -1
		}
	}
	return nil, 0, 0, nil
}

// endless refuses a source that has new events because of those that it made.
func (s *session) endless(source int, due int64) error {
	e := errs.Refusedf("it gives new events because of those that it made: it would never end").At("%s", s.Definition.place(source))
	if s.Definition.Repeat {
		e.Msg = fmt.Sprintf("it may repeat, and still gives %d of its events after they were added: each run would commit them once more", due)
		return e.Hintf("leave out the rows that have what the event brings; or let it not repeat: then each key gets one event for good")
	}
	return e.Hintf("let the key be something that the migration's own events don't add to")
}

// A collection gathers what a source returns, and keeps what is due of it.
type collection struct {
	*session
	place string
	n     int64 // rows or yields so far, whatever is due of them
	seen  keySet
	due   []candidate
	total int64
}

func (c *collection) add(event string, args json.RawMessage, key string) error {
	if c.seen.has(key) {
		what, hint := "row", "each key gets one event: let the query return each once (GROUP BY), or add a column to the key"
		if c.Definition.module != nil {
			what, hint = "event", "each key gets one event: yield each once, or add a field to the key"
		}
		return errs.Invalidf("%s %d has the key of an earlier %s", what, c.n, what).At("%s", c.place).Hintf("%s", hint)
	}
	c.seen.add(key)
	if !c.Definition.Repeat && c.ledger.done.has(key) {
		return nil
	}
	if err := c.fits(event, args); err != nil {
		return err
	}
	c.total++
	if len(c.due) < window {
		c.due = append(c.due, candidate{event: event, args: args, key: key})
	}
	return nil
}

// fits refuses an event that no backend takes, before the first one is pushed.
func (c *collection) fits(event string, args json.RawMessage) error {
	e := c.number([]candidate{{event: event, args: args}})
	if err := eventlog.CheckBatch(e); err != nil {
		bad := errs.As(err)
		return errs.New(bad.Code, "row %d: %s", c.n, bad.Msg).At("%s", c.place).Hintf("%s", bad.Hint)
	}
	return nil
}

// dueOf asks one source.
func (s *session) dueOf(source int) (c *collection, err error) {
	c = &collection{session: s, place: s.Definition.place(source), seen: keySet{}}
	if s.Definition.module != nil {
		err = c.generate()
	} else {
		err = c.rows(s.Definition.Emits[source])
	}
	if e := errs.As(err); e != nil && e.Where == "" {
		e.At("%s", c.place)
	}
	s.report.Rows += c.n
	return c, err
}

func (c *collection) rows(emit Emit) error {
	var enc *encoder
	return c.query(emit.SQL, emit.SQLLine, func(columns []string, values []any) (err error) {
		c.n++
		if enc == nil {
			if enc, err = newEncoder(c.Definition, emit, c.Target.Release, columns); err != nil {
				return err
			}
			enc.reveal = c.reveal
		}
		args, key, err := enc.row(c.n, columns, values)
		if err != nil {
			return err
		}
		return c.add(emit.Event, args, key)
	})
}

func (c *collection) generate() error {
	m := c.Definition.module
	return m.explain(c.live.Generate(c.admit, func(event string, args json.RawMessage) error {
		c.n++
		key, err := keyOf(c.ledger.emits[event], args)
		if err != nil {
			return err
		}
		return c.add(event, args, key)
	}))
}

// admit refuses a module's query for what a file of SQL is refused for, before anything comes of its rows.
func (c *collection) admit(sql, trace string) error {
	m := c.Definition.module
	path, line := m.path, m.line("default")
	if at := m.place(script.ParseStack(trace)); at != "" {
		path, line = splitPlace(at)
	}
	if _, err := checkQuery(path, sql, line, true); err != nil {
		return err
	}
	for _, p := range lintTables(sql, line, c.Target.Release) {
		return errs.Invalidf("%s", p.Msg).At("%s:%d", path, p.Line).Hintf("%s", p.Hint)
	}
	return nil
}

// splitPlace takes "path:line:column" apart.
func splitPlace(at string) (path string, line int) {
	at = at[:max(0, strings.LastIndexByte(at, ':'))]
	i := max(0, strings.LastIndexByte(at, ':'))
	line, err := strconv.Atoi(at[min(i+1, len(at)):])
	if err != nil {
		return at, 1
	}
	return at[:i], line
}

// asserts evaluates the definition's asserts on the state as it is.
func (s *session) asserts() error {
	s.report.Asserts = s.report.Asserts[:0]
	var failed error
	for _, a := range s.Definition.Asserts {
		r := AssertResult{Label: a.Label, Line: a.Line}
		rows := 0
		err := s.query(a.SQL, a.SQLLine, func(_ []string, values []any) error {
			rows++
			r.True = rows == 1 && len(values) == 1 && values[0] != nil && values[0] != int64(0) && values[0] != 0.0
			return nil
		})
		if err != nil {
			return err
		}
		s.report.Asserts = append(s.report.Asserts, r)
		if !r.True && failed == nil {
			failed = errs.New(errs.Mismatch, "the assert %q does not hold", a.Label).At("%s:%d", s.Definition.Path, a.Line).
				Hintf("an assert returns one row with one value, 1 when it holds; events that are committed stay")
		}
	}
	return failed
}
