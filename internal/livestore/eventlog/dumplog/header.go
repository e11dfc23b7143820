package dumplog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// required returns the members that LiveStore requires. It ignores others.
func required() []string {
	return []string{"version", "storeId", "exportedAt", "eventCount", "events"}
}

// member reads one member of the dump's object; at events it only enters the array.
func (s *scanner) member() error {
	token, err := s.dec.Token()
	if err != nil {
		return s.broken("$", err)
	}
	key, _ := token.(string) // inside an object the decoder allows no other key
	place := "$." + key
	if slices.Contains(required(), key) {
		if s.seen[key] {
			return errs.Invalidf("the key appears twice").At("%s: %s (byte %d)", s.path, place, s.dec.InputOffset())
		}
		s.seen[key] = true
	}
	if key == "events" {
		if err := s.expect('[', place); err != nil {
			return err
		}
		s.state = inEvents
		return nil
	}
	var value json.RawMessage
	if err := s.dec.Decode(&value); err != nil {
		return s.broken(place, err)
	}
	wrong := func(bad *errs.Error) error {
		if bad == nil {
			return nil
		}
		return bad.At("%s: %s (byte %d)", s.path, place, s.dec.InputOffset()-int64(len(value))).
			Hintf("write the dump again with `livestore sync export`")
	}
	switch key {
	case "version":
		if v, err := strconv.ParseFloat(string(value), 64); err != nil || v != Version {
			return wrong(errs.Invalidf("the dump's version is not %d, the only one that headgate reads", Version))
		}
	case "storeId":
		id, bad := text(value)
		s.header.StoreID = livestore.StoreID(id)
		return wrong(bad)
	case "exportedAt":
		var bad *errs.Error
		s.header.ExportedAt, bad = text(value)
		return wrong(bad)
	case "eventCount":
		n, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			return wrong(errs.Invalidf("a number is wanted, this is %s", kindOf(value)))
		}
		s.header.EventCount = int64(n)
	case "digest":
		var bad *errs.Error
		s.header.Digest, bad = text(value)
		return wrong(bad)
	}
	return nil
}

// end checks what can be checked when all members have been read.
func (s *scanner) end() error {
	if err := s.expect('}', "$"); err != nil {
		return err
	}
	s.state = atEnd
	for _, key := range required() {
		if !s.seen[key] {
			return errs.Invalidf("not a dump: it has no %q", key).At("%s: $", s.path).
				Hintf("a dump is what `livestore sync export` writes")
		}
	}
	if _, err := s.dec.Token(); !errors.Is(err, io.EOF) {
		return errs.Invalidf("something follows the end of the dump").At("%s: byte %d", s.path, s.dec.InputOffset())
	}
	return nil
}

func (s *scanner) expect(delim json.Delim, place string) error {
	token, err := s.dec.Token()
	if err != nil {
		return s.broken(place, err)
	}
	if token != delim {
		what := map[json.Delim]string{'{': "an object", '[': "an array"}[delim]
		return errs.Invalidf("%s is wanted here", what).At("%s: %s (byte %d)", s.path, place, s.dec.InputOffset()).
			Hintf("a dump is what `livestore sync export` writes; a client's eventlog@6.db is read as file:PATH")
	}
	return nil
}

// place returns the path of the event that is to be read.
func (s *scanner) place() string { return fmt.Sprintf("$.events[%d]", s.index) }

// broken makes an error of the decoder's. The decoder's own text quotes the file, so it is left out.
func (s *scanner) broken(place string, err error) error {
	at := s.dec.InputOffset()
	var syntax *json.SyntaxError
	switch {
	case s.size == 0:
		return errs.Invalidf("the file is empty").At("%s", s.path).Hintf("write the dump again with `livestore sync export`")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errs.Invalidf("the dump is truncated: the file ends, after %d bytes, inside %s", s.size, place).
			At("%s:%d", s.path, s.line(at)).Hintf("write it again with `livestore sync export`")
	case errors.As(err, &syntax):
		return errs.Invalidf("malformed JSON in %s, after byte %d", place, at).
			At("%s:%d", s.path, s.line(at)).Hintf("write the dump again with `livestore sync export`")
	}
	return cantRead(s.path, err)
}

// line returns the number of the line in which the value after the given byte begins.
func (s *scanner) line(offset int64) int {
	if s.file == nil {
		return 1
	}
	line, buf := 1, make([]byte, 1<<16)
	in := io.NewSectionReader(s.file, 0, offset)
	for {
		n, err := in.Read(buf)
		line += bytes.Count(buf[:n], []byte("\n"))
		if err != nil {
			break
		}
	}
	// What separates the value from the one before it may hold the line's end.
	gap := make([]byte, 64)
	n, _ := s.file.ReadAt(gap, offset)
	for _, b := range gap[:n] {
		if b == '\n' {
			line++
		} else if b != ' ' && b != ',' && b != '\r' && b != '\t' {
			break
		}
	}
	return line
}

// malformed makes the sequence's error of an event's.
func (s *scanner) malformed(e livestore.Event, field string, bad *errs.Error) *eventlog.Malformed {
	place := fmt.Sprintf("$.events[%d]", s.index-1)
	if field != "" {
		place += "." + field
	}
	bad.Msg = fmt.Sprintf("event %s is malformed: %s", e.Seq, bad.Msg)
	return &eventlog.Malformed{Seq: e.Seq, Err: bad.At("%s: %s (byte %d)", s.path, place, s.offset).
		Hintf("`headgate log stats` lists all such events")}
}

func cantRead(path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return errs.New(errs.Internal, "can't read the dump").At("%s", path).Because(err).
		Hintf("check that the file and its folder can be read by this user")
}
