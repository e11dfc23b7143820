package rollout_test

import (
	"testing"
	"time"

	"headgate/rollout"
)

func simulation(stores int) rollout.Simulation {
	fleet := rollout.Adoption{Stores: stores, PerStore: 3, Half: days(3), Tail: 0.02, Offline: days(25), Never: 0.001, Seed: 1}.Make()
	return rollout.Simulation{Fleet: fleet, Begin: now, Tick: time.Hour, Limit: days(200), Promote: true}
}

func TestSimulate(t *testing.T) {
	r, err := simulation(2000).Run(definition(t, todoV2))
	if err != nil {
		t.Fatal(err)
	}
	if r.Phase != rollout.Full || r.Full < days(10) || r.Full > days(90) || r.Shrank != 0 || r.Proofs < 10 {
		t.Errorf("%s after %s, %d proofs, %d shrank; next %+v", r.Phase, r.Full, r.Proofs, r.Shrank, r.Next)
	}
	open := 0
	for _, e := range r.Events {
		if e.Tally.Open < open {
			t.Errorf("the cohort shrank from %d to %d", open, e.Tally.Open)
		}
		open = e.Tally.Open
	}
	// One client that never upgrades and stays is enough to hold Full, and is named.
	sim := simulation(200)
	sim.Limit = days(90)
	sim.Fleet[7].Clients = []rollout.SimulatedClient{{ID: "kiosk", Release: "0.0.1", Upgrades: -1, Every: time.Hour, LastSeen: -1}}
	r, err = sim.Run(definition(t, todoV2))
	if err != nil || r.Phase != rollout.PointOfNoReturn || len(r.Blockers) != 1 || r.Blockers[0].Store != "store-7" || r.Full >= 0 {
		t.Errorf("%+v, %v", r, err)
	}
	sim.Force = true
	if r, err = sim.Run(definition(t, todoV2)); err != nil || r.Phase != rollout.Full {
		t.Errorf("%+v, %v", r, err)
	}
}

func BenchmarkSimulate100000(b *testing.B) {
	def := definition(b, todoV2)
	sim := simulation(100_000)
	for b.Loop() {
		if r, err := sim.Run(def); err != nil || r.Phase != rollout.Full {
			b.Fatal(r.Phase, err)
		}
	}
}
