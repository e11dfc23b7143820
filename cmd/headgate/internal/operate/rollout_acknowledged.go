package operate

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"headgate/internal/livestore"
	"headgate/rollout"
)

// An Acknowledged says who knows that a rollout was aborted or undone. A client knows it when it fetched flags of that
// revision, or a later one. Counted are the clients whose release can emit the new version, in the stores that were open.
type Acknowledged struct {
	Revision     int       `json:"revision"`
	At           time.Time `json:"at"`           // of the abort or undo
	Clients      int       `json:"clients"`      // that could emit the new version, seen within the horizon
	Seen         int       `json:"seen"`         // of those, since
	Acknowledged int       `json:"acknowledged"` // of those that were seen since
	// Heard is false where no client was ever known to fetch the rollout's flags: then nobody can tell who knows.
	Heard   bool      `json:"heard"`
	Missing []Emitter `json:"missing"`        // seen since, without a sign that it knows; the latest first, at most emittersShown
	Until   time.Time `json:"until,omitzero"` // until when a client that was offline since may come back and send events of the new version; zero where none could
}

// An Emitter is a client that could emit the new version.
type Emitter struct {
	Store    livestore.StoreID `json:"store"`
	Client   string            `json:"client"`
	Release  string            `json:"release"`
	LastSeen time.Time         `json:"lastSeen"`
	Revision int               `json:"revision"` // of the flags that it fetched last; 0 for not known
}

// emittersShown bounds the emitters that are listed.
const emittersShown = 50

// acknowledged finds out who knows that the rollout is closed. Look must have been called.
func (v *Rollout) acknowledged(ctx context.Context) (*Acknowledged, error) {
	state := v.Row.State
	out := &Acknowledged{Revision: state.Revision, At: state.Since, Missing: []Emitter{}}
	fetches, err := v.DB.Fetches(ctx, v.Name, v.Definition.Name)
	if err != nil {
		return nil, err
	}
	type id struct {
		store  livestore.StoreID
		client string
	}
	fetched := map[id]int{}
	for _, f := range fetches {
		fetched[id{f.Store, f.Client}] = f.Revision
	}
	out.Heard = len(fetched) > 0
	ever, err := v.DB.EverOpened(ctx, v.Name, v.Definition.Name)
	if err != nil {
		return nil, err
	}
	floor := rollout.Variant{Floor: cmp.Or(state.Floor, v.Facts.Floor)}
	for _, s := range v.Stores {
		if _, open := slices.BinarySearch(ever, s.ID); !open && state.Phase != rollout.Undone {
			continue
		}
		for _, e := range v.emitters(s.ID, floor, func(client string) int { return fetched[id{s.ID, client}] }) {
			out.Clients++
			if !e.LastSeen.After(state.Since) {
				continue
			}
			out.Seen++
			if e.Revision >= state.Revision {
				out.Acknowledged++
				continue
			}
			out.Missing = append(out.Missing, e)
		}
	}
	if out.Clients > out.Acknowledged {
		out.Until = state.Since.Add(v.Definition.Horizon)
	}
	slices.SortFunc(out.Missing, func(a, b Emitter) int {
		return cmp.Or(b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.Store, b.Store), cmp.Compare(a.Client, b.Client))
	})
	out.Missing = out.Missing[:min(len(out.Missing), emittersShown)]
	return out, nil
}

// emitters are the clients of a store that could emit the new version, by what was heard of each last. Those that fit a
// pattern of server-side clients are one, which knows of a revision when all of them do that were seen since.
func (v *Rollout) emitters(store livestore.StoreID, floor rollout.Variant, fetched func(client string) int) []Emitter {
	last := map[string]Emitter{}
	for _, o := range v.fleet.Seen[store] {
		tool := slices.ContainsFunc(rollout.Tools(), func(prefix string) bool { return strings.HasPrefix(o.Client, prefix) })
		if known, there := last[o.Client]; tool || there && !known.LastSeen.Before(o.LastSeen) {
			continue
		}
		last[o.Client] = Emitter{Store: store, Client: o.Client, Release: o.Release, LastSeen: o.LastSeen, Revision: fetched(o.Client)}
	}
	var out []Emitter
	groups := map[string]int{} // by pattern, the place in out
	for _, e := range last {
		if !floor.Admits(e.Release) {
			continue
		}
		if i := slices.IndexFunc(v.Clients, func(pattern string) bool { ok, _ := path.Match(pattern, e.Client); return ok }); i >= 0 {
			e.Client = v.Clients[i]
			if at, there := groups[e.Client]; there {
				out[at] = together(out[at], e, v.Row.State.Since)
				continue
			}
			groups[e.Client] = len(out)
		}
		out = append(out, e)
	}
	return out
}

// together is a group of clients as one.
func together(a, b Emitter, since time.Time) Emitter {
	if b.LastSeen.After(a.LastSeen) {
		a, b = b, a
	}
	if b.LastSeen.After(since) {
		a.Revision = min(a.Revision, b.Revision)
	}
	return a
}
