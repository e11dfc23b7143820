package controltest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/rollout"
)

// arrival is one that saw n unknown events; n is its own, so that a sum tells which ones were counted.
func (d *database) arrival(key string, n int64) control.Arrival {
	return control.Arrival{Key: key, For: time.Hour, Seen: []control.Sighting{
		d.sighting("a", rollout.SawUnknown, "1.0.0", "v2.X", n), d.sighting("b", rollout.SawRead, "1.0.0", "", 1),
	}}
}

// counts are the sums of what an arrival has: of its own number, and of arrivals.
func (d *database) counts(t *testing.T, env string) (own, arrivals int64) {
	t.Helper()
	got, err := d.Signals(t.Context(), env, control.SignalQuery{Until: d.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range got {
		if c.Sign == rollout.SawUnknown {
			own += c.N
		} else {
			arrivals += c.N
		}
	}
	return own, arrivals
}

// arrivals: whatever comes again, in whichever company and over whichever server, counts once, and what failed was not counted.
func arrivals(t *testing.T, d *database) {
	servers := []*control.DB{d.DB, d.open(t)}
	for round := range 15 {
		random := rand.New(rand.NewPCG(7, uint64(round)))
		env := fmt.Sprint("env", round)
		var sent []control.Arrival // that have a key
		counted := map[string]bool{}
		var own, all int64
		for step := range 12 {
			var call []control.Arrival
			for range 1 + random.IntN(4) {
				switch n := int64(1) << (step % 40); {
				case len(sent) > 0 && random.IntN(2) == 0:
					call = append(call, sent[random.IntN(len(sent))])
				case random.IntN(4) == 0:
					call = append(call, d.arrival("", n))
				default:
					a := d.arrival(fmt.Sprint("key", len(sent)), n)
					sent, call = append(sent, a), append(call, a)
				}
			}
			if random.IntN(4) == 0 {
				broken := append(call[:len(call):len(call)], d.arrival("broken", 1))
				broken[len(call)].Seen[0].Release = "\x00"
				if _, _, err := servers[step%2].CountSignals(t.Context(), env, broken); err == nil {
					t.Fatal("what can't be counted was counted")
				}
			}
			want := 0
			for _, a := range call {
				if a.Key == "" || !counted[a.Key] {
					want++
					own, all = own+a.Seen[0].N, all+1
				}
				counted[a.Key] = true
			}
			got, _, err := servers[random.IntN(2)].CountSignals(t.Context(), env, call)
			if err != nil || len(got) != want {
				t.Fatalf("round %d, step %d: %d of %d were new, want %d; %v", round, step, len(got), len(call), want, err)
			}
			d.clock.Advance(time.Duration(random.IntN(20)) * time.Second)
			if err := servers[0].ForgetArrivals(t.Context(), env, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if gotOwn, gotAll := d.counts(t, env); gotOwn != own || gotAll != all {
			t.Errorf("round %d: counted %d of %d arrivals, sum %d of %d", round, gotAll, all, gotOwn, own)
		}
	}
}

// arrivalsAtOnce: several servers are sent the same ones, in different orders and parts.
func arrivalsAtOnce(t *testing.T, d *database) {
	other := d.open(t)
	const n = 30
	var mu sync.Mutex
	first := map[string]int{}
	failed := atOnce(8, func(i int) error {
		random, db := rand.New(rand.NewPCG(1, uint64(i))), d.DB
		if i%2 == 1 {
			db = other
		}
		var all []control.Arrival
		for _, j := range random.Perm(n) {
			all = append(all, d.arrival(fmt.Sprint("key", j), 1<<j))
		}
		for len(all) > 0 {
			part := all[:min(len(all), 1+random.IntN(9))]
			all = all[len(part):]
			got, _, err := db.CountSignals(t.Context(), "prod", part)
			if err != nil {
				return err
			}
			mu.Lock()
			for _, a := range got {
				first[a.Key]++
			}
			mu.Unlock()
		}
		return nil
	})
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	if own, all := d.counts(t, "prod"); own != 1<<n-1 || all != n || len(first) != n {
		t.Errorf("counted %d, sum %b, first %v", all, own, first)
	}
	for key, times := range first {
		if times != 1 {
			t.Errorf("%s was new %d times", key, times)
		}
	}
}

// arrivalsForgotten: when its time is over, and before where there are too many, those first that would be forgotten next. Another
// environment's are other ones.
func arrivalsForgotten(t *testing.T, d *database) {
	known := func(env, key string, life time.Duration) bool {
		t.Helper()
		got, _, err := d.CountSignals(t.Context(), env, []control.Arrival{{Key: key, For: life}})
		if err != nil {
			t.Fatal(err)
		}
		return len(got) == 0
	}
	forget := func(most int) {
		t.Helper()
		if err := d.ForgetArrivals(t.Context(), "prod", most); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string, want map[string]bool) {
		t.Helper()
		for key, is := range want {
			if got := known("prod", key, time.Minute); got != is {
				t.Errorf("%s: %s known %t", when, key, got)
			}
		}
	}
	for i, key := range []string{"a", "b", "c", "d"} {
		if known("prod", key, time.Duration(i+1)*time.Hour) {
			t.Errorf("%s came before it came", key)
		}
	}
	if known("dev", "d", time.Hour) {
		t.Error("it is another environment's")
	}
	d.clock.Advance(time.Hour - time.Millisecond)
	forget(4)
	check("in time", map[string]bool{"a": true, "b": true, "c": true, "d": true})
	d.clock.Advance(time.Millisecond)
	forget(4)
	check("after an hour", map[string]bool{"b": true, "c": true, "d": true})
	forget(2)
	check("with room for two", map[string]bool{"c": true, "d": true})
	check("those that had no room", map[string]bool{"b": false})
	if !known("dev", "d", time.Hour) {
		t.Error("another environment's was forgotten")
	}
}
