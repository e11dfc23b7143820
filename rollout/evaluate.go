package rollout

import (
	"fmt"
	"slices"

	"github.com/open-feature/go-sdk/openfeature"

	"headgate/internal/livestore"
)

// A Caller is who asks which version of an event to emit. Either may be empty: nobody knows.
type Caller struct {
	Store      livestore.StoreID
	AppVersion string // of the build that would emit
}

// An Evaluation is a flag's answer to one caller.
type Evaluation struct {
	Variant string // "" when the flag is disabled
	Value   any    // what [Variant.Answer] gives, such as the event to emit; "" when the flag is disabled
	// Reason is SPLIT by the store's bucket, TARGETING_MATCH for a listed store, DEFAULT for a caller that can't be
	// placed or whose build is below every floor, STATIC where there is one variant, or DISABLED.
	Reason openfeature.Reason
	// Why says the same to people.
	Why string
}

// Evaluate decides which version the caller emits. It gives what flagd makes of the exported flag.
func (f *Flag) Evaluate(c Caller) Evaluation { return f.evaluate(c, f.rules()) }

func (f *Flag) evaluate(c Caller, rules []rule) Evaluation {
	switch {
	case f.Disabled:
		return Evaluation{Value: "", Reason: openfeature.DisabledReason, Why: "the flag is disabled: the app uses the default in its own code"}
	case len(f.Variants) == 1:
		return give(&f.Variants[0], openfeature.StaticReason, "the flag has one variant")
	}
	fallback := func(why string, args ...any) Evaluation {
		return give(&f.Variants[f.Default], openfeature.DefaultReason, fmt.Sprintf(why, args...))
	}
	i := slices.IndexFunc(rules, func(r rule) bool { return r.newest.Admits(c.AppVersion) })
	switch {
	case c.Store == "":
		return fallback("the caller names no store")
	case i >= 0:
		return rules[i].pick(f.Key, c.Store)
	case c.AppVersion == "":
		return fallback("the caller does not say which version of the app it is")
	}
	if _, ok := parseAppVersion(c.AppVersion); !ok {
		return fallback("%q is not a version", c.AppVersion)
	}
	floor := rules[len(rules)-1].newest
	return fallback("app %s is below the floor of %s, %s", c.AppVersion, floor.Name, floor.Floor)
}

// pick returns what a store gets of a rule.
func (r rule) pick(key string, store livestore.StoreID) Evaluation {
	for _, l := range r.stores {
		if l.has(store) {
			return give(l.variant, openfeature.TargetingMatchReason, "the store is listed")
		}
	}
	bucket := Bucket(key, store, r.total)
	i, begin := 0, uint32(0)
	for i < len(r.shares)-1 && bucket >= begin+r.shares[i].weight {
		begin += r.shares[i].weight
		i++
	}
	s := r.shares[i]
	return give(s.variant, openfeature.SplitReason,
		fmt.Sprintf("the store's bucket is %d of %d; %s has %d to %d", bucket, r.total, s.variant.Name, begin, begin+s.weight-1))
}

func give(v *Variant, reason openfeature.Reason, why string) Evaluation {
	return Evaluation{Variant: v.Name, Value: v.Answer(), Reason: reason, Why: why}
}
