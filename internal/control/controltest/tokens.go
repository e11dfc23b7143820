package controltest

import (
	"cmp"
	"fmt"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"headgate/internal/control"
	"headgate/internal/errs"
)

func tokens(t *testing.T, d *database) {
	ctx := t.Context()
	expires := d.clock.Now().Add(time.Hour)
	want := control.Token{Env: "prod", Role: control.RoleClient, App: "todo", Stores: []string{"a", "b"}, ExpiresAt: expires}
	made, secret, err := d.CreateToken(ctx, want, ana())
	if err != nil || !strings.HasPrefix(secret, "hg_") || len(secret) != 46 {
		t.Fatalf("%q, %v", secret, err)
	}
	if strings.Contains(made.Hash, secret) || made.ID == "" || made.Actor != "ana" || made.CreatedAt != d.clock.Now() {
		t.Errorf("%+v", made)
	}
	found, err := d.TokenOf(ctx, "prod", secret)
	if diff := gocmp.Diff(made, found); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if named, err := d.TokenNamed(ctx, "prod", made.ID); err != nil || named.Hash != made.Hash {
		t.Errorf("%+v, %v", named, err)
	}
	for _, tc := range []struct{ env, secret string }{{"staging", secret}, {"prod", secret + "x"}, {"prod", ""}, {"prod", made.Hash}} {
		_, err := d.TokenOf(ctx, tc.env, tc.secret)
		wantCode(t, err, errs.Unauthorized)
	}
	_, err = d.TokenNamed(ctx, "prod", "nope")
	wantCode(t, err, errs.Unauthorized)

	if err := found.Check(expires.Add(-time.Millisecond)); err != nil {
		t.Error(err)
	}
	wantCode(t, found.Check(expires), errs.Unauthorized)
	d.clock.Advance(time.Minute)
	revoked, err := d.RevokeToken(ctx, "prod", made.ID, control.By{Actor: "bob", Reason: "left on a train"})
	if err != nil || revoked.RevokedAt != d.clock.Now() {
		t.Fatalf("%+v, %v", revoked, err)
	}
	wantCode(t, revoked.Check(d.clock.Now()), errs.Unauthorized)
	d.clock.Advance(time.Minute)
	if again, err := d.RevokeToken(ctx, "prod", made.ID, ana()); err != nil || again.RevokedAt != revoked.RevokedAt {
		t.Errorf("revoked again: %+v, %v", again, err)
	}
	_, err = d.RevokeToken(ctx, "staging", made.ID, ana())
	wantCode(t, err, errs.NotFound)

	for _, bad := range []control.Token{
		{Env: "prod", Role: control.RoleViewer, ExpiresAt: d.clock.Now()},
		{Env: "prod", Role: control.RoleViewer, ExpiresAt: d.clock.Now().Add(3 * control.MaxTokenAge)},
		{Env: "prod", Role: control.RoleViewer, ExpiresAt: expires, Stores: []string{"a"}},
		{Env: "prod", Role: control.RoleClient, ExpiresAt: expires, Stores: []string{""}},
		{Role: control.RoleViewer, ExpiresAt: expires},
		{Env: "prod", Role: control.RoleOperator, ExpiresAt: expires}, // whose it is must be said: it is nobody's who makes it
		{Env: "prod", Role: control.RoleApprover, Person: "  ", ExpiresAt: expires},
	} {
		_, _, err := d.CreateToken(ctx, bad, ana())
		wantCode(t, err, errs.Invalid)
	}
	for _, r := range control.Roles() {
		want := control.Token{Env: "prod", Role: r, ExpiresAt: expires}
		if r.Acts() {
			want.Person = "ben"
		}
		if made, _, err := d.CreateToken(ctx, want, ana()); err != nil || made.Person != cmp.Or(want.Person, "ana") {
			t.Errorf("%s: %+v, %v", r, made, err)
		}
	}
	list, err := d.Tokens(ctx, "prod")
	if err != nil || len(list) != 1+len(control.Roles()) || list[len(list)-1].ID != made.ID {
		t.Errorf("%+v, %v", list, err)
	}
	entries := collect(t, d.Audit(ctx, "prod", time.Time{}))
	if len(entries) != 2+len(control.Roles()) || entries[0].Action != "token.create" || entries[1].Action != "token.revoke" || entries[1].Actor != "bob" {
		t.Errorf("%+v", entries)
	}
	for _, e := range entries {
		if strings.Contains(string(e.Detail), secret) || strings.Contains(string(e.Detail), made.Hash) {
			t.Errorf("the audit has the secret: %s", e.Detail)
		}
	}
}

