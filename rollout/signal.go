package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Sign is something that is counted of the fleet. The words are stable: they stand in the control database.
type Sign string

const (
	SawRead        Sign = "read"         // a client read a store for up to a minute, as the sync backend reports it
	SawPushed      Sign = "pushed"       // a push that the sync backend let in
	SawRejected    Sign = "rejected"     // a push that the sync backend's own code turned away
	SawOpened      Sign = "opened"       // the app opened a store
	SawOpenFailed  Sign = "open_failed"  // or could not
	SawUnknown     Sign = "unknown"      // an event that the reader's release does not know
	SawThrew       Sign = "threw"        // a materializer
	SawPushTime    Sign = "push_time"    // histograms: how long a push took,
	SawPullTime    Sign = "pull_time"    // a pull
	SawApplyTime   Sign = "apply_time"   // and an event's materializer
	SawPushFailed  Sign = "push_failed"  // a push that ended in an error, as spans tell it
	SawApplyFailed Sign = "apply_failed" // an event whose materializer did
	SawTraced      Sign = "traced"       // a span of LiveStore's arrived
	SawClients     Sign = "clients"      // how many clients there were, once in an hour
)

// Timed reports whether it is a histogram of times.
func (s Sign) Timed() bool { return s == SawPushTime || s == SawPullTime || s == SawApplyTime }

// A SignCount is how often something was seen in a window of time.
type SignCount struct {
	Sign    Sign
	Release string // of the reader
	Event   string
	Bucket  int  // of a histogram
	Open    bool // in stores that the rollout had open then
	N       int64
}

// The buckets of a histogram of times: 0 is up to a millisecond, and each next one ends half an octave further up. They are
// fixed, so that counts of any servers and times add up.
const buckets = 36

// BucketOf is the bucket of a time.
func BucketOf(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return min(int(math.Ceil(2*math.Log2(ms))), buckets-1)
}

// bucketEnd is where a bucket ends, in milliseconds.
func bucketEnd(i int) float64 { return math.Exp2(float64(i) / 2) }

// quantile is the time in milliseconds below which the share q of all lies, within a bucket's width. There must be some.
func quantile(counts []int64, q float64) float64 {
	var all int64
	for _, n := range counts {
		all += n
	}
	rank, below := q*float64(all), 0.0
	for i, n := range counts {
		if n > 0 && below+float64(n) >= rank {
			from := 0.0
			if i > 0 {
				from = bucketEnd(i - 1)
			}
			return from + (bucketEnd(i)-from)*(rank-below)/float64(n)
		}
		below += float64(n)
	}
	return bucketEnd(buckets - 1)
}

// A Signal is a value that an analysis can look at, made of what was counted in a window. The words are stable.
type Signal string

const (
	UnknownEventRate      Signal = "unknown-event-rate"
	MaterializerErrorRate Signal = "materializer-error-rate"
	OpenFailureRate       Signal = "open-failure-rate"
	PushRejectionRate     Signal = "push-rejection-rate"
	ActiveConnections     Signal = "active-connections"
)

// Signals are all there are.
func Signals() []Signal {
	out := []Signal{UnknownEventRate, MaterializerErrorRate, OpenFailureRate, PushRejectionRate, ActiveConnections}
	for _, what := range []string{"push", "pull", "materialize"} {
		for _, p := range []string{"p50", "p95", "p99"} {
			out = append(out, Signal(what+"-latency-"+p))
		}
	}
	return out
}

