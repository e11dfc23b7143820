package migrations

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/schema"
)

// A Compensation drafts the migration that takes back what another one did. An event can't be un-committed, so that its
// opposite is another event, and which one, for which rows and with which values is for people to decide: the draft
// holds what is known, and its queries return no row until somebody has decided.
type Compensation struct {
	Number  int64
	Of      Definition
	Schema  string          // empty where the app has only one
	Release *schema.Release // whose events there are to choose from
}

// An opposite is an event that writes where another one wrote.
type opposite struct {
	event  string
	wire   *schema.Type
	table  string // that both write
	effect string // in words
	keys   bool   // it has the fields of the other one's key
	score  int
}

// File returns the draft's name and text. Where no event of the release writes what the migration wrote, that is an
// errs.NotFound error.
func (c Compensation) File() (name, text string, err error) {
	_, rest, _ := strings.Cut(c.Of.Name, "_")
	name = fmt.Sprintf("%05d_undo_%s.sql", c.Number, rest)
	var b strings.Builder
	fmt.Fprintf(&b, "-- The opposite of %s, as a draft. A committed event can't be un-committed: these events say the opposite.\n", c.Of.Name)
	fmt.Fprintf(&b, "-- Each query returns no row (WHERE false) until you have decided, at every \"decide\", what is right for the app.\n")
	fmt.Fprintf(&b, "-- %s itself still commits what is due for it: don't run it again, and don't let a sweep do so.\n", c.Of.Name)
	if c.Of.Marker != "" {
		fmt.Fprintf(&b, "-- Its marker %s stays in the logs, and says that it ran.\n", c.Of.Marker)
	}
	if c.Schema != "" {
		fmt.Fprintf(&b, "-- headgate: schema %s\n", c.Schema)
	}
	fmt.Fprintf(&b, "-- headgate: requires >= %s\n", c.Release.Version)
	for _, in := range c.Of.Inputs {
		fmt.Fprintf(&b, "-- headgate: input %s\n", in.File)
	}
	b.WriteString("-- +goose Up\n")
	var used []string
	for _, e := range c.Of.Emits {
		if event := c.emit(&b, e, used); event != "" {
			used = append(used, event)
		}
	}
	if len(used) == 0 {
		return "", "", errs.NotFoundf("no event of release %s can write what %s wrote", c.Release.Version, c.Of.Name).
			Hintf("define one in the app, record the release, and draft again").Then("headgate release add VERSION")
	}
	return name, b.String(), nil
}

// emit drafts the opposite of one event, and returns which event it took for it; empty where there is none left.
func (c Compensation) emit(b *strings.Builder, e Emit, used []string) string {
	choice := c.opposites(e)
	fmt.Fprintf(b, "\n-- %s, which %s committed once for each %s.\n", e.Event, c.Of.Name, strings.Join(e.Key, ", "))
	if len(choice) == 0 {
		fmt.Fprintf(b, "-- No event of release %s writes the same table: an opposite must be defined first.\n", c.Release.Version)
		return ""
	}
	fmt.Fprintf(b, "-- decide: which event is its opposite? Release %s writes the same table with\n", c.Release.Version)
	for _, o := range choice {
		var fields []string
		for _, f := range o.wire.Fields {
			mark := ""
			if f.Optional {
				mark = "?"
			}
			fields = append(fields, f.Name+mark)
		}
		fmt.Fprintf(b, "--   %s (%s): %s\n", o.event, strings.Join(fields, ", "), o.effect)
	}
	if len(choice) == 1 && choice[0].event == e.Event {
		b.WriteString("--   and no other event: where writing the row again is no opposite, one must be defined first.\n")
	}
	i := slices.IndexFunc(choice, func(o opposite) bool {
		return !slices.Contains(used, o.event) && len(lintEvent(Definition{Name: c.Of.Name}, o.event, 1, []*schema.Release{c.Release})) == 0
	})
	if i < 0 {
		b.WriteString("-- Each of them is emitted above, or can't be emitted by a migration: where one of those above is right here, too,\n" +
			"-- join the rows there with UNION ALL, since one query emits an event.\n")
		return ""
	}
	c.query(b, e, choice[i])
	return choice[i].event
}

