// Package errs is headgate's error type: what went wrong, where, what to do about it, and which exit
// status the program ends with. It does not print, and it knows no command: the CLI and the server
// turn a Code into an exit status and an HTTP status in one place each.
package errs

import (
	"errors"
	"fmt"
)

// A Code says what kind of failure an error is. The set is closed: each code has one exit status,
// listed by `headgate help exit-codes`.
type Code string

const (
	Internal     Code = "internal"     // a defect in headgate, or the machine failed it (disk full, no permission)
	Invalid      Code = "invalid"      // the user's input is wrong: flags, headgate.yaml, a damaged file
	NotFound     Code = "not_found"    // what was named does not exist: a release, a store, a file
	Findings     Code = "findings"     // findings at or above --fail-on, or a gate that is closed
	Stale        Code = "stale"        // an approval is missing, or a plan is out of date
	Partial      Code = "partial"      // some stores failed, the others are done
	Locked       Code = "locked"       // another process holds the lock
	Refused      Code = "refused"      // it would lose data, so headgate does not do it
	Mismatch     Code = "mismatch"     // a verification found a difference
	Interrupted  Code = "interrupted"  // ended by a signal
	Unauthorized Code = "unauthorized" // no token, or one that is not valid
	Forbidden    Code = "forbidden"    // the token's role, app or stores don't allow it
	Unverifiable Code = "unverifiable" // the app's own code can't be run or proven: it throws, loops or needs I/O
)

// An Error is a failure that someone can act on. Msg is one line in lower case without a final period;
// Where is a place the user can open ("headgate.yaml:12", "$.events[3].args.id"); Hint says what to do;
// Next is the exact command to run next. Only Msg is required.
type Error struct {
	Code  Code
	Msg   string
	Where string
	Hint  string
	Next  []string
	Err   error // the cause, may be nil

	Passing bool // it may pass by itself: the same may go through a little later
}

// Error returns "where: msg: cause", leaving out what is empty.
func (e *Error) Error() string {
	s := e.Msg
	if e.Where != "" {
		s = e.Where + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// At sets the place that the user can open, and returns e.
func (e *Error) At(format string, args ...any) *Error {
	e.Where = sprintf(format, args)
	return e
}

// Hintf sets the hint, and returns e.
func (e *Error) Hintf(format string, args ...any) *Error {
	e.Hint = sprintf(format, args)
	return e
}

// Then adds the exact command to run next, and returns e.
func (e *Error) Then(command string) *Error {
	e.Next = append(e.Next, command)
	return e
}

// Because sets the cause, and returns e.
func (e *Error) Because(err error) *Error {
	e.Err = err
	return e
}

// Passes says that the failure may pass by itself, and returns e.
func (e *Error) Passes() *Error {
	e.Passing = true
	return e
}

// New returns an error with the given code.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Msg: sprintf(format, args)}
}

// Invalidf is New(Invalid, …).
func Invalidf(format string, args ...any) *Error {
	return &Error{Code: Invalid, Msg: sprintf(format, args)}
}

// NotFoundf is New(NotFound, …).
func NotFoundf(format string, args ...any) *Error {
	return &Error{Code: NotFound, Msg: sprintf(format, args)}
}

// Refusedf is New(Refused, …).
func Refusedf(format string, args ...any) *Error {
	return &Error{Code: Refused, Msg: sprintf(format, args)}
}

// CodeOf returns the code of the outermost Error in err's chain, Internal when there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// As returns the outermost Error in err's chain, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Passing reports whether the outermost Error in err's chain may pass by itself.
func Passing(err error) bool {
	e := As(err)
	return e != nil && e.Passing
}

func sprintf(format string, args []any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}
