package operate

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/jobs"
)

// An IncidentNote is what the audit keeps of something that was done in an incident. The incident itself is a folder of the app.
type IncidentNote struct {
	Schema    string   `json:"schema,omitempty"`    // open: of its stores
	Selection string   `json:"selection,omitempty"` // open: which events are bad, without what users wrote
	Remedy    string   `json:"remedy,omitempty"`    // plan
	Plan      string   `json:"plan,omitempty"`      // plan: its digest
	Loses     []string `json:"loses,omitempty"`     // plan: what was accepted to be lost
	Step      string   `json:"step,omitempty"`      // step
	State     string   `json:"state,omitempty"`     // step: begun, done or skipped
	Left      []string `json:"left,omitempty"`      // close: the steps of the walk that were not done
}

// What is done in an incident.
const (
	OpenIncident  = "open"
	PlanIncident  = "plan"
	StepIncident  = "step"
	CloseIncident = "close"
)

// IncidentActions are all of them.
func IncidentActions() []string {
	return []string{OpenIncident, PlanIncident, StepIncident, CloseIncident}
}

// maxIncident bounds the name of an incident, and of who carries out its plan, in bytes.
const maxIncident = 200

// An IncidentRecord says what the audit has got.
type IncidentRecord struct {
	Environment string `json:"environment"`
	Incident    string `json:"incident"`
	Action      string `json:"action"`
}

// incidentTime is how long a process elsewhere that is gone keeps others from an incident's plan.
const incidentTime = 30 * time.Second

// namedIncident reports an incident's name that is none.
func namedIncident(incident string) error {
	if strings.TrimSpace(incident) == "" || len(incident) > maxIncident {
		return errs.Invalidf("the incident's name is missing, or longer than %d bytes", maxIncident)
	}
	return nil
}

// HoldIncident takes the lease under which one process at a time carries out an incident's plan, or, with the fence of the one that it
// took, renews it, until its ExpiresAt. While somebody else has it, or has it by now, the error is errs.Locked. A process that
// was killed holds nobody up; one elsewhere, of which that can't be seen, for half a minute. Whoever asks for what it has, since
// the answer was lost, gets it.
func (e Environment) HoldIncident(ctx context.Context, incident, owner string, fence int64) (control.Lease, error) {
	if err := namedIncident(incident); err != nil {
		return control.Lease{}, err
	}
	if len(owner) > maxIncident {
		return control.Lease{}, errs.Invalidf("the owner's name is longer than %d bytes", maxIncident)
	}
	want := control.Lease{Env: e.Name, Name: "rollback/" + incident, Owner: owner, Fence: fence}
	if fence > 0 {
		return e.DB.Heartbeat(ctx, want, incidentTime)
	}
	gone := jobs.Fleet{Options: jobs.Options{DB: e.DB, Env: e.Name, Owner: e.Owner, Alive: e.Alive, Log: e.Log}}
	if err := gone.Reap(ctx); err != nil {
		return control.Lease{}, err
	}
	got, err := e.DB.Acquire(ctx, want, incidentTime)
	if errs.CodeOf(err) != errs.Locked {
		return got, err
	}
	all, failed := e.DB.Leases(ctx, e.Name)
	if i := slices.IndexFunc(all, func(l control.Lease) bool { return l.Name == want.Name && l.Owner == owner }); i >= 0 && failed == nil {
		return e.DB.Heartbeat(ctx, all[i], incidentTime)
	}
	return got, errors.Join(err, failed)
}

// ReleaseIncident gives back what HoldIncident took. What is lost already stays as it is, and that is no error.
func (e Environment) ReleaseIncident(ctx context.Context, incident, owner string, fence int64) error {
	return e.DB.Release(ctx, control.Lease{Env: e.Name, Name: "rollback/" + incident, Owner: owner, Fence: fence})
}

// RecordIncident writes into the audit what was done in an incident.
func (e Environment) RecordIncident(ctx context.Context, incident, action string, note IncidentNote, by control.By) (IncidentRecord, error) {
	if !slices.Contains(IncidentActions(), action) {
		return IncidentRecord{}, errs.Invalidf("there is no action %q of an incident", action).Hintf("there are: %s", strings.Join(IncidentActions(), ", "))
	}
	if err := namedIncident(incident); err != nil {
		return IncidentRecord{}, err
	}
	detail := map[string]any{}
	data, err := json.Marshal(note)
	if err := errors.Join(err, json.Unmarshal(data, &detail)); err != nil {
		return IncidentRecord{}, err
	}
	if detail["reason"] = by.Reason; by.Token != "" {
		detail["token"] = by.Token
	}
	err = e.DB.Record(ctx, control.Entry{Env: e.Name, Actor: by.Actor, Action: "incident." + action, Subject: incident, Detail: detail})
	return IncidentRecord{Environment: e.Name, Incident: incident, Action: action}, err
}
