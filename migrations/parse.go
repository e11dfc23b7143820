package migrations

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/go-version"

	"headgate/internal/errs"
)

// Parse reads a migration in SQL. path names it in errors and gives the migration its number and name. Every error has
// a line. No other file is opened: inputs stay unread, so that a definition that has some can't run.
func Parse(path string, data []byte) (Definition, error) {
	number, name, err := named(path)
	if err != nil {
		return Definition{}, err
	}
	if filepath.Ext(path) != ".sql" {
		return Definition{}, errs.Invalidf("the migration is not in SQL").At("%s", path)
	}
	p := &parser{
		path: path, lex: lexer{src: string(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), line: 1},
		def: Definition{
			Number: number, Name: name, Path: path, Checksum: checksum(data),
			Emits: []Emit{}, Asserts: []Assert{},
		},
	}
	switch {
	case len(data) > MaxFileBytes:
		return Definition{}, errs.Invalidf("a migration has at most 1 MB, this file has %d bytes", len(data)).At("%s", path)
	case !utf8.Valid(data):
		return Definition{}, errs.Invalidf("the file is not UTF-8").At("%s", path)
	case bytes.IndexByte(data, 0) >= 0:
		return Definition{}, errs.Invalidf("the file holds a zero byte").At("%s", path)
	}
	if err := p.file(); err != nil {
		return Definition{}, err
	}
	return p.def, nil
}

// A parser goes through a migration file: directives in comments, and the statements that they are about.
type parser struct {
	path string
	lex  lexer
	def  Definition
	up   bool

	params bool // admitted in queries: a module gives them their values

	emit   *Emit   // waits for its query
	assert *Assert // waits for its query
	block  int     // line of a StatementBegin without an end
}

func (p *parser) bad(line int, format string, args ...any) *errs.Error {
	return errs.Invalidf(format, args...).At("%s:%d", p.path, line)
}

