package corrective

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/probe"
)

// A Finder looks through logs for the events that corrections match, as the code that is generated of them knows these. It is
// for one goroutine at a time.
type Finder struct {
	Corrector  *Corrector
	Identifier *probe.Identifier // under the release that the corrections go into
}

// A Found is an event that a correction matches.
type Found struct {
	Correction string
	Event      livestore.Event
	Identity   probe.Identity
}

// findBatch is how many events go to the sandbox at once.
const findBatch = 500

// Find calls found for each event of a log that a correction matches, in their order. What no code can be made of is errs.Invalid:
// an event that two corrections match, or of which one makes nothing that decodes, and one that clients would correct otherwise:
// they see the arguments as their release writes them again once it has read them, without the fields that its schema does not
// know, with its defaults.
func (f Finder) Find(ctx context.Context, log eventlog.Reader, found func(Found)) error {
	var batch []applied
	flush := func() error {
		defer func() { batch = batch[:0] }()
		return f.identify(ctx, batch, found)
	}
	for e, err := range log.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		if errors.As(err, &bad) {
			continue // no correction can be about it
		} else if err != nil {
			return err
		}
		made, name, err := f.Corrector.Apply(ctx, e) // what can't be made is said before any code is written
		if err != nil {
			return err
		}
		if name == "" && !f.Corrector.looksInto(e.Name) {
			continue
		}
		if batch = append(batch, applied{e, name, made}); len(batch) == findBatch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// applied is an event of a log with what the corrections make of it.
type applied struct {
	event livestore.Event
	by    string // the correction; "" for none
	made  []livestore.Event
}

// looksInto reports whether clients evaluate a condition over events of a name.
func (c *Corrector) looksInto(event string) bool {
	return slices.ContainsFunc(c.rules, func(r rule) bool { return r.Match.Event == event && r.where != nil && !r.Match.IsPinned() })
}

func (f Finder) identify(ctx context.Context, batch []applied, found func(Found)) error {
	if len(batch) == 0 {
		return nil
	}
	var events []livestore.Event
	for _, a := range batch {
		events = append(events, a.event)
	}
	for _, a := range batch {
		if a.by != "" {
			events = append(events, a.made...)
		}
	}
	ids, err := f.Identifier.Identify(ctx, events)
	if err != nil {
		return err
	}
	ids, made := ids[:len(batch)], ids[len(batch):]
	for i, a := range batch {
		var is []probe.Identity
		if a.by != "" {
			is, made = made[:len(a.made)], made[len(a.made):]
		}
		if ids[i].Unwritable {
			return errs.Invalidf("the app's schema decodes event %s, %s, and can't encode it again: its clients can't tell it from others", a.event.Seq, a.event.Name).
				Hintf("give the schema of the event's arguments an encoding, or correct the event in its materializer by hand")
		}
		if slices.ContainsFunc(is, func(id probe.Identity) bool { return id.Unreadable }) {
			return errs.Invalidf("what correction %s makes of event %s does not decode: clients would leave the event as it is", a.by, a.event.Seq).
				Hintf("the app's schema must take it: is a field missing, null, or of another type?")
		}
		if !bytes.Equal(a.event.Args, ids[i].Args) {
			if err := f.alike(ctx, a, ids[i], is); err != nil {
				return err
			}
		}
		if a.by != "" {
			found(Found{Correction: a.by, Event: a.event, Identity: ids[i]})
		}
	}
	return nil
}

// alike refuses an event that clients, who see other arguments than the log has, correct otherwise.
func (f Finder) alike(ctx context.Context, a applied, id probe.Identity, is []probe.Identity) error {
	seen := a.event
	seen.Args = id.Args
	otherwise := func(name, how string) error {
		return errs.Invalidf("correction %s %s event %s as clients see it than as it is in the log", name, how, a.event.Seq).
			Hintf("they see the arguments as the app's schema writes them again once it has read them: without the fields that it does not know, with its defaults. Go by what both have, or let the schema know the field")
	}
	r, err := f.Corrector.matchSeen(ctx, seen, a.by)
	switch {
	case err != nil:
		return err
	case r == nil && a.by == "":
		return nil
	case r == nil:
		return otherwise(a.by, "decides otherwise about")
	case r.Name != a.by:
		return otherwise(r.Name, "decides otherwise about")
	}
	made, err := r.make(ctx, seen)
	if err != nil {
		return err
	}
	ids, err := f.Identifier.Identify(ctx, made)
	if err != nil {
		return err
	}
	for i := range ids { // a correction makes as many of every event
		if ids[i].Digest != is[i].Digest {
			return otherwise(a.by, "makes something else of")
		}
	}
	return nil
}
