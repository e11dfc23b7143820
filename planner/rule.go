package planner

import (
	"cmp"
	"slices"
	"strings"

	"headgate/internal/errs"
)

// A Rule is what a code means, for good: `headgate help finding CODE` prints it.
type Rule struct {
	Code  Code   `json:"code"`
	Title string `json:"title"`
	// Replay and Fleet are the usual severities. Context may raise or lower one: the explanation says when.
	Replay Severity `json:"replay"`
	Fleet  Severity `json:"fleet"`
	// Decodes is true when the replay side asks only whether old payloads decode, so that a probe over real logs can
	// answer it.
	Decodes bool `json:"decodes,omitempty"`
	// By is the command that finds it, empty for those that compare releases (check, plan, gate).
	By string `json:"by,omitempty"`

	Breaks  string `json:"breaks"` // what breaks
	Who     string `json:"who"`    // for whom
	Fix     string `json:"fix"`
	Example string `json:"example"`
}

// Rules returns every code, sorted.
func Rules() []Rule {
	all := slices.Concat(eventRules(), fieldRules(), typeRules(), shapeRules(), stateRules(), materializerRules(), appRules(), rolloutRules(), correctionRules())
	slices.SortFunc(all, func(a, b Rule) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

// RuleFor returns the rule of a code, in any case; an unknown one is an error that suggests near codes.
func RuleFor(code string) (Rule, error) {
	want := Code(strings.ToUpper(strings.TrimSpace(code)))
	var near []string
	for _, r := range Rules() {
		if r.Code == want {
			return r, nil
		}
		if len(want) >= 2 && strings.HasPrefix(string(r.Code), string(want[:2])) {
			near = append(near, string(r.Code))
		}
	}
	e := errs.NotFoundf("no finding has the code %q", code).Then("headgate help finding")
	if len(near) > 0 {
		return Rule{}, e.Hintf("codes that begin alike: %s", strings.Join(near, ", "))
	}
	return Rule{}, e.Hintf("`headgate help finding` lists all codes")
}

// rules is the table by code, made once per check.
type rules map[Code]Rule

func ruleTable() rules {
	t := rules{}
	for _, r := range Rules() {
		t[r.Code] = r
	}
	return t
}