// query drafts the emit of o for the rows of e.
func (c Compensation) query(b *strings.Builder, e Emit, o opposite) {
	key := e.Key
	if !o.keys {
		key = firstNeeded(o.wire)
	}
	table, _ := c.Release.Table(o.table)
	column := func(name string) bool {
		return table != nil && slices.ContainsFunc(table.Columns, func(k schema.Column) bool { return k.Name == name })
	}
	again := e.SQL != "" && !calls(e.SQL, "uuid5") && !slices.ContainsFunc(e.Key, func(k string) bool { return !column(k) })
	switch {
	case again:
		fmt.Fprintf(b, "-- decide: which rows? \"chosen\" is what %s selects. Where its own events changed what it looks for,\n", c.Of.Name)
		b.WriteString("-- it returns them no longer: find them by what they have now.\n")
	case e.SQL != "":
		fmt.Fprintf(b, "-- decide: which rows? %s made their keys, so that they must be found by what they have now.\n", c.Of.Name)
	default:
		fmt.Fprintf(b, "-- decide: which rows? %s is in TypeScript: say in SQL what it chose, or find them by what they have now.\n", c.Of.Name)
	}
	fmt.Fprintf(b, "-- The keys that were committed are in each log, in the events of the client %s.\n", c.Of.ClientID())
	fmt.Fprintf(b, "-- headgate: emit %s key %s\n", o.event, strings.Join(key, " "))
	if again {
		fmt.Fprintf(b, "WITH chosen AS (\n%s\n)\n", strings.ReplaceAll(e.SQL, "\r\n", "\n"))
	}
	b.WriteString("SELECT\n")
	var fields []schema.Field
	for _, f := range o.wire.Fields {
		if !f.Optional || slices.Contains(key, f.Name) {
			fields = append(fields, f)
		}
	}
	for i, f := range fields {
		comma := ","
		if i == len(fields)-1 {
			comma = ""
		}
		switch {
		case !column(f.Name):
			fmt.Fprintf(b, "  NULL AS %s%s -- decide: %s has no such column\n", ident(f.Name), comma, o.table)
		case slices.Contains(key, f.Name):
			fmt.Fprintf(b, "  t.%s%s\n", ident(f.Name), comma)
		default:
			fmt.Fprintf(b, "  t.%s%s -- decide: this is the value now, in the table's own form; which one was it before?\n", ident(f.Name), comma)
		}
	}
	fmt.Fprintf(b, "FROM %s AS t\nWHERE false -- decide, then take this line's false out\n", ident(o.table))
	if again {
		var own, theirs []string
		for _, k := range e.Key {
			own, theirs = append(own, "t."+ident(k)), append(theirs, ident(k))
		}
		fmt.Fprintf(b, "  AND (%s) IN (SELECT %s FROM chosen)\n", strings.Join(own, ", "), strings.Join(theirs, ", "))
	}
	var order []string
	for _, k := range key {
		order = append(order, ident(k))
	}
	fmt.Fprintf(b, "ORDER BY %s;\n", strings.Join(order, ", "))
	fmt.Fprintf(b, "-- decide: what must hold afterwards, 1 or 0?\n")
	fmt.Fprintf(b, "-- headgate: assert 'nothing of %s is left' SELECT count(*) = 0 FROM %s WHERE false;\n", strings.ReplaceAll(e.Event, "'", "''"), ident(o.table))
}

