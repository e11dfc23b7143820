package planner

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
)

// PlanFormat is the version of a plan's form. A reader refuses any other.
const PlanFormat = 1

// A Plan is how to get from one release to another. Intent is what is approved, and Digest is over it alone. Evidence
// is what was true when the plan was made; a live store moves every second, so it is looked at again when the plan
// is carried out.
type Plan struct {
	FormatVersion int      `json:"formatVersion"`
	Digest        string   `json:"digest"` // "sha256-<hex>"
	Intent        Intent   `json:"intent"`
	Evidence      Evidence `json:"evidence"`
}

// An Intent is what a plan means to do.
type Intent struct {
	App         string `json:"app"`
	Schema      string `json:"schema"`
	Environment string `json:"environment,omitempty"`
	// From is nil for a first release.
	From     *ReleaseRef `json:"from,omitempty"`
	To       ReleaseRef  `json:"to"`
	Rollback bool        `json:"rollback,omitempty"`
	// Answer is what a rollback answers; empty in a plan of an upgrade, or from one release to another.
	Answer *Answer `json:"answer,omitempty"`
	// Migrations are the backfills that the plan carries, by checksum: those that need the release that it goes to.
	Migrations []MigrationRef      `json:"migrations"`
	Stores     []livestore.StoreID `json:"stores"` // sorted
	Policy     Policy              `json:"policy"`
	Steps      []Step              `json:"steps"`
}

// A ReleaseRef names a release by version and content.
type ReleaseRef struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// A MigrationRef names a backfill by name and content.
type MigrationRef struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// A Policy is what was decided about when to stop.
type Policy struct {
	Profile Profile  `json:"profile"`
	FailOn  Severity `json:"failOn"`
	// Allow are the findings that someone overrode for this plan.
	Allow       []Allowance `json:"allow"`
	HorizonDays int         `json:"horizonDays"`
	// A store whose due count drifted past both limits stops: percent of the count, and events.
	MaxDriftPercent int `json:"maxDriftPercent"`
	MaxDriftEvents  int `json:"maxDriftEvents"`
}

// An Allowance overrides a code for one plan.
type Allowance struct {
	Code   Code   `json:"code"`
	Reason string `json:"reason"`
}

// Evidence is what was true when a plan was made.
type Evidence struct {
	MadeAt   time.Time `json:"madeAt"` // UTC, whole seconds
	Findings []Finding `json:"findings"`
	// Blocking are the findings (by code and place) that stop the plan. It is written all the same.
	Blocking   []string `json:"blocking"`
	Unverified []string `json:"unverified,omitempty"`
	Forecast   Forecast `json:"forecast"`
	// Next are the exact commands to run next.
	Next []string `json:"next"`
}

// A PlanInput is everything a plan is made of.
type PlanInput struct {
	Input
	Environment string
	Stores      []livestore.StoreID
	Migrations  []PlannedMigration
	// Rollback is true when To is the older release of the two.
	Rollback bool
	FailOn   Severity
	Allow    []Allowance
	Horizon  time.Duration // 0: 90 days
}

// A PlannedMigration is a backfill that the release makes possible.
type PlannedMigration struct {
	MigrationRef
	Events []string // that it commits
}

// BuildPlan joins findings, forecast and steps. A blocked plan is a plan too: its Evidence says what blocks it.
func BuildPlan(in PlanInput) (*Plan, error) {
	if len(in.From) > 1 {
		return nil, errs.New(errs.Internal, "a plan goes from one release, not from %d", len(in.From))
	}
	for _, a := range in.Allow {
		if _, err := RuleFor(string(a.Code)); err != nil {
			return nil, err
		}
		if strings.TrimSpace(a.Reason) == "" {
			return nil, errs.Invalidf("--allow %s needs a reason", a.Code).Hintf("add --reason \"…\": it stands in the plan for good")
		}
	}
	toRef, err := reference(in.To)
	if err != nil {
		return nil, err
	}
	report := Check(in.Input)
	var from *schema.Release
	days := int(cmp.Or(in.Horizon, 90*24*time.Hour) / (24 * time.Hour))
	intent := Intent{
		App: in.To.App, Schema: in.To.Schema, Environment: in.Environment, Rollback: in.Rollback,
		To:         toRef,
		Migrations: []MigrationRef{}, Stores: slices.Sorted(slices.Values(in.Stores)),
		Policy: Policy{
			Profile: in.Profile, FailOn: cmp.Or(in.FailOn, Error), Allow: append([]Allowance{}, in.Allow...),
			HorizonDays: days, MaxDriftPercent: 20, MaxDriftEvents: 50,
		},
	}
	if intent.Stores == nil {
		intent.Stores = []livestore.StoreID{}
	}
	if len(in.From) == 1 {
		from = in.From[0]
		ref, err := reference(from)
		if err != nil {
			return nil, err
		}
		intent.From = &ref
	}
	if in.Rollback && from != nil {
		intent.Steps = number(RollbackSteps(from, in.To, KeepOldState(in.Facts.Adapters)))
	} else {
		intent.Steps = upgradeSteps(from, in.To, days, isRecorded(in.History, in.To), in.Migrations)
		for _, m := range in.Migrations {
			intent.Migrations = append(intent.Migrations, m.MigrationRef)
		}
	}
	p := &Plan{FormatVersion: PlanFormat, Intent: intent, Digest: intent.digest()}
	p.Evidence = Evidence{
		MadeAt: in.Now.UTC().Truncate(time.Second), Findings: append([]Finding{}, report.Findings...), Blocking: []string{},
		Unverified: report.Unverified, Forecast: NewForecast(from, in.To, in.Facts),
	}
	if slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Code == "ST107" }) {
		p.Evidence.Forecast.Reopens = KeepOldState(in.Facts.Adapters)
	}
	for _, f := range report.Failing(intent.Policy.FailOn) {
		if !slices.ContainsFunc(in.Allow, func(a Allowance) bool { return a.Code == f.Code }) {
			p.Evidence.Blocking = append(p.Evidence.Blocking, strings.TrimSpace(string(f.Code)+" "+f.Place()))
		}
	}
	p.Evidence.Next = p.next(report)
	return p, nil
}

