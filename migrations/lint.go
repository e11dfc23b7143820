package migrations

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore/schema"
	"headgate/planner"
)

// A Problem is what is wrong with a migration before it runs anywhere.
type Problem struct {
	Line int    `json:"line,omitempty"` // 0 where the whole file is meant
	Code string `json:"code,omitempty"` // of a finding: MT102
	Msg  string `json:"message"`
	Hint string `json:"hint,omitempty"`
}

// Lint checks a migration against the recorded releases of its schema: each one that requires admits defines what is
// emitted, and materializes it in a way that survives the event a second time.
func Lint(d Definition, releases []*schema.Release) []Problem {
	var out []Problem
	admitted := slices.DeleteFunc(slices.Clone(releases), func(r *schema.Release) bool { return !d.Admits(r.Version) })
	if len(admitted) == 0 {
		return append(out, Problem{
			Line: d.RequiresLine, Msg: fmt.Sprintf("no recorded release is %s", d.Requires),
			Hint: "record the release that the migration is for: headgate release add VERSION",
		})
	}
	slices.SortFunc(admitted, func(a, b *schema.Release) int { return schema.CompareVersions(a.Version, b.Version) })
	for _, in := range d.Inputs {
		for _, r := range admitted {
			if p, taken := in.taken(r); taken {
				out = append(out, p)
				break
			}
		}
	}
	for _, e := range d.Emits {
		out = append(out, lintEvent(d, e.Event, e.Line, admitted)...)
		out = append(out, lintKey(e, admitted[len(admitted)-1])...)
		out = append(out, lintTables(e.SQL, e.SQLLine, admitted[len(admitted)-1])...)
	}
	newest := admitted[len(admitted)-1]
	for _, e := range d.Emits {
		if e.SQL == "" {
			continue
		}
		if p, ok := undecidedIn(e.SQL, e.SQLLine); ok {
			out = append(out, p)
		} else if at, ok := never(e.SQL, e.SQLLine); ok {
			out = append(out, Problem{Line: at, Msg: "the query returns no row: its WHERE is false", Hint: "say which rows need the event"})
		}
	}
	for _, a := range d.Asserts {
		_, none := never(a.SQL, a.Line)
		p, open := undecidedIn(a.SQL, a.Line)
		switch hint := "ask for what the events bring: SELECT count(*) = 0 FROM … WHERE …, the rows that must not be left"; {
		case open:
			p.Line = a.Line // its query may begin further down
			out = append(out, p)
		case none:
			out = append(out, Problem{Line: a.Line, Msg: fmt.Sprintf("the assert %q proves nothing: its WHERE is false", a.Label), Hint: hint})
		case !d.reads(a.SQL, newest):
			out = append(out, Problem{Line: a.Line, Msg: fmt.Sprintf("the assert %q proves nothing: it reads no table", a.Label), Hint: hint})
		}
	}
	if slices.ContainsFunc(d.Emits, func(e Emit) bool { return e.Event == d.Marker }) {
		out = append(out, Problem{Line: d.MarkerLine, Msg: "the marker " + d.Marker + " is emitted, too", Hint: "a marker is an event of its own"})
	}
	if d.Marker != "" {
		out = append(out, lintEvent(d, d.Marker, d.MarkerLine, admitted)...)
	}
	return out
}

// undecidedIn finds what a draft asks and nobody has decided.
func undecidedIn(sql string, line int) (Problem, bool) {
	l := lexer{src: sql, line: line}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind == tokenComment && strings.HasPrefix(t.text, undecided) {
			return Problem{
				Line: t.line, Msg: "what the draft asks is not decided: " + strings.TrimLeft(strings.TrimPrefix(t.text, undecided), ":, "),
				Hint: "decide it, and take the comment out",
			}, true
		}
	}
	return Problem{}, false
}

// never finds a WHERE that no row passes, as a draft has it.
func never(sql string, line int) (at int, found bool) {
	l := lexer{src: sql, line: line}
	var tokens []token
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind != tokenComment {
			tokens = append(tokens, t)
		}
	}
	for i, t := range tokens {
		if !t.is("WHERE") || i+1 == len(tokens) {
			continue
		}
		after := tokens[i+1:]
		n := 0
		if after[0].is("false") || after[0].is("NULL") || after[0].text == "0" {
			n = 1
		}
		if len(after) > 2 && after[1].is("=") && after[0].kind == tokenNumber && after[2].kind == tokenNumber && after[0].text != after[2].text {
			n = 3
		}
		if n > 0 && (len(after) == n || slices.ContainsFunc([]string{"AND", "GROUP", "ORDER", "LIMIT", "UNION", ")"}, after[n].is)) {
			return t.line, true
		}
	}
	return 0, false
}

