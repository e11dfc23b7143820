package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/planner"
)

// beside holds a client's log against that of its backend.
func (x *Examiner) beside(ctx context.Context, p *Patient, seen sight, head eventlog.Head) (out []Finding, err error) {
	save := "headgate log export " + p.Ref + " --out saved.json"
	if seen.unsent > 0 {
		save = "headgate log export " + p.Ref + " --pending --out saved.json"
	}
	if p.Backend == nil {
		return x.pending(p, seen), nil
	}
	backend, err := p.Backend(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	there, err := backend.Head(ctx)
	if err != nil {
		return nil, err
	}
	m, err := meet(ctx, p.Log, backend)
	if err != nil {
		return nil, err
	}
	if head.BackendID != "" && there.BackendID != "" && head.BackendID != there.BackendID {
		f := Finding{
			Check: OtherBackend, Code: "AD103", Severity: planner.Warning, Next: save,
			Text:     fmt.Sprintf("the client knows the backend %s, and now it is %s: at its next sync it forgets its log, unless onBackendIdMismatch is shutdown", head.BackendID, there.BackendID),
			Evidence: []string{m.String(), unsentText(seen)},
			Repair:   "It starts anew from what the backend has. Before it syncs, export its log, and commit again what only it had",
		}
		if seen.unsent > 0 || m.lacking > 0 {
			f.Severity = planner.Error
		}
		return []Finding{f}, nil
	}
	switch {
	case m.mine != nil:
		out = append(out, Finding{
			Check: Diverged, Severity: planner.Error, Next: save,
			Text:     fmt.Sprintf("the client's log and the backend's part: the client has %s, the backend %s", eventText(*m.mine), eventText(*m.theirs)),
			Evidence: []string{m.String(), unsentText(seen)},
			Repair:   "The client confirmed events that the backend lost, and others took their numbers: no sync puts that right. Export its log, reset the client (headgate rollback instructions), and have it commit again what only it had",
		})
	case m.lacking > 0:
		out = append(out, Finding{
			Check: Ahead, Severity: planner.Error, Next: save,
			Text:     fmt.Sprintf("the client's log is confirmed up to e%d, and the backend's ends at e%d: the backend was restored from an older copy", head.Confirmed, there.Confirmed),
			Evidence: []string{m.String(), unsentText(seen), "its pushes are refused, and what others write up to its head it never pulls"},
			Repair: fmt.Sprintf("%s are not in the backend. Export the log of the client that is furthest, and import it into the emptied store, so that all clients follow the new backend id: then headgate store reset %s%s --export before.json --import saved.json",
				events(m.lacking), p.Store, x.inEnv()),
		})
	}
	return append(out, x.pending(p, seen)...), nil
}

func (x *Examiner) pending(p *Patient, seen sight) []Finding {
	if seen.unsent == 0 {
		return nil
	}
	return []Finding{{
		Check: Unsent, Severity: planner.Info, Text: unsentText(seen) + ": a reset of this client would lose them",
		Next: "headgate log export " + p.Ref + " --pending --out saved.json",
	}}
}

func unsentText(seen sight) string {
	if seen.unsent == 0 {
		return "nothing waits to be sent"
	}
	return fmt.Sprintf("%s not sent yet, %s to %s", events(seen.unsent), seen.firstUnsent, seen.lastUnsent)
}

func eventText(e livestore.Event) string {
	return fmt.Sprintf("%s %s of client %s", e.Seq, e.Name, e.ClientID)
}

// A meeting is how far two logs are the same.
type meeting struct {
	common       int64
	last         livestore.SeqNum // of those in common
	mine, theirs *livestore.Event // where they part; nil where they don't
	lacking      int64            // confirmed events of the client after the backend's last one
}

func (m meeting) String() string {
	if m.common == 0 {
		return "no confirmed event of the client is there"
	}
	return fmt.Sprintf("%s are the same in both, up to e%d", events(m.common), m.last)
}

// meet reads both logs side by side, until they part or one of them ends. clientOnly and pending events are left out.
func meet(ctx context.Context, client, backend eventlog.Reader) (m meeting, err error) {
	nextMine, stopMine := iter.Pull2(client.Events(ctx, livestore.ClientSeq{}))
	defer stopMine()
	nextTheirs, stopTheirs := iter.Pull2(backend.Events(ctx, livestore.ClientSeq{}))
	defer stopTheirs()
	for {
		mine, err := confirmed(nextMine)
		if mine == nil || err != nil {
			return m, err
		}
		var theirs *livestore.Event
		if m.lacking == 0 {
			if theirs, err = confirmed(nextTheirs); err != nil {
				return m, err
			}
		}
		switch {
		case theirs == nil:
			m.lacking++
		case !sameEvent(*mine, *theirs):
			m.mine, m.theirs = mine, theirs
			return m, nil
		default:
			m.common++
			m.last = mine.Seq.Global
		}
	}
}

// confirmed is the next event that a backend confirmed, nil at the end. One that can't be read has no arguments.
func confirmed(next func() (livestore.Event, error, bool)) (*livestore.Event, error) {
	for {
		e, err, ok := next()
		var bad *eventlog.Malformed
		switch {
		case !ok:
			return nil, nil
		case err != nil && !errors.As(err, &bad):
			return nil, err
		case e.ClientOnly() || e.Pending:
			continue
		}
		return &e, nil
	}
}

// sameEvent compares as LiveStore recognises an event. A client keeps {} where the arguments are null.
func sameEvent(a, b livestore.Event) bool {
	if a.Seq.Global != b.Seq.Global || a.Name != b.Name || a.ClientID != b.ClientID || a.SessionID != b.SessionID {
		return false
	}
	if a.Args == nil || b.Args == nil || bytes.Equal(a.Args, b.Args) {
		return true
	}
	var x, y any
	if json.Unmarshal(a.Args, &x) != nil || json.Unmarshal(b.Args, &y) != nil {
		return false
	}
	if x == nil {
		x = map[string]any{}
	}
	if y == nil {
		y = map[string]any{}
	}
	return reflect.DeepEqual(x, y)
}
