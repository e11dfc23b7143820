package migrations

import (
	"context"
	"encoding/json"
	"errors"

	"headgate/internal/errs"
)

// mark commits the migration's marker, one event that says that it ran: the app's own event, with those of the fields
// id, migration, checksum and events that it has. The first one wins. A migration without a marker is tracked by its
// events alone.
func (s *session) mark(ctx context.Context) error {
	if s.Definition.Marker == "" {
		return nil
	}
	for !s.ledger.marked {
		args, err := s.markerArgs()
		if err != nil {
			return err
		}
		batch := s.number([]candidate{{event: s.Definition.Marker, args: args}})
		if p, err := s.live.Try(batch); err != nil {
			return err
		} else if p != nil {
			return errs.New(errs.Unverifiable, "release %s fails on the marker: %s", s.Target.Release.Version, p).
				At("%s:%d", s.Definition.Path, s.Definition.MarkerLine)
		}
		err = s.commit(ctx, batch, func() {})
		var moved *movedError
		if errors.As(err, &moved) { // late rows that the others made due wait for the next run
			if err := s.live.Drop(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		s.ledger.see(batch[0])
		if err := s.live.Keep(); err != nil {
			return err
		}
	}
	s.report.Marker = true
	return nil
}

func (s *session) markerArgs() (json.RawMessage, error) {
	wire, e := wireStruct(s.Target.Release, s.Definition.Marker)
	if e != nil {
		return nil, e.At("%s:%d", s.Definition.Path, s.Definition.MarkerLine)
	}
	known := map[string]any{
		"id":        s.Definition.markerID(s.Store),
		"migration": s.Definition.Name,
		"checksum":  s.Definition.Checksum,
		"events":    s.ledger.events,
	}
	args := map[string]any{}
	for _, f := range wire.Fields {
		v, ok := known[f.Name]
		switch {
		case ok:
			args[f.Name] = v
		case !f.Optional:
			return nil, errs.Invalidf("the marker %s needs %q, which headgate can't fill", s.Definition.Marker, f.Name).
				At("%s:%d", s.Definition.Path, s.Definition.MarkerLine).
				Hintf("a marker's fields are some of id, migration, checksum and events; others must be optional")
		}
	}
	return json.Marshal(args)
}
