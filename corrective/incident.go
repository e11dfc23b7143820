package corrective

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"headgate/internal/errs"
)

// IncidentVersion is the version of the form of an incident's file. A reader refuses another one.
const IncidentVersion = 1

// An Incident is a bad release, or a bad change, that an environment has to get over: which events are meant, what was done
// about them, and how far that is. It is headgate/incidents/ID/incident.yaml, and holds no payload.
type Incident struct {
	ID string `yaml:"-" json:"id"` // the folder's name

	Version     int       `yaml:"version" json:"version"`
	Environment string    `yaml:"environment" json:"environment"`
	Schema      string    `yaml:"schema" json:"schema"`
	Selection   Selection `yaml:"selection" json:"selection"`
	Stores      []string  `yaml:"stores,omitempty" json:"stores,omitempty"` // only these; none for all
	Bad         string    `yaml:"bad" json:"bad"`                           // the release whose materializers made the states when it was opened
	Reason      string    `yaml:"reason" json:"reason"`
	Opened      Deed      `yaml:"opened" json:"opened"`

	// Steps are those of the walk, in their order, all of them.
	Steps []WalkStep `yaml:"steps" json:"steps"`

	// Target is the release that one would go back to, Remedy what was chosen, and Verified the release that was proven to
	// do what the corrections say.
	Target   string  `yaml:"target,omitempty" json:"target,omitempty"`
	Remedy   *Choice `yaml:"remedy,omitempty" json:"remedy,omitempty"`
	Verified string  `yaml:"verified,omitempty" json:"verified,omitempty"`

	Closed *Deed `yaml:"closed,omitempty" json:"closed,omitempty"`
}

// A Deed is something that someone did.
type Deed struct {
	By     string    `yaml:"by" json:"by"`
	At     time.Time `yaml:"at" json:"at"` // UTC, whole seconds
	Reason string    `yaml:"reason,omitempty" json:"reason,omitempty"`
}

// A Choice is the remedy that an incident's plan is of, with the steps of that plan as they are carried out.
type Choice struct {
	Kind RemedyKind `yaml:"kind" json:"kind"`
	Plan string     `yaml:"plan" json:"plan"` // its digest
	// Base is the release that runs afterwards, or that the one to be shipped is built on; Bad the one that runs now.
	Base string `yaml:"base" json:"base"`
	Bad  string `yaml:"bad" json:"bad"`
	// Sampled says that only some of the stores had been read.
	Sampled bool `yaml:"sampled,omitempty" json:"sampled,omitempty"`
	// AcceptedLoss says who accepted, and why, that what Loses names is gone.
	AcceptedLoss *Deed    `yaml:"acceptedLoss,omitempty" json:"acceptedLoss,omitempty"`
	Loses        []string `yaml:"loses,omitempty" json:"loses,omitempty"`
	Steps        []Doing  `yaml:"steps" json:"steps"`
}

// A Doing is how far a step is. By and At are of its last move.
type Doing struct {
	ID    string    `yaml:"step" json:"step"`
	State StepState `yaml:"state" json:"state"`
	By    string    `yaml:"by,omitempty" json:"by,omitempty"`
	At    time.Time `yaml:"at,omitempty" json:"at,omitzero"`
	Note  string    `yaml:"note,omitempty" json:"note,omitempty"`
}

// A WalkStep is a Doing of the walk from the incident to its end.
type WalkStep = Doing

// A StepState says how far a step is. The words are stable.
type StepState string

const (
	Todo    StepState = "todo"
	Begun   StepState = "begun" // and whoever did it did not come back to say how it ended
	Done    StepState = "done"
	Skipped StepState = "skipped" // not needed, or decided against
)

// The steps of the walk, in their order.
const (
	WalkStop     = "stop"     // what makes it worse
	WalkAssess   = "assess"   // what it did
	WalkPlan     = "plan"     // the remedy
	WalkGenerate = "generate" // the corrections in the app's code
	WalkVerify   = "verify"   // that they do what they say
	WalkRun      = "run"      // the plan's steps
)

// Walk lists the steps in their order.
func Walk() []string {
	return []string{WalkStop, WalkAssess, WalkPlan, WalkGenerate, WalkVerify, WalkRun}
}

// NewIncident opens one. The selection must be valid.
func NewIncident(id, env, schema, bad string, s Selection, by string, at time.Time, reason string) *Incident {
	if strings.TrimSpace(reason) == "" {
		reason = s.String()
	}
	s.After = second(s.After)
	i := &Incident{ID: id, Version: IncidentVersion, Environment: env, Schema: schema, Bad: bad, Selection: s, Reason: reason, Opened: Deed{By: by, At: second(at)}}
	for _, name := range Walk() {
		i.Steps = append(i.Steps, WalkStep{ID: name, State: Todo})
	}
	return i
}

// second is t as the file keeps it.
func second(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Second)
}

// Step is one of the walk's steps.
func (i *Incident) Step(name string) *WalkStep {
	return &i.Steps[slices.Index(Walk(), name)]
}

