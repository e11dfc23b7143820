package dumplog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"headgate/internal/livestore"
)

// A Writer writes a dump byte for byte as LiveStore's CLI does: JSON.stringify with two spaces, no line end
// after it. It buffers: what was written is complete only after Close.
type Writer struct {
	out     *bufio.Writer
	header  Header
	written int64
	line    []byte
	indent  bytes.Buffer
}

// NewWriter begins a dump. The header's EventCount must be the number of events that will be written.
func NewWriter(w io.Writer, h Header) *Writer {
	d := &Writer{out: bufio.NewWriterSize(w, 1<<16), header: h}
	fmt.Fprintf(d.out, "{\n  \"version\": %d,\n  \"storeId\": %s,\n  \"exportedAt\": %s,\n  \"eventCount\": %d,\n  \"events\": [",
		Version, appendString(nil, string(h.StoreID)), appendString(nil, h.ExportedAt), h.EventCount)
	return d
}

// Write adds an event. Only the global numbers are written: the format has no others.
func (d *Writer) Write(e livestore.Event) error {
	b := d.line[:0]
	if d.written > 0 {
		b = append(b, ',')
	}
	b = append(b, "\n    {\n      \"name\": "...)
	b = appendString(b, e.Name)
	b = append(b, ",\n      \"args\": "...)
	d.indent.Reset()
	if err := json.Indent(&d.indent, e.Args, "      ", "  "); err != nil {
		return fmt.Errorf("event %s: its arguments are not JSON: %w", e.Seq, err)
	}
	b = append(b, d.indent.Bytes()...)
	b = append(b, ",\n      \"seqNum\": "...)
	b = strconv.AppendInt(b, int64(e.Seq.Global), 10)
	b = append(b, ",\n      \"parentSeqNum\": "...)
	b = strconv.AppendInt(b, int64(e.Parent.Global), 10)
	b = append(b, ",\n      \"clientId\": "...)
	b = appendString(b, e.ClientID)
	b = append(b, ",\n      \"sessionId\": "...)
	b = appendString(b, e.SessionID)
	b = append(b, "\n    }"...)
	d.line = b
	d.written++
	_, err := d.out.Write(b)
	return err
}

// Close ends the dump and flushes it; it does not close the writer below.
func (d *Writer) Close() error {
	if d.written != d.header.EventCount {
		return fmt.Errorf("dump: %d events were written, the header says %d", d.written, d.header.EventCount)
	}
	end := "\n  ]\n}"
	if d.written == 0 {
		end = "]\n}"
	}
	if _, err := d.out.WriteString(end); err != nil {
		return err
	}
	return d.out.Flush()
}

// wireSize is the number of bytes of the event's JSON as it travels between client and backend.
func wireSize(e livestore.Event) int {
	const frame = len(`{"name":,"args":,"seqNum":,"parentSeqNum":,"clientId":,"sessionId":}`)
	var scratch [256]byte
	n := frame + len(e.Args)
	for _, s := range []string{e.Name, e.ClientID, e.SessionID} {
		n += len(appendString(scratch[:0], s))
	}
	n += len(strconv.AppendInt(scratch[:0], int64(e.Seq.Global), 10))
	n += len(strconv.AppendInt(scratch[:0], int64(e.Parent.Global), 10))
	return n
}

// appendString quotes s as JSON.stringify does; encoding/json escapes more.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < ' ' {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
				continue
			}
			b = append(b, c)
		}
	}
	return append(b, '"')
}
