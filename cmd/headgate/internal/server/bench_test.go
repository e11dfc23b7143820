package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout/ofrep"
)

// manyStores are flags as rollouts publish them for a big fleet: three events, each open in most of 10,000 stores.
func manyStores(b *testing.B) string {
	b.Helper()
	var yaml strings.Builder
	yaml.WriteString("flags:\n")
	for _, name := range []string{"TodoCreated", "TodoMoved", "TagCreated"} {
		fmt.Fprintf(&yaml, "  event.%s:\n    variants:\n      v1: v1.%s\n      v2: {event: v2.%s, floor: 1.5.0, stores: [", name, name, name)
		for i := range 9_000 {
			fmt.Fprintf(&yaml, "store-%05d, ", i)
		}
		yaml.WriteString("s1]}\n")
	}
	return yaml.String()
}

// BenchmarkOFREP measures evaluations over a socket beside a bare handler that reads the body and writes the same bytes.
func BenchmarkOFREP(b *testing.B) {
	b.Run("few", func(b *testing.B) { benchOFREP(b, percent("0")) })
	b.Run("stores", func(b *testing.B) { benchOFREP(b, manyStores(b)) })
}

func benchOFREP(b *testing.B, flags string) {
	w := newWorld(b, func(o *Options) { o.RatePerSecond = 100_000_000 })
	if _, changed := w.flags.Revision(); flags != w.text() {
		w.write(flags)
		<-changed
	}
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

// BenchmarkStreams has 1,000 listeners hear of a change: how long after it the first and the last of them do, and what each
// takes of memory, with the test's own end of its connection.
func BenchmarkStreams(b *testing.B) {
	const listeners = 1000
	w := newWorld(b, nil)
	_, secret := w.token(b, control.Token{Role: control.RoleClient})
	ctx, leave := context.WithCancel(b.Context())
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := memory()
	heard := make(chan time.Time, listeners)
	var wg sync.WaitGroup
	for range listeners {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+ofrep.StreamPath, nil)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		res, err := client.Do(req)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res, err)
		}
		wg.Go(func() {
			defer res.Body.Close()
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "data: ") {
					heard <- time.Now()
				}
			}
		})
	}
	perListener := float64(memory()-before) / listeners / 1024
	var first, last []time.Duration
	for n := 0; b.Loop(); n++ {
		w.write(percent(fmt.Sprint(1 + n%99)))
		start := time.Now()
		w.flags.ring()
		for i := range listeners {
			if at := <-heard; i == 0 {
				first = append(first, at.Sub(start))
			} else if i == listeners-1 {
				last = append(last, at.Sub(start))
			}
		}
	}
	slices.Sort(first)
	slices.Sort(last)
	b.ReportMetric(float64(first[len(first)/2].Microseconds())/1000, "first-ms")
	b.ReportMetric(float64(last[len(last)/2].Microseconds())/1000, "last-ms")
	b.ReportMetric(perListener, "KiB/listener")
	leave()
	wg.Wait()
}
