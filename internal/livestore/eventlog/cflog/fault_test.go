package cflog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
	"headgate/internal/livestore/eventlog/eventlogtest"
	"headgate/internal/testenv"
)

// chain is n events from first on.
func chain(first livestore.SeqNum, n, size int) []livestore.Event {
	batch := make([]livestore.Event, n)
	for i := range batch {
		seq := first + livestore.SeqNum(i)
		batch[i] = livestore.Event{
			Name: "v1.TodoCreated", ClientID: "headgate", SessionID: "test",
			Args: json.RawMessage(fmt.Sprintf(`{"id":"%d","text":"%s"}`, seq, strings.Repeat("x", size))),
			Seq:  livestore.ClientSeq{Global: seq}, Parent: livestore.ClientSeq{Global: seq - 1},
		}
	}
	return batch
}

func mustAppend(t testing.TB, l *cflog.Log, batch []livestore.Event) {
	t.Helper()
	if err := l.Append(t.Context(), batch); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// wantNumbers checks that the log is the gapless chain e1 to last.
func wantNumbers(t testing.TB, l eventlog.Reader, last int) {
	t.Helper()
	all := eventlogtest.Collect(t, l, livestore.ClientSeq{})
	for i, e := range all {
		if e.Seq.Global != livestore.SeqNum(i+1) || e.Parent.Global != livestore.SeqNum(i) {
			t.Fatalf("event %d is %s after %s", i+1, e.Seq, e.Parent)
		}
	}
	if len(all) != last {
		t.Errorf("the log has %d events, want %d", len(all), last)
	}
}

// TestAppendWithoutAnAnswer breaks a push before and after the backend has it.
func TestAppendWithoutAnAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, token := testenv.Backend(t)
		for i, test := range []struct {
			name   string
			rule   func(toBackend bool, data []byte) testenv.Verdict
			stored bool
		}{
			{"cut before it arrives", func(toBackend bool, data []byte) testenv.Verdict {
				if toBackend && len(data) > 200 { // more than a Ping
					return testenv.Cut
				}
				return testenv.Pass
			}, false},
			{"lost on the way", func(toBackend bool, data []byte) testenv.Verdict {
				if toBackend && len(data) > 200 {
					return testenv.Swallow
				}
				return testenv.Pass
			}, false},
			{"answer cut", func(toBackend bool, data []byte) testenv.Verdict {
				if !toBackend && isExit(data) {
					return testenv.Cut
				}
				return testenv.Pass
			}, true},
			{"answer lost", func(toBackend bool, data []byte) testenv.Verdict {
				if !toBackend && isExit(data) {
					return testenv.Swallow
				}
				return testenv.Pass
			}, true},
			{"answer torn", func(toBackend bool, data []byte) testenv.Verdict {
				if !toBackend && isExit(data) {
					copy(data, "\x8a\x00garbage")
				}
				return testenv.Pass
			}, true},
		} {
			t.Run(test.name, func(t *testing.T) {
				p := testenv.NewProxy(t, url)
				l := open(t, cflog.Options{
					URL: p.URL, StoreID: livestore.StoreID(fmt.Sprintf("fault-%d", i)), HTTP: overHTTP, Payload: auth(token), Timeout: 2 * time.Second,
				})
				mustAppend(t, l, chain(1, 2, 10))
				p.Set(test.rule)
				err := l.Append(t.Context(), chain(3, 2, 10))
				var ambiguous *eventlog.AmbiguousError
				if !errors.As(err, &ambiguous) || errs.As(err) == nil {
					t.Errorf("error %v, want an AmbiguousError that holds an *errs.Error", err)
				}
				p.Set(nil)
				want := 2
				if test.stored {
					want = 4
				}
				wantNumbers(t, l, want)
				mustAppend(t, l, chain(livestore.SeqNum(want+1), 1, 10)) // over a new connection
				wantNumbers(t, l, want+1)
			})
		}
	})
}

func TestAppendInterrupted(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, token := testenv.Backend(t)
		p := testenv.NewProxy(t, url)
		l := open(t, cflog.Options{URL: p.URL, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		mustAppend(t, l, chain(1, 2, 10))
		ctx, cancel := context.WithCancel(t.Context())
		p.Set(func(toBackend bool, data []byte) testenv.Verdict {
			if !toBackend && isExit(data) {
				cancel()
				return testenv.Swallow
			}
			return testenv.Pass
		})
		err := l.Append(ctx, chain(3, 2, 10))
		var ambiguous *eventlog.AmbiguousError
		if !errors.As(err, &ambiguous) || !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want an AmbiguousError that holds context.Canceled", err)
		}
		p.Set(nil)
		wantNumbers(t, l, 4)
	})
}

// TestIdleConnectionDied must not make an append ambiguous.
func TestIdleConnectionDied(t *testing.T) {
	url, token := testenv.Backend(t)
	p := testenv.NewProxy(t, url)
	l := open(t, cflog.Options{URL: p.URL, StoreID: "s", Payload: auth(token), Timeout: 2 * time.Second})
	mustAppend(t, l, chain(1, 2, 10))
	p.CutAll()
	mustAppend(t, l, chain(3, 2, 10))
	hole := true
	p.Set(func(bool, []byte) testenv.Verdict { // as when a router has forgotten the connection
		if hole {
			hole = false
			return testenv.Swallow
		}
		return testenv.Pass
	})
	mustAppend(t, l, chain(5, 2, 10))
	p.Set(nil)
	wantNumbers(t, l, 6)
}

