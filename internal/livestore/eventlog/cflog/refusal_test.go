package cflog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/testenv"
)

func TestOpenRefuses(t *testing.T) {
	for name, opt := range map[string]cflog.Options{
		"no address":        {StoreID: "s"},
		"another scheme":    {URL: "ftp://example.org", StoreID: "s"},
		"no host":           {URL: "https:///path", StoreID: "s"},
		"malformed":         {URL: "https://%zz", StoreID: "s"},
		"headgate's own":    {URL: "https://example.org/?storeId=other", StoreID: "s"},
		"no store":          {URL: "https://example.org"},
		"not a store's id":  {URL: "https://example.org", StoreID: "a b"},
		"a store's id in ü": {URL: "https://example.org", StoreID: "ü"},
	} {
		l, err := cflog.Open(t.Context(), opt)
		if e := errs.As(err); l != nil || e == nil || e.Code != errs.Invalid || e.Hint == "" {
			t.Errorf("%s: error %v, want an errs.Invalid one with a hint", name, err)
		}
	}
}

func TestWrongToken(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, _ := testenv.Backend(t)
		const token = "not-the-right-token"
		l := open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		for what, err := range failures(t, l) {
			e := errs.As(err)
			if e == nil || e.Code != errs.Invalid || !strings.Contains(e.Hint, "auth token") || !strings.Contains(e.Msg, "invalid auth token") {
				t.Errorf("%s: error %v, want an errs.Invalid one whose hint says to check the auth token", what, err)
			}
			if strings.Contains(err.Error(), token) {
				t.Errorf("%s: the error shows the token: %v", what, err)
			}
		}
	})
}

// TestOnPushRefuses has the token change while the connection stands.
func TestOnPushRefuses(t *testing.T) {
	url, token := testenv.Backend(t)
	now := token
	l := open(t, cflog.Options{URL: url, StoreID: "s", Payload: func(ctx context.Context) (json.RawMessage, error) { return auth(now)(ctx) }})
	mustAppend(t, l, chain(1, 1, 10))
	asked := 0
	reader := open(t, cflog.Options{URL: url, StoreID: "s", Payload: auth(token)})
	l2 := open(t, cflog.Options{URL: url, StoreID: "s", Payload: func(ctx context.Context) (json.RawMessage, error) {
		if asked++; asked == 3 { // 1: the backend's id, 2: the first append, 3: the second, 4: reading what became of it
			return auth("expired-token")(ctx)
		}
		return auth(token)(ctx)
	}})
	mustAppend(t, l2, chain(2, 1, 10))
	err := l2.Append(t.Context(), chain(3, 1, 10))
	var ambiguous *eventlog.AmbiguousError
	if e := errs.As(err); e == nil || e.Code != errs.Invalid || !strings.Contains(e.Hint, "auth token") || errors.As(err, &ambiguous) {
		t.Errorf("error %v, want an errs.Invalid one whose hint names the token", err)
	}
	now = "expired-token" // and now what became of it can't be read either
	if err := l.Append(t.Context(), chain(3, 1, 10)); !errors.As(err, &ambiguous) || strings.Contains(err.Error(), now) {
		t.Errorf("error %v, want an AmbiguousError without the token", err)
	}
	wantNumbers(t, reader, 2)
}

func TestPayload(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, _ := testenv.Backend(t)
		lost := errors.New("the keychain is locked")
		for name, test := range map[string]struct {
			payload func(context.Context) (json.RawMessage, error)
			want    func(error) bool
		}{
			"failed":   {func(context.Context) (json.RawMessage, error) { return nil, lost }, func(err error) bool { return errors.Is(err, lost) }},
			"not JSON": {func(context.Context) (json.RawMessage, error) { return json.RawMessage("todo"), nil }, func(err error) bool { return errs.CodeOf(err) == errs.Invalid }},
			"none":     {nil, func(err error) bool { return errs.CodeOf(err) == errs.Invalid }},
		} {
			for what, err := range failures(t, open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: test.payload})) {
				if !test.want(err) {
					t.Errorf("%s, %s: error %v", name, what, err)
				}
			}
		}
	})
}

