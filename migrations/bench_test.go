package migrations_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/testenv"
)

// commitFloor is the share of a bare client's speed that a commit must reach.
const commitFloor = 0.8

// verdict says whether a promise is kept. It fails nothing: on a machine that does something else at the same time, what
// runs beside the push takes the backend's processor away.
func verdict(b *testing.B, kept bool, promise string, args ...any) {
	b.Helper()
	word := "KEPT"
	if !kept {
		word = "NOT KEPT (is the machine quiet?)"
	}
	b.Logf(promise+": "+word, args...)
}

// BenchmarkCommit commits 10,000 events to an idle store, as a bare client that pushes ready-made batches does in the same
// run, turn and turn about: "of-bare" is the share of that client's speed, in the middle one of the turns.
func BenchmarkCommit(b *testing.B) {
	const rows = 10000
	url, token := testenv.Backend(b)
	todo(b, "1.3.0")
	open := func(store string) eventlog.Appender {
		log, err := cflog.Open(b.Context(), cflog.Options{URL: url, StoreID: livestore.StoreID(store), Payload: func(context.Context) (json.RawMessage, error) {
			return json.Marshal(map[string]string{"authToken": token})
		}})
		if err != nil {
			b.Fatal(err)
		}
		return log
	}
	d := definition(b, "00001_schedule", emitting(">= 1.3.0", "v1.TodoScheduled", "SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id"))
	event := func(n int, name, args string) livestore.Event {
		at := livestore.SeqNum(n)
		return livestore.Event{
			Name: name, Args: json.RawMessage(args), ClientID: d.ClientID(), SessionID: "hg:bench:1",
			Seq: livestore.ClientSeq{Global: at + 1}, Parent: livestore.ClientSeq{Global: at},
		}
	}
	push := func(log eventlog.Appender, from, to int, make func(int) livestore.Event) {
		for n := from; n < to; {
			var batch []livestore.Event
			for ; n < to && len(batch) < 50; n++ {
				batch = append(batch, make(n))
			}
			if err := log.Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	created := func(n int) livestore.Event {
		return event(n, "v1.TodoCreated", fmt.Sprintf(`{"id":"t%05d","text":"t","createdAt":"2026-01-01T00:00:00.000Z"}`, n))
	}
	bare, ours := open("bare"), open("ours")
	defer bare.Close()
	defer ours.Close()
	push(bare, 0, rows, created)
	push(ours, 0, rows, created)
	for b.Loop() {
		// They take turns, so that what else the machine does meets both.
		const turn = 500
		var shares, speeds []float64
		done, alone := int64(0), rows
		start := time.Now()
		j := job(b, d, ours)
		j.Progress = func(committed, _ int64) {
			if committed < done+turn {
				return
			}
			took := time.Since(start)
			start = time.Now()
			push(bare, alone, alone+turn, func(n int) livestore.Event {
				return event(n, "v1.TodoScheduled", fmt.Sprintf(`{"id":"t%05d","dueAt":"2030-01-01T00:00:00.000Z"}`, n-rows))
			})
			alone += turn
			if done > 0 { // in the first turn ours made the state, too
				shares = append(shares, time.Since(start).Seconds()/took.Seconds())
				speeds = append(speeds, float64(committed-done)/took.Seconds())
			}
			done, start = committed, time.Now()
		}
		if r, err := j.Commit(b.Context()); err != nil || r.Events != rows {
			b.Fatal(r, err)
		}
		b.Logf("of a bare client's speed: %.2f", shares)
		slices.Sort(shares)
		slices.Sort(speeds)
		share := shares[len(shares)/2]
		b.ReportMetric(speeds[len(speeds)/2], "events/s")
		b.ReportMetric(share, "of-bare")
		b.ReportMetric(commitFloor, "at-least")
		verdict(b, share >= commitFloor, "a commit has %.2f of a bare client's speed, and at least %.2f is promised", share, commitFloor)
	}
}

// previewCeiling is the share of the first preview's time that the second one may take: reading the log once more, to see
// that it is the same, and replaying what is new.
const previewCeiling = 0.05

// BenchmarkPreview previews a store of 100,000 events a second time, when 100 more have come: it must replay those alone.
// "of-first" is the share of the first preview's time.
func BenchmarkPreview(b *testing.B) {
	const events, late = 100_000, 100
	d := definition(b, "00001_schedule", emitting(">= 1.3.0", "v1.TodoScheduled", "SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE id = 'late-1'"))
	todo(b, "1.3.0")
	for b.Loop() {
		log := &memLog{}
		for n := range events {
			log.create(fmt.Sprintf("t%d", n%20_000))
		}
		dir := b.TempDir()
		preview := func(replayed int64) time.Duration {
			j := job(b, d, log)
			j.Checkpoints = &replay.Checkpoints{Dir: dir}
			start := time.Now()
			if r, err := j.Preview(b.Context(), state.Options{}); err != nil || r.Replayed != replayed {
				b.Fatalf("%d events were replayed, not %d: %v", r.Replayed, replayed, err)
			}
			return time.Since(start)
		}
		first := preview(events)
		for n := range late {
			log.create(fmt.Sprintf("late-%d", n))
		}
		second := preview(late)
		share := second.Seconds() / first.Seconds()
		b.ReportMetric(second.Seconds()*1000, "second-ms")
		b.ReportMetric(share, "of-first")
		b.ReportMetric(previewCeiling, "at-most")
		verdict(b, share <= previewCeiling, "the second preview takes %.2f of the first one's time, and at most %.2f is promised", share, previewCeiling)
	}
}
