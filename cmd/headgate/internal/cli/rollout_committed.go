package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"headgate/cmd/headgate/internal/config"
	"headgate/internal/control"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/rollout"
)

// A committedCount says what of the new version is in the logs already: no abort takes it back.
type committedCount struct {
	Events int64               `json:"events"`
	Stores []control.Committed `json:"stores"`           // that have some
	Unsent int64               `json:"unsent,omitempty"` // beside those: in clients' own logs, not confirmed by a backend yet
	Unread []unreadLog         `json:"unread,omitempty"` // logs that could not be read
}

type unreadLog struct {
	Store livestore.StoreID `json:"store"`
	Error string            `json:"error"`
}

// keptCount is what the control database knows of the logs.
func (v *rolloutView) keptCount(ctx context.Context) (committedCount, error) {
	out := committedCount{Stores: []control.Committed{}}
	kept, err := v.db.Committed(ctx, v.env.Name, v.def.Name)
	for _, k := range kept {
		if k.Events > 0 {
			out.Events += k.Events
			out.Stores = append(out.Stores, k)
		}
	}
	return out, err
}

// countCommitted reads on in the logs of the stores that were ever open, all of them once the rollout was full, from where
// it stood. A log that can't be read is in Unread.
func (v *rolloutView) countCommitted(ctx context.Context) (committedCount, error) {
	ever, err := v.db.EverOpened(ctx, v.env.Name, v.def.Name)
	if err != nil {
		return committedCount{}, err
	}
	kept, err := v.db.Committed(ctx, v.env.Name, v.def.Name)
	if err != nil {
		return committedCount{}, err
	}
	known := map[livestore.StoreID]control.Committed{}
	for _, k := range kept {
		known[k.Store] = k
	}
	var unread []unreadLog
	var unsent int64
	full := v.row.State.Phase.Open() || v.row.State.Phase == rollout.Undone
	p := v.app.progress("counting events", 0)
	defer p.Done()
	for _, s := range v.stores {
		if _, found := slices.BinarySearch(ever, s.ID); !found && !full {
			continue
		}
		c := known[s.ID]
		c.Store = s.ID
		n, err := v.readOn(ctx, s, &c)
		unsent += n
		if ctx.Err() != nil {
			return committedCount{}, context.Cause(ctx)
		}
		if err != nil {
			unread = append(unread, unreadLog{s.ID, err.Error()})
			continue
		}
		if err := v.db.KeepCommitted(ctx, v.env.Name, v.def.Name, c); err != nil {
			return committedCount{}, err
		}
		p.Add(1)
	}
	out, err := v.keptCount(ctx)
	out.Unread, out.Unsent = unread, unsent
	return out, err
}

// readOn counts a log's events behind c.Head, and those that are not confirmed, whose numbers may still change.
func (v *rolloutView) readOn(ctx context.Context, s config.Store, c *control.Committed) (unsent int64, err error) {
	r, err := v.app.openStore(ctx, v.cfg, v.env, s)
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
			if slices.Contains(v.def.New(), e.Name) {
				unsent++
			}
			continue
		}
		c.Head = max(c.Head, e.Seq.Global)
		for _, f := range v.def.Events {
			switch e.Name {
			case f.New():
				c.Events++
			case f.Old():
				at := e.CreatedAt
				if at.IsZero() {
					at = v.app.now() // the log does not say it: since it was last read
				}
				if at.After(c.OldAt) {
					c.OldAt = at
				}
			}
		}
	}
	return unsent, nil
}

func writeCommitted(w io.Writer, c committedCount) {
	const most = 5
	fmt.Fprintf(w, "  %s of the new version in the logs, which stay", counted(c.Events, "event"))
	if len(c.Stores) > 0 {
		fmt.Fprintf(w, ": ")
		for i, s := range c.Stores[:min(most, len(c.Stores))] {
			if i > 0 {
				fmt.Fprint(w, ", ")
			}
			fmt.Fprintf(w, "%s %d (to e%d)", s.Store, s.Events, s.Head)
		}
		if n := len(c.Stores) - most; n > 0 {
			fmt.Fprintf(w, " and %d more stores", n)
		}
	}
	if c.Unsent > 0 {
		fmt.Fprintf(w, "; %s on clients, not sent yet", fmt.Sprint(c.Unsent, " more"))
	}
	fmt.Fprintln(w)
	for _, u := range c.Unread[:min(most, len(c.Unread))] {
		fmt.Fprintf(w, "  not read: %s: %s\n", u.Store, u.Error)
	}
	if n := len(c.Unread) - most; n > 0 {
		fmt.Fprintf(w, "  not read: %d more logs\n", n)
	}
}
