package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/murmur3"

	"headgate/internal/livestore"
)

// ResetKey is the key of the plain flag that asks a store's clients to throw their local data away and load it again. Its
// value is the store's generation: how many resets it was opened for, 0 for none. A client acts when the generation is
// one above the last that it acted on, so that a generation must never fall or leave one out.
const ResetKey = "store.reset"

// ResetFlag is the flag for these stores' generations; ok is false where there is none.
func ResetFlag(generations map[livestore.StoreID]int) (f Flag, ok bool) {
	byGeneration := map[int][]livestore.StoreID{}
	opened := 0
	for s, g := range generations {
		if g > 0 {
			byGeneration[g] = append(byGeneration[g], s)
			opened += g
		}
	}
	if opened == 0 {
		return Flag{}, false
	}
	f = Flag{Key: ResetKey, Revision: opened, Variants: []Variant{{Name: "g0", Value: int64(0), Percent: hundred}}}
	order := make([]int, 0, len(byGeneration))
	for g := range byGeneration {
		order = append(order, g)
	}
	slices.Sort(order)
	for _, g := range order {
		slices.Sort(byGeneration[g])
		f.Variants = append(f.Variants, Variant{Name: "g" + strconv.Itoa(g), Value: int64(g), Stores: byGeneration[g]})
	}
	return f, true
}

// ResetOrder sorts stores into the order in which a reset opens them: by a hash of its number and the store's id, so that
// no store is always among the first.
func ResetOrder(reset int64, stores []livestore.StoreID) {
	place := func(s livestore.StoreID) uint32 {
		return murmur3.StringSum32(fmt.Sprintf("%s#%d%s", ResetKey, reset, s))
	}
	slices.SortFunc(stores, func(a, b livestore.StoreID) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

// ResetDue is how many of the stores that wait a reset may open now, given how many were opened within the last hour.
func ResetDue(perHour, openedLately, waiting int) int {
	return max(0, min(perHour-openedLately, waiting))
}
