// Package api is what `headgate serve` and its callers say to each other under /v1: the bodies and the answers that are no
// values of package operate. The server makes its OpenAPI document of these types, and headgate's own client reads them.
//
// It has types only: what a route does, and who may call it, is the server's.
package api

import (
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/rollout"
)

// EnvironmentHeader names the environment that a request is for. A server of another one refuses it.
const EnvironmentHeader = "Headgate-Environment"

// KeyHeader has the key of a request that must be done once, however often it comes.
const KeyHeader = "Idempotency-Key"

// RateLimited is the code of an answer 429, which no command has.
const RateLimited errs.Code = "rate_limited"

// A Problem is a failure as RFC 9457 writes it, with headgate's code, hint and next commands.
type Problem struct {
	Type        string    `json:"type"`
	Title       string    `json:"title"`
	Status      int       `json:"status"`
	Detail      string    `json:"detail"`
	Code        errs.Code `json:"code"`            // one of `headgate help exit-codes`, or rate_limited
	Where       string    `json:"where,omitempty"` // a file of the app, and the line
	Hint        string    `json:"hint,omitempty"`
	NextActions []string  `json:"next_actions"`
	RequestID   string    `json:"request_id"`
}

// An Act asks for something to be done to a rollout.
type Act struct {
	Reason string `json:"reason,omitempty"` // for the audit
	Force  bool   `json:"force,omitempty"`  // in spite of what is not ready; needs a reason, and an approver
	DryRun bool   `json:"dryRun,omitempty"` // say what would happen, change nothing
}

// A Promote is an Act that goes on.
type Promote struct {
	Act
	Full bool `json:"full,omitempty"` // past the point of no return: open every store
}

// Rollouts is a page of rollouts.
type Rollouts struct {
	Rollouts []operate.RolloutLine `json:"rollouts"`
	Next     string                `json:"next,omitempty"` // the cursor of the next page
}

// A Trail is a page of the audit.
type Trail struct {
	operate.Trail
	Next string `json:"next,omitempty"` // the cursor of the next page
}

// Floors are the releases that clients have to reach.
type Floors struct {
	Floors map[string]string `json:"floors"` // by schema, * for all
}

// A SetFloor sets the floor.
type SetFloor struct {
	Release string `json:"release"`          // or none
	Reason  string `json:"reason,omitempty"` // for the audit
	DryRun  bool   `json:"dryRun,omitempty"` // count who would be refused, set nothing
}

// A Stop stops what can be stopped.
type Stop struct {
	Reason string `json:"reason"` // for the audit
	DryRun bool   `json:"dryRun,omitempty"`
}

// An ArmReset makes a reset ready.
type ArmReset struct {
	Stores     []string `json:"stores,omitempty"`
	All        bool     `json:"all,omitempty"`        // every active store instead
	Schema     string   `json:"schema,omitempty"`     // with all: those of this one only
	PerHour    int      `json:"perHour"`              // stores that may be opened within any hour
	AcceptLoss bool     `json:"acceptLoss,omitempty"` // what a client can't send may be lost
	Reason     string   `json:"reason,omitempty"`     // for the audit
	DryRun     bool     `json:"dryRun,omitempty"`     // say what would be armed, arm nothing
}

// A FireReset lets an armed or paused reset open stores.
type FireReset struct {
	PerHour int    `json:"perHour,omitempty"` // 0 for the pace that it has
	Reason  string `json:"reason,omitempty"`  // for the audit
	DryRun  bool   `json:"dryRun,omitempty"`
}

// A Why is a body that only says why.
type Why struct {
	Reason string `json:"reason,omitempty"` // for the audit
}

// An ApprovePlan agrees to a plan.
type ApprovePlan struct {
	Plan   string `json:"plan,omitempty"`   // its text, as headgate plan writes it, to be kept and shown
	Reason string `json:"reason,omitempty"` // for the audit
}

// A RecordIncident says what was done in an incident, whose folder the caller has.
type RecordIncident struct {
	Action string `json:"action"`           // open, plan, step or close
	Reason string `json:"reason,omitempty"` // for the audit
	operate.IncidentNote
}

// A HoldIncident keeps others from carrying out an incident's plan, or lets them again.
type HoldIncident struct {
	Owner string `json:"owner"`           // a process, unlike any other
	Fence int64  `json:"fence,omitempty"` // of what it holds already; 0 to take it
}

// An AskRuns asks for something to be done to runs of migrations.
type AskRuns struct {
	Migration string `json:"migration,omitempty"` // the name of one, or all of them
	Reason    string `json:"reason,omitempty"`    // for the audit
}

// RunStatuses are runs, and how far they are.
type RunStatuses struct {
	Runs []operate.RunStatus `json:"runs"`
}

// SeenStores is a page of the stores that clients were seen in.
type SeenStores struct {
	Stores []control.SeenStore `json:"stores"`
	Next   string              `json:"next,omitempty"` // the cursor of the next page
}

// Runs is a page of runs.
type Runs struct {
	Runs []control.Run `json:"runs"`
	Next string        `json:"next,omitempty"` // the cursor of the next page
}

// Stores is a page of the stores that are known.
type Stores struct {
	operate.KnownStores
	Next string `json:"next,omitempty"` // the cursor of the next page
}

// A Census brings clients.
type Census struct {
	Source  string         `json:"source"`         // where it is from, for the audit
	From    rollout.Source `json:"from,omitempty"` // who says it: import by default, flag, telemetry, or sync, which takes an operator
	Clients []Client       `json:"clients"`
}

// A Client is an installation of the app, as a store knows it.
type Client struct {
	StoreID  string    `json:"storeId"`
	ClientID string    `json:"clientId"`
	Release  string    `json:"release"` // that it ran, or none
	LastSeen time.Time `json:"lastSeen"`
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

// A Question asks what a store gets.
type Question struct {
	StoreID    string `json:"storeId,omitempty"` // all of the environment's without one
	AppVersion string `json:"appVersion,omitempty"`
}

// Evaluations are answers to it.
type Evaluations struct {
	Evaluations []operate.Evaluated `json:"evaluations"`
}

// Plans are the plans that were approved last, the latest first.
type Plans struct {
	Plans []operate.ApprovedPlan `json:"plans"`
}

// Approvals are who agreed to plans.
type Approvals struct {
	Approvals []control.Approval `json:"approvals"`
	Next      string             `json:"next,omitempty"` // the cursor of the next page
}

// A CreateToken asks for a token.
type CreateToken struct {
	Role      control.Role `json:"role"`
	Person    string       `json:"person,omitempty"` // whose it is; required for an operator and an approver
	App       string       `json:"app,omitempty"`    // the server's, where it is left away
	Stores    []string     `json:"stores,omitempty"` // of a client's token; none for all
	ExpiresAt time.Time    `json:"expiresAt"`
	Reason    string       `json:"reason,omitempty"` // for the audit
}

// A BreakLock takes a lock away from its owner.
type BreakLock struct {
	Name   string `json:"name"`
	Reason string `json:"reason"` // for the audit
}
