package server

import (
	"context"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
)

type auditIn struct {
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
	Since  string `query:"since" json:"-" doc:"no further back than this, as in 12h or 90d"`
}

func (s *Server) audit(ctx context.Context, in *auditIn) (api.Trail, error) {
	within, err := durationOf("since", in.Since)
	if err != nil {
		return api.Trail{}, err
	}
	var since time.Time
	if within > 0 {
		since = s.Operate.Now().Add(-within)
	}
	return trail(in.Limit, in.Cursor, func(after int64, limit int) (operate.Trail, error) {
		return s.Operate.Audit(ctx, after, since, limit)
	})
}

// auditVerify answers 200 for a broken audit, too: finding that out is what was asked.
func (s *Server) auditVerify(ctx context.Context, _ *nothing) (control.AuditCheck, error) {
	check, err := s.Operate.VerifyAudit(ctx)
	if errs.CodeOf(err) == errs.Mismatch {
		err = nil
	}
	return check, err
}

func (s *Server) approvals(ctx context.Context, in *page) (api.Approvals, error) {
	out := api.Approvals{Approvals: []control.Approval{}}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return out, err
	}
	var before control.Approval
	if in.Cursor != "" {
		var rest string
		if before.At, rest, err = cutCursor(in.Cursor); err != nil {
			return out, err
		}
		var ok bool
		if before.Plan, before.Actor, ok = strings.Cut(rest, "."); !ok {
			return out, badCursor(in.Cursor)
		}
	}
	got, err := s.Operate.DB.ApprovalsBefore(ctx, s.Operate.Name, before, limit+1)
	if err != nil {
		return out, err
	}
	out.Approvals, out.Next, err = paged(control.Values(got), limit, func(k control.Approval) string { return timedCursor(k.At, k.Plan+"."+k.Actor) })
	return out, err
}

type planIn struct {
	Digest string `path:"digest" json:"-"`
}

func (s *Server) planApprovals(ctx context.Context, in *planIn) (api.Approvals, error) {
	list, err := s.Operate.PlanApprovals(ctx, in.Digest)
	return api.Approvals{Approvals: list}, err
}

// plans are those that were approved last.
func (s *Server) plans(ctx context.Context, _ *struct{}) (api.Plans, error) {
	list, err := s.Operate.LatestPlans(ctx, plansListed)
	return api.Plans{Plans: list}, err
}

// plansListed is how many plans are listed.
const plansListed = 10

type approvePlanIn struct {
	Digest string `path:"digest" json:"-"`
	api.ApprovePlan
}

func (s *Server) approvePlan(ctx context.Context, in *approvePlanIn) (control.Approval, error) {
	return s.Operate.ApprovePlan(ctx, in.Digest, in.Plan, by(ctx, in.Reason))
}
