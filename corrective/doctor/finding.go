package doctor

import (
	"regexp"
	"strings"

	"headgate/internal/livestore"
	"headgate/planner"
)

// A Check names what was looked for. The words are stable: they appear in JSON.
type Check string

const (
	Order           Check = "log"                 // gaps, duplicates, wrong parents, events that can't be read
	HeadBeyondLog   Check = "head-beyond-log"     // the client recorded a confirmed head that its log does not reach
	Poison          Check = "poison"              // an event that ends sync, or the boot of who rebuilds
	OtherBackend    Check = "other-backend"       // the client knows another backend than there is
	Ahead           Check = "client-ahead"        // the backend lacks events that it had confirmed
	Diverged        Check = "client-diverged"     // another event under the same number
	Unsent          Check = "pending"             // events that only the client has
	Interrupted     Check = "interrupted-rebuild" // the state in use ends before the log
	StaleState      Check = "stale-state"         // a state that was left behind ends before the log
	SkippedEvents   Check = "skipped-events"      // the client skipped events that its release knows now
	StateDiffers    Check = "state-differs"       // the state holds other rows than the log makes
	StateUnreadable Check = "state-unreadable"    // the state file is damaged
	StateUnknown    Check = "state-unknown"       // no recorded release has the state's hash
	DigestsDiffer   Check = "digests-differ"      // two clients at one head hold different states
)

// A Finding is what an examination says of one thing. It holds no payload values.
type Finding struct {
	Check Check `json:"check"`
	// OK is true where nothing is wrong. Severity and what follows Text are for the others.
	OK       bool              `json:"ok"`
	Severity planner.Severity  `json:"severity,omitempty"`
	Code     planner.Code      `json:"code,omitempty"` // of `headgate help finding`, where there is one
	Store    livestore.StoreID `json:"store,omitempty"`
	Where    string            `json:"where,omitempty"` // a file, a folder, an environment
	Text     string            `json:"text"`
	Evidence []string          `json:"evidence,omitempty"`
	// Repair says what heals it, Next is the exact command to begin with.
	Repair string `json:"repair,omitempty"`
	Next   string `json:"next,omitempty"`
}

// Bad reports whether the finding is at or above a severity.
func (f Finding) Bad(failOn planner.Severity) bool { return !f.OK && f.Severity.AtLeast(failOn) }

var plainArgument = regexp.MustCompile(`^[\pL\pN@%+=:,./_-]+$`)

// Argument writes an argument of a command as a shell takes it.
func Argument(s string) string {
	if plainArgument.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
