package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

// watching has the rollout of v2.Start watch its stores by a template.
func watching(o *Options, weight, template string, address ...func() string) {
	read := o.Operate.Read
	o.Operate.Read = func(name string) (*rollout.Definition, []*schema.Release, error) {
		d, releases, err := read(name)
		if err != nil || name != "start" {
			return d, releases, err
		}
		text := "events: {Start: {from: v1, to: v2}}\nsteps: [{weight: " + weight + ", pause: 1d, analysis: [unknown]}]\nanalysis: {unknown: {" + template + "}}\n"
		for _, a := range address {
			text = strings.ReplaceAll(text, "ADDRESS", a())
		}
		d, err = rollout.ParseDefinition([]byte(text), "/app/headgate/rollouts/start.yaml")
		if err == nil {
			d.Schema = "main"
		}
		return d, releases, err
	}
}

// ramping opens the rollout of v2.Start.
func (w *world) ramping(t *testing.T) {
	t.Helper()
	w.seeClients(t, "1.1.0")
	if _, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Start}, control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	if s := w.ticked(t); s.Phase != rollout.Ramp || s.Paused != nil || s.Stores.Open == 0 {
		t.Fatalf("%+v", s)
	}
}

// ticked moves the rollout, and says how it stands.
func (w *world) ticked(t *testing.T) operate.RolloutStatus {
	t.Helper()
	if _, err := w.Operate.Tick(t.Context(), false, "start"); err != nil {
		t.Fatal(err)
	}
	s, err := w.Operate.RolloutStatus(t.Context(), "start", false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUnknownEventsPause: what the apps did not know pauses the rollout that has their store open, and only that counts.
func TestUnknownEventsPause(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		watching(o, "50", `signal: unknown-event-rate, for: 10m, interval: 1m, failureCondition: "result > 2 * (baseline ?? 0)"`)
	})
	_, reporter := w.token(t, control.Token{Role: control.RoleWorker})
	_, client := w.token(t, control.Token{Role: control.RoleClient, App: "todo"})
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	unheard := func() (out []rollout.Finding) {
		t.Helper()
		check, err := w.Operate.RolloutCheck(t.Context(), "start")
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(check.Findings, func(f rollout.Finding) bool { return f.Code != rollout.RO106 })
	}
	if found := unheard(); len(found) != 1 || !strings.Contains(found[0].Msg, "the sync backend has never reported a reader") {
		t.Errorf("%+v", found)
	}
	would, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Start, DryRun: true}, control.By{Actor: "ana"})
	if err != nil || !slices.ContainsFunc(would.Warnings, func(f rollout.Finding) bool { return f.Code == rollout.RO106 }) {
		t.Errorf("%+v, %v", would, err)
	}
	w.ramping(t)
	open, err := w.Operate.DB.OpenedStores(t.Context(), "prod", "start", 1)
	if err != nil || len(open) == 0 || len(open) == 5 {
		t.Fatalf("%v, %v", open, err)
	}
	in, out := string(open[0]), ""
	for i := range 5 {
		if s := fmt.Sprint("s", i); !strings.Contains(fmt.Sprint(open), s) {
			out = s
		}
	}
	send := func(path, secret, body string) {
		t.Helper()
		if status, _, answer := w.ask(t, http.MethodPost, path, secret, body); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, answer)
		}
	}
	reads := func(store string) {
		send("/v1/reports", reporter, `{"version":1,"dropped":0,"reports":[{"storeId":"`+store+`","schema":"main","clientId":"ann","release":"1.1.0","kind":"pull","count":7}]}`)
	}
	unknown := func(store, event string, n int) {
		send("/v1/telemetry", client, fmt.Sprintf(`{"version":1,"dropped":0,"storeId":%q,"schema":"main","clientId":"ann","release":"1.0.0","items":[{"kind":"unknown_event","event":%q,"count":%d}]}`, store, event, n))
	}
	later := func() operate.RolloutStatus {
		t.Helper()
		if err := w.counter.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.advance(time.Minute)
		return w.ticked(t)
	}
	if s := later(); s.Paused != nil || s.Analysis[0].NoData == 0 {
		t.Fatalf("nobody was seen: %+v", s.Analysis)
	}
	reads(in)
	reads(out)
	unknown(out, "v2.Start", 1)
	if s := later(); s.Paused != nil || s.Analysis[0].Successful != 1 || s.Analysis[0].Last != 0.0 || s.Analysis[0].Baseline != 1.0 {
		t.Fatalf("another store's trouble: %+v", s.Analysis)
	}
	if found := unheard(); len(found) != 0 {
		t.Errorf("all have reported: %+v", found)
	}
	unknown(in, "v2.Start", 3)
	unknown(in, "v9.Nobody", 1)
	s := later()
	if s.Paused == nil || !strings.Contains(s.Paused.Reason, "analysis unknown: failed: 1 failed (result > 2 * (baseline ?? 0)), 0 may") {
		t.Fatalf("%+v, %+v", s.Paused, s.Analysis)
	}
	if a := s.Analysis[0]; a.Last != 4.0 || !strings.Contains(a.Query, "unknown-event-rate of the last 10m in the stores that are open") || !strings.Contains(a.Made, "4 unknown events in 1 reader minutes; in other stores: 1 unknown") {
		t.Errorf("%+v", a)
	}
	_, _, metrics := w.ask(t, http.MethodGet, "/metrics", viewer, "")
	for _, want := range []string{
		`headgate_signals_total{event="v2.Start",release="1.0.0",rollouts="start",sign="unknown"} 3`,
		`headgate_signals_total{event="other",release="1.0.0",rollouts="start",sign="unknown"} 1`,
		`headgate_signals_total{event="",release="1.1.0",rollouts="",sign="read"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	// Who resumes begins anew: what was seen before is not held against it.
	if _, err := w.Operate.RolloutAct(t.Context(), "start", operate.RolloutAsk{Command: rollout.Resume}, control.By{Actor: "ana"}); err != nil {
		t.Fatal(err)
	}
	reads(in)
	if s := later(); s.Paused != nil || s.Analysis[0].Last != 0.0 {
		t.Errorf("%+v, %+v", s.Paused, s.Analysis)
	}
}

// TestSignalsAreBounded: however many names come from outside, few are kept, and what waits has an end.
func TestSignalsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	seen := make([]control.Sighting, 0, signalsWait+100)
	for i := range signalsWait + 100 {
		seen = append(seen, control.Sighting{At: w.now(), Store: fmt.Sprint("s", i), Sign: rollout.SawRead, Schema: "main", Release: "1.0.0", N: 1})
	}
	named, counted := control.Arrival{Key: "a batch", For: batchLife, Seen: []control.Sighting{seen[0], seen[0]}}, map[string]int{}
	count := func(what string) func() { return func() { counted[what]++ } }
	w.counter.arrive(named, count("the first"))
	w.counter.arrive(named, count("again"))
	w.counter.add(seen...)
	w.counter.add(seen[0]) // which waits already
	w.counter.arrive(control.Arrival{Key: "one too many", For: batchLife, Seen: seen[:2]}, count("too many"))
	if n := w.counter.size; n != signalsWait {
		t.Errorf("%d wait", n)
	}
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	if _, _, metrics := w.ask(t, http.MethodGet, "/metrics", viewer, ""); !strings.Contains(metrics, "headgate_signals_dropped_total 104\n") {
		t.Error("what was dropped is not counted")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.counter.write(ended); err == nil {
		t.Error("wrote without a database")
	}
	if n := w.counter.size; n != signalsWait {
		t.Errorf("%d wait after a failure", n)
	}
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts, err := w.Operate.DB.Signals(t.Context(), "prod", control.SignalQuery{Until: w.now().Add(time.Hour)})
	if err != nil || len(counts) != 1 || counts[0].N != signalsWait-2+1+2 {
		t.Errorf("%+v, %v", counts, err)
	}
	if n := w.counter.size; n != 0 || counted["the first"] != 1 || counted["again"] != 0 || counted["too many"] != 1 {
		t.Errorf("%d wait, counted %v", n, counted)
	}
}

// TestPlots: the dashboard has what was seen as plots, and what they show as tables.
func TestPlots(t *testing.T) {
	w := newWorld(t, nil)
	page := func(path string) string {
		t.Helper()
		_, secret := w.token(t, control.Token{Role: control.RoleViewer})
		cookie := w.signIn(t, secret)
		res, body := w.browse(t, http.MethodGet, path, cookie.Name+"="+cookie.Value, nil)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		return body
	}
	for _, path := range []string{"/", "/fleet"} {
		if strings.Contains(page(path), `class="chart"`) {
			t.Errorf("%s plots nothing", path)
		}
	}
	seen := func(sign rollout.Sign, release, event string, n int64) control.Sighting {
		return control.Sighting{At: w.now(), Store: "s1", Sign: sign, Schema: "main", Release: release, Event: event, N: n}
	}
	w.counter.add(seen(rollout.SawRead, "1.1.0", "", 80), seen(rollout.SawRead, "1.0.0", "", 40), seen(rollout.SawUnknown, "1.0.0", "v2.Start", 10), seen(rollout.SawRead, "other", "", 1), seen(rollout.SawRead, "none", "", 1))
	if err := w.counter.write(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.seeClients(t, "1.1.0")
	w.counter.tidy(t.Context())
	w.advance(14 * time.Hour)
	w.seeClients(t, "1.0.0")
	w.counter.tidy(t.Context())
	for path, want := range map[string][]string{
		"/":               {`<td class="n">0.25</td>`, `<polyline class="c1"`, "Unknown events: by the minute"},
		"/rollouts/start": {`<td class="n">0.25</td>`},
		"/fleet":          {`<td class="n">0.25</td>`, "Adoption: clients seen within a day", `<rect class="c0"`},
	} {
		body := page(path)
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s has no %s", path, text)
			}
		}
	}
	report, err := w.Operate.Signals(t.Context(), 24*time.Hour)
	if err != nil || len(report.Unknown) != 1 || report.Unknown[0] != (operate.UnknownEvent{Event: "v2.Start", Release: "1.0.0", Count: 10}) || len(report.Signals) != len(rollout.Signals()) {
		t.Errorf("%+v, %v", report, err)
	}
}
