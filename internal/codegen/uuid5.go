package codegen

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A badQuery says what a client's SQLite can't do of a query. line counts from 0.
type badQuery struct {
	line      int
	msg, hint string
}

const uuidHint = "a client's SQLite has no uuid5(): the app makes the id of a result column, as in SELECT uuid5(list) AS id, … " +
	"Otherwise leave the migration to headgate migration up"

// clientQuery returns a query as a client can run it: where it has a result column uuid5(expr) AS name, it selects the
// name that the id is made of, and uuids has the column. uuid5 anywhere else, and any use of such a column within the
// query, would be something else on the client than in headgate.
func clientQuery(sql string) (text string, uuids []string, bad *badQuery) {
	tokens := sqlTokens(sql)
	calls := func(from, to int) (at []int) {
		for i := from; i < to; i++ {
			if tokens[i].name() == "uuid5" && i+1 < len(tokens) && tokens[i+1].text == "(" {
				at = append(at, i)
			}
		}
		return at
	}
	all := calls(0, len(tokens))
	if len(all) == 0 {
		return sql, nil, nil
	}
	refuse := func(i int, format string, args ...any) (string, []string, *badQuery) {
		return "", nil, &badQuery{line: tokens[i].line, msg: fmt.Sprintf(format, args...), hint: uuidHint}
	}
	var selects []int
	for i, t := range tokens {
		if t.depth == 0 && (t.word("SELECT") || t.word("VALUES")) {
			selects = append(selects, i)
		}
	}
	if len(selects) != 1 || !tokens[selects[0]].word("SELECT") {
		return refuse(all[0], "uuid5() in a query of several parts")
	}
	items, end := resultColumns(tokens, selects[0]+1)
	var b strings.Builder
	copied, handled := 0, 0
	for _, item := range items {
		at := calls(item[0], item[1])
		if len(at) == 0 {
			continue
		}
		name, last := "", closing(tokens, item[0]+1)
		switch rest := tokens[min(last+1, item[1]):item[1]]; {
		case len(at) > 1 || at[0] != item[0] || last < 0 || slices.ContainsFunc(tokens[item[0]+2:last], func(t sqlToken) bool { return t.depth == 1 && t.text == "," }):
			return refuse(at[0], "uuid5() inside of an expression")
		case len(rest) == 2 && rest[0].word("AS"):
			name = rest[1].name()
		case len(rest) == 1:
			name = rest[0].name()
		}
		if name == "" {
			return refuse(at[0], "uuid5() without a name for its column")
		}
		b.WriteString(sql[copied:tokens[item[0]].start] + "CAST(" + sql[tokens[item[0]+1].start:tokens[last].end] + " AS TEXT)")
		copied = tokens[last].end
		handled++
		uuids = append(uuids, tokens[item[1]-1].plain())
	}
	if handled < len(all) {
		i := slices.IndexFunc(all, func(i int) bool { return i < selects[0] || i >= end })
		return refuse(all[max(i, 0)], "uuid5() outside of the result columns")
	}
	if i := usesColumn(tokens, end, uuids); i >= 0 {
		return refuse(i, "the query uses its own column %s, which is no id yet inside of it (write table.column if another one is meant)", tokens[i].text)
	}
	return b.String() + sql[copied:], uuids, nil
}

// resultColumns splits the tokens after SELECT at their commas; end is the first one that is no result column.
func resultColumns(tokens []sqlToken, from int) (items [][2]int, end int) {
	if from < len(tokens) && (tokens[from].word("DISTINCT") || tokens[from].word("ALL")) {
		from++
	}
	start := from
	for end = from; end < len(tokens); end++ {
		t := tokens[end]
		if t.depth > 0 {
			continue
		}
		if slices.ContainsFunc([]string{"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT"}, t.word) {
			break
		}
		if t.text == "," {
			items = append(items, [2]int{start, end})
			start = end + 1
		}
	}
	return append(items, [2]int{start, end}), end
}

