package operate

import (
	"context"

	"headgate/internal/control"
)

// A WebhookReport says how far an environment's webhook was told.
type WebhookReport struct {
	Environment string `json:"environment"`
	Configured  bool   `json:"configured"` // in headgate.yaml
	control.WebhookState
}

// Webhook says how far the environment's webhook was told.
func (e Environment) Webhook(ctx context.Context) (WebhookReport, error) {
	s, _, err := e.DB.Webhook(ctx, e.Name)
	return WebhookReport{Environment: e.Name, Configured: e.HasWebhook, WebhookState: s}, err
}

// A WebhookRetry says what is told again.
type WebhookRetry struct {
	Environment string `json:"environment"`
	Events      int64  `json:"events"`
}

// RetryWebhook has what was given up tried again.
func (e Environment) RetryWebhook(ctx context.Context, by control.By) (WebhookRetry, error) {
	n, err := e.DB.RetryDeliveries(ctx, e.Name, by)
	return WebhookRetry{Environment: e.Name, Events: n}, err
}