func replies(t *testing.T, d *database) {
	ctx := t.Context()
	begin := func(key, request string) (*control.Reply, error) {
		return d.BeginReply(ctx, "prod", "ana", key, request)
	}
	if r, err := begin("k", "q"); r != nil || err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err := begin("k", "q")
	wantCode(t, err, errs.Locked)
	_, err = begin("k", "other")
	wantCode(t, err, errs.Invalid)
	_, err = begin("", "q")
	wantCode(t, err, errs.Invalid)
	if r, err := d.BeginReply(ctx, "prod", "bob", "k", "q"); r != nil || err != nil {
		t.Errorf("another caller's key: %+v, %v", r, err)
	}
	if err := d.EndReply(ctx, "prod", "ana", "k", &control.Reply{Status: 200, Body: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	r, err := begin("k", "q")
	if diff := gocmp.Diff(&control.Reply{Status: 200, Body: []byte(`{"a":1}`)}, r); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	// A request that failed may be tried again, and so may one whose server died.
	if err := d.EndReply(ctx, "prod", "bob", "k", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r, err := d.BeginReply(ctx, "prod", "bob", "k", "q"); r != nil || err != nil {
			t.Errorf("%+v, %v", r, err)
		}
		d.clock.Advance(2 * time.Minute)
	}
	// What a server did before it died is done once, and one that comes too late does nothing.
	stop := func(key string) error {
		return d.Stop(control.Answering(ctx, "prod", "ana", key), "prod", control.By{Actor: "ana", Reason: key})
	}
	for _, key := range []string{"died", "failed"} {
		if r, err := begin(key, "q"); r != nil || err != nil {
			t.Fatalf("%+v, %v", r, err)
		}
		for range 2 { // a request may do several things
			if err := stop(key); err != nil {
				t.Fatal(err)
			}
		}
		_, err = begin(key, "q")
		wantCode(t, err, errs.Locked)
	}
	if err := d.EndReply(ctx, "prod", "ana", "failed", nil); err != nil {
		t.Fatal(err)
	}
	d.clock.Advance(2 * time.Minute)
	_, err = begin("died", "q")
	wantCode(t, err, errs.Stale)
	wantCode(t, stop("failed"), errs.Locked)
	if r, err := begin("failed", "q"); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	d.clock.Advance(25 * time.Hour)
	if r, err := begin("k", "other"); r != nil || err != nil {
		t.Errorf("a day later: %+v, %v", r, err)
	}
	// A caller has so many kept; older ones may be used again. Another caller's are not counted.
	keep := func(caller string, n int) {
		t.Helper()
		key := fmt.Sprint("many ", n)
		if r, err := d.BeginReply(ctx, "prod", caller, key, "q"); r != nil || err != nil {
			t.Fatalf("%s: %+v, %v", key, r, err)
		}
		if err := d.EndReply(ctx, "prod", caller, key, &control.Reply{Status: 200, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(time.Second)
	}
	keep("cleo", 0)
	for n := range control.RepliesKept + 2 {
		keep("bob", n)
	}
	for caller, kept := range map[string]bool{"cleo": true, "bob": false} {
		if r, err := d.BeginReply(ctx, "prod", caller, "many 0", "q"); (r != nil) != kept || err != nil {
			t.Errorf("the first of %s: %+v, %v", caller, r, err)
		}
	}
	atMost := atOnce(8, func(int) error { _, err := begin("race", "q"); return err })
	claimed := 0
	for _, err := range atMost {
		if err == nil {
			claimed++
		} else {
			wantCode(t, err, errs.Locked)
		}
	}
	if claimed != 1 {
		t.Errorf("%d claimed the key", claimed)
	}
}
