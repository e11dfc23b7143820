package cflog_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/testenv"
)

// A reply is what a scripted backend answers over HTTP.
type reply struct {
	status int
	body   string
	torn   bool // the connection ends before the body does
}

// replies is a backend that answers pulls and pushes as a test says, the last reply again and again. It counts the pushes.
func replies(t *testing.T, pulls, pushes []reply) (l *cflog.Log, pushed *int) {
	t.Helper()
	pushed = new(int)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var a reply
		switch {
		case r.URL.Query().Get("transport") != "http":
			t.Errorf("asked for %s", r.URL)
		case strings.Contains(string(text), `"backendId":"unknown"`):
			a.body = "[" + strings.ReplaceAll(fail(`{"expected":"b1","received":"unknown","_tag":"BackendIdMismatchError"}`), "ID", "0") + "]"
		case strings.Contains(string(text), "SyncHttpRpc.Push"):
			a = pushes[min(*pushed, len(pushes)-1)]
			*pushed++
		default:
			a = pulls[min(asked, len(pulls)-1)]
			asked++
		}
		if a.torn {
			w.Header().Set("Content-Length", fmt.Sprint(len(a.body)+10))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(max(a.status, http.StatusOK))
		_, _ = io.WriteString(w, a.body)
	}))
	l = open(t, cflog.Options{URL: server.URL, StoreID: "s", HTTP: true, Timeout: 2 * time.Second})
	t.Cleanup(func() { // the last registered runs first
		_ = l.Close()
		server.Close()
	})
	return l, pushed
}

func body(messages ...string) string {
	return "[" + strings.ReplaceAll(strings.Join(messages, ","), "ID", "0") + "]"
}

// TestPushRepliesHTTP shows after which answers a push is sent again: never when the backend may have it.
func TestPushRepliesHTTP(t *testing.T) {
	stored := reply{body: body(success)}
	empty := []reply{{body: body(chunk(-1), success)}}
	for name, test := range map[string]struct {
		pushes []reply
		want   string
		sent   int
	}{
		"success":                 {[]reply{stored}, "", 1},
		"busy, then success":      {[]reply{{status: 429}, stored}, "", 2},
		"a gateway's failure":     {[]reply{{status: 502}, stored}, "ambiguous", 1},
		"unavailable":             {[]reply{{status: 503}, stored}, "ambiguous", 1},
		"broken":                  {[]reply{{status: 500}, stored}, "ambiguous", 1},
		"the token was refused":   {[]reply{{status: 400, body: "no"}, stored}, "invalid", 1},
		"moved":                   {[]reply{{status: 302}, stored}, "invalid", 1},
		"no answer in the answer": {[]reply{{body: "[]"}, stored}, "ambiguous", 1},
		"another API":             {[]reply{{body: `{"ok":true}`}, stored}, "ambiguous", 1},
		"a page":                  {[]reply{{body: "<html>"}, stored}, "ambiguous", 1},
		"nothing":                 {[]reply{{body: ""}, stored}, "ambiguous", 1},
		"pages":                   {[]reply{{body: body(chunk(0, 1))}, stored}, "ambiguous", 1},
		"torn":                    {[]reply{{body: "[", torn: true}, stored}, "ambiguous", 1},
		"torn, but said":          {[]reply{{body: strings.TrimSuffix(body(success), "]"), torn: true}}, "", 1},
		"ahead":                   {[]reply{{body: body(fail(`{"minimumExpectedNum":7,"providedNum":0,"_tag":"ServerAheadError"}`))}, stored}, "ahead 7", 1},
		"a defect":                {[]reply{{body: `[{"_tag":"Defect","defect":"out of memory"}]`}, stored}, "ambiguous", 1},
		"onPush threw":            {[]reply{{body: body(fail(`{"cause":{"name":"Error","message":"no"},"_tag":"UnknownError"}`))}, stored}, "invalid", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the retries take a second
			l, sent := replies(t, empty, test.pushes)
			err := l.Append(t.Context(), chain(1, 1, 10))
			var ahead *eventlog.AheadError
			var ambiguous *eventlog.AmbiguousError
			got := string(errs.CodeOf(err))
			switch {
			case errors.As(err, &ambiguous):
				got = "ambiguous"
			case errors.As(err, &ahead):
				got = fmt.Sprintf("ahead %d", ahead.Head)
			}
			if got != test.want || *sent != test.sent {
				t.Errorf("error %v (%s) after %d pushes, want %q after %d", err, got, *sent, test.want, test.sent)
			}
			if e := errs.As(err); e != nil && e.Hint == "" {
				t.Errorf("error %v has no hint", err)
			}
		})
	}
}

func TestPullRepliesHTTP(t *testing.T) {
	for name, test := range map[string]struct {
		pulls []reply
		want  string // numbers, then the error's code
	}{
		"in one go":            {[]reply{{body: body(chunk(1, 1), chunk(0, 2), success)}}, "1 2 "},
		"a gap":                {[]reply{{body: body(chunk(1, 1), chunk(0, 5), success)}}, "1 5 "},
		"torn, and the rest":   {[]reply{{body: "[" + strings.ReplaceAll(chunk(1, 1), "ID", "0"), torn: true}, {body: body(chunk(0, 2), success)}}, "1 2 "},
		"no Exit, but the end": {[]reply{{body: body(chunk(0, 1))}}, "1 internal"},
		"not an array":         {[]reply{{body: `{"ok":true}`}}, "invalid"},
		"not JSON inside":      {[]reply{{body: "[hello]"}}, "internal"},
		"another backend's id": {[]reply{{body: body(chunk(1, 1), strings.ReplaceAll(chunk(0, 2), "b1", "b2"), success)}}, "1 refused"},
		"a defect":             {[]reply{{body: `[{"_tag":"Defect","defect":"Unknown request tag: SyncHttpRpc.Pull"}]`}}, "internal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, _ := replies(t, test.pulls, nil)
			var got strings.Builder
			for e, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
				if err != nil {
					fmt.Fprint(&got, errs.CodeOf(err))
					continue
				}
				fmt.Fprintf(&got, "%d ", e.Seq.Global)
			}
			if got.String() != test.want {
				t.Errorf("read %q, want %q", got.String(), test.want)
			}
		})
	}
}

// TestIDWithoutTheLog asks the real backend for its id, which must not cost a read of the whole log.
func TestIDWithoutTheLog(t *testing.T) {
	url, token := testenv.Backend(t)
	p := testenv.NewProxy(t, url)
	writer := open(t, cflog.Options{URL: url, StoreID: "s", Payload: auth(token)})
	for at := 1; at <= 1000; at += 100 {
		mustAppend(t, writer, chain(livestore.SeqNum(at), 100, 100))
	}
	got := 0
	p.Set(func(toBackend bool, data []byte) testenv.Verdict {
		if !toBackend {
			got += len(data)
		}
		return testenv.Pass
	})
	l := open(t, cflog.Options{URL: p.URL, StoreID: "s", Payload: auth(token), HTTP: true})
	mustAppend(t, l, chain(1001, 1, 10))
	n := 0
	for _, err := range l.Events(t.Context(), livestore.ClientSeq{Global: 1000}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	_ = l.Close() // before the bytes are looked at
	p.Set(nil)
	if n != 1 || got > 5000 {
		t.Errorf("%d events after e1000, for %d bytes", n, got)
	}
}
