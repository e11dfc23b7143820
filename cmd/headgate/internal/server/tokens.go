package server

import (
	"context"
	"slices"
	"strings"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (s *Server) tokens(ctx context.Context, _ *nothing) (operate.TokenList, error) {
	return s.Operate.Tokens(ctx)
}

// createToken makes a token that can do no more than the caller's. One that acts is the caller's own, and lives no longer
// than the one that made it: who could make one for somebody else would be two people where approvals are.
func (s *Server) createToken(ctx context.Context, in *api.CreateToken) (operate.NewToken, error) {
	want := control.Token{Role: in.Role, Person: in.Person, App: in.App, Stores: in.Stores, ExpiresAt: in.ExpiresAt}
	if want.App == "" {
		want.App = s.App
	}
	if slices.Contains(control.Roles(), want.Role) && !s.NoAuth {
		if err := s.mayMake(caller(ctx), want); err != nil {
			return operate.NewToken{}, err
		}
	}
	return s.Operate.CreateToken(ctx, want, by(ctx, in.Reason))
}

func (s *Server) mayMake(who control.Token, want control.Token) error {
	no := func(format string, args ...any) error {
		return errs.New(errs.Forbidden, format, args...).Hintf("`headgate token create`, run where the control database is, makes any token")
	}
	own := permissions(who.Role)
	seen := []permission{report, tell, trace} // what machines say they saw; it moves and approves nothing
	exceeds := slices.ContainsFunc(permissions(want.Role), func(p permission) bool { return !slices.Contains(own, p) && !slices.Contains(seen, p) })
	switch {
	case want.App != s.App:
		return no("this server is for the app %s, not %s", s.App, want.App)
	case exceeds:
		return no("a token of the role %s can't make one of the role %s", who.Role, want.Role)
	case want.Role.Acts() && strings.TrimSpace(want.Person) != "" && !rollout.SamePerson(want.Person, who.Person):
		return no("%s can't make a token of the role %s for %s", who.Person, want.Role, want.Person)
	case want.Role.Acts() && want.ExpiresAt.After(who.ExpiresAt):
		return no("the token would be valid for longer than the one that makes it, which ends at %s", who.ExpiresAt.Format("2006-01-02T15:04:05Z07:00"))
	}
	return nil
}

type tokenIn struct {
	ID string `path:"token" json:"-"`
	api.Why
}

func (s *Server) revokeToken(ctx context.Context, in *tokenIn) (control.Token, error) {
	return s.Operate.RevokeToken(ctx, in.ID, by(ctx, in.Reason))
}

func (s *Server) leases(ctx context.Context, _ *nothing) (operate.LockList, error) {
	return s.Operate.Locks(ctx)
}

func (s *Server) breakLock(ctx context.Context, in *api.BreakLock) (control.Lease, error) {
	if strings.TrimSpace(in.Reason) == "" {
		return control.Lease{}, errs.Invalidf("the reason is missing").Hintf("say why the owner can't give the lock back, for the audit")
	}
	return s.Operate.BreakLock(ctx, in.Name, by(ctx, in.Reason))
}