// reads reports whether a query mentions a table of the release, or an input of the migration.
func (d Definition) reads(sql string, r *schema.Release) bool {
	l := lexer{src: sql, line: 1}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if t.kind != tokenWord && t.kind != tokenName {
			continue
		}
		name := strings.Trim(t.text, "\"`[]")
		if slices.ContainsFunc(r.Tables, func(k schema.Table) bool { return strings.EqualFold(k.Name, name) }) ||
			slices.ContainsFunc(d.Inputs, func(in Input) bool { return strings.EqualFold(in.Table, name) }) {
			return true
		}
	}
	return false
}

func lintEvent(d Definition, name string, line int, releases []*schema.Release) (out []Problem) {
	var undefined, silent []string
	for _, r := range releases {
		e, ok := r.Event(name)
		if !ok {
			undefined = append(undefined, r.Version)
			continue
		}
		_, ok = r.Materializer(name)
		switch {
		case e.Derived:
			return []Problem{{Line: line, Msg: name + " belongs to a client document, which never leaves its client"}}
		case e.ClientOnly:
			return []Problem{{Line: line, Msg: name + " is clientOnly: it is never synced", Hint: "emit a synced event"}}
		case !ok && name != d.Marker:
			silent = append(silent, r.Version)
		case ok:
			out = append(out, lintTwice(d, name, line, r)...)
		}
	}
	if len(undefined) > 0 {
		out = append(out, Problem{
			Line: line, Msg: fmt.Sprintf("%s is not defined in %s, which requires admits", name, strings.Join(undefined, ", ")),
			Hint: "raise requires to the first release that defines it",
		})
	}
	if len(silent) > 0 {
		out = append(out, Problem{Line: line, Msg: fmt.Sprintf("%s has no materializer in %s: it would change nothing there", name, strings.Join(silent, ", "))})
	}
	return out
}

// lintTwice finds a materializer that fails when the row is already there: a client that made the same row meanwhile
// would never start again.
func lintTwice(d Definition, name string, line int, r *schema.Release) (out []Problem) {
	in := planner.Input{To: r, Profile: planner.ProfileReplay, Now: time.Unix(0, 0)}
	in.Facts.Backfills = []planner.Backfill{{Migration: d.Name, Event: name}}
	for _, f := range planner.Check(in).Findings {
		if f.Code == "MT102" && f.Event == name {
			out = append(out, Problem{Line: line, Code: string(f.Code), Msg: fmt.Sprintf("%s in release %s: %s", name, r.Version, f.Message), Hint: f.Fix})
		}
	}
	return out
}

func lintKey(e Emit, newest *schema.Release) (out []Problem) {
	wire, err := wireStruct(newest, e.Event)
	if err != nil {
		if _, ok := newest.Event(e.Event); ok {
			out = append(out, Problem{Line: e.Line, Msg: err.Msg, Hint: err.Hint})
		}
		return out
	}
	for _, k := range e.Key {
		if !slices.ContainsFunc(wire.Fields, func(f schema.Field) bool { return f.Name == k }) {
			out = append(out, Problem{
				Line: e.Line, Msg: fmt.Sprintf("the key %q is no field of %s", k, e.Event),
				Hint: "a key is found again in the log by the event's arguments",
			})
		}
	}
	return out
}

// lintTables finds a query over data that no backend has: client documents are made by events that stay on a client.
func lintTables(sql string, line int, r *schema.Release) (out []Problem) {
	l := lexer{src: sql, line: line}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		name := strings.Trim(t.text, "\"`[]")
		if t.kind != tokenWord && t.kind != tokenName || slices.ContainsFunc(out, func(p Problem) bool { return strings.Contains(p.Msg, " "+name+" ") }) {
			continue
		}
		table, ok := r.Table(name)
		if !ok || !localTable(r, table) {
			continue
		}
		out = append(out, Problem{
			Line: t.line, Msg: fmt.Sprintf("the table %s is made by events that never leave a client: the backend's log has none of its rows", name),
			Hint: "a migration sees what every client sees; move what it needs into a synced event first",
		})
	}
	return out
}

// localTable reports whether only clientOnly events write a table.
func localTable(r *schema.Release, t *schema.Table) bool {
	if t.ClientDocument {
		return true
	}
	writers, local := 0, 0
	for _, m := range r.Materializers {
		if !slices.ContainsFunc(m.Operations, func(o schema.Operation) bool { return slices.Contains(o.Tables, t.Name) }) {
			continue
		}
		writers++
		if e, ok := r.Event(m.Event); ok && e.ClientOnly {
			local++
		}
	}
	return writers > 0 && writers == local
}
