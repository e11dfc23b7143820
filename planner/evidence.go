package planner

import (
	"fmt"
	"slices"
	"strings"
)

// weigh lets what real logs hold lower what the shapes alone call an error. Only replay findings can be asked of a
// log: what old releases make of new events is not in it yet.
func (h *hazards) weigh() {
	for i := range h.out {
		f := &h.out[i]
		if f.Direction != Replay || f.Severity != Error || f.Event == "" || len(f.From) == 0 {
			continue
		}
		probes := h.probesFor(f.Code, f.From[0], f.Event, f.Path)
		if len(probes) == 0 {
			continue
		}
		f.Evidence = probes
		f.Detail = strings.TrimSpace(f.Detail + " " + describeProbes(probes))
		if failing(probes) == 0 && h.coversLogs(f.Event, probes) {
			f.Severity, f.Lowered = Warning, Error
		}
	}
}

// probesFor returns, per store, the probe that answers for a finding: one made for the rule before the decoder's.
func (h *hazards) probesFor(code Code, from, event, path string) []ProbeResult {
	var out []ProbeResult
	for _, exact := range []bool{true, false} {
		for _, p := range h.in.Facts.Probes {
			applies := p.Rule == code && (p.Path == "" || p.Path == path)
			if !exact {
				applies = p.Rule == "" && h.rules[code].Decodes
			}
			if !applies || p.Event != event || p.To != h.in.To.Version || p.From != "" && p.From != from {
				continue
			}
			if !slices.ContainsFunc(out, func(q ProbeResult) bool { return q.Store == p.Store }) {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b ProbeResult) int { return strings.Compare(string(a.Store), string(b.Store)) })
	return out
}

// coversLogs reports whether every log at hand that holds the event was probed.
func (h *hazards) coversLogs(event string, probes []ProbeResult) bool {
	for _, l := range h.in.Facts.Logs {
		probed := slices.ContainsFunc(probes, func(p ProbeResult) bool { return p.Store == l.Store })
		if l.Events[event] > 0 && !probed {
			return false
		}
	}
	return true
}

func failing(probes []ProbeResult) (n int64) {
	for _, p := range probes {
		n += p.Failing
	}
	return n
}

func describeProbes(probes []ProbeResult) string {
	var parts []string
	for _, p := range probes {
		s := fmt.Sprintf("%s of %s in store %s fail, probed to seq %s", thousands(p.Failing), count(p.Count, p.Event+" event"), p.Store, thousands(int64(p.Head)))
		if len(p.FirstOffenders) > 0 {
			o := p.FirstOffenders[0]
			s += fmt.Sprintf(" (first: seq %d at %s, wanted %s)", o.Seq, o.Path, o.Want)
		}
		parts = append(parts, s)
	}
	return "Evidence: " + strings.Join(parts, "; ") + "."
}
