package corrective

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"sort"

	"headgate/internal/livestore"
)

// A Stratum is a group of stores that are likely to be alike, of which some are looked at.
type Stratum struct {
	Name   string              `json:"name"`
	Stores []livestore.StoreID `json:"-"`
	Of     int                 `json:"of"`      // stores of the group
	Sample int                 `json:"sampled"` // of them, those that were looked at
	Hit    int                 `json:"hit"`     // of those, the ones with bad events
}

// An Estimate says how many of all stores have bad events, by a sample of them.
type Estimate struct {
	Stores int       `json:"stores"` // all of them
	Sample int       `json:"sampled"`
	Hit    int       `json:"hit"` // in the sample
	Low    int       `json:"low"` // at 95 % confidence, between Low and High of all stores are hit
	High   int       `json:"high"`
	Strata []Stratum `json:"strata"`
}

// Draw takes n stores of the strata: of each a share by its size, two at least where it has them. Which ones is chance, but
// the same in every run: seed says which chance.
func Draw(strata []Stratum, n int, seed string) []livestore.StoreID {
	total := 0
	for _, s := range strata {
		total += len(s.Stores)
	}
	var out []livestore.StoreID
	for _, s := range strata {
		take := len(s.Stores)
		if n < total {
			take = min(len(s.Stores), max(2, int(math.Round(float64(n)*float64(len(s.Stores))/float64(total)))))
		}
		order := slices.Clone(s.Stores)
		key := map[livestore.StoreID]uint64{}
		for _, id := range order {
			sum := sha256.Sum256([]byte(seed + "\x00" + string(id)))
			key[id] = binary.BigEndian.Uint64(sum[:8])
		}
		slices.SortFunc(order, func(a, b livestore.StoreID) int {
			switch {
			case key[a] < key[b]:
				return -1
			case key[a] > key[b]:
				return 1
			}
			return 0
		})
		out = append(out, order[:take]...)
	}
	return out
}

// NewEstimate counts the sampled stores by stratum. Each stratum has the exact interval of the hypergeometric distribution,
// which keeps to 95 % also where nearly none or nearly all are hit; the intervals of all are joined by their distances from the
// estimate (MOVER, Zou and Donner 2008).
func NewEstimate(strata []Stratum, sampled func(livestore.StoreID) (looked, hit bool)) Estimate {
	e := Estimate{Strata: []Stratum{}}
	point, below, above := 0.0, 0.0, 0.0
	for _, s := range strata {
		if len(s.Stores) == 0 {
			continue
		}
		s.Of, s.Sample, s.Hit = len(s.Stores), 0, 0
		for _, id := range s.Stores {
			looked, hit := sampled(id)
			if looked {
				s.Sample++
			}
			if looked && hit {
				s.Hit++
			}
		}
		e.Strata = append(e.Strata, s)
		e.Stores, e.Sample, e.Hit = e.Stores+s.Of, e.Sample+s.Sample, e.Hit+s.Hit
		low, high := s.interval()
		middle := float64(low+high) / 2
		if s.Sample > 0 {
			middle = float64(s.Hit) / float64(s.Sample) * float64(s.Of)
		}
		point += middle
		below += math.Pow(middle-float64(low), 2)
		above += math.Pow(float64(high)-middle, 2)
	}
	// What was seen is certain.
	e.Low = max(e.Hit, int(math.Floor(point-math.Sqrt(below)+1e-9)))
	e.High = max(e.Low, min(e.Stores-(e.Sample-e.Hit), int(math.Ceil(point+math.Sqrt(above)-1e-9))))
	return e
}

// bySample reports whether a sample of the stores is enough to plan the remedy: whatever the other logs hold, it does no harm
// there. A release with corrections is proven on all of them before it is deployed.
func (k RemedyKind) bySample() bool {
	return k == FlagOff || k == Floor || k == CorrectiveRelease
}

// tail is what may be left out on each side of an interval.
const tail = 0.025

// interval is how many of a stratum's stores may be hit: the fewest and the most of which a sample like this one is not
// unlikely.
func (s Stratum) interval() (low, high int) {
	rest := s.Of - s.Sample
	low = s.Hit + sort.Search(rest, func(i int) bool { return 1-atMost(s.Hit-1, s.Hit+i, s.Sample, s.Of) > tail })
	high = s.Hit + rest - sort.Search(rest, func(i int) bool { return atMost(s.Hit, s.Hit+rest-i, s.Sample, s.Of) > tail })
	return low, high
}

// atMost is the probability that x or fewer of n stores are hit that were drawn from all, of which k are hit.
func atMost(x, k, n, all int) float64 {
	p := 0.0
	for i := max(0, n-(all-k)); i <= min(x, k, n); i++ {
		p += math.Exp(choose(k, i) + choose(all-k, n-i) - choose(all, n))
	}
	return min(1, p)
}

// choose is the logarithm of how many ways there are to choose k of n.
func choose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
