package server

import (
	"context"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
)

func (s *Server) reset(ctx context.Context, _ *nothing) (operate.ResetReport, error) {
	return s.Operate.Reset(ctx)
}

func (s *Server) fireReset(ctx context.Context, in *api.FireReset) (operate.ResetReport, error) {
	return s.Operate.FireReset(ctx, in.PerHour, by(ctx, in.Reason), in.DryRun)
}

func (s *Server) cancelReset(ctx context.Context, in *api.Why) (operate.ResetReport, error) {
	return s.Operate.CancelReset(ctx, by(ctx, in.Reason))
}
