package remote

import (
	"context"
	"encoding/json"
	"net/url"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/rollout"
)

func rolloutPath(name string) string { return "/v1/rollouts/" + url.PathEscape(name) }

// RolloutList is operate.Rollouts.RolloutList.
func (c *Client) RolloutList(ctx context.Context) ([]operate.RolloutLine, error) {
	out := []operate.RolloutLine{}
	err := pages(ctx, c, "/v1/rollouts", url.Values{}, func(page api.Rollouts) string {
		out = append(out, page.Rollouts...)
		return page.Next
	})
	return out, err
}

// RolloutStatus is operate.Rollouts.RolloutStatus.
func (c *Client) RolloutStatus(ctx context.Context, name string, logs bool) (operate.RolloutStatus, error) {
	query := url.Values{}
	if logs {
		query.Set("logs", "true")
	}
	return get[operate.RolloutStatus](ctx, c, rolloutPath(name), query)
}

// RolloutCheck is operate.Rollouts.RolloutCheck.
func (c *Client) RolloutCheck(ctx context.Context, name string) (operate.RolloutCheck, error) {
	return get[operate.RolloutCheck](ctx, c, rolloutPath(name)+"/check", nil)
}

// RolloutHistory is operate.Rollouts.RolloutHistory.
func (c *Client) RolloutHistory(ctx context.Context, name string, after int64, limit int) (operate.Trail, error) {
	return c.trail(ctx, rolloutPath(name)+"/history", url.Values{}, after, limit)
}

// RolloutAct is operate.Rollouts.RolloutAct. The server says who acts.
func (c *Client) RolloutAct(ctx context.Context, name string, ask operate.RolloutAsk, by control.By) (operate.RolloutResult, error) {
	in := api.Act{Reason: by.Reason, Force: ask.Force, DryRun: ask.DryRun}
	path := rolloutPath(name) + "/"
	if ask.Command == rollout.Finish {
		return post[operate.RolloutResult](ctx, c, path+string(rollout.Promote), api.Promote{Act: in, Full: true})
	}
	return post[operate.RolloutResult](ctx, c, path+string(ask.Command), in)
}

// EvaluateFlag is operate.Rollouts.EvaluateFlag, of the flags that the server has in force.
func (c *Client) EvaluateFlag(ctx context.Context, q operate.FlagQuestion) ([]operate.Evaluated, error) {
	out, err := post[api.Evaluations](ctx, c, "/v1/flags/"+url.PathEscape(q.Flag)+"/evaluate", api.Question{StoreID: string(q.Store), AppVersion: q.AppVersion})
	return out.Evaluations, err
}

// FlagsExport is the flags that the server has in force, as a flagd file.
func (c *Client) FlagsExport(ctx context.Context) ([]byte, error) {
	return get[json.RawMessage](ctx, c, "/v1/flags/export", nil)
}

// Status is operate.Environment.Status.
func (c *Client) Status(ctx context.Context) (operate.Status, error) {
	return get[operate.Status](ctx, c, "/v1/status", nil)
}

// LastRuns is operate.Environment.LastRuns.
func (c *Client) LastRuns(ctx context.Context, migration string) ([]operate.RunStatus, error) {
	query := url.Values{}
	if migration != "" {
		query.Set("name", migration)
	}
	out, err := get[api.RunStatuses](ctx, c, "/v1/migrations", query)
	return out.Runs, err
}

// UndoneRuns is operate.Environment.UndoneRuns.
func (c *Client) UndoneRuns(ctx context.Context) ([]operate.RunStatus, error) {
	out, err := get[api.RunStatuses](ctx, c, "/v1/runs/undone", nil)
	return out.Runs, err
}

// Ask is operate.Environment.Ask. The server says who acts.
func (c *Client) Ask(ctx context.Context, a operate.Action, migration string, by control.By) ([]operate.RunStatus, error) {
	out, err := post[api.RunStatuses](ctx, c, "/v1/runs/"+string(a), api.AskRuns{Migration: migration, Reason: by.Reason})
	return out.Runs, err
}

// ApprovePlan is operate.Environment.ApprovePlan. The server says who acts.
func (c *Client) ApprovePlan(ctx context.Context, digest, text string, by control.By) (control.Approval, error) {
	return post[control.Approval](ctx, c, "/v1/plans/"+url.PathEscape(digest)+"/approve", api.ApprovePlan{Plan: text, Reason: by.Reason})
}

// RecordIncident is operate.Environment.RecordIncident. The server says who acts.
func (c *Client) RecordIncident(ctx context.Context, incident, action string, note operate.IncidentNote, by control.By) (operate.IncidentRecord, error) {
	in := api.RecordIncident{Action: action, Reason: by.Reason, IncidentNote: note}
	return post[operate.IncidentRecord](ctx, c, incidentPath(incident)+"/record", in)
}

func incidentPath(incident string) string { return "/v1/incidents/" + url.PathEscape(incident) }

// HoldIncident is operate.Environment.HoldIncident.
func (c *Client) HoldIncident(ctx context.Context, incident, owner string, fence int64) (control.Lease, error) {
	return post[control.Lease](ctx, c, incidentPath(incident)+"/hold", api.HoldIncident{Owner: owner, Fence: fence})
}

// ReleaseIncident is operate.Environment.ReleaseIncident.
func (c *Client) ReleaseIncident(ctx context.Context, incident, owner string, fence int64) error {
	_, err := post[struct{}](ctx, c, incidentPath(incident)+"/release", api.HoldIncident{Owner: owner, Fence: fence})
	return err
}

// PlanApprovals is operate.Environment.PlanApprovals.
func (c *Client) PlanApprovals(ctx context.Context, digest string) ([]control.Approval, error) {
	out, err := get[api.Approvals](ctx, c, "/v1/plans/"+url.PathEscape(digest)+"/approvals", nil)
	return out.Approvals, err
}
