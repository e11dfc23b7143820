package operate

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"headgate/internal/control"
	"headgate/internal/errs"
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

// maxIncident bounds the name of an incident, in bytes.
const maxIncident = 200

// An IncidentRecord says what the audit has got.
type IncidentRecord struct {
	Environment string `json:"environment"`
	Incident    string `json:"incident"`
	Action      string `json:"action"`
}

// RecordIncident writes into the audit what was done in an incident.
func (e Environment) RecordIncident(ctx context.Context, incident, action string, note IncidentNote, by control.By) (IncidentRecord, error) {
	switch {
	case !slices.Contains(IncidentActions(), action):
		return IncidentRecord{}, errs.Invalidf("there is no action %q of an incident", action).Hintf("there are: %s", strings.Join(IncidentActions(), ", "))
	case strings.TrimSpace(incident) == "" || len(incident) > maxIncident:
		return IncidentRecord{}, errs.Invalidf("the incident's name is missing, or longer than %d bytes", maxIncident)
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
