package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/dashboard"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// sessionTime is how long the dashboard's cookie is good after a person last opened a page.
const sessionTime = time.Hour

// newDashboard makes the pages of the server.
func (s *Server) newDashboard() *dashboard.Dashboard {
	return dashboard.New(dashboard.Options{
		Operate: s.Operate, App: s.App, Version: s.Version, Guard: guard{s}, Log: s.Log, Moved: s.flags.ring,
		Changed: func() <-chan struct{} { _, changed := s.flags.Revision(); return changed },
		Problem: func(r *http.Request, err error) api.Problem {
			p := problemOf(err, requestID(r.Context()))
			s.note(r, err, p)
			return p
		},
	})
}

// A guard lets people into the dashboard by the tokens of the API. A session is sealed as a ticket is, for another purpose:
// it is good at every server of the control database, ends with its token, and opens no route of the API.
type guard struct{ *Server }

func (g guard) Open() bool { return g.NoAuth }

func (g guard) SignIn(r *http.Request, secret string) (string, time.Time, error) {
	if g.NoAuth {
		return "", time.Time{}, errs.Invalidf("this server asks for no tokens").Hintf("open /")
	}
	t, err := g.door.bySecret(r.Context(), secret)
	if err == nil {
		err = may(t, g.App, read)
	}
	if err != nil {
		return "", time.Time{}, g.slow(r, err)
	}
	session, until := g.session(t)
	return session, until, nil
}

func (g guard) Renew(v dashboard.Visitor) (string, time.Time) { return g.session(v.Token) }

func (g guard) session(t control.Token) (string, time.Time) {
	until := g.Operate.Now().Add(sessionTime)
	if t.ExpiresAt.Before(until) {
		until = t.ExpiresAt
	}
	return sealed(dashboardSession, t, until.Unix()), until
}

func (g guard) Enter(r *http.Request, session string) (dashboard.Visitor, error) {
	if g.NoAuth {
		return dashboard.Visitor{By: by(r.Context(), ""), Moves: true}, sameOrigin(r)
	}
	if session == "" {
		return dashboard.Visitor{}, errs.New(errs.Unauthorized, "nobody is signed in").Hintf("open /sign-in")
	}
	t, err := g.door.unseal(r.Context(), dashboardSession, session)
	if err == nil {
		err = may(t, g.App, read)
	}
	if err != nil {
		return dashboard.Visitor{}, g.slow(r, err)
	}
	return dashboard.Visitor{Token: t, By: by(withCaller(r.Context(), t), ""), Moves: may(t, g.App, move) == nil}, nil
}

// slow has who tries tokens wait.
func (g guard) slow(r *http.Request, err error) error {
	if errs.CodeOf(err) != errs.Unauthorized {
		return err
	}
	if wait := g.failures.take(address(r)); wait > 0 {
		return errs.New(api.RateLimited, "too many requests from this address").Hintf("wait for %d seconds", 1+int(wait/time.Second)).Because(errors.Join(err, fmt.Errorf("wait %s", wait)))
	}
	return err
}
