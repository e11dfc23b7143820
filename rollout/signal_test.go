package rollout_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/rollout"
)

func TestSignalValue(t *testing.T) {
	window := 10 * time.Minute
	count := func(sign rollout.Sign, n int64) rollout.SignCount { return rollout.SignCount{Sign: sign, N: n} }
	read := count(rollout.SawRead, 50)
	for _, c := range []struct {
		signal rollout.Signal
		counts []rollout.SignCount
		want   any
	}{
		{rollout.UnknownEventRate, nil, nil},
		{rollout.UnknownEventRate, []rollout.SignCount{read}, 0.0},
		{rollout.UnknownEventRate, []rollout.SignCount{read, count(rollout.SawUnknown, 5), count(rollout.SawUnknown, 20)}, 0.5},
		{rollout.UnknownEventRate, []rollout.SignCount{count(rollout.SawUnknown, 3)}, 3.0}, // the backend reports later
		{rollout.MaterializerErrorRate, []rollout.SignCount{read, count(rollout.SawThrew, 5), count(rollout.SawApplyFailed, 4)}, 0.1},
		{rollout.OpenFailureRate, []rollout.SignCount{count(rollout.SawOpened, 3), count(rollout.SawOpenFailed, 1)}, 0.25},
		{rollout.OpenFailureRate, []rollout.SignCount{read}, nil},
		{rollout.PushRejectionRate, []rollout.SignCount{count(rollout.SawPushed, 9), count(rollout.SawRejected, 1)}, 0.1},
		{rollout.PushRejectionRate, []rollout.SignCount{count(rollout.SawPushed, 9), count(rollout.SawPushTime, 3), count(rollout.SawPushFailed, 1)}, 0.25},
		{rollout.ActiveConnections, []rollout.SignCount{read}, 5.0},
		{rollout.ActiveConnections, nil, nil},
		{"push-latency-p95", nil, nil},
		{"push-latency", []rollout.SignCount{count(rollout.SawPushTime, 3)}, nil},
	} {
		if got, made := c.signal.Value(c.counts, window); got != c.want || made == "" {
			t.Errorf("%s of %v: %v (%s), want %v", c.signal, c.counts, got, made, c.want)
		}
	}
}

