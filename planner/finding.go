package planner

import (
	"cmp"
	"slices"
	"time"

	"headgate/internal/errs"
)

// A Code names a finding for good: EV, FD, TY, UN, AR, RC and RF are about events and their arguments, ST about the
// state, MT about materializers, AD about adapters, SE about secrets and privacy, UE about unknown events, SU about
// suppressions. [Rules] lists them.
type Code string

// A Severity says how bad a finding is. OK is the verdict of a change that needs no finding.
type Severity string

const (
	OK      Severity = "ok"
	Info    Severity = "info"
	Warning Severity = "warning"
	Error   Severity = "error"
)

func (s Severity) rank() int { return slices.Index([]Severity{"", OK, Info, Warning, Error}, s) }

// AtLeast reports whether s is as bad as t or worse.
func (s Severity) AtLeast(t Severity) bool { return s.rank() >= t.rank() }

// ParseFailOn reads the value of --fail-on.
func ParseFailOn(s string) (Severity, error) {
	switch Severity(s) {
	case Error, Warning, Info:
		return Severity(s), nil
	}
	return "", errs.Invalidf("--fail-on %q is not a severity", s).Hintf("use error, warning or info")
}

// A Direction says which side reads what it can't. "Forward" and "backward" mean opposite things in LiveStore's
// documents and in those of schema registries, so the sides are named by what runs.
type Direction string

const (
	Replay Direction = "replay" // the new release reads old events: a boot after an upgrade, a rebuild
	Fleet  Direction = "fleet"  // an old release still in the field reads new events: sync, and a rollback's rebuild
	Both   Direction = "both"
)

// A Profile chooses what is judged.
type Profile string

const (
	// ProfileReplay judges only whether the new release can read old logs.
	ProfileReplay Profile = "replay"
	// ProfileFleet judges both directions: the new release and the old ones live side by side.
	ProfileFleet Profile = "fleet"
	// ProfileRollback judges both directions and going back to the old release.
	ProfileRollback Profile = "rollback"
)

// ParseProfile reads the value of --profile.
func ParseProfile(s string) (Profile, error) {
	switch p := Profile(s); p {
	case ProfileReplay, ProfileFleet, ProfileRollback:
		return p, nil
	}
	return "", errs.Invalidf("--profile %q is not a profile", s).Hintf("use replay, fleet or rollback")
}

// A Finding is something that breaks, or may break, when a release is changed or shipped.
type Finding struct {
	Code      Code      `json:"code"`
	Severity  Severity  `json:"severity"`
	Direction Direction `json:"direction"`

	// From are the releases that To was compared with and that this holds for; empty for what is true of To alone.
	From []string `json:"from,omitempty"`
	To   string   `json:"to"`

	Event string `json:"event,omitempty"`
	Table string `json:"table,omitempty"`
	// Path is the place in the event's arguments ("$.args.priority"), or the column of Table.
	Path string `json:"path,omitempty"`

	// Message is one line, Detail says more, Fix what to do; Fix begins with what costs least.
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
	Fix     string `json:"fix,omitempty"`

	// Evidence is what was asked of real logs. Lowered is the severity that evidence lowered.
	Evidence []ProbeResult `json:"evidence,omitempty"`
	Lowered  Severity      `json:"lowered,omitempty"`

	Suppressed *Suppressed `json:"suppressed,omitempty"`
	Location   *Location   `json:"location,omitempty"`
}

// A Location is a place in the app's repository.
type Location struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"` // from 1; 0 when only the file is known
}

// Suppressed says why a finding does not count.
type Suppressed struct {
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
}

// Place returns where the finding is, for people.
func (f Finding) Place() string {
	subject := cmp.Or(f.Event, f.Table)
	switch {
	case subject == "":
		return f.Path
	case f.Path == "":
		return subject
	}
	return subject + " " + f.Path
}

// compareFindings orders by severity, then code and place, so that output is stable.
func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(b.Severity.rank(), a.Severity.rank()), cmp.Compare(a.Code, b.Code),
		cmp.Compare(a.Event, b.Event), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Path, b.Path),
		cmp.Compare(a.Direction, b.Direction), slices.Compare(a.From, b.From), cmp.Compare(a.Message, b.Message),
		cmp.Compare(a.Detail, b.Detail))
}

// A Report is the result of a check.
type Report struct {
	Schema   string    `json:"schema"`
	Profile  Profile   `json:"profile"`
	From     []string  `json:"from"`
	To       string    `json:"to"`
	Findings []Finding `json:"findings"`
	// Unverified are the checks that could not be made, and why: a verdict of their own, never "ok".
	Unverified []string `json:"unverified,omitempty"`
}

// Counts returns how many findings count, by severity. Suppressed ones don't.
func (r Report) Counts() (errors, warnings, infos, suppressed int) {
	for _, f := range r.Findings {
		switch {
		case f.Suppressed != nil:
			suppressed++
		case f.Severity == Error:
			errors++
		case f.Severity == Warning:
			warnings++
		default:
			infos++
		}
	}
	return errors, warnings, infos, suppressed
}

// Failing returns the findings at or above failOn that nobody accepted.
func (r Report) Failing(failOn Severity) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if f.Suppressed == nil && f.Severity.AtLeast(failOn) {
			out = append(out, f)
		}
	}
	return out
}
