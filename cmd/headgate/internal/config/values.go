package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"headgate/internal/errs"
)

// ParseDuration reads a number and a unit: 90d, 2w, or what Go understands (12h, 1h30m). A day is 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	day := 24 * time.Hour
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n > uint64(math.MaxInt64/unit) {
			return 0, errs.Invalidf("%q is not a duration", s)
		}
		return time.Duration(n) * unit, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errs.Invalidf("%q is not a duration", s)
	}
	return d, nil
}

// FormatDuration writes a duration as files have it: 90d, 1d12h, 30m0s.
func FormatDuration(d time.Duration) string {
	n, rest := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case rest == 0:
		return fmt.Sprintf("%dd", n)
	case n == 0 || rest%time.Hour != 0:
		return d.String()
	}
	return fmt.Sprintf("%dd%dh", n, rest/time.Hour)
}

// ParseShare reads a percentage, 12% or 0.5%, as a number from 0 to 1.
func ParseShare(s string) (float64, error) {
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || math.IsNaN(v) || v < 0 || v > 100 {
		return 0, errs.Invalidf("%q is not a share", s)
	}
	return v / 100, nil
}

// IsVersion reports whether s is a strict semantic version: 1.2.0, 1.2.0-beta.1.
func IsVersion(s string) bool { return versionPattern().MatchString(s) }
