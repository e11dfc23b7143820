package rollout

import (
	"fmt"
	"slices"

	"headgate/internal/errs"
	"headgate/internal/livestore"
)

// RO104 is the finding that the definition of a running rollout gives stores other places.
const RO104 = "RO104"

// Widens proves that a definition which is about to be published takes no store's new version away: the same key, the same
// variants in the same order, the same default, no higher floor, and each of the stores that had the new version has it
// still. A definition that does is errs.Refused. An abort is not held against it: it is meant to take everything away.
func Widens(before, after *Flag, stores []livestore.StoreID) error {
	refuse := func(format string, args ...any) error {
		return errs.Refusedf("RO104: %s: "+format, append([]any{before.Key}, args...)...).
			Hintf("nothing was published: stores that began to emit the new version would go back to the old one")
	}
	same := func(a, b Variant) bool { return a.Name == b.Name && a.Event == b.Event }
	switch {
	case before.Key != after.Key:
		return refuse("the key becomes %s", after.Key)
	case !slices.EqualFunc(before.Variants, after.Variants, same):
		return refuse("the variants or their order change from %v to %v", before.names(), after.names())
	case before.Default != after.Default:
		return refuse("the default changes")
	case after.Disabled && !before.Disabled:
		return refuse("it is disabled")
	}
	if floor := after.Variants[len(after.Variants)-1]; !floor.Admits(before.Variants[len(before.Variants)-1].gate()) {
		return refuse("the floor rises to %s", floor.Floor)
	}
	if extends(before, after) {
		return nil
	}
	had, has := before.newest(), after.newest()
	for _, lists := range [][]livestore.StoreID{stores, before.Variants[len(before.Variants)-1].Stores} {
		for _, s := range lists {
			if had(s) && !has(s) {
				return refuse("store %s would lose %s", s, after.Variants[len(after.Variants)-1].Name)
			}
		}
	}
	return nil
}

// extends reports whether after only adds stores at the end of the newest variant's list, which takes none away.
func extends(before, after *Flag) bool {
	last := len(before.Variants) - 1
	for i, v := range before.Variants {
		w := after.Variants[i]
		if v.Percent != w.Percent || i < last && (len(v.Stores) > 0 || len(w.Stores) > 0) {
			return false
		}
	}
	had, has := before.Variants[last].Stores, after.Variants[last].Stores
	return len(had) <= len(has) && slices.Equal(had, has[:len(had)]) && before.Disabled == after.Disabled
}

// newest returns what tells of many stores whether a build that may emit everything emits the newest variant in them.
func (f *Flag) newest() func(livestore.StoreID) bool {
	last := len(f.Variants) - 1
	if f.Disabled {
		return func(livestore.StoreID) bool { return false }
	}
	listed := map[livestore.StoreID]int{}
	total := Percent(0)
	for i, v := range f.Variants {
		for _, s := range v.Stores {
			listed[s] = i
		}
		total += v.Percent
	}
	share := f.Variants[last].Percent
	return func(s livestore.StoreID) bool {
		if i, ok := listed[s]; ok {
			return i == last
		}
		return Percent(Bucket(f.Key, s, uint32(total))) < share
	}
}

// Publish returns the flags of a decision, after a proof that each of them widens the rollout's own one that is published;
// a decision that closes, or begins an attempt, is not held. open are the stores that are open after it, and wasOpen those
// before. Publishing nothing new gives the same flags again.
func Publish(d *Definition, before, after State, published []Flag, wasOpen, open []livestore.StoreID) ([]Flag, error) {
	flags := d.Flags(after.Floor, after.Revision, open, after.Phase.Open())
	if !after.Phase.Open() && !after.Phase.Ramping() || before.Attempt != after.Attempt {
		return flags, nil
	}
	for i := range flags {
		key := flags[i].Key
		j := slices.IndexFunc(published, func(f Flag) bool { return f.Key == key && f.Rollout == d.Name })
		if j < 0 {
			return nil, errs.Refusedf("RO104: the rollout %s did not publish %s when it was started", d.Name, key).
				Hintf("the file names another event now: put it back, or abort and start again")
		}
		if err := Widens(&published[j], &flags[i], wasOpen); err != nil {
			return nil, fmt.Errorf("rollout %s: %w", d.Name, err)
		}
	}
	return flags, nil
}
