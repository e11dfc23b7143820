package planner

import (
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// An Answer is why a rollback is planned, and by what remedy.
type Answer struct {
	Incident  string `json:"incident"`
	Selection string `json:"selection"` // the bad events, in words
	Remedy    string `json:"remedy"`
	// Loses is what is gone afterwards, and LossReason why someone accepts that.
	Loses      []string `json:"loses,omitempty"`
	LossReason string   `json:"lossReason,omitempty"`
}

// A RollbackInput is what the plan of a rollback is made of.
type RollbackInput struct {
	App, Schema, Environment string
	From                     *schema.Release // that runs now
	To                       *schema.Release // that will, or that the one to be shipped is built on
	Answer                   Answer
	Steps                    []Step              // in their order, without numbers
	Stores                   []livestore.StoreID // that are affected
	Migrations               []MigrationRef
	Horizon                  time.Duration // 0: 90 days
	// Rebuilds says why every client rebuilds, empty where none does.
	Rebuilds string
	Facts    Facts // adapters and logs, for the forecast
	Now      time.Time
	Next     []string
}

// BuildRollback makes the plan of a rollback.
func BuildRollback(in RollbackInput) (*Plan, error) {
	if len(in.Answer.Loses) > 0 && strings.TrimSpace(in.Answer.LossReason) == "" {
		return nil, errs.New(errs.Internal, "a plan that loses data says why that is accepted")
	}
	from, err := reference(in.From)
	if err != nil {
		return nil, err
	}
	to, err := reference(in.To)
	if err != nil {
		return nil, err
	}
	days := 90
	if in.Horizon > 0 {
		days = int(in.Horizon / (24 * time.Hour))
	}
	p := &Plan{FormatVersion: PlanFormat, Intent: Intent{
		App: in.App, Schema: in.Schema, Environment: in.Environment, From: &from, To: to, Rollback: true, Answer: &in.Answer,
		Migrations: append([]MigrationRef{}, in.Migrations...), Stores: append([]livestore.StoreID{}, slices.Sorted(slices.Values(in.Stores))...),
		Policy: Policy{Profile: ProfileRollback, FailOn: Error, Allow: []Allowance{}, HorizonDays: days, MaxDriftPercent: 20, MaxDriftEvents: 50},
		Steps:  number(in.Steps),
	}}
	p.Digest = p.Intent.digest()
	p.Evidence = Evidence{
		MadeAt: in.Now.UTC().Truncate(time.Second), Findings: []Finding{}, Blocking: []string{}, Forecast: rollbackForecast(in), Next: append([]string{}, in.Next...),
	}
	return p, nil
}

// rollbackForecast is a forecast of what a release that is not recorded yet will cost.
func rollbackForecast(in RollbackInput) Forecast {
	f := NewForecast(in.From, in.To, in.Facts)
	if in.Rebuilds == "" || f.Rebuild {
		return f
	}
	moved := *in.To
	moved.StateHash, moved.Migrations.AtomicRebuild = "0", true // one that never was
	f = NewForecast(in.From, &moved, in.Facts)
	f.Reason = in.Rebuilds
	return f
}
