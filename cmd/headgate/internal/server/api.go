package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/rollout"
	"headgate/rollout/observe"
	"headgate/rollout/ofrep"
)

// routes are everything that the server answers to.
func routes() []route {
	census := post("/v1/census", "Take over which client was last seen when, and on which release", bring, (*Server).importCensus)
	census.body = 16 << 20
	reports := taking[observe.ReportBatch]("/v1/reports", "Who syncs, from the sync backend's Worker", report, (*Server).reports)
	telemetry := taking[observe.TelemetryBatch]("/v1/telemetry", "What the app saw, from its helper", tell, (*Server).telemetry)
	telemetry.pages, telemetry.limited = true, true
	return []route{
		{method: http.MethodGet, path: "/healthz", summary: "The process runs", serve: (*Server).healthz},
		{method: http.MethodGet, path: "/readyz", summary: "The server can answer: its database does, and there are flags", serve: (*Server).readyz},
		{method: http.MethodGet, path: "/metrics", summary: "Measurements, for Prometheus", needs: read, serve: (*Server).metrics},
		{method: http.MethodGet, path: "/v1/openapi.json", summary: "This document", serve: (*Server).openapi},

		{method: http.MethodPost, path: ofrep.SinglePath, summary: "Evaluate one flag", needs: evaluate, pages: true, protocol: true, limited: true, serve: func(s *Server, w http.ResponseWriter, r *http.Request) { s.ofrep.Single(w, r) }},
		{method: http.MethodPost, path: ofrep.BulkPath, summary: "Evaluate all flags", needs: evaluate, pages: true, protocol: true, limited: true, serve: func(s *Server, w http.ResponseWriter, r *http.Request) { s.ofrep.Bulk(w, r) }},
		{method: http.MethodGet, path: ofrep.StreamPath, summary: "Hear when flags change", needs: evaluate, pages: true, protocol: true, limited: true, serve: func(s *Server, w http.ResponseWriter, r *http.Request) { s.ofrep.Stream(w, r) }},

		reports,
		telemetry,
		get("/v1/floor", "The release below which the sync backend turns clients away, by schema; * for all", floor, (*Server).floors),
		post("/v1/floor", "Set that release, or none", move, (*Server).setFloor),

		get("/v1/status", "What runs, what blocks, and the next command", read, (*Server).status),
		get("/v1/stores", "The stores of the inventory, by id", read, (*Server).stores),
		get("/v1/leases", "Who works on which store at the moment", read, (*Server).leases),
		get("/v1/runs", "Runs of migrations, the latest first", read, (*Server).runs),
		get("/v1/runs/{id}", "How far a run is", read, (*Server).run),
		post("/v1/runs/pause", "Let the runs that are under way stop after the batches they are at", move, ask(operate.Pause)),
		post("/v1/runs/resume", "Go on with runs that were paused", move, ask(operate.Resume)),
		post("/v1/runs/cancel", "End the runs that are under way or paused, for good", move, ask(operate.Cancel)),
		get("/v1/census", "Which releases the clients run", read, (*Server).census),
		census,
		get("/v1/flags", "The flags in force", read, (*Server).flagList),
		post("/v1/flags/{key}/evaluate", "Which version a store's clients emit, and why", read, (*Server).flagEvaluate),
		get("/v1/audit", "Who did what, oldest first", read, (*Server).audit),
		get("/v1/audit/verify", "Check that no entry of the audit was changed or removed", read, (*Server).auditVerify),
		post("/v1/stop", "The emergency: abort every ramp, pause every migration, freeze every advance", move, (*Server).stop),
	}
}

// A page is a part of a list.
type page struct {
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
}

const (
	pageDefault = 100
	pageMost    = 500
)

func limitOf(n int) (int, error) {
	switch {
	case n == 0:
		return pageDefault, nil
	case n > pageMost:
		return 0, errs.Invalidf("limit: %d is above %d", n, pageMost)
	}
	return n, nil
}

type nothing struct{}

func (s *Server) status(ctx context.Context, _ *nothing) (operate.Status, error) {
	return s.Environment.Status(ctx)
}

// A Store is a store of the inventory, and what headgate found out about it.
type Store struct {
	ID        string             `json:"id"`
	Schema    string             `json:"schema"`
	Log       string             `json:"log"` // without secrets
	Region    string             `json:"region,omitempty"`
	State     control.StoreState `json:"state"`
	Note      string             `json:"note,omitempty"` // why it is in this state
	Head      int64              `json:"head"`           // the highest that it ever answered
	BackendID string             `json:"backendId,omitempty"`
	SeenAt    time.Time          `json:"seenAt,omitzero"` // in the inventory
}

// Stores is a page of them.
type Stores struct {
	Stores []Store `json:"stores"`
	Next   string  `json:"next,omitempty"` // the cursor of the next page
}

