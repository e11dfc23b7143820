package observe

import (
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"headgate/internal/errs"
)

// Limits of what is accepted as traces.
const (
	MaxTraces = 4 << 20 // bytes, also when they are unpacked
	MaxSpans  = 20_000
)

// A SpanKind is what a span of LiveStore's is about.
type SpanKind string

const (
	PushSpan        SpanKind = "push"        // the request of a client
	PullSpan        SpanKind = "pull"        // until there is no more, not the stream of what comes later
	MaterializeSpan SpanKind = "materialize" // an event, in the leader
	OtherSpan       SpanKind = "other"       // LiveStore's, and no signal
)

// A Span is one of LiveStore's. Others are left out.
type Span struct {
	Kind    SpanKind
	Store   string // None where the resource does not say it, as of Release and Schema
	Release string
	Schema  string
	Event   string // of MaterializeSpan
	Took    time.Duration
	Failed  bool
	At      time.Time // of receipt
}

// kinds are the names of LiveStore 0.4.0's spans. A push that is ended by the event's own way back counts like one that was
// answered: over a WebSocket that is the rule. A pull over a WebSocket lasts as long as the connection, and is none of these; the
// helper's headgate:pull is.
func kindOf(name string) (kind SpanKind, ok bool) {
	switch name {
	case "RpcClient.SyncWsRpc.Push", "RpcClient.SyncHttpRpc.Push", "RpcClient.SyncDoRpc.Push":
		return PushSpan, true
	case "RpcClient.SyncHttpRpc.Pull", "cloudflare-provider:pull", "headgate:pull":
		return PullSpan, true
	case "@livestore/common:leader-thread:materializeEvent":
		return MaterializeSpan, true
	}
	for _, own := range []string{"@livestore/", "LiveStore:", "RpcClient.Sync", "sync-cf:", "client-session-sync-processor:", "createStore"} {
		if strings.HasPrefix(name, own) {
			return OtherSpan, true
		}
	}
	return "", false
}

// DecodeTraces reads OTLP traces, protobuf or JSON. What the resource says of the store: headgate.storeId, headgate.schema,
// headgate.release or else service.version.
func DecodeTraces(body []byte, asJSON bool, at time.Time) ([]Span, error) {
	var in tracepb.TracesData // an ExportTraceServiceRequest has the same one field
	var err error
	if asJSON {
		err = protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 100}.Unmarshal(body, &in)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: 100}.Unmarshal(body, &in)
	}
	if err != nil {
		return nil, errs.Invalidf("the body is no OTLP traces").Because(err)
	}
	var out []Span
	all := 0
	for _, r := range in.GetResourceSpans() {
		about := r.GetResource().GetAttributes()
		of := Span{
			Store: named(about, MaxStoreID, "headgate.storeId"), Schema: named(about, MaxName, "headgate.schema"),
			Release: named(about, MaxName, "headgate.release", "service.version"), At: at,
		}
		for _, scope := range r.GetScopeSpans() {
			if all += len(scope.GetSpans()); all > MaxSpans {
				return nil, errs.Invalidf("more than %d spans in one request", MaxSpans)
			}
			for _, s := range scope.GetSpans() {
				if span, ok := spanOf(of, s); ok {
					out = append(out, span)
				}
			}
		}
	}
	return out, nil
}

// longest bounds what a span may have taken.
const longest = 24 * time.Hour

func spanOf(of Span, s *tracepb.Span) (Span, bool) {
	kind, ok := kindOf(s.GetName())
	if !ok {
		return Span{}, false
	}
	of.Kind = kind
	if begin, end := s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano(); end > begin {
		of.Took = longest
		if d := end - begin; d < uint64(longest) {
			of.Took = time.Duration(d)
		}
	}
	of.Failed = s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR
	switch {
	case kind == MaterializeSpan:
		of.Event = named(s.GetAttributes(), MaxName, "eventName")
	case kind == PullSpan && flagged(s.GetAttributes(), "status.interrupted"):
		of.Kind = OtherSpan
	case kind == PushSpan && of.Failed && ahead(s):
		of.Kind, of.Failed = OtherSpan, false // somebody else was first: the client rebases, and pushes again
	}
	return of, true
}

// ahead reports whether a push found the backend ahead.
func ahead(s *tracepb.Span) bool {
	const name = "ServerAheadError"
	if strings.Contains(s.GetStatus().GetMessage(), name) {
		return true
	}
	for _, e := range s.GetEvents() {
		for _, a := range e.GetAttributes() {
			if strings.Contains(a.GetValue().GetStringValue(), name) {
				return true
			}
		}
	}
	return false
}

// named is the first of some attributes that is a name; None where there is none.
func named(attributes []*commonpb.KeyValue, most int, keys ...string) string {
	for _, key := range keys {
		for _, a := range attributes {
			if s := a.GetValue().GetStringValue(); a.GetKey() == key && isName(s, most) {
				return s
			}
		}
	}
	return None
}

func flagged(attributes []*commonpb.KeyValue, key string) bool {
	for _, a := range attributes {
		if a.GetKey() == key && a.GetValue().GetBoolValue() {
			return true
		}
	}
	return false
}
