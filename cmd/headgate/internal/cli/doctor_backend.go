package cli

import (
	"context"
	"fmt"
	"time"

	"headgate/cmd/headgate/internal/config"
	"headgate/cmd/headgate/internal/operate"
	"headgate/corrective/doctor"
	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/planner"
)

// compareKnown holds a store against what the control database last knew of it.
func (r *round) compareKnown(ctx context.Context, s config.Store, log eventlog.Reader) error {
	err := r.runner.familiar(ctx, s, log)
	e := errs.As(err)
	if e == nil || e.Code != errs.Refused {
		return err
	}
	f := doctor.Finding{
		Check: "backend-changed", Severity: planner.Error, Store: s.ID, Text: e.Msg, Evidence: []string{e.Hint},
		Repair: "Look which one is right before anything is written: a client's log may hold what the backend lost (--client-dir). headgate commits nothing there until the store is forgotten",
	}
	if len(e.Next) > 0 {
		f.Next = e.Next[0]
	}
	r.report(f)
	return nil
}

// compareHead holds the head that a sync backend keeps for itself against the log's last event, where the secret of its admin
// route is at hand. The two are written one after the other: what is true a second later, too, is no push under way.
func (r *round) compareHead(ctx context.Context, s config.Store, log eventlog.Reader) error {
	route, err := r.app.adminRoute(*r.env, s)
	if err != nil {
		return nil //nolint:nilerr // it has no such route, or nobody gave us the secret
	}
	var before, after operate.BackendStore
	var last livestore.SeqNum
	for try := range 2 {
		if try > 0 {
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
		}
		if before, err = route.Info(ctx, s.ID); err == nil {
			var h eventlog.Head
			if h, err = log.Head(ctx); err != nil {
				return err
			}
			last = h.Last.Global
			after, err = route.Info(ctx, s.ID)
		}
		if err != nil {
			r.report(doctor.Finding{
				Check: "backend-head", Severity: planner.Info, Store: s.ID, Text: "the admin route does not say the backend's head: " + err.Error(), Next: "headgate doctor --env " + r.env.Name,
			})
			return nil
		}
		if last >= before.Head && last <= after.Head {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.heads++
			return nil
		}
	}
	f := doctor.Finding{
		Check: "backend-head", Severity: planner.Error, Store: s.ID,
		Text: fmt.Sprintf("the backend says that it ends at e%d, and its log ends at e%d: ", after.Head, last),
		Repair: fmt.Sprintf("Export the log, and import it into the emptied store, which sets the head right: then headgate store reset %s --env %s --export %s-before.json --import %s.json. Clients follow the new backend id",
			s.ID, r.env.Name, fileName(string(s.ID)), fileName(string(s.ID))),
		Next: fmt.Sprintf("headgate log export --store %s --env %s --out %s.json", s.ID, r.env.Name, fileName(string(s.ID))),
	}
	if last < before.Head {
		f.Text += "every push is refused, and no pull brings what it asks for"
	} else {
		f.Text += "the next push collides with an event that is there"
	}
	r.report(f)
	return nil
}

func (r *round) report(f doctor.Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, f)
}
