package eventlog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"headgate/internal/livestore"
)

// A Digest sums up events: two logs with equal events have equal sums, wherever they lie. What a backend does to arguments
// on their way through JavaScript or JSONB changes nothing: see [CanonicalArgs]. Times, schema hashes, rebase generations and
// whether an event is confirmed do not count; clientOnly events are for the caller to leave out.
//
// The sum is the SHA-256 over one line for each event: {"name":…,"args":…,"seqNum":…,"parentSeqNum":…,"clientId":…,
// "sessionId":…} with the arguments in canonical form, strings as JSON.stringify writes them, and a newline.
type Digest struct {
	hash   hash.Hash
	events int64
	line   []byte
}

// NewDigest returns the digest of no events.
func NewDigest() *Digest { return &Digest{hash: sha256.New()} }

// Add adds the next event. Its arguments must be valid JSON.
func (d *Digest) Add(e livestore.Event) {
	b := append(d.line[:0], `{"name":`...)
	b = AppendText(b, e.Name)
	b = append(b, `,"args":`...)
	b = appendCanonical(b, e.Args)
	b = append(b, `,"seqNum":`...)
	b = strconv.AppendInt(b, int64(e.Seq.Global), 10)
	b = append(b, `,"parentSeqNum":`...)
	b = strconv.AppendInt(b, int64(e.Parent.Global), 10)
	b = append(b, `,"clientId":`...)
	b = AppendText(b, e.ClientID)
	b = append(b, `,"sessionId":`...)
	b = AppendText(b, e.SessionID)
	b = append(b, "}\n"...)
	d.line = b
	d.hash.Write(b)
	d.events++
}

// Events is how many were added.
func (d *Digest) Events() int64 { return d.events }

// Sum is "sha256-<hex>" of what was added.
func (d *Digest) Sum() string { return "sha256-" + hex.EncodeToString(d.hash.Sum(nil)) }

