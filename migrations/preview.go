package migrations

import (
	"context"
	"encoding/hex"
	"path/filepath"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay/state"
)

func (d Definition) markerID(store livestore.StoreID) string {
	return engine.UUID5(d.Namespace(store), "marker")
}

// previewBatch is how many events a preview adds to the state at once.
const previewBatch = 500

// Preview runs the migration on a copy of the store's state and commits nothing. Tables says what the events would
// do to the rows, as o asks.
func (j Job) Preview(ctx context.Context, o state.Options) (Report, error) {
	s, err := j.open(ctx)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	before, after := filepath.Join(j.Dir, "before.db"), filepath.Join(j.Dir, "after.db")
	if err := s.live.Snapshot(before); err != nil {
		return Report{}, err
	}
	s.commit = func(context.Context, []livestore.Event, func()) error { return nil } // all adds them to the state
	head := s.report.Head
	if err := s.all(ctx, func() int { return previewBatch }); err != nil {
		return s.report, err
	}
	s.report.Head = head
	if s.report.Events == 0 {
		return s.report, nil
	}
	s.report.Pushes = (s.report.Events + maxBatch - 1) / maxBatch
	if err := s.live.Snapshot(after); err != nil {
		return s.report, err
	}
	return s.report, s.compare(ctx, before, after, o)
}

func (s *session) compare(ctx context.Context, before, after string, o state.Options) error {
	a, err := state.Open(before)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := state.Open(after)
	if err != nil {
		return err
	}
	defer b.Close()
	d, err := state.Compare(ctx, a, b, o)
	if err != nil {
		return err
	}
	for _, t := range d.Tables {
		if !t.Equal() {
			s.report.Tables = append(s.report.Tables, t)
		}
	}
	return nil
}

// Verify reads the log again and says whether the migration is done on the store: no event due, no key with two events,
// the asserts true, the marker there. It commits nothing.
func (j Job) Verify(ctx context.Context) (r Report, complete bool, err error) {
	s, err := j.open(ctx)
	if err != nil {
		return Report{}, false, err
	}
	defer s.close()
	if s.report.Head == 0 {
		s.report.Outcome = Fresh
		return s.report, true, nil
	}
	s.report.Before, s.report.Events = s.ledger.events, 0
	for i := range s.Definition.sources() {
		_, total, err := s.dueOf(i)
		if err != nil {
			return s.report, false, err
		}
		s.report.Events += total
	}
	s.report.Marker = s.ledger.marked
	s.report.Digest = hex.EncodeToString(s.ledger.digest.Sum(nil))
	if !s.Definition.Repeat {
		s.report.Duplicates = s.ledger.twice
	}
	err = s.asserts()
	if err != nil && errs.CodeOf(err) != errs.Mismatch {
		return s.report, false, err
	}
	complete = err == nil && s.report.Events == 0 && s.report.Duplicates == 0 && (s.Definition.Marker == "" || s.ledger.marked)
	switch {
	case !complete:
		s.report.Outcome = Due
	case s.report.Before == 0:
		s.report.Outcome = NothingDue
	default:
		s.report.Outcome = Done
	}
	return s.report, complete, nil
}