// TestReadIsResumed cuts the connection after every other page.
func TestReadIsResumed(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, token := testenv.Backend(t)
		p := testenv.NewProxy(t, url)
		l := open(t, cflog.Options{URL: p.URL, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		const n = 600
		for at := 1; at < n; at += 100 {
			mustAppend(t, l, chain(livestore.SeqNum(at), 100, 10))
		}
		cuts := 0
		var passed int
		p.Set(func(toBackend bool, data []byte) testenv.Verdict {
			if toBackend {
				return testenv.Pass
			}
			if passed += len(data); passed > 40_000 { // a page has some 30,000 bytes
				passed = 0
				cuts++
				return testenv.Cut
			}
			return testenv.Pass
		})
		wantNumbers(t, l, n)
		if cuts < 3 {
			t.Errorf("the connection was cut %d times only", cuts)
		}
	})
}

// TestLargeBatchIsSplit appends more bytes than LiveStore's clients put into one message.
func TestLargeBatchIsSplit(t *testing.T) {
	overBoth(t, func(t *testing.T, overHTTP bool) {
		url, token := testenv.Backend(t)
		p := testenv.NewProxy(t, url)
		l := open(t, cflog.Options{URL: p.URL, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		exits := 0
		count := func(toBackend bool, data []byte) testenv.Verdict {
			if !toBackend {
				exits += bytes.Count(data, []byte(`"_tag":"Exit"`))
			}
			return testenv.Pass
		}
		mustAppend(t, l, chain(1, 1, 10))
		p.Set(count)
		mustAppend(t, l, chain(2, 5, 400_000))
		if exits != 3 {
			t.Errorf("sent as %d pushes, want 3", exits)
		}
		wantNumbers(t, l, 6)

		exits = 0
		p.Set(func(toBackend bool, data []byte) testenv.Verdict {
			if count(toBackend, data); !toBackend && exits == 2 {
				return testenv.Cut
			}
			return testenv.Pass
		})
		err := l.Append(t.Context(), chain(7, 5, 400_000))
		var ambiguous *eventlog.AmbiguousError
		if !errors.As(err, &ambiguous) || !strings.Contains(err.Error(), "2 of 5") {
			t.Errorf("error %v, want an AmbiguousError that says what is stored", err)
		}
		p.Set(nil)
		wantNumbers(t, l, 10)
	})
}

func TestUnreachable(t *testing.T) {
	t.Parallel() // it waits for its retries
	overBoth(t, func(t *testing.T, overHTTP bool) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		const token = "a-very-secret-token"
		l := open(t, cflog.Options{URL: "ws://" + address, StoreID: "s", HTTP: overHTTP, Payload: auth(token)})
		for what, err := range failures(t, l) {
			e := errs.As(err)
			if e == nil || e.Code != errs.Internal || e.Hint == "" || !strings.Contains(err.Error(), address) {
				t.Errorf("%s: error %v", what, err)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", err, e), token) || strings.Contains(err.Error(), "payload=") {
				t.Errorf("%s: the error shows the token: %v", what, err)
			}
		}
	})
}

// failures asks a log for everything.
func failures(t *testing.T, l *cflog.Log) map[string]error {
	t.Helper()
	all := map[string]error{"Append": l.Append(t.Context(), chain(1, 1, 10))}
	_, all["Head"] = l.Head(t.Context())
	for name, after := range map[string]livestore.ClientSeq{"Events": {}, "Events after e5": {Global: 5}} {
		n := 0
		for _, err := range l.Events(t.Context(), after) {
			n++
			all[name] = err
		}
		if n != 1 {
			t.Errorf("%s: %d elements, want the error only", name, n)
		}
	}
	var ambiguous *eventlog.AmbiguousError
	for what, err := range all {
		if err == nil || errors.As(err, &ambiguous) {
			t.Errorf("%s: error %v, want one that is certain", what, err)
		}
	}
	return all
}

// TestWhyUnreachable has a certificate that nobody trusts, and no host of a name, which may pass: a machine without a
// network says the same.
func TestWhyUnreachable(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	overBoth(t, func(t *testing.T, overHTTP bool) {
		for address, want := range map[string]struct {
			code errs.Code
			hint string
		}{
			server.URL:                      {errs.Invalid, "SSL_CERT_FILE"},
			"https://no-such-host.invalid/": {errs.Internal, "check the address"},
		} {
			_, err := open(t, cflog.Options{URL: address, StoreID: "s", HTTP: overHTTP}).Head(t.Context())
			if e := errs.As(err); e == nil || e.Code != want.code || !strings.Contains(e.Hint, want.hint) {
				t.Errorf("%s: error %v, want one of code %s that hints at %q", address, err, want.code, want.hint)
			}
		}
	})
}
