package remote

import (
	"context"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// Reset is operate.Environment.Reset.
func (c *Client) Reset(ctx context.Context) (operate.ResetReport, error) {
	return get[operate.ResetReport](ctx, c, "/v1/reset", nil)
}

// ArmReset is operate.Rollouts.ArmReset. Who calls it has accepted the loss. The server says who acts.
func (c *Client) ArmReset(ctx context.Context, ask operate.ResetAsk, by control.By) (operate.ResetReport, error) {
	in := api.ArmReset{All: ask.All, Schema: ask.Schema, PerHour: ask.PerHour, AcceptLoss: true, Reason: by.Reason, DryRun: ask.DryRun}
	for _, id := range ask.Stores {
		in.Stores = append(in.Stores, string(id))
	}
	return post[operate.ResetReport](ctx, c, "/v1/reset/arm", in)
}

// FireReset is operate.Environment.FireReset. The server says who acts.
func (c *Client) FireReset(ctx context.Context, perHour int, by control.By, dryRun bool) (operate.ResetReport, error) {
	return post[operate.ResetReport](ctx, c, "/v1/reset/fire", api.FireReset{PerHour: perHour, Reason: by.Reason, DryRun: dryRun})
}

// CancelReset is operate.Environment.CancelReset. The server says who acts.
func (c *Client) CancelReset(ctx context.Context, by control.By) (operate.ResetReport, error) {
	return post[operate.ResetReport](ctx, c, "/v1/reset/cancel", api.Why{Reason: by.Reason})
}
