package operate

import (
	"cmp"
	"context"

	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/rollout"
)

// A Fetched is a client that was given flags.
type Fetched struct {
	Store   livestore.StoreID
	Client  string
	Release string         // that it said it is; rollout.NoRelease for none
	Flags   []rollout.Flag // those of rollouts count; they must not be changed
}

// Fetched keeps who was given which flags. Who says of himself that he is there only adds a client, and never opens a store.
// What is given of a rollout that ended long ago is of no use to anybody.
func (e Environment) Fetched(ctx context.Context, batch []Fetched) error {
	rows, err := e.DB.Rollouts(ctx, e.Name)
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	since := e.Now().Add(-cmp.Or(e.Horizon, rollout.DefaultHorizon))
	for _, row := range rows {
		p := row.State.Phase
		asked[row.Name] = p.Active() || (p == rollout.Aborted || p == rollout.Undone) && row.UpdatedAt.After(since)
	}
	clients, fetches := make([]control.Client, 0, len(batch)), []control.Fetch{}
	for _, f := range batch {
		clients = append(clients, control.Client{Store: string(f.Store), ID: f.Client, Release: f.Release, Source: rollout.FromFlag})
		of := map[string]int{}
		for _, flag := range f.Flags {
			if asked[flag.Rollout] {
				of[flag.Rollout] = flag.Revision
			}
		}
		for name, revision := range of {
			fetches = append(fetches, control.Fetch{Rollout: name, Store: f.Store, Client: f.Client, Revision: revision})
		}
	}
	if err := e.DB.Observe(ctx, e.Name, clients); err != nil {
		return err
	}
	return e.DB.KeepFetches(ctx, e.Name, fetches)
}
