package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

func testGate() rollout.Gate {
	return rollout.Gate{
		Horizon: days(30),
		Clients: []string{"api-*"},
		Reads:   func(release string) bool { return release == "1.1.0" || release == "1.2.0" },
		Waivers: []rollout.Waiver{
			{Client: "kiosk-*", Expires: now.Add(days(1))},
			{Release: "1.0.5", Expires: now.Add(days(1))},
			{Store: "test-*", Expires: now.Add(days(1))},
			{Client: "late", Expires: now},
		},
	}
}

func TestGate(t *testing.T) {
	seen := func(client, release string, ago int, more ...rollout.Source) rollout.Observation {
		src := rollout.FromSync
		if len(more) > 0 {
			src = more[0]
		}
		return rollout.Observation{Client: client, Release: release, LastSeen: now.Add(-days(ago)), Source: src}
	}
	refused := seen("a", "1.0.0", 1)
	refused.Refused = true
	watched := rollout.Watch{Since: now.Add(-days(40)), Last: now.Add(-days(1))}
	recent := rollout.Watch{Since: now.Add(-days(10)), Last: now.Add(-days(1))}
	floored := watched
	floored.Floor = "1.1.0"
	set, lowered, silent := floored, floored, watched
	set.Known, set.Now = true, "1.1.0"
	lowered.Known, lowered.Now = true, "1.0.0" // since, and the Worker has not reported again
	silent.Heard = now.Add(-25 * time.Hour)
	type list = []rollout.Observation
	for _, tc := range []struct {
		name  string
		store string
		watch rollout.Watch
		seen  list
		want  rollout.Readiness
		until time.Time
	}{
		{"all read", "s", watched, list{seen("a", "1.1.0", 1), seen("b", "1.2.0", 29)}, rollout.Eligible, time.Time{}},
		{"nobody came for long", "s", watched, nil, rollout.Eligible, time.Time{}},
		{"an old one", "s", watched, list{seen("a", "1.1.0", 1), seen("b", "1.0.0", 3)}, rollout.Blocked, now.Add(days(27) + time.Millisecond)},
		{"one below a floor that holds", "s", set, list{seen("a", "1.0.0", 1)}, rollout.Eligible, time.Time{}},
		{"one below a floor that was lowered", "s", lowered, list{seen("a", "1.0.0", 3)}, rollout.Blocked, now.Add(days(27) + time.Millisecond)},
		{"one that was refused by a floor that was lowered", "s", lowered, list{refused}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"nothing is reported any more", "s", silent, list{seen("a", "1.1.0", 2)}, rollout.Unobserved, time.Time{}},
		{"an old one beyond the horizon", "s", watched, list{seen("b", "1.0.0", 31)}, rollout.Eligible, time.Time{}},
		{"at the horizon", "s", watched, list{seen("b", "1.0.0", 30)}, rollout.Blocked, now.Add(time.Millisecond)},
		{"one that says no release", "s", watched, list{seen("b", rollout.NoRelease, 1)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"a release nobody recorded", "s", watched, list{seen("b", "9.0.0", 1)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"nobody watches", "s", rollout.Watch{Since: watched.Since}, list{seen("a", "1.1.0", 1, rollout.FromImport)}, rollout.Unobserved, time.Time{}},
		{"not watched for long", "s", recent, list{seen("a", "1.1.0", 1)}, rollout.Waiting, now.Add(days(20))},
		{"blocked and not watched for long", "s", recent, list{seen("a", "1.0.0", 29)}, rollout.Blocked, now.Add(days(20))},
		{"it upgraded", "s", watched, list{seen("a", "1.0.0", 2), seen("a", "1.1.0", 1)}, rollout.Eligible, time.Time{}},
		{"it went back", "s", watched, list{seen("a", "1.0.0", 1), seen("a", "1.1.0", 2)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"an import adds an old one", "s", watched, list{seen("a", "1.1.0", 1), seen("b", "1.0.0", 1, rollout.FromImport)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"an import does not take back", "s", watched, list{seen("a", "1.0.0", 2), seen("a", "1.1.0", 1, rollout.FromImport)}, rollout.Blocked, now.Add(days(28) + time.Millisecond)},
		{"an import that is out of date", "s", watched, list{seen("a", "1.1.0", 1), seen("a", "1.0.0", 2, rollout.FromImport)}, rollout.Eligible, time.Time{}},
		{"a later flag context of an old build", "s", watched, list{seen("a", "1.1.0", 2), seen("a", "1.0.0", 1, rollout.FromFlag)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"headgate's own writers and devtools", "s", watched, list{seen("hg:00001_x:abc", "none", 1), seen("devtools-a", "none", 1)}, rollout.Eligible, time.Time{}},
		{"pods are one client", "s", watched, list{seen("api-1", "1.0.0", 2), seen("api-2", "1.1.0", 1)}, rollout.Eligible, time.Time{}},
		{"and the last pod counts", "s", watched, list{seen("api-1", "1.1.0", 2), seen("api-2", "1.0.0", 1)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"refused before it pulls", "s", watched, list{refused}, rollout.Eligible, time.Time{}},
		{"shut out by the floor", "s", floored, list{seen("a", "1.0.0", 1), seen("b", "none", 1)}, rollout.Eligible, time.Time{}},
		{"above the floor and unknown", "s", floored, list{seen("a", "1.5.0", 1)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"a client waived", "s", watched, list{seen("kiosk-1", "1.0.0", 1)}, rollout.Eligible, time.Time{}},
		{"a release waived", "s", watched, list{seen("a", "1.0.5", 1)}, rollout.Eligible, time.Time{}},
		{"a waiver that expired", "s", watched, list{seen("late", "1.0.0", 1)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
		{"a store waived", "test-1", rollout.Watch{}, list{seen("a", "1.1.0", 1, rollout.FromImport)}, rollout.Eligible, time.Time{}},
		{"a store waived, with an old client", "test-1", rollout.Watch{}, list{seen("a", "1.0.0", 1, rollout.FromImport)}, rollout.Blocked, now.Add(days(29) + time.Millisecond)},
	} {
		v := testGate().Store("s", now, tc.watch, tc.seen)
		if tc.store != "s" {
			v = testGate().Store("test-1", now, tc.watch, tc.seen)
		}
		if v.Readiness != tc.want || !v.Until.Equal(tc.until) {
			t.Errorf("%s: %s until %s, want %s until %s", tc.name, v.Readiness, v.Until, tc.want, tc.until)
		}
	}
	v := testGate().Store("s", now, watched, list{seen("a", "1.0.0", -3)})
	if v.Clamped != 1 || v.Readiness != rollout.Blocked || !v.Blockers[0].LastSeen.Equal(now) {
		t.Errorf("a time in the future: %+v", v)
	}
}

// What is heard, waited for or taken away in the wrong direction never opens a store.
func TestGateNeverOpens(t *testing.T) {
	releases := []string{"1.0.0", "1.0.5", "1.1.0", "1.2.0", "9.9.9", rollout.NoRelease}
	observation := rapid.Custom(func(t *rapid.T) rollout.Observation {
		return rollout.Observation{
			Client:   rapid.SampledFrom([]string{"a", "b", "c", "api-1", "api-2", "kiosk-1", "hg:x", "late"}).Draw(t, "client"),
			Release:  rapid.SampledFrom(releases).Draw(t, "release"),
			LastSeen: now.Add(-time.Hour * time.Duration(rapid.IntRange(-48, 24*70).Draw(t, "hours"))),
			Source:   rapid.SampledFrom(rollout.Sources()).Draw(t, "source"),
			Refused:  rapid.IntRange(0, 9).Draw(t, "refused") == 0,
		}
	})
	opened := 0
	rapid.Check(t, func(t *rapid.T) {
		g := testGate()
		store := rapid.SampledFrom([]string{"s", "test-1"}).Draw(t, "store")
		g.Horizon = days(rapid.IntRange(1, 60).Draw(t, "horizon"))
		seen := rapid.SliceOfN(observation, 0, 8).Draw(t, "seen")
		w := rollout.Watch{Floor: rapid.SampledFrom([]string{"", "1.0.5", "1.1.0"}).Draw(t, "floor")}
		if rapid.Bool().Draw(t, "watched") {
			w.Since = now.Add(-days(rapid.IntRange(0, 80).Draw(t, "since")))
			w.Last = now.Add(-days(rapid.IntRange(0, 3).Draw(t, "last")))
		}
		open := func(g rollout.Gate, w rollout.Watch, seen []rollout.Observation) bool {
			return g.Store(livestore.StoreID(store), now, w, seen).Readiness == rollout.Eligible
		}
		if open(g, w, seen) {
			opened++
			return // there is nothing that could open it
		}
		old := rollout.Observation{Client: "new-here", Release: "1.0.0", LastSeen: now, Source: rapid.SampledFrom(rollout.Sources()).Draw(t, "of")}
		longer, strict, lower, blind := g, g, w, w
		longer.Horizon += days(rapid.IntRange(1, 60).Draw(t, "more"))
		strict.Waivers, strict.Reads = nil, func(r string) bool { return r == "1.2.0" && g.Reads(r) }
		lower.Floor, blind.Last = "", time.Time{}
		imported := observation.Draw(t, "imported")
		imported.Source = rollout.FromImport
		for name, opens := range map[string]bool{
			"an old client":                  open(g, w, append(slices.Clone(seen), old)),
			"a longer horizon":               open(longer, w, seen) && !open(g, w, seen),
			"no waivers and fewer that read": open(strict, w, seen),
			"a lower floor":                  open(g, lower, seen),
			"nobody watches any more":        open(g, blind, seen),
			"an import":                      onlySync(seen) && open(g, w, append(slices.Clone(seen), imported)),
		} {
			if opens {
				t.Fatalf("%s opens the store: horizon %s, %+v, %+v", name, g.Horizon, w, seen)
			}
		}
	})
	if opened == 0 {
		t.Error("no case was open: the property says nothing")
	}
}

func onlySync(seen []rollout.Observation) bool {
	return !slices.ContainsFunc(seen, func(o rollout.Observation) bool { return o.Source != rollout.FromSync })
}

func TestReadersAndFloor(t *testing.T) {
	d := definition(t, todoV2)
	releases := []*schema.Release{
		release("1.0.0", "v1.TodoCreated"), release("1.2.0", "v1.TodoCreated", "v2.TodoCreated"), release("1.1.0", "v1.TodoCreated", "v2.TodoCreated"),
	}
	reads := d.Readers(releases)
	got := fmt.Sprintf("%t %t %t %t %q %q", reads("1.0.0"), reads("1.1.0"), reads("1.2.0"), reads("1.3.0"), d.FloorOf(releases), d.FloorOf(releases[:1]))
	if want := `false true true false "1.1.0" ""`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkGateStore(b *testing.B) {
	g := testGate()
	w := rollout.Watch{Since: now.Add(-days(90)), Last: now}
	var seen []rollout.Observation
	for i := range 10 {
		seen = append(seen, rollout.Observation{Client: fmt.Sprint("client", i), Release: "1.1.0", LastSeen: now.Add(-days(i)), Source: rollout.FromSync})
	}
	for b.Loop() {
		if g.Store("s", now, w, seen).Readiness != rollout.Eligible {
			b.Fatal("not eligible")
		}
	}
}
