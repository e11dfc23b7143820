package migrations_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/replay"
	"headgate/internal/livestore/replay/state"
	"headgate/internal/testenv"
)

// BenchmarkCommit commits 5,000 events to an idle store, as a bare client that pushes ready-made batches does in the same
// run: "of-bare" is the share of that client's speed.
func BenchmarkCommit(b *testing.B) {
	const rows = 5000
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
	event := func(n int, name, args string) livestore.Event {
		at := livestore.SeqNum(n)
		return livestore.Event{
			Name: name, Args: json.RawMessage(args), ClientID: "bench", SessionID: "s",
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
	d := definition(b, "00001_schedule", emitting(">= 1.3.0", "v1.TodoScheduled", "SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id"))
	for i := 0; b.Loop(); i++ {
		bare, ours := open(fmt.Sprintf("bare-%d", i)), open(fmt.Sprintf("ours-%d", i))
		push(bare, 0, rows, created)
		push(ours, 0, rows, created)
		start := time.Now()
		push(bare, rows, 2*rows, func(n int) livestore.Event {
			return event(n, "v1.TodoScheduled", fmt.Sprintf(`{"id":"t%05d","dueAt":"2030-01-01T00:00:00.000Z"}`, n-rows))
		})
		alone := time.Since(start)
		j := job(b, d, ours)
		var first time.Time // the first push, after the state was made
		n := int64(0)
		j.Progress = func(committed, _ int64) {
			if first.IsZero() {
				first, n = time.Now(), committed
			}
		}
		r, err := j.Commit(b.Context())
		if err != nil || r.Events != rows {
			b.Fatal(r, err)
		}
		with := time.Since(first)
		share := float64(r.Events-n) / with.Seconds() / (rows / alone.Seconds())
		b.ReportMetric(share, "of-bare")
		b.ReportMetric(float64(r.Events-n)/with.Seconds(), "events/s")
		bare.Close()
		ours.Close()
	}
}

// BenchmarkPreview previews a store of 100,000 events a second time, when 100 more have come: "of-first" is the share of
// the first preview's time. What is left is reading the log once to see that it is the same.
func BenchmarkPreview(b *testing.B) {
	const events = 100_000
	d := definition(b, "00001_schedule", emitting(">= 1.3.0", "v1.TodoScheduled", "SELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE id = 'late-1'"))
	todo(b, "1.3.0")
	for b.Loop() {
		log := &memLog{}
		for n := range events {
			log.create(fmt.Sprintf("t%d", n%20_000))
		}
		dir := b.TempDir()
		preview := func() time.Duration {
			j := job(b, d, log)
			j.Checkpoints = &replay.Checkpoints{Dir: dir}
			start := time.Now()
			if _, err := j.Preview(b.Context(), state.Options{}); err != nil {
				b.Fatal(err)
			}
			return time.Since(start)
		}
		first := preview()
		for n := range 100 {
			log.create(fmt.Sprintf("late-%d", n))
		}
		second := preview()
		b.ReportMetric(second.Seconds()/first.Seconds(), "of-first")
		b.ReportMetric(second.Seconds()*1000, "second-ms")
	}
}
