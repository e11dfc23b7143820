package server

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// FuzzBind reads any address and any body into what each route takes: it fails as invalid input or not at all.
func FuzzBind(f *testing.F) {
	for path, body := range bodies() {
		f.Add("limit=3&cursor=x", []byte(body))
		f.Add(path, []byte(body+"{}"))
	}
	f.Fuzz(func(t *testing.T, query string, body []byte) {
		for _, rt := range routes() {
			if rt.handle == nil {
				continue
			}
			r := httptest.NewRequest(rt.method, "/", nil)
			r.URL.RawQuery = query
			r.SetPathValue("name", query)
			sent := body
			if rt.method != http.MethodPost {
				sent = nil
			}
			if err := bind(reflect.New(rt.in).Elem(), r, sent); err != nil && errs.CodeOf(err) != errs.Invalid {
				t.Errorf("%s: %v", rt.pattern(), err)
			}
		}
	})
}

// FuzzTicket: what nobody made opens nothing.
func FuzzTicket(f *testing.F) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	owner := control.Token{ID: "0123456789ab", Hash: strings.Repeat("c", 64), ExpiresAt: now.Add(time.Hour)}
	good := ticket(owner, now)
	f.Add(good)
	f.Add("a.b.c")
	f.Add("0123456789ab.99999999999999999999.x")
	f.Fuzz(func(t *testing.T, s string) {
		d := newDoor(nil, "prod", func() time.Time { return now })
		d.known[owner.ID] = knownToken{owner, now}
		if strings.Count(s, ".") == 2 && !strings.HasPrefix(s, owner.ID+".") {
			return // of a token that the database would be asked for
		}
		if _, err := d.byTicket(t.Context(), s); (err == nil) != (s == good) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// FuzzCursor: a cursor is taken apart or refused.
func FuzzCursor(f *testing.F) {
	f.Add("1767225600000.r1")
	f.Add(".")
	f.Fuzz(func(t *testing.T, s string) {
		at, name, err := cutCursor(s)
		if err != nil {
			if errs.CodeOf(err) != errs.Invalid {
				t.Error(err)
			}
			return
		}
		if again, other, err := cutCursor(timedCursor(at, name)); err != nil || !again.Equal(at) || other != name {
			t.Errorf("%q: %v %q, then %v %q, %v", s, at, name, again, other, err)
		}
	})
}