// ArgsDigest is "sha256-<hex>" of the canonical form of an event's arguments, which must be valid JSON.
func ArgsDigest(args json.RawMessage) string {
	sum := sha256.Sum256(CanonicalArgs(args))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// SameEvent reports whether two events are the same one, as a client recognises its own: by number, parent, name, client,
// session and arguments.
func SameEvent(a, b livestore.Event) bool {
	return a.Seq.Compare(b.Seq) == 0 && a.Parent.Compare(b.Parent) == 0 && a.Name == b.Name && a.ClientID == b.ClientID &&
		a.SessionID == b.SessionID && (bytes.Equal(a.Args, b.Args) || bytes.Equal(CanonicalArgs(a.Args), CanonicalArgs(b.Args)))
}

// CanonicalArgs is the one form of all JSON texts that JavaScript takes for the same value: without spaces, keys sorted by
// their bytes and of equal ones the last, numbers as doubles, only what must be escaped in strings. The text must be valid JSON.
func CanonicalArgs(args json.RawMessage) []byte { return appendCanonical(nil, args) }

func appendCanonical(b []byte, text []byte) []byte {
	c := canonical{in: text}
	return c.value(b)
}

// canonical rewrites valid JSON.
type canonical struct {
	in []byte
	at int
}

func (c *canonical) space() {
	for c.at < len(c.in) && (c.in[c.at] == ' ' || c.in[c.at] == '\n' || c.in[c.at] == '\t' || c.in[c.at] == '\r') {
		c.at++
	}
}

// more skips to the next element of an array or object that began, and reports whether there is one.
func (c *canonical) more(end byte) bool {
	c.space()
	if c.in[c.at] == end {
		c.at++
		return false
	}
	if c.in[c.at] == ',' {
		c.at++
		c.space()
	}
	return true
}

func (c *canonical) value(b []byte) []byte {
	c.space()
	switch c.in[c.at] {
	case '{':
		return c.object(b)
	case '[':
		c.at++
		b = append(b, '[')
		for first := true; c.more(']'); first = false {
			if !first {
				b = append(b, ',')
			}
			b = c.value(b)
		}
		return append(b, ']')
	case '"':
		return c.text(b)
	case 't', 'n':
		c.at += len("true")
		return append(b, c.in[c.at-len("true"):c.at]...)
	case 'f':
		c.at += len("false")
		return append(b, "false"...)
	default:
		return c.number(b)
	}
}

func (c *canonical) object(b []byte) []byte {
	type member struct{ key, value []byte }
	var members []member
	c.at++
	for c.more('}') {
		key := c.text(nil)
		c.space()
		c.at++ // the colon
		members = append(members, member{key, c.value(nil)})
	}
	inner := func(m member) []byte { return m.key[1 : len(m.key)-1] } // without the quotes
	slices.SortStableFunc(members, func(x, y member) int { return bytes.Compare(inner(x), inner(y)) })
	b = append(b, '{')
	first := true
	for i, m := range members {
		if i+1 < len(members) && bytes.Equal(m.key, members[i+1].key) { // the last one counts
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(append(b, m.key...), ':'), m.value...)
	}
	return append(b, '}')
}

// number writes a number as JSON.stringify does: a double, and null for what is beyond all doubles.
func (c *canonical) number(b []byte) []byte {
	start := c.at
	for c.at < len(c.in) && partOfNumber(c.in[c.at]) {
		c.at++
	}
	f, err := strconv.ParseFloat(string(c.in[start:c.at]), 64)
	switch size := math.Abs(f); {
	case err != nil || math.IsInf(f, 0):
		return append(b, "null"...)
	case f == 0: // -0 too
		return append(b, '0')
	case size < 1e-6 || size >= 1e21:
		b = strconv.AppendFloat(b, f, 'e', -1, 64)
		if n := len(b); b[n-4] == 'e' && b[n-2] == '0' { // 1e-07
			b = append(b[:n-2], b[n-1])
		}
		return b
	default:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
}

// text rewrites a string.
func (c *canonical) text(b []byte) []byte {
	c.at++ // the quote
	b = append(b, '"')
	for {
		switch x := c.in[c.at]; x {
		case '"':
			c.at++
			return append(b, '"')
		case '\\':
			b = c.escape(b)
		default:
			b = append(b, x)
			c.at++
		}
	}
}

func (c *canonical) escape(b []byte) []byte {
	x := c.in[c.at+1]
	c.at += 2
	switch x {
	case 'u':
		unit := c.unit()
		if next := c.at; utf16.IsSurrogate(unit) && next+1 < len(c.in) && c.in[next] == '\\' && c.in[next+1] == 'u' {
			c.at += 2
			if r := utf16.DecodeRune(unit, c.unit()); r != utf8.RuneError {
				return utf8.AppendRune(b, r)
			}
			c.at = next
		}
		return appendUnit(b, unit)
	case '/':
		return append(b, '/')
	default: // " \ b f n r t stay
		return append(b, '\\', x)
	}
}

// unit reads four hexadecimal digits.
func (c *canonical) unit() rune {
	n, _ := strconv.ParseUint(string(c.in[c.at:c.at+4]), 16, 16) // it is valid JSON
	c.at += 4
	return rune(n)
}

// appendUnit writes a UTF-16 unit that is no half of a pair.
func appendUnit(b []byte, unit rune) []byte {
	if utf16.IsSurrogate(unit) {
		return append(b, `\u`+strconv.FormatUint(uint64(unit), 16)...)
	}
	if unit < utf8.RuneSelf {
		return appendEscaped(b, byte(unit))
	}
	return utf8.AppendRune(b, unit)
}

// AppendText appends s quoted as JSON.stringify does; encoding/json escapes more.
func AppendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		b = appendEscaped(b, s[i])
	}
	return append(b, '"')
}

// appendEscaped writes a byte of a string, escaped where it must be.
func appendEscaped(b []byte, x byte) []byte {
	const hex = "0123456789abcdef"
	switch x {
	case '"', '\\':
		return append(b, '\\', x)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if x < ' ' {
		return append(b, '\\', 'u', '0', '0', hex[x>>4], hex[x&15])
	}
	return append(b, x)
}
