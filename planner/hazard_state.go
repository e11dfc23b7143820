package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// rebuilds reports whether a client that goes from one release to the other runs its log again.
func rebuilds(from, to *schema.Release) bool {
	return from.StateHash != to.StateHash && to.Migrations.Strategy != "manual"
}

// unmoved says why nothing is rebuilt.
func unmoved(to *schema.Release) string {
	if to.Migrations.Strategy == "manual" {
		return "migrations are manual, so nothing is rebuilt"
	}
	return "the state hash does not move"
}

// newEvents looks for the hole that stays: an event that clients on from skipped, and nothing makes them look again.
func (h *hazards) newEvents(from *schema.Release) {
	to := h.in.To
	if rebuilds(from, to) {
		return
	}
	for i := range to.Events {
		e := &to.Events[i]
		m := materializerOf(to, e.Name)
		if e.ClientOnly || e.Derived || m == nil || eventNamed(from, e.Name) != nil && materializerOf(from, e.Name) != nil {
			continue
		}
		if tables := existingTables(m, from); len(tables) > 0 {
			h.hole(from, e, tables)
		}
	}
}

// existingTables returns the tables of from that m writes; "unknown" where that can't be said.
func existingTables(m *schema.Materializer, from *schema.Release) []string {
	var out []string
	add := func(name string) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, op := range m.Operations {
		for _, t := range op.Tables {
			if t == "unknown" || tableNamed(from, t) != nil {
				add(t)
			}
		}
	}
	if !m.Complete && len(out) == 0 {
		add("unknown")
	}
	slices.Sort(out)
	return out
}

func (h *hazards) hole(from *schema.Release, e *schema.Event, tables []string) {
	var total int64
	var stores []string
	for _, l := range h.in.Facts.Logs {
		n := l.Events[e.Name]
		if skipped, ok := l.Skipped[e.Name]; ok {
			n = skipped
		}
		if n > 0 {
			total += n
			stores = append(stores, fmt.Sprintf("%s in store %s (to seq %d)", thousands(n), l.Store, l.Head))
		}
	}
	gate := h.gate(e.Name)
	f := Finding{Code: "ST103", From: []string{from.Version}, Event: e.Name, Table: strings.Join(tables, ", ")}
	severity := Error
	switch {
	case total > 0:
		f.Message = fmt.Sprintf("%s skipped by clients on %s leave a hole for good: %s", count(total, e.Name+" event"), from.Version, unmoved(h.in.To))
		f.Detail = strings.Join(stores, "; ") + "."
		f.Fix = "1. Compensating events for the affected stores. 2. Ride on the next release whose state hash moves anyway. 3. headgate epoch bump --schema " + h.in.To.Schema + "."
	case gate != nil:
		severity = Warning
		f.Message = fmt.Sprintf("new event into existing tables, state hash the same; held by %s until its readers are there", gate.By)
		f.Detail = strings.TrimPrefix(late(gate), "; ")
		f.Fix = "Nothing, as long as the gate holds: no such event is in the logs at hand."
	default:
		f.Message = fmt.Sprintf("clients on %s will skip this event for good: %s, and nothing holds it until its readers are there", from.Version, unmoved(h.in.To))
		f.Fix = "1. Nothing, if it is emitted only after its readers are there: open it by a gate (headgate plan). 2. Compensating events for affected stores. 3. Ride on the next release whose state hash moves anyway. 4. headgate epoch bump --schema " + h.in.To.Schema + "."
	}
	if gate != nil && total > 0 {
		f.Detail += " The gate of " + gate.By + " comes too late for these."
	}
	h.add(f, severity, OK)
}

// behaviour looks for materializers that give other rows for old events while nothing is rebuilt.
func (h *hazards) behaviour(from *schema.Release) {
	to := h.in.To
	if rebuilds(from, to) {
		return
	}
	for i := range to.Events {
		e := &to.Events[i]
		o, n := materializerOf(from, e.Name), materializerOf(to, e.Name)
		if e.Derived || o == nil || n == nil || eventNamed(from, e.Name) == nil {
			continue
		}
		f := Finding{Code: "ST102", From: []string{from.Version}, Event: e.Name}
		b := h.behaviourOf(from.Version, e.Name)
		changed := o.Source.Digest != n.Source.Digest || b != nil && b.SourceChanged
		where := ""
		if n.Source.Scope == "modules" {
			where = " The source could only be followed by whole modules, so the change may lie beside it."
		}
		switch {
		case b != nil && b.Verdict == Different:
			f.Message = "the materializer gives other rows than in " + from.Version + ", and clients keep the old ones: " + unmoved(to)
			f.Detail = cmp.Or(b.Difference, "the state differs")
			if b.Witness != "" {
				f.Detail += ", for a payload like " + b.Witness
			}
			f.Detail += "."
			f.Fix = "Ride on a release whose state hash moves anyway, or headgate epoch bump --schema " + to.Schema + "."
			h.add(f, Error, OK)
		case b != nil && b.Verdict == Unclear:
			f.Message = "the materializer could not be compared with the one of " + from.Version
			f.Detail = b.Why
			h.add(f, Warning, OK)
		case changed && b != nil:
			f.Message = fmt.Sprintf("the materializer's source changed; %s gave the same rows", count(int64(b.Payloads), "payload"))
			f.Detail = strings.TrimSpace(fmt.Sprintf("%s of them from logs.%s", thousands(int64(b.Real)), where))
			h.add(f, Warning, OK)
		case changed:
			f.Message = "the materializer's source changed, and it was not run against the one of " + from.Version
			f.Detail = strings.TrimSpace(where)
			h.add(f, Warning, OK)
		}
	}
}

