package dumplog

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// members calls member with each key and value of a JSON object that is known to be valid, in order. It exists
// because encoding/json matches keys without regard to case, which LiveStore does not.
func members(object []byte, member func(key string, value []byte)) {
	i := 1 // past the brace
	for {
		i = skipSpace(object, i)
		if object[i] == '}' {
			return
		}
		if object[i] == ',' {
			i = skipSpace(object, i+1)
		}
		end := skipValue(object, i)
		key := unquote(object[i:end])
		i = skipSpace(object, end) // at the colon
		i = skipSpace(object, i+1)
		end = skipValue(object, i)
		member(key, object[i:end])
		i = end
	}
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r' {
		i++
	}
	return i
}

// skipValue returns the end of the valid JSON value that begins at i.
func skipValue(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		default:
			if depth > 0 {
				continue
			}
			for i < len(b) && bytes.IndexByte([]byte(" \n\t\r,:]}"), b[i]) < 0 {
				i++
			}
			return i
		}
	}
	return i
}

func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is a valid string
	return s
}

// maxSafe is JavaScript's Number.MAX_SAFE_INTEGER, LiveStore's greatest sequence number.
const maxSafe = 1<<53 - 1

// event reads one element of $.events: valid JSON. On an error the event holds what could be read but no Args,
// and field says which of its members is wrong, "" for the event itself.
func event(raw []byte) (e livestore.Event, field string, err *errs.Error) {
	if raw[0] != '{' {
		return e, "", errs.Invalidf("an event is %s, an object is wanted", kindOf(raw))
	}
	var values struct{ name, args, seq, parent, client, session []byte }
	members(raw, func(key string, value []byte) { // of two equal keys the last wins, as in JavaScript
		switch key {
		case "name":
			values.name = value
		case "args":
			values.args = value
		case "seqNum":
			values.seq = value
		case "parentSeqNum":
			values.parent = value
		case "clientId":
			values.client = value
		case "sessionId":
			values.session = value
		}
	})
	fail := func(name string, bad *errs.Error) {
		if bad != nil && err == nil {
			field, err = name, bad
		}
	}
	var bad *errs.Error
	e.Seq.Global, bad = seqNum(values.seq)
	fail("seqNum", bad)
	e.Parent.Global, bad = seqNum(values.parent)
	fail("parentSeqNum", bad)
	e.Name, bad = text(values.name)
	fail("name", bad)
	e.ClientID, bad = text(values.client)
	fail("clientId", bad)
	e.SessionID, bad = text(values.session)
	fail("sessionId", bad)
	if err != nil {
		return e, field, err
	}
	e.Args = json.RawMessage("null")
	if values.args != nil {
		var compact bytes.Buffer
		compact.Grow(len(values.args))
		_ = json.Compact(&compact, values.args) // it is valid
		e.Args = compact.Bytes()
	}
	return e, "", nil
}

func seqNum(value []byte) (livestore.SeqNum, *errs.Error) {
	if value == nil {
		return 0, errs.Invalidf("it is missing")
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil { // 1.0 and 1e3 are integers to JavaScript
		f, err := strconv.ParseFloat(string(value), 64)
		if err != nil || f != math.Trunc(f) || math.Abs(f) > maxSafe {
			return 0, errs.Invalidf("an integer of at most 2^53-1 is wanted, this is %s", kindOf(value))
		}
		n = int64(f)
	}
	if n > maxSafe || n < -maxSafe {
		return 0, errs.Invalidf("a sequence number is at most 2^53-1")
	}
	return livestore.SeqNum(n), nil
}

func text(value []byte) (string, *errs.Error) {
	switch {
	case value == nil:
		return "", errs.Invalidf("it is missing")
	case value[0] != '"':
		return "", errs.Invalidf("a string is wanted, this is %s", kindOf(value))
	}
	return unquote(value), nil
}

// kindOf names the kind of a valid JSON value, for messages, which never quote values.
func kindOf(value []byte) string {
	switch value[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
