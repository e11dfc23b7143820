package rollout_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"headgate/rollout"
)

// template parses an analysis template of one line.
func template(t *testing.T, fields string) rollout.Template {
	t.Helper()
	d := definition(t, strings.Replace(todoV2, `interval: 10m, failureCondition: "result > 0.01"`, "interval: 10m, "+fields, 1))
	tpl, _ := d.Template("errors")
	return tpl
}

func TestJudge(t *testing.T) {
	both := `successCondition: "result <= 1", failureCondition: "result > 5"`
	for _, tc := range []struct {
		fields string
		value  any
		want   rollout.Outcome
	}{
		{`successCondition: "result <= 1"`, 1.0, rollout.Successful},
		{`successCondition: "result <= 1"`, 2.0, rollout.Failed},
		{`failureCondition: "result > 5"`, 2.0, rollout.Successful},
		{`failureCondition: "result > 5"`, 6.0, rollout.Failed},
		{both, 1.0, rollout.Successful},
		{both, 3.0, rollout.Inconclusive},
		{both, 6.0, rollout.Failed},
		{both, "six", rollout.Errored},
		{both, nil, rollout.Empty},
		{both, math.NaN(), rollout.Empty},
		{both, "NaN", rollout.Empty},
		{both, []any{}, rollout.Empty},
		{both, []any{nil, math.NaN()}, rollout.Empty},
		{both + ", onNoData: pass", nil, rollout.Successful},
		{both + ", onNoData: fail", nil, rollout.Failed},
		{`successCondition: "all(result, # < 2)"`, []any{1.0, 1.5}, rollout.Successful},
		{`successCondition: "result.rate < 2"`, map[string]any{"rate": 1.0}, rollout.Successful},
		{`successCondition: "result.rate < 2"`, 1.0, rollout.Errored},
	} {
		if got, why := template(t, tc.fields).Judge(rollout.Measurement{Value: tc.value}); got != tc.want {
			t.Errorf("%s of %v: %s (%s), want %s", tc.fields, tc.value, got, why, tc.want)
		}
	}
	if got, _ := template(t, both).Judge(rollout.Measurement{Value: 1.0, Err: "timeout"}); got != rollout.Errored {
		t.Errorf("an unanswered query is %s", got)
	}
}

// In each sequence s is a success, f a failure, i inconclusive, e an error, n no data.
func TestObserve(t *testing.T) {
	values := map[rune]rollout.Measurement{'s': {Value: 0.0}, 'f': {Value: 9.0}, 'i': {Value: 3.0}, 'e': {Err: "timeout"}, 'n': {}}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		fields, seen string
		want         rollout.Outcome
	}{
		{"count: 3", "ss", rollout.Running},
		{"count: 3", "sss", rollout.Successful},
		{"count: 3", "sf", rollout.Failed},
		{"count: 3, failureLimit: 1", "sfs", rollout.Successful},
		{"count: 5, failureLimit: 1", "sfsf", rollout.Failed},
		{"count: 3", "i", rollout.Inconclusive},
		{"count: 3, inconclusiveLimit: 1", "iss", rollout.Successful},
		{"count: 3", "eeee", rollout.Running}, // four may be in a row
		{"count: 3", "eeeee", rollout.Errored},
		{"count: 3", "eeeeseeees", rollout.Running},
		{"count: 3, consecutiveErrorLimit: 0", "e", rollout.Errored},
		{"count: 1", "ees", rollout.Successful}, // an error is no measurement
		{"consecutiveSuccessLimit: 3, failureLimit: 9", "ssfss", rollout.Running},
		{"consecutiveSuccessLimit: 3, failureLimit: 9", "ssfsss", rollout.Successful},
		{"consecutiveSuccessLimit: 3, failureLimit: 9, count: 5", "ssfss", rollout.Inconclusive},
		{"consecutiveSuccessLimit: 3", "sses", rollout.Running},
		{"count: 3", "nnn", rollout.Empty},
		{"count: 3", "nsn", rollout.Successful},
		{"count: 3", "nf", rollout.Failed},
		{"count: 3, onNoData: pass", "nnn", rollout.Successful},
		{"count: 3, onNoData: fail", "n", rollout.Failed},
		{"count: 3", "fs", rollout.Failed}, // it has ended
	} {
		tpl := template(t, `successCondition: "result <= 1", failureCondition: "result > 5", initialDelay: 1m, `+tc.fields)
		r := tpl.Begin(begin)
		if !r.NextDue.Equal(begin.Add(time.Minute)) {
			t.Fatalf("the first measurement is due at %s", r.NextDue)
		}
		at := r.NextDue
		for _, c := range tc.seen {
			m := values[c]
			m.At = at
			r = tpl.Observe(r, m)
			at = at.Add(10 * time.Minute)
		}
		if r.Outcome != tc.want || (r.Outcome == rollout.Running) == r.NextDue.IsZero() {
			t.Errorf("%s, %q: %+v, want %s", tc.fields, tc.seen, r, tc.want)
		}
	}
}
