package ofrep_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"headgate/rollout/ofrep"
)

func TestSingle(t *testing.T) {
	s := serve(t, nil)
	const one = "/ofrep/v1/evaluate/flags/"
	for _, tc := range []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"value", one + "event.A", `{"context":{"targetingKey":"u","storeId":"new"}}`, 200, `{"key":"event.A","reason":"SPLIT","value":"v2.A","variant":"v2","metadata":{"version":"r1"}}`},
		{"no targeting key", one + "event.A", `{"context":{}}`, 200, `{"key":"event.A","reason":"SPLIT","value":"v1.A","variant":"v1","metadata":{"version":"r1"}}`},
		{"no context", one + "event.A", `{}`, 200, `{"key":"event.A","reason":"SPLIT","value":"v1.A","variant":"v1","metadata":{"version":"r1"}}`},
		{"context null", one + "event.A", `{"context":null}`, 200, `{"key":"event.A","reason":"SPLIT","value":"v1.A","variant":"v1","metadata":{"version":"r1"}}`},
		{"zero value", one + "kill", `{}`, 200, `{"key":"kill","reason":"SPLIT","value":false,"variant":"off"}`},
		{"escaped key", one + "a%2Fb", `{}`, 200, `{"key":"a/b","reason":"SPLIT","value":"a/b","variant":""}`},
		{"unknown", one + "nope", `{}`, 404, `{"key":"nope","errorCode":"FLAG_NOT_FOUND","errorDetails":"there is no such flag"}`},
		{"evaluator fails", one + "broken", `{}`, 500, `{"key":"broken","errorCode":"GENERAL","errorDetails":"the flags are not read yet"}`},
		{"key needed", one + "picky", `{}`, 400, `{"key":"picky","errorCode":"TARGETING_KEY_MISSING","errorDetails":"needs a targeting key"}`},
		{"foreign store", one + "event.A", `{"context":{"storeId":"foreign"}}`, 403, `{"key":"event.A","errorCode":"GENERAL","errorDetails":"the token is not for store foreign"}`},
		{"empty", one + "event.A", ``, 400, `{"key":"event.A","errorCode":"PARSE_ERROR","errorDetails":"the body is not a JSON object: {\"context\": {\"targetingKey\": \"…\"}}"}`},
		{"two documents", one + "event.A", `{}{}`, 400, `{"key":"event.A","errorCode":"PARSE_ERROR","errorDetails":"the body is not a JSON object: {\"context\": {\"targetingKey\": \"…\"}}"}`},
		{"context of another type", one + "event.A", `{"context":[1]}`, 400, `{"key":"event.A","errorCode":"INVALID_CONTEXT","errorDetails":"the context is not a JSON object"}`},
		{"targeting key of another type", one + "event.A", `{"context":{"targetingKey":1}}`, 400, `{"key":"event.A","errorCode":"INVALID_CONTEXT","errorDetails":"targetingKey is not a string"}`},
		{"deep", one + "event.A", `{"context":` + strings.Repeat("[", 20_000) + `}`, 400, `{"key":"event.A","errorCode":"PARSE_ERROR","errorDetails":"the body is not a JSON object: {\"context\": {\"targetingKey\": \"…\"}}"}`},
		{"large", one + "event.A", `{"context":{"a":"` + strings.Repeat("x", ofrep.MaxBody) + `"}}`, 413, `{"key":"event.A","errorCode":"PARSE_ERROR","errorDetails":"the body is too large"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, body := s.post(t, tc.path, tc.body)
			if res.StatusCode != tc.status || strings.ReplaceAll(body, `\u0026`, "&") != tc.want {
				t.Errorf("%d %s\nwant %d %s", res.StatusCode, body, tc.status, tc.want)
			}
			if ct := res.Header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
}

func TestBulk(t *testing.T) {
	s := serve(t, nil)
	const who = `{"context":{"storeId":"new"}}`
	res, body := s.post(t, ofrep.BulkPath, who)
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d %v %s", res.StatusCode, err, body)
	}
	want := map[string]any{
		"flags": []any{
			map[string]any{"key": "event.A", "reason": "SPLIT", "value": "v2.A", "variant": "v2", "metadata": map[string]any{"version": "r1"}},
			map[string]any{"key": "kill", "reason": "SPLIT", "value": false, "variant": "off"},
		},
		"metadata": map[string]any{"version": "r1"},
		"eventStreams": []any{map[string]any{
			"type": "sse", "endpoint": map[string]any{"requestUri": "/ofrep/v1/sse?since=r1&ticket=t1"}, "inactivityDelaySec": 120.0,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	etag := res.Header.Get("ETag")
	status := func(body string, header ...string) int {
		t.Helper()
		res, text := s.post(t, ofrep.BulkPath, body, header...)
		if res.StatusCode == http.StatusNotModified && (res.Header.Get("ETag") == "" || text != "") {
			t.Errorf("304 with the ETag %q and the body %q", res.Header.Get("ETag"), text)
		}
		return res.StatusCode
	}
	if got := status(who, "If-None-Match", etag); got != 304 {
		t.Errorf("the same again: %d", got)
	}
	if got := status(who, "If-None-Match", `"other", W/`+etag); got != 304 {
		t.Errorf("the same in a list: %d", got)
	}
	// A context that gets other values must not be told that nothing changed.
	if got := status(`{"context":{"storeId":"old"}}`, "If-None-Match", etag); got != 200 {
		t.Errorf("another context: %d", got)
	}
	// A refetch after an event gets what there is.
	if res, _ := s.post(t, ofrep.BulkPath+"?flagConfigEtag=r2", who, "If-None-Match", etag); res.StatusCode != 200 {
		t.Errorf("flagConfigEtag: %d", res.StatusCode)
	}
	// So does whoever has the address of a stream with an old ticket.
	s.access.mu.Lock()
	s.access.ticket = "t2"
	s.access.mu.Unlock()
	if got := status(who, "If-None-Match", etag); got != 200 {
		t.Errorf("another ticket: %d", got)
	}
	if res, body := s.post(t, ofrep.BulkPath, `{"context":{"storeId":"foreign"}}`); res.StatusCode != 403 || !strings.Contains(body, `"errorCode":"GENERAL"`) {
		t.Errorf("a foreign store: %d %s", res.StatusCode, body)
	}
}

func TestCORS(t *testing.T) {
	s := serve(t, nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, s.url+ofrep.BulkPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	h := res.Header
	if res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", res.StatusCode, h)
	}
	for _, name := range []string{"Content-Type", "Authorization", "X-API-Key", "If-None-Match"} {
		if !strings.Contains(h.Get("Access-Control-Allow-Headers"), name) {
			t.Errorf("%s is not allowed: %v", name, h)
		}
	}
	answer, _ := s.post(t, ofrep.BulkPath, `{}`)
	if got := answer.Header.Get("Access-Control-Expose-Headers"); got != "ETag, Retry-After" {
		t.Errorf("exposed: %q", got)
	}
}

func TestStream(t *testing.T) {
	s := serve(t, nil)
	_, lines := s.listen(t, "?since=r1", "")
	opened(t, lines, "r1")
	s.flags.set("r2")
	want := map[string]any{"type": "refetchEvaluation", "etag": "r2", "lastModified": "1970-01-01T00:01:00Z"}
	if diff := cmp.Diff(want, event(t, lines, "r2")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// A change between the evaluation and the stream, or while a listener was away, is told at once.
	_, late := s.listen(t, "?since=r1", "")
	opened(t, late, "r1")
	event(t, late, "r2")
	_, back := s.listen(t, "?since=r2", "r1")
	opened(t, back, "r1")
	event(t, back, "r2")
	_, current := s.listen(t, "?since=r1", "r2")
	opened(t, current, "r2")
	_, forged := s.listen(t, "?since=x%0A%0Adata:+forged", "")
	opened(t, forged, "unknown")
	event(t, forged, "r2")
	s.flags.set("r3")
	event(t, current, "r3")
	event(t, forged, "r3")

	s.Drain()
	for name, l := range map[string]<-chan string{"first": lines, "late": late, "back": back, "current": current} {
		if name != "current" {
			event(t, l, "r3")
		}
		if got := next(t, l); got != ": the server is stopping" {
			t.Errorf("%s: %q", name, got)
		}
		if got := next(t, l); got != "" {
			t.Errorf("%s goes on: %q", name, got)
		}
	}
	if status, _ := s.listen(t, "", ""); status != 503 {
		t.Errorf("a stream of a drained handler: %d", status)
	}
}

func TestStreamHeartbeat(t *testing.T) {
	s := serve(t, func(o *ofrep.Options) { o.Heartbeat = 10 * time.Millisecond })
	_, lines := s.listen(t, "", "")
	opened(t, lines, "r1")
	if got := next(t, lines); got != ": still here" {
		t.Fatalf("%q", got)
	}
	s.access.mu.Lock()
	s.access.gone = true // the token was revoked
	s.access.mu.Unlock()
	for next(t, lines) != "" {
	}
}

func TestStreamJitter(t *testing.T) {
	ask := make(chan time.Duration, 1)
	s := serve(t, func(o *ofrep.Options) { o.Jitter = func() time.Duration { return <-ask } })
	_, lines := s.listen(t, "", "")
	opened(t, lines, "r1")
	s.flags.set("r2")
	s.flags.set("r3")
	ask <- time.Millisecond
	event(t, lines, "r3") // two changes are one event
}

func TestListenersAreBounded(t *testing.T) {
	s := serve(t, func(o *ofrep.Options) { o.Listeners = 2 })
	for range 2 {
		_, lines := s.listen(t, "", "")
		opened(t, lines, "r1")
	}
	if s.Streams() != 2 {
		t.Errorf("%d streams", s.Streams())
	}
	if status, _ := s.listen(t, "", ""); status != 503 {
		t.Errorf("the third: %d", status)
	}
}

func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{`{"context":{"targetingKey":"u","storeId":"new","appVersion":2}}`, `{}`, `{"context":null}`, `[]`, `{"context":{"targetingKey":{}}}`, "\xff"} {
		f.Add([]byte(seed))
	}
	s := serve(f, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/ofrep/v1/evaluate/flags/event.A", ofrep.BulkPath} {
			res, text := s.post(t, path, string(body))
			switch res.StatusCode {
			case 200, 400, 403, 413:
			default:
				t.Errorf("%d for %q", res.StatusCode, body)
			}
			if !json.Valid([]byte(text)) || !bytes.HasPrefix([]byte(text), []byte("{")) {
				t.Errorf("%q is no JSON object", text)
			}
		}
	})
}