// opposites are the events that write a table that the emit's event writes, the likeliest first.
func (c Compensation) opposites(e Emit) []opposite {
	var out []opposite
	of := effectOf(c.Release, e.Event, nil)
	if len(of.tables) == 0 {
		return nil
	}
	for _, ev := range c.Release.Events {
		ef := effectOf(c.Release, ev.Name, of.tables)
		wire, err := wireStruct(c.Release, ev.Name)
		if ev.ClientOnly || ev.Derived || len(ef.tables) == 0 || err != nil || len(wire.Fields) == 0 {
			continue
		}
		o := opposite{event: ev.Name, wire: wire, table: ef.tables[0], effect: ef.String()}
		o.keys = !slices.ContainsFunc(e.Key, func(k string) bool {
			return !slices.ContainsFunc(wire.Fields, func(f schema.Field) bool { return f.Name == k })
		})
		if o.keys {
			o.score += 8
		}
		if of.inserts && ef.deletes || of.deletes && ef.inserts {
			o.score += 4
		}
		if ef.inserts && !of.deletes {
			o.score -= 2
		}
		for _, col := range ef.sets {
			if slices.Contains(of.sets, col) {
				o.score += 2
			}
		}
		carries := false // a value that could be the one before
		for _, f := range wire.Fields {
			if slices.Contains(of.sets, f.Name) {
				o.score += 2
				carries = true
			}
		}
		if ev.Name == e.Event {
			o.score--
			if !carries {
				o.score -= 6 // it would do the same again
			}
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b opposite) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.event, b.event))
	})
	return out
}

// An effect is what an event's materializer was seen to write.
type effect struct {
	tables           []string
	sets             []string // columns that an update sets
	inserts, deletes bool
}

// effectOf looks at the statements of an event's materializer that write one of the tables; nil for any table.
func effectOf(r *schema.Release, event string, tables []string) (out effect) {
	m, ok := r.Materializer(event)
	if !ok {
		return out
	}
	for _, op := range m.Operations {
		for _, t := range op.Tables {
			if _, known := r.Table(t); !known || tables != nil && !slices.Contains(tables, t) {
				continue
			}
			if !slices.Contains(out.tables, t) {
				out.tables = append(out.tables, t)
			}
			out.inserts = out.inserts || op.Kind == "insert"
			out.deletes = out.deletes || op.Kind == "delete"
			for _, col := range setColumns(op.SQL) {
				if op.Kind == "update" && !slices.Contains(out.sets, col) {
					out.sets = append(out.sets, col)
				}
			}
		}
	}
	return out
}

func (e effect) String() string {
	var words []string
	if e.inserts {
		words = append(words, "inserts into "+strings.Join(e.tables, ", "))
	}
	if len(e.sets) > 0 {
		words = append(words, "sets "+strings.Join(e.sets, ", "))
	}
	if e.deletes {
		words = append(words, "deletes from "+strings.Join(e.tables, ", "))
	}
	if len(words) == 0 {
		return "writes " + strings.Join(e.tables, ", ")
	}
	return strings.Join(words, ", ")
}

// setColumns are the columns that an UPDATE sets.
func setColumns(sql string) (out []string) {
	l := lexer{src: sql, line: 1}
	depth := 0
	set, column := false, false // in the SET clause; before a column's name in it
	var before token
	for t := l.next(); t.kind != tokenEnd && t.kind != tokenOpen; t = l.next() {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth > 0:
		case t.is("SET"):
			set, column = true, true
		case t.is("WHERE") || t.is("FROM") || t.is("RETURNING"):
			set = false
		case t.is(","):
			column = true
		case set && column && t.is("="):
			column = false
			if name := strings.Trim(before.text, "\"`[]'"); before.kind != tokenSign && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		before = t
	}
	return out
}

// calls reports whether a query calls a function.
func calls(sql, function string) bool {
	l := lexer{src: sql, line: 1}
	for t := l.next(); t.kind != tokenEnd && t.kind != tokenOpen; {
		next := l.next()
		if strings.EqualFold(strings.Trim(t.text, "\"`[]"), function) && next.is("(") {
			return true
		}
		t = next
	}
	return false
}

func firstNeeded(wire *schema.Type) []string {
	for _, f := range wire.Fields {
		if !f.Optional {
			return []string{f.Name}
		}
	}
	return []string{wire.Fields[0].Name}
}

// reserved are SQLite's keywords that are no names without quotes.
const reserved = ` add all alter and as autoincrement between case check collate commit constraint create default deferrable
 delete distinct drop else escape except exists foreign from group having if in index insert intersect into is isnull join
 limit not nothing notnull null on or order primary references returning select set table then to transaction union unique
 update using values when where `

// ident is a name as SQL takes it.
func ident(name string) string {
	if tableName.MatchString(name) && !slices.Contains(strings.Fields(reserved), strings.ToLower(name)) {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
