package planner

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// corrections judges what became of the corrections that from carries, and what those that To adds do on clients that ran it.
func (h *hazards) corrections(from *schema.Release) {
	to := h.in.To
	for _, m := range from.Materializers {
		for _, name := range m.Corrections {
			if !corrects(to, m.Event, name) {
				h.removedCorrection(from, m.Event, name)
			}
		}
	}
	for _, m := range to.Materializers {
		var added []string
		for _, name := range m.Corrections {
			if !correctsAlike(from, to, m.Event, name) {
				added = append(added, name)
				continue
			}
			n, _ := h.inLogs(m.Event)
			if lost := lostFields(from, to, m.Event); len(lost) > 0 && (n > 0 || len(h.in.Facts.Logs) == 0) {
				h.add(Finding{
					Code: "CR104", From: []string{from.Version}, Event: m.Event, Path: name,
					Message: fmt.Sprintf("the correction %s is about events whose arguments are written otherwise now (%s): it may miss those that %s met", name, strings.Join(lost, ", "), from.Version),
					Fix:     "headgate rollback generate.",
				}, Warning, OK)
			}
			if n == 0 && len(h.in.Facts.Logs) > 0 {
				h.add(Finding{
					Code: "CR102", From: []string{from.Version}, Event: m.Event, Path: name,
					Message: "no log at hand holds an event that the correction " + name + " could be about",
				}, Info, OK)
			}
		}
		if len(added) > 0 && !rebuilds(from, to) {
			h.add(Finding{
				Code: "CR103", From: []string{from.Version}, Event: m.Event, Path: strings.Join(added, ", "),
				Message: fmt.Sprintf("clients that ran %s keep what it made: %s, so that the correction changes nothing there", from.Version, unmoved(to)),
				Fix:     "headgate epoch bump --schema " + to.Schema + ".",
			}, Error, OK)
		}
	}
}

// lostFields are the fields of an event's arguments that another release does not write, or not so.
func lostFields(from, to *schema.Release, event string) []string {
	was, ok := from.Event(event)
	is, still := to.Event(event)
	if !ok || !still {
		return nil // adopted, or told apart by what is in the log
	}
	old, now := was.Args.Wire(), is.Args.Wire()
	switch {
	case reflect.DeepEqual(old, now):
		return nil
	case old == nil || now == nil || old.Kind != schema.Struct || now.Kind != schema.Struct:
		return []string{"all of them"}
	}
	var out []string
	for _, f := range old.Fields {
		i := slices.IndexFunc(now.Fields, func(o schema.Field) bool { return o.Name == f.Name })
		if i < 0 || !reflect.DeepEqual(now.Fields[i].Type, f.Type) {
			out = append(out, f.Name)
		}
	}
	return out
}

func corrects(r *schema.Release, event, correction string) bool {
	m := materializerOf(r, event)
	return m != nil && slices.Contains(m.Corrections, correction)
}

// correctsAlike reports whether two releases have the same correction: what it picks and makes counts, where both say that.
func correctsAlike(a, b *schema.Release, event, correction string) bool {
	if !corrects(a, event, correction) || !corrects(b, event, correction) {
		return false
	}
	was, is := correctionDigest(a, event, correction), correctionDigest(b, event, correction)
	return was == "" || is == "" || was == is
}

func correctionDigest(r *schema.Release, event, correction string) string {
	m := materializerOf(r, event)
	if i := slices.Index(m.Corrections, correction); i < len(m.CorrectionDigests) {
		return m.CorrectionDigests[i]
	}
	return ""
}

func (h *hazards) removedCorrection(from *schema.Release, event, name string) {
	f := Finding{Code: "CR101", From: []string{from.Version}, Event: event, Path: name}
	n, stores := h.inLogs(event)
	switch {
	case n > 0:
		f.Message = fmt.Sprintf("the correction %s is gone, and logs hold events that it may be about: the bad rows come back at the next rebuild", name)
		f.Detail = strings.Join(stores, "; ") + "."
	case len(h.in.Facts.Logs) == 0:
		f.Message = fmt.Sprintf("the correction %s is gone, and no log was read that would say that nobody needs it", name)
	default:
		f.Code = "CR102"
		f.Message = fmt.Sprintf("the correction %s is gone; no log at hand holds an event that it could be about", name)
		h.add(f, Info, OK)
		return
	}
	h.add(f, Error, OK)
}

// inLogs counts the events of a name in the logs at hand.
func (h *hazards) inLogs(event string) (total int64, stores []string) {
	for _, l := range h.in.Facts.Logs {
		if n := l.Events[event]; n > 0 {
			total += n
			stores = append(stores, fmt.Sprintf("%s in store %s (to seq %d)", thousands(n), l.Store, l.Head))
		}
	}
	return total, stores
}
