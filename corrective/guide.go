package corrective

import (
	"slices"
	"strings"

	"headgate/internal/errs"
)

// A Guide says how a client's local data is removed on one of LiveStore's adapters: what lies where, and the ways, the
// least destructive first. Texts hold STORE, the store's id, and BASE, the directory of its files.
type Guide struct {
	Adapter   string   `json:"adapter"`
	Title     string   `json:"title"`
	LiveStore string   `json:"livestore"` // the version that it is about
	Places    []Kept   `json:"places"`
	Ways      []Way    `json:"ways"`
	Notes     []string `json:"notes"`
}

// A Kept is where a part of a client's data lies.
type Kept struct {
	What  string `json:"what"`
	Where string `json:"where"`
}

// A Way is one way to remove a client's data.
type Way struct {
	Kind  WayKind  `json:"kind"`
	Title string   `json:"title"`
	Not   string   `json:"not,omitempty"` // why it is no way on this adapter, and what is instead
	Steps []Step   `json:"steps"`
	Loses []string `json:"loses"` // for good; empty for nothing
	Keeps []string `json:"keeps"`
	Check []Step   `json:"check"` // how to see that it worked
	Proof Proof    `json:"proof"`
}

// A Step is one thing to do. Run is what is typed or pasted, empty for none.
type Step struct {
	Do  string `json:"do"`
	Run string `json:"run,omitempty"`
}

// A WayKind names a way. The words are stable; they go from the least destructive to the most.
type WayKind string

const (
	// StateOnly removes the tables. LiveStore makes them anew from the client's log; what is not sent yet stays.
	StateOnly WayKind = "state-only"
	// FullReset removes the log too. The client loads it again from the backend; what was not sent is lost.
	FullReset WayKind = "full-reset"
)

// A Proof says how far a way is known to work. The words are stable.
type Proof string

const (
	// ByTest: this repository's tests go this way with the real adapter.
	ByTest Proof = "proven"
	// ByReading: the adapter's sources say so, and nobody went this way.
	ByReading Proof = "read"
)

// GuideVersion is the version of LiveStore that the guides are about.
const GuideVersion = "0.4.0"

// Guides returns the guide of each adapter, in the order that messages use. It is the table's only copy: what is known of
// another version of LiveStore is another table.
func Guides() []Guide {
	return []Guide{webGuide(), singleTabGuide(), nodeGuide(), expoGuide(), cloudflareGuide(), electronGuide(), tauriGuide()}
}

// GuideFor returns the guide of an adapter, by its name or that of its package. One that is not known is errs.Invalid.
func GuideFor(adapter string) (Guide, error) {
	adapter = strings.TrimPrefix(adapter, "@livestore/adapter-")
	all := Guides()
	if i := slices.IndexFunc(all, func(g Guide) bool { return g.Adapter == adapter }); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, g := range all {
		names = append(names, g.Adapter)
	}
	return Guide{}, errs.Invalidf("adapter %q is not one that headgate knows", adapter).Hintf("there are: %s", strings.Join(names, ", "))
}

// For fills in which store the guide is for, and the directory of its files; empty leaves STORE or BASE.
func (g Guide) For(store, base string) Guide {
	fill := strings.NewReplacer("STORE", orElse(store, "STORE"), "BASE", orElse(strings.TrimRight(base, "/"), "BASE")).Replace
	texts := func(list []string) []string {
		out := make([]string, 0, len(list))
		for _, s := range list {
			out = append(out, fill(s))
		}
		return out
	}
	steps := func(list []Step) []Step {
		out := make([]Step, 0, len(list))
		for _, s := range list {
			out = append(out, Step{Do: fill(s.Do), Run: fill(s.Run)})
		}
		return out
	}
	places, ways := make([]Kept, 0, len(g.Places)), make([]Way, 0, len(g.Ways))
	for _, p := range g.Places {
		places = append(places, Kept{p.What, fill(p.Where)})
	}
	for _, w := range g.Ways {
		w.Not = fill(w.Not)
		w.Steps, w.Check, w.Loses, w.Keeps = steps(w.Steps), steps(w.Check), texts(w.Loses), texts(w.Keeps)
		ways = append(ways, w)
	}
	g.Places, g.Ways, g.Notes = places, ways, texts(g.Notes)
	return g
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// FullResetLoss is FullResetLoses as a sentence.
func FullResetLoss() string {
	return "lost for good is what the app does not keep of " + strings.Join(FullResetLoses(), "; and ")
}

// FullResetLoses is what a full reset loses on every adapter.
func FullResetLoses() []string {
	return []string{
		"every event that the client has not sent yet",
		"client-only events and the documents made from them (clientDocument): they never leave the client",
	}
}
