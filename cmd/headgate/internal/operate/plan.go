package operate

import (
	"context"
	"regexp"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/planner"
)

// ApprovePlan says that somebody agrees to exactly the plan with this digest. Its text, as [planner.Plan.JSON] writes it,
// is kept to be shown; empty for who has the digest alone.
func (e Environment) ApprovePlan(ctx context.Context, digest, text string, by control.By) (control.Approval, error) {
	if err := isDigest(digest); err != nil {
		return control.Approval{}, err
	}
	if text != "" {
		p, err := planner.DecodePlan([]byte(text))
		switch {
		case err != nil:
			return control.Approval{}, err
		case p.Digest != digest:
			return control.Approval{}, errs.Invalidf("the plan is another one: its digest is %s", p.Digest)
		case p.Intent.Environment != e.Name:
			return control.Approval{}, errs.Invalidf("the plan is for the environment %q, not %q", p.Intent.Environment, e.Name)
		}
		if err := e.DB.KeepPlan(ctx, e.Name, digest, text); err != nil {
			return control.Approval{}, err
		}
	}
	return e.DB.Approve(ctx, e.Name, digest, by)
}

// An ApprovedPlan is a plan that is kept, with who approved it.
type ApprovedPlan struct {
	Digest    string             `json:"digest"`
	At        time.Time          `json:"at"` // of the last approval that brought its text
	Plan      *planner.Plan      `json:"plan"`
	Approvals []control.Approval `json:"approvals"`
}

// LatestPlans are the plans that were approved last, the latest first. One that this program can't read, of a newer one,
// is left out.
func (e Environment) LatestPlans(ctx context.Context, limit int) ([]ApprovedPlan, error) {
	kept, err := e.DB.Plans(ctx, e.Name, limit)
	out := []ApprovedPlan{}
	for _, k := range kept {
		p, broken := planner.DecodePlan([]byte(k.Text))
		if broken != nil {
			continue
		}
		a := ApprovedPlan{Digest: k.Digest, At: k.At, Plan: p}
		if a.Approvals, err = e.PlanApprovals(ctx, k.Digest); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, err
}

// PlanApprovals are those of the plan with this digest, the first one first.
func (e Environment) PlanApprovals(ctx context.Context, digest string) ([]control.Approval, error) {
	if err := isDigest(digest); err != nil {
		return nil, err
	}
	list, err := e.DB.Approvals(ctx, e.Name, digest)
	return append([]control.Approval{}, list...), err
}

func isDigest(s string) error {
	if !regexp.MustCompile(`^sha256-[0-9a-f]{64}$`).MatchString(s) {
		return errs.Invalidf("%q is not the digest of a plan", s).Hintf("headgate plan show FILE prints it")
	}
	return nil
}
