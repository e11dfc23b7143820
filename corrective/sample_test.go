package corrective_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"headgate/corrective"
	"headgate/internal/livestore"
)

// TestEstimateCovers: of many fleets, with few and many stores hit, at least 94 in a hundred estimates hold the truth.
func TestEstimateCovers(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	const trials = 400
	for _, tc := range []struct {
		sizes  []int
		shares []float64
		n      int
	}{
		{[]int{100, 900}, []float64{0.3, 0.002}, 60},
		{[]int{100, 900}, []float64{0.95, 0.05}, 60},
		{[]int{300, 300, 20}, []float64{0.5, 0.1, 1}, 50},
		{[]int{1000}, []float64{0.003}, 100},
		{[]int{60}, []float64{0.4}, 30},
	} {
		covered, width := 0, 0
		for trial := range trials {
			bad := map[livestore.StoreID]bool{}
			var strata []corrective.Stratum
			truth := 0
			for i, size := range tc.sizes {
				s := corrective.Stratum{Name: fmt.Sprint(i)}
				for j := range size {
					id := livestore.StoreID(fmt.Sprintf("%d-%d", i, j))
					s.Stores = append(s.Stores, id)
					if chance.Float64() < tc.shares[i] {
						bad[id] = true
						truth++
					}
				}
				strata = append(strata, s)
			}
			looked := map[livestore.StoreID]bool{}
			for _, id := range corrective.Draw(strata, tc.n, fmt.Sprint(trial)) {
				looked[id] = true
			}
			e := corrective.NewEstimate(strata, func(id livestore.StoreID) (bool, bool) { return looked[id], bad[id] })
			if e.Low <= truth && truth <= e.High {
				covered++
			}
			width += e.High - e.Low
			if e.Sample > tc.n+2*len(tc.sizes) || e.Low > e.High || e.Low < e.Hit {
				t.Fatalf("sampled %d, hit %d, between %d and %d", e.Sample, e.Hit, e.Low, e.High)
			}
		}
		t.Logf("%v %v: %.1f %% covered, %d stores wide", tc.sizes, tc.shares, 100*float64(covered)/trials, width/trials)
		if covered < trials*94/100 {
			t.Errorf("%v %v: %d of %d estimates hold the truth", tc.sizes, tc.shares, covered, trials)
		}
	}
}

// TestEstimateOfAll: who looks at all of them knows.
func TestEstimateOfAll(t *testing.T) {
	strata := []corrective.Stratum{{Name: "all", Stores: []livestore.StoreID{"a", "b", "c"}}, {Name: "none"}}
	if got := corrective.Draw(strata, 3, ""); len(got) != 3 {
		t.Fatalf("drew %v", got)
	}
	e := corrective.NewEstimate(strata, func(id livestore.StoreID) (bool, bool) { return true, id == "b" })
	if e.Low != 1 || e.High != 1 || e.Sample != 3 {
		t.Errorf("%+v", e)
	}
	a, b := corrective.Draw(strata, 1, "x"), corrective.Draw(strata, 1, "x")
	if len(a) != 2 || a[0] != b[0] || a[1] != b[1] {
		t.Errorf("drew %v, then %v", a, b)
	}
}
