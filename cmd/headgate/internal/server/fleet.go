package server

import (
	"context"
	"encoding/json"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
)

type censusIn struct {
	Within string `query:"within" json:"-" doc:"no further back than this, as in 12h or 90d"`
}

func (s *Server) census(ctx context.Context, in *censusIn) (operate.Census, error) {
	within, err := durationOf("within", in.Within)
	if err != nil {
		return operate.Census{}, err
	}
	return s.Operate.Census(ctx, within)
}

func (s *Server) seenStores(ctx context.Context, in *page) (out api.SeenStores, err error) {
	out.Stores, out.Next, err = paged(s.Operate.DB.SeenStores(ctx, s.Operate.Name, in.Cursor), in.Limit, func(st control.SeenStore) string { return st.Store })
	return out, err
}

// signals are those of the last hour, or of another time.
func (s *Server) signals(ctx context.Context, in *censusIn) (operate.SignalReport, error) {
	within, err := durationOf("within", in.Within)
	if err != nil {
		return operate.SignalReport{}, err
	}
	return s.Operate.Signals(ctx, within)
}

func durationOf(name, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d == 0 {
		return 0, errs.Invalidf("%s: %q is not a duration", name, text).Hintf("write a number and a unit: 90d, 12h, 30m, 2w")
	}
	return d, nil
}

// importCensus takes a census over. What says that the sync backend saw somebody opens stores: that is no pipeline's to say.
func (s *Server) importCensus(ctx context.Context, in *api.Census) (operate.Import, error) {
	switch in.From {
	case "", rollout.FromImport, rollout.FromFlag, rollout.FromTelemetry:
	case rollout.FromSync:
		if s.NoAuth {
			break
		}
		if err := may(caller(ctx), s.App, move); err != nil {
			return operate.Import{}, errs.As(err).Hintf("to speak for the sync backend takes an operator: it makes stores eligible")
		}
	default:
		return operate.Import{}, errs.Invalidf("from: there is no source %q", in.From)
	}
	now := s.Operate.Now()
	latest := now.Add(24 * time.Hour)
	clients := func(yield func(control.Client, error) bool) {
		for i, c := range in.Clients {
			var err error
			switch {
			case c.Release != rollout.NoRelease && !config.IsVersion(c.Release):
				err = errs.Invalidf("clients[%d]: the release %q is not a semantic version, nor %s", i, c.Release, rollout.NoRelease)
			case c.LastSeen.IsZero() || c.LastSeen.After(latest):
				err = errs.Invalidf("clients[%d]: lastSeen is missing, or lies in the future", i)
			}
			seen := c.LastSeen
			if seen.After(now) {
				seen = now
			}
			if !yield(control.Client{Store: c.StoreID, ID: c.ClientID, Release: c.Release, LastSeen: seen, Source: in.From}, err) || err != nil {
				return
			}
		}
	}
	return s.Operate.Import(ctx, in.Source, clients, by(ctx, ""))
}

func (s *Server) floors(ctx context.Context, _ *nothing) (api.Floors, error) {
	floors, err := s.Operate.Floors(ctx)
	return api.Floors{Floors: floors}, err
}

func (s *Server) floorSetting(ctx context.Context, _ *nothing) (operate.FloorSetting, error) {
	return s.Operate.Floor(ctx)
}

func (s *Server) setFloor(ctx context.Context, in *api.SetFloor) (operate.FloorChange, error) {
	return s.Operate.SetFloor(ctx, in.Release, by(ctx, in.Reason), in.DryRun)
}

func (s *Server) stop(ctx context.Context, in *api.Stop) (operate.StopReport, error) {
	return s.Operate.Stop(ctx, by(ctx, in.Reason), in.DryRun)
}

func (s *Server) lift(ctx context.Context, in *api.Why) (operate.LiftReport, error) {
	return s.Operate.Lift(ctx, by(ctx, in.Reason))
}

func (s *Server) flagList(context.Context, *nothing) (api.Flags, error) {
	revision, _ := s.flags.Revision()
	out := api.Flags{Revision: revision.ID, Since: revision.At.UTC(), Flags: []api.Flag{}}
	if err := s.flags.trouble(); err != nil {
		out.Problem = problemOf(err, "").Detail
	}
	for _, f := range s.flags.current().Flags {
		flag := api.Flag{Key: f.Key, Rollout: f.Rollout, Revision: f.Revision, Enabled: !f.Disabled, Default: f.Variants[f.Default].Name, Variants: []api.Variant{}}
		for _, v := range f.Variants {
			flag.Variants = append(flag.Variants, api.Variant{Name: v.Name, Event: v.Event, Value: v.Value, Floor: v.Floor, Percent: v.Percent.String(), Stores: len(v.Stores)})
		}
		out.Flags = append(out.Flags, flag)
	}
	return out, nil
}

// flagExport is what whoever fetches the exported file gets. Stores of a reset that are due are the tick's to open.
func (s *Server) flagExport(context.Context, *nothing) (json.RawMessage, error) {
	file := s.flags.current()
	if err := s.Operate.Exportable(file); err != nil {
		return nil, err
	}
	return file.Flagd()
}

type evaluateIn struct {
	Key string `path:"key" json:"-"`
	api.Question
}

// flagEvaluate answers from the flags in force, which the app gets too.
func (s *Server) flagEvaluate(ctx context.Context, in *evaluateIn) (api.Evaluations, error) {
	q := operate.FlagQuestion{Flag: in.Key, Store: livestore.StoreID(in.StoreID), AppVersion: in.AppVersion}
	got, err := s.Operate.EvaluateFlagOf(ctx, s.flags.current(), q)
	return api.Evaluations{Evaluations: got}, err
}
