package rollout

import (
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore"
)

// Dir is where the rollouts stand, one NAME.yaml each, below the directory of headgate.yaml.
const Dir = "headgate/rollouts"

// DefaultHorizon is how long a client may be away and still count, where neither the rollout nor headgate.yaml says it.
const DefaultHorizon = 90 * 24 * time.Hour

// A Definition is what headgate/rollouts/NAME.yaml says. It is read only once it is parsed.
type Definition struct {
	Name   string // of the file, without .yaml
	Path   string
	Schema string // the store kind; empty for the only one

	Events []Family // they open together; at least one, in the file's order

	// Floor is the first release that defines and materializes every event: builds from it on may emit, and clients
	// from it on can read. Empty means that the recorded releases say it.
	Floor   string
	Horizon time.Duration // how long a client may be away and still count; 0 when the file does not say
	Steps   []Step        // at least one, the weights rise

	Analysis  []Template
	OnFailure Reaction // to an analysis that failed: pause or abort
	OnNoData  NoData   // where a template does not say

	Freeze    []Window
	Approvals Approvals
	Waivers   []Waiver

	Confirm *Confirm // who must say that more may open, where a step does not say; nil for nobody
}

// A Family is an event that gets a new version.
type Family struct {
	Name     string // "TodoCreated"
	From, To string // "v1", "v2"; From is Off for an event that has no older version
	Line     int
}

// Off stands for no event: what a store's clients are told of a new event, which has no older version, before it opens.
const Off = "off"

// Key is the family's flag.
func (f Family) Key() string { return KeyPrefix + f.Name }

// Old and New are the events' names.
func (f Family) Old() string {
	if f.From == Off {
		return Off
	}
	return f.From + "." + f.Name
}

// New is the name of the event that the rollout opens.
func (f Family) New() string { return f.To + "." + f.Name }

// New are the names of the events that the rollout opens.
func (d *Definition) New() []string {
	var out []string
	for _, f := range d.Events {
		out = append(out, f.New())
	}
	return out
}

// A Step is a share of the stores, and how long it must be well with them before the next step.
type Step struct {
	// Weight is the share of the stores that may emit the new version. Membership is a hash of the store's id, so that
	// raising it only adds stores; of them, those open whose readers are there.
	Weight Percent

	Pause    time.Duration // how long the step bakes
	Manual   bool          // it bakes until someone promotes
	Analysis []string      // names of templates that must succeed
	Confirm  *Confirm      // who must say that it may be left; nil for whom the rollout says
	Line     int
}

// A Reaction is what a failed analysis leads to. The words are stable.
type Reaction string

const (
	PauseOnFailure Reaction = "pause" // someone looks at it; the default
	AbortOnFailure Reaction = "abort" // weight 0
)

// A NoData says what a measurement without data counts as. The words are stable.
type NoData string

const (
	PauseOnNoData NoData = "pause" // neither success nor failure; an analysis that ends so pauses the rollout; the default
	PassOnNoData  NoData = "pass"
	FailOnNoData  NoData = "fail"
)

// Approvals says how many people, other than the one who started the rollout, must approve.
type Approvals struct {
	Ramp int // before the first store opens
	Full int // before the point of no return is passed
}

// A Waiver lets a store open in spite of something, for a while. Exactly one of Client, Release and Store is set.
type Waiver struct {
	Client  string // a pattern of client ids that don't block
	Release string // clients of this release don't block; "none" for those that say none
	Store   string // a pattern of stores that may open though nobody watches who reads them, or not for long enough
	Reason  string
	Owner   string
	Expires time.Time // midnight UTC of the day from which it no longer counts
	Line    int
}

// What names what the waiver is for.
func (w Waiver) What() string {
	switch {
	case w.Client != "":
		return "client " + w.Client
	case w.Release != "":
		return "release " + w.Release
	}
	return "store " + w.Store
}

// Holds reports whether the waiver counts at a time.
func (w Waiver) Holds(now time.Time) bool { return now.Before(w.Expires) }

// Template returns the analysis with this name.
func (d *Definition) Template(name string) (Template, bool) {
	i := slices.IndexFunc(d.Analysis, func(t Template) bool { return t.Name == name })
	if i < 0 {
		return Template{}, false
	}
	return d.Analysis[i], true
}

// Identity is what must not change while the rollout runs, since it decides which store is in which cohort: the flags'
// keys with the order of their variants, the first of which gives the stores their places.
func (d *Definition) Identity() string {
	var out []string
	for _, f := range d.Events {
		out = append(out, f.Key()+" "+f.From+"<"+f.To)
	}
	return strings.Join(out, ", ")
}

// Takes reports whether a store belongs to the share w of the stores. All families of a rollout have the same stores, by
// their places in the first one's flag.
func (d *Definition) Takes(store livestore.StoreID, w Percent) bool {
	return Bucket(d.Events[0].Key(), store, uint32(hundred)) < uint32(w)
}

// Flags are the flags that publish the rollout: open to these stores, or to all. The order of the variants, the keys and
// with them the stores' places are the same whatever is open.
func (d *Definition) Flags(floor string, revision int, stores []livestore.StoreID, all bool) []Flag {
	var out []Flag
	for _, f := range d.Events {
		from := Variant{Name: f.From, Event: f.Old(), Percent: hundred, Line: f.Line}
		to := Variant{Name: f.To, Event: f.New(), Floor: floor, Stores: stores, Line: f.Line}
		if all {
			from.Percent, to.Percent, to.Stores = 0, hundred, nil
		}
		out = append(out, Flag{
			Key: f.Key(), Schema: d.Schema, Rollout: d.Name, Revision: revision, Variants: []Variant{from, to}, Line: f.Line,
		})
	}
	return out
}