// Mark says how far a step of the walk is.
func (i *Incident) Mark(name string, state StepState, by string, at time.Time, note string) {
	i.Step(name).mark(state, by, at, note)
}

func (d *Doing) mark(state StepState, by string, at time.Time, note string) {
	d.State, d.By, d.At, d.Note = state, by, second(at), note
}

// Next is the step that comes next: the first that is not over, behind those that are. It is empty where all are.
func (i *Incident) Next() string {
	next := ""
	for _, s := range slices.Backward(i.Steps) {
		if s.State == Done || s.State == Skipped {
			break
		}
		next = s.ID
	}
	return next
}

// Choose takes a remedy and its plan. What comes after the plan begins anew, unless it is the same plan, or the one of a sample
// made whole.
func (i *Incident) Choose(c Choice, target string, by string, at time.Time) {
	note := string(c.Kind)
	if c.Sampled {
		note += ", by a sample of the stores"
	}
	i.Target = target
	i.Mark(WalkPlan, Done, by, at, note)
	if i.Remedy != nil && (i.Remedy.Plan == c.Plan || i.Remedy.Sampled && i.Remedy.like(c)) {
		c.Steps = i.Remedy.Steps
		i.Remedy = &c
		return
	}
	i.Remedy, i.Verified = &c, ""
	for _, name := range []string{WalkGenerate, WalkVerify} {
		if c.Kind == CorrectiveRelease {
			i.Mark(name, Todo, "", time.Time{}, "")
		} else {
			i.Mark(name, Skipped, by, at, "there are no corrections in "+string(c.Kind))
		}
	}
	i.Mark(WalkRun, Todo, "", time.Time{}, "")
}

// like reports whether two choices are the same but for the stores.
func (c *Choice) like(o Choice) bool {
	return c.Kind == o.Kind && c.Base == o.Base && c.Bad == o.Bad && slices.EqualFunc(c.Steps, o.Steps, func(a, b Doing) bool { return a.ID == b.ID })
}

// Doing is how far a step of the plan is, or nil.
func (i *Incident) Doing(step string) *Doing {
	if i.Remedy == nil {
		return nil
	}
	at := slices.IndexFunc(i.Remedy.Steps, func(d Doing) bool { return d.ID == step })
	if at < 0 {
		return nil
	}
	return &i.Remedy.Steps[at]
}

// MarkStep says how far a step of the plan is. With the last one the walk's last step is done.
func (i *Incident) MarkStep(step string, state StepState, by string, at time.Time, note string) {
	i.Doing(step).mark(state, by, at, note)
	open := slices.ContainsFunc(i.Remedy.Steps, func(d Doing) bool { return d.State == Todo || d.State == Begun })
	switch {
	case !open:
		i.Mark(WalkRun, Done, by, at, "")
	case i.Step(WalkRun).State != Begun:
		i.Mark(WalkRun, Begun, by, at, "")
	}
}

const incidentHead = "# What headgate rollback found out and did. It is headgate's to write: headgate rollback status shows it.\n"

// YAML is the file.
func (i *Incident) YAML() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(incidentHead)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := errors.Join(enc.Encode(i), enc.Close())
	return b.Bytes(), err
}

// ParseIncident reads an incident's file strictly. id is the folder's name, file what messages call the file.
func ParseIncident(id, file string, data []byte) (*Incident, error) {
	i := &Incident{ID: id}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	broken := func(format string, args ...any) error {
		return errs.Invalidf(format, args...).At("%s", file).
			Hintf("headgate writes it, nobody else has to: take it from the version before, or move its folder away and open the incident again").
			Then(`headgate rollback --event NAME --env ENV --reason "…"`)
	}
	if err := dec.Decode(i); err != nil && !errors.Is(err, io.EOF) {
		return nil, broken("the incident can't be read: %s", strings.Join(strings.Fields(yamlWithoutLine.ReplaceAllString(err.Error(), "")), " "))
	}
	if i.Version != IncidentVersion {
		return nil, broken("the incident has version %d, this headgate reads version %d", i.Version, IncidentVersion)
	}
	if i.Environment == "" || i.Schema == "" || i.Bad == "" || i.Selection.Empty() || i.Opened.By == "" || i.Opened.At.IsZero() {
		return nil, broken("the incident does not say of which environment, schema, release and events it is, or who opened it and when")
	}
	if !slices.EqualFunc(i.Steps, Walk(), func(s WalkStep, name string) bool { return s.ID == name }) {
		return nil, broken("the incident's steps are not %s", strings.Join(Walk(), ", "))
	}
	all := i.Steps
	if i.Remedy != nil {
		if !slices.Contains(RemedyKinds(), i.Remedy.Kind) {
			return nil, broken("%q is no remedy", i.Remedy.Kind)
		}
		all = slices.Concat(all, i.Remedy.Steps)
	}
	for _, s := range all {
		if !slices.Contains([]StepState{Todo, Begun, Done, Skipped}, s.State) {
			return nil, broken("step %s is %q, which is no state", s.ID, s.State)
		}
	}
	return i, nil
}
