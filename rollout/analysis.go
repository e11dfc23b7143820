package rollout

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

// A Template says how to find out whether it goes well, with the meaning that people know from Argo Rollouts.
type Template struct {
	Name string

	// One of Command, Signal and Prometheus is what is measured.

	// Command is run for each measurement, in the directory of headgate.yaml, and prints the result as JSON. {env},
	// {rollout}, {event}, {weight} and {step} in it are replaced.
	Command []string

	// Signal is what the server saw in the last For of the stores that the rollout has open. Conditions may hold it against
	// baseline: the same of the other stores at the same time.
	Signal Signal
	For    time.Duration

	Prometheus *Prometheus

	Interval     time.Duration // between two measurements
	InitialDelay time.Duration // from the step's beginning to the first one
	Count        int           // measurements that make the analysis complete; 0 for as many as the step's pause lasts

	SuccessCondition string // over result; empty for none
	FailureCondition string

	FailureLimit            int // more failed measurements than this fail the analysis
	InconclusiveLimit       int // more inconclusive ones than this pause the rollout
	ConsecutiveErrorLimit   int // more errors in a row than this fail the analysis
	ConsecutiveSuccessLimit int // that many successes in a row complete the analysis; 0 for none
	OnNoData                NoData

	Line             int
	success, failure *vm.Program
}

// compile checks the conditions.
func (t *Template) compile() (err error) {
	for _, c := range []struct {
		name, text string
		program    **vm.Program
	}{{"successCondition", t.SuccessCondition, &t.success}, {"failureCondition", t.FailureCondition, &t.failure}} {
		if c.text == "" {
			continue
		}
		env := types.Map{"result": types.Any}
		if t.Signal != "" {
			env["baseline"] = types.Any
		}
		if *c.program, err = expr.Compile(c.text, expr.Env(env), expr.AsBool()); err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			return fmt.Errorf("%s: %s", c.name, first)
		}
	}
	return nil
}

// A Measurement is what a template's query answered.
type Measurement struct {
	Template string    `json:"template"`
	At       time.Time `json:"at"`
	Query    string    `json:"query"` // as it was asked, for people
	Value    any       `json:"value,omitempty"`
	Baseline any       `json:"baseline,omitempty"` // of a signal: in the stores that are not open
	Made     string    `json:"made,omitempty"`     // of a signal: what it was made of
	Err      string    `json:"error,omitempty"`    // why there is no value; empty when the query was answered

	passes bool // of a simulation: it counts as a success
}

// An Outcome is what a measurement counts as, and what an analysis has come to. The words are stable.
type Outcome string

const (
	Running      Outcome = "running" // of an analysis: it goes on
	Successful   Outcome = "successful"
	Failed       Outcome = "failed"
	Inconclusive Outcome = "inconclusive"
	Errored      Outcome = "error"
	Empty        Outcome = "no data"
)

// Judge says what a measurement counts as.
func (t Template) Judge(m Measurement) (Outcome, string) {
	if m.passes {
		return Successful, ""
	}
	if m.Err != "" {
		return Errored, m.Err
	}
	if noData(m.Value) {
		switch t.OnNoData {
		case PassOnNoData:
			return Successful, "no data, which passes"
		case FailOnNoData:
			return Failed, "no data, which fails"
		}
		return Empty, "no data"
	}
	env := map[string]any{"result": m.Value}
	if t.Signal != "" {
		env["baseline"] = m.Baseline
	}
	holds := func(p *vm.Program) (bool, error) {
		if p == nil {
			return false, nil
		}
		v, err := expr.Run(p, env)
		if err != nil {
			first, _, _ := strings.Cut(err.Error(), "\n")
			return false, fmt.Errorf("can't evaluate the condition: %s", first)
		}
		b, ok := v.(bool)
		if !ok {
			return false, fmt.Errorf("the condition gives %T, not a boolean", v)
		}
		return b, nil
	}
	failed, err := holds(t.failure)
	if err != nil && t.Signal != "" && m.Baseline == nil { // the condition has no ?? for that
		return Empty, "no other stores to hold it against"
	}
	if err != nil {
		return Errored, err.Error()
	}
	passed, err := holds(t.success)
	if err != nil && t.Signal != "" && m.Baseline == nil {
		return Empty, "no other stores to hold it against"
	}
	switch {
	case err != nil:
		return Errored, err.Error()
	case failed:
		return Failed, t.FailureCondition
	case passed, t.success == nil:
		return Successful, ""
	case t.failure == nil:
		return Failed, "not " + t.SuccessCondition
	}
	return Inconclusive, "neither condition holds"
}

