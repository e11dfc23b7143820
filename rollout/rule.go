package rollout

import (
	"slices"

	"github.com/twmb/murmur3"

	"headgate/internal/livestore"
)

// A rule says what the builds get that may emit a flag's variants up to one of them.
type rule struct {
	newest *Variant // what the build may emit at most; its gate is the rule's condition
	stores []listed // looked up first
	shares []share  // newest first; the weights add up to total
	total  uint32
}

// A listed variant is for these stores.
type listed struct {
	variant *Variant
	stores  []livestore.StoreID
	set     map[livestore.StoreID]struct{} // the same stores, where the rules are asked often
}

func (l listed) has(store livestore.StoreID) bool {
	if l.set != nil {
		_, has := l.set[store]
		return has
	}
	return slices.Contains(l.stores, store)
}

// A prepared flag has what is the same for every caller worked out once: a rollout's lists every store that is open.
type prepared struct {
	*Flag
	rules    []rule
	metadata map[string]string
}

// prepare prepares the flags of a file, by key.
func prepare(f *File) map[string]*prepared {
	out := make(map[string]*prepared, len(f.Flags))
	for i := range f.Flags {
		p := &prepared{Flag: &f.Flags[i], rules: f.Flags[i].rules(), metadata: f.Flags[i].metadata()}
		for _, r := range p.rules {
			for k := range r.stores {
				l := &r.stores[k]
				l.set = make(map[livestore.StoreID]struct{}, len(l.stores))
				for _, s := range l.stores {
					l.set[s] = struct{}{}
				}
			}
		}
		out[p.Key] = p
	}
	return out
}

// A share is a variant with its part of the buckets.
type share struct {
	variant *Variant
	weight  uint32
}

// rules returns the flag's rules, the highest floor first. A build takes the first rule whose floor it has reached; one
// that fits none, or does not know its store, gets the default.
//
// A store whose place is in a variant that the build can't emit gets the newest one that it can: the store has moved on,
// the build emits what it is able to. So a rule is the one above it with its newest variant folded into the next.
func (f *Flag) rules() []rule {
	var out []rule
	for i := len(f.Variants) - 1; i >= 0; i-- {
		newest := &f.Variants[i]
		if i+1 < len(f.Variants) && f.Variants[i+1].gate() == newest.gate() {
			continue // a build that may emit this one may emit the next
		}
		if newest.Floor == "" && i == 0 {
			continue // nothing to choose from
		}
		out = append(out, f.ruleFor(i))
	}
	return out
}

func (f *Flag) ruleFor(newest int) rule {
	r := rule{newest: &f.Variants[newest]}
	var first listed
	first.variant = r.newest
	folded := Percent(0)
	for i := len(f.Variants) - 1; i >= newest; i-- {
		first.stores = append(first.stores, f.Variants[i].Stores...)
		folded += f.Variants[i].Percent
	}
	percents := []Percent{folded}
	r.stores = []listed{first}
	r.shares = []share{{variant: r.newest}}
	for i := newest - 1; i >= 0; i-- {
		v := &f.Variants[i]
		r.stores = append(r.stores, listed{variant: v, stores: v.Stores})
		r.shares = append(r.shares, share{variant: v})
		percents = append(percents, v.Percent)
	}
	// Of 100, or of as many tens of it as the decimals need. Membership depends on the ratio only.
	unit := onePercent
	for _, p := range percents {
		for p%unit != 0 {
			unit /= 10
		}
	}
	for i, p := range percents {
		r.shares[i].weight = uint32(p / unit)
		r.total += r.shares[i].weight
	}
	return r
}

// Bucket returns the place of a store in a flag, from 0 to total-1. It is flagd's: the hash does not depend on total,
// so a store keeps its relative place when total changes.
func Bucket(key string, store livestore.StoreID, total uint32) uint32 {
	h := murmur3.StringSum32(key + string(store))
	return uint32(uint64(h) * uint64(total) >> 32)
}