func TestOtherBackend(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, token := testenv.Backend(t)
		mustAppend(t, open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: auth(token)}), chain(1, 3, 10))
		l := open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: auth(token), BackendID: "an-earlier-one"})
		for what, err := range failures(t, l) {
			if e := errs.As(err); e == nil || e.Code != errs.Refused || e.Hint == "" || !strings.Contains(e.Msg, "an-earlier-one") {
				t.Errorf("%s: error %v, want an errs.Refused one with a hint", what, err)
			}
		}
		if err := l.Append(t.Context(), chain(4, 1, 10)); errs.CodeOf(err) != errs.Refused {
			t.Errorf("Append after the head: error %v, want an errs.Refused one", err)
		}
		again := open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		wantNumbers(t, again, 3)
		head, err := again.Head(t.Context())
		if err != nil || head.BackendID == "" {
			t.Fatalf("head %+v, error %v", head, err)
		}
		known := open(t, cflog.Options{URL: url, StoreID: "s", HTTP: overHTTP, Payload: auth(token), BackendID: head.BackendID})
		wantNumbers(t, known, 3)
	})
}

// TestOtherAnswers are what stands behind a wrong address, or in front of a right one.
func TestOtherAnswers(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, overHTTP bool) {
		for name, test := range map[string]struct {
			status int
			header map[string]string
			body   string
			code   errs.Code
			want   string // in the message
			hint   string
		}{
			"a web page":    {200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "<!doctype html><p>secret page", errs.Invalid, "not a LiveStore sync backend: it answers with HTTP 200 and an HTML page", "address"},
			"an API":        {200, map[string]string{"Content-Type": "application/json"}, `{"ok":true}`, errs.Invalid, "not a LiveStore sync backend", "address"},
			"nothing there": {404, nil, "not a sync request", errs.Invalid, "HTTP 404: not a sync request", "address"},
			"another path":  {400, nil, "Invalid path", errs.Invalid, "not a LiveStore sync backend", "address"},
			"moved":         {302, map[string]string{"Location": "https://login.example.org/?next=x"}, "", errs.Invalid, "a redirect to https://login.example.org", "address"},
			"forbidden":     {403, map[string]string{"Content-Type": "text/html"}, "<html>", errs.Invalid, "refused the connection (HTTP 403)", "auth token"},
			"unauthorized":  {401, nil, "who are you", errs.Invalid, "HTTP 401): who are you", "auth token"},
			"echo":          {400, nil, `Expected string, actual {"authToken":"an-open-secret"}`, errs.Invalid, `actual {"authToken":"***"}`, "auth token"},
			"no upgrade":    {426, nil, "Durable Object expected Upgrade: websocket", errs.Invalid, "no WebSocket", "sync-cf+http"},
			"no binding":    {424, nil, "", errs.Invalid, "no Durable Object", "syncBackendBinding"},
			"broken":        {500, nil, "Internal Server Error", errs.Internal, "the sync backend failed (HTTP 500)", "enabledTransports"},
			"gateway":       {502, map[string]string{"Content-Type": "text/html"}, "<html>", errs.Internal, "HTTP 502) and an HTML page", "log"},
			"busy for long": {429, map[string]string{"Retry-After": "3600"}, "", errs.Internal, "busy (HTTP 429)", "1h0m0s"},
			"busy until":    {503, map[string]string{"Retry-After": "Sun, 06 Nov 1994 09:49:37 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, "", errs.Internal, "busy (HTTP 503)", "1h0m0s"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // the retries take a second or two
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for k, v := range test.header {
						w.Header().Set(k, v)
					}
					w.WriteHeader(test.status)
					_, _ = io.WriteString(w, test.body)
				}))
				defer server.Close()
				l := open(t, cflog.Options{URL: server.URL, StoreID: "s", HTTP: overHTTP, Payload: auth("an-open-secret")})
				for what, err := range failures(t, l) {
					e := errs.As(err)
					if e == nil || e.Code != test.code || !strings.Contains(e.Msg, test.want) || !strings.Contains(e.Hint, test.hint) {
						t.Errorf("%s: error %v (hint %q), want one of code %s that says %q and hints at %q", what, err, e.Hint, test.code, test.want, test.hint)
					}
					if strings.Contains(err.Error(), "secret") {
						t.Errorf("%s: the error shows what it must not: %v", what, err)
					}
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// TestBusyForAWhile puts a server in front of the real one that is busy at first.
func TestBusyForAWhile(t *testing.T) {
	t.Parallel() // it waits for its retries
	overBoth(t, func(t *testing.T, overHTTP bool) {
		address, token := testenv.Backend(t)
		target, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		var requests atomic.Int64
		through := httputil.NewSingleHostReverseProxy(target)
		through.Transport = &http.Transport{DisableKeepAlives: true}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch n := requests.Add(1) % 3; {
			case n == 1, n == 2 && overHTTP: // a 502 to a push over HTTP leaves open what became of it
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusTooManyRequests)
			case n == 2:
				w.WriteHeader(http.StatusBadGateway)
			default:
				through.ServeHTTP(w, r)
			}
		}))
		defer server.Close()
		l := open(t, cflog.Options{URL: server.URL + "/sync?app=todo", StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		begin := time.Now()
		mustAppend(t, l, chain(1, 2, 10))
		if took := time.Since(begin); took < 2*time.Second { // twice: for the backend's id, and to append
			t.Errorf("it took %s, Retry-After said a second each", took)
		}
		wantNumbers(t, l, 2)
		if n := requests.Load(); n != 9 {
			t.Errorf("%d requests, want 9", n)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// push sends events as they are, numbered as no LiveStore client does.
func push(t *testing.T, address, token, store string, parent int, seqs ...int) {
	t.Helper()
	payload := map[string]any{"authToken": token}
	var batch []map[string]any
	for i, seq := range seqs {
		if i > 0 {
			parent = seq - 1
		}
		batch = append(batch, map[string]any{
			"name": "v1.TodoCreated", "args": nil, "seqNum": seq, "parentSeqNum": parent, "clientId": "c", "sessionId": "s",
		})
	}
	body, err := json.Marshal(map[string]any{
		"_tag": "Request", "id": "0", "tag": "SyncHttpRpc.Push", "headers": []any{},
		"payload": map[string]any{"storeId": store, "payload": payload, "batch": batch, "backendId": map[string]any{"_tag": "None"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	encoded, _ := json.Marshal(payload)
	query := url.Values{"storeId": {store}, "transport": {"http"}, "payload": {url.PathEscape(string(encoded))}}
	res, err := http.Post(address+"/?"+query.Encode(), "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Contains(answer, []byte(`"_tag":"Success"`)) {
		t.Fatalf("push: %s, error %v", answer, err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestOddLogs are such as the backend accepts them.
func TestOddLogs(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		address, token := testenv.Backend(t)
		run := func(from, to int) (all []int) {
			for i := from; i <= to; i++ {
				all = append(all, i)
			}
			return all
		}
		for i, test := range []struct {
			name   string
			pushes [][]int // parent, then numbers
			want   []int
			events int64
		}{
			{"a gap in the first page", [][]int{append([]int{0}, append(run(1, 10), run(21, 30)...)...)}, append(run(1, 10), run(21, 30)...), -1},
			{"a gap before the last page", [][]int{append([]int{0}, run(1, 100)...), append([]int{100}, run(201, 220)...)}, append(run(1, 100), run(201, 220)...), -1},
			{"it begins late", [][]int{{0, 10, 11}}, []int{10, 11}, -1},
			{"below the root", [][]int{{0, -1, 0, 1, 2}}, []int{-1, 0, 1, 2}, -1},
			{"of many pages, below the root", [][]int{append([]int{0}, run(-150, 150)...)}, run(-150, 150), -1},
		} {
			t.Run(test.name, func(t *testing.T) {
				store := fmt.Sprintf("odd-%d", i)
				for _, p := range test.pushes {
					push(t, address, token, store, p[0], p[1:]...)
				}
				l := open(t, cflog.Options{URL: address, StoreID: livestore.StoreID(store), HTTP: overHTTP, Payload: auth(token)})
				var got []int
				for _, e := range eventlogtest.Collect(t, l, livestore.ClientSeq{}) {
					got = append(got, int(e.Seq.Global))
				}
				if fmt.Sprint(got) != fmt.Sprint(test.want) {
					t.Errorf("read %v, want %v", got, test.want)
				}
				head, err := l.Head(t.Context())
				last := livestore.SeqNum(test.want[len(test.want)-1])
				if err != nil || head.Confirmed != last || head.Events != test.events {
					t.Errorf("head %+v, error %v; want e%d and %d events", head, err, last, test.events)
				}
			})
		}
	})
}