// TestQuantiles: a quantile of the buckets is within a bucket of that of the times themselves, however they were split up.
func TestQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var times []float64
	var counts []rollout.SignCount
	for range 5000 {
		ms := math.Exp(random.NormFloat64()*1.5 + 4)
		times = append(times, ms)
		counts = append(counts, rollout.SignCount{Sign: rollout.SawPullTime, N: 1, Bucket: rollout.BucketOf(time.Duration(ms * float64(time.Millisecond)))})
	}
	slices.Sort(times)
	for name, q := range map[string]float64{"p50": 0.5, "p95": 0.95, "p99": 0.99} {
		got, _ := rollout.Signal("pull-latency-"+name).Value(counts, time.Hour)
		want := times[int(q*float64(len(times)))]
		if ratio := got.(float64) / want; ratio < 1/math.Sqrt2 || ratio > math.Sqrt2 {
			t.Errorf("%s: %v, want about %v", name, got, want)
		}
	}
	for d, want := range map[time.Duration]int{-time.Second: 0, 0: 0, time.Millisecond: 0, 2 * time.Millisecond: 2, time.Hour: 35, math.MaxInt64: 35} {
		if got := rollout.BucketOf(d); got != want {
			t.Errorf("%s is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestSignalAgainstTheOthers(t *testing.T) {
	counts := []rollout.SignCount{
		{Sign: rollout.SawRead, Open: true, N: 10},
		{Sign: rollout.SawUnknown, Open: true, N: 5},
		{Sign: rollout.SawRead, N: 100},
		{Sign: rollout.SawUnknown, N: 1},
	}
	r := rollout.ReadSignal(rollout.UnknownEventRate, counts, time.Minute)
	if r.Value != 0.5 || r.Baseline != 0.01 || !strings.Contains(r.Made, "5 unknown events in 10 reader minutes; in other stores: 1 unknown") {
		t.Errorf("%+v", r)
	}
	d := definition(t, strings.Replace(todoV2, `command: [node, errors.mjs], interval: 10m, failureCondition: "result > 0.01"`,
		`signal: unknown-event-rate, for: 10m, interval: 1m, failureCondition: "result > 2 * baseline"`, 1))
	strict, _ := d.Template("errors")
	d = definition(t, strings.Replace(todoV2, `command: [node, errors.mjs], interval: 10m, failureCondition: "result > 0.01"`,
		`signal: unknown-event-rate, for: 10m, interval: 1m, failureCondition: "result > 2 * (baseline ?? 0)"`, 1))
	lenient, _ := d.Template("errors")
	for _, c := range []struct {
		template        rollout.Template
		value, baseline any
		want            rollout.Outcome
	}{
		{strict, 0.5, 0.01, rollout.Failed},
		{strict, 0.5, 0.3, rollout.Successful},
		{strict, 0.5, nil, rollout.Empty},
		{strict, nil, 0.3, rollout.Empty},
		{lenient, 0.5, nil, rollout.Failed},
		{lenient, 0.0, nil, rollout.Successful},
	} {
		if got, why := c.template.Judge(rollout.Measurement{Value: c.value, Baseline: c.baseline}); got != c.want {
			t.Errorf("%v against %v: %s (%s), want %s", c.value, c.baseline, got, why, c.want)
		}
	}
}

// TestUnheardSignals: a signal whose reporters have never said anything is found, where a step looks at it.
func TestUnheardSignals(t *testing.T) {
	d, err := rollout.ParseDefinition([]byte(`events: {TodoCreated: {from: v1, to: v2}}
steps: [{weight: 50, pause: 1h, analysis: [watched, program]}]
onNoData: fail
analysis:
  watched: {signal: unknown-event-rate, for: 10m, interval: 1m, failureCondition: "result > 1"}
  unused: {signal: push-latency-p95, for: 10m, interval: 1m, failureCondition: "result > 1"}
  program: {command: [x], interval: 1m, failureCondition: "result > 1"}
`), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := d.Unheard(func(rollout.Sign) bool { return false })
	if len(found) != 1 || found[0].Code != rollout.RO106 || !found[0].Warning || found[0].Line != 5 || !strings.Contains(found[0].Msg, "onNoData says, fail") {
		t.Fatalf("%+v", found)
	}
	for _, c := range []struct {
		signal rollout.Signal
		seen   []rollout.Sign
		want   string
	}{
		{rollout.UnknownEventRate, []rollout.Sign{rollout.SawOpened}, "the sync backend"},
		{rollout.UnknownEventRate, []rollout.Sign{rollout.SawRead, rollout.SawApplyTime}, "no app"}, // spans tell of no unknown event
		{rollout.UnknownEventRate, []rollout.Sign{rollout.SawRead, rollout.SawOpened}, ""},
		{rollout.MaterializerErrorRate, []rollout.Sign{rollout.SawRead}, "no app"},
		{rollout.MaterializerErrorRate, []rollout.Sign{rollout.SawRead, rollout.SawApplyTime}, ""},
		{rollout.ActiveConnections, []rollout.Sign{rollout.SawOpened}, "the sync backend"},
		{rollout.ActiveConnections, []rollout.Sign{rollout.SawRead}, ""},
		{rollout.OpenFailureRate, []rollout.Sign{rollout.SawRead}, "no app"},
		{rollout.OpenFailureRate, []rollout.Sign{rollout.SawOpened}, ""},
		{rollout.PushRejectionRate, []rollout.Sign{rollout.SawRead}, "never reported a push"},
		{rollout.PushRejectionRate, []rollout.Sign{rollout.SawPushTime}, ""},
		{"pull-latency-p50", []rollout.Sign{rollout.SawPushTime}, "no span"},
		{"pull-latency-p50", []rollout.Sign{rollout.SawPullTime}, ""},
	} {
		got := c.signal.Mute(func(s rollout.Sign) bool { return slices.Contains(c.seen, s) })
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s of %v: %q, want %q", c.signal, c.seen, got, c.want)
		}
	}
}

func TestProviders(t *testing.T) {
	const was = `command: [node, errors.mjs], interval: 10m, failureCondition: "result > 0.01"`
	if !strings.Contains(todoV2, was) {
		t.Fatal("the definition has another analysis")
	}
	for text, want := range map[string]string{
		`interval: 1m, failureCondition: "result > 1"`:                                                                                           "says nothing to measure",
		`signal: unknown-event-rate, for: 10m, command: [x], interval: 1m, failureCondition: "result > 1"`:                                       "more than one thing",
		`signal: unknown-events, for: 10m, interval: 1m, failureCondition: "result > 1"`:                                                         "is none of unknown-event-rate",
		`signal: unknown-event-rate, interval: 1m, failureCondition: "result > 1"`:                                                               "errors.for is missing",
		`signal: unknown-event-rate, for: 1s, interval: 1m, failureCondition: "result > 1"`:                                                      "errors.for is 1s",
		`command: [x], for: 10m, interval: 1m, failureCondition: "result > 1"`:                                                                   "for is for signal only",
		`command: [x], interval: 1m, failureCondition: "result > baseline"`:                                                                      "unknown name baseline",
		`prometheus: {address: "ftp://x", query: up}, interval: 1m, failureCondition: "result > 1"`:                                              "not the address of a Prometheus",
		`prometheus: {address: "http://user:pass@x", query: up}, interval: 1m, failureCondition: "result > 1"`:                                   "not the address of a Prometheus",
		`prometheus: {address: "http://x"}, interval: 1m, failureCondition: "result > 1"`:                                                        "query",
		`prometheus: {address: "http://x", query: up, authorization: "Bearer abc"}, interval: 1m, failureCondition: "result > 1"`:                "not the name of an environment variable",
		`prometheus: {address: "http://x", query: up, token: a}, interval: 1m, failureCondition: "result > 1"`:                                   "unknown key",
		`prometheus: {address: "http://x:9090/prom/", query: up, authorization: A_B, timeout: 3s}, interval: 1m, failureCondition: "result > 1"`: "",
	} {
		_, err := rollout.ParseDefinition([]byte(strings.Replace(todoV2, was, text, 1)), "todo-created-v2.yaml")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s:\n%v, want %q", text, err, want)
		}
	}
}
