package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/api"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
)

func (s *Server) status(ctx context.Context, _ *nothing) (operate.Status, error) {
	return s.Operate.Status(ctx)
}

type storesIn struct {
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
	State  string `query:"state" json:"-" doc:"only active, hold or deleted ones"`
	Schema string `query:"schema" json:"-" doc:"only those of a schema"`
}

func (s *Server) stores(ctx context.Context, in *storesIn) (out api.Stores, err error) {
	f := control.StoreFilter{Schema: in.Schema, After: in.Cursor}
	if in.State != "" {
		f.States = []control.StoreState{control.StoreState(in.State)}
	}
	found, next, err := paged(s.Operate.DB.Stores(ctx, s.Operate.Name, f), in.Limit, func(st control.Store) string { return st.ID })
	out = api.Stores{KnownStores: operate.KnownStores{Environment: s.Operate.Name, Stores: []operate.KnownStore{}}, Next: next}
	for _, st := range found {
		out.Stores = append(out.Stores, operate.KnownStoreOf(st))
	}
	return out, err
}

type storeIn struct {
	Store string `path:"store" json:"-"`
}

func (s *Server) store(ctx context.Context, in *storeIn) (operate.KnownStore, error) {
	return s.Operate.StoreShow(ctx, in.Store)
}

func (s *Server) storeClients(ctx context.Context, in *storeIn) (operate.StoreClients, error) {
	return s.Operate.StoreClients(ctx, in.Store)
}

type forgetIn struct {
	Store string `path:"store" json:"-"`
	api.Why
}

func (s *Server) forgetStore(ctx context.Context, in *forgetIn) (operate.ForgottenStore, error) {
	return s.Operate.StoreForget(ctx, in.Store, by(ctx, in.Reason))
}

type incidentIn struct {
	Incident string `path:"incident" json:"-"`
	api.RecordIncident
}

func (s *Server) recordIncident(ctx context.Context, in *incidentIn) (operate.IncidentRecord, error) {
	return s.Operate.RecordIncident(ctx, in.Incident, in.Action, in.IncidentNote, by(ctx, in.Reason))
}

type holdIncidentIn struct {
	Incident string `path:"incident" json:"-"`
	api.HoldIncident
}

func (s *Server) holdIncident(ctx context.Context, in *holdIncidentIn) (control.Lease, error) {
	return s.Operate.HoldIncident(ctx, in.Incident, in.Owner, in.Fence)
}

func (s *Server) releaseIncident(ctx context.Context, in *holdIncidentIn) (nothing, error) {
	return nothing{}, s.Operate.ReleaseIncident(ctx, in.Incident, in.Owner, in.Fence)
}

func (s *Server) webhook(ctx context.Context, _ *nothing) (operate.WebhookReport, error) {
	return s.Operate.Webhook(ctx)
}

func (s *Server) retryWebhook(ctx context.Context, in *api.Why) (operate.WebhookRetry, error) {
	return s.Operate.RetryWebhook(ctx, by(ctx, in.Reason))
}

func (s *Server) runs(ctx context.Context, in *page) (out api.Runs, err error) {
	var after control.Run
	if in.Cursor != "" {
		if after.CreatedAt, after.ID, err = cutCursor(in.Cursor); err != nil {
			return out, err
		}
	}
	out.Runs, out.Next, err = paged(s.Operate.DB.RunsAfter(ctx, s.Operate.Name, after), in.Limit, func(r control.Run) string { return timedCursor(r.CreatedAt, r.ID) })
	return out, err
}

// timedCursor names an entry of a list that is ordered by time and then by a name.
func timedCursor(at time.Time, name string) string {
	return fmt.Sprintf("%d.%s", at.UnixMilli(), name)
}

func cutCursor(cursor string) (at time.Time, name string, err error) {
	ms, name, ok := strings.Cut(cursor, ".")
	n, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || !ok || name == "" {
		return time.Time{}, "", badCursor(cursor)
	}
	return time.UnixMilli(n), name, nil
}

type runIn struct {
	ID string `path:"id" json:"-"`
}

func (s *Server) run(ctx context.Context, in *runIn) (operate.RunStatus, error) {
	return s.Operate.Run(ctx, in.ID)
}

func (s *Server) undoneRuns(ctx context.Context, _ *nothing) (api.RunStatuses, error) {
	runs, err := s.Operate.UndoneRuns(ctx)
	return api.RunStatuses{Runs: runs}, err
}

type lastRunsIn struct {
	Name string `query:"name" json:"-" doc:"only the migration with this name"`
}

func (s *Server) lastRuns(ctx context.Context, in *lastRunsIn) (api.RunStatuses, error) {
	runs, err := s.Operate.LastRuns(ctx, in.Name)
	return api.RunStatuses{Runs: runs}, err
}

func ask(a operate.Action) func(*Server, context.Context, *api.AskRuns) (api.RunStatuses, error) {
	return func(s *Server, ctx context.Context, in *api.AskRuns) (api.RunStatuses, error) {
		runs, err := s.Operate.Ask(ctx, a, in.Migration, by(ctx, in.Reason))
		return api.RunStatuses{Runs: runs}, err
	}
}

// by says in the audit who acts: the person whose token it is, and which one.
func by(ctx context.Context, reason string) control.By {
	t := caller(ctx)
	if t.ID == "" {
		return control.By{Actor: "server without tokens", Reason: reason}
	}
	return control.By{Actor: t.Person, Token: t.ID, Reason: reason}
}
