package server

import (
	"iter"
	"net/http"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
	"headgate/rollout/observe"
	"headgate/rollout/ofrep"
)

// routes are everything that the server answers to.
func routes() []route {
	census := post("/v1/census", "Take over which client was last seen when, and on which release", bring, (*Server).importCensus)
	census.body = 16 << 20
	approvePlan := post("/v1/plans/{digest}/approve", "Agree that a plan is carried out", approve, (*Server).approvePlan)
	approvePlan.body = control.MaxPlanBytes + bodyLimit
	create := post("/v1/tokens", "Make a token that can do no more than the caller's; its secret is in the answer, this once", move, (*Server).createToken)
	create.fleeting = true
	reports := taking[observe.ReportBatch]("/v1/reports", "Who syncs, from the sync backend's Worker", report, (*Server).reports)
	telemetry := taking[observe.TelemetryBatch]("/v1/telemetry", "What the app saw, from its helper", tell, (*Server).telemetry)
	telemetry.pages, telemetry.limited = true, true
	hold := post("/v1/incidents/{incident}/hold", "Keep others from carrying out an incident's plan for half a minute, or go on doing so", move, (*Server).holdIncident)
	hold.fleeting = true
	arm := post("/v1/reset/arm", "Choose the stores and the pace of a reset; nothing is opened yet", move, (*Server).armReset)
	arm.body = 1 << 20
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
		{method: http.MethodPost, path: "/v1/traces", summary: "LiveStore's spans, from an OpenTelemetry exporter: OTLP/HTTP, protobuf or JSON", needs: trace, pages: true, limited: true, serve: (*Server).traces},
		get("/v1/floor", "The release below which the sync backend turns clients away, by schema; * for all", floor, (*Server).floors),
		get("/v1/floor/setting", "That release, who set it and why", read, (*Server).floorSetting),
		post("/v1/floor", "Set that release, or none", move, (*Server).setFloor),

		get("/v1/rollouts", "The rollouts, and how far they are, by name", read, (*Server).rollouts),
		get("/v1/rollouts/{name}", "How far a rollout is, who holds it back, and what happens next", read, (*Server).rolloutStatus),
		get("/v1/rollouts/{name}/check", "Hold a rollout against the recorded releases and the fleet", read, (*Server).rolloutCheck),
		get("/v1/rollouts/{name}/history", "Who did what to a rollout, and why, oldest first", read, (*Server).rolloutHistory),
		post("/v1/rollouts/{name}/start", "Begin: wait for the readers, then open step by step", move, act(rollout.Start)),
		post("/v1/rollouts/{name}/pause", "Stand still; what is open stays open", move, act(rollout.Hold)),
		post("/v1/rollouts/{name}/resume", "Go on: the step bakes anew, and its analysis begins anew", move, act(rollout.Resume)),
		post("/v1/rollouts/{name}/promote", "Go to the next step now, or past the point of no return", move, (*Server).promote),
		post("/v1/rollouts/{name}/approve", "Say that it may go on; not by who started it", approve, act(rollout.Approve)),
		post("/v1/rollouts/{name}/abort", "Close every store, at once", move, act(rollout.Abort)),
		post("/v1/rollouts/{name}/undo", "Go back to the old version when all stores have the new one; needs a reason", move, act(rollout.Undo)),

		get("/v1/status", "What runs, what blocks, and the next command", read, (*Server).status),
		get("/v1/stores", "The stores of the inventory, by id", read, (*Server).stores),
		get("/v1/stores/{store}", "What is known of a store, and who works on it", read, (*Server).store),
		get("/v1/stores/{store}/clients", "The clients that the census knows of a store, and their releases", read, (*Server).storeClients),
		post("/v1/stores/{store}/forget", "Forget what is known of a store whose backend was reset, or that is gone; needs a reason", move, (*Server).forgetStore),
		get("/v1/leases", "Who works on which store at the moment", read, (*Server).leases),
		post("/v1/leases/break", "Take a lock away from an owner that is gone for good", move, (*Server).breakLock),
		get("/v1/tokens", "The tokens, the latest first, without their secrets", move, (*Server).tokens),
		create,
		post("/v1/tokens/{token}/revoke", "End a token's life", move, (*Server).revokeToken),
		get("/v1/migrations", "The last run of each migration", read, (*Server).lastRuns),
		get("/v1/runs", "Runs of migrations, the latest first", read, (*Server).runs),
		get("/v1/runs/undone", "The runs that are not over, and the last ones that left stores undone, the latest first", read, (*Server).undoneRuns),
		get("/v1/runs/{id}", "How far a run is", read, (*Server).run),
		post("/v1/runs/pause", "Let the runs that are under way stop after the batches they are at", move, ask(operate.Pause)),
		post("/v1/runs/resume", "Go on with runs that were paused", move, ask(operate.Resume)),
		post("/v1/runs/cancel", "End the runs that are under way or paused, for good", move, ask(operate.Cancel)),

		get("/v1/census", "Which releases the clients run", read, (*Server).census),
		census,
		get("/v1/census/stores", "The stores that clients were seen in, by id, and the releases they run", read, (*Server).seenStores),
		get("/v1/signals", "What the sync backend, the apps and LiveStore's spans told", read, (*Server).signals),
		get("/v1/flags", "The flags in force", read, (*Server).flagList),
		get("/v1/flags/export", "The flags in force, as a flagd file", read, (*Server).flagExport),
		post("/v1/flags/{key}/evaluate", "Which version the stores' clients emit, and why", read, (*Server).flagEvaluate),

		get("/v1/approvals", "Who agreed to which plan, the latest first", read, (*Server).approvals),
		get("/v1/plans/{digest}/approvals", "Who agreed to a plan", read, (*Server).planApprovals),
		get("/v1/plans", "The plans that were approved last, with their findings", read, (*Server).plans),
		approvePlan,

		hold,
		post("/v1/incidents/{incident}/release", "Let others carry out an incident's plan again", move, (*Server).releaseIncident),
		post("/v1/incidents/{incident}/record", "Write into the audit what was done in an incident, which is a folder of the app", move, (*Server).recordIncident),
		get("/v1/audit", "Who did what, oldest first", read, (*Server).audit),
		get("/v1/audit/verify", "Check that no entry of the audit was changed or removed", read, (*Server).auditVerify),
		get("/v1/reset", "How far the last reset of stores is", read, (*Server).reset),
		arm,
		post("/v1/reset/fire", "Let the armed reset open stores, or a paused one go on", move, (*Server).fireReset),
		post("/v1/reset/cancel", "End the reset; no more stores get it", move, (*Server).cancelReset),
		get("/v1/webhook", "How far the webhook was told what happens", read, (*Server).webhook),
		post("/v1/webhook/retry", "Have what was given up told again", move, (*Server).retryWebhook),
		post("/v1/stop", "The emergency: abort every ramp, pause every migration, freeze every advance", move, (*Server).stop),
		post("/v1/stop/lift", "Let things advance again", move, (*Server).lift),
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

// paged is a page of a list: at most limit of its values, see limitOf, and the cursor of the last one where there are more.
func paged[T any](list iter.Seq2[T, error], limit int, cursor func(T) string) (values []T, next string, err error) {
	values = []T{}
	if limit, err = limitOf(limit); err != nil {
		return values, "", err
	}
	for v, err := range list {
		if err != nil {
			return values, "", err
		}
		if len(values) == limit {
			return values, cursor(values[limit-1]), nil
		}
		values = append(values, v)
	}
	return values, "", nil
}

func badCursor(cursor string) error {
	return errs.Invalidf("cursor: %q is not from a page", cursor).Hintf("it is the next of the page before")
}

type nothing struct{}
