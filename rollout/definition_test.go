package rollout_test

import (
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/rollout"
)

const todoV2 = `events:
  TodoCreated: {from: v1, to: v2}
horizon: 30d
steps:
  - {weight: 10, pause: 1h, analysis: [errors]}
  - {weight: 50, pause: 1d}
  - {weight: 100, pause: manual}
analysis:
  errors: {command: [node, errors.mjs], interval: 10m, failureCondition: "result > 0.01"}
approvals: {full: 1}
`

// definition parses text, which must be good.
func definition(t testing.TB, text string) *rollout.Definition {
	t.Helper()
	d, err := rollout.ParseDefinition([]byte(text), "/app/headgate/rollouts/todo-v2.yaml")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return d
}

func TestParseDefinition(t *testing.T) {
	d := definition(t, todoV2+`floor: 1.1.0
onFailure: abort
onNoData: pass
freeze:
  - {cron: "* 18-23 * * fri", zone: Europe/Berlin, reason: weekend}
waivers:
  - {release: none, reason: kiosks, owner: ana, expires: 2027-03-31}
`)
	tpl, _ := d.Template("errors")
	switch {
	case d.Name != "todo-v2", d.Horizon != 30*24*time.Hour, d.Floor != "1.1.0", d.OnFailure != rollout.AbortOnFailure:
		t.Errorf("%+v", d)
	case len(d.Steps) != 3, d.Steps[1].Weight != 50_000, !d.Steps[2].Manual, d.Approvals.Full != 1:
		t.Errorf("steps %+v", d.Steps)
	case tpl.ConsecutiveErrorLimit != 4, tpl.FailureLimit != 0, tpl.OnNoData != rollout.PassOnNoData:
		t.Errorf("template %+v", tpl)
	case d.Identity() != "event.TodoCreated v1<v2", strings.Join(d.New(), ",") != "v2.TodoCreated":
		t.Errorf("%q, %q", d.Identity(), d.New())
	}
}

func TestParseDefinitionErrors(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(todoV2, old, replacement, 1) }
	for _, tc := range []struct{ text, where, msg, hint string }{
		{"", ":1", "the file is empty", "write `events:`"},
		{with("horizon", "horizn"), ":3", `unknown key "horizn"`, "did you mean horizon?"},
		{with("to: v2", "to: v1"), ":2", "goes from v1 to v1", "newer version"},
		{with("to: v2", "to: two"), ":2", `"two" is not a version of an event`, "v2 for v2.TodoCreated"},
		{with("weight: 50", "weight: 5"), ":6", "steps[1].weight is 5 %, the step before has 10 %", "weights rise"},
		{with("weight: 50, pause: 1d", "weight: 50"), ":6", "steps[1].pause is missing", "add `pause:`"},
		{with("pause: 1d", "pause: 1 day"), ":6", `"1 day" is not a duration`, "manual"},
		{with("[errors]", "[error]"), ":5", `there is no "error"`, "did you mean errors?"},
		{with(`"result > 0.01"`, `"result >"`), ":9", "failureCondition", "a boolean over result"},
		{with(`"result > 0.01"`, `"foo > 1"`), ":9", "unknown name foo", "a boolean over result"},
		{with(`, failureCondition: "result > 0.01"`, ""), ":9", "neither successCondition nor failureCondition", "everything succeeds"},
		{with("interval: 10m, ", ""), ":9", "interval is missing", "count: 1"},
		{with("pause: 1h", "pause: manual"), ":5", "analysis errors has no count", "add `count:`"},
		{todoV2 + "freeze:\n  - {cron: '0 18 * * 5', reason: x}\n", ":12", "freezes a single minute", "each minute that fits is frozen"},
		{todoV2 + "freeze:\n  - {cron: '* 24 * * 5', reason: x}\n", ":12", `"24" is not a number from 0 to 23`, "frozen"},
		{todoV2 + "freeze:\n  - {cron: '* * * * *', zone: Berlin, reason: x}\n", ":12", `"Berlin" is not a time zone`, "IANA"},
		{todoV2 + "waivers:\n  - {reason: x, owner: a, expires: 2027-01-01}\n", ":12", "must name one of", "one thing"},
		{todoV2 + "waivers:\n  - {client: a, reason: x, owner: a}\n", ":12", "expires is missing", "add `expires:`"},
		{todoV2 + "approvals: {full: -1}\n", ":11", "there twice", "keep one"},
	} {
		_, err := rollout.ParseDefinition([]byte(tc.text), "todo-v2.yaml")
		e := errs.As(err)
		if e == nil || !strings.Contains(e.Msg, tc.msg) || e.Where != "todo-v2.yaml"+tc.where || !strings.Contains(e.Hint, tc.hint) {
			t.Errorf("got %v (hint %q), want %s %s (%s)", err, e, tc.where, tc.msg, tc.hint)
		}
	}
}

func TestFreeze(t *testing.T) {
	d := definition(t, todoV2+`freeze:
  - {cron: "* 18-23 * * fri", zone: Europe/Berlin, reason: evening}
  - {cron: "* * * * sat,7", zone: Europe/Berlin, reason: weekend}
  - {cron: "*/2 3 24-26 12 *", reason: every other minute}
`)
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, tc := range []struct{ now, thaw, reason string }{
		{"2026-11-27T16:59:59Z", "2026-11-27T16:59:59Z", ""}, // a Friday, Berlin is an hour ahead
		{"2026-11-27T17:00:00Z", "2026-11-29T23:00:00Z", "evening"},
		{"2026-11-29T22:59:00Z", "2026-11-29T23:00:00Z", "weekend"},
		{"2026-12-24T03:02:30Z", "2026-12-24T03:03:00Z", "every other minute"},
		{"2026-12-24T03:03:00Z", "2026-12-24T03:03:00Z", ""},
	} {
		end, in := rollout.Thaw(d.Freeze, at(tc.now))
		reason := ""
		if in != nil {
			reason = in.Reason
		}
		if !end.Equal(at(tc.thaw)) || reason != tc.reason {
			t.Errorf("%s: thaws %s (%q), want %s (%q)", tc.now, end, reason, tc.thaw, tc.reason)
		}
	}
	always := definition(t, todoV2+"freeze: [{cron: '* * * * *', reason: closed}]\n")
	if end, in := rollout.Thaw(always.Freeze, at("2026-01-01T00:00:00Z")); !end.IsZero() || in == nil {
		t.Errorf("thaws %s", end)
	}
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(todoV2))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := rollout.ParseDefinition(data, "x.yaml")
		if err == nil && (len(d.Steps) == 0 || len(d.Events) == 0) {
			t.Errorf("accepted without steps or events: %q", data)
		}
		if err != nil && errs.As(err) == nil {
			t.Errorf("%v is no error for people", err)
		}
	})
}