// Value is what the signal is, with a line on what it was made of: nil where nothing was seen that says it. Rates of events
// are by the minute that a client was reading; those of opening and pushing are shares; times are milliseconds.
func (s Signal) Value(counts []SignCount, window time.Duration) (value any, made string) {
	sum := func(sign Sign) (n int64) {
		for _, c := range counts {
			if c.Sign == sign {
				n += c.N
			}
		}
		return n
	}
	perMinute := func(n int64, what string) (any, string) {
		read := sum(SawRead)
		if n == 0 && read == 0 {
			return nil, "nobody was seen reading"
		}
		return float64(n) / float64(max(read, 1)), fmt.Sprintf("%d %s in %d reader minutes", n, what, read)
	}
	share := func(bad, good int64, what, of string) (any, string) {
		if bad+good == 0 {
			return nil, "no " + of + " was seen"
		}
		return float64(bad) / float64(bad+good), fmt.Sprintf("%d %s, %d not", bad, what, good)
	}
	switch s {
	case UnknownEventRate:
		return perMinute(sum(SawUnknown), "unknown events")
	case MaterializerErrorRate:
		return perMinute(max(sum(SawThrew), sum(SawApplyFailed)), "materializer errors") // two ways to hear of the same ones
	case OpenFailureRate:
		return share(sum(SawOpenFailed), sum(SawOpened), "failed to open", "opening of a store")
	case PushRejectionRate:
		if failed, well := sum(SawPushFailed), sum(SawPushTime); failed+well > 0 { // spans tell of every reason
			return share(failed, well, "rejected", "push")
		}
		return share(sum(SawRejected), sum(SawPushed), "rejected", "push")
	case ActiveConnections:
		read := sum(SawRead)
		if read == 0 {
			return nil, "nobody was seen reading"
		}
		return float64(read) / max(window.Minutes(), 1), fmt.Sprintf("%d reader minutes in %s", read, window)
	}
	sign, q := s.latency()
	if sign == "" || q == 0 {
		return nil, "there is no such signal"
	}
	histogram := make([]int64, buckets)
	for _, c := range counts {
		if c.Sign == sign && c.Bucket >= 0 && c.Bucket < buckets {
			histogram[c.Bucket] += c.N
		}
	}
	n := sum(sign)
	if n == 0 {
		return nil, "no span of one was seen"
	}
	return math.Round(quantile(histogram, q)*10) / 10, fmt.Sprintf("of %d spans, in milliseconds", n)
}

// latency is the histogram that a signal of times reads, and which part of all it is of.
func (s Signal) latency() (Sign, float64) {
	what, p, _ := strings.Cut(string(s), "-latency-")
	return map[string]Sign{"push": SawPushTime, "pull": SawPullTime, "materialize": SawApplyTime}[what],
		map[string]float64{"p50": 0.5, "p95": 0.95, "p99": 0.99}[p]
}

// Told are the signs that an app's helper reports; one that goes well reports that it opened a store.
func Told() []Sign { return []Sign{SawOpened, SawOpenFailed, SawUnknown, SawThrew} }

// Mute says why a signal can't tell of anything that goes wrong where only these signs were ever seen: who has never
// reported; "" where all have.
func (s Signal) Mute(seen func(Sign) bool) string {
	one := func(signs ...Sign) bool { return slices.ContainsFunc(signs, seen) }
	switch s {
	case UnknownEventRate, MaterializerErrorRate, ActiveConnections:
		switch {
		case !seen(SawRead):
			return "the sync backend has never reported a reader"
		case s == UnknownEventRate && !one(Told()...), s == MaterializerErrorRate && !one(append(Told(), SawApplyTime, SawApplyFailed)...):
			return "no app has ever reported"
		}
	case OpenFailureRate:
		if !one(SawOpened, SawOpenFailed) {
			return "no app has ever reported"
		}
	case PushRejectionRate:
		if !one(SawPushed, SawRejected, SawPushTime, SawPushFailed) {
			return "the sync backend has never reported a push"
		}
	default:
		switch what, _ := s.latency(); {
		case seen(what):
		case what == SawPullTime:
			return "no span that says it has ever arrived: over a WebSocket the app needs the helper's timePull"
		default:
			return "no span of LiveStore's that says it has ever arrived"
		}
	}
	return ""
}

// A SignalReading is a signal's value in the stores that a rollout has open, and in the others at the same time.
type SignalReading struct {
	Value, Baseline any // nil for no data
	Made            string
}

// ReadSignal reads a signal of a rollout from what was counted in a window.
func ReadSignal(s Signal, counts []SignCount, window time.Duration) SignalReading {
	open, others := []SignCount{}, []SignCount{}
	for _, c := range counts {
		if c.Open {
			open = append(open, c)
		} else {
			others = append(others, c)
		}
	}
	value, made := s.Value(open, window)
	baseline, of := s.Value(others, window)
	return SignalReading{Value: value, Baseline: baseline, Made: made + "; in other stores: " + of}
}
