package rollout_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/twmb/murmur3"
	"pgregory.net/rapid"

	"headgate/internal/livestore"
	"headgate/rollout"
)

// TestBucketIsFlagds holds the hash against flagd's own golden values.
func TestBucketIsFlagds(t *testing.T) {
	if got := murmur3.StringSum32("event.TodoCreateduser-1"); got != 2131565014 {
		t.Errorf("murmur3_32 = %d, want 2131565014", got)
	}
	for store, want := range map[livestore.StoreID]uint32{"user-1": 49, "user-2": 35, "user-3": 51, "test-abc": 20} {
		if got := rollout.Bucket("event.TodoCreated", store, 100); got != want {
			t.Errorf("bucket of %s = %d, want %d", store, got, want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	const text = `flags:
  event.TodoCreated:
    variants:
      v1: {event: v1.TodoCreated, stores: [kept]}
      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: 36, stores: [demo]}
      v3: {event: v3.TodoCreated, floor: 2.0.0, percent: 21, stores: [canary]}
`
	f := flag(t, text) // user-2 has bucket 35, user-1 49, test-abc 20
	for _, tc := range []struct {
		store, version, variant string
		reason                  openfeature.Reason
		why                     string
	}{
		{"test-abc", "2.0.0", "v3", openfeature.SplitReason, "bucket is 20 of 100; v3 has 0 to 20"},
		{"test-abc", "1.9.0", "v2", openfeature.SplitReason, "bucket is 20 of 100; v2 has 0 to 56"}, // moved on; the build can't
		{"user-2", "2.0.0", "v2", openfeature.SplitReason, "bucket is 35 of 100; v2 has 21 to 56"},
		{"user-1", "1.5.0", "v2", openfeature.SplitReason, ""},
		{"user-1", "1.5.0-beta.1", "v2", openfeature.SplitReason, ""}, // a beta of the floor counts as the floor
		{"user-1", "1.5.0-0", "v2", openfeature.SplitReason, ""},
		{"user-1", "v1.5", "v2", openfeature.SplitReason, ""}, // flagd reads it too
		{"user-1", "1.4.99", "v1", openfeature.DefaultReason, "app 1.4.99 is below the floor of v2, 1.5.0"},
		{"user-1", "1.4.0-rc.1", "v1", openfeature.DefaultReason, "below the floor"},
		{"user-1", "", "v1", openfeature.DefaultReason, "does not say which version"},
		{"user-1", "latest", "v1", openfeature.DefaultReason, `"latest" is not a version`},
		{"user-1", "1.5.0.1", "v1", openfeature.DefaultReason, "is not a version"},
		{"user-1", "01.5.0", "v1", openfeature.DefaultReason, "is not a version"},
		{"", "2.0.0", "v1", openfeature.DefaultReason, "names no store"},
		{"", "", "v1", openfeature.DefaultReason, "names no store"},
		{"demo", "1.5.0", "v2", openfeature.TargetingMatchReason, "the store is listed"},
		{"demo", "1.4.0", "v1", openfeature.DefaultReason, ""}, // the floor holds for listed stores too
		{"canary", "1.5.0", "v2", openfeature.TargetingMatchReason, ""},
		{"canary", "2.1.0", "v3", openfeature.TargetingMatchReason, ""},
		{"kept", "2.1.0", "v1", openfeature.TargetingMatchReason, ""},
	} {
		e := f.Evaluate(rollout.Caller{Store: livestore.StoreID(tc.store), AppVersion: tc.version})
		if e.Variant != tc.variant || e.Value != tc.variant+".TodoCreated" || e.Reason != tc.reason || !strings.Contains(e.Why, tc.why) {
			t.Errorf("%q on %q: %+v, want %s, %s, %q", tc.store, tc.version, e, tc.variant, tc.reason, tc.why)
		}
	}
}

func TestEvaluateOtherDefaults(t *testing.T) {
	one := flag(t, "flags: {event.A: {variants: {v1: v1.A}}}")
	if e := one.Evaluate(rollout.Caller{}); e.Value != "v1.A" || e.Reason != openfeature.StaticReason {
		t.Errorf("one variant: %+v", e)
	}
	off := flag(t, "flags: {event.A: {state: disabled, variants: {v1: v1.A}}}")
	if e := off.Evaluate(rollout.Caller{Store: "s"}); e.Value != "" || e.Variant != "" || e.Reason != openfeature.DisabledReason {
		t.Errorf("disabled: %+v", e)
	}
	late := flag(t, "flags: {event.A: {default: v2, variants: {v1: {event: v1.A, stores: [kept]}, v2: v2.A}}}")
	for store, want := range map[livestore.StoreID]string{"kept": "v1.A", "other": "v2.A", "": "v2.A"} {
		if e := late.Evaluate(rollout.Caller{Store: store, AppVersion: "garbage"}); e.Value != want {
			t.Errorf("with the default v2, %q gets %s, want %s", store, e.Value, want)
		}
	}
}

// rank is a variant's place: v2 is 2.
func rank(e rollout.Evaluation) int { return int(e.Variant[1] - '0') }

func percentFlag(t testing.TB, v2, v3 int) *rollout.Flag {
	percent := func(thousandths int) string { return fmt.Sprintf("%d.%03d", thousandths/1000, thousandths%1000) }
	return flag(t, fmt.Sprintf(`flags:
  event.TodoCreated:
    variants:
      v1: v1.TodoCreated
      v2: {event: v2.TodoCreated, floor: 1.5.0, percent: %s, stores: [demo]}
      v3: {event: v3.TodoCreated, floor: 2.0.0, percent: %s}
`, percent(v2), percent(v3)))
}

// TestRaisingAPercentageEvictsNoStore: whatever a store got, it never gets an older version after a percentage rose,
// nor one that its build can't emit. The steps go through totals of 100 to 100,000.
func TestRaisingAPercentageEvictsNoStore(t *testing.T) {
	moved, evaluated := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		v3 := rapid.IntRange(0, 100_000).Draw(rt, "v3")
		v2 := rapid.IntRange(0, 100_000-v3).Draw(rt, "v2")
		if rapid.Bool().Draw(rt, "round") {
			v2, v3 = v2/1000*1000, v3/1000*1000
		}
		before := percentFlag(t, v2, v3)
		// v3 may take stores from v2, v2 only from v1
		up3 := rapid.IntRange(v3, 100_000).Draw(rt, "v3 after")
		up2 := rapid.IntRange(max(0, v2+v3-up3), 100_000-up3).Draw(rt, "v2 after")
		after := percentFlag(t, up2, up3)
		for _, store := range rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9_-]{1,40}`), 50, 50).Draw(rt, "stores") {
			for _, version := range []string{"1.4.0", "1.6.0", "2.0.0-rc.1"} {
				c := rollout.Caller{Store: livestore.StoreID(store), AppVersion: version}
				was, is := before.Evaluate(c), after.Evaluate(c)
				evaluated++
				if rank(is) < rank(was) {
					rt.Fatalf("store %s on %s was moved back from %s to %s by v2 %d -> %d, v3 %d -> %d", store, version, was.Variant, is.Variant, v2, up2, v3, up3)
				}
				if limit := map[string]int{"1.4.0": 1, "1.6.0": 2, "2.0.0-rc.1": 3}[version]; rank(is) > limit {
					rt.Fatalf("build %s can't emit %s", version, is.Variant)
				}
				if rank(is) > rank(was) {
					moved++
				}
			}
		}
	})
	if evaluated == 0 || moved < evaluated/100 {
		t.Errorf("%d of %d evaluations moved: the test proves little", moved, evaluated)
	}
}

// TestPercentagesAreExact counts a large fleet.
func TestPercentagesAreExact(t *testing.T) {
	const fleet = 100_000
	f := percentFlag(t, 25_000, 500)
	got := map[string]int{}
	for i := range fleet {
		got[f.Evaluate(rollout.Caller{Store: livestore.StoreID(fmt.Sprintf("store-%d", i)), AppVersion: "2.0.0"}).Variant]++
	}
	for variant, want := range map[string]int{"v1": 74_500, "v2": 25_000, "v3": 500} {
		if off := got[variant] - want; off < -fleet/200 || off > fleet/200 {
			t.Errorf("%s has %d of %d stores, want about %d", variant, got[variant], fleet, want)
		}
	}
}
