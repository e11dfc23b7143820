// Package dumplog reads and writes the JSON file of `livestore sync export`. It streams: neither direction
// holds more than one event. A dump has no clientOnly and no pending events, no times and no schema hashes.
// It does not talk to a sync backend.
package dumplog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"unicode/utf8"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// Version is the version of the export format that this package reads and writes.
const Version = 1

// A Header is what a dump says about itself.
type Header struct {
	StoreID    livestore.StoreID
	ExportedAt string // as it stands, an ISO 8601 time
	// EventCount is what the file says. LiveStore does not compare it with the events, and nor does Reader: see [Verify].
	EventCount int64
	// Digest is what the file says that its events' [eventlog.Digest] is; empty for a dump of LiveStore's own CLI.
	Digest string
}

// Options says how a dump is opened. The zero value is good.
type Options struct {
	// StoreID is the store that the dump must be of; empty for any.
	StoreID livestore.StoreID
}

// A Reader reads a dump. It implements [eventlog.Reader]. The file is opened anew for each pass.
type Reader struct {
	path   string
	header Header
	head   *eventlog.Head // once counted
	closed bool
}

var _ eventlog.Reader = (*Reader)(nil)

// Open reads the dump's header. A dump that LiveStore wrote has it before the events, so that is quick; where
// it stands behind them the whole file is read.
func Open(ctx context.Context, path string, opt Options) (*Reader, error) {
	r := &Reader{path: path}
	s, err := r.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for {
		raw, err := s.next()
		if err != nil {
			return nil, err
		}
		if raw == nil || s.headerDone() {
			break
		}
	}
	r.header = s.header
	if opt.StoreID != "" && opt.StoreID != r.header.StoreID {
		return nil, errs.Invalidf("the dump is of store %q, not of %q", r.header.StoreID, opt.StoreID).At("%s: $.storeId", path).
			Hintf("name the dump of that store")
	}
	return r, nil
}

// Header returns what the dump says about itself.
func (r *Reader) Header() Header { return r.header }

// ClientOnly returns false: a dump holds what the backend has.
func (r *Reader) ClientOnly() bool { return false }

// Close does nothing but refuse further reading.
func (r *Reader) Close() error {
	r.closed = true
	return nil
}

// Head reads the whole dump, once, and returns how far it goes. Malformed events count; the last place is the
// greatest that could be read.
func (r *Reader) Head(ctx context.Context) (eventlog.Head, error) {
	if r.head != nil {
		return *r.head, nil
	}
	var h eventlog.Head
	for e, err := range r.Events(ctx, livestore.ClientSeq{Global: -maxSafe - 1}) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return eventlog.Head{}, err
		}
		h.Events++
		if e.Seq.Compare(h.Last) > 0 {
			h.Last = e.Seq
		}
	}
	h.Confirmed = h.Last.Global
	r.head = &h
	return h, nil
}

// Events streams the events after the given place, as they lie in the file.
func (r *Reader) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	return func(yield func(livestore.Event, error) bool) {
		if r.closed {
			yield(livestore.Event{}, errors.New("event log: read after Close"))
			return
		}
		s, err := r.scan(ctx)
		if err != nil {
			yield(livestore.Event{}, err)
			return
		}
		defer s.close()
		for {
			raw, err := s.next()
			if err != nil {
				yield(livestore.Event{}, err)
				return
			}
			if raw == nil {
				return
			}
			e, field, bad := event(raw)
			unplaced := bad != nil && e.Seq == livestore.ClientSeq{} // its number can't be read
			if !unplaced && e.Seq.Compare(after) <= 0 {
				continue
			}
			if bad != nil {
				err = s.malformed(e, field, bad)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// A scanner walks through a dump. It stops at each element of $.events and checks the rest as it goes.
type scanner struct {
	ctx    context.Context
	path   string
	file   *os.File
	size   int64
	dec    *json.Decoder
	state  scanState
	index  int   // of the next event
	offset int64 // of the event that next returned
	seen   map[string]bool
	header Header
}

type scanState int

const (
	atStart scanState = iota
	inObject
	inEvents
	atEnd
)

func (r *Reader) scan(ctx context.Context) (*scanner, error) {
	f, err := os.Open(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NotFoundf("there is no such file").At("%s", r.path).
			Hintf("`livestore sync export` writes a dump of a store")
	}
	if err != nil {
		return nil, cantRead(r.path, err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, cantRead(r.path, err)
	}
	if info.IsDir() {
		f.Close()
		return nil, errs.Invalidf("it is a folder, a dump is a JSON file").At("%s", r.path).
			Hintf("the folder of a client's log is read as file:FOLDER")
	}
	s := newScanner(ctx, f, info.Size(), r.path)
	s.file = f
	return s, nil
}

func newScanner(ctx context.Context, in io.Reader, size int64, path string) *scanner {
	return &scanner{ctx: ctx, path: path, size: size, seen: map[string]bool{}, dec: json.NewDecoder(bufio.NewReaderSize(in, 1<<16))}
}

func (s *scanner) close() {
	if s.file != nil {
		s.file.Close()
	}
}

func (s *scanner) headerDone() bool {
	return s.seen["version"] && s.seen["storeId"] && s.seen["exportedAt"] && s.seen["eventCount"]
}

// next returns the next event as valid JSON, nil when the whole file has been read and is right.
func (s *scanner) next() (json.RawMessage, error) {
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	for {
		switch s.state {
		case atStart:
			if err := s.expect('{', "$"); err != nil {
				return nil, err
			}
			s.state = inObject
		case inObject:
			if !s.dec.More() {
				return nil, s.end()
			}
			if err := s.member(); err != nil {
				return nil, err
			}
		case inEvents:
			if s.dec.More() {
				return s.element()
			}
			if err := s.expect(']', s.place()); err != nil {
				return nil, err
			}
			s.state = inObject
		case atEnd:
			return nil, nil
		}
	}
}

func (s *scanner) element() (json.RawMessage, error) {
	var raw json.RawMessage
	if err := s.dec.Decode(&raw); err != nil {
		return nil, s.broken(s.place(), err)
	}
	if !utf8.Valid(raw) {
		return nil, errs.Invalidf("not UTF-8").At("%s: %s (before byte %d)", s.path, s.place(), s.dec.InputOffset())
	}
	s.index++
	s.offset = s.dec.InputOffset() - int64(len(raw))
	return raw, nil
}
