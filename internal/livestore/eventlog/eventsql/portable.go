package eventsql

import (
	"context"
	"regexp"
	"strings"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// jsonToken finds the texts of a JSON document, so that their digits are passed over, and its numbers.
var jsonToken = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`)

// mapReals puts what f gives in the place of the digits, with their point, of each number that has a fraction or an exponent.
func mapReals(doc string, f func(digits string) string) string {
	return jsonToken.ReplaceAllStringFunc(doc, func(token string) string {
		end := strings.IndexAny(token, "eE")
		if end < 0 {
			end = len(token)
		}
		if token[0] == '"' || end == len(token) && !strings.Contains(token, ".") {
			return token
		}
		return f(token[:end]) + token[end:]
	})
}

// significant counts the digits of a number that say something.
func significant(digits string) int {
	return len(strings.TrimLeft(strings.ReplaceAll(strings.TrimPrefix(digits, "-"), ".", ""), "0"))
}

// portable refuses an object that SQLite made of an event where that of another client makes another: before 3.52, JSON
// functions write 15 digits of a number that they computed or took out, and 17 since; and half a surrogate pair, once taken
// out, is no text that JavaScript reads the same everywhere. What an expression leaves as it is in the arguments is neither.
func (x *Expr) portable(ctx context.Context, e livestore.Event, made string) error {
	if !utf8.ValidString(made) {
		return errs.Invalidf("the SQL expression %q takes out a text with half a character at event %s, which not every client reads alike", x.text, e.Seq).
			Hintf("args -> 'title' takes a text as it is")
	}
	// A number that comes out with more digits than SQLite writes was left alone: those of the event get some.
	padded := e
	padded.Args = []byte(mapReals(string(e.Args), func(digits string) string {
		switch {
		case significant(digits) <= 15:
			return digits
		case strings.Contains(digits, "."):
			return digits + "000"
		}
		return digits + ".000"
	}))
	if string(padded.Args) != string(e.Args) {
		raw, err := x.at(ctx, padded)
		if err != nil {
			return err
		}
		if text, ok := raw.(string); ok {
			made = text
		}
	}
	computed := false
	mapReals(made, func(digits string) string {
		if n := significant(digits); n > 15 && n < 18 {
			computed = true
		}
		return digits
	})
	if computed {
		return x.inexact(e)
	}
	return nil
}

func (x *Expr) inexact(e livestore.Event) error {
	return errs.Invalidf("the SQL expression %q writes a number with more than 15 digits at event %s: not every client's SQLite writes them all", x.text, e.Seq).
		Hintf("args -> 'position' takes a number as it is, round(…, 6) makes one that is the same everywhere")
}
