package operate

import (
	"context"
	"regexp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// ApprovePlan says that somebody agrees to exactly the plan with this digest.
func (e Environment) ApprovePlan(ctx context.Context, digest string, by control.By) (control.Approval, error) {
	if err := isDigest(digest); err != nil {
		return control.Approval{}, err
	}
	return e.DB.Approve(ctx, e.Name, digest, by)
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
