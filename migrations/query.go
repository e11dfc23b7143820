package migrations

import (
	"errors"
	"strings"

	"headgate/internal/errs"
	"headgate/internal/livestore/replay"
)

// query asks the state with a text that begins on a line of the definition's file. An error of SQLite has the line of what
// it is about.
func (s *session) query(sql string, line int, row func(columns []string, values []any) error) error {
	err := s.live.Query(sql, row)
	var refused *replay.QueryError
	if !errors.As(err, &refused) {
		return err
	}
	at := line + strings.Count(sql[:offsetOf(sql, refused)], "\n")
	return errs.Invalidf("%s", refused.Error()).At("%s:%d", s.Definition.Path, at)
}

// offsetOf is the byte of the query that an error is about, 0 where that can't be told. SQLite says it of what it can't
// parse and of columns, not of tables: then it is where the name that ends the message stands first.
func offsetOf(sql string, refused *replay.QueryError) int {
	if refused.Offset >= 0 {
		return min(refused.Offset, len(sql))
	}
	if refused.Msg == "incomplete input" {
		return len(sql)
	}
	_, name, found := strings.Cut(refused.Msg, ": ")
	name = name[strings.LastIndexByte(name, '.')+1:]
	if !found {
		return 0
	}
	for l := (lexer{src: sql}); ; {
		switch t := l.next(); {
		case t.kind == tokenEnd:
			return 0
		case (t.kind == tokenWord || t.kind == tokenName) && strings.EqualFold(strings.Trim(t.text, "\"`[]"), name):
			return t.start
		}
	}
}
