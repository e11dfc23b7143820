package operate

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
	"headgate/rollout/observe"
)

// floorSpread is how long a floor takes to reach every part of a sync backend: each asks once in ten seconds, and lets no
// client in by an answer that is a minute old without asking again.
const floorSpread = 2 * time.Minute

// Observe keeps who was seen. What the sync backend reports makes its stores watched. What an app says of itself only adds
// a client, and never that it was turned away: its token is in the open.
func (e Environment) Observe(ctx context.Context, batch []observe.Observation) error {
	var floor control.Setting
	if slices.ContainsFunc(batch, func(o observe.Observation) bool { return fromSync(o.Kind) }) {
		var err error
		if floor, err = e.DB.Floor(ctx, e.Name); err != nil {
			return err
		}
	}
	spreading := e.Now().Before(floor.At.Add(floorSpread))
	clients := make([]control.Client, 0, len(batch))
	for _, o := range batch {
		c := control.Client{Store: o.StoreID, ID: o.ClientID, Release: o.Release, Refused: o.Kind == observe.Refused}
		switch {
		case fromSync(o.Kind):
			c.Source, c.Floor = rollout.FromSync, o.Floor
			if spreading && c.Floor == floor.Value {
				c.Floor = ""
			}
		case o.Kind == observe.Flag:
			c.Source = rollout.FromFlag
		case o.Kind == observe.Rejected: // the app did not believe who it is; only counted
			continue
		case o.Kind == observe.MustUpdate: // it says nothing that the sync backend has not reported
			continue
		default:
			c.Source = rollout.FromTelemetry
		}
		clients = append(clients, c)
	}
	if len(clients) == 0 {
		return nil
	}
	if err := e.DB.Observe(ctx, e.Name, clients); err != nil {
		return err
	}
	return e.seenFlags(ctx, batch)
}

// seenFlags keeps which revisions of rollouts' flags apps have acted on. One that was never published is nobody's.
func (e Environment) seenFlags(ctx context.Context, batch []observe.Observation) error {
	if !slices.ContainsFunc(batch, func(o observe.Observation) bool { return o.Revision > 0 }) {
		return nil
	}
	published, err := e.DB.PublishedFlags(ctx, e.Name)
	if err != nil {
		return err
	}
	var fetches []control.Fetch
	for _, o := range batch {
		_, family, _ := strings.Cut(o.Event, ".")
		i := slices.IndexFunc(published, func(f rollout.Flag) bool { return f.Key == rollout.KeyPrefix+family && f.Rollout != "" })
		if i >= 0 && o.Revision > 0 && o.Revision <= int64(published[i].Revision) {
			fetches = append(fetches, control.Fetch{Rollout: published[i].Rollout, Store: livestore.StoreID(o.StoreID), Client: o.ClientID, Revision: int(o.Revision)})
		}
	}
	return e.DB.KeepFetches(ctx, e.Name, fetches)
}

// fromSync reports whether only the sync backend says such a thing.
func fromSync(k observe.Kind) bool {
	return k == observe.Pull || k == observe.Push || k == observe.Refused
}

// Floors are the releases that clients have to reach, by schema: * for all. Empty where no floor is set.
func (e Environment) Floors(ctx context.Context) (map[string]string, error) {
	floor, err := e.DB.Floor(ctx, e.Name)
	if err != nil || floor.Value == "" {
		return map[string]string{}, err
	}
	return map[string]string{"*": floor.Value}, nil
}

// A FloorSetting is the floor, and who set it.
type FloorSetting struct {
	Environment string    `json:"environment"`
	Floor       string    `json:"floor"` // empty for none
	Actor       string    `json:"actor"`
	Reason      string    `json:"reason"`
	At          time.Time `json:"at,omitzero"`
}

// Floor returns the floor, and who set it.
func (e Environment) Floor(ctx context.Context) (FloorSetting, error) {
	f, err := e.DB.Floor(ctx, e.Name)
	return FloorSetting{Environment: e.Name, Floor: f.Value, Actor: f.Actor, Reason: f.Reason, At: f.At}, err
}

// A FloorChange says what setting a floor does.
type FloorChange struct {
	Environment string                 `json:"environment"`
	Floor       string                 `json:"floor"` // empty for none
	Set         bool                   `json:"set"`
	Refused     []control.ReleaseCount `json:"refused"` // of the clients that were seen
	Clients     int64                  `json:"clients"` // of all refused releases
	NextActions []string               `json:"next_actions"`
}

// SetFloor sets the floor to a release, or to none, unless it is only to count whom that shuts out.
func (e Environment) SetFloor(ctx context.Context, release string, by control.By, dryRun bool) (FloorChange, error) {
	if release == rollout.NoRelease {
		release = ""
	} else if !config.IsVersion(release) {
		return FloorChange{}, errs.Invalidf("%q is not a release", release).Hintf("write three numbers, 1.1.0, or none")
	}
	out := FloorChange{
		Environment: e.Name, Floor: release, Set: !dryRun, Refused: []control.ReleaseCount{}, NextActions: []string{"headgate floor show --env " + e.Name},
	}
	counts, err := e.DB.Census(ctx, e.Name, e.Now().Add(-cmp.Or(e.Horizon, rollout.DefaultHorizon)))
	if err != nil {
		return out, err
	}
	for _, k := range counts {
		if release != "" && (k.Release == rollout.NoRelease || schema.CompareVersions(k.Release, release) < 0) {
			out.Refused = append(out.Refused, k)
			out.Clients += k.Clients
		}
	}
	if dryRun {
		return out, nil
	}
	return out, e.DB.SetFloor(ctx, e.Name, release, by)
}
