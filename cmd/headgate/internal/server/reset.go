package server

import (
	"context"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective"
	"headgate/internal/errs"
	"headgate/internal/livestore"
)

func (s *Server) reset(ctx context.Context, _ *nothing) (operate.ResetReport, error) {
	return s.Operate.Reset(ctx)
}

func (s *Server) armReset(ctx context.Context, in *api.ArmReset) (operate.ResetReport, error) {
	if !in.AcceptLoss && !in.DryRun {
		return operate.ResetReport{}, errs.Refusedf("a reset may lose data, and acceptLoss is not true").Hintf("%s", corrective.FullResetLoss())
	}
	ask := operate.ResetAsk{All: in.All, Schema: in.Schema, PerHour: in.PerHour, DryRun: in.DryRun}
	for _, id := range in.Stores {
		ask.Stores = append(ask.Stores, livestore.StoreID(id))
	}
	return s.Operate.ArmReset(ctx, ask, by(ctx, in.Reason))
}

func (s *Server) fireReset(ctx context.Context, in *api.FireReset) (operate.ResetReport, error) {
	return s.Operate.FireReset(ctx, in.PerHour, by(ctx, in.Reason), in.DryRun)
}

func (s *Server) cancelReset(ctx context.Context, in *api.Why) (operate.ResetReport, error) {
	return s.Operate.CancelReset(ctx, by(ctx, in.Reason))
}
