package observe_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"headgate/rollout/observe"
)

// traces are as LiveStore 0.4.0's spans arrive: ids in hex, an app's own spans among them.
const traces = `{"resourceSpans":[{"resource":{"attributes":[
	{"key":"service.version","value":{"stringValue":"1.1.0"}},{"key":"headgate.storeId","value":{"stringValue":"s"}},{"key":"headgate.schema","value":{"stringValue":"main"}}]},
"scopeSpans":[{"scope":{"name":"todo"},"spans":[
	{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"RpcClient.SyncWsRpc.Push","kind":1,"startTimeUnixNano":"1000000000","endTimeUnixNano":"1030000000",
		"attributes":[{"key":"status.interrupted","value":{"boolValue":true}}],"status":{"code":1}},
	{"name":"RpcClient.SyncHttpRpc.Push","startTimeUnixNano":"1000000000","endTimeUnixNano":"1010000000","status":{"code":2,"message":"UnknownError: no"}},
	{"name":"RpcClient.SyncHttpRpc.Push","status":{"code":2},"events":[{"name":"exception","attributes":[{"key":"exception.message","value":{"stringValue":"ServerAheadError"}}]}]},
	{"name":"RpcClient.SyncHttpRpc.Pull","startTimeUnixNano":1000000000,"endTimeUnixNano":1005000000},
	{"name":"headgate:pull","startTimeUnixNano":1000000000,"endTimeUnixNano":1007000000},
	{"name":"RpcClient.SyncHttpRpc.Pull","attributes":[{"key":"status.interrupted","value":{"boolValue":true}}]},
	{"name":"@livestore/common:leader-thread:materializeEvent","startTimeUnixNano":"2","endTimeUnixNano":"1","attributes":[{"key":"eventName","value":{"stringValue":"v1.X"}}]},
	{"name":"push","kind":1},{"name":"GET /todos","unheardOf":3},
	{"name":"createStore","startTimeUnixNano":"1","endTimeUnixNano":"18446744073709551615"}]}]}]}`

func TestTraces(t *testing.T) {
	of := func(kind observe.SpanKind, took time.Duration) observe.Span {
		return observe.Span{Kind: kind, Store: "s", Release: "1.1.0", Schema: "main", Took: took, At: received}
	}
	failed, apply := of(observe.PushSpan, 10*time.Millisecond), of(observe.MaterializeSpan, 0)
	failed.Failed, apply.Event = true, "v1.X"
	want := []observe.Span{
		of(observe.PushSpan, 30*time.Millisecond), failed, of(observe.OtherSpan, 0), of(observe.PullSpan, 5*time.Millisecond), of(observe.PullSpan, 7*time.Millisecond),
		of(observe.OtherSpan, 0), apply, of(observe.OtherSpan, 24*time.Hour),
	}
	var data tracepb.TracesData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(traces), &data); err != nil {
		t.Fatal(err)
	}
	binary, err := proto.Marshal(&data)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind   string
		body   []byte
		packed bool
	}{"json": {"application/json", []byte(traces), false}, "packed json": {"application/json", []byte(traces), true}, "protobuf": {"application/x-protobuf", binary, false}, "packed protobuf": {"application/x-protobuf", binary, true}} {
		var got []observe.Span
		w := sendTraces(t, func(_ string, s []observe.Span) { got = s }, c.kind, c.body, c.packed)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != c.kind {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func sendTraces(t *testing.T, took func(string, []observe.Span), kind string, body []byte, packed bool) *httptest.ResponseRecorder {
	t.Helper()
	encoding := ""
	if packed {
		encoding = "gzip"
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		body = b.Bytes()
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Content-Encoding", encoding)
	w := httptest.NewRecorder()
	receiver(&stored{}).Traces(took).ServeHTTP(w, r)
	return w
}

func TestTracesRefused(t *testing.T) {
	many := `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.TrimSuffix(strings.Repeat(`{"name":"push"},`, observe.MaxSpans+1), ",") + `]}]}]}`
	deep := strings.Repeat(`{"arrayValue":{"values":[`, 5000)
	for name, c := range map[string]struct {
		kind, body string
		packed     bool
		want       int
	}{
		"kind":          {"text/plain", traces, false, 415},
		"no JSON":       {"application/json", "x", false, 400},
		"no protobuf":   {"application/x-protobuf", traces, false, 400},
		"foreign store": {"application/json", strings.Replace(traces, `"stringValue":"s"`, `"stringValue":"foreign"`, 1), false, 403},
		"too long":      {"application/json", strings.Repeat(" ", observe.MaxTraces+1), false, 413},
		"a bomb":        {"application/json", strings.Repeat(" ", 3*observe.MaxTraces), true, 413},
		"too many":      {"application/json", many, true, 400},
		"too deep":      {"application/json", `{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":` + deep, false, 400},
	} {
		called := false
		if w := sendTraces(t, func(string, []observe.Span) { called = true }, c.kind, []byte(c.body), c.packed); w.Code != c.want || called {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
}

func FuzzTraces(f *testing.F) {
	f.Add([]byte(traces), true)
	var data tracepb.TracesData
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(traces), &data); err != nil {
		f.Fatal(err)
	}
	binary, err := proto.Marshal(&data)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(binary, false)
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool) {
		spans, err := observe.DecodeTraces(body, asJSON, received)
		if err != nil && len(spans) > 0 {
			t.Error("spans beside an error")
		}
		for _, s := range spans {
			if s.Kind == "" || s.Store == "" || s.Release == "" || s.Schema == "" || len(s.Store) > observe.MaxStoreID || len(s.Release) > observe.MaxName || s.Took < 0 || s.Took > 24*time.Hour || !s.At.Equal(received) {
				t.Errorf("%+v", s)
			}
		}
	})
}
