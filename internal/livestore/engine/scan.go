package engine

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A scanner reads the driver's JSON in the forms that are exchanged for every event, where encoding/json would
// cost more than SQLite. It only has to understand what JSON.stringify writes.
type scanner struct {
	s string
	i int
}

// next returns the byte at hand, 0 at the end.
func (s *scanner) next() byte {
	if s.i < len(s.s) {
		return s.s[s.i]
	}
	return 0
}

// accept goes past c if it is at hand.
func (s *scanner) accept(c byte) bool {
	if s.next() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) expect(text string) error {
	if !strings.HasPrefix(s.s[s.i:], text) {
		return s.bad(strconv.Quote(text))
	}
	s.i += len(text)
	return nil
}

// bad says what was wanted where; it quotes nothing, since the text is payload.
func (s *scanner) bad(wanted string) error {
	return fmt.Errorf("the driver's answer is not as expected at byte %d of %d: wanted %s", s.i, len(s.s), wanted)
}

func (s *scanner) number() string {
	start := s.i
	for s.i < len(s.s) {
		if c := s.s[s.i]; (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.i++
	}
	return s.s[start:s.i]
}

func (s *scanner) int() (int, error) {
	n, err := strconv.Atoi(s.number())
	if err != nil {
		return 0, s.bad("a whole number")
	}
	return n, nil
}

func (s *scanner) string() (string, error) {
	if !s.accept('"') {
		return "", s.bad("a string")
	}
	start := s.i
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			s.i++
			return s.s[start : s.i-1], nil
		case '\\':
			return s.escaped(start)
		}
		s.i++
	}
	return "", s.bad("the end of a string")
}

// escaped reads a string that has an escape at hand. A lone surrogate becomes U+FFFD, as in LiveStore's binding.
func (s *scanner) escaped(start int) (string, error) {
	for s.i < len(s.s) {
		switch s.s[s.i] {
		case '"':
			s.i++
			var out string
			err := json.Unmarshal([]byte(s.s[start-1:s.i]), &out)
			return out, err
		case '\\':
			s.i++
		}
		s.i++
	}
	return "", s.bad("the end of a string")
}

// value reads what the driver's toWire wrote.
func (s *scanner) value() (any, error) {
	switch s.next() {
	case 'n':
		return nil, s.expect("null")
	case '"':
		return s.string()
	case '{':
		return s.special()
	}
	f, err := strconv.ParseFloat(s.number(), 64)
	if err != nil {
		return nil, s.bad("a value")
	}
	return f, nil
}

func (s *scanner) special() (any, error) {
	if err := s.expect(`{"$":`); err != nil {
		return nil, err
	}
	kind, err := s.string()
	if err != nil {
		return nil, err
	}
	if err := s.expect(`,"v":`); err != nil {
		return nil, err
	}
	text, err := s.string()
	if err != nil {
		return nil, err
	}
	if err := s.expect("}"); err != nil {
		return nil, err
	}
	switch kind {
	case "blob":
		return base64.StdEncoding.DecodeString(text)
	case "int":
		return strconv.ParseInt(text, 10, 64)
	case "inf":
		if text == "-" {
			return math.Inf(-1), nil
		}
		return math.Inf(1), nil
	}
	return nil, s.bad("a kind of value")
}

// binds reads an array, an object or null into b, whose memory it uses again.
func (s *scanner) binds(b *Binds) error {
	b.list, b.named = b.list[:0], nil
	switch {
	case s.accept('['):
		if s.accept(']') {
			return nil
		}
		for {
			v, err := s.value()
			if err != nil {
				return err
			}
			b.list = append(b.list, v)
			if !s.accept(',') {
				return s.expect("]")
			}
		}
	case s.accept('{'):
		b.named = map[string]any{}
		if s.accept('}') {
			return nil
		}
		for {
			key, err := s.string()
			if err != nil {
				return err
			}
			if err := s.expect(":"); err != nil {
				return err
			}
			if b.named[key], err = s.value(); err != nil {
				return err
			}
			if !s.accept(',') {
				return s.expect("}")
			}
		}
	}
	return s.expect("null")
}
