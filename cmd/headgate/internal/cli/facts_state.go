package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"headgate/internal/errs"
	"headgate/internal/livestore/engine"
	"headgate/internal/livestore/replay"
	"headgate/planner"
)

// rebuild does to each log of the comparison what the upgrade does to its clients: it replays it under the new release,
// and under the old one for the state that stays beside it. So the facts learn how large the states are, and whether the
// rebuild goes through. Checkpoints make the second time cheap.
func (a *app) rebuild(ctx context.Context, c comparison, facts *planner.Facts) error {
	if c.env == nil {
		return nil
	}
	l, err := a.launcher()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "headgate-plan-") // 0700
	if err != nil {
		return errs.New(errs.Internal, "can't make a temporary directory").Because(err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // best effort; it is in the system's temporary directory
	p := a.progress("rebuilding states", int64(len(facts.Logs)))
	defer p.Done()
	for i := range facts.Logs {
		f := &facts.Logs[i]
		s, ok := c.env.Store(f.Store)
		if !ok {
			continue
		}
		log, err := a.storeLog(c.cfg, *c.env, s)
		if err != nil {
			return err
		}
		size := func(b build) (int64, *replay.Poison, error) {
			t := replayTask{
				log:    log,
				target: replay.Target{Release: b.Release, Program: programOf(b), Locate: b.Script.LocateTrace},
				schema: c.schema.Name, out: filepath.Join(tmp, "state.db"),
			}
			res, err := a.replayOne(ctx, l, t, checkpointsOf(c.cfg), true)
			if err != nil || res.Poison != nil {
				return 0, res.Poison, err
			}
			info, err := os.Stat(t.out)
			if err != nil {
				return 0, nil, err
			}
			return info.Size(), nil, nil
		}
		var poison *replay.Poison
		if f.NewStateBytes, poison, err = size(c.to); err != nil {
			return atStore(err, c.cfg, s)
		}
		if poison != nil && slices.Contains([]engine.Stage{engine.StageMaterialize, engine.StageQuery, engine.StageSQL}, poison.Stage) {
			facts.EdgeCases = append(facts.EdgeCases, planner.EdgeCase{
				Release: c.to.Version, Event: poison.Event, Error: poison.String(),
				Shape: fmt.Sprintf("that of %s in store %s: its rebuild fails there", poison.Seq, s.ID),
			})
		}
		if len(c.from) == 1 && c.from[0].StateHash != c.to.StateHash {
			if f.StateBytes, _, err = size(c.from[0]); err != nil {
				return atStore(err, c.cfg, s)
			}
		}
		p.Add(1)
	}
	return nil
}
