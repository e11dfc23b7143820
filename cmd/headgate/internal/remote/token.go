package remote

import (
	"context"
	"net/url"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// Tokens is operate.Environment.Tokens.
func (c *Client) Tokens(ctx context.Context) (operate.TokenList, error) {
	return get[operate.TokenList](ctx, c, "/v1/tokens", nil)
}

// CreateToken is operate.Environment.CreateToken. The server says who acts, and for which app it is where that is not said.
func (c *Client) CreateToken(ctx context.Context, want control.Token, by control.By) (operate.NewToken, error) {
	return post[operate.NewToken](ctx, c, "/v1/tokens", api.CreateToken{
		Role: want.Role, Person: want.Person, App: want.App, Stores: want.Stores, ExpiresAt: want.ExpiresAt, Reason: by.Reason,
	})
}

// RevokeToken is operate.Environment.RevokeToken. The server says who acts.
func (c *Client) RevokeToken(ctx context.Context, id string, by control.By) (control.Token, error) {
	return post[control.Token](ctx, c, "/v1/tokens/"+url.PathEscape(id)+"/revoke", api.Why{Reason: by.Reason})
}

// Locks is operate.Environment.Locks.
func (c *Client) Locks(ctx context.Context) (operate.LockList, error) {
	return get[operate.LockList](ctx, c, "/v1/leases", nil)
}

// BreakLock is operate.Environment.BreakLock. The server says who acts.
func (c *Client) BreakLock(ctx context.Context, name string, by control.By) (control.Lease, error) {
	return post[control.Lease](ctx, c, "/v1/leases/break", api.BreakLock{Name: name, Reason: by.Reason})
}
