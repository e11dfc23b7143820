package rollout

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Window is a time in which nothing is opened. An abort is never held.
type Window struct {
	Cron   string         // "* 18-23 * * fri": each minute that fits is frozen
	Zone   *time.Location // the cron's
	Reason string
	Line   int

	cron cron
}

// Frozen reports whether the minute of now is in the window.
func (w Window) Frozen(now time.Time) bool { return w.cron.fits(now.In(w.Zone)) }

// thaw is how far ahead Thaw looks: a window that lasts longer is one that nobody waits for.
const thaw = 62 * 24 * time.Hour

// Thaw returns the first minute from now on that no window freezes, and the window that now is in. Where nothing is
// frozen that is now, and nil; the zero time where no end is in sight.
func Thaw(windows []Window, now time.Time) (time.Time, *Window) {
	var in *Window
	at := now
	for at.Sub(now) < thaw {
		i := frozen(windows, at)
		if i < 0 {
			return at, in
		}
		if in == nil {
			in = &windows[i]
		}
		at = at.Truncate(time.Minute).Add(time.Minute)
	}
	return time.Time{}, in
}

func frozen(windows []Window, at time.Time) int {
	for i := range windows {
		if windows[i].Frozen(at) {
			return i
		}
	}
	return -1
}

// A cron is the five fields minute, hour, day of the month, month and day of the week, as sets of bits.
type cron struct {
	minute, hour, day, month, weekday uint64
	anyDay, anyWeekday                bool
}

// fits follows cron's own rule: where both kinds of day are restricted, either of them is enough.
func (c cron) fits(t time.Time) bool {
	has := func(set uint64, n int) bool { return set&(1<<n) != 0 }
	if !has(c.minute, t.Minute()) || !has(c.hour, t.Hour()) || !has(c.month, int(t.Month())) {
		return false
	}
	day, weekday := has(c.day, t.Day()), has(c.weekday, int(t.Weekday()))
	if c.anyDay || c.anyWeekday {
		return day && weekday
	}
	return day || weekday
}

func parseCron(s string) (c cron, err error) {
	fields := strings.Fields(s)
	if len(fields) != 5 {
		return c, fmt.Errorf("%q has %d fields, not five: minute, hour, day, month, day of the week", s, len(fields))
	}
	months := strings.Fields("jan feb mar apr may jun jul aug sep oct nov dec")
	weekdays := strings.Fields("sun mon tue wed thu fri sat")
	for i, f := range []struct {
		set      *uint64
		low, top int
		names    []string
	}{
		{&c.minute, 0, 59, nil},
		{&c.hour, 0, 23, nil},
		{&c.day, 1, 31, nil},
		{&c.month, 1, 12, months},
		{&c.weekday, 0, 7, weekdays},
	} {
		if *f.set, err = cronSet(fields[i], f.low, f.top, f.names); err != nil {
			return c, err
		}
	}
	if c.weekday&(1<<7) != 0 { // 7 is Sunday too
		c.weekday |= 1
	}
	c.anyDay, c.anyWeekday = strings.HasPrefix(fields[2], "*"), strings.HasPrefix(fields[4], "*")
	if _, err := strconv.Atoi(fields[0]); err == nil {
		return c, errors.New("it freezes a single minute of the hour")
	}
	return c, nil
}

// cronSet reads *, 1-5, */15, fri, and lists of those.
func cronSet(field string, low, top int, names []string) (set uint64, err error) {
	number := func(s string) (int, error) {
		for i, name := range names {
			if strings.EqualFold(s, name) {
				return low + i, nil
			}
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > top {
			return 0, fmt.Errorf("%q is not a number from %d to %d", s, low, top)
		}
		return n, nil
	}
	for part := range strings.SplitSeq(field, ",") {
		span, by, stepped := strings.Cut(part, "/")
		from, to, step := low, top, 1
		if stepped {
			if step, err = strconv.Atoi(by); err != nil || step < 1 {
				return 0, fmt.Errorf("%q is not a step above 0", by)
			}
		}
		if span != "*" {
			first, last, ranged := strings.Cut(span, "-")
			if from, err = number(first); err != nil {
				return 0, err
			}
			if to = from; ranged {
				if to, err = number(last); err != nil {
					return 0, err
				}
			} else if stepped {
				to = top
			}
			if to < from {
				return 0, fmt.Errorf("%q goes backwards", span)
			}
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, nil
}
