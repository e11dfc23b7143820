package remote

import (
	"context"
	"net/url"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

// StoreList is operate.Environment.StoreList.
func (c *Client) StoreList(ctx context.Context, schema string) (operate.KnownStores, error) {
	out := operate.KnownStores{Stores: []operate.KnownStore{}}
	query := url.Values{}
	if schema != "" {
		query.Set("schema", schema)
	}
	err := pages(ctx, c, "/v1/stores", query, func(page api.Stores) string {
		out.Environment, out.Stores = page.Environment, append(out.Stores, page.Stores...)
		return page.Next
	})
	return out, err
}

func storePath(id string) string { return "/v1/stores/" + url.PathEscape(id) }

// StoreShow is operate.Environment.StoreShow.
func (c *Client) StoreShow(ctx context.Context, id string) (operate.KnownStore, error) {
	return get[operate.KnownStore](ctx, c, storePath(id), nil)
}

// StoreClients is operate.Environment.StoreClients.
func (c *Client) StoreClients(ctx context.Context, id string) (operate.StoreClients, error) {
	return get[operate.StoreClients](ctx, c, storePath(id)+"/clients", nil)
}

// SeenStores is operate.Environment.SeenStores.
func (c *Client) SeenStores(ctx context.Context) ([]control.SeenStore, error) {
	out := []control.SeenStore{}
	err := pages(ctx, c, "/v1/census/stores", url.Values{}, func(page api.SeenStores) string {
		out = append(out, page.Stores...)
		return page.Next
	})
	return out, err
}

// StoreForget is operate.Environment.StoreForget. The server says who acts.
func (c *Client) StoreForget(ctx context.Context, id string, by control.By) (operate.ForgottenStore, error) {
	return post[operate.ForgottenStore](ctx, c, storePath(id)+"/forget", api.Why{Reason: by.Reason})
}

// Webhook is operate.Environment.Webhook.
func (c *Client) Webhook(ctx context.Context) (operate.WebhookReport, error) {
	return get[operate.WebhookReport](ctx, c, "/v1/webhook", nil)
}

// RetryWebhook is operate.Environment.RetryWebhook. The server says who acts.
func (c *Client) RetryWebhook(ctx context.Context, by control.By) (operate.WebhookRetry, error) {
	return post[operate.WebhookRetry](ctx, c, "/v1/webhook/retry", api.Why{Reason: by.Reason})
}
