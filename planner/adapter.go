package planner

import (
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// An Adapter is what is known of one of LiveStore's adapters in the 0.4 line. Rates and retention differ by adapter;
// a version that was not measured is judged by the worst of these.
type Adapter struct {
	Name string
	// KeepsOldState is true when the state files of earlier hashes stay, so that a returning hash reopens a stale one,
	// and old and new state lie on the disk together.
	KeepsOldState bool
	// PerSecond is the rate of a rebuild in events per second, Atomic the one with the rebuild hooks (one transaction
	// instead of one per event). Both are ranges, slow and fast, about a measurement.
	PerSecond, Atomic Rate
	// Basis says where the rates come from.
	Basis string
}

// A Rate is a range of events per second.
type Rate struct {
	Slow float64 `json:"slow"`
	Fast float64 `json:"fast"`
}

// Adapters returns what is known of each adapter, by name.
//
// Rates: node and web were measured on LiveStore 0.4.0 with small inserts (node: 10,000 events in 36 s, 2,000 in 8.8 s,
// and in 4.7 s with the hooks; web, OPFS in headless Chromium: 2,020 events in 22 s, and in 3.5 s with the hooks). The
// range is from a third to twice the measured rate, for slower phones and faster desks. Expo and cloudflare were not
// measured: from a third of the slower measured one to the faster.
func Adapters() []Adapter {
	const unmeasured = "not measured: assumed between a third of the web's rate and node's, LiveStore 0.4.0"
	return []Adapter{
		{Name: "cloudflare", KeepsOldState: true, PerSecond: Rate{30, 280}, Atomic: Rate{140, 425}, Basis: unmeasured},
		{Name: "expo", KeepsOldState: true, PerSecond: Rate{30, 280}, Atomic: Rate{140, 425}, Basis: unmeasured},
		{Name: "node", KeepsOldState: true, PerSecond: Rate{75, 560}, Atomic: Rate{140, 850}, Basis: "node adapter of LiveStore 0.4.0: 228 to 280 events/s measured, 425 with the rebuild hooks; a third to twice that"},
		{Name: "web", PerSecond: Rate{30, 185}, Atomic: Rate{190, 1150}, Basis: "web adapter of LiveStore 0.4.0 in headless Chromium: 92 events/s measured, 577 with the rebuild hooks; a third to twice that"},
	}
}

// adapters returns the named adapters; an unknown name or none at all gives every one, which is the worst case.
func adapters(names []string) []Adapter {
	all := Adapters()
	var out []Adapter
	for _, n := range names {
		i := slices.IndexFunc(all, func(a Adapter) bool { return a.Name == n })
		if i < 0 {
			return all
		}
		out = append(out, all[i])
	}
	if len(out) == 0 {
		return all
	}
	return out
}

// KeepOldState names the adapters among names that keep old state files.
func KeepOldState(names []string) []string {
	var out []string
	for _, a := range adapters(names) {
		if a.KeepsOldState {
			out = append(out, a.Name)
		}
	}
	return out
}

// option returns an option of a call by its last name: "onSyncError" finds "sync.onSyncError". Quotes are taken off.
func option(c schema.AdapterCall, name string) string {
	for k, v := range c.Options {
		if k == name || strings.HasSuffix(k, "."+name) {
			return strings.Trim(strings.TrimSpace(v), `'"`+"`")
		}
	}
	return ""
}