// noData reports whether a result says nothing: null, an empty list, or only what is not a number.
func noData(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case float64:
		return math.IsNaN(v)
	case string:
		return strings.EqualFold(v, "NaN") || v == ""
	case []any:
		for _, item := range v {
			if !noData(item) {
				return false
			}
		}
		return true
	}
	return false
}

// An AnalysisRun is how far a template is in a step.
type AnalysisRun struct {
	Template string  `json:"template"`
	Outcome  Outcome `json:"outcome"`
	Why      string  `json:"why,omitempty"`
	Query    string  `json:"query,omitempty"` // the last one, as it was asked

	Measured     int `json:"measured"`
	Successful   int `json:"successful"`
	Failed       int `json:"failed"`
	Inconclusive int `json:"inconclusive"`
	Errors       int `json:"errors"`
	NoData       int `json:"noData"`

	ErrorsInRow    int `json:"errorsInRow,omitempty"`
	SuccessesInRow int `json:"successesInRow,omitempty"`

	Last     any    `json:"last,omitempty"`     // the last value
	Baseline any    `json:"baseline,omitempty"` // beside it, see Measurement
	Made     string `json:"made,omitempty"`
	Error    string `json:"error,omitempty"` // of the last one

	LastAt  time.Time `json:"lastAt,omitzero"`
	Begin   time.Time `json:"begin"`
	NextDue time.Time `json:"nextDue,omitzero"` // zero when it has ended
}

// Begin starts the analysis of a step that began at a time.
func (t Template) Begin(at time.Time) AnalysisRun {
	return AnalysisRun{Template: t.Name, Outcome: Running, Begin: at, NextDue: at.Add(t.InitialDelay)}
}

// Observe counts a measurement. An analysis that has ended stays as it is. What ends it is asked in this order: too many
// failures, too many inconclusive measurements, too many errors in a row, enough successes in a row, enough measurements.
// An error is no measurement: it is tried again.
func (t Template) Observe(r AnalysisRun, m Measurement) AnalysisRun {
	if r.Outcome != Running {
		return r
	}
	outcome, why := t.Judge(m)
	r.Baseline, r.Made, r.Error = m.Baseline, m.Made, m.Err
	r.Query, r.Last, r.LastAt, r.NextDue = m.Query, m.Value, m.At, m.At.Add(max(t.Interval, time.Second))
	if outcome == Errored {
		r.Errors++
		r.ErrorsInRow++
		r.SuccessesInRow = 0
	} else {
		r.Measured++
		r.ErrorsInRow = 0
	}
	switch outcome {
	case Successful:
		r.Successful++
		r.SuccessesInRow++
	case Failed:
		r.Failed++
		r.SuccessesInRow = 0
	case Inconclusive:
		r.Inconclusive++
		r.SuccessesInRow = 0
	case Empty:
		r.NoData++
	}
	switch {
	case r.Failed > t.FailureLimit:
		r.Outcome, r.Why = Failed, fmt.Sprintf("%d failed (%s), %d may", r.Failed, why, t.FailureLimit)
	case r.Inconclusive > t.InconclusiveLimit:
		r.Outcome, r.Why = Inconclusive, fmt.Sprintf("%d inconclusive (%s), %d may be", r.Inconclusive, why, t.InconclusiveLimit)
	case r.ErrorsInRow > t.ConsecutiveErrorLimit:
		r.Outcome, r.Why = Errored, fmt.Sprintf("%d errors in a row: %s", r.ErrorsInRow, why)
	case t.ConsecutiveSuccessLimit > 0 && r.SuccessesInRow >= t.ConsecutiveSuccessLimit:
		r.Outcome, r.Why = Successful, fmt.Sprintf("%d successes in a row", r.SuccessesInRow)
	case t.Count > 0 && r.Measured >= t.Count:
		r = t.complete(r)
	}
	if r.Outcome != Running {
		r.NextDue = time.Time{}
	}
	return r
}

// complete ends an analysis that has been measured for as long as it should be.
func (t Template) complete(r AnalysisRun) AnalysisRun {
	r.NextDue = time.Time{}
	switch {
	case r.NoData > 0 && r.Successful == 0 || r.Measured == 0:
		r.Outcome, r.Why = Empty, fmt.Sprintf("no data in %d measurements", r.Measured)
	case t.ConsecutiveSuccessLimit > 0:
		r.Outcome, r.Why = Inconclusive, fmt.Sprintf("never %d successes in a row", t.ConsecutiveSuccessLimit)
	default:
		r.Outcome, r.Why = Successful, fmt.Sprintf("%d of %d successful", r.Successful, r.Measured)
	}
	return r
}
