package planner

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"headgate/internal/errs"
)

// A Suppression accepts findings: someone decided, for a reason, until a date. Accepted debt from `headgate baseline`
// is the same thing.
type Suppression struct {
	Code Code `json:"code"`
	// Path is a glob over "Event $.args.path": * stands for anything, ? for one character. It also matches an event, a
	// table or a path alone. Empty means every place.
	Path    string    `json:"path,omitempty"`
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"` // the first moment at which it no longer holds
	// Where is the line that it stands on, for messages.
	Where string `json:"where,omitempty"`
}

// Validate reports the first thing that s lacks, as an errs.Invalid error.
func (s Suppression) Validate() error {
	var err *errs.Error
	if _, unknown := RuleFor(string(s.Code)); unknown != nil {
		err = errs.Invalidf("suppression of an unknown finding %q", s.Code).Hintf("`headgate help finding` lists all codes")
	} else if strings.HasPrefix(string(s.Code), "SU") {
		err = errs.Invalidf("%s can't be suppressed", s.Code).Hintf("change or remove the suppression that it is about")
	} else if s.Reason == "" || s.Owner == "" || s.Expires.IsZero() {
		err = errs.Invalidf("suppression of %s lacks a reason, an owner or an expiry date", s.Code)
	}
	if err == nil {
		return nil
	}
	if s.Where != "" {
		err = err.At("%s", s.Where)
	}
	return err
}

func (s Suppression) matches(f Finding) bool {
	if s.Code != f.Code {
		return false
	}
	if s.Path == "" {
		return true
	}
	var b strings.Builder
	b.WriteString("^")
	for _, r := range s.Path {
		switch r {
		case '*':
			b.WriteString(".*")
		case '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	re, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return false
	}
	for _, subject := range []string{f.Place(), f.Event, f.Table, f.Path} {
		if subject != "" && re.MatchString(subject) {
			return true
		}
	}
	return f.Location != nil && re.MatchString(f.Location.File)
}

// suppress marks what is accepted, and says which suppressions expired or match nothing.
func suppress(findings []Finding, list []Suppression, now time.Time, to string) []Finding {
	var notes []Finding
	table := ruleTable()
	for _, s := range list {
		matched := 0
		expired := !now.Before(s.Expires)
		for i := range findings {
			if !s.matches(findings[i]) {
				continue
			}
			matched++
			if !expired && findings[i].Suppressed == nil {
				findings[i].Suppressed = &Suppressed{Reason: s.Reason, Owner: s.Owner, Expires: s.Expires.UTC()}
			}
		}
		about := strings.TrimSpace(string(s.Code) + " " + s.Path)
		f := Finding{Direction: Both, To: to, Detail: strings.TrimSpace(s.Where + " owner " + s.Owner + ", reason: " + s.Reason)}
		switch {
		case expired:
			f.Code, f.Severity = "SU101", Error
			f.Message = fmt.Sprintf("the suppression of %s expired on %s", about, s.Expires.UTC().Format(time.DateOnly))
		case matched == 0:
			f.Code, f.Severity = "SU102", Info
			f.Message = fmt.Sprintf("the suppression of %s matches nothing", about)
		default:
			continue
		}
		f.Fix = table[f.Code].Fix
		notes = append(notes, f)
	}
	return append(findings, notes...)
}
