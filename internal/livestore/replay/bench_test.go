package replay_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"headgate/internal/livestore/eventlog/loggen"
	"headgate/internal/livestore/replay"
	"headgate/internal/testenv"
)

// A class is a kind of materializer whose speed is measured.
type class struct {
	name  string
	n     int
	entry func(testing.TB) (dir, entry string)
	log   func(b *testing.B, n int) string
	floor float64 // of the ratio, from the requirements; 0 for none
}

func inTestdata(entry string) func(testing.TB) (string, string) {
	return func(t testing.TB) (string, string) { return awkward(t), entry }
}

func inTodo(version string) func(testing.TB) (string, string) {
	return func(t testing.TB) (string, string) {
		return testenv.Example(t, "todo"), "history/" + version + "/livestore/schema.ts"
	}
}

func generated(args func(i int) (name, args string)) func(*testing.B, int) string {
	return func(b *testing.B, n int) string {
		var entries []entry
		for i := range n {
			name, args := args(i)
			entries = append(entries, entry{name: name, args: args})
		}
		return writeLog(b, entries, 0)
	}
}

func mix(level int) func(*testing.B, int) string {
	return func(b *testing.B, n int) string {
		path := filepath.Join(b.TempDir(), "eventlog@6.db")
		if _, err := (loggen.Spec{N: n, Seed: 1, Level: level, ClientOnly: true}).WriteFile(b.Context(), path); err != nil {
			b.Fatal(err)
		}
		return path
	}
}

func classes() []class {
	plain := generated(func(i int) (string, string) {
		return "v1.Plain", fmt.Sprintf(`{"id":"id-%d","text":"buy milk %d"}`, i, i)
	})
	return []class{
		{"plain inserts", 10000, inTestdata("plain.ts"), plain, 10},
		{"plain inserts, atomic rebuild", 10000, inTestdata("atomic.ts"), plain, 0},
		{"5 columns and JSON", 5000, inTestdata("plain.ts"), generated(func(i int) (string, string) {
			return "v1.Five", fmt.Sprintf(`{"id":"id-%d","title":"t %d","position":%d.5,"done":true,"estimate":%d,"meta":{"tags":["a","b"],"note":null}}`, i, i, i, i)
		}), 0},
		{"Date columns", 5000, inTestdata("plain.ts"), generated(func(i int) (string, string) {
			return "v1.Dated", fmt.Sprintf(`{"id":"id-%d","at":"2024-02-29T23:59:59.%03dZ","due":"2026-01-01T00:00:00.000Z"}`, i, i%1000)
		}), 0},
		{"ctx.query", 5000, inTestdata("plain.ts"), generated(func(i int) (string, string) {
			return "v1.Counted", fmt.Sprintf(`{"id":"id-%d","by":1}`, i%500)
		}), 0},
		{"the example's mix, 1.0.0", 5000, inTodo("1.0.0"), mix(0), 3},
		{"the example's mix, 1.3.0", 5000, inTodo("1.3.0"), mix(2), 3},
	}
}

// BenchmarkReplay measures headgate's replay against LiveStore's own rebuild of the same log, in one run.
func BenchmarkReplay(b *testing.B) {
	for _, c := range classes() {
		b.Run(c.name, func(b *testing.B) {
			dir, entry := c.entry(b)
			log := c.log(b, c.n)
			tg := target(b, dir, entry)
			own := liveStore(b, []rebuild{{Log: log, Entry: filepath.Join(dir, entry), Out: filepath.Join(b.TempDir(), "livestore.db")}})[0]
			if !own.OK {
				b.Fatal(own.Error)
			}
			var best replay.Result
			for b.Loop() {
				for range 3 { // the machine may be busy with something else
					if r := run(b, tg, openLog(b, "file:"+log), options(outFile(b))); best.Events == 0 || r.Duration < best.Duration {
						best = r
					}
				}
			}
			if best.Poison != nil {
				b.Fatal(best.Poison)
			}
			per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(best.Events) }
			livestore := time.Duration(own.RebuildMS * float64(time.Millisecond))
			ratio := float64(livestore) / float64(best.Duration)
			b.ReportMetric(per(livestore), "livestore-us/event")
			b.ReportMetric(per(best.Duration), "headgate-us/event")
			b.ReportMetric(ratio, "times-faster")
			s := best.Spent
			b.Logf("%s: %d events, LiveStore %s (CPU %.1f s), headgate %s: %.1f times as fast; bound by %s", c.name, best.Events,
				livestore.Round(time.Millisecond), own.CPUMS/1000, best.Duration.Round(time.Millisecond), ratio, bound(s, best.Duration))
			if c.floor > 0 && ratio < c.floor {
				b.Errorf("%.1f times as fast as LiveStore, the floor is %.0f", ratio, c.floor)
			}
		})
	}
}

