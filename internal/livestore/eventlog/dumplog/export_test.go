package dumplog

import (
	"context"
	"io"

	"headgate/internal/livestore"
)

// ReadAll reads a dump from memory, for the fuzz target. It returns the events, the errors of those that are
// malformed, and the error that ended it.
func ReadAll(in io.Reader, size int64) (events []livestore.Event, bad []error, err error) {
	s := newScanner(context.Background(), in, size, "dump.json")
	for {
		raw, err := s.next()
		if raw == nil || err != nil {
			return events, bad, err
		}
		e, field, wrong := event(raw)
		if wrong != nil {
			bad = append(bad, s.malformed(e, field, wrong))
			continue
		}
		events = append(events, e)
	}
}
