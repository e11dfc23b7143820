package remote

import (
	"context"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
)

// Floor is operate.Environment.Floor.
func (c *Client) Floor(ctx context.Context) (operate.FloorSetting, error) {
	return get[operate.FloorSetting](ctx, c, "/v1/floor/setting", nil)
}

// SetFloor is operate.Environment.SetFloor. The server says who acts.
func (c *Client) SetFloor(ctx context.Context, release string, by control.By, dryRun bool) (operate.FloorChange, error) {
	return post[operate.FloorChange](ctx, c, "/v1/floor", api.SetFloor{Release: release, Reason: by.Reason, DryRun: dryRun})
}

// Stop is operate.Environment.Stop. The server says who acts.
func (c *Client) Stop(ctx context.Context, by control.By, dryRun bool) (operate.StopReport, error) {
	return post[operate.StopReport](ctx, c, "/v1/stop", api.Stop{Reason: by.Reason, DryRun: dryRun})
}

// Lift is operate.Environment.Lift. The server says who acts.
func (c *Client) Lift(ctx context.Context, by control.By) (operate.LiftReport, error) {
	return post[operate.LiftReport](ctx, c, "/v1/stop/lift", api.Why{Reason: by.Reason})
}

// Census is operate.Environment.Census.
func (c *Client) Census(ctx context.Context, within time.Duration) (operate.Census, error) {
	query := url.Values{}
	if within > 0 {
		query.Set("within", within.String())
	}
	return get[operate.Census](ctx, c, "/v1/census", query)
}

// Signals is operate.Environment.Signals.
func (c *Client) Signals(ctx context.Context, within time.Duration) (operate.SignalReport, error) {
	query := url.Values{}
	if within > 0 {
		query.Set("within", within.String())
	}
	return get[operate.SignalReport](ctx, c, "/v1/signals", query)
}

// batchSize is how many clients are sent at a time: a server takes 16 MB, and gives a request less than a minute.
const batchSize = 5000

// Import is operate.Environment.Import. All clients are read before the first is sent, so that a wrong one leaves nothing
// behind; many are sent in batches, each whole or not at all, and may be sent again.
func (c *Client) Import(ctx context.Context, source string, clients iter.Seq2[control.Client, error], _ control.By) (operate.Import, error) {
	in := api.Census{Source: source}
	var all []api.Client
	for k, err := range clients {
		if err != nil {
			return operate.Import{}, err
		}
		in.From = k.Source
		all = append(all, api.Client{StoreID: k.Store, ClientID: k.ID, Release: k.Release, LastSeen: k.LastSeen})
	}
	var out operate.Import
	done := int64(0)
	batches := slices.Collect(slices.Chunk(all, batchSize))
	if len(batches) == 0 {
		batches = [][]api.Client{{}}
	}
	for _, in.Clients = range batches {
		var err error
		if out, err = post[operate.Import](ctx, c, "/v1/census", in); err != nil {
			if e := errs.As(err); e != nil && done > 0 {
				e.Hintf("%d of %d clients were taken over before; import the file again", done, len(all))
			}
			return operate.Import{}, err
		}
		done += out.Clients
	}
	out.Clients = done
	return out, nil
}

// Audit is operate.Environment.Audit.
func (c *Client) Audit(ctx context.Context, after int64, since time.Time, limit int) (operate.Trail, error) {
	query := url.Values{}
	if !since.IsZero() {
		query.Set("since", max(c.Now().Sub(since), time.Millisecond).String())
	}
	return c.trail(ctx, "/v1/audit", query, after, limit)
}

// trail reads the audit page by page, up to limit entries, 0 for all.
func (c *Client) trail(ctx context.Context, path string, query url.Values, after int64, limit int) (operate.Trail, error) {
	out := operate.Trail{Entries: []control.AuditEntry{}}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(min(limit, pageSize)))
	}
	if after > 0 {
		query.Set("cursor", strconv.FormatInt(after, 10))
	}
	err := pages(ctx, c, path, query, func(page api.Trail) string {
		out.Environment, out.Entries = page.Environment, append(out.Entries, page.Entries...)
		if limit > 0 && len(out.Entries) >= limit {
			out.Entries = out.Entries[:limit]
			return ""
		}
		return page.Next
	})
	return out, err
}

// VerifyAudit is operate.Environment.VerifyAudit.
func (c *Client) VerifyAudit(ctx context.Context) (control.AuditCheck, error) {
	out, err := get[control.AuditCheck](ctx, c, "/v1/audit/verify", nil)
	if err != nil || out.Broken == "" {
		return out, err
	}
	return out, errs.New(errs.Mismatch, "the audit is broken: %s", out.Broken).At("%s", c.base).
		Hintf("it was edited outside headgate; a backup tells what stood there")
}