func (p *parser) file() error {
	for {
		t := p.lex.next()
		var err error
		switch t.kind {
		case tokenEnd:
			return p.end()
		case tokenOpen:
			return p.bad(t.line, "what begins here has no end: a quote or a comment is not closed")
		case tokenComment:
			err = p.comment(t)
		default:
			if t.is(";") {
				continue
			}
			err = p.statement(t)
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) end() error {
	switch {
	case p.emit != nil:
		return p.bad(p.emit.Line, "emit %s has no query", p.emit.Event).Hintf("write a SELECT after it, ended by a semicolon")
	case p.assert != nil:
		return p.bad(p.assert.Line, "the assert has no query").Hintf("-- headgate: assert 'what should hold' SELECT count(*) = 0 FROM …;")
	case p.block > 0:
		return p.bad(p.block, "StatementBegin has no StatementEnd")
	case !p.up:
		return p.bad(1, "there is no `-- +goose Up`").Hintf("the queries come after it")
	case len(p.def.Emits) == 0:
		return p.bad(1, "the migration emits nothing").Hintf("-- headgate: emit EVENT key COLUMN, and a SELECT after it")
	case slices.ContainsFunc(p.def.Emits, func(e Emit) bool { return e.Event == p.def.Marker }):
		return p.bad(p.def.MarkerLine, "the marker %s is emitted, too", p.def.Marker).
			Hintf("a marker is an event of its own, so that it is told from the migration's others")
	case p.def.Requires == "":
		return p.bad(1, "it is not said which releases the migration is for").
			Hintf("-- headgate: requires >= 1.1.0, the first release that defines and materializes what it emits")
	}
	return nil
}

// directive returns what a comment says to headgate or goose, and which.
func directive(comment string) (tool, text string) {
	text = strings.TrimSpace(strings.TrimPrefix(comment, "--"))
	if s, ok := strings.CutPrefix(text, "+goose"); ok {
		return "goose", strings.TrimSpace(s)
	}
	if len(text) >= 8 && strings.EqualFold(text[:8], "headgate") {
		if s, ok := strings.CutPrefix(strings.TrimSpace(text[8:]), ":"); ok {
			return "headgate", strings.TrimSpace(s)
		}
	}
	return "", ""
}

func (p *parser) comment(t token) error {
	switch tool, text := directive(t.text); tool {
	case "goose":
		return p.goose(t.line, text)
	case "headgate":
		return p.headgate(t.line, text)
	}
	return nil
}

func (p *parser) goose(line int, text string) error {
	switch strings.ToLower(text) {
	case "up":
		if p.up {
			return p.bad(line, "there is a second `+goose Up`")
		}
		p.up = true
	case "down":
		return p.bad(line, "a migration of events has no Down: a committed event can't be un-committed").
			Hintf("remove it; what was done wrong is put right by another migration, whose events say the opposite")
	case "statementbegin":
		p.block = line
	case "statementend":
		if p.block == 0 {
			return p.bad(line, "StatementEnd without StatementBegin")
		}
		p.block = 0
	default:
		return p.bad(line, "`+goose %s` means nothing for a migration of events", text).Hintf("use Up, StatementBegin and StatementEnd")
	}
	return nil
}

// headgate reads a directive. All but emit and assert may be followed by a comment.
func (p *parser) headgate(line int, text string) error {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	if word != "assert" {
		rest, _, _ = strings.Cut(rest, "--")
		rest = strings.TrimSpace(rest)
	}
	once := func(have string) error {
		switch {
		case have != "":
			return p.bad(line, "there is a second %q", word)
		case rest == "":
			return p.bad(line, "%q says nothing", word)
		case p.up:
			return p.bad(line, "%q belongs before `-- +goose Up`", word)
		}
		return nil
	}
	var err error
	switch word {
	case "schema":
		err = once(p.def.Schema)
		p.def.Schema = rest
	case "requires":
		if err = once(p.def.Requires); err == nil {
			p.def.Requires, p.def.RequiresLine = rest, line
			if p.def.constraint, err = version.NewConstraint(rest); err != nil {
				return p.bad(line, "%q is no condition on versions", rest).Hintf("for instance: requires >= 1.1.0, or: requires >= 1.1.0, < 3.0.0")
			}
		}
	case "needed-by":
		if err = once(p.def.Needed); err == nil {
			p.def.Needed = rest
			if p.def.needed, err = version.NewConstraint(rest); err != nil {
				return p.bad(line, "%q is no condition on versions", rest).Hintf("for instance: needed-by >= 1.3.0")
			}
		}
	case "after":
		err = once(strings.Join(p.def.After, " "))
		p.def.After, p.def.AfterLine = strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' }), line
	case "input":
		return p.input(line, rest)
	case "marker":
		err = once(p.def.Marker)
		p.def.Marker, p.def.MarkerLine = rest, line
	case "repeat":
		if rest != "" {
			return p.bad(line, "repeat stands alone")
		}
		p.def.Repeat = true
	case "emit":
		return p.startEmit(line, rest)
	case "assert":
		return p.startAssert(line, rest)
	default:
		return p.bad(line, "unknown directive %q", word).Hintf("there are: schema, requires, needed-by, after, input, marker, repeat, emit, assert")
	}
	return err
}

// free refuses a directive while another one waits for its query.
func (p *parser) free(line int) error {
	switch {
	case p.emit != nil:
		return p.bad(p.emit.Line, "emit %s has no query", p.emit.Event).Hintf("write a SELECT after it, ended by a semicolon")
	case p.assert != nil:
		return p.bad(p.assert.Line, "the assert has no query")
	case !p.up:
		return p.bad(line, "this belongs after `-- +goose Up`")
	}
	return nil
}

func (p *parser) startEmit(line int, text string) error {
	if err := p.free(line); err != nil {
		return err
	}
	f := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	if len(f) < 3 || f[1] != "key" {
		return p.bad(line, "an emit names the event and the columns that tell its events apart").Hintf("-- headgate: emit v1.TodoPrioritySet key id")
	}
	e := Emit{Event: f[0], Key: f[2:], Line: line}
	if i := slices.IndexFunc(p.def.Emits, func(o Emit) bool { return o.Event == e.Event }); i >= 0 {
		return p.bad(line, "%s is emitted already, on line %d", e.Event, p.def.Emits[i].Line).
			Hintf("an event's key says for good which row it came from: one query emits it (UNION ALL joins several)")
	}
	for i, k := range e.Key {
		if slices.Contains(e.Key[:i], k) {
			return p.bad(line, "the key names %q twice", k)
		}
	}
	p.emit = &e
	return nil
}

func (p *parser) startAssert(line int, text string) error {
	if err := p.free(line); err != nil {
		return err
	}
	l := lexer{src: text, line: line}
	label := l.next()
	if label.kind != tokenText {
		return p.bad(line, "an assert begins with what should hold, in quotes").
			Hintf("-- headgate: assert 'no todo without priority' SELECT count(*) = 0 FROM todos WHERE priority IS NULL;")
	}
	p.assert = &Assert{Label: strings.ReplaceAll(strings.Trim(label.text, "'"), "''", "'"), Line: line}
	if i := slices.IndexFunc(p.def.Asserts, func(a Assert) bool { return a.Label == p.assert.Label }); i >= 0 {
		return p.bad(line, "there is an assert %q already, on line %d", p.assert.Label, p.def.Asserts[i].Line)
	}
	first := l.next()
	if first.kind == tokenEnd || first.kind == tokenComment {
		return nil // the query is the statement after it
	}
	sql, err := p.query(&l, first)
	if err != nil {
		return err
	}
	if rest := l.next(); rest.kind != tokenEnd && rest.kind != tokenComment {
		return p.bad(line, "something follows after the assert's semicolon")
	}
	p.take(sql, line)
	return nil
}

// statement reads a query up to its semicolon and gives it to the directive that waits for it.
func (p *parser) statement(first token) error {
	if p.emit == nil && p.assert == nil {
		return p.bad(first.line, "it is not said what this query is for").
			Hintf("a query comes after `-- headgate: emit EVENT key COLUMN` or `-- headgate: assert 'what should hold'`")
	}
	sql, err := p.query(&p.lex, first)
	if err != nil {
		return err
	}
	p.take(sql, first.line)
	return nil
}

func (p *parser) take(sql string, line int) {
	if p.emit != nil {
		p.emit.SQL, p.emit.SQLLine = sql, line
		p.def.Emits = append(p.def.Emits, *p.emit)
		p.emit = nil
		return
	}
	p.assert.SQL, p.assert.SQLLine = sql, line
	p.def.Asserts = append(p.def.Asserts, *p.assert)
	p.assert = nil
}

// query reads one statement that reads, the semicolon included, and returns its text without it.
func (p *parser) query(l *lexer, first token) (string, error) {
	if !first.is("SELECT") && !first.is("WITH") && !first.is("VALUES") {
		return "", p.bad(first.line, "only a query can stand here (SELECT, WITH or VALUES), not %s", strings.ToUpper(clip(first.text))).
			Hintf("a migration changes no table: its events do, through the app's materializers")
	}
	tokens := []token{first}
	for {
		t := l.next()
		switch {
		case t.kind == tokenEnd:
			return "", p.bad(first.line, "the query has no end: a semicolon is missing")
		case t.kind == tokenOpen:
			return "", p.bad(t.line, "what begins here has no end: a quote or a comment is not closed")
		case t.kind == tokenComment:
			if tool, text := directive(t.text); tool != "" {
				return "", p.bad(t.line, "a directive inside of a query: %s", clip(text)).Hintf("the query that begins on line %d lacks its semicolon", first.line)
			}
			continue
		case t.is(";"):
			return l.src[first.start:t.start], p.steady(tokens)
		}
		tokens = append(tokens, t)
	}
}

func clip(s string) string {
	if utf8.RuneCountInString(s) > 30 {
		return string([]rune(s)[:30]) + "…"
	}
	return s
}

// steady refuses what would make a query's rows hang on more than the state, and what could write.
func (p *parser) steady(tokens []token) error {
	for i, t := range tokens {
		call := i+1 < len(tokens) && tokens[i+1].is("(")
		if t.kind == tokenName && call { // "random"() is a call, too
			t.kind, t.text = tokenWord, strings.Trim(t.text, "\"`[]")
		}
		if t.kind == tokenParam && !p.params {
			return p.bad(t.line, "a query has no parameters, but this one has %s", t.text).Hintf("write the value itself")
		}
		if t.kind != tokenWord || i > 0 && tokens[i-1].is(".") {
			continue
		}
		switch w := strings.ToLower(t.text); w {
		case "current_time", "current_date", "current_timestamp":
			return p.changes(t, w)
		case "insert", "update", "delete":
			return p.bad(t.line, "a migration changes no table, but this query has %s", strings.ToUpper(w)).
				Hintf("its events do, through the app's materializers")
		case "random", "randomblob", "changes", "total_changes", "last_insert_rowid", "sqlite_version", "sqlite_source_id", "load_extension":
			if call {
				return p.changes(t, w+"()")
			}
		case "date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff":
			if call {
				if err := p.date(t, w, arguments(tokens[i+2:])); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *parser) changes(t token, what string) error {
	return p.bad(t.line, "the query uses %s, so that it would give other rows each time", what).
		Hintf("a migration gives the same events whenever and wherever it runs: write the value itself, or uuid5(name) for an id")
}

// date refuses a date function that reads the clock or the machine's time zone.
func (p *parser) date(t token, name string, args [][]token) error {
	least := map[string]int{"strftime": 2, "timediff": 2}[name]
	if len(args) < max(1, least) {
		return p.changes(t, fmt.Sprintf("%s() without a time, which is the time now", name))
	}
	for i, arg := range args {
		for _, a := range arg {
			switch strings.ToLower(a.text) {
			case "'now'", `"now"`:
				return p.changes(a, name+"('now')")
			case "'subsec'", "'subsecond'":
				if i <= max(0, least-1) { // in the place of a time it is the time now
					return p.changes(a, name+"("+a.text+")")
				}
			case "'localtime'", "'utc'", `"localtime"`, `"utc"`:
				return p.changes(a, "the machine's time zone ("+a.text+")")
			}
		}
	}
	return nil
}

// arguments splits what follows a call's parenthesis at its commas.
func arguments(tokens []token) (args [][]token) {
	depth, start := 0, 0
	for i, t := range tokens {
		switch {
		case t.is("("):
			depth++
		case t.is(")") && depth == 0:
			if i > start || len(args) > 0 {
				args = append(args, tokens[start:i])
			}
			return args
		case t.is(")"):
			depth--
		case t.is(",") && depth == 0:
			args = append(args, tokens[start:i])
			start = i + 1
		}
	}
	return args
}
