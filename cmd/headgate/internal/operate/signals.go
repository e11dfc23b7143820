package operate

import (
	"slices"
	"strings"

	"headgate/internal/control"
	"headgate/internal/livestore/schema"
	"headgate/rollout"
	"headgate/rollout/observe"
)

// Other stands for every name that comes from outside and that no recorded release has.
const Other = "other"

// Names are those that signals are counted by: there are as many as the recorded releases have.
type Names struct {
	releases, events, schemas map[string]bool
}

// NamesOf are the names of the recorded releases, by schema.
func NamesOf(schemas map[string][]*schema.Release) Names {
	n := Names{map[string]bool{rollout.NoRelease: true}, map[string]bool{"": true}, map[string]bool{observe.None: true}}
	for name, releases := range schemas {
		n.schemas[name] = true
		for _, r := range releases {
			n.releases[r.Version] = true
			for _, e := range r.Events {
				n.events[e.Name] = true
			}
		}
	}
	return n
}

func fold(known map[string]bool, name string) string {
	if known[name] {
		return name
	}
	return Other
}

// Release is a release that is known, or Other.
func (n Names) Release(name string) string { return fold(n.releases, name) }

// NewestFirst orders releases; what is none comes last.
func NewestFirst(releases []string) {
	slices.SortFunc(releases, func(a, b string) int { return schema.CompareVersions(b, a) })
}

// OfSpan is what counts of a span of LiveStore's.
func (n Names) OfSpan(span observe.Span) []control.Sighting {
	s := control.Sighting{
		At: span.At, Store: span.Store, Schema: fold(n.schemas, span.Schema), Release: fold(n.releases, span.Release), Sign: rollout.SawTraced, N: 1,
	}
	out := []control.Sighting{s}
	switch span.Kind {
	case observe.PushSpan:
		s.Sign, s.Bucket = rollout.SawPushTime, rollout.BucketOf(span.Took)
		if span.Failed {
			s.Sign, s.Bucket = rollout.SawPushFailed, 0
		}
	case observe.PullSpan:
		s.Sign, s.Bucket = rollout.SawPullTime, rollout.BucketOf(span.Took)
		if span.Failed {
			return out
		}
	case observe.MaterializeSpan:
		s.Sign, s.Bucket, s.Event = rollout.SawApplyTime, rollout.BucketOf(span.Took), fold(n.events, span.Event)
		if span.Failed {
			s.Sign, s.Bucket = rollout.SawApplyFailed, 0
		}
	default:
		return out
	}
	return append(out, s)
}

// Sighting is what counts of an observation; ok is false where nothing does.
func (n Names) Sighting(o observe.Observation) (s control.Sighting, ok bool) {
	s = control.Sighting{
		At: o.At, Store: o.StoreID, Schema: fold(n.schemas, o.Schema), Release: fold(n.releases, o.Release), Event: fold(n.events, o.Event), N: o.Count,
	}
	switch o.Kind {
	case observe.Pull:
		s.Sign, s.N = rollout.SawRead, 1 // a client is reported once a minute, with how often it pulled
	case observe.Push:
		s.Sign = rollout.SawPushed
	case observe.Rejected:
		s.Sign = rollout.SawRejected
	case observe.Started:
		s.Sign = rollout.SawOpened
	case observe.OpenFailed:
		s.Sign = rollout.SawOpenFailed
	case observe.UnknownEvent:
		s.Sign = rollout.SawUnknown
	case observe.Materializer:
		s.Sign = rollout.SawThrew
	default:
		return s, false
	}
	tool := slices.ContainsFunc(rollout.Tools(), func(prefix string) bool { return strings.HasPrefix(o.ClientID, prefix) })
	return s, !tool
}
