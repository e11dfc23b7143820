package server

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/control"
	"headgate/internal/testenv"
	"headgate/rollout"
)

// runPrometheus starts a Prometheus that scrapes /metrics with a token, and returns its address.
func (w *world) runPrometheus(t *testing.T, token string) string {
	t.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		testenv.Need(t, "prometheus", "install Debian's package of that name")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n  - job_name: headgate\n    authorization: {credentials: %s}\n    static_configs: [{targets: [%q]}]\n", token, strings.TrimPrefix(w.url, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--web.external-url=http://"+address+"/prom")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + address + "/prom"
}

// TestPrometheusPauses: a real Prometheus scrapes the real /metrics, and the controller pauses the rollout on what it answers.
func TestPrometheusPauses(t *testing.T) {
	var address string
	w := newWorld(t, func(o *Options) {
		watching(o, "100", `prometheus: {address: "ADDRESS", query: 'sum(headgate_signals_total{sign="unknown",rollouts=~"(.*,)?{rollout}(,.*)?"})'}, interval: 1m, failureCondition: "result[0] > 3"`, func() string { return address })
	})
	_, viewer := w.token(t, control.Token{Role: control.RoleViewer})
	_, client := w.token(t, control.Token{Role: control.RoleClient, App: "todo"})
	address = w.runPrometheus(t, viewer)
	w.ramping(t)
	until := func(what string, holds func(operate.RolloutStatus) bool) operate.RolloutStatus {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; {
			w.advance(time.Minute)
			s := w.ticked(t)
			if holds(s) {
				return s
			}
			if time.Now().After(end) {
				t.Fatalf("never %s: %+v", what, s.Analysis)
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	// Until Prometheus listens that is an error, and then there is no data: neither is a failure.
	if s := until("no data", func(s operate.RolloutStatus) bool { return s.Paused != nil || s.Analysis[0].NoData > 0 }); s.Paused != nil {
		t.Fatalf("%+v", s.Paused)
	}
	body := `{"version":1,"dropped":0,"storeId":"s1","schema":"main","clientId":"ann","release":"1.0.0","items":[{"kind":"unknown_event","event":"v2.Start","count":%d}]}`
	tell := func(n int) {
		t.Helper()
		if status, _, answer := w.ask(t, http.MethodPost, "/v1/telemetry", client, fmt.Sprintf(body, n)); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, answer)
		}
		if err := w.counter.write(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tell(3)
	if s := until("3 unknown events", func(s operate.RolloutStatus) bool { return s.Paused != nil || fmt.Sprint(s.Analysis[0].Last) == "[3]" }); s.Paused != nil {
		t.Fatalf("%+v", s.Paused)
	}
	tell(2)
	s := until("paused", func(s operate.RolloutStatus) bool { return s.Paused != nil })
	if !strings.Contains(s.Paused.Reason, "result[0] > 3") || s.Paused.By != rollout.Controller || !strings.Contains(s.Analysis[0].Query, `rollouts=~"(.*,)?start(,.*)?"`) {
		t.Errorf("%+v, %+v", s.Paused, s.Analysis)
	}
}

// TestPrometheusAnswers: what Prometheus can answer, and who signs in.
func TestPrometheusAnswers(t *testing.T) {
	var answer string
	var status int
	var asked *http.Request
	front := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r
		if status == http.StatusFound {
			http.Redirect(rw, r, "http://127.0.0.1:1/elsewhere", status)
			return
		}
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(answer))
	}))
	defer front.Close()
	vector := func(values string) string {
		return `{"status":"success","data":{"resultType":"vector","result":[` + values + `]}}`
	}
	for name, c := range map[string]struct {
		status int
		answer string
		want   string // of the measurement: its value, or "error …"
	}{
		"vector":        {200, vector(`{"metric":{},"value":[1,"2"]},{"metric":{},"value":[1,"0.5"]}`), "[2 0.5]"},
		"empty":         {200, vector(``), "no data"},
		"not a number":  {200, vector(`{"value":[1,"NaN"]}`), "no data"},
		"infinite":      {200, vector(`{"value":[1,"+Inf"]}`), "[1.7976931348623157e+308]"},
		"scalar":        {200, `{"status":"success","data":{"resultType":"scalar","result":[1,"4"]}}`, "4"},
		"matrix":        {200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`, "error Prometheus answers a matrix"},
		"a bad query":   {400, `{"status":"error","errorType":"bad_data","error":"parse error"}`, "error Prometheus answers 400: parse error"},
		"a page":        {200, "<html>", "error Prometheus answers 200, and no JSON"},
		"elsewhere":     {302, "", "error Prometheus answers 302"},
		"too long":      {200, strings.Repeat(" ", 2<<20), "error Prometheus answers more than 1 MB"},
		"no number":     {200, vector(`{"value":[1,"x"]}`), "error Prometheus answers a value that is no number"},
		"half a sample": {200, vector(`{"value":[1]}`), "error Prometheus answers a value that is no number"},
	} {
		w := newWorld(t, func(o *Options) {
			o.Operate.Getenv = func(name string) string { return "secret of " + name }
			watching(o, "100", `prometheus: {address: "ADDRESS", query: "up{{rollout=\"{rollout}\"}}", authorization: PROM_AUTH}, interval: 1m, failureCondition: "result == 1e9"`, func() string { return front.URL })
		})
		w.ramping(t)
		answer, status = c.answer, c.status
		w.advance(time.Minute)
		if _, err := w.Operate.Tick(t.Context(), false, "start"); err != nil {
			t.Fatal(err)
		}
		s, err := w.Operate.RolloutStatus(t.Context(), "start", false)
		if err != nil {
			t.Fatal(err)
		}
		a := s.Analysis[0]
		got := fmt.Sprint(a.Last)
		if a.NoData > 0 {
			got = "no data"
		}
		if a.Errors > 0 {
			got = "error " + a.Error
		}
		if !strings.HasPrefix(got, c.want) || (a.Errors > 0) != strings.HasPrefix(c.want, "error") || s.Paused != nil {
			t.Errorf("%s: %s, want %s (%+v)", name, got, c.want, a)
		}
		if h := asked.Header.Get("Authorization"); h != "secret of PROM_AUTH" || asked.Form.Get("query") != `up{{rollout="start"}}` || asked.URL.Path != "/api/v1/query" {
			t.Errorf("%s: asked %q with %q", name, asked.Form.Get("query"), h)
		}
		if strings.Contains(fmt.Sprintf("%+v", s), "secret of") {
			t.Errorf("%s: the secret is shown", name)
		}
	}
}