// usesColumn finds a mention of a column of the result after its list: its name alone, or its place in ORDER BY or
// GROUP BY.
func usesColumn(tokens []sqlToken, from int, columns []string) int {
	clause := ""
	for i := from; i < len(tokens); i++ {
		t, before := tokens[i], tokens[i-1]
		if t.depth == 0 && slices.ContainsFunc([]string{"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT"}, t.word) {
			clause = strings.ToUpper(t.text)
		}
		if t.depth == 0 && t.kind == 'n' && (clause == "ORDER" || clause == "GROUP") && (before.word("BY") || before.text == ",") {
			return i
		}
		qualified := before.text == "." || before.word("AS") || i+1 < len(tokens) && (tokens[i+1].text == "." || tokens[i+1].text == "(")
		if t.name() != "" && !qualified && slices.ContainsFunc(columns, func(c string) bool { return strings.EqualFold(c, t.plain()) }) {
			return i
		}
	}
	return -1
}

// closing is the place of the parenthesis that closes the one at open, -1 for none.
func closing(tokens []sqlToken, open int) int {
	for i := open + 1; i < len(tokens); i++ {
		if tokens[i].text == ")" && tokens[i].depth == tokens[open].depth {
			return i
		}
	}
	return -1
}

// A sqlToken is a piece of a query. depth counts the parentheses around it; a parenthesis has the depth outside of it.
type sqlToken struct {
	kind       byte // 'w' word, 'q' quoted name, 't' text literal, 'n' number, 's' sign
	text       string
	start, end int
	line       int // from 0
	depth      int
}

func (t sqlToken) word(s string) bool { return t.kind == 'w' && strings.EqualFold(t.text, s) }

// plain is a name without its quotes.
func (t sqlToken) plain() string {
	if t.kind != 'q' || len(t.text) < 2 {
		return t.text
	}
	quote := t.text[len(t.text)-1:]
	return strings.ReplaceAll(t.text[1:len(t.text)-1], quote+quote, quote)
}

// name is a name in lower case, empty for what is none.
func (t sqlToken) name() string {
	if t.kind != 'w' && t.kind != 'q' {
		return ""
	}
	return strings.ToLower(t.plain())
}

// sqlTokens splits a query as SQLite's tokenizer does, without its comments. What has no end goes to the end.
func sqlTokens(sql string) (tokens []sqlToken) {
	depth, line := 0, 0
	for i := 0; i < len(sql); {
		kind, n := sqlToken1(sql[i:])
		text := sql[i : i+n]
		if kind != 0 {
			if text == ")" && depth > 0 {
				depth--
			}
			tokens = append(tokens, sqlToken{kind: kind, text: text, start: i, end: i + n, line: line, depth: depth})
			if text == "(" {
				depth++
			}
		}
		line += strings.Count(text, "\n")
		i += n
	}
	return tokens
}

// sqlToken1 is the kind and the length of what a query begins with; 0 for blanks and comments.
func sqlToken1(s string) (kind byte, n int) {
	until := func(skip int, end string) int {
		if i := strings.Index(s[skip:], end); i >= 0 {
			return skip + i + len(end)
		}
		return len(s)
	}
	switch c := s[0]; {
	case strings.HasPrefix(s, "--"):
		return 0, until(2, "\n")
	case strings.HasPrefix(s, "/*"):
		return 0, until(2, "*/")
	case c == '\'':
		return 't', quoted(s, c)
	case c == '"' || c == '`':
		return 'q', quoted(s, c)
	case c == '[':
		return 'q', until(1, "]")
	case '0' <= c && c <= '9':
		return 'n', run(s, func(c byte) bool { return isNameByte(c) || c == '.' })
	case isNameByte(c):
		return 'w', run(s, isNameByte)
	case c <= ' ':
		return 0, run(s, func(c byte) bool { return c <= ' ' })
	}
	_, n = utf8.DecodeRuneInString(s)
	return 's', n
}

// quoted is the length of a literal whose quote is doubled inside of it.
func quoted(s string, quote byte) int {
	for i := 1; i < len(s); i++ {
		if s[i] != quote {
			continue
		}
		if i+1 == len(s) || s[i+1] != quote {
			return i + 1
		}
		i++
	}
	return len(s)
}

func run(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func isNameByte(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' || c >= utf8.RuneSelf
}