type storesIn struct {
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
	State  string `query:"state" json:"-" doc:"only active, hold or deleted ones"`
	Schema string `query:"schema" json:"-" doc:"only those of a schema"`
}

func (s *Server) stores(ctx context.Context, in *storesIn) (Stores, error) {
	out := Stores{Stores: []Store{}}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return out, err
	}
	f := control.StoreFilter{Schema: in.Schema, After: in.Cursor}
	if in.State != "" {
		f.States = []control.StoreState{control.StoreState(in.State)}
	}
	for st, err := range s.Environment.DB.Stores(ctx, s.Environment.Name, f) {
		if err != nil {
			return out, err
		}
		if len(out.Stores) == limit {
			out.Next = out.Stores[limit-1].ID
			break
		}
		out.Stores = append(out.Stores, Store(st))
	}
	return out, nil
}

// Leases are who works on what.
type Leases struct {
	Leases []control.Lease `json:"leases"`
}

func (s *Server) leases(ctx context.Context, _ *nothing) (Leases, error) {
	held, err := s.Environment.DB.Leases(ctx, s.Environment.Name)
	return Leases{append([]control.Lease{}, held...)}, err
}

// Runs is a page of runs.
type Runs struct {
	Runs []control.Run `json:"runs"`
	Next string        `json:"next,omitempty"` // the cursor of the next page
}

func (s *Server) runs(ctx context.Context, in *page) (Runs, error) {
	out := Runs{Runs: []control.Run{}}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return out, err
	}
	var after control.Run
	if in.Cursor != "" {
		at, id, ok := strings.Cut(in.Cursor, ".")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return out, badCursor(in.Cursor)
		}
		after = control.Run{ID: id, CreatedAt: time.UnixMilli(ms)}
	}
	for r, err := range s.Environment.DB.RunsAfter(ctx, s.Environment.Name, after) {
		if err != nil {
			return out, err
		}
		if len(out.Runs) == limit {
			last := out.Runs[limit-1]
			out.Next = fmt.Sprintf("%d.%s", last.CreatedAt.UnixMilli(), last.ID)
			break
		}
		out.Runs = append(out.Runs, r)
	}
	return out, nil
}

func badCursor(cursor string) error {
	return errs.Invalidf("cursor: %q is not from a page", cursor).Hintf("it is the next of the page before")
}

type runIn struct {
	ID string `path:"id" json:"-"`
}

func (s *Server) run(ctx context.Context, in *runIn) (operate.RunStatus, error) {
	return s.Environment.Run(ctx, in.ID)
}

type askIn struct {
	Migration string `json:"migration,omitempty"` // the name of one, or all of them
	Reason    string `json:"reason,omitempty"`    // for the audit
}

// Asked are the runs that were asked, as they stand then.
type Asked struct {
	Runs []operate.RunStatus `json:"runs"`
}

func ask(a operate.Action) func(*Server, context.Context, *askIn) (Asked, error) {
	return func(s *Server, ctx context.Context, in *askIn) (Asked, error) {
		runs, err := s.Environment.Ask(ctx, a, in.Migration, by(ctx, in.Reason))
		return Asked{runs}, err
	}
}

// by says in the audit who calls: the token, and who it was made by.
func by(ctx context.Context, reason string) control.By {
	t := caller(ctx)
	if t.ID == "" {
		return control.By{Actor: "server without tokens", Reason: reason}
	}
	return control.By{Actor: fmt.Sprintf("token %s of %s", t.ID, t.Actor), Reason: reason}
}

type censusIn struct {
	Within string `query:"within" json:"-" doc:"no further back than this, as in 12h or 90d"`
}