// bound says what a replay's time went into.
func bound(s replay.Spent, total time.Duration) string {
	share := func(d time.Duration) string { return fmt.Sprintf("%d %%", d*100/max(total, 1)) }
	return fmt.Sprintf("decoders and materializers in QuickJS %s, SQLite %s, starting the script %s, the rest %s",
		share(s.Code), share(s.SQLite), share(s.Start), share(total-s.Code-s.SQLite-s.Start))
}

// Ten times the events need no more memory, on either side.
func TestMemoryIsFlat(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/proc/self/status is Linux's")
	}
	tg := schemaOf(t, "plain.ts")
	child, parent := map[int]int64{}, map[int]int64{}
	for _, n := range []int{10000, 100000} {
		log := openLog(t, "file:"+writePlainLog(t, n))
		o := options(outFile(t))
		o.Progress = func(int64) {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			parent[n] = max(parent[n], int64(m.HeapAlloc))
		}
		runtime.GC()
		if res := run(t, tg, log, o); res.Events != int64(n) {
			t.Fatalf("%d events of %d", res.Events, n)
		}
		b, err := os.ReadFile(peakFile(os.Getpid()))
		if err != nil {
			t.Fatal(err)
		}
		kb, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		child[n] = kb << 10
		t.Logf("%d events: child %d MiB, parent's heap %d MiB", n, child[n]>>20, parent[n]>>20)
	}
	// What grows with the events would grow tenfold; caches and the garbage collectors' headroom fill up once.
	if child[100000] > child[10000]*3/2+(96<<20) {
		t.Errorf("the child needs %d MiB for 100,000 events and %d for 10,000", child[100000]>>20, child[10000]>>20)
	}
	if parent[100000] > parent[10000]*3/2+(16<<20) {
		t.Errorf("the parent needs %d MiB for 100,000 events and %d for 10,000", parent[100000]>>20, parent[10000]>>20)
	}
}

// LiveStore makes schemas anew for each event of a client document. What Effect remembers of them is freed.
func TestMemoryOfClientDocuments(t *testing.T) {
	tg := target(t, testenv.Example(t, "todo"), "history/1.1.0/livestore/schema.ts")
	var entries []entry
	for i := range 15000 {
		entries = append(entries, entry{name: "uiSet", args: fmt.Sprintf(`{"id":"ann","value":{"list":"list %d","selected":null,"showCompleted":true}}`, i)})
	}
	l := launcher(t)
	l.Limits.Memory = 64 << 20
	o := options(outFile(t))
	res, err := replay.Replay(t.Context(), l, tg, openLog(t, "file:"+writeLog(t, entries, 0)), o)
	if err != nil || res.Poison != nil || res.Events != 15000 || len(res.Skipped) > 0 {
		t.Errorf("%d events, skipped %v, %v, %v", res.Events, res.Skipped, res.Poison, err)
	}
}

// writePlainLog writes a log of n plain inserts, and keeps none of them in memory.
func writePlainLog(t *testing.T, n int) string {
	t.Helper()
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = entry{name: "v2.Plain", args: fmt.Sprintf(`{"id":"id-%d","text":"buy milk %d"}`, i%5000, i)}
	}
	return writeLog(t, entries, 0)
}
