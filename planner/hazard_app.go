package planner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"headgate/internal/livestore/schema"
)

// materializers judges the materializers of To by themselves.
func (h *hazards) materializers() {
	to := h.in.To
	for i := range to.Materializers {
		m := &to.Materializers[i]
		if e := eventNamed(to, m.Event); e == nil || e.Derived {
			continue
		}
		var deletes []string
		for _, op := range m.Operations {
			if op.Kind == "delete" {
				deletes = append(deletes, op.Tables...)
			}
		}
		if len(deletes) > 0 {
			slices.Sort(deletes)
			h.add(Finding{Code: "ST111", Event: m.Event, Table: strings.Join(slices.Compact(deletes), ", "), Message: "the materializer deletes rows"}, Warning, OK)
		}
	}
	for _, b := range h.in.Facts.Backfills {
		h.backfillInsert(b)
	}
	for _, r := range h.in.Facts.Runs {
		if r.Release == to.Version && (r.Differs != "" || len(r.Uses) > 0) {
			f := Finding{Code: "MT101", Event: r.Event, Message: "the materializer is not deterministic"}
			if len(r.Uses) > 0 {
				f.Message += ": it uses " + strings.Join(r.Uses, ", ")
			}
			if r.Differs != "" {
				f.Detail = "Run twice on one payload with another clock and random source, it gave another " + r.Differs + "."
			}
			h.add(f, Error, OK)
		}
	}
	for _, c := range h.in.Facts.EdgeCases {
		if c.Release == to.Version {
			severity, where := Error, ""
			if c.RowsMissing {
				// Only a log that lacks an earlier event gets there: one that this client skipped, or another deleted the row.
				severity, where = Warning, ", where the rows that it is about are not there"
			}
			h.add(Finding{Code: "MT103", Event: c.Event, Message: "the materializer fails on a payload that the event admits", Detail: c.Error + ", for a payload like " + c.Shape + where}, severity, OK)
		}
	}
	for _, m := range h.in.Facts.MixedReplays {
		if m.Release != to.Version {
			continue
		}
		f := Finding{Code: "MT104", Event: m.Family, Detail: strings.Join(m.Order, ", ") + ": " + m.Error}
		if m.Error != "" {
			f.Message = "an order of old and new versions makes a materializer fail"
			h.add(f, Error, OK)
			continue
		}
		f.Message = "two orders of events that should commute give different states"
		f.Detail = strings.Join(m.Order, ", ") + ": " + m.Difference
		h.add(f, Warning, OK)
	}
}

func (h *hazards) backfillInsert(b Backfill) {
	m := materializerOf(h.in.To, b.Event)
	if m == nil {
		return
	}
	for _, op := range m.Operations {
		if op.Kind == "insert" && !op.Conflict {
			h.add(Finding{
				Code: "MT102", Event: b.Event, Table: strings.Join(op.Tables, ", "),
				Message: "insert without a conflict clause, and the backfill " + b.Migration + " emits the event",
			}, Error, OK)
			return
		}
	}
}

// app judges the rest of To: adapter calls, secrets, unknown events.
func (h *hazards) app() {
	to := h.in.To
	for _, c := range to.Adapters {
		if !production(c.File) {
			continue
		}
		h.adapterCall(c)
	}
	for _, s := range slices.Concat(to.Secrets, h.in.Facts.Secrets) {
		h.add(Finding{Code: "SE101", Message: "a literal that looks like " + s.Kind, Location: &Location{File: s.File, Line: s.Line}}, Error, OK)
	}
	switch {
	case to.UnknownEventHandling == "fail":
		h.add(Finding{Code: "UE101", Message: "unknownEventHandling is fail: the first event of a newer release blocks the client for good"}, Error, OK)
	case !to.UnknownEventHandlingExplicit:
		h.add(Finding{Code: "UE101", Message: "unknownEventHandling is not set: it defaults to a warning on the console"}, Warning, OK)
	}
}

func (h *hazards) adapterCall(c schema.AdapterCall) {
	at := &Location{File: c.File, Line: c.Line}
	if strings.Contains(c.Call, "InMemory") || strings.Contains(option(c, "storage"), "in-memory") || option(c, "type") == "in-memory" {
		h.add(Finding{Code: "AD101", Message: c.Call + " with in-memory storage", Location: at}, Warning, OK)
	}
	switch reset := option(c, "resetPersistence"); reset {
	case "", "false", "undefined":
	case "true":
		h.add(Finding{Code: "AD102", Message: c.Call + " with resetPersistence: true", Location: at}, Error, OK)
	default:
		h.add(Finding{Code: "AD102", Message: c.Call + " with a resetPersistence that depends on an expression", Location: at}, Warning, OK)
	}
	if !syncs(c) || c.Options["sync...."] != "" || c.Options["..."] != "" {
		return // no backend, or options are spread in that may choose both
	}
	var left []string
	if v := option(c, "onBackendIdMismatch"); v == "" || v == "reset" {
		left = append(left, "onBackendIdMismatch is reset")
	}
	if v := option(c, "onSyncError"); v == "" || v == "ignore" {
		left = append(left, "onSyncError is ignore")
	}
	if len(left) > 0 {
		h.add(Finding{Code: "AD103", Message: c.Call + ": " + strings.Join(left, ", "), Location: at}, Warning, OK)
	}
}

// syncs reports whether a call configures a sync backend.
func syncs(c schema.AdapterCall) bool {
	for k := range c.Options {
		if k == "sync" || strings.HasPrefix(k, "sync.") || k == "onSyncError" || k == "onBackendIdMismatch" {
			return true
		}
	}
	return false
}

var testFile = regexp.MustCompile(`(^|/)(tests?|__tests__|__mocks__|e2e|fixtures|stories|bench)/|\.(test|spec|stories|bench)\.[cm]?[jt]sx?$`)

// production reports whether a file belongs to what the app ships.
func production(file string) bool { return !testFile.MatchString(file) }

var words = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)

// personal returns the word by which a field's name looks like personal data, or "".
func personal(path string) string {
	name := strings.TrimRight(strings.TrimRight(path, "[*]"), ".")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	var list []string
	for _, w := range words.FindAllString(name, -1) {
		list = append(list, strings.ToLower(w))
	}
	joined := " " + strings.Join(list, " ") + " "
	for _, w := range []string{
		"email", "e mail", "phone", "mobile", "first name", "last name", "full name", "surname", "birthday", "birth date",
		"date of birth", "dob", "ssn", "passport", "iban", "credit card", "card number", "street", "postal code", "zip code",
		"ip address", "latitude", "longitude", "gender", "password", "address",
	} {
		if strings.Contains(joined, " "+w+" ") || strings.Contains(joined, fmt.Sprintf(" %ss ", w)) {
			return w
		}
	}
	return ""
}
