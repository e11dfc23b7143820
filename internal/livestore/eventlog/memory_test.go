package eventlog_test

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/dumplog"
	"headgate/internal/livestore/eventlog/filelog"
	"headgate/internal/livestore/eventlog/loggen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func spec(n int) loggen.Spec {
	return loggen.Spec{N: n, Seed: 1, Level: 2, ClientOnly: true, Pending: 10, Start: day(0), Every: 20 * time.Second}
}

// logs writes a log of n synced events for each backend and returns how to open it.
func logs(t testing.TB, n int) map[string]func(context.Context) (eventlog.Reader, error) {
	t.Helper()
	dir := t.TempDir()
	file, dump := filepath.Join(dir, "eventlog@6.db"), filepath.Join(dir, "dump.json")
	if _, err := spec(n).WriteFile(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(dump)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	if err := spec(n).WriteDump(w, "demo"); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string]func(context.Context) (eventlog.Reader, error){
		"file": func(ctx context.Context) (eventlog.Reader, error) {
			return filelog.Open(ctx, file, filelog.Options{TempDir: dir})
		},
		"dump": func(ctx context.Context) (eventlog.Reader, error) { return dumplog.Open(ctx, dump, dumplog.Options{}) },
	}
}

// highWater runs a whole check-and-count pass over a log and returns the most live heap that it had, in bytes
// above what there was before. Live means after a collection, so that it does not depend on when one runs.
func highWater(t *testing.T, open func(context.Context) (eventlog.Reader, error), n int) int64 {
	t.Helper()
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	r, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := eventlog.NewCollector(day(40))
	var most int64
	seen := 0
	for e, err := range eventlog.Check(livestore.ClientSeq{}, r.Events(t.Context(), livestore.ClientSeq{}), c.Report) {
		if err != nil {
			t.Fatal(err)
		}
		c.Add(e)
		seen++
		if seen%(n/10) == 0 {
			most = max(most, live()-before)
		}
	}
	s := c.Stats()
	if s.Total.Events < int64(n-10) || len(s.Problems) > 0 {
		t.Fatalf("counted %d of at least %d events, problems %v", s.Total.Events, n, s.Problems)
	}
	return most
}

// TestMemoryIsFlat compares a log with one ten times as long, and under HEADGATE_SOAK with one of a million events.
func TestMemoryIsFlat(t *testing.T) {
	long := 100_000
	if os.Getenv("HEADGATE_SOAK") != "" {
		long = 1_000_000
	}
	short := logs(t, 10_000)
	for name, open := range logs(t, long) {
		t.Run(name, func(t *testing.T) {
			highWater(t, short[name], 10_000) // what is only allocated once
			small, big := highWater(t, short[name], 10_000), highWater(t, open, long)
			t.Logf("most live heap: %d kB at 10000 events, %d kB at %d", small>>10, big>>10, long)
			if big > small+1<<20 {
				t.Errorf("%d events need %d kB, 10000 need %d kB", long, big>>10, small>>10)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	const n = 20_000
	for name, open := range logs(b, n) {
		b.Run(name, func(b *testing.B) {
			events := 0
			for b.Loop() {
				r, err := open(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				for _, err := range r.Events(b.Context(), livestore.ClientSeq{}) {
					if err != nil {
						b.Fatal(err)
					}
					events++
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
