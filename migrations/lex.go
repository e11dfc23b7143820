package migrations

import (
	"strings"
	"unicode/utf8"
)

// A tokenKind says what a piece of a migration file is.
type tokenKind int

const (
	tokenEnd     tokenKind = iota
	tokenComment           // -- to the end of the line, or /* … */
	tokenWord              // a keyword or a bare name
	tokenName              // a quoted name
	tokenText              // a string literal
	tokenNumber
	tokenParam // ?, ?1, :name, @name, $name
	tokenSign  // everything else, one character each
	tokenOpen  // a literal, a quoted name or a comment that has no end
)

// A token is a piece of a migration file with its place.
type token struct {
	kind       tokenKind
	text       string // as written
	start, end int    // bytes
	line       int    // from 1, where it begins
}

// is reports whether the token is the sign, or the word in any case.
func (t token) is(s string) bool {
	return t.kind == tokenSign && t.text == s || t.kind == tokenWord && strings.EqualFold(t.text, s)
}

// A lexer reads a migration file as SQLite's tokenizer does, so that a semicolon or a directive inside of a literal is
// none.
type lexer struct {
	src  string
	pos  int
	line int
}

func (l *lexer) next() token {
	for l.pos < len(l.src) {
		c := l.src[l.pos]
		if c != ' ' && c != '\t' && c != '\r' && c != '\f' && c != '\n' {
			break
		}
		l.take(1)
	}
	start, line := l.pos, l.line
	kind := l.scan()
	return token{kind: kind, text: l.src[start:l.pos], start: start, end: l.pos, line: line}
}

func (l *lexer) take(n int) {
	l.line += strings.Count(l.src[l.pos:l.pos+n], "\n")
	l.pos += n
}

func (l *lexer) scan() tokenKind {
	rest := l.src[l.pos:]
	switch {
	case rest == "":
		return tokenEnd
	case strings.HasPrefix(rest, "--"):
		n := strings.IndexByte(rest, '\n')
		if n < 0 {
			n = len(rest)
		}
		l.take(n)
		return tokenComment
	case strings.HasPrefix(rest, "/*"):
		return l.until(2, "*/", tokenComment)
	}
	switch c := rest[0]; {
	case c == '\'':
		return l.quoted('\'', tokenText)
	case c == '"' || c == '`':
		return l.quoted(c, tokenName)
	case c == '[':
		return l.until(1, "]", tokenName)
	case (c == 'x' || c == 'X') && len(rest) > 1 && rest[1] == '\'':
		l.take(1)
		return l.quoted('\'', tokenText)
	case isWord(c) && !isDigit(c):
		l.run(isWord)
		return tokenWord
	case isDigit(c) || c == '.' && len(rest) > 1 && isDigit(rest[1]):
		l.number()
		return tokenNumber
	case c == '?' || (c == ':' || c == '@' || c == '$') && len(rest) > 1 && isWord(rest[1]):
		l.take(1)
		l.run(isWord)
		return tokenParam
	}
	_, size := utf8.DecodeRuneInString(rest)
	l.take(size)
	return tokenSign
}

func (l *lexer) run(in func(byte) bool) {
	n := 0
	for l.pos+n < len(l.src) && in(l.src[l.pos+n]) {
		n++
	}
	l.take(n)
}

func (l *lexer) number() {
	l.run(func(c byte) bool { return isWord(c) || c == '.' })
	if last := l.src[l.pos-1] | 0x20; last == 'e' && l.pos < len(l.src) && (l.src[l.pos] == '+' || l.src[l.pos] == '-') {
		l.take(1)
		l.run(isDigit)
	}
}

// quoted goes past a literal whose quote is doubled inside of it.
func (l *lexer) quoted(quote byte, kind tokenKind) tokenKind {
	for i := l.pos + 1; i < len(l.src); i++ {
		if l.src[i] != quote {
			continue
		}
		if i+1 < len(l.src) && l.src[i+1] == quote {
			i++
			continue
		}
		l.take(i + 1 - l.pos)
		return kind
	}
	l.take(len(l.src) - l.pos)
	return tokenOpen
}

func (l *lexer) until(skip int, end string, kind tokenKind) tokenKind {
	n := strings.Index(l.src[l.pos+skip:], end)
	if n < 0 {
		l.take(len(l.src) - l.pos)
		return tokenOpen
	}
	l.take(skip + n + len(end))
	return kind
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isWord reports whether SQLite takes the byte into a bare name.
func isWord(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '$' || c >= utf8.RuneSelf
}
