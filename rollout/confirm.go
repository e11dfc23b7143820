package rollout

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// A Confirm is who must answer 200 before more opens, or a step is left for the point of no return.
type Confirm struct {
	URL     string            // http://… or https://…
	Timeout time.Duration     // of one question
	Every   time.Duration     // between two questions
	Headers map[string]string // the names of environment variables, which have the values, by header
}

const (
	confirmTime  = 10 * time.Second
	confirmEvery = time.Minute
)

// Host names who confirms, without what the address may hold of secrets.
func (c *Confirm) Host() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "the address"
	}
	return u.Host
}

// A Confirmation is what was answered.
type Confirmation struct {
	OK      bool      `json:"ok"`
	Why     string    `json:"why"` // one line: who answered what
	At      time.Time `json:"at"`
	NextDue time.Time `json:"nextDue,omitzero"` // when it is asked again
}

func (d decoder) confirm(n *yaml.Node, p string) (*Confirm, error) {
	out := &Confirm{Timeout: confirmTime, Every: confirmEvery, Headers: map[string]string{}}
	address := d.value(func(s string) error {
		out.URL = s
		if webAddress(s) == nil {
			return fmt.Errorf("it is not an http:// or https:// URL")
		}
		return nil
	}, "write https://deploy.internal/may-advance; what signs in goes to headers")
	address.required = true
	err := d.mapping(n, p, map[string]field{
		"url": address, "timeout": d.duration(&out.Timeout), "every": d.duration(&out.Every),
		"headers": {read: func(n *yaml.Node, p string) error {
			return d.named(n, p, func(key, value *yaml.Node, p string) error {
				name, err := d.text(value, p)
				switch {
				case err != nil:
					return err
				case !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(key.Value):
					return d.errorf(key, "%s is not the name of a header", p)
				case !variableName.MatchString(name):
					return d.errorf(resolve(value), "%s is not the name of an environment variable", p). // it may be the secret
																Hintf("name the variable that has the header's value, DEPLOY_AUTHORIZATION: the file holds no secrets")
				}
				out.Headers[key.Value] = name
				return nil
			})
		}},
	})
	if err == nil && out.Timeout > time.Minute {
		err = d.errorf(n, "%s.timeout is %s, above 1m", p, out.Timeout).Hintf("answer at once, and with another status than 200 until it may go on: it is asked again")
	}
	return out, err
}

// confirms is who must confirm what comes after a state; nil for nobody.
func (d *Definition) confirms(s State) *Confirm {
	if s.Phase != ReaderGate && s.Phase != Ramp && s.Phase != PointOfNoReturn || s.Step >= len(d.Steps) {
		return nil
	}
	if c := d.Steps[s.Step].Confirm; c != nil && s.Phase != ReaderGate {
		return c
	}
	return d.Confirm
}

// ConfirmDue is who is asked now whether the rollout may go on by itself; nil for nobody.
func ConfirmDue(now time.Time, d *Definition, s State, f Facts) *Confirm {
	t := ticker{now: now, def: d, facts: f, state: &s}
	c := d.confirms(s)
	if c == nil || d.Identity() != s.Identity || s.Confirm != nil && now.Before(s.Confirm.NextDue) {
		return nil
	}
	if why, _ := t.held(); why != "" {
		return nil
	}
	switch s.Phase {
	case ReaderGate:
		if s.missing(d, ToRamp) > 0 || len(t.openable(0)) == 0 {
			return nil
		}
	case Ramp:
		if !t.baked() || slices.ContainsFunc(s.Analysis, func(r AnalysisRun) bool { return r.Outcome != Successful }) {
			return nil
		}
	default:
		return nil
	}
	return c
}

// ConfirmFor is who is asked before a person's command; nil for nobody.
func ConfirmFor(c Command, d *Definition, s State) *Confirm {
	if c == Promote && s.Phase != PointOfNoReturn || c == Finish && s.Phase == PointOfNoReturn {
		return d.confirms(s)
	}
	return nil
}

// agreed refuses a person's command that nobody has confirmed.
func (t *ticker) agreed(r Request, c *Confirm) error {
	answer := t.facts.Confirmation
	switch {
	case c == nil || r.Force:
		return nil
	case answer == nil:
		return errs.New(errs.Stale, "%s has not confirmed it", c.Host()).Hintf("or --force --reason TEXT, which the audit keeps")
	case !answer.OK:
		return errs.New(errs.Stale, "not confirmed: %s", answer.Why).Hintf("or --force --reason TEXT, which the audit keeps")
	}
	t.out.Reasons = append(t.out.Reasons, answer.Why)
	return nil
}

// confirmed reports whether the rollout may go on. A refusal holds it, and stands in the state until it is asked again; it is
// in the audit when it says something new.
func (t *ticker) confirmed() bool {
	c, answer, last := t.def.confirms(*t.state), t.facts.Confirmation, t.state.Confirm
	switch {
	case c == nil:
		return true
	case answer != nil && answer.OK:
		t.out.Reasons = append(t.out.Reasons, answer.Why)
		return true
	case answer != nil:
		kept := *answer
		kept.NextDue = kept.At.Add(c.Every)
		t.state.Confirm = &kept
		if (last == nil || last.Why != kept.Why) || t.out.Changed {
			t.changed("confirm", "not confirmed: %s", kept.Why)
		} else {
			t.changed("measure", "not confirmed: %s", kept.Why)
		}
		last = &kept
	}
	if last == nil {
		t.next(c.Host()+" confirms it", t.now)
		return false
	}
	t.next(fmt.Sprintf("%s confirms it; not yet: %s; it is asked again", c.Host(), strings.TrimSuffix(last.Why, ".")), last.NextDue)
	return false
}
