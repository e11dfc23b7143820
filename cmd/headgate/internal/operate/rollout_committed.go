package operate

import (
	"context"
	"errors"
	"slices"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/rollout"
)

// A CommittedCount says what of the new version is in the logs already: no abort takes it back.
type CommittedCount struct {
	Events int64               `json:"events"`
	Stores []control.Committed `json:"stores"`           // that have some
	Unsent int64               `json:"unsent,omitempty"` // beside those: in clients' own logs, not confirmed by a backend yet
	Unread []UnreadLog         `json:"unread,omitempty"` // logs that could not be read
}

// An UnreadLog is a log that could not be read.
type UnreadLog struct {
	Store livestore.StoreID `json:"store"`
	Error string            `json:"error"`
}

// KeptCount is what the control database knows of the logs.
func (v *Rollout) KeptCount(ctx context.Context) (CommittedCount, error) {
	out := CommittedCount{Stores: []control.Committed{}}
	kept, err := v.DB.Committed(ctx, v.Name, v.Definition.Name)
	for _, k := range kept {
		if k.Events > 0 {
			out.Events += k.Events
			out.Stores = append(out.Stores, k)
		}
	}
	return out, err
}

// CountCommitted reads on in the logs of the stores that were ever open, all of them once the rollout was full, from where
// it stood. A log that can't be read is in Unread.
func (v *Rollout) CountCommitted(ctx context.Context) (CommittedCount, error) {
	return v.countWithin(ctx, 0)
}

// countWithin is CountCommitted for so long, 0 for as long as it takes. The logs that were not reached are in Unread.
func (v *Rollout) countWithin(ctx context.Context, within time.Duration) (CommittedCount, error) {
	limited := ctx
	if within > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, within)
		defer cancel()
	}
	ever, err := v.DB.EverOpened(ctx, v.Name, v.Definition.Name)
	if err != nil {
		return CommittedCount{}, err
	}
	kept, err := v.DB.Committed(ctx, v.Name, v.Definition.Name)
	if err != nil {
		return CommittedCount{}, err
	}
	known := map[livestore.StoreID]control.Committed{}
	for _, k := range kept {
		known[k.Store] = k
	}
	var unread []UnreadLog
	var unsent int64
	full := v.Row.State.Phase.Open() || v.Row.State.Phase == rollout.Undone
	counted, done := v.Counting()
	defer done()
	for _, s := range v.Stores {
		if _, found := slices.BinarySearch(ever, s.ID); !found && !full {
			continue
		}
		c := known[s.ID]
		c.Store = s.ID
		var n int64
		err := limited.Err()
		if err == nil {
			n, err = v.readOn(limited, s, &c)
		}
		unsent += n
		switch {
		case ctx.Err() != nil:
			return CommittedCount{}, context.Cause(ctx)
		case err != nil && limited.Err() != nil: // what was read of it counts
			unread = append(unread, UnreadLog{s.ID, "there was no time to read it to its end; ask again"})
		case err != nil:
			unread = append(unread, UnreadLog{s.ID, v.told(err)})
			continue
		}
		if c == known[s.ID] {
			counted()
			continue
		}
		if err := v.DB.KeepCommitted(ctx, v.Name, v.Definition.Name, c); err != nil {
			return CommittedCount{}, err
		}
		counted()
	}
	out, err := v.KeptCount(ctx)
	out.Unread, out.Unsent = unread, unsent
	return out, err
}

// readOn counts a log's events behind c.Head, and those that are not confirmed, whose numbers may still change.
func (v *Rollout) readOn(ctx context.Context, s config.Store, c *control.Committed) (unsent int64, err error) {
	r, err := v.OpenLog(ctx, s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for e, err := range r.Events(ctx, livestore.ClientSeq{Global: c.Head}) {
		var bad *eventlog.Malformed
		if err != nil && !errors.As(err, &bad) {
			return 0, err
		}
		if e.Pending {
			if slices.Contains(v.Definition.New(), e.Name) {
				unsent++
			}
			continue
		}
		c.Head = max(c.Head, e.Seq.Global)
		for _, f := range v.Definition.Events {
			switch e.Name {
			case f.New():
				c.Events++
			case f.Old():
				at := e.CreatedAt
				if at.IsZero() {
					at = v.Now() // the log does not say it: since it was last read
				}
				if at.After(c.OldAt) {
					c.OldAt = at
				}
			}
		}
	}
	return unsent, nil
}
