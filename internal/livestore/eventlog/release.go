package eventlog

import "strings"

// ReleaseOf returns the release that headgate's generated helper stamped into a session id, written
// `<session>.<release>` with dashes for the dots of its numbers and underscores for those of a prerelease:
// "static.1-3-0" was written by 1.3.0, "static.1-3-0-rc_1" by 1.3.0-rc.1. Helpers once wrote dashes there, too, which
// can't be told from a prerelease's own: "static.1-3-0-rc-1" gives "1.3.0-rc-1".
func ReleaseOf(sessionID string) (release string, ok bool) {
	_, stamp, found := cutLast(sessionID, ".")
	if !found {
		return "", false
	}
	parts := strings.SplitN(stamp, "-", 4)
	if len(parts) < 3 {
		return "", false
	}
	for _, p := range parts[:3] {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return "", false
		}
	}
	release = strings.Join(parts[:3], ".")
	if len(parts) == 4 {
		if parts[3] == "" {
			return "", false
		}
		release += "-" + strings.ReplaceAll(parts[3], "_", ".")
	}
	return release, true
}

// Dashed is a release as stamps are compared: dots can't be told from dashes in what all helpers wrote.
func Dashed(release string) string { return strings.NewReplacer(".", "-", "+", "-").Replace(release) }

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
