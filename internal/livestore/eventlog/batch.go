package eventlog

import (
	"encoding/json"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// maxSeqNum is JavaScript's Number.MAX_SAFE_INTEGER, LiveStore's greatest sequence number.
const maxSeqNum = 1<<53 - 1

// CheckBatch reports the first rule of [Appender.Append] that a batch breaks, as an errs.Invalid error, or an
// errs.Refused one for an event that would make the store unreadable. It looks at nothing but the batch, and quotes
// no payload.
func CheckBatch(batch []livestore.Event) error {
	if len(batch) == 0 || len(batch) > MaxBatchEvents {
		return errs.Invalidf("a batch has 1 to %d events, this one has %d", MaxBatchEvents, len(batch))
	}
	for i, e := range batch {
		if err := checkNumber(e, batch[0].Seq.Global+livestore.SeqNum(i)); err != nil {
			return err
		}
		if err := checkText(e); err != nil {
			return err
		}
		if size := jsonSize(e); size > MaxEventBytes {
			return errs.Refusedf("event %s (%q) has %d bytes as JSON, at most %d can be read again", e.Seq, e.Name, size, MaxEventBytes).
				Hintf("no client could read the store any more: make the event's arguments smaller, or several events of it")
		}
	}
	return nil
}

func checkNumber(e livestore.Event, want livestore.SeqNum) error {
	switch {
	case e.ClientOnly():
		return errs.Invalidf("event %s is a clientOnly event, those never leave their client", e.Seq)
	case e.Seq != livestore.ClientSeq{Global: want}:
		return errs.Invalidf("event %s stands where e%d must be: a batch is numbered without gaps", e.Seq, want)
	case e.Parent != livestore.ClientSeq{Global: want - 1}:
		return errs.Invalidf("event %s names %s as its parent, the event before it is e%d", e.Seq, e.Parent, want-1)
	case want < 1 || want > maxSeqNum:
		return errs.Invalidf("event %s: a synced event's number is 1 to 2^53-1", e.Seq)
	}
	return nil
}

func checkText(e livestore.Event) error {
	switch {
	case !utf8.ValidString(e.Name):
		return errs.Invalidf("event %s: its name is not UTF-8", e.Seq)
	case !utf8.ValidString(e.ClientID):
		return errs.Invalidf("event %s (%q): its clientId is not UTF-8", e.Seq, e.Name)
	case !utf8.ValidString(e.SessionID):
		return errs.Invalidf("event %s (%q): its sessionId is not UTF-8", e.Seq, e.Name)
	case len(e.Args) == 0:
		return errs.Invalidf("event %s (%q): it has no arguments, not even null", e.Seq, e.Name)
	case !utf8.Valid(e.Args) || !json.Valid(e.Args):
		return errs.Invalidf("event %s (%q): its arguments are not JSON in UTF-8", e.Seq, e.Name)
	}
	return nil
}

// jsonSize is how many bytes an event has when JavaScript writes it, or a few more: JSON.stringify leaves out spaces,
// escapes less than encoding/json does, and may write a number with an exponent in full.
func jsonSize(e livestore.Event) int {
	n := len(`{"name":,"args":,"seqNum":,"parentSeqNum":,"clientId":,"sessionId":}`)
	n += quotedSize(e.Name) + quotedSize(e.ClientID) + quotedSize(e.SessionID)
	return n + digits(e.Seq.Global) + digits(e.Parent.Global) + argsSize(e.Args)
}

// longestNumber is the most that JavaScript writes for one.
const longestNumber = len("-1.2345678901234567e+100")

// argsSize counts valid JSON without the spaces between its tokens.
func argsSize(args []byte) int {
	n := 0
	for i := 0; i < len(args); {
		switch c := args[i]; {
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			i++
		case c == '"':
			end := i + 1
			for ; args[end] != '"'; end++ {
				if args[end] == '\\' {
					end++
				}
			}
			n += end + 1 - i
			i = end + 1
		case c == '-' || c >= '0' && c <= '9':
			end, exponent := i, false
			for ; end < len(args) && partOfNumber(args[end]); end++ {
				exponent = exponent || args[end] == 'e' || args[end] == 'E'
			}
			if exponent {
				n += max(end-i, longestNumber)
			} else {
				n += end - i
			}
			i = end
		default:
			n++
			i++
		}
	}
	return n
}

func partOfNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// quotedSize is how long JSON.stringify writes a string.
func quotedSize(s string) int {
	n := len(`""`) + len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t':
			n++
		case c < ' ':
			n += len(`\u0001`) - 1
		}
	}
	return n
}

func digits(n livestore.SeqNum) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
