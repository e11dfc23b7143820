package planner

import (
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// Facts are what was found out by running code, reading logs and asking the environment. Every part may be missing:
// then the findings that need it fall back to what the releases alone show, or are not made. Nothing in Facts holds
// payload values: shapes, types, lengths and counts only.
type Facts struct {
	// Live are the releases still in the field; the ones compared against are live too.
	Live []LiveRelease `json:"live,omitempty"`
	// Horizon is how long a client may stay offline and still be counted as live.
	Horizon time.Duration `json:"horizon,omitempty"`
	// Gates are the events that something keeps from being emitted before their readers are there.
	Gates []Gate `json:"gates,omitempty"`
	// Adapters are the adapters that the app ships with: web, node, expo, cloudflare. None means unknown: assume worst.
	Adapters []string `json:"adapters,omitempty"`
	// Backfills are the events that a backfill commits.
	Backfills []Backfill `json:"backfills,omitempty"`
	// Secrets are secrets found outside the bundle, in the Worker's plain vars.
	Secrets []schema.Secret `json:"secrets,omitempty"`

	Behaviour    []Behaviour       `json:"behaviour,omitempty"`
	Probes       []ProbeResult     `json:"probes,omitempty"`
	Logs         []LogFacts        `json:"logs,omitempty"`
	Runs         []MaterializerRun `json:"runs,omitempty"`
	EdgeCases    []EdgeCase        `json:"edgeCases,omitempty"`
	MixedReplays []MixedReplay     `json:"mixedReplays,omitempty"`
	QueryPlans   []QueryPlan       `json:"queryPlans,omitempty"`

	// Checked are the codes that need code to be run or logs to be read, and for which that was done: no finding then
	// means there is none. The checklist passes an item only by what was checked.
	Checked []Code `json:"checked,omitempty"`
	// UndeclaredQueries are queryDb calls in the app's source that the release does not declare.
	UndeclaredQueries []Location `json:"undeclaredQueries,omitempty"`
	// Unverified are checks that were asked for and could not be made ("materializers of 1.2.0 were not run: …").
	Unverified []string `json:"unverified,omitempty"`
}

// A LiveRelease is a release that clients still run.
type LiveRelease struct {
	Version string `json:"version"`
	// Share is the part of the clients that run it, 0 to 1; negative when unknown.
	Share    float64   `json:"share"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
}

// A Gate keeps an event from being emitted before every live reader knows it.
type Gate struct {
	Event string `json:"event"`
	By    string `json:"by"` // the plan or rollout that holds it
	// LateReturners is how many clients may come back from beyond the horizon, -1 when unknown.
	LateReturners int `json:"lateReturners"`
}

// A Backfill commits an event on behalf of old rows.
type Backfill struct {
	Migration string `json:"migration"`
	Event     string `json:"event"`
}

// A Verdict is what comparing two materializers by running them gave.
type Verdict string

const (
	Same      Verdict = "same"      // no payload of the sample told them apart
	Different Verdict = "different" // Witness did
	Unclear   Verdict = "unclear"   // one of them could not be run; Why says so
)

// A Behaviour compares the materializers of one event in two releases, run on the same payloads against the same state.
type Behaviour struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Event string `json:"event"`

	Verdict Verdict `json:"verdict"`
	// Payloads is how many payloads were tried; Real how many of them came from logs.
	Payloads int `json:"payloads,omitempty"`
	Real     int `json:"real,omitempty"`
	// Witness is the shape of a payload that tells the two apart ({"id":"string(8)","priority":"absent"}), Difference
	// what came out different ("todos.priority: integer 0 -> NULL", by type and column, not by value).
	Witness    string `json:"witness,omitempty"`
	Difference string `json:"difference,omitempty"`
	// SourceChanged is true when the materializer's source closure differs.
	SourceChanged bool   `json:"sourceChanged,omitempty"`
	Why           string `json:"why,omitempty"`
}

// A ProbeResult is a question asked of the real events of one store: does the new release read them?
type ProbeResult struct {
	// Rule is the finding that was probed. Empty means the app's own decoder was asked about whole payloads, which
	// answers for every finding about decoding.
	Rule  Code   `json:"rule,omitempty"`
	From  string `json:"from,omitempty"` // empty: any
	To    string `json:"to"`
	Event string `json:"event"`
	Path  string `json:"path,omitempty"`

	Store livestore.StoreID `json:"store"`
	Head  livestore.SeqNum  `json:"head"` // how far the log was read
	// Count is how many events were asked, Failing how many of them broke the rule.
	Count   int64 `json:"count"`
	Failing int64 `json:"failing"`
	// FirstOffenders are the first failing events, few.
	FirstOffenders []Offender `json:"firstOffenders,omitempty"`
}

// An Offender is an event of a log that broke a rule.
type Offender struct {
	Seq  livestore.SeqNum `json:"seq"`
	Path string           `json:"path"`
	Want string           `json:"want"`
}

// LogFacts is what one store's log holds.
type LogFacts struct {
	Store livestore.StoreID `json:"store"`
	Head  livestore.SeqNum  `json:"head"`
	// Events counts by full event name, pending and clientOnly events included.
	Events map[string]int64 `json:"events"`
	// Pending is how many events the backend has not confirmed.
	Pending int64 `json:"pending,omitempty"`
	Bytes   int64 `json:"bytes,omitempty"` // of the log file
	// PerDay is the rate at which the log grows, in events per day; 0 when the source has no times.
	PerDay float64 `json:"perDay,omitempty"`
	// HighFrequency are event names that look like cursors or presence and belong in a store of their own.
	HighFrequency []string `json:"highFrequency,omitempty"`
	// StateBytes is the size of a state that replaying the log under the old release gave; NewStateBytes under the new
	// one. 0 when unknown.
	StateBytes    int64 `json:"stateBytes,omitempty"`
	NewStateBytes int64 `json:"newStateBytes,omitempty"`
	// Skipped counts the events that clients are known to have passed over because their release did not define them,
	// by name, where a state file at hand tells. Without it the finding counts all events of that name.
	Skipped map[string]int64 `json:"skipped,omitempty"`
}

// A MaterializerRun is one materializer run twice on the same payload with another clock, random source and nanoid.
type MaterializerRun struct {
	Release string `json:"release"`
	Event   string `json:"event"`
	// Differs says what came out different ("todos.id"); empty when nothing did.
	Differs string `json:"differs,omitempty"`
	// Uses names what was called ("Date.now", "crypto.randomUUID", "fetch"), where the sandbox saw it.
	Uses []string `json:"uses,omitempty"`
}

// An EdgeCase is a payload that the event's schema admits and the materializer does not survive, shrunk.
type EdgeCase struct {
	Release string `json:"release"`
	Event   string `json:"event"`
	Shape   string `json:"shape"` // by key, type and length
	Error   string `json:"error"` // what it threw, or SQLite refused, without values
	// RowsMissing is true when it happens only where the rows that the event is about are not there.
	RowsMissing bool `json:"rowsMissing,omitempty"`
}

// A MixedReplay is an interleaving of old and new versions of a family that goes wrong, shrunk.
type MixedReplay struct {
	Release string `json:"release"`
	Family  string `json:"family"`
	// Order are the event names of the interleaving, in order.
	Order []string `json:"order"`
	// Error is set when a materializer failed. Otherwise two orders of events that should commute gave different
	// states, and Difference says where.
	Error      string `json:"error,omitempty"`
	Difference string `json:"difference,omitempty"`
}

// A QueryPlan is SQLite's plan for one of the release's declared queries.
type QueryPlan struct {
	Release string `json:"release"`
	Query   string `json:"query"`
	// Scans are the tables read from end to end although the query has a condition on them.
	Scans []string `json:"scans,omitempty"`
}
