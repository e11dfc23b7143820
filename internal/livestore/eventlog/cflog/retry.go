package cflog

import (
	"context"
	"errors"
	"hash/fnv"
	"net/http"
	"strconv"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore/eventlog"
)

const (
	// maxTries is how often something is done without any progress.
	maxTries = 4
	// firstWait doubles from try to try.
	firstWait = 250 * time.Millisecond
	// maxWait is the longest that a backend's Retry-After is obeyed.
	maxWait = 30 * time.Second
)

// A transient is a failure that may not come again, before anything was stored.
type transient struct {
	err   *errs.Error
	after time.Duration // the least to wait, as the backend says
	early bool          // the backend has not even seen the request
}

// Error returns the text of t.err.
func (t *transient) Error() string { return t.err.Error() }

// Unwrap returns t.err.
func (t *transient) Unwrap() error { return t.err }

// tries counts the failures in a row.
type tries struct {
	log    *Log
	failed int
}

func (l *Log) newTries() *tries { return &tries{log: l} }

// retry does something that stores nothing, until it works or there is no use in another try.
func (l *Log) retry(ctx context.Context, do func() error) error {
	tries := l.newTries()
	for {
		err := do()
		if err == nil {
			return nil
		}
		if err := tries.again(ctx, err); err != nil {
			return err
		}
	}
}

// again waits before the next try, and returns nil for it. It returns the error that there is no use in another.
func (t *tries) again(ctx context.Context, err error) error {
	var passing *transient
	var lost *eventlog.AmbiguousError // it may have been stored
	if errors.As(err, &lost) || !errors.As(err, &passing) {
		return err
	}
	t.failed++
	if t.failed >= maxTries || passing.after > maxWait {
		return passing.err.Passes()
	}
	timer := time.NewTimer(max(t.wait(), passing.after))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// wait spreads the stores of a fleet, which a backend's restart hits at the same moment: by a hash, so that no
// randomness is needed.
func (t *tries) wait() time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(string(t.log.opt.StoreID) + strconv.Itoa(t.failed)))
	full := firstWait << (t.failed - 1)
	return full/2 + time.Duration(h.Sum32())*full/2>>32
}

// retryAfter reads the header, a number of seconds or a time, of which the response's own Date is taken as now.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if n, err := strconv.Atoi(value); err == nil && n > 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
