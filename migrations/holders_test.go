package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
)

// A sharedLog is a log that several write to at the same time. A push may reach it long after its sender gave it up and read
// the log, cut short or whole, as one does that hangs in a network.
type sharedLog struct {
	mu   sync.Mutex
	log  memLog
	rnd  *rand.Rand
	late [][]livestore.Event // pushes under way that nobody waits for

	// Nobody stores two pushes in a row while another holder is at work and has not pushed in between.
	turn   sync.Cond
	active int    // holders at work
	last   string // session of the last one whose push was stored
	others bool   // somebody else has pushed since

	given, landed, overtaken int // pushes that were given up; of them, those that were stored, and those that came too late
}

func (s *sharedLog) Head(ctx context.Context) (eventlog.Head, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Head(ctx)
}

func (s *sharedLog) ClientOnly() bool { return false }
func (s *sharedLog) Close() error     { return nil }

func (s *sharedLog) Events(ctx context.Context, after livestore.ClientSeq) iter.Seq2[livestore.Event, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.land(s.rnd.IntN(3) == 0)
	now := memLog{events: slices.Clone(s.log.events)}
	return now.Events(ctx, after)
}

func (s *sharedLog) Append(ctx context.Context, batch []livestore.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	me := batch[0].SessionID
	for s.last == me && !s.others && s.active > 1 {
		s.turn.Wait()
	}
	s.others = s.others || s.last != me
	s.turn.Broadcast()
	s.land(s.rnd.IntN(2) == 0)
	if s.rnd.IntN(4) == 0 {
		s.late = append(s.late, slices.Clone(batch))
		s.given++
		return &eventlog.AmbiguousError{Err: errors.New("no answer within 30s")}
	}
	if s.rnd.IntN(6) == 0 {
		s.log.create(fmt.Sprintf("n%03d", len(s.log.events)))
	}
	err := s.log.Append(ctx, batch)
	if err == nil {
		s.last, s.others = me, false
	}
	return err
}

// leave says that a holder has ended.
func (s *sharedLog) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.turn.Broadcast()
}

// land lets a push arrive that is under way.
func (s *sharedLog) land(now bool) {
	if !now || len(s.late) == 0 {
		return
	}
	i := s.rnd.IntN(len(s.late))
	batch := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	if s.log.Append(context.Background(), batch[:1+s.rnd.IntN(len(batch))]) == nil {
		s.landed++
	} else {
		s.overtaken++
	}
}

// Two may hold a store at once: one whose lease ended while it did not look, and the one that took it over. A lease is for
// the stores' peace. What keeps each key to one event is the log: a push is for one place in it, and what it holds was due
// just there. So holders without any lease, with pushes that arrive late, commit each key once.
func TestTwoHolders(t *testing.T) {
	d := definition(t, "00001_schedule", "-- headgate: requires >= 1.3.0\n-- +goose Up\n"+
		"-- headgate: emit v1.TodoScheduled key id\nSELECT id, '2030-01-01T00:00:00.000Z' AS dueAt FROM todos WHERE dueAt IS NULL ORDER BY id;\n")
	given, landed, overtaken, mixed := 0, 0, 0, 0
	for seed := range uint64(2) {
		const holders = 3
		shared := &sharedLog{rnd: rand.New(rand.NewPCG(seed, 3)), active: holders}
		shared.turn.L = &shared.mu
		for i := range 300 {
			shared.log.create(fmt.Sprintf("t%03d", i))
		}
		var wg, ready sync.WaitGroup
		ready.Add(holders)
		for fence := range int64(holders) {
			j := job(t, d, shared)
			j.Fence = 1 + fence
			var arrive sync.Once
			j.Wait = func(context.Context) (bool, error) { // all begin with the same log
				arrive.Do(ready.Done)
				ready.Wait()
				return false, nil
			}
			j.Sleep = func(ctx context.Context, _ time.Duration) error { return pause(ctx, time.Millisecond) }
			wg.Go(func() {
				defer shared.leave()
				if _, err := j.Commit(t.Context()); err != nil {
					t.Errorf("seed %d, fence %d: %v", seed, 1+fence, err)
				}
			})
		}
		wg.Wait()
		for len(shared.late) > 0 {
			shared.land(true)
		}
		for key, n := range shared.log.ours(t) {
			if n != 1 {
				t.Errorf("seed %d: %s is there %d times", seed, key, n)
			}
		}
		if v, _, err := job(t, d, shared).Verify(t.Context()); err != nil || v.Duplicates != 0 {
			t.Errorf("seed %d: %+v, %v", seed, v, err)
		}
		session := ""
		for _, e := range shared.log.events {
			if e.ClientID != "alice" && e.SessionID != session {
				session = e.SessionID
				mixed++
			}
		}
		given, landed, overtaken = given+shared.given, landed+shared.landed, overtaken+shared.overtaken
	}
	if landed == 0 || overtaken == 0 || mixed < 6 {
		t.Error("the test tested nothing")
	}
	t.Logf("%d pushes were given up: %d were stored later, %d came too late; the holders took turns %d times", given, landed, overtaken, mixed)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