func (s *Server) census(ctx context.Context, in *censusIn) (operate.Census, error) {
	within, err := durationOf("within", in.Within)
	if err != nil {
		return operate.Census{}, err
	}
	return s.Environment.Census(ctx, within)
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

type importIn struct {
	Source  string   `json:"source"` // where it is from, for the audit
	Clients []Client `json:"clients"`
}

// A Client is an installation of the app, as a store knows it.
type Client struct {
	StoreID  string    `json:"storeId"`
	ClientID string    `json:"clientId"`
	Release  string    `json:"release"` // that it ran, or none
	LastSeen time.Time `json:"lastSeen"`
}

func (s *Server) importCensus(ctx context.Context, in *importIn) (operate.Import, error) {
	latest := s.Environment.Now().Add(24 * time.Hour)
	clients := func(yield func(control.Client, error) bool) {
		for i, c := range in.Clients {
			var err error
			switch {
			case c.Release != "none" && !config.IsVersion(c.Release):
				err = errs.Invalidf("clients[%d]: the release %q is not a semantic version, nor none", i, c.Release)
			case c.LastSeen.IsZero() || c.LastSeen.After(latest):
				err = errs.Invalidf("clients[%d]: lastSeen is missing, or lies in the future", i)
			}
			if !yield(control.Client{Store: c.StoreID, ID: c.ClientID, Release: c.Release, LastSeen: c.LastSeen}, err) || err != nil {
				return
			}
		}
	}
	return s.Environment.Import(ctx, in.Source, clients, by(ctx, ""))
}

// Flags are the flags in force.
type Flags struct {
	Revision string    `json:"revision"`
	Since    time.Time `json:"since"`
	Problem  string    `json:"problem,omitempty"` // why they are not the latest
	Flags    []Flag    `json:"flags"`
}

// A Flag is a flag in force.
type Flag struct {
	Key      string    `json:"key"`
	Rollout  string    `json:"rollout,omitempty"`
	Revision int       `json:"revision,omitempty"`
	Enabled  bool      `json:"enabled"`
	Default  string    `json:"default"`
	Variants []Variant `json:"variants"`
}

// A Variant is one version of the event, or a value of a plain flag.
type Variant struct {
	Name    string `json:"name"`
	Event   string `json:"event"`
	Value   any    `json:"value,omitempty"` // of a plain flag
	Floor   string `json:"floor,omitempty"`
	Percent string `json:"percent"`
	Stores  int    `json:"storesListed"`
}

func (s *Server) flagList(context.Context, *nothing) (Flags, error) {
	revision, _ := s.flags.Revision()
	out := Flags{Revision: revision.ID, Since: revision.At.UTC(), Flags: []Flag{}}
	if err := s.flags.trouble(); err != nil {
		out.Problem = problemOf(err, "").Detail
	}
	for _, f := range s.flags.current().Flags {
		flag := Flag{Key: f.Key, Rollout: f.Rollout, Revision: f.Revision, Enabled: !f.Disabled, Default: f.Variants[f.Default].Name, Variants: []Variant{}}
		for _, v := range f.Variants {
			flag.Variants = append(flag.Variants, Variant{v.Name, v.Event, v.Value, v.Floor, v.Percent.String(), len(v.Stores)})
		}
		out.Flags = append(out.Flags, flag)
	}
	return out, nil
}

type evaluateIn struct {
	Key        string `path:"key" json:"-"`
	StoreID    string `json:"storeId,omitempty"`
	AppVersion string `json:"appVersion,omitempty"`
}

// An Evaluated flag is what one store gets.
type Evaluated struct {
	Flag    string `json:"flag"`
	Value   any    `json:"value"` // an event's name, or a plain value; an empty text when the flag is disabled
	Variant string `json:"variant"`
	Reason  string `json:"reason"`
	Why     string `json:"why"`
}

func (s *Server) flagEvaluate(_ context.Context, in *evaluateIn) (Evaluated, error) {
	f, ok := s.flags.current().Flag(in.Key)
	if !ok {
		return Evaluated{}, errs.NotFoundf("there is no flag %q", in.Key).Hintf("GET /v1/flags lists them")
	}
	e := f.Evaluate(rollout.Caller{Store: livestore.StoreID(in.StoreID), AppVersion: in.AppVersion})
	return Evaluated{f.Key, e.Value, e.Variant, string(e.Reason), e.Why}, nil
}

type auditIn struct {
	Limit  int    `query:"limit" json:"-" doc:"at most so many, 100 by default, 500 at most"`
	Cursor string `query:"cursor" json:"-" doc:"the next of the page before"`
	Since  string `query:"since" json:"-" doc:"no further back than this, as in 12h or 90d"`
}

// An AuditPage is a page of the audit.
type AuditPage struct {
	operate.Trail
	Next string `json:"next,omitempty"` // the cursor of the next page
}

func (s *Server) audit(ctx context.Context, in *auditIn) (AuditPage, error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return AuditPage{}, err
	}
	within, err := durationOf("since", in.Since)
	if err != nil {
		return AuditPage{}, err
	}
	var since time.Time
	if within > 0 {
		since = s.Environment.Now().Add(-within)
	}
	after := int64(0)
	if in.Cursor != "" {
		if after, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil {
			return AuditPage{}, badCursor(in.Cursor)
		}
	}
	trail, err := s.Environment.Audit(ctx, after, since, limit+1)
	out := AuditPage{Trail: trail}
	if len(out.Entries) > limit {
		out.Entries = out.Entries[:limit]
		out.Next = strconv.FormatInt(out.Entries[limit-1].Seq, 10)
	}
	return out, err
}

// auditVerify answers 200 for a broken audit, too: finding that out is what was asked.
func (s *Server) auditVerify(ctx context.Context, _ *nothing) (control.AuditCheck, error) {
	check, err := s.Environment.DB.VerifyAudit(ctx)
	if errs.CodeOf(err) == errs.Mismatch {
		err = nil
	}
	return check, err
}
