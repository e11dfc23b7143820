package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"headgate/rollout/ofrep"
)

// meters are what /metrics shows. Labels are the patterns of routes, statuses, kinds, and the names of recorded releases and of
// rollouts: nothing that callers choose.
type meters struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	observed *prometheus.CounterVec
	lost     *prometheus.CounterVec
	foreign  *prometheus.CounterVec
	signals  *prometheus.CounterVec
	dropped  prometheus.Counter
	contexts *prometheus.CounterVec
	webhook  *prometheus.CounterVec
}

func newMeters(streams func() int) *meters {
	m := &meters{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_http_requests_total", Help: "Requests that were answered."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "headgate_http_request_seconds", Help: "How long answers took, streams left out.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"route"}),
	}
	m.observed = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_observations_total", Help: "What the sync backend and the apps saw."}, []string{"kind"})
	m.lost = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_observations_lost_total", Help: "What they could not keep until it was sent."}, []string{"sender"})
	m.contexts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_flag_contexts_total", Help: "Clients that were given flags: kept as seen, or why not."}, []string{"result"})
	m.signals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "headgate_signals_total", Help: "What was seen, by the reader's release, the event, and the rollouts that had the store open. Names of no recorded release are other.",
	}, []string{"sign", "release", "event", "rollouts"})
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{Name: "headgate_signals_dropped_total", Help: "What was seen and not counted: too much waited to be written."})
	m.webhook = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_webhook_attempts_total", Help: "Attempts of this server to tell the webhook: delivered, failed, or the last one: dead."}, []string{"result"})
	m.foreign = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "headgate_observations_foreign_total", Help: "What they told that this server does not know: they are newer."}, []string{"sender"})
	m.registry.MustRegister(m.webhook, m.signals, m.dropped, m.contexts, m.requests, m.seconds, m.observed, m.lost, m.foreign, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "headgate_streams", Help: "Streams of flag changes that are open."}, func() float64 { return float64(streams()) }))
	return m
}

func (m *meters) request(pattern string, status int, took time.Duration) {
	if pattern == "" {
		pattern = "none"
	}
	m.requests.WithLabelValues(pattern, strconv.Itoa(status)).Inc()
	if pattern != "GET "+ofrep.StreamPath {
		m.seconds.WithLabelValues(pattern).Observe(took.Seconds())
	}
}

// A webhookState reads how far the webhook was told when it is asked, from the control database: for all servers.
type webhookState struct{ *Server }

func (c webhookState) Describe(ch chan<- *prometheus.Desc) { ch <- webhookDesc() }

func webhookDesc() *prometheus.Desc {
	return prometheus.NewDesc("headgate_webhook_events", "Events that the webhook is to be told of, of all servers: waiting, or given_up.", []string{"state"}, nil)
}

func (c webhookState) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	state, found, err := c.Operate.DB.Webhook(ctx, c.Operate.Name)
	if err != nil || !found {
		return // the other measurements are shown
	}
	ch <- prometheus.MustNewConstMetric(webhookDesc(), prometheus.GaugeValue, float64(state.Waiting), "waiting")
	ch <- prometheus.MustNewConstMetric(webhookDesc(), prometheus.GaugeValue, float64(state.GivenUp), "given_up")
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(s.meters.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
