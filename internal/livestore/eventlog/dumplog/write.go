package dumplog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A Writer writes a dump byte for byte as LiveStore's CLI does: JSON.stringify with two spaces, no line end
// after it; a digest is one member more, which LiveStore passes over. It buffers: what was written is complete only after
// Close.
type Writer struct {
	out     *bufio.Writer
	header  Header
	written *eventlog.Digest
	line    []byte
	indent  bytes.Buffer
}

// NewWriter begins a dump. The header's EventCount must be the number of events that will be written, and its Digest theirs,
// or empty.
func NewWriter(w io.Writer, h Header) *Writer {
	d := &Writer{out: bufio.NewWriterSize(w, 1<<16), header: h, written: eventlog.NewDigest()}
	fmt.Fprintf(d.out, "{\n  \"version\": %d,\n  \"storeId\": %s,\n  \"exportedAt\": %s,\n  \"eventCount\": %d,\n",
		Version, eventlog.AppendText(nil, string(h.StoreID)), eventlog.AppendText(nil, h.ExportedAt), h.EventCount)
	if h.Digest != "" {
		fmt.Fprintf(d.out, "  \"digest\": %s,\n", eventlog.AppendText(nil, h.Digest))
	}
	fmt.Fprint(d.out, "  \"events\": [")
	return d
}

// Write adds an event. Only the global numbers are written: the format has no others.
func (d *Writer) Write(e livestore.Event) error {
	b := d.line[:0]
	if d.written.Events() > 0 {
		b = append(b, ',')
	}
	b = append(b, "\n    {\n      \"name\": "...)
	b = eventlog.AppendText(b, e.Name)
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
	b = eventlog.AppendText(b, e.ClientID)
	b = append(b, ",\n      \"sessionId\": "...)
	b = eventlog.AppendText(b, e.SessionID)
	b = append(b, "\n    }"...)
	d.line = b
	d.written.Add(e)
	_, err := d.out.Write(b)
	return err
}

// Close ends the dump and flushes it; it does not close the writer below.
func (d *Writer) Close() error {
	if n := d.written.Events(); n != d.header.EventCount {
		return fmt.Errorf("dump: %d events were written, the header says %d", n, d.header.EventCount)
	}
	if d.header.Digest != "" && d.written.Sum() != d.header.Digest {
		return errors.New("dump: other events were written than the header has the digest of")
	}
	end := "\n  ]\n}"
	if d.header.EventCount == 0 {
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
		n += len(eventlog.AppendText(scratch[:0], s))
	}
	n += len(strconv.AppendInt(scratch[:0], int64(e.Seq.Global), 10))
	n += len(strconv.AppendInt(scratch[:0], int64(e.Parent.Global), 10))
	return n
}