func (h *hazards) behaviourOf(from, event string) *Behaviour {
	for i := range h.in.Facts.Behaviour {
		b := &h.in.Facts.Behaviour[i]
		if b.From == from && b.To == h.in.To.Version && b.Event == event {
			return b
		}
	}
	return nil
}

// rebuild judges whether a rebuild that this upgrade causes survives an interruption.
func (h *hazards) rebuild(from *schema.Release) {
	to := h.in.To
	if !rebuilds(from, to) {
		return
	}
	hooks, open := RebuildGaps(to, h.in.Facts.Adapters)
	f := Finding{Code: "ST113", From: []string{from.Version}}
	switch {
	case !hooks:
		f.Message = "every client rebuilds, and a rebuild that is interrupted counts as complete: the rebuild hooks are absent"
		h.add(f, Error, OK)
	case len(open) > 0:
		f.Message = "on the web a rebuild that is interrupted can still make the next boot fail"
		f.Detail = strings.Join(open, "; ") + "."
		h.add(f, Warning, OK)
	}
}

// RebuildGaps says what a release lacks for a rebuild to survive an interruption: the hooks that make it one transaction,
// and, where the app ships the web adapter, what a browser needs besides. Without adapters it is what the app's calls show.
func RebuildGaps(r *schema.Release, adapters []string) (hooks bool, web []string) {
	if !slices.Contains(adapters, "web") && (len(adapters) > 0 || !hasWebCall(r.Adapters)) {
		return r.Migrations.AtomicRebuild, nil
	}
	if !r.Migrations.CacheSpillOff {
		web = append(web, "PRAGMA cache_spill=OFF is not in the init hook")
	}
	if !fastPathOff(r.Adapters) {
		web = append(web, "the adapter's fast path is on (experimental: {disableFastPath: true} turns it off)")
	}
	return r.Migrations.AtomicRebuild, web
}

func hasWebCall(calls []schema.AdapterCall) bool {
	return slices.ContainsFunc(calls, func(c schema.AdapterCall) bool { return c.Call == "makePersistedAdapter" || c.Call == "makeWorker" })
}

// fastPathOff reports whether the fast path is turned off, or options are spread into the web adapter's call, as the
// generated helper's are.
func fastPathOff(calls []schema.AdapterCall) bool {
	return slices.ContainsFunc(calls, func(c schema.AdapterCall) bool {
		return option(c, "disableFastPath") == "true" || c.Options["..."] != "" || c.Options["experimental...."] != ""
	})
}

// recorded reports whether r is a release that the history knows, not a working tree.
func (h *hazards) recorded(r *schema.Release) bool { return isRecorded(h.in.History, r) }

func isRecorded(history []*schema.Release, r *schema.Release) bool {
	return slices.ContainsFunc(history, func(x *schema.Release) bool { return x.Version == r.Version })
}

// hashReturns looks for A -> B -> A: a state hash that an earlier release had, with another one in between.
func (h *hazards) hashReturns(from *schema.Release) {
	to := h.in.To
	keepers := KeepOldState(h.in.Facts.Adapters)
	if !rebuilds(from, to) || len(keepers) == 0 {
		return
	}
	where := "The adapters that keep old state files here: " + strings.Join(keepers, ", ") + "."
	older := func(r *schema.Release) bool { return schema.CompareVersions(r.Version, from.Version) < 0 }
	if h.recorded(to) && older(to) { // a working tree has no place among the versions
		h.add(Finding{
			Code: "ST107", From: []string{from.Version}, Detail: where,
			Message: fmt.Sprintf("going back from %s to %s reopens the state file that clients left when they upgraded", from.Version, to.Version),
		}, OK, Error)
		return
	}
	for _, r := range h.in.History {
		if older(r) && r.StateHash == to.StateHash {
			h.add(Finding{
				Code: "ST107", From: []string{from.Version}, Detail: where,
				Message: fmt.Sprintf("the state hash returns to that of %s, with %s in between: clients reopen the stale state file", r.Version, from.Version),
			}, OK, Error)
			return
		}
	}
	if h.in.Profile == ProfileRollback {
		h.add(Finding{
			Code: "ST107", From: []string{from.Version}, Detail: where,
			Message: fmt.Sprintf("rolling back from %s to %s would reopen the state file that clients left when they upgraded", to.Version, from.Version),
		}, OK, Error)
	}
}

// tables judges the tables, queries and migrations of To by themselves.
func (h *hazards) tables() {
	to := h.in.To
	for _, t := range to.Tables {
		for _, c := range t.Columns {
			if c.JSON && (c.Untyped || c.Schema == nil) && !t.ClientDocument {
				h.add(Finding{Code: "ST112", Table: t.Name, Path: c.Name, Message: "JSON column without a schema"}, Warning, OK)
			}
		}
	}
	for _, q := range h.in.Facts.QueryPlans {
		if q.Release == to.Version && len(q.Scans) > 0 {
			h.add(Finding{
				Code: "ST110", Table: strings.Join(q.Scans, ", "), Path: q.Query,
				Message: "the query " + q.Query + " reads all of " + strings.Join(q.Scans, ", ") + ": its condition has no index",
			}, Warning, OK)
		}
	}
	if to.Migrations.Strategy == "manual" {
		h.add(Finding{Code: "ST114", Message: "migrations: manual: the state file never moves, so no rebuild remedy works"}, Warning, OK)
	}
}
