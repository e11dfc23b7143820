package server

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout/ofrep"
)

// BenchmarkOFREP measures evaluations over a socket beside a bare handler that reads the body and writes the same bytes.
func BenchmarkOFREP(b *testing.B) {
	w := newWorld(b, func(o *Options) { o.RatePerSecond = 100_000_000 })
	_, secret := w.token(b, control.Token{Role: control.RoleClient})
	const body = `{"context":{"targetingKey":"u1","storeId":"s1","clientId":"ann","appVersion":"1.5.0"}}`
	for _, c := range []struct{ name, path string }{{"single", ofrep.BulkPath + "/event.TodoCreated"}, {"bulk", ofrep.BulkPath}} {
		_, _, answer := w.ask(b, http.MethodPost, c.path, secret, body)
		bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, answer)
		}))
		b.Run(c.name+"/headgate", func(b *testing.B) { load(b, w.url+c.path, secret, body) })
		b.Run(c.name+"/bare", func(b *testing.B) { load(b, bare.URL+c.path, secret, body) })
		bare.Close()
	}
}

// load asks as often as it can for a second, from 16 connections.
func load(b *testing.B, url, secret, body string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var took []time.Duration
	for b.Loop() {
		var wg sync.WaitGroup
		end := time.Now().Add(time.Second)
		for range 16 {
			wg.Go(func() {
				var own []time.Duration
				for time.Now().Before(end) {
					req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
					if err != nil {
						b.Error(err)
						return
					}
					req.Header.Set("Authorization", "Bearer "+secret)
					req.Header.Set("Content-Type", "application/json")
					start := time.Now()
					res, err := client.Do(req)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					own = append(own, time.Since(start))
					if res.StatusCode != 200 {
						b.Errorf("%s", res.Status)
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, own...)
			})
		}
		wg.Wait()
	}
	slices.Sort(took)
	if len(took) > 0 {
		b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "req/s")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	}
}
