package operate

import (
	"context"
	"slices"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// A TokenRow is a token in a list.
type TokenRow struct {
	control.Token
	State string `json:"state"` // valid, expired or revoked
}

// A TokenList are an environment's tokens, the latest first.
type TokenList struct {
	Environment string     `json:"environment"`
	Tokens      []TokenRow `json:"tokens"`
}

// A NewToken is a token that was just made, with its secret, which nobody can look up later.
type NewToken struct {
	control.Token
	Secret string `json:"token"`
}

// Tokens lists the tokens, with those that are not valid any more.
func (e Environment) Tokens(ctx context.Context) (TokenList, error) {
	out := TokenList{Environment: e.Name, Tokens: []TokenRow{}}
	found, err := e.DB.Tokens(ctx, e.Name)
	for _, t := range found {
		state := "valid"
		switch {
		case !t.RevokedAt.IsZero():
			state = "revoked"
		case t.Check(e.Now()) != nil:
			state = "expired"
		}
		out.Tokens = append(out.Tokens, TokenRow{t, state})
	}
	return out, err
}

// CreateToken makes a token.
func (e Environment) CreateToken(ctx context.Context, want control.Token, by control.By) (NewToken, error) {
	if !slices.Contains(control.Roles(), want.Role) {
		return NewToken{}, errs.Invalidf("there is no role %q", want.Role).Hintf("`headgate help token` lists what each role may do")
	}
	want.Env = e.Name
	t, secret, err := e.DB.CreateToken(ctx, want, by)
	return NewToken{t, secret}, err
}

// RevokeToken ends a token's life.
func (e Environment) RevokeToken(ctx context.Context, id string, by control.By) (control.Token, error) {
	return e.DB.RevokeToken(ctx, e.Name, id, by)
}

// A LockList are the locks of an environment.
type LockList struct {
	Environment string          `json:"environment"`
	Leases      []control.Lease `json:"leases"`
}

// Locks lists who works on what, and locks that ended and nobody took since.
func (e Environment) Locks(ctx context.Context) (LockList, error) {
	held, err := e.DB.Leases(ctx, e.Name)
	return LockList{Environment: e.Name, Leases: append([]control.Lease{}, held...)}, err
}

// BreakLock takes a lock away from its owner, and returns how it was.
func (e Environment) BreakLock(ctx context.Context, name string, by control.By) (control.Lease, error) {
	return e.DB.Break(ctx, e.Name, name, by)
}
