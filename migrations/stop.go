package migrations

import (
	"errors"

	"headgate/internal/errs"
)

// A Kind says what a job stopped at, where whoever runs it has something else to do than with other errors.
type Kind string

const (
	Poisoned Kind = "poisoned" // the log holds an event that the release fails on
	Stalled  Kind = "stalled"  // no progress for as long as the job's patience
)

// A stop is an error of a kind.
type stop struct {
	kind Kind
	err  *errs.Error
}

func (s *stop) Error() string { return s.err.Error() }
func (s *stop) Unwrap() error { return s.err }

// KindOf returns an error's kind, empty for any other error.
func KindOf(err error) Kind {
	var s *stop
	if errors.As(err, &s) {
		return s.kind
	}
	return ""
}
