package migrations

import (
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"time"

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
// do to the rows, as o asks. Where the log is a [Trial], what would be committed is added to it. An assert that does not
// hold afterwards is an errs.Mismatch error beside a report that is whole.
func (j Job) Preview(ctx context.Context, o state.Options) (Report, error) {
	s, err := j.ready(ctx)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	if s.report.Head == 0 {
		s.report.Outcome = Fresh
		return s.report, nil
	}
	s.reveal = o.Reveal
	before, after := filepath.Join(j.Dir, "before.db"), filepath.Join(j.Dir, "after.db")
	if err := s.live.Snapshot(before); err != nil {
		return Report{}, err
	}
	trial, _ := j.Log.(*Trial)
	s.commit = func(_ context.Context, batch []livestore.Event, _ func()) error { // all adds them to the state
		if trial != nil {
			trial.add(batch)
		}
		return nil
	}
	if trial != nil {
		s.report.Read -= int64(len(trial.events))
		s.report.Replayed -= int64(len(trial.events))
	}
	held, err := s.held()
	if err != nil {
		return s.report, err
	}
	failed := s.all(ctx, func() int { return previewBatch })
	if failed != nil && errs.CodeOf(failed) != errs.Mismatch {
		return s.report, failed
	}
	if failed == nil {
		failed, err = s.again()
		if err != nil {
			return s.report, err
		}
	}
	for i := range s.report.Asserts {
		s.report.Asserts[i].Before = held[s.report.Asserts[i].Label]
	}
	s.report.Pushes = (s.report.Events + maxBatch - 1) / maxBatch
	if s.report.MarkerDue {
		s.report.Pushes++
	}
	s.report.Paced = time.Duration(max(0, s.report.Pushes-1)) * j.Pace
	if s.report.Events == 0 {
		return s.report, failed
	}
	if err := s.live.Snapshot(after); err != nil {
		return s.report, err
	}
	return s.report, errors.Join(failed, s.compare(ctx, before, after, o))
}

// held are the asserts that hold on the state as it is.
func (s *session) held() (map[string]bool, error) {
	err := s.asserts()
	if err != nil && errs.CodeOf(err) != errs.Mismatch {
		return nil, err
	}
	held := map[string]bool{}
	for _, a := range s.report.Asserts {
		held[a.Label] = a.True
	}
	return held, nil
}

// again asks the migration once more, after its own events and its marker. An assert that does not hold there is failed.
func (s *session) again() (failed, err error) {
	s.report.Again = &Again{}
	for i := range s.Definition.sources() {
		c, err := s.dueOf(i)
		if err != nil {
			return nil, err
		}
		s.report.Again.Events += c.total
		s.report.Again.Rows += c.n
	}
	if failed = s.asserts(); failed != nil && errs.CodeOf(failed) != errs.Mismatch {
		return nil, failed
	}
	return failed, nil
}

func (s *session) compare(ctx context.Context, before, after string, o state.Options) error {
	d, err := state.CompareFiles(ctx, before, after, o)
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

// Verify reads the log again and says whether the migration is done on the store: those before it done, no event due, no
// key with two events, the asserts true, the marker there. It commits nothing.
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
	if s.report.Waits, err = j.waits(ctx); err != nil {
		return s.report, false, err
	}
	for i := range s.Definition.sources() {
		c, err := s.dueOf(i)
		if err != nil {
			return s.report, false, err
		}
		s.report.Events += c.total
	}
	s.report.Marker = s.ledger.marked
	s.report.Digest = hex.EncodeToString(s.ledger.digest.Sum(nil))
	if !s.Definition.Repeat {
		s.report.Duplicates, s.report.Twice = s.ledger.twice, s.ledger.again
	}
	err = s.asserts()
	if err != nil && errs.CodeOf(err) != errs.Mismatch {
		return s.report, false, err
	}
	complete = err == nil && s.report.Waits == "" && s.report.Events == 0 && s.report.Duplicates == 0 && (s.Definition.Marker == "" || s.ledger.marked)
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