// Blocked reports whether findings stop the plan.
func (p *Plan) Blocked() bool { return len(p.Evidence.Blocking) > 0 }

// next are the exact commands to run next, the most useful first.
func (p *Plan) next(report Report) []string {
	var out []string
	add := func(s string) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	if !p.Blocked() {
		gate := "headgate gate"
		if p.Intent.Environment != "" {
			gate += " --env " + p.Intent.Environment
		}
		return []string{gate}
	}
	for _, f := range report.Failing(p.Intent.Policy.FailOn) {
		switch f.Code {
		case "ST102", "ST103", "ST107", "ST109":
			add("headgate epoch bump --schema " + p.Intent.Schema)
		case "ST113":
			add("headgate generate")
		}
	}
	for _, f := range report.Failing(p.Intent.Policy.FailOn) {
		add("headgate help finding " + string(f.Code))
	}
	return out
}

func (i Intent) digest() string { return schema.DigestOf(compact(i)) }

// reference names a release by version and by the digest of its canonical form, which is that of its file.
func reference(r *schema.Release) (ReleaseRef, error) {
	digest, err := r.Digest()
	if err != nil {
		return ReleaseRef{}, errs.Invalidf("release %s can't be written", r.Version).Because(err)
	}
	return ReleaseRef{r.Version, digest}, nil
}

// compact is the canonical form: keys in the order of the model, no spaces, nothing escaped for HTML.
func compact(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("planner: the model does not encode: %v", err)) // plain data without maps of any or cycles
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// JSON returns the plan as plan.json holds it: canonical, indented to be reviewed.
func (p *Plan) JSON() []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, compact(p), "", "  "); err != nil {
		panic(fmt.Sprintf("planner: %v", err)) // of JSON that was just made
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// DecodePlan reads plan.json strictly: no unknown or repeated fields, the canonical form but for white space, and a
// digest that fits the intent. The errors are errs.Invalid, or errs.Stale where the file was edited.
func DecodePlan(data []byte) (*Plan, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var p Plan
	if err := dec.Decode(&p); err != nil {
		return nil, errs.Invalidf("not a plan").Because(err).Hintf("make a new one with headgate plan --out plan.json")
	}
	if p.FormatVersion != PlanFormat {
		return nil, errs.Invalidf("the plan has format %d, this headgate reads %d", p.FormatVersion, PlanFormat).Hintf("make a new one with headgate plan --out plan.json")
	}
	if want := p.Intent.digest(); p.Digest != want {
		return nil, errs.New(errs.Stale, "the plan's digest does not fit what it says").Hintf("the file was edited after it was made; make a new one with headgate plan --out plan.json")
	}
	if err := p.Intent.validate(); err != nil {
		return nil, err
	}
	var given bytes.Buffer
	if err := json.Compact(&given, data); err != nil {
		return nil, errs.Invalidf("not a plan").Because(err)
	}
	if !bytes.Equal(given.Bytes(), compact(&p)) {
		return nil, errs.Invalidf("the plan is not in its canonical form").Hintf("the file was edited after it was made; make a new one with headgate plan --out plan.json")
	}
	return &p, nil
}

func (i Intent) validate() error {
	seen := map[string]bool{}
	for _, s := range i.Steps {
		if !slices.Contains(StepKinds(), s.Kind) {
			return errs.Invalidf("the plan has a step of unknown kind %q", s.Kind)
		}
		if s.ID == "" || seen[s.ID] {
			return errs.Invalidf("the plan has two steps with the id %q", s.ID)
		}
		seen[s.ID] = true
		for _, share := range s.Shares {
			if share < 1 || share > 100 {
				return errs.Invalidf("step %s opens to %d %% of the stores", s.ID, share)
			}
		}
	}
	for _, ref := range []*ReleaseRef{i.From, &i.To} {
		if ref == nil {
			continue
		}
		if _, err := schema.ParseVersion(ref.Version); err != nil {
			return err
		}
	}
	if !slices.IsSorted(i.Stores) {
		return errs.Invalidf("the plan's stores are not sorted")
	}
	return nil
}
