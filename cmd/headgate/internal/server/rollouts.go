package server

import (
	"context"
	"slices"
	"strconv"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

func (s *Server) rollouts(ctx context.Context, in *page) (out api.Rollouts, err error) {
	all, err := s.Operate.RolloutList(ctx)
	if err != nil {
		return out, err
	}
	after := slices.DeleteFunc(all, func(l operate.RolloutLine) bool { return l.Name <= in.Cursor })
	out.Rollouts, out.Next, err = paged(control.Values(after), in.Limit, func(l operate.RolloutLine) string { return l.Name })
	return out, err
}

type rolloutIn struct {
	Name string `path:"name" json:"-"`
	Logs string `query:"logs" json:"-" doc:"true: read on in the stores' logs, to count what is committed; at most one caller at a time"`
}

// queueTime is how long a request waits until no other one reads the logs. Then it gets what was counted last.
const queueTime = 20 * time.Second

func (s *Server) rolloutStatus(ctx context.Context, in *rolloutIn) (operate.RolloutStatus, error) {
	if in.Logs == "" || in.Logs == "false" {
		return s.Operate.RolloutStatus(ctx, in.Name, false)
	}
	if in.Logs != "true" {
		return operate.RolloutStatus{}, errs.Invalidf("logs: %q is neither true nor false", in.Logs)
	}
	queue, leave := context.WithTimeout(ctx, queueTime)
	defer leave()
	select {
	case s.counting <- struct{}{}:
		defer func() { <-s.counting }()
		return s.Operate.RolloutStatus(ctx, in.Name, true)
	case <-queue.Done():
		return s.Operate.RolloutStatus(ctx, in.Name, false)
	}
}

type rolloutNamed struct {
	Name string `path:"name" json:"-"`
}

func (s *Server) rolloutCheck(ctx context.Context, in *rolloutNamed) (operate.RolloutCheck, error) {
	return s.Operate.RolloutCheck(ctx, in.Name)
}

type historyIn struct {
	Name   string `path:"name" json:"-"`
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
}

func (s *Server) rolloutHistory(ctx context.Context, in *historyIn) (api.Trail, error) {
	return trail(in.Limit, in.Cursor, func(after int64, limit int) (operate.Trail, error) {
		return s.Operate.RolloutHistory(ctx, in.Name, after, limit)
	})
}

// trail is a page of entries of the audit, those after the cursor.
func trail(limit int, cursor string, entries func(after int64, limit int) (operate.Trail, error)) (api.Trail, error) {
	limit, err := limitOf(limit)
	if err != nil {
		return api.Trail{}, err
	}
	after := int64(0)
	if cursor != "" {
		if after, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return api.Trail{}, badCursor(cursor)
		}
	}
	out := api.Trail{}
	if out.Trail, err = entries(after, limit+1); err != nil {
		return out, err
	}
	out.Entries, out.Next, err = paged(control.Values(out.Entries), limit, func(e control.AuditEntry) string { return strconv.FormatInt(e.Seq, 10) })
	return out, err
}

type actIn struct {
	Name string `path:"name" json:"-"`
	api.Act
}

func act(command rollout.Command) func(*Server, context.Context, *actIn) (operate.RolloutResult, error) {
	return func(s *Server, ctx context.Context, in *actIn) (operate.RolloutResult, error) {
		return s.act(ctx, in.Name, command, in.Act)
	}
}

type promoteIn struct {
	Name string `path:"name" json:"-"`
	api.Promote
}

func (s *Server) promote(ctx context.Context, in *promoteIn) (operate.RolloutResult, error) {
	command := rollout.Promote
	if in.Full {
		command = rollout.Finish
	}
	return s.act(ctx, in.Name, command, in.Act)
}

// act does what somebody asks for. Whoever may approve may go on without an approval, when he says why.
func (s *Server) act(ctx context.Context, name string, command rollout.Command, in api.Act) (operate.RolloutResult, error) {
	if in.Force && !s.NoAuth {
		if err := may(caller(ctx), s.App, approve); err != nil {
			return operate.RolloutResult{}, errs.As(err).Hintf("going on in spite of what is not ready takes an approver")
		}
	}
	return s.Operate.RolloutAct(ctx, name, operate.RolloutAsk{Command: command, Force: in.Force, DryRun: in.DryRun}, by(ctx, in.Reason))
}
