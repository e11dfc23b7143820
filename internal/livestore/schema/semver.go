package schema

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"headgate/internal/errs"
)

// A Version is a parsed strict semantic version (semver.org 2.0.0): three numbers, an optional prerelease, optional
// build metadata that plays no part in precedence.
type Version struct {
	Major, Minor, Patch uint64
	// Prerelease are the dot-separated identifiers after the hyphen, none for a release.
	Prerelease []string
}

var semverPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
	`(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$`)

// ParseVersion reads a strict semantic version: "v1.2.0", "1.2" and "01.2.0" are refused.
func ParseVersion(s string) (Version, error) {
	m := semverPattern.FindStringSubmatch(s)
	if m == nil {
		return Version{}, errs.Invalidf("%q is not a semantic version", s).Hintf("write three numbers, as in 1.4.0 or 1.4.0-beta.2")
	}
	var v Version
	for i, p := range []*uint64{&v.Major, &v.Minor, &v.Patch} {
		n, err := strconv.ParseUint(m[i+1], 10, 64)
		if err != nil {
			return Version{}, errs.Invalidf("%q is not a semantic version: %s is too large", s, m[i+1])
		}
		*p = n
	}
	if m[4] != "" {
		v.Prerelease = strings.Split(m[4], ".")
	}
	return v, nil
}

// Compare orders versions by precedence. A prerelease stands before its release.
func (v Version) Compare(w Version) int {
	if c := cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.Patch, w.Patch)); c != 0 {
		return c
	}
	switch {
	case len(v.Prerelease) == 0 && len(w.Prerelease) == 0:
		return 0
	case len(v.Prerelease) == 0:
		return 1
	case len(w.Prerelease) == 0:
		return -1
	}
	for i := range min(len(v.Prerelease), len(w.Prerelease)) {
		if c := compareIdentifier(v.Prerelease[i], w.Prerelease[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(v.Prerelease), len(w.Prerelease))
}

// compareIdentifier orders two prerelease identifiers: numbers by value and before words, words by ASCII.
func compareIdentifier(a, b string) int {
	na, nb := isNumber(a), isNumber(b)
	switch {
	case na && nb:
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // no leading zeros, so the longer one is greater
	case na:
		return -1
	case nb:
		return 1
	}
	return cmp.Compare(a, b)
}

func isNumber(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

// CompareVersions orders two version strings by precedence. Strings that aren't semantic versions stand before those
// that are, in byte order: an order is needed for display even of what is refused elsewhere.
func CompareVersions(a, b string) int {
	v, errA := ParseVersion(a)
	w, errB := ParseVersion(b)
	switch {
	case errA != nil && errB != nil:
		return cmp.Compare(a, b)
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return v.Compare(w)
}
